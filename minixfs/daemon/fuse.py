"""The FUSE face: turns what the kernel asks into calls of VFS, and their results into replies.

Which nodes the kernel knows, by what ids, is the business of `known`.

The kernel checks permissions (``default_permissions``), unless nobody gets in but who may do everything. It keeps
caches of names, attributes and data that are valid for a long time, since nobody but us changes the volume. What it
cannot know it is told: that set-id bits went with a write. With its write-back cache it owns size and modification
time of open files, and it reads from files that are open for writing only.

Every error that is not an expected one becomes EIO for that one request, with one traceback in the log; the mount
lives on.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import stat
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import pyfuse3
import trio
from pyfuse3 import EntryAttributes, FileInfo, FUSEError, RequestContext, SetattrFields, StatvfsData

from minixfs.daemon import negotiation
from minixfs.daemon.call import Call
from minixfs.daemon.calls import link as names
from minixfs.daemon.calls import open as opening
from minixfs.daemon.calls import protect, readwrite, xattr
from minixfs.daemon.calls import stat as attributes
from minixfs.daemon.known import KnownNodes
from minixfs.daemon.objects import Filp, Vnode, dup
from minixfs.daemon.path import ByName, ByNode
from minixfs.daemon.vfs import Vfs
from minixfs.daemon.view import View
from minixfs.errors import Exists, FileTooBig, MinixFsError, NoSpace, NotFound
from minixfs.fs.protocol import SUPER_USER, Credentials, DirEntry, TimeUpdate
from minixfs.hw.blockdev.device import Buffer

log = logging.getLogger(__name__)

FORGET_PATIENCE = 1.0
"""Seconds that the kernel is given to forget what was removed, before a volume counts as full."""
READDIR_BATCH, READDIR_BATCH_MIN = 32, 8
SET_ID = stat.S_ISUID | stat.S_ISGID

P = ParamSpec("P")
R = TypeVar("R")


def _request(
    method: Callable[Concatenate[FuseFace, P], Awaitable[R]],
) -> Callable[Concatenate[FuseFace, P], Coroutine[Any, Any, R]]:
    """Turn what a handler raises into an errno for the kernel.

    A request that finds the volume full is tried again when something was removed: that is free only once the kernel
    has forgotten it.
    """

    @functools.wraps(method)
    async def handler(self: FuseFace, /, *args: P.args, **kwargs: P.kwargs) -> R:
        deadline: float | None = None
        self.serving += 1
        try:
            while True:
                try:
                    return await method(self, *args, **kwargs)
                except NoSpace as error:
                    deadline = deadline or trio.current_time() + FORGET_PATIENCE
                    if not await self._known.forgotten_before(deadline):
                        raise FUSEError(error.errno) from None
        except MinixFsError as error:
            raise FUSEError(error.errno) from None
        except FUSEError:
            raise
        except Exception:
            log.exception("internal error in %s", method.__name__)
            raise FUSEError(errno.EIO) from None
        finally:
            self.serving -= 1
            if self._known.crowded and not self.serving:
                await self._known.park(self.is_busy)

    return handler


class FuseFace(pyfuse3.Operations):
    """`vfs` shown to the kernel as `view` says. `serving` counts the requests that have begun and not ended; `_files`
    are the open files and directories by their handles."""

    supports_dot_lookup = False

    def __init__(self, vfs: Vfs, view: View, held_nodes: int = 0) -> None:
        """`held_nodes`: how many of the nodes that the kernel knows may stay in memory (0: all)."""
        super().__init__()
        self.enable_writeback_cache = view.writeback
        self._vfs = vfs
        self._view = view
        self.enable_acl = view.kernel_checks and self._any_xattrs()
        self._known = KnownNodes(vfs, view, held_nodes)
        self._files: dict[int, Filp] = {}
        self._of_root: set[int] = set()  # handles that root opened for writing
        self._next_handle = 1
        self._readdir_batch = READDIR_BATCH
        self._absent = view.absence()
        self._masks = False
        self.serving = 0

    def agreed(self, features: int) -> None:
        """Be told what of `negotiation.WISHES` the kernel has."""
        self._masks = bool(features & negotiation.DONT_MASK)

    def is_busy(self) -> bool:
        """Whether a request is being served."""
        return self.serving > 0

    async def close(self) -> None:
        """Drop what the kernel holds: it need not say good-bye when a mount ends."""
        for filp in list(self._files.values()):
            async with self._vfs.call() as call:
                await opening.close(call, filp)
        self._files.clear()
        await self._known.close()

    # ---- nodes ------------------------------------------------------------------------------------------------

    @_request
    async def lookup(self, parent_inode: int, name: bytes, ctx: RequestContext) -> EntryAttributes:
        try:
            return await self._known.entry_at(await self._known.vnode(parent_inode), name)
        except NotFound:
            return self._absent

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        try:
            await self._known.forget(inode_list)
        except Exception:
            log.exception("internal error in forget")  # there is nobody to answer

    @_request
    async def getattr(self, inode: int, ctx: RequestContext) -> EntryAttributes:
        return await self._known.status(await self._known.vnode(inode))

    @_request
    async def access(self, inode: int, mode: int, ctx: RequestContext) -> bool:
        """Asked by access(2) and chdir(2) where the kernel leaves permissions to us: all is allowed but to execute what
        nobody may."""
        vnode = await self._known.vnode(inode)
        wanted = mode & protect.X_BIT
        return vnode.is_directory or not wanted or bool(self._view.mode(vnode.mode) & 0o111)

    @_request
    async def setattr(
        self, inode: int, attr: EntryAttributes, fields: SetattrFields, fh: int | None, ctx: RequestContext
    ) -> EntryAttributes:
        place = ByNode(await self._known.vnode(inode))
        set_id = place.vnode.mode & SET_ID
        async with self._vfs.call() as call:
            if fields.update_size:
                await readwrite.truncate(call, place, attr.st_size)
                await self._settle_set_id(call, place.vnode, set_id, ctx.uid == 0)
            if fields.update_mode:
                await protect.chmod(call, place, attr.st_mode)
            if fields.update_uid or fields.update_gid:
                uid = attr.st_uid if fields.update_uid else protect.KEEP
                gid = attr.st_gid if fields.update_gid else protect.KEEP
                await protect.chown(call, place, uid, gid)
            if fields.update_atime or fields.update_mtime or fields.update_ctime:
                await attributes.utime(
                    call,
                    place,
                    attr.st_atime_ns if fields.update_atime else TimeUpdate.OMIT,
                    attr.st_mtime_ns if fields.update_mtime else TimeUpdate.OMIT,
                    attr.st_ctime_ns if fields.update_ctime else TimeUpdate.NOW,
                )
        return await self._known.status(place.vnode)

    @_request
    async def readlink(self, inode: int, ctx: RequestContext) -> bytes:
        async with self._vfs.call() as call:
            return await names.readlink(call, ByNode(await self._known.vnode(inode)))

    @_request
    async def statfs(self, ctx: RequestContext) -> StatvfsData:
        async with self._vfs.call() as call:
            usage = await attributes.statvfs(call, ByNode(self._vfs.root.root))
        data = StatvfsData()
        data.f_bsize, data.f_frsize, data.f_blocks = usage.bsize, usage.frsize, usage.blocks
        data.f_bfree, data.f_bavail = usage.bfree, usage.bavail
        data.f_files, data.f_ffree, data.f_favail = usage.files, usage.ffree, usage.ffree
        data.f_namemax = usage.namemax
        return data

    # ---- names ------------------------------------------------------------------------------------------------

    @_request
    async def mknod(self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: RequestContext) -> EntryAttributes:
        place = ByName(await self._known.vnode(parent_inode), name)
        async with self._call_of(ctx) as call:
            await opening.mknod(call, place, mode, rdev)
            return await self._known.entry_at(place.directory, name)

    @_request
    async def mkdir(self, parent_inode: int, name: bytes, mode: int, ctx: RequestContext) -> EntryAttributes:
        place = ByName(await self._known.vnode(parent_inode), name)
        async with self._call_of(ctx) as call:
            await opening.mkdir(call, place, mode)
            return await self._known.entry_at(place.directory, name)

    @_request
    async def symlink(self, parent_inode: int, name: bytes, target: bytes, ctx: RequestContext) -> EntryAttributes:
        place = ByName(await self._known.vnode(parent_inode), name)
        async with self._call_of(ctx) as call:
            await names.symlink(call, target, place)
            return await self._known.entry_at(place.directory, name)

    @_request
    async def link(self, inode: int, new_parent_inode: int, new_name: bytes, ctx: RequestContext) -> EntryAttributes:
        vnode = await self._known.vnode(inode)
        async with self._vfs.call() as call:
            await names.link(call, ByNode(vnode), ByName(await self._known.vnode(new_parent_inode), new_name))
            return await self._known.entry(dup(vnode))

    @_request
    async def unlink(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        place = await self._to_remove(parent_inode, name)
        async with self._vfs.call() as call:
            await names.unlink(call, place)

    @_request
    async def rmdir(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        place = await self._to_remove(parent_inode, name)
        async with self._vfs.call() as call:
            await names.rmdir(call, place)

    @_request
    async def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: RequestContext,
    ) -> None:
        if flags & ~(pyfuse3.RENAME_NOREPLACE | pyfuse3.RENAME_EXCHANGE):
            raise FUSEError(errno.EINVAL)
        old = ByName(await self._known.vnode(parent_inode_old), name_old)
        new = await self._to_remove(parent_inode_new, name_new)
        async with self._vfs.call() as call:
            await names.rename(
                call,
                old,
                new,
                replace=not flags & pyfuse3.RENAME_NOREPLACE,
                exchange=bool(flags & pyfuse3.RENAME_EXCHANGE),
            )

    # ---- files ------------------------------------------------------------------------------------------------

    @_request
    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        place = ByName(await self._known.vnode(parent_inode), name)
        async with self._call_of(ctx) as call:
            try:
                filp = await opening.create_new(call, place, flags, mode)  # the kernel has looked the name up
            except Exists:
                filp = await opening.create(call, place, flags, mode)
            entry = await self._known.entry(dup(filp.vnode))
            return self._opened(filp, ctx), entry

    @_request
    async def open(self, inode: int, flags: int, ctx: RequestContext) -> FileInfo:
        vnode = await self._known.vnode(inode)
        set_id = vnode.mode & SET_ID
        async with self._vfs.call() as call:
            filp = await opening.open_file(call, ByNode(vnode), flags)
            await self._settle_set_id(call, vnode, set_id, ctx.uid == 0)
            if filp.readable and vnode.is_regular and await vnode.fs.accessed(vnode.ino):
                self._attributes_changed(vnode)  # what the kernel has cached is read without our knowing
        return self._opened(filp, ctx)

    @_request
    async def read(self, fh: int, off: int, size: int) -> Buffer:  # type: ignore[override]  # any buffer will do
        async with self._vfs.call() as call:
            return await readwrite.read(call, self._files[fh], off, size)

    @_request
    async def write(self, fh: int, off: int, buf: bytes) -> int:
        filp = self._files[fh]
        vnode = filp.vnode
        set_id = vnode.mode & SET_ID
        async with self._vfs.call() as call:
            try:
                count = await readwrite.write(call, filp, off, buf)
            except FileTooBig:
                count = await _write_what_fits(call, filp, off, buf)
            if count < len(buf) and self.enable_writeback_cache:
                await readwrite.write(call, filp, off + count, buf[count:])  # to fail: write-back takes no short count
            if set_id:
                await self._settle_set_id(call, vnode, set_id, fh in self._of_root)
        return count

    async def flush(self, fh: int) -> None:
        raise FUSEError(errno.ENOSYS)  # nothing to do at close; the kernel does not ask again

    @_request
    async def release(self, fh: int) -> None:
        async with self._vfs.call() as call:
            self._of_root.discard(fh)
            await opening.close(call, self._files.pop(fh))

    @_request
    async def fsync(self, fh: int, datasync: bool) -> None:
        filp = self._files[fh]
        async with self._vfs.call() as call:
            await readwrite.fsync(call, filp)
        if filp.writable:
            self._attributes_changed(filp.vnode)  # space was allocated when the kernel wrote back what it had cached

    # ---- directories ------------------------------------------------------------------------------------------

    @_request
    async def opendir(self, inode: int, ctx: RequestContext) -> int:
        async with self._vfs.call() as call:
            filp = await opening.open_file(call, ByNode(await self._known.vnode(inode)), os.O_RDONLY | os.O_DIRECTORY)
        return self._handle(filp)

    @_request
    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """Reply with as much as the kernel has room for: about as much as the last time, in one go if possible."""
        filp = self._files[fh]
        position, told, wanted = start_id, 0, self._readdir_batch
        async with self._vfs.call() as call:
            while True:
                entries = await readwrite.getdents(call, filp, position, wanted)
                fitted = await self._reply_entries(filp.vnode, entries, token)
                told += fitted
                if fitted < len(entries):
                    self._readdir_batch = max(told, READDIR_BATCH_MIN)
                if fitted < wanted:
                    return
                position, wanted = entries[-1].next, READDIR_BATCH_MIN

    async def releasedir(self, fh: int) -> None:
        await self.release(fh)

    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        await self.fsync(fh, datasync)

    async def _reply_entries(self, directory: Vnode, entries: Sequence[DirEntry], token: pyfuse3.ReaddirToken) -> int:
        """Add entries to the kernel's buffer until it is full; return how many it took. The rest is put back."""
        vnodes, view = self._vfs.vnodes, self._view
        taken = len(entries)
        for index, (entry, pair) in enumerate(zip(entries, await directory.fs.getnodes(entries), strict=True)):
            if pair is None:
                continue
            node, status = pair
            vnode = self._known.adopt(directory.vmnt, node)
            if index > taken:
                vnodes.release(vnode)
                continue
            if vnode.vmnt is not directory.vmnt:
                status = await vnode.fs.stat(vnode.ino)
            if not pyfuse3.readdir_reply(token, entry.name, view.attributes(vnode.key, status), entry.next):
                taken = index
            if index == taken or entry.name in (b".", b".."):
                vnodes.release(vnode)
            else:
                self._known.tell(vnode)
        return taken

    # ---- extended attributes -----------------------------------------------------------------------------------

    @_request
    async def getxattr(self, inode: int, name: bytes, ctx: RequestContext) -> bytes:
        vnode = (await self._with_xattrs(inode)).vnode
        return await vnode.fs.getxattr(vnode.ino, name)  # asked before every write(2): without a call, as for `getattr`

    @_request
    async def setxattr(self, inode: int, name: bytes, value: bytes, ctx: RequestContext) -> None:
        place = await self._with_xattrs(inode)
        async with self._vfs.call() as call:
            await xattr.setxattr(call, place, name, value)
        if name.startswith(xattr.ACL) and not self._view.kernel_checks:
            self._attributes_changed(place.vnode)  # the mode follows the list, which the kernel knows if it checks

    @_request
    async def listxattr(self, inode: int, ctx: RequestContext) -> Sequence[bytes]:
        place = await self._with_xattrs(inode)
        async with self._vfs.call() as call:
            found = await xattr.listxattr(call, place)
            return found if ctx.uid == 0 else [name for name in found if not name.startswith(b"trusted.")]

    @_request
    async def removexattr(self, inode: int, name: bytes, ctx: RequestContext) -> None:
        place = await self._with_xattrs(inode)
        async with self._vfs.call() as call:
            await xattr.removexattr(call, place, name)

    async def _with_xattrs(self, inode: int) -> ByNode:
        """A node that can have attributes. If none on this mount can, the kernel is told so, and does not ask again."""
        vnode = await self._known.vnode(inode)
        if not self._view.xattrs or not vnode.fs.has_xattrs:
            raise FUSEError(errno.EOPNOTSUPP if self._any_xattrs() else errno.ENOSYS)
        return ByNode(vnode)

    def _any_xattrs(self) -> bool:
        return self._view.xattrs and any(vmnt.fs.has_xattrs for vmnt in self._vfs.mounts.values())

    # ---- inside -----------------------------------------------------------------------------------------------

    async def _to_remove(self, parent_inode: int, name: bytes) -> ByName:
        """A name that is about to lose what it leads to. That stays as long as the kernel knows it."""
        place = ByName(await self._known.vnode(parent_inode), name)
        await self._known.hold(place.directory, name)
        self._known.removed = True
        return place

    def _call_of(self, ctx: RequestContext) -> Call:
        """A call that makes something: it belongs to who asked."""
        owner = SUPER_USER if self._view.fakeroot else _credentials(ctx.uid, ctx.gid)
        return Call(self._vfs, SUPER_USER, ctx.umask if self._masks else 0, owner)

    def _opened(self, filp: Filp, ctx: RequestContext) -> FileInfo:
        """The reply to an open. Set-id files are not cached: the first write must reach us, as it clears the bits."""
        filp.readable = True  # the write-back cache fills pages of files that are open for writing only
        direct = bool(filp.writable and filp.vnode.mode & SET_ID)
        handle = self._handle(filp)
        if ctx.uid == 0 and filp.writable:
            self._of_root.add(handle)
        return FileInfo(fh=pyfuse3.FileHandleT(handle), direct_io=direct, keep_cache=True)

    def _handle(self, filp: Filp) -> int:
        handle = self._next_handle
        self._next_handle += 1
        self._files[handle] = filp
        return handle

    async def _settle_set_id(self, call: Call, vnode: Vnode, before: int, privileged: bool) -> None:
        """New contents take the set-id bits away, which the kernel must learn; but not when root wrote them."""
        if vnode.mode & SET_ID == before:
            return
        if privileged:
            await protect.chmod(call, ByNode(vnode), vnode.mode & ~SET_ID | before)
        else:
            self._attributes_changed(vnode)

    def _attributes_changed(self, vnode: Vnode) -> None:
        """Have the kernel ask again. For attributes alone this is safe inside a request."""
        pyfuse3.invalidate_inode(pyfuse3.InodeT(vnode.key), attr_only=True)


@functools.lru_cache
def _credentials(uid: int, gid: int) -> Credentials:
    return Credentials(uid, gid)


async def _write_what_fits(call: Call, filp: Filp, offset: int, data: bytes) -> int:
    """POSIX wants what fits below the largest file size to be written; a file server refuses the whole."""
    done, step = 0, len(data) // 2
    while step:
        try:
            count = await readwrite.write(call, filp, offset + done, data[done : done + step])
        except FileTooBig:
            step //= 2
        else:
            done += count
            if count < step:
                break
    if not done:
        raise FileTooBig
    return done
