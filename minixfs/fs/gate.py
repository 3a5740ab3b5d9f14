"""The gate of a file server: any number of readers, or one modifier.

Entering an open gate does not suspend. Whoever finds it closed queues, first come first served, so that a stream of
readers cannot keep a modifier out. Below the gate a modifier may therefore suspend (in the device) without anybody
seeing its work half done, and readers may suspend without the ground moving.
"""

from __future__ import annotations

from collections import deque

from minixfs.hw.runtime import Event, Runtime


class Gate:
    """State: `_readers` inside, or `_modifier` inside, or empty; `_queue` holds who waits, with what they wait for."""

    __slots__ = ("_modifier", "_queue", "_readers", "_runtime")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._readers = 0
        self._modifier = False
        self._queue: deque[tuple[Event, bool]] = deque()

    async def enter(self, modifier: bool) -> None:
        if self.try_modify() if modifier else self.try_read():
            return
        ticket = (self._runtime.event(), modifier)
        self._queue.append(ticket)
        try:
            await ticket[0].wait()
        except BaseException:
            if ticket in self._queue:
                self._queue.remove(ticket)
                self._next()
            else:  # admitted and cancelled at once
                self.leave(modifier)
            raise

    def try_read(self) -> bool:
        """Enter as a reader if no modifier is inside and nobody waits."""
        if self._queue or self._modifier:
            return False
        self._readers += 1
        return True

    def try_modify(self) -> bool:
        """Enter as the modifier if nobody is inside or waits."""
        if self._queue or self._modifier or self._readers:
            return False
        self._modifier = True
        return True

    @property
    def open(self) -> bool:
        """Whether a reader would be admitted at once: one that does not wait for anything then need not enter."""
        return not (self._modifier or self._queue)

    @property
    def exclusive(self) -> bool:
        """Whether a modifier is inside: for the code that it runs, that it is alone."""
        return self._modifier

    def leave(self, modifier: bool) -> None:
        if modifier:
            self._modifier = False
        else:
            self._readers -= 1
        if self._queue:
            self._next()

    def _admit(self, modifier: bool) -> None:
        if modifier:
            self._modifier = True
        else:
            self._readers += 1

    def _next(self) -> None:
        while self._queue and not self._modifier:
            event, modifier = self._queue[0]
            if modifier and self._readers:
                return
            self._queue.popleft()
            self._admit(modifier)
            event.set()

    def check(self) -> None:
        """Assert the invariants (tests)."""
        assert self._readers >= 0
        assert not (self._modifier and self._readers)
        assert not self._queue or self._modifier or (self._readers and self._queue[0][1])
