"""From what a client names to locked vnodes (specification: vfs 3).

Clients name objects in two ways. A process gives a *path*: it is walked from its root or working directory, across
mounts and symbolic links (`ByPath`). The kernel behind FUSE has walked already and gives a *node*, or a node and
one name in it (`ByNode`, `ByName`). Calls do not care: they ask the place they are given for

    async with place.object(call, mount mode, vnode mode) as held: ...      the object itself
    async with place.parent(call, mount mode, vnode mode) as held: ...      the directory, and the name in it

and get a vnode that is referenced and locked until the block ends (without a vnode mode: referenced only).
`held.vmnt` is the mount, locked as asked.

Every mount on the way is locked SERIAL, one at a time, and taken down to READ, if that was asked for, only when the
vnode is locked as well: whoever held READ and waited for a directory would block the upgrade of the one who has it.
"""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from minixfs.daemon.call import Call
from minixfs.daemon.objects import Vmnt, Vnode, dup
from minixfs.daemon.tll import READ, SERIAL, WRITE, Mode
from minixfs.errors import (
    AccessDenied,
    DeviceError,
    NameTooLong,
    NotDirectory,
    NotFound,
    TooManySymlinks,
)
from minixfs.fs.protocol import AbsoluteSymlink, EnterMount, LeaveMount, Node
from minixfs.fs.server import PATH_MAX, SYMLOOP_MAX

if TYPE_CHECKING:
    from minixfs.daemon.process import Process

NAME_MAX = 255


class Held:
    """A locked object. `name` is the last component when a parent was asked for."""

    __slots__ = ("name", "vmnt", "vnode")

    def __init__(self, vnode: Vnode, name: bytes = b"") -> None:
        self.vnode = vnode
        self.vmnt = vnode.vmnt
        self.name = name


class Place(Protocol):
    """Where a call works."""

    def object(self, call: Call, mount_mode: Mode, vnode_mode: Mode | None) -> AbstractAsyncContextManager[Held]: ...

    def parent(self, call: Call, mount_mode: Mode, vnode_mode: Mode | None) -> AbstractAsyncContextManager[Held]: ...


class _NodeHold(Held, AbstractAsyncContextManager[Held]):
    """Holds a vnode that the client refers to anyway, and perhaps its mount, locked."""

    __slots__ = ("_call", "_mount_mode", "_taken", "_vnode_mode")

    def __init__(self, call: Call, vnode: Vnode, name: bytes, mount_mode: Mode | None, vnode_mode: Mode | None) -> None:
        self.vnode = vnode  # not through `Held.__init__`: every call of the kernel makes one of these
        self.vmnt = vnode.vmnt
        self.name = name
        self._call = call
        self._mount_mode = mount_mode
        self._vnode_mode = vnode_mode
        self._taken = len(call.held)

    async def __aenter__(self) -> Held:
        call, vnode = self._call, self.vnode
        mount_mode, vnode_mode = self._mount_mode, self._vnode_mode
        vnode.ref_count += 1
        try:
            if mount_mode is not None:
                lock = self.vmnt.lock
                owned = lock.try_acquire(SERIAL, call) or await lock.acquire(SERIAL, call)
                if mount_mode is not SERIAL:
                    await _settle(call, self.vmnt if owned else None, mount_mode, vnode, vnode_mode)
                    return self
            if vnode_mode is not None and not vnode.lock.try_acquire(vnode_mode, call):
                await vnode.lock.acquire(vnode_mode, call)
        except BaseException:
            self._let_go()
            raise
        return self

    async def __aexit__(self, *args: object) -> None:
        self._let_go()

    def _let_go(self) -> None:
        held = self._call.held
        while len(held) > self._taken:
            held[-1].release(self._call)
        self._call.vfs.vnodes.release(self.vnode)


@dataclass(slots=True)
class ByNode:
    """An object that the client holds a reference to. Its mount cannot go away and needs no lock."""

    vnode: Vnode

    def object(self, call: Call, mount_mode: Mode, vnode_mode: Mode | None) -> AbstractAsyncContextManager[Held]:
        return _NodeHold(call, self.vnode, b"", None, vnode_mode)

    def parent(self, call: Call, mount_mode: Mode, vnode_mode: Mode | None) -> AbstractAsyncContextManager[Held]:
        raise TypeError("a node has no name")


