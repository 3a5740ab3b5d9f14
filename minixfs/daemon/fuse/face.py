"""The handlers: one for each request of the kernel, which turns it into a call of VFS and the result into a reply.

The kernel checks permissions (``default_permissions``), unless nobody gets in but who may do everything. It keeps
caches of names, attributes and data that are valid for a long time, since nobody but us changes the volume. What it
cannot know it is told: that set-id bits went with a write. With its write-back cache it owns size and modification
time of open files.

All data are moved by node. So there is nothing to keep of an open file, and an open is told to us only for the sake of
the access time: what is cached is read without our knowing. Directories are opened without a message.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import trio

from minixfs.daemon.call import Call
from minixfs.daemon.calls import link as names
from minixfs.daemon.calls import open as opening
from minixfs.daemon.calls import protect, readwrite, xattr
from minixfs.daemon.calls import stat as attributes
from minixfs.daemon.fuse import listing
from minixfs.daemon.fuse.known import KnownNodes
from minixfs.daemon.fuse.session import Handler
from minixfs.daemon.fuse.view import NS, View
from minixfs.daemon.fuse.wire import (
    ACCESS_IN,
    BATCH_FORGET_IN,
    CREATE_IN,
    FOPEN_KEEP_CACHE,
    FORGET_IN,
    FORGET_ONE,
    GETXATTR_IN,
    GETXATTR_OUT,
    LINK_IN,
    MKDIR_IN,
    MKNOD_IN,
    OPEN_IN,
    OPEN_KILL_SUIDGID,
    OPEN_OUT,
    READ_IN,
    RENAME2_IN,
    RENAME_IN,
    SETATTR_IN,
    SETXATTR_IN,
    STATFS_OUT,
    WRITE_IN,
    WRITE_KILL_SUIDGID,
    WRITE_OUT,
    Feature,
    Opcode,
    Request,
    Valid,
)
from minixfs.daemon.objects import Vnode, dup
from minixfs.daemon.path import ByName, ByNode
from minixfs.daemon.vfs import Vfs
from minixfs.errors import AccessDenied, Exists, FileTooBig, InvalidArgument, NoSpace, NotFound, PosixError
from minixfs.fs.protocol import SUPER_USER, Credentials, Time, TimeUpdate
from minixfs.hw.blockdev.device import Buffer, Data

FORGET_PATIENCE = 1.0
"""Seconds that the kernel is given to forget what was removed, before a volume counts as full."""
SYNCED_FILES = 256
"""Of so many files it is remembered how large they were when they were last synced."""
SET_ID = stat.S_ISUID | stat.S_ISGID
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
FEATURES = (
    Feature.ASYNC_READ
    | Feature.BIG_WRITES
    | Feature.DONT_MASK
    | Feature.DO_READDIRPLUS
    | Feature.READDIRPLUS_AUTO
    | Feature.ASYNC_DIO
    | Feature.PARALLEL_DIROPS
    | Feature.MAX_PAGES
    | Feature.CACHE_SYMLINKS
    | Feature.NO_OPENDIR_SUPPORT
    | Feature.HANDLE_KILLPRIV_V2
)
"""What is used of any kernel that has it; further ones by how the volume is shown."""
TIMES = Valid.ATIME | Valid.MTIME | Valid.CTIME
CONTENT_OR_RIGHTS = Valid.SIZE | Valid.MODE | Valid.UID | Valid.GID
_OPENED = OPEN_OUT.pack(0, FOPEN_KEEP_CACHE, 0)


def _patient(
    handler: Callable[[FuseFace, Request], Awaitable[bytes]],
) -> Callable[[FuseFace, Request], Coroutine[Any, Any, bytes]]:
    """A request that finds the volume full is tried again when something was removed: that is free only once the kernel
    has forgotten it."""

    @functools.wraps(handler)
    async def try_again(self: FuseFace, request: Request) -> bytes:
        deadline: float | None = None
        while True:
            try:
                return await handler(self, request)
            except NoSpace:
                deadline = deadline or trio.current_time() + FORGET_PATIENCE
                if not await self._known.forgotten_before(deadline):
                    raise

    return try_again


class FuseFace:
    """`vfs` shown to the kernel as `view` says. `attributes_changed` has the kernel ask for those of a node again."""

    def __init__(
        self, vfs: Vfs, view: View, held_nodes: int = 0, attributes_changed: Callable[[int], None] = lambda _: None
    ) -> None:
        """`held_nodes`: how many of the nodes that the kernel knows may stay in memory (0: all)."""
        servers = [vmnt.fs for vmnt in vfs.mounts.values()]
        self._vfs = vfs
        self._view = view
        self._known = KnownNodes(vfs, view, held_nodes)
        self._held = self._known.held
        self._absent = view.absence()
        self._has_xattrs = view.xattrs and any(fs.has_xattrs for fs in servers)
        self._stamps_access = any(fs.stamps_access for fs in servers)
        self._features = 0
        self._allocated: dict[int, int] = {}  # blocks of files when they were last synced, of some
        self._attributes_changed = attributes_changed
        self.granularity = min(fs.granularity for fs in servers)
        self.handlers: dict[int, Handler] = {
            Opcode.LOOKUP: self._lookup,
            Opcode.FORGET: self._forget,
            Opcode.BATCH_FORGET: self._batch_forget,
            Opcode.GETATTR: self._getattr,
            Opcode.SETATTR: self._setattr,
            Opcode.ACCESS: self._access,
            Opcode.READLINK: self._readlink,
            Opcode.STATFS: self._statfs,
            Opcode.MKNOD: self._mknod,
            Opcode.MKDIR: self._mkdir,
            Opcode.SYMLINK: self._symlink,
            Opcode.LINK: self._link,
            Opcode.UNLINK: self._unlink,
            Opcode.RMDIR: self._rmdir,
            Opcode.RENAME: self._rename,
            Opcode.RENAME2: self._rename2,
            Opcode.CREATE: self._create,
            Opcode.OPEN: self._open,
            Opcode.RELEASE: self._release,
            Opcode.READ: self._read,
            Opcode.WRITE: self._write,
            Opcode.FSYNC: self._fsync,
            Opcode.OPENDIR: self._opendir,
            Opcode.RELEASEDIR: self._release,
            Opcode.READDIR: self._readdir,
            Opcode.READDIRPLUS: self._readdirplus,
            Opcode.FSYNCDIR: self._fsync,
            Opcode.GETXATTR: self._getxattr,
            Opcode.SETXATTR: self._setxattr,
            Opcode.LISTXATTR: self._listxattr,
            Opcode.REMOVEXATTR: self._removexattr,
        }

    def choose(self, offered: int) -> int:
        """Which of the `offered` features of the kernel are to be used; from now on they are."""
        wanted = FEATURES
        if self._view.writeback:
            wanted |= Feature.WRITEBACK_CACHE
        if self._view.kernel_checks and self._has_xattrs:
            wanted |= Feature.POSIX_ACL
        # a kernel that does not tell of opens must say by a request of its own that a file is to be emptied
        wanted |= Feature.ATOMIC_O_TRUNC if self._stamps_access else Feature.NO_OPEN_SUPPORT
        self._features = offered & wanted
        return self._features

    @property
    def is_crowded(self) -> bool:
        """Whether `rest` has anything to do."""
        return self._known.crowded

    async def rest(self, busy: Callable[[], bool]) -> None:
        """Between requests: hold fewer nodes. Stops when a request comes (`busy`)."""
        await self._known.park(busy)

    async def close(self) -> None:
        """Drop what the kernel holds: it need not say good-bye when a mount ends."""
        await self._known.close()

    # ---- nodes ------------------------------------------------------------------------------------------------

    async def _lookup(self, request: Request) -> bytes:
        try:
            directory = self._held.get(request.node) or await self._known.revive(request.node)
            return await self._known.entry_at(directory, request.name())
        except NotFound:
            return self._absent

    async def _forget(self, request: Request) -> None:
        (count,) = FORGET_IN.unpack_from(request.body)
        await self._known.forget(((request.node, count),))

    async def _batch_forget(self, request: Request) -> None:
        await self._known.forget(FORGET_ONE.iter_unpack(request.body[BATCH_FORGET_IN.size :]))

    async def _getattr(self, request: Request) -> bytes:
        vnode = self._held.get(request.node) or await self._known.revive(request.node)
        return self._view.status(vnode.key, await vnode.fs.stat(vnode.ino))

    async def _access(self, request: Request) -> bytes:
        """Asked by access(2) and chdir(2) where the kernel leaves permissions to us: all is allowed but to execute what
        nobody may."""
        wanted, _ = ACCESS_IN.unpack_from(request.body)
        vnode = await self._known.vnode(request.node)
        if wanted & protect.X_BIT and not vnode.is_directory and not self._view.mode(vnode.mode) & 0o111:
            raise AccessDenied
        return b""

    @_patient
    async def _setattr(self, request: Request) -> bytes:
        (valid, _, _, size, _, atime, mtime, ctime, atime_ns, mtime_ns, ctime_ns, mode, _, uid, gid, _) = (
            SETATTR_IN.unpack_from(request.body)
        )  # fmt: skip
        vnode = self._held.get(request.node) or await self._known.revive(request.node)
        if valid & CONTENT_OR_RIGHTS:
            place = ByNode(vnode)
            async with self._vfs.call() as call:
                if valid & Valid.SIZE:
                    await self._resize(call, place, size, kill=self._kills(request, valid & Valid.KILL_SUIDGID))
                if valid & Valid.MODE:
                    await protect.chmod(call, place, mode)
                if valid & (Valid.UID | Valid.GID):
                    uid = uid if valid & Valid.UID else protect.KEEP
                    gid = gid if valid & Valid.GID else protect.KEEP
                    await protect.chown(call, place, uid, gid)
        if (
            valid & TIMES
        ):  # one request of the server, which needs no lock: the kernel asks after every change of a name
            await vnode.fs.utime(
                vnode.ino,
                _time(valid, Valid.ATIME, Valid.ATIME_NOW, atime, atime_ns),
                _time(valid, Valid.MTIME, Valid.MTIME_NOW, mtime, mtime_ns),
                ctime * NS + ctime_ns if valid & Valid.CTIME else TimeUpdate.NOW,
            )
        return self._view.status(vnode.key, await vnode.fs.stat(vnode.ino))

    async def _readlink(self, request: Request) -> bytes:
        async with self._vfs.call() as call:
            return await names.readlink(call, ByNode(await self._known.vnode(request.node)))

    async def _statfs(self, request: Request) -> bytes:
        async with self._vfs.call() as call:
            usage = await attributes.statvfs(call, ByNode(self._vfs.root.root))
        blocks = (usage.blocks, usage.bfree, usage.bavail)
        return STATFS_OUT.pack(*blocks, usage.files, usage.ffree, usage.bsize, usage.namemax, usage.frsize, 0)

    # ---- names ------------------------------------------------------------------------------------------------

    @_patient
    async def _mknod(self, request: Request) -> bytes:
        mode, rdev, umask, _ = MKNOD_IN.unpack_from(request.body)
        place = ByName(await self._known.vnode(request.node), request.name(MKNOD_IN.size))
        async with self._maker(request, umask) as call:
            await opening.mknod(call, place, mode, rdev)
            return await self._known.entry_at(place.directory, place.name)

    @_patient
    async def _mkdir(self, request: Request) -> bytes:
        mode, umask = MKDIR_IN.unpack_from(request.body)
        place = ByName(await self._known.vnode(request.node), request.name(MKDIR_IN.size))
        async with self._maker(request, umask) as call:
            await opening.mkdir(call, place, mode)
            return await self._known.entry_at(place.directory, place.name)

    @_patient
    async def _symlink(self, request: Request) -> bytes:
        name, target = request.names()
        place = ByName(await self._known.vnode(request.node), name)
        async with self._maker(request) as call:
            await names.symlink(call, target, place)
            return await self._known.entry_at(place.directory, name)

    @_patient
    async def _link(self, request: Request) -> bytes:
        vnode = await self._known.vnode(*LINK_IN.unpack_from(request.body))
        place = ByName(await self._known.vnode(request.node), request.name(LINK_IN.size))
        async with self._vfs.call() as call:
            await names.link(call, ByNode(vnode), place)
            return await self._known.entry(dup(vnode))

    async def _unlink(self, request: Request) -> bytes:
        place = await self._to_remove(request.node, request.name())
        async with self._vfs.call() as call:
            await names.unlink(call, place)
        return b""

    async def _rmdir(self, request: Request) -> bytes:
        place = await self._to_remove(request.node, request.name())
        async with self._vfs.call() as call:
            await names.rmdir(call, place)
        return b""

    @_patient
    async def _rename(self, request: Request) -> bytes:
        (directory,) = RENAME_IN.unpack_from(request.body)
        return await self._move(request.node, directory, *request.names(RENAME_IN.size))

    @_patient
    async def _rename2(self, request: Request) -> bytes:
        directory, flags, _ = RENAME2_IN.unpack_from(request.body)
        if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE):
            raise InvalidArgument
        return await self._move(request.node, directory, *request.names(RENAME2_IN.size), flags)

    @_patient
    async def _create(self, request: Request) -> bytes:
        flags, mode, umask, _ = CREATE_IN.unpack_from(request.body)
        place = ByName(await self._known.vnode(request.node), request.name(CREATE_IN.size))
        async with self._maker(request, umask) as call:
            try:
                filp = await opening.create_new(call, place, flags, mode)  # the kernel has looked the name up
            except Exists:
                filp = await opening.create(call, place, flags, mode)
            return await self._known.entry(filp.vnode) + _OPENED  # which takes over the reference of the file

    # ---- files ------------------------------------------------------------------------------------------------

    async def _open(self, request: Request) -> bytes:
        flags, told = OPEN_IN.unpack_from(request.body)
        if self._features & Feature.NO_OPEN_SUPPORT:
            raise PosixError(errno.ENOSYS)
        vnode = self._held.get(request.node) or await self._known.revive(request.node)
        if flags & os.O_TRUNC:
            async with self._vfs.call() as call:
                await self._resize(call, ByNode(vnode), 0, kill=self._kills(request, told & OPEN_KILL_SUIDGID))
        if flags & os.O_ACCMODE != os.O_WRONLY and vnode.is_regular and await vnode.fs.accessed(vnode.ino):
            self._attributes_changed(vnode.key)
        return _OPENED

    async def _release(self, request: Request) -> bytes:
        return b""

    async def _read(self, request: Request) -> Buffer:
        _, offset, size, _, _, _, _ = READ_IN.unpack_from(request.body)
        vnode = self._held.get(request.node) or await self._known.revive(request.node)
        async with self._vfs.call() as call:
            return await readwrite.read_at(call, vnode, offset, size)

    @_patient
    async def _write(self, request: Request) -> bytes:
        _, offset, size, told, _, _, _ = WRITE_IN.unpack_from(request.body)
        data = request.body[WRITE_IN.size :]
        vnode = self._held.get(request.node) or await self._known.revive(request.node)
        set_id = vnode.mode & SET_ID
        async with self._vfs.call() as call:
            try:
                count = await readwrite.write_at(call, vnode, offset, data)
            except FileTooBig:
                count = await _write_what_fits(call, vnode, offset, data)
            if count < size and self._features & Feature.WRITEBACK_CACHE:
                await readwrite.write_at(call, vnode, offset + count, data[count:])  # to fail: no short count is taken
            if set_id:
                await self._settle_set_id(call, vnode, set_id, kill=self._kills(request, told & WRITE_KILL_SUIDGID))
        return WRITE_OUT.pack(count, 0)

    async def _fsync(self, request: Request) -> bytes:
        vnode = await self._known.vnode(request.node)
        async with self._vfs.call() as call:
            await readwrite.fsync(call, vnode.vmnt)
        if vnode.is_regular:
            await self._tell_allocation(vnode)
        return b""

    async def _tell_allocation(self, vnode: Vnode) -> None:
        """Space may have been allocated when the kernel wrote back what it had cached: then it has to ask how much. It
        would for the next write, so it is not made to where nothing has changed since the last time."""
        blocks = (await vnode.fs.stat(vnode.ino)).blocks
        if self._allocated.get(vnode.key) != blocks:
            if len(self._allocated) >= SYNCED_FILES:
                self._allocated.clear()
            self._allocated[vnode.key] = blocks
            self._attributes_changed(vnode.key)

    # ---- directories ------------------------------------------------------------------------------------------

    async def _opendir(self, request: Request) -> bytes:
        if self._features & Feature.NO_OPENDIR_SUPPORT:
            raise PosixError(errno.ENOSYS)
        return _OPENED

    async def _readdir(self, request: Request) -> bytes:
        _, offset, size, _, _, _, _ = READ_IN.unpack_from(request.body)
        vnode = await self._known.vnode(request.node)
        async with self._vfs.call() as call:
            return await listing.names(call, vnode, offset, size)

    async def _readdirplus(self, request: Request) -> bytes:
        _, offset, size, _, _, _, _ = READ_IN.unpack_from(request.body)
        vnode = await self._known.vnode(request.node)
        async with self._vfs.call() as call:
            return await listing.nodes(call, vnode, offset, size, self._known)

    # ---- extended attributes -----------------------------------------------------------------------------------

    async def _getxattr(self, request: Request) -> bytes:
        size, _ = GETXATTR_IN.unpack_from(request.body)
        vnode = await self._with_xattrs(request.node)
        value = await vnode.fs.getxattr(vnode.ino, request.name(GETXATTR_IN.size))  # often asked: without a call
        return _xattr_reply(value, size)

    async def _setxattr(self, request: Request) -> bytes:
        size, flags = SETXATTR_IN.unpack_from(request.body)
        name, _, rest = request.body[SETXATTR_IN.size :].tobytes().partition(b"\0")
        vnode = await self._with_xattrs(request.node)
        async with self._vfs.call() as call:
            await xattr.setxattr(call, ByNode(vnode), name, rest[:size], flags)
        if name.startswith(xattr.ACL) and not self._view.kernel_checks:
            self._attributes_changed(vnode.key)  # the mode follows the list, which the kernel knows if it checks
        return b""

    async def _listxattr(self, request: Request) -> bytes:
        size, _ = GETXATTR_IN.unpack_from(request.body)
        vnode = await self._with_xattrs(request.node)
        async with self._vfs.call() as call:
            found = await xattr.listxattr(call, ByNode(vnode))
        shown = found if request.uid == 0 else [name for name in found if not name.startswith(b"trusted.")]
        return _xattr_reply(b"".join(name + b"\0" for name in shown), size)

    async def _removexattr(self, request: Request) -> bytes:
        vnode = await self._with_xattrs(request.node)
        async with self._vfs.call() as call:
            await xattr.removexattr(call, ByNode(vnode), request.name())
        return b""

    async def _with_xattrs(self, node: int) -> Vnode:
        """A node that can have attributes. If none on this mount can, the kernel is told so, and does not ask again."""
        vnode = await self._known.vnode(node)
        if not self._view.xattrs or not vnode.fs.has_xattrs:
            raise PosixError(errno.EOPNOTSUPP if self._has_xattrs else errno.ENOSYS)
        return vnode

    # ---- inside -----------------------------------------------------------------------------------------------

    def _maker(self, request: Request, umask: int = 0) -> Call:
        """A call that makes something: it belongs to who asked."""
        owner = SUPER_USER if self._view.fakeroot else _credentials(request.uid, request.gid)
        return Call(self._vfs, SUPER_USER, umask if self._features & Feature.DONT_MASK else 0, owner)

    async def _to_remove(self, node: int, name: bytes) -> ByName:
        """A name that is about to lose what it leads to. That stays as long as the kernel knows it."""
        place = ByName(await self._known.vnode(node), name)
        await self._known.hold(place.directory, name)
        self._known.removed = True
        return place

    async def _move(self, node: int, new_node: int, name: bytes, new_name: bytes, flags: int = 0) -> bytes:
        old = ByName(await self._known.vnode(node), name)
        new = await self._to_remove(new_node, new_name)
        async with self._vfs.call() as call:
            await names.rename(
                call, old, new, replace=not flags & RENAME_NOREPLACE, exchange=bool(flags & RENAME_EXCHANGE)
            )
        return b""

    async def _resize(self, call: Call, place: ByNode, size: int, *, kill: bool) -> None:
        """Set the size of a file."""
        set_id = place.vnode.mode & SET_ID
        await readwrite.truncate(call, place, size)
        await self._settle_set_id(call, place.vnode, set_id, kill=kill)

    def _kills(self, request: Request, told: int) -> bool:
        """Whether new contents take the set-id bits away: as the kernel says, or an old kernel leaves it to us."""
        return bool(told) if self._features & Feature.HANDLE_KILLPRIV_V2 else request.uid != 0

    async def _settle_set_id(self, call: Call, vnode: Vnode, before: int, *, kill: bool) -> None:
        """A file server takes the set-id bits away with new contents: put them back, or tell the kernel."""
        if vnode.mode & SET_ID == before:
            return
        if kill:
            self._attributes_changed(vnode.key)
        else:
            await protect.chmod(call, ByNode(vnode), vnode.mode & ~SET_ID | before)


@functools.lru_cache
def _credentials(uid: int, gid: int) -> Credentials:
    return Credentials(uid, gid)


def _time(valid: int, given: int, now: int, seconds: int, nanoseconds: int) -> Time:
    if not valid & given:
        return TimeUpdate.OMIT
    return TimeUpdate.NOW if valid & now else seconds * NS + nanoseconds


def _xattr_reply(value: bytes, room: int) -> bytes:
    """A value, or how much room it takes when none was given."""
    if not room:
        return GETXATTR_OUT.pack(len(value), 0)
    if len(value) > room:
        raise PosixError(errno.ERANGE)
    return value


async def _write_what_fits(call: Call, vnode: Vnode, offset: int, data: Data) -> int:
    """POSIX wants what fits below the largest file size to be written; a file server refuses the whole."""
    done, step = 0, len(data) // 2
    while step:
        try:
            count = await readwrite.write_at(call, vnode, offset + done, data[done : done + step])
        except FileTooBig:
            step //= 2
        else:
            done += count
            if count < step:
                break
    if not done:
        raise FileTooBig
    return done
