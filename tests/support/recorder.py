"""What a fake file server notes of the requests it gets, and how a test holds them up.

`Recorder` is the part of `fakefs.FakeFs` that is not a file system: the list of requests with the locks at their
beginning, the gates, and the rules of the specification (vfs 2.6) that every request is held against.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import trio

from minixfs.daemon.objects import Vmnt
from minixfs.daemon.tll import Mode, ThreeLevelLock
from minixfs.daemon.vfs import Vfs
from minixfs.errors import MinixFsError

CHANGES_DIRECTORY = frozenset(["create", "mkdir", "mknod", "symlink", "link", "unlink", "rmdir", "rename", "exchange"])
CHANGES_INODE = frozenset(["write", "truncate", "chmod", "chown"])
SHARES_INODE = frozenset(["read", "getdents", "stat", "utime", "readlink"])
FREE = frozenset({
    "putnode", "lookup", "sync", "write_back", "statvfs", "readsuper", "unmount", "inhibit_readahead", "peek", "bpeek",
    "accessed",
})  # fmt: skip
OF_NO_INODE = frozenset(["bpeek", "getnodes"])


def mode_of(lock: ThreeLevelLock) -> Mode | None:
    """How a lock is held; SERIAL also when there are readers beside the owner."""
    if lock.owner is not None:
        return Mode.WRITE if lock.exclusive else Mode.SERIAL
    return Mode.READ if lock.readers else None


@dataclass(eq=False)
class Request:
    """One request: what was asked, and when it began: how the mount and its vnodes were locked, and who was inside."""

    name: str
    args: tuple[Any, ...]
    mount: Mode | None
    locked: dict[int, Mode]
    beside: list[Request]

    @property
    def inodes(self) -> tuple[int, ...]:
        return (self.args[0], self.args[2]) if self.name in ("rename", "exchange") else self.args[:1]

    @property
    def directories(self) -> tuple[int, ...]:
        """Those in which the request changes a name."""
        return self.args[1:2] if self.name == "link" else self.inodes if self.name in CHANGES_DIRECTORY else ()


class Gate:
    """Where held requests wait. `open` lets all pass from then on, `step` one."""

    def __init__(self) -> None:
        self._waiting: list[trio.Event] = []
        self._changed = trio.Event()
        self._open = False

    async def arrived(self, count: int = 1) -> None:
        while len(self._waiting) < count:
            await self._changed.wait()

    def step(self) -> None:
        self._waiting.pop(0).set()

    def open(self) -> None:
        self._open = True
        while self._waiting:
            self.step()

    async def enter(self) -> None:
        if self._open:
            return
        event = trio.Event()
        self._waiting.append(event)
        self._changed.set()
        self._changed = trio.Event()
        try:
            await event.wait()
        finally:
            if event in self._waiting:
                self._waiting.remove(event)


def recorded(method: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def request(self: Recorder, *args: Any, **kwargs: Any) -> Any:
        entry = self._begin(method.__name__, args)
        try:
            if method.__name__ == "putnode":  # the one request that must have its effect even when it is cancelled
                await method(self, *args, **kwargs)
            if self.pause is not None:
                await self.pause(entry)
            gate = self._gates.get(method.__name__)
            if gate is not None:
                await gate.enter()
            if method.__name__ in self.failures:
                raise self.failures[method.__name__]
            if method.__name__ != "putnode":
                return await method(self, *args, **kwargs)
        finally:
            self._inside.remove(entry)

    return request


class Recorder:
    """`pause` is awaited by every request. `failures`: errors to raise, by request. `mounted`: requests may come."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.violations: list[str] = []
        self.failures: dict[str, MinixFsError] = {}
        self.pause: Callable[[Request], Awaitable[object]] | None = None
        self.mounted = False
        self.vfs: Vfs | None = None
        self._inside: list[Request] = []
        self._gates: dict[str, Gate] = {}

    def references(self) -> dict[int, int]:
        """How often VFS refers to each inode, as the server counts it."""
        raise NotImplementedError

    @contextmanager
    def hold(self, name: str) -> Iterator[Gate]:
        """Make requests of a name wait."""
        gate = self._gates[name] = Gate()
        try:
            yield gate
        finally:
            del self._gates[name]
            gate.open()

    def asked(self, *names: str) -> list[Request]:
        return [request for request in self.requests if request.name in names]

    def overlapped(self, one: str, other: str) -> bool:
        """Whether two such requests were ever inside together."""
        return any({a.name, b.name} == {one, other} for a in self.requests for b in a.beside)

    @property
    def idle(self) -> bool:
        return not self._inside

    # ---- recording -------------------------------------------------------------------------------------------------

    @property
    def vmnt(self) -> Vmnt | None:
        mounts = self.vfs.mounts.values() if self.vfs else ()
        return next((vmnt for vmnt in mounts if vmnt.fs is self), None)

    def _begin(self, name: str, args: tuple[Any, ...]) -> Request:
        vmnt = self.vmnt
        locked: dict[int, Mode] = {}
        if vmnt is not None and self.vfs is not None:
            modes = [(vnode.ino, mode_of(vnode.lock)) for vnode in self.vfs.vnodes.on_mount(vmnt)]
            locked = {ino: mode for ino, mode in modes if mode is not None}
        entry = Request(name, args, mode_of(vmnt.lock) if vmnt else None, locked, list(self._inside))
        if not self.mounted and name != "readsuper":
            self.violations.append(f"{name} was sent to a server that is not mounted")
        for ino in entry.inodes if name not in OF_NO_INODE else ():
            if not self.references().get(ino):
                self.violations.append(f"{name} on inode {ino}, to which VFS holds no reference")
        self._check_locks(entry)
        for other in self._inside:
            self._check_overlap(entry, other)
        self.requests.append(entry)
        self._inside.append(entry)
        return entry

    def _check_locks(self, entry: Request) -> None:
        """The guarantees of vfs 2.6 for one request."""
        wanted = dict.fromkeys(entry.directories, Mode.WRITE)
        if entry.name in CHANGES_INODE:
            wanted[entry.args[0]] = Mode.WRITE
        elif entry.name in SHARES_INODE:
            wanted[entry.args[0]] = Mode.READ
        for ino, mode in wanted.items():
            held = entry.locked.get(ino)
            internal = entry.name == "readlink" and entry.mount is not None  # of a walk: the mount is locked
            if not internal and (held is None or held < mode):
                self.violations.append(f"{entry.name} with inode {ino} locked {held}, not {mode}")
        exclusive = entry.name in ("create", "unlink", "rmdir", "rename", "exchange", "unmount")
        if exclusive and entry.mount is not Mode.WRITE:
            self.violations.append(f"{entry.name} with the mount locked {entry.mount}")

    def _check_overlap(self, entry: Request, other: Request) -> None:
        for one, two in ((entry, other), (other, entry)):
            mine = {*one.directories, *(one.args[:1] if one.name in CHANGES_INODE else ())}
            if two.name not in FREE and mine & {*two.inodes, *two.directories}:
                self.violations.append(f"{one.name} and {two.name} overlap on {mine}")
