"""A file server in memory that shows what VFS does with it: who asks when, next to whom, and under which locks.

    fs = FakeFs({"d": {"f": b"text"}, "link": "d/f"})
    vfs = await mounted(fs)                     the root; more with ``on=``
    with fs.hold("create") as gate: ...         requests of that name wait at the gate
        await gate.arrived()                    one is waiting
        gate.open()

`fs.requests` lists every request in order (`recorder.Request`). What VFS must never do is noted in `fs.violations`:
giving back references that it does not hold, naming an inode without holding one, asking a server that is gone, or
letting requests overlap that the specification keeps apart. `check(vfs, ...)` is for the end of a test.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from minixfs.daemon.call import LockChecker
from minixfs.daemon.objects import Vmnt
from minixfs.daemon.path import Place
from minixfs.daemon.runtime import TrioRuntime
from minixfs.daemon.vfs import Limits, Vfs
from minixfs.errors import (
    Busy,
    Exists,
    InvalidArgument,
    IsDirectory,
    NotDirectory,
    NotEmpty,
    NotFound,
    NotPermitted,
)
from minixfs.fs.protocol import DirEntry, DirTable, Mounted, Node, Stat, StatVfs, Time, TimeUpdate
from minixfs.fs.server import DiskServer
from minixfs.hw.blockdev.device import Buffer, Data
from tests.support.recorder import Recorder, recorded

Tree = dict[str, Any]
"""Names to contents: a dict is a directory, bytes a file, str a link; `(content, mode, uid, gid)` says more."""


@dataclass(eq=False)
class Inode:
    num: int
    mode: int
    uid: int = 0
    gid: int = 0
    nlinks: int = 1
    mountpoint: bool = False
    count: int = 0
    data: bytearray = field(default_factory=bytearray)
    names: dict[bytes, int] = field(default_factory=dict)
    times: dict[str, Time] = field(default_factory=dict)
    rdev: int | None = None


class FakeFs(Recorder, DiskServer):
    """See the module docstring. `create_rdev` is the device number that CREATE answers with."""

    kind = "fake"

    def __init__(self, tree: Tree | None = None, *, mode: int = 0o755) -> None:
        Recorder.__init__(self)
        DiskServer.__init__(self, TrioRuntime(), "continue")
        self.create_rdev: int | None = None
        self.root_inode = 1
        self.inodes: dict[int, Inode] = {}
        root = self._new(stat.S_IFDIR | mode)
        root.names |= {b".": root.num, b"..": root.num}
        self._fill(root, tree or {})

    def find_path(self, path: bytes) -> Inode:
        inode = self.inodes[1]
        for name in path.split(b"/"):
            inode = self.inodes[inode.names[name]] if name else inode
        return inode

    def references(self) -> dict[int, int]:
        return {inode.num: inode.count for inode in self.inodes.values() if inode.count}

    # ---- what the walk needs ---------------------------------------------------------------------------------------

    lookup = recorded(DiskServer.lookup)
    lookup_entry = recorded(DiskServer.lookup_entry)

    async def before_change(self) -> None: ...

    async def after_synchronous_change(self) -> None: ...

    async def load(self, number: int) -> Inode:
        inode = self.inodes[number]
        inode.count += 1
        return inode

    def opened(self, number: int) -> Inode:
        inode = self.inodes.get(number)
        if inode is None or not inode.count:
            raise InvalidArgument
        return inode

    async def put(self, inode: Inode) -> None:
        self._put(inode, 1)

    async def find(self, directory: Inode, name: bytes) -> int:
        if name not in directory.names:
            raise NotFound
        return directory.names[name]

    async def link_text(self, inode: Inode) -> bytes:
        return bytes(inode.data)

    def node(self, inode: Inode) -> Node:
        return Node(inode.num, inode.mode, len(inode.data), inode.uid, inode.gid, inode.rdev)

    # ---- requests --------------------------------------------------------------------------------------------------

    @recorded
    async def readsuper(self, *, read_only: bool, is_root: bool) -> Mounted:
        self.read_only, self.is_root, self.mounted = read_only, is_root, True
        return Mounted(self.node(await self.load(1)), read_only, [])

    @recorded
    async def unmount(self) -> None:
        if self.references() != {1: 1}:
            raise Busy
        self.mounted = False
        self._put(self.inodes[1], 1)

    def abandon(self) -> None:
        self.mounted = False
        self.inodes[1].count = 0

    @recorded
    async def sync(self) -> None: ...

    @recorded
    async def write_back(self) -> None: ...

    @recorded
    async def mountpoint(self, ino: int) -> None:
        if self.inodes[ino].mountpoint:
            raise Busy
        self.inodes[ino].mountpoint = True

    @recorded
    async def statvfs(self) -> StatVfs:
        return StatVfs(1024, 1024, 100, 50, 50, 100, 50, 60, 0, self.read_only)

    @recorded
    async def putnode(self, ino: int, count: int) -> None:
        inode = self.inodes[ino]
        if not 0 < count <= inode.count:
            self.violations.append(f"{count} references to inode {ino} given back, of {inode.count}")
            raise InvalidArgument
        self._put(inode, count)

    @recorded
    async def stat(self, ino: int) -> Stat:
        return self._status(self.opened(ino))

    def _status(self, inode: Inode) -> Stat:
        return Stat(
            inode.num,
            inode.mode,
            inode.nlinks,
            inode.uid,
            inode.gid,
            inode.rdev or 0,
            len(inode.data),
            1024,
            0,
            0,
            0,
            0,
        )

    @recorded
    async def lookup_stat(self, directory: int, name: bytes) -> tuple[Node, Stat]:
        inode = await self.load(await self.find(self.linked(directory), name))
        return self.node(inode), self._status(inode)

    @recorded
    async def chmod(self, ino: int, mode: int) -> int:
        inode = self.opened(ino)
        inode.mode = inode.mode & ~0o7777 | mode
        return inode.mode

    @recorded
    async def chown(self, ino: int, uid: int, gid: int) -> int:
        inode = self.opened(ino)
        inode.uid, inode.gid = uid, gid
        inode.mode &= ~0o6000
        return inode.mode

    @recorded
    async def utime(self, ino: int, atime: Time, mtime: Time, ctime: Time = TimeUpdate.NOW) -> None:
        for name, time in (("atime", atime), ("mtime", mtime), ("ctime", ctime)):
            if time is not TimeUpdate.OMIT:
                self.opened(ino).times[name] = time

    @recorded
    async def readlink(self, ino: int) -> bytes:
        return bytes(self.opened(ino).data)

    @recorded
    async def getdents(self, ino: int, position: int, count: int) -> list[DirEntry]:
        names = list(self.opened(ino).names.items())[position : position + count]
        return [DirEntry(number, position + index + 1, name) for index, (name, number) in enumerate(names)]

    async def getdents_table(self, ino: int, position: int, count: int) -> DirTable:
        return DirTable.of(await self.getdents(ino, position, count))

    @recorded
    async def getnodes(self, entries: Sequence[DirEntry]) -> list[tuple[Node, Stat] | None]:
        inodes = [await self.load(entry.ino) for entry in entries]
        return [(self.node(inode), self._status(inode)) for inode in inodes]

    @recorded
    async def create(self, directory: int, name: bytes, mode: int, uid: int, gid: int) -> Node:
        inode = self._enter(directory, name, mode, uid, gid)
        inode.count += 1
        node = self.node(inode)
        node.rdev = self.create_rdev
        return node

    @recorded
    async def mknod(self, directory: int, name: bytes, mode: int, uid: int, gid: int, rdev: int) -> None:
        self._enter(directory, name, mode, uid, gid).rdev = rdev

    @recorded
    async def mkdir(self, directory: int, name: bytes, mode: int, uid: int, gid: int) -> None:
        inode = self._enter(directory, name, mode, uid, gid)
        inode.nlinks = 2
        inode.names |= {b".": inode.num, b"..": directory}

    @recorded
    async def symlink(self, directory: int, name: bytes, target: bytes, uid: int, gid: int) -> None:
        self._enter(directory, name, stat.S_IFLNK | 0o777, uid, gid).data[:] = target

    @recorded
    async def link(self, ino: int, directory: int, name: bytes) -> None:
        names = self._directory(directory).names
        if name in names:
            raise Exists
        names[name] = ino
        self.inodes[ino].nlinks += 1

    @recorded
    async def unlink(self, directory: int, name: bytes) -> None:
        inode = self.inodes[await self.find(self._directory(directory), name)]
        if stat.S_ISDIR(inode.mode):
            raise NotPermitted
        self._drop(directory, name)

    @recorded
    async def rmdir(self, directory: int, name: bytes) -> None:
        inode = self.inodes[await self.find(self._directory(directory), name)]
        if not stat.S_ISDIR(inode.mode):
            raise NotDirectory
        if inode.mountpoint:
            raise Busy
        if len(inode.names) > 2:
            raise NotEmpty
        inode.nlinks = 1
        self._drop(directory, name)

    @recorded
    async def rename(self, old_directory: int, old_name: bytes, new_directory: int, new_name: bytes) -> None:
        number = await self.find(self._directory(old_directory), old_name)
        if new_name in self._directory(new_directory).names:
            self._drop(new_directory, new_name)
        del self.inodes[old_directory].names[old_name]
        self.inodes[new_directory].names[new_name] = number

    @recorded
    async def exchange(self, old_directory: int, old_name: bytes, new_directory: int, new_name: bytes) -> None:
        one, two = self.inodes[old_directory].names, self.inodes[new_directory].names
        one[old_name], two[new_name] = two[new_name], one[old_name]

    @recorded
    async def read(self, ino: int, position: int, size: int) -> Buffer:
        return self.opened(ino).data[position : position + size]

    @recorded
    async def write(self, ino: int, position: int, data: Data) -> int:
        inode = self.opened(ino)
        inode.mode &= ~0o6000 if inode.mode & 0o010 else ~0o4000
        content = inode.data
        content.extend(bytes(max(0, position - len(content))))
        content[position : position + len(data)] = data
        return len(data)

    @recorded
    async def accessed(self, ino: int) -> bool:
        return not self.opened(ino)

    @recorded
    async def truncate(self, ino: int, size: int) -> None:
        inode = self.opened(ino)
        if stat.S_ISDIR(inode.mode):
            raise IsDirectory
        inode.data[:] = inode.data[:size].ljust(size, b"\0")

    @recorded
    async def peek(self, ino: int, position: int, size: int) -> None: ...

    @recorded
    async def bpeek(self, position: int, size: int) -> None: ...

    @recorded
    async def inhibit_readahead(self, ino: int) -> None: ...

    # ---- inodes ----------------------------------------------------------------------------------------------------

    def _new(self, mode: int, uid: int = 0, gid: int = 0) -> Inode:
        inode = self.inodes[len(self.inodes) + 1] = Inode(len(self.inodes) + 1, mode, uid, gid)
        return inode

    def _fill(self, directory: Inode, tree: Tree) -> None:
        for name, what in tree.items():
            content, mode, uid, gid = what if isinstance(what, tuple) else (what, None, 0, 0)
            kind = {dict: stat.S_IFDIR | 0o755, str: stat.S_IFLNK | 0o777, bytes: stat.S_IFREG | 0o644}[type(content)]
            inode = self._new(kind if mode is None else stat.S_IFMT(kind) | mode, uid, gid)
            directory.names[name.encode()] = inode.num
            if isinstance(content, dict):
                inode.nlinks = 2
                inode.names |= {b".": inode.num, b"..": directory.num}
                self._fill(inode, content)
            else:
                inode.data[:] = content.encode() if isinstance(content, str) else content

    def _directory(self, number: int) -> Inode:
        inode = self.opened(number)
        if not stat.S_ISDIR(inode.mode):
            raise NotDirectory
        if not inode.nlinks:
            raise NotFound
        return inode

    def _enter(self, directory: int, name: bytes, mode: int, uid: int, gid: int) -> Inode:
        names = self._directory(directory).names
        if name in names:
            raise Exists
        inode = self._new(mode, uid, gid)
        names[name] = inode.num
        return inode

    def _drop(self, directory: int, name: bytes) -> None:
        self.inodes[self.inodes[directory].names.pop(name)].nlinks -= 1

    def _put(self, inode: Inode, count: int) -> None:
        inode.count -= count
        if not inode.count:
            inode.mountpoint = False


async def mounted(fs: FakeFs, *, limits: Limits | None = None) -> Vfs:
    """A VFS with `fs` as its root, which checks its locks."""
    vfs = Vfs(TrioRuntime(), limits, LockChecker())
    await mount(vfs, fs)
    return vfs


async def mount(vfs: Vfs, fs: FakeFs, on: Place | None = None, *, dev: int = 0, read_only: bool = False) -> Vmnt:
    fs.vfs = vfs
    vmnt, _ = await vfs.mount(fs, dev or id(fs), fs.kind, on=on, read_only=read_only)
    return vmnt


def check(vfs: Vfs, *servers: FakeFs) -> None:
    """Nothing is locked, waited for, in use (but the roots and their mount points) or owed; nobody saw a violation."""
    for fs in servers:
        assert not fs.violations
        assert fs.idle
    roots = {vmnt.root.key for vmnt in vfs.mounts.values()}
    points = {vmnt.mounted_on.key for vmnt in vfs.mounts.values() if vmnt.mounted_on is not None}
    vnodes: Sequence[Any] = [vnode for vmnt in vfs.mounts.values() for vnode in vfs.vnodes.on_mount(vmnt)]
    assert {vnode.key for vnode in vnodes} == roots | points
    assert len(vfs.vnodes) == len(vnodes)
    assert all(vnode.ref_count == (vnode.key in roots) + (vnode.key in points) for vnode in vnodes)
    for lock in [vfs.two_path, *(o.lock for o in vnodes), *(vmnt.lock for vmnt in vfs.mounts.values())]:
        assert not lock.is_locked
        assert not lock.has_waiters
    assert not vfs.vnodes.owes
    assert (vfs.workers.idle, vfs.workers.waiting) == (vfs.workers.total, 0)
    for vnode in vnodes:
        if isinstance(vnode.fs, FakeFs):
            assert vnode.fs.inodes[vnode.ino].count == vnode.fs_count
    for fs in servers:
        used = {vnode.ino for vnode in vnodes if vnode.fs is fs}
        assert set(fs.references()) == used
