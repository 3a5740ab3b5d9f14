"""The three-level lock (specification: vfs 2.1-2.2).

READ: any number of holders. SERIAL (MINIX: READSER): one holder, beside any readers. WRITE: alone. The owner of
SERIAL or WRITE may upgrade and downgrade. Asking again as owner is answered "busy": nothing was acquired, nothing
must be released.

Uncontended operations do not suspend. Waiters queue in two lines: `_write_queue` holds READ and WRITE waiters in
order of arrival (so a writer cannot starve: whoever comes after it waits behind it), `_serial_queue` SERIAL
waiters, which are served when the first line is empty. Locks are handed over: who grants changes the state, then
wakes the waiter. A cancelled waiter leaves its line, and whoever was stuck behind it is looked at again; a
cancelled upgrader keeps SERIAL.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING

from minixfs.hw.runtime import Event, Runtime

if TYPE_CHECKING:
    from minixfs.daemon.call import Call


class Mode(IntEnum):
    READ = 1
    SERIAL = 2
    WRITE = 3


READ, SERIAL, WRITE = Mode
"""By themselves, since Python 3.11 takes a tenth of a microsecond to find a member in its class."""


class Rank(IntEnum):
    """The lock order: only ever to the right."""

    PROCESS = 0
    TWO_PATH = 1
    VMNT = 2
    VNODE = 3
    FILP = 4


class _Waiter:
    __slots__ = ("call", "event", "mode")

    def __init__(self, call: Call, mode: Mode, event: Event) -> None:
        self.call = call
        self.mode = mode
        self.event = event


class ThreeLevelLock:
    """State: `owner` holds SERIAL, or WRITE if `exclusive`; `readers` counts READ holders; one upgrader may wait."""

    __slots__ = ("_runtime", "_serial_queue", "_upgrading", "_write_queue", "exclusive", "owner", "rank", "readers")

    def __init__(self, rank: Rank, runtime: Runtime) -> None:
        self.rank = rank
        self.owner: Call | None = None
        self.exclusive = False
        self.readers = 0
        self._runtime = runtime
        self._upgrading: Event | None = None
        self._write_queue: deque[_Waiter] | None = None
        self._serial_queue: deque[_Waiter] | None = None

    async def acquire(self, mode: Mode, call: Call) -> bool:
        """Lock; True when it was acquired, False when `call` owns it already (busy)."""
        if self.try_acquire(mode, call):
            return True
        if self.owner is call:
            return False
        await self._wait(mode, call)
        call.held.append(self)
        return True

    def try_acquire(self, mode: Mode, call: Call) -> bool:
        """Lock if it is free; False when `acquire` would have to wait, or would find `call` to be the owner."""
        if self.owner is call:
            return False
        if call.checker is not None:
            call.checker.before_acquire(self, call)
        if self._write_queue or self._upgrading is not None:
            return False
        if mode is READ:
            if self.exclusive:
                return False
            self.readers += 1
        elif self.owner is not None or (mode is WRITE and self.readers):
            return False
        else:
            self.owner, self.exclusive = call, mode is WRITE
        call.held.append(self)
        return True

    def release(self, call: Call) -> None:
        """Unlock what `call` acquired."""
        call.held.remove(self)
        if self.owner is call:
            self.owner, self.exclusive = None, False
            if self._write_queue or self._serial_queue:
                self._hand_over()
            return
        self.readers -= 1
        if not self.readers and self._upgrading is not None:
            self.exclusive = True
            self._upgrading.set()
            self._upgrading = None
        elif self._write_queue or self._serial_queue:
            self._hand_over()

    async def upgrade(self, call: Call) -> None:
        """SERIAL -> WRITE, waiting for the readers to leave; nobody new gets in meanwhile. WRITE stays WRITE."""
        if self.owner is not call:
            raise RuntimeError("only the owner of a lock can upgrade it")
        if self.exclusive:
            return
        if not self.readers:
            self.exclusive = True
            return
        event = self._upgrading = self._runtime.event()
        try:
            await event.wait()
        except BaseException:
            if self._upgrading is event:
                self._upgrading = None
            self.exclusive = False
            self._hand_over()
            raise

    def downgrade(self, call: Call) -> None:
        """One step: WRITE -> SERIAL wakes nobody; SERIAL -> READ lets the next SERIAL waiter in."""
        if self.owner is not call:
            raise RuntimeError("only the owner of a lock can downgrade it")
        if self.exclusive:
            self.exclusive = False
            return
        self.owner = None
        self.readers += 1
        if not self._write_queue:
            self._grant_serial()

    @property
    def is_locked(self) -> bool:
        return self.owner is not None or self.readers > 0

    @property
    def has_waiters(self) -> bool:
        return bool(self._write_queue or self._serial_queue)

    async def _wait(self, mode: Mode, call: Call) -> None:
        waiter = _Waiter(call, mode, self._runtime.event())
        if mode is SERIAL:
            queue = self._serial_queue = self._serial_queue or deque()
        else:
            queue = self._write_queue = self._write_queue or deque()
        queue.append(waiter)
        try:
            await waiter.event.wait()
        except BaseException:
            if waiter in queue:
                queue.remove(waiter)
                self._hand_over()
            else:  # granted and cancelled in the same moment
                call.held.append(self)
                self.release(call)
            raise

    def _hand_over(self) -> None:
        """Let in whoever may come in now. Never past the first line into the second."""
        if self._upgrading is not None:
            return
        granted_reader = False
        queue = self._write_queue
        while queue:
            waiter = queue[0]
            if waiter.mode is READ:
                if self.exclusive:
                    return
                self.readers += 1
                granted_reader = True
            elif self.owner is not None or self.readers:
                break
            else:
                self.owner, self.exclusive = waiter.call, True
            queue.popleft()
            waiter.event.set()
        if not queue or granted_reader:
            self._grant_serial()

    def _grant_serial(self) -> None:
        if self._serial_queue and self.owner is None:
            waiter = self._serial_queue.popleft()
            self.owner = waiter.call
            waiter.event.set()
