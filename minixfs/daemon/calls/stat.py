"""Attributes: stat, statvfs, and the time stamps."""

from __future__ import annotations

from minixfs.daemon.call import Call
from minixfs.daemon.calls.protect import W_BIT, require, require_writable
from minixfs.daemon.path import Place
from minixfs.daemon.tll import READ
from minixfs.errors import NotPermitted
from minixfs.fs.protocol import Stat, StatVfs, Time, TimeUpdate


async def stat(call: Call, place: Place) -> Stat:
    async with place.object(call, READ, READ) as held:
        return await held.vnode.fs.stat(held.vnode.ino)


async def statvfs(call: Call, place: Place) -> StatVfs:
    async with place.object(call, READ, READ) as held:
        return await held.vnode.fs.statvfs()


async def utime(call: Call, place: Place, atime: Time, mtime: Time, ctime: Time = TimeUpdate.NOW) -> None:
    """Set stamps (ns, NOW or OMIT): the owner's right; both NOW needs only the right to write."""
    async with place.object(call, READ, READ) as held:
        vnode = held.vnode
        if call.credentials.uid not in (0, vnode.uid):
            if atime is not TimeUpdate.NOW or mtime is not TimeUpdate.NOW:
                raise NotPermitted
            require(call, vnode, W_BIT)
        require_writable(held.vmnt)
        await vnode.fs.utime(vnode.ino, atime, mtime, ctime)