@dataclass(slots=True)
class ByName:
    """One name in a directory that the client holds a reference to; links and mounts are not followed."""

    directory: Vnode
    name: bytes

    def object(self, call: Call, mount_mode: Mode, vnode_mode: Mode | None) -> AbstractAsyncContextManager[Held]:
        raise TypeError("a kernel looks names up before it uses them")

    def parent(self, call: Call, mount_mode: Mode, vnode_mode: Mode | None) -> AbstractAsyncContextManager[Held]:
        return _NodeHold(call, self.directory, self.name, mount_mode, vnode_mode)


@dataclass(slots=True)
class ByPath:
    """A path in the name space of a process. `follow`: a symbolic link at its end stands for its target."""

    process: Process
    path: bytes
    follow: bool = True

    def object(self, call: Call, mount_mode: Mode, vnode_mode: Mode | None) -> AbstractAsyncContextManager[Held]:
        return self._held(call, mount_mode, vnode_mode, parent=False)

    def parent(self, call: Call, mount_mode: Mode, vnode_mode: Mode | None) -> AbstractAsyncContextManager[Held]:
        return self._held(call, mount_mode, vnode_mode, parent=True)

    @asynccontextmanager
    async def _held(
        self, call: Call, mount_mode: Mode, vnode_mode: Mode | None, *, parent: bool
    ) -> AsyncIterator[Held]:
        taken = len(call.held)
        start = self.process.root if self.path.startswith(b"/") else self.process.cwd
        walk = _Walk(call, self.process)
        name = b""
        try:
            if parent:
                vnode, name = await walk.to_parent(start, self.path, self.follow)
            else:
                vnode = await walk.to_object(start, self.path, self.follow)
            try:
                await _settle(call, walk.locked, mount_mode, vnode, vnode_mode)
                yield Held(vnode, name)
            finally:
                call.vfs.vnodes.release(vnode)
        finally:
            while len(call.held) > taken:
                call.held[-1].release(call)


async def _settle(call: Call, owned: Vmnt | None, mount_mode: Mode, vnode: Vnode, vnode_mode: Mode | None) -> None:
    """Lock the vnode, and bring the mount, if we own it SERIAL, to what the call wants: up before, down after that."""
    if owned is not None and mount_mode is WRITE:
        await owned.lock.upgrade(call)
    if vnode_mode is not None and not vnode.lock.try_acquire(vnode_mode, call):
        await vnode.lock.acquire(vnode_mode, call)
    if owned is not None and mount_mode is READ:
        owned.lock.downgrade(call)


