"""From what a client names to locked vnodes (specification: vfs 3).

Clients name objects in two ways. A process gives a *path*: it is walked from its root or working directory, across
mounts and symbolic links (`ByPath`). The kernel behind FUSE has walked already and gives a *node*, or a node and
one name in it (`ByNode`, `ByName`). Calls do not care: they ask the place they are given for

    async with place.object(call, mount mode, vnode mode) as held: ...      the object itself
    async with place.parent(call, mount mode, vnode mode) as held: ...      the directory, and the name in it

and get a vnode that is referenced and locked until the block ends (without a vnode mode: referenced only).
`held.vmnt` is the mount, locked as asked.

During a walk every mount on the way is locked SERIAL, one at a time, and only at the end taken down to READ if that
was asked for: a walker that held READ and waited for a directory would block the upgrade of the one who has it.
"""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from minixfs.daemon.call import Call
from minixfs.daemon.objects import Vmnt, Vnode, dup
from minixfs.daemon.tll import Mode
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


@dataclass(slots=True)
class Held:
    """A locked object. `name` is the last component when a parent was asked for."""

    vnode: Vnode
    vmnt: Vmnt
    name: bytes = b""


class Place(Protocol):
    """Where a call works."""

    def object(self, call: Call, mount_mode: Mode, vnode_mode: Mode | None) -> AbstractAsyncContextManager[Held]: ...

    def parent(self, call: Call, mount_mode: Mode, vnode_mode: Mode | None) -> AbstractAsyncContextManager[Held]: ...


class _NodeHold(AbstractAsyncContextManager[Held]):
    """Holds a vnode that the client refers to anyway, and perhaps its mount, locked."""

    __slots__ = ("_call", "_held", "_mount_mode", "_taken", "_vnode_mode")

    def __init__(self, call: Call, held: Held, mount_mode: Mode | None, vnode_mode: Mode | None) -> None:
        self._call = call
        self._held = held
        self._mount_mode = mount_mode
        self._vnode_mode = vnode_mode
        self._taken = len(call.held)

    async def __aenter__(self) -> Held:
        held, call = self._held, self._call
        vnode = dup(held.vnode)
        try:
            if self._mount_mode is not None:
                await held.vmnt.lock.acquire(self._mount_mode, call)
            if self._vnode_mode is not None:
                await vnode.lock.acquire(self._vnode_mode, call)
        except BaseException:
            await self.__aexit__()
            raise
        return held

    async def __aexit__(self, *args: object) -> None:
        call = self._call
        while len(call.held) > self._taken:
            call.held[-1].release(call)
        await call.vfs.vnodes.put(self._held.vnode)


@dataclass(slots=True)
class ByNode:
    """An object that the client holds a reference to. Its mount cannot go away and needs no lock."""

    vnode: Vnode

    def object(self, call: Call, mount_mode: Mode, vnode_mode: Mode | None) -> AbstractAsyncContextManager[Held]:
        return _NodeHold(call, Held(self.vnode, self.vnode.vmnt), None, vnode_mode)

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
        held = Held(self.directory, self.directory.vmnt, self.name)
        return _NodeHold(call, held, mount_mode, vnode_mode)


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
                await walk.settle(mount_mode)
                if vnode_mode is not None:
                    await vnode.lock.acquire(vnode_mode, call)
                yield Held(vnode, vnode.vmnt, name)
            finally:
                while len(call.held) > taken:
                    call.held[-1].release(call)
                await call.vfs.vnodes.put(vnode)
        finally:
            while len(call.held) > taken:
                call.held[-1].release(call)


class _Walk:
    """One walk of one process. `_locked` is the mount that the walk itself has locked SERIAL, if any.

    A mount that the call owned before stays as it is: asking for it again is answered "busy".
    """

    __slots__ = ("_call", "_locked", "_process", "_vnodes")

    def __init__(self, call: Call, process: Process) -> None:
        self._call = call
        self._process = process
        self._vnodes = call.vfs.vnodes
        self._locked: Vmnt | None = None

    async def settle(self, mode: Mode) -> None:
        """Take the mount where the walk ended to the mode that the call wants."""
        if self._locked is not None:
            if mode is Mode.READ:
                self._locked.lock.downgrade(self._call)
            elif mode is Mode.WRITE:
                await self._locked.lock.upgrade(self._call)

    async def to_object(self, start: Vnode, path: bytes, follow: bool) -> Vnode:
        """Resolve a whole path, from file server to file server. The vnode is referenced, its mount locked."""
        if not path:
            raise NotFound
        if len(path) >= PATH_MAX:
            raise NameTooLong
        symlinks = 0
        vnode, rest = start, path
        while True:
            vmnt = vnode.vmnt
            await self._lock(vmnt)
            found = await vmnt.fs.lookup(vnode.ino, self._root_in(vmnt), rest, self._call.credentials, follow=follow)
            if isinstance(found, Node):
                return await self._vnodes.adopt(vmnt, found)
            symlinks += found.symlinks
            if symlinks > SYMLOOP_MAX:
                raise TooManySymlinks
            rest = found.rest
            if isinstance(found, EnterMount):
                below = self._call.vfs.mounted_on(vmnt, found.ino)
                if below is None:
                    raise DeviceError(message="a mount point without a mount")
                vnode, rest = below.root, rest or b"."
            elif isinstance(found, LeaveMount):
                if vmnt.mounted_on is None or rest.partition(b"/")[0] != b"..":
                    raise NotFound
                vnode = vmnt.mounted_on
            elif isinstance(found, AbsoluteSymlink):
                vnode = self._process.root

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
                    final = await self._peek_entry(vnode, name)
                    if isinstance(final, Vmnt):
                        await self._lock(final)
                        covered, vnode = vnode, dup(final.root)
                        await self._vnodes.put(covered)
                        return vnode, b"."
                    if not isinstance(final, bytes) or not follow:
                        return vnode, name
                except BaseException:
                    await self._vnodes.put(vnode)
                    raise
                if link_base is not None:
                    await self._vnodes.put(link_base)
                link_base, path = vnode, final
                start = self._process.root if final.startswith(b"/") else vnode
            raise TooManySymlinks
        finally:
            if link_base is not None:
                await self._vnodes.put(link_base)

    async def _lock(self, vmnt: Vmnt) -> None:
        """Move the walk's lock to another mount: the old one is let go first."""
        if self._locked is vmnt:
            return
        if self._locked is not None:
            self._locked.lock.release(self._call)
            self._locked = None
        if await vmnt.lock.acquire(Mode.SERIAL, self._call):
            self._locked = vmnt

    def _root_in(self, vmnt: Vmnt) -> int:
        """The inode that ``..`` must not leave on this mount, 0 for none."""
        root = self._process.root
        return root.ino if root.vmnt is vmnt else 0

    async def _peek_entry(self, directory: Vnode, name: bytes) -> bytes | Vmnt | None:
        """What the final component is: the text of a symbolic link, a mount that covers it, or neither."""
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
            return await vmnt.fs.readlink(found.ino) if stat.S_ISLNK(found.mode) else None
        finally:
            await vmnt.fs.putnode(found.ino, 1)


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
