"""Extended attributes: who may see and change them, and the calls (xattr(7))."""

from __future__ import annotations

import errno
import stat

from minixfs.daemon.call import Call
from minixfs.daemon.calls.protect import R_BIT, W_BIT, require, require_writable
from minixfs.daemon.objects import Vnode
from minixfs.daemon.path import Place
from minixfs.daemon.tll import READ, WRITE
from minixfs.errors import NotPermitted, PosixError

NAME_MAX, VALUE_MAX = 255, 65536
"""Bytes."""
ACL = b"system.posix_acl_"


async def getxattr(call: Call, place: Place, name: bytes) -> bytes:
    async with place.object(call, READ, READ) as held:
        _require(call, held.vnode, name, R_BIT)
        return await held.vnode.fs.getxattr(held.vnode.ino, name)


async def listxattr(call: Call, place: Place) -> list[bytes]:
    """The names that the caller may see."""
    async with place.object(call, READ, READ) as held:
        names = await held.vnode.fs.listxattr(held.vnode.ino)
        return [name for name in names if call.credentials.uid == 0 or not name.startswith(b"trusted.")]


async def setxattr(call: Call, place: Place, name: bytes, value: bytes, flags: int = 0) -> None:
    """`flags`: XATTR_CREATE (EEXIST if it is there), XATTR_REPLACE (ENODATA if it is not)."""
    if not 0 < len(name) <= NAME_MAX:
        raise PosixError(errno.ERANGE)
    if len(value) > VALUE_MAX:
        raise PosixError(errno.E2BIG)
    async with place.object(call, READ, WRITE) as held:
        vnode = held.vnode
        require_writable(held.vmnt)
        _require(call, vnode, name, W_BIT)
        vnode.mode = await vnode.fs.setxattr(vnode.ino, name, value, flags)


async def removexattr(call: Call, place: Place, name: bytes) -> None:
    async with place.object(call, READ, WRITE) as held:
        require_writable(held.vmnt)
        _require(call, held.vnode, name, W_BIT)
        await held.vnode.fs.removexattr(held.vnode.ino, name)


def _require(call: Call, vnode: Vnode, name: bytes, wanted: int) -> None:
    """Raise unless the caller may read or write an attribute of this name."""
    uid = call.credentials.uid
    if name.startswith(b"trusted.") and uid:
        raise NotPermitted if wanted == W_BIT else PosixError(errno.ENODATA)
    if name.startswith(b"user."):
        if not (vnode.is_regular or vnode.is_directory):
            raise NotPermitted if wanted == W_BIT else PosixError(errno.ENODATA)
        if uid and wanted == W_BIT and vnode.is_directory and vnode.mode & stat.S_ISVTX and uid != vnode.uid:
            raise NotPermitted
        require(call, vnode, wanted)
    elif wanted == W_BIT and uid and (uid != vnode.uid or not name.startswith(ACL)):
        raise NotPermitted