class _Walk:
    """One walk of one process. `locked` is the mount that the walk itself has locked SERIAL, if any.

    A mount that the call owned before stays as it is: asking for it again is answered "busy".

    Waiting for the lock of a mount is where the ground moves: it may be unmounted when the wait ends. So a vnode that
    the walk goes on from either is referenced, or belongs to a mount of which this was tested after locking it.
    """

    __slots__ = ("_call", "_process", "_vnodes", "locked")

    def __init__(self, call: Call, process: Process) -> None:
        self._call = call
        self._process = process
        self._vnodes = call.vfs.vnodes
        self.locked: Vmnt | None = None

    async def to_object(self, start: Vnode, path: bytes, follow: bool) -> Vnode:
        """Resolve a whole path, from file server to file server. The vnode is referenced, its mount locked."""
        if not path:
            raise NotFound
        if len(path) >= PATH_MAX:
            raise NameTooLong
        vfs, credentials = self._call.vfs, self._call.credentials
        symlinks = 0
        vnode, rest = start, path
        left: Vnode | None = None  # referenced: the mount point of the mount that the walk came up from
        try:
            while True:
                vmnt = vnode.vmnt
                await self._lock(vmnt)
                found = await vmnt.fs.lookup(vnode.ino, self._root_in(vmnt), rest, credentials, follow=follow)
                if isinstance(found, Node):
                    return self._vnodes.adopt(vmnt, found)
                symlinks += found.symlinks
                if symlinks > SYMLOOP_MAX:
                    raise TooManySymlinks
                rest = found.rest
                if isinstance(found, EnterMount):
                    below = vfs.mounted_on(vmnt, found.ino)
                    if below is None:
                        raise DeviceError(message="a mount point without a mount")
                    await self._lock(below)
                    if vfs.is_mounted(below):
                        vnode, rest = below.root, rest or b"."
                    else:
                        vnode, rest, symlinks = start, path, 0
                elif isinstance(found, LeaveMount):
                    if vmnt.mounted_on is None or rest.partition(b"/")[0] != b"..":
                        raise NotFound
                    vnode = dup(vmnt.mounted_on)
                    if left is not None:
                        self._vnodes.release(left)
                    left = vnode
                elif isinstance(found, AbsoluteSymlink):
                    vnode = self._process.root
        finally:
            if left is not None:
                self._vnodes.release(left)

    async def to_parent(self, start: Vnode, path: bytes, follow: bool) -> tuple[Vnode, bytes]:
        """The directory that holds the final component, referenced, its mount locked; and that component.

        The object, if it exists, is then on the same mount: where it is a mount point, the answer is the root of what
        is mounted there and ``.``. A symbolic link at the end is followed if `follow` says so, even if it dangles.
        """
        link_base: Vnode | None = None  # referenced: the directory that a relative link starts from
        try:
            for _ in range(SYMLOOP_MAX + 1):
                directory, name = _cut(path)
                vnode = await self.to_object(start, directory, True)
                try:
                    if not vnode.is_directory:
                        raise NotDirectory
                    final = await self._peek_entry(vnode, name, follow)
                    if isinstance(final, Vmnt):
                        await self._lock(final)
                    elif final is None:
                        return dup(vnode), name
                    elif final.startswith(b"/"):
                        start, path = self._process.root, final
                    else:
                        start, path = dup(vnode), final
                        if link_base is not None:
                            self._vnodes.release(link_base)
                        link_base = vnode
                finally:
                    self._vnodes.release(vnode)
                if isinstance(final, Vmnt) and self._call.vfs.is_mounted(final):
                    return dup(final.root), b"."
            raise TooManySymlinks
        finally:
            if link_base is not None:
                self._vnodes.release(link_base)

    async def _lock(self, vmnt: Vmnt) -> None:
        """Move the walk's lock to another mount: the old one is let go first."""
        if self.locked is vmnt:
            return
        if self.locked is not None:
            self.locked.lock.release(self._call)
            self.locked = None
        if await vmnt.lock.acquire(SERIAL, self._call):
            self.locked = vmnt

    def _root_in(self, vmnt: Vmnt) -> int:
        """The inode that ``..`` must not leave on this mount, 0 for none."""
        root = self._process.root
        return root.ino if root.vmnt is vmnt else 0

    async def _peek_entry(self, directory: Vnode, name: bytes, follow: bool) -> bytes | Vmnt | None:
        """What the final component is: a mount that covers it, the text of a symbolic link to follow, or neither."""
        vmnt = directory.vmnt
        try:
            found = await vmnt.fs.lookup(directory.ino, self._root_in(vmnt), name, self._call.credentials, follow=False)
        except (NotFound, NotDirectory, AccessDenied, NameTooLong):
            return None  # the call itself will meet the same and say so
        if isinstance(found, EnterMount):
            return self._call.vfs.mounted_on(vmnt, found.ino)
        if not isinstance(found, Node):
            return None
        try:
            return await vmnt.fs.readlink(found.ino) if follow and stat.S_ISLNK(found.mode) else None
        finally:
            self._vnodes.owe(vmnt.fs, found.ino)


def _cut(path: bytes) -> tuple[bytes, bytes]:
    """A path as directory and final component, trailing slashes ignored."""
    if not path:
        raise NotFound
    if len(path) >= PATH_MAX:
        raise NameTooLong
    stripped = path.rstrip(b"/")
    if not stripped:
        return b"/", b"."
    directory, slash, name = stripped.rpartition(b"/")
    if len(name) > NAME_MAX:
        raise NameTooLong
    return (directory or b"/") if slash else b".", name
