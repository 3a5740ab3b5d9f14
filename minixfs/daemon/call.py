"""One request on its way through VFS, the pool of workers that carry requests, and the checker of the lock order.

    async with vfs.call(credentials) as call: ...

A worker is a slot, not a thread: the request's own task does the work, and a free slot costs no suspension. When
all are taken, requests queue first come first served.
"""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING

from minixfs.daemon.tll import ThreeLevelLock
from minixfs.fs.protocol import SUPER_USER, Credentials
from minixfs.hw.runtime import Event, Runtime

if TYPE_CHECKING:
    from minixfs.daemon.vfs import Vfs

NORMAL_WORKERS = 8


class Workers:
    """`idle` of `total` slots are free; `_queue` holds the requests that wait for one."""

    def __init__(self, total: int, runtime: Runtime) -> None:
        self.total = self.idle = total
        self._runtime = runtime
        self._queue: deque[Event] = deque()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def try_enter(self) -> bool:
        """Take a slot if one is free."""
        if not self.idle:
            return False
        self.idle -= 1
        return True

    async def enter(self) -> None:
        if self.try_enter():
            return
        event = self._runtime.event()
        self._queue.append(event)
        try:
            await event.wait()
        except BaseException:
            if event in self._queue:
                self._queue.remove(event)
            else:  # the slot was handed over in the moment of the cancellation
                self.leave()
            raise

    def leave(self) -> None:
        if self._queue:
            self._queue.popleft().set()
        else:
            self.idle += 1


class Call:
    """A request: the locks that it holds, in order of acquisition, and who asks.

    Rights are judged by `credentials`; new objects belong to `owner`, which differs only when the kernel has judged
    the rights already.
    """

    __slots__ = ("checker", "credentials", "held", "owner", "umask", "vfs")

    def __init__(
        self, vfs: Vfs, credentials: Credentials = SUPER_USER, umask: int = 0, owner: Credentials | None = None
    ) -> None:
        self.vfs = vfs
        self.credentials = credentials
        self.umask = umask
        self.owner = owner or credentials
        self.held: list[ThreeLevelLock] = []
        self.checker = vfs.lock_checker

    async def __aenter__(self) -> Call:
        if not self.vfs.workers.try_enter():
            await self.vfs.workers.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.vfs.vnodes.overdrawn:
                await self.vfs.vnodes.settle()
        finally:
            self.vfs.workers.leave()
        if self.checker is not None:
            self.checker.at_end(self)


class LockChecker:
    """Proves the lock order of the package docstring on every acquisition, and that no call ends with a lock."""

    def before_acquire(self, lock: ThreeLevelLock, call: Call) -> None:
        for held in call.held:
            if held is lock:
                raise AssertionError(f"a call waits for itself: {lock.rank.name} is held as reader")
            if held.rank > lock.rank:
                raise AssertionError(f"lock order: {lock.rank.name} requested while holding {held.rank.name}")
            if held.rank == lock.rank and not any(other.rank < lock.rank for other in call.held):
                raise AssertionError(f"two locks of rank {lock.rank.name} without a common one")

    def at_end(self, call: Call) -> None:
        if call.held:
            raise AssertionError(f"a call ended holding {[lock.rank.name for lock in call.held]}")
