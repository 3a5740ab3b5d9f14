"""Requests about nodes: look-up, attributes, extended attributes."""

from __future__ import annotations

import errno

from minixfs.daemon.calls import link as names
from minixfs.daemon.calls import protect, xattr
from minixfs.daemon.calls import stat as attributes
from minixfs.daemon.fuse.shown import Shown, patient
from minixfs.daemon.fuse.wire import (
    ACCESS_IN,
    BATCH_FORGET_IN,
    FORGET_IN,
    FORGET_ONE,
    GETXATTR_IN,
    GETXATTR_OUT,
    SETATTR_IN,
    SETXATTR_IN,
    STATFS_OUT,
    Request,
    Valid,
)
from minixfs.daemon.objects import Vnode
from minixfs.daemon.path import ByNode
from minixfs.errors import AccessDenied, NotFound, PosixError
from minixfs.fs.protocol import Time, TimeUpdate
from minixfs.hw.clock import NS

TIMES = Valid.ATIME | Valid.MTIME | Valid.CTIME
CONTENT_OR_RIGHTS = Valid.SIZE | Valid.MODE | Valid.UID | Valid.GID


class NodeRequests(Shown):
    """The handlers of these requests."""

    async def _lookup(self, request: Request) -> bytes:
        try:
            directory = self.held.get(request.node) or await self.known.revive(request.node)
            return await self.known.entry_at(directory, request.name())
        except NotFound:
            return self._absent

    async def _forget(self, request: Request) -> None:
        (count,) = FORGET_IN.unpack_from(request.body)
        await self.known.forget(((request.node, count),))

    async def _batch_forget(self, request: Request) -> None:
        await self.known.forget(FORGET_ONE.iter_unpack(request.body[BATCH_FORGET_IN.size :]))

    async def _getattr(self, request: Request) -> bytes:
        vnode = self.held.get(request.node) or await self.known.revive(request.node)
        return self.view.status(vnode.key, await vnode.fs.stat(vnode.ino))

    async def _access(self, request: Request) -> bytes:
        """Asked by access(2) and chdir(2) where the kernel leaves permissions to us: all is allowed but to execute what
        nobody may."""
        wanted, _ = ACCESS_IN.unpack_from(request.body)
        vnode = await self.known.vnode(request.node)
        if wanted & protect.X_BIT and not vnode.is_directory and not self.view.mode(vnode.mode) & 0o111:
            raise AccessDenied
        return b""

    @patient
    async def _setattr(self, request: Request) -> bytes:
        (valid, _, _, size, _, atime, mtime, ctime, atime_ns, mtime_ns, ctime_ns, mode, _, uid, gid, _) = (
            SETATTR_IN.unpack_from(request.body)
        )  # fmt: skip
        vnode = self.held.get(request.node) or await self.known.revive(request.node)
        if valid & CONTENT_OR_RIGHTS:
            place = ByNode(vnode)
            async with self.vfs.call() as call:
                if valid & Valid.SIZE:
                    await self.resize(call, place, size, kill=self.kills(request, valid & Valid.KILL_SUIDGID))
                if valid & Valid.MODE:
                    await protect.chmod(call, place, mode)
                if valid & (Valid.UID | Valid.GID):
                    uid = uid if valid & Valid.UID else protect.KEEP
                    gid = gid if valid & Valid.GID else protect.KEEP
                    await protect.chown(call, place, uid, gid)
        if valid & TIMES:  # often asked, after a name has changed: one request of the server, without a call
            await vnode.fs.utime(
                vnode.ino,
                _time(valid, Valid.ATIME, Valid.ATIME_NOW, atime, atime_ns),
                _time(valid, Valid.MTIME, Valid.MTIME_NOW, mtime, mtime_ns),
                ctime * NS + ctime_ns if valid & Valid.CTIME else TimeUpdate.NOW,
            )
        return self.view.status(vnode.key, await vnode.fs.stat(vnode.ino))

    async def _readlink(self, request: Request) -> bytes:
        async with self.vfs.call() as call:
            return await names.readlink(call, ByNode(await self.known.vnode(request.node)))

    async def _statfs(self, request: Request) -> bytes:
        await self.vfs.vnodes.settle()
        async with self.vfs.call() as call:
            usage = await attributes.statvfs(call, ByNode(self.vfs.root.root))
        blocks = (usage.blocks, usage.bfree, usage.bavail)
        return STATFS_OUT.pack(*blocks, usage.files, usage.ffree, usage.bsize, usage.namemax, usage.frsize, 0)

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
        async with self.vfs.call() as call:
            await xattr.setxattr(call, ByNode(vnode), name, rest[:size], flags)
        if name.startswith(xattr.ACL) and not self.view.kernel_checks:
            self.attributes_changed(vnode.key)  # the mode follows the list, which the kernel knows if it checks
        return b""

    async def _listxattr(self, request: Request) -> bytes:
        size, _ = GETXATTR_IN.unpack_from(request.body)
        vnode = await self._with_xattrs(request.node)
        async with self.vfs.call() as call:
            found = await xattr.listxattr(call, ByNode(vnode))
        shown = found if request.uid == 0 else [name for name in found if not name.startswith(b"trusted.")]
        return _xattr_reply(b"".join(name + b"\0" for name in shown), size)

    async def _removexattr(self, request: Request) -> bytes:
        vnode = await self._with_xattrs(request.node)
        async with self.vfs.call() as call:
            await xattr.removexattr(call, ByNode(vnode), request.name())
        return b""

    async def _with_xattrs(self, node: int) -> Vnode:
        """A node that can have attributes. If none on this mount can, the kernel is told so, and does not ask again."""
        vnode = await self.known.vnode(node)
        if not self.view.xattrs or not vnode.fs.has_xattrs:
            raise PosixError(errno.EOPNOTSUPP if self.has_xattrs else errno.ENOSYS)
        return vnode


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
