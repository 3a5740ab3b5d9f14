"""Waiting for the FUSE descriptor without going to sleep for it.

Parking a task in trio until a descriptor is readable costs more than most small requests. Under load the next request
is there, or comes within microseconds; so the descriptor is polled a few times first, and only an idle mount parks.
Every so many requests the scheduler gets its turn anyway, so that timers and threads are not starved.

pyfuse3 takes its event loop from its module attribute ``trio`` (its asyncio mode replaces it there); `install` puts a
stand-in there that differs in these two things and hands out everything else of the real trio.
"""

from __future__ import annotations

import select
from types import SimpleNamespace, TracebackType

import pyfuse3
import trio

POLLS = 40
"""Polls of the descriptor, of about a microsecond each, before the task parks."""
REQUESTS_PER_TURN = 16
"""Requests that may be taken in a row before other tasks get to run."""


class _ReadLock:
    """A mutual exclusion that costs nothing while nobody contends; otherwise trio's own lock does the queueing."""

    def __init__(self) -> None:
        self._lock = trio.Lock()
        self._held = False

    async def __aenter__(self) -> None:
        if self._held or self._lock.locked():
            await self._lock.acquire()
            return
        self._held = True
        self._lock.acquire_nowait()

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held = False
        self._lock.release()


class _Waiter:
    """The stand-in for ``trio.lowlevel.wait_readable``."""

    def __init__(self) -> None:
        self._poll: dict[int, select.poll] = {}
        self._in_a_row = 0

    async def wait_readable(self, descriptor: int) -> None:
        poll = self._poll.get(descriptor)
        if poll is None:
            poll = self._poll[descriptor] = select.poll()
            poll.register(descriptor, select.POLLIN)
        self._in_a_row += 1
        if self._in_a_row < REQUESTS_PER_TURN:
            for _ in range(POLLS):
                if poll.poll(0):
                    return
        self._in_a_row = 0
        await trio.lowlevel.wait_readable(descriptor)


def install() -> None:
    """Give pyfuse3 the stand-in. Before `pyfuse3.main`, once a process."""
    lowlevel = SimpleNamespace(
        **{name: getattr(trio.lowlevel, name) for name in trio.lowlevel.__dict__ if name[0] != "_"}
    )
    lowlevel.wait_readable = _Waiter().wait_readable
    stand_in = SimpleNamespace(**{name: getattr(trio, name) for name in trio.__dict__ if name[0] != "_"})
    stand_in.lowlevel = lowlevel
    pyfuse3.trio = stand_in  # type: ignore[attr-defined]
