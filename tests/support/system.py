"""A small system: two MFS volumes on RAM disks, mounted as / and /home, and processes that work in it.

    system = System(driver)
    p = system.process(uid=7)       every call is a plain call: p.open(b"/home/x", os.O_RDONLY)
    system.finish()                 processes end; nothing is in use, locked or owed; unmounted; checkers find nothing

`driver` says how a call is driven to its end: `inline` (`Synchronous`, no event loop) or `under_trio`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import trio

from minixfs.daemon.call import LockChecker
from minixfs.daemon.path import ByPath
from minixfs.daemon.process import Process, Synchronous
from minixfs.daemon.runtime import TrioRuntime
from minixfs.daemon.vfs import Limits, Vfs
from minixfs.errors import MinixFsError
from minixfs.fs.mfs.server import MfsServer
from minixfs.fs.protocol import Credentials
from minixfs.hw.runtime import INLINE, run
from minixfs.vm.pagecache import PageCache
from minixfs.vm.pool import PagePool
from tests.support.volumes import KINDS, fresh, verify


def inline(process: Process) -> Any:
    return Synchronous(process)


class under_trio:  # noqa: N801 - the other way to drive a process
    def __init__(self, process: Process) -> None:
        self._process = process

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._process, name)
        if name in ("fork", "umask") or not callable(method):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await method(*args, **kwargs)

        return lambda *args, **kwargs: trio.run(lambda: call(*args, **kwargs))


DRIVERS: list[Callable[[Process], Any]] = [inline, under_trio]


def failure(call: Callable[..., object], *args: Any, **kwargs: Any) -> str:
    """The name of the errno that a call fails with; "" when it succeeds."""
    try:
        call(*args, **kwargs)
    except MinixFsError as error:
        return errno.errorcode[error.errno]
    return ""


class System:
    """`vfs`, `disks` and `servers` by mount point, `root` (a process of the super-user)."""

    def __init__(
        self, driver: Callable[[Process], Any] = inline, *, kind: str = "V3-1K", limits: Limits | None = None
    ) -> None:
        self.driver = driver
        self.kind = KINDS[kind]
        self.vfs = Vfs(TrioRuntime() if driver is under_trio else INLINE, limits, LockChecker())
        self.pages = PageCache(PagePool(2048))
        self.disks = {path: fresh(self.kind) for path in (b"/", b"/home")}
        self.servers: dict[bytes, MfsServer] = {}
        self.processes: list[Process] = []
        self.mount(b"/")
        self.root = self.process(umask=0)
        self.root.mkdir(b"/home", 0o755)
        self.mount(b"/home")

    def mount(self, path: bytes, *, read_only: bool = False) -> None:
        dev = 0x301 + list(self.disks).index(path)
        server = self.servers[path] = MfsServer(self.disks[path], dev, self.pages)
        on = None if path == b"/" else ByPath(self.processes[0], path)
        run(self.vfs.mount(server, dev, path.decode(), on=on, path=path, read_only=read_only))

    def unmount(self, path: bytes) -> None:
        run(self.vfs.unmount(next(m for m in self.vfs.mounts.values() if m.fs is self.servers[path])))

    def process(self, uid: int = 0, gid: int = 0, groups: tuple[int, ...] = (), umask: int = 0o022) -> Any:
        return self.adopt(Process(self.vfs, Credentials(uid, gid, frozenset(groups)), umask))

    def adopt(self, process: Process) -> Any:
        """Drive a process, and end it with the system."""
        self.processes.append(process)
        return self.driver(process)

    def fork(self, parent: Any) -> Any:
        return self.adopt(parent.fork())

    def finish(self) -> None:
        for process in self.processes:
            run(process.exit())
        vfs = self.vfs
        roots = {vmnt.root.key for vmnt in vfs.mounts.values()}
        points = {vmnt.mounted_on.key for vmnt in vfs.mounts.values() if vmnt.mounted_on is not None}
        vnodes = [vnode for vmnt in vfs.mounts.values() for vnode in vfs.vnodes.on_mount(vmnt)]
        assert {vnode.key for vnode in vnodes} == roots | points
        assert all(vnode.ref_count == 1 for vnode in vnodes)
        assert not any(o.lock.is_locked or o.lock.has_waiters for o in [*vnodes, *vfs.mounts.values()])
        assert not vfs.two_path.is_locked
        assert vfs.workers.idle == vfs.workers.total
        run(vfs.unmount_all())
        assert len(vfs.vnodes) == 0
        assert not vfs.vnodes.owes
        for disk in self.disks.values():
            verify(disk, peer=self.kind.for_fsck_minix)
        self.pages.pool.close()
