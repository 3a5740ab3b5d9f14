"""Names: link, unlink, rmdir, rename, symlink, readlink."""

from __future__ import annotations

import stat

from minixfs.daemon.call import Call
from minixfs.daemon.calls.open import lookup_in
from minixfs.daemon.calls.protect import W_BIT, X_BIT, new_owner, require
from minixfs.daemon.path import Held, Place
from minixfs.daemon.tll import READ, SERIAL, WRITE
from minixfs.errors import CrossDevice, Exists, InvalidArgument, NameTooLong, NotFound, NotPermitted
from minixfs.fs.server import PATH_MAX


async def link(call: Call, existing: Place, new: Place) -> None:
    await call.vfs.two_path.acquire(WRITE, call)
    try:
        async with existing.object(call, SERIAL, None) as held, new.parent(call, READ, WRITE) as target:
            require(call, target.vnode, W_BIT | X_BIT)
            if held.vmnt is not target.vmnt:
                raise CrossDevice
            await target.vnode.fs.link(held.vnode.ino, target.vnode.ino, target.name)
    finally:
        call.vfs.two_path.release(call)


async def unlink(call: Call, place: Place) -> None:
    async with place.parent(call, SERIAL, WRITE) as held:
        await _require_removal_right(call, held)
        await held.vmnt.lock.upgrade(call)
        await held.vnode.fs.unlink(held.vnode.ino, held.name)


async def rmdir(call: Call, place: Place) -> None:
    async with place.parent(call, SERIAL, WRITE) as held:
        await _require_removal_right(call, held)
        await held.vmnt.lock.upgrade(call)
        await held.vnode.fs.rmdir(held.vnode.ino, held.name)


async def rename(call: Call, old: Place, new: Place, *, replace: bool = True, exchange: bool = False) -> None:
    """Rename within one file system. `replace=False` refuses an existing target; `exchange` swaps the two."""
    await call.vfs.two_path.acquire(WRITE, call)
    try:
        # Both SERIAL: with READ on a second mount we would wait for a directory, see the docstring of `path`.
        async with old.parent(call, SERIAL, None) as source, new.parent(call, SERIAL, None) as target:
            locked = [vnode for vnode in (source.vnode, target.vnode) if await vnode.lock.acquire(WRITE, call)]
            try:
                await _rename_locked(call, source, target, replace, exchange)
            finally:
                for vnode in locked:
                    vnode.lock.release(call)
    finally:
        call.vfs.two_path.release(call)


async def _rename_locked(call: Call, source: Held, target: Held, replace: bool, exchange: bool) -> None:
    await _require_removal_right(call, source)
    await _require_removal_right(call, target)
    if source.vmnt is not target.vmnt:
        raise CrossDevice
    await source.vmnt.lock.upgrade(call)
    if not replace:
        await _require_absent(call, target)
    fs = source.vnode.fs
    request = fs.exchange if exchange else fs.rename
    await request(source.vnode.ino, source.name, target.vnode.ino, target.name)


async def symlink(call: Call, target: bytes, place: Place) -> None:
    if not target:
        raise NotFound
    if len(target) >= PATH_MAX:
        raise NameTooLong
    async with place.parent(call, SERIAL, WRITE) as held:
        require(call, held.vnode, W_BIT | X_BIT)
        _, uid, gid = new_owner(call, held.vnode, stat.S_IFLNK)
        await held.vnode.fs.symlink(held.vnode.ino, held.name, target, uid, gid)


async def readlink(call: Call, place: Place) -> bytes:
    async with place.object(call, READ, READ) as held:
        if not stat.S_ISLNK(held.vnode.mode):
            raise InvalidArgument
        return await held.vnode.fs.readlink(held.vnode.ino)


async def _require_removal_right(call: Call, held: Held) -> None:
    """W and X on the directory; in a sticky one only the owner of the object (or the super-user) may go on."""
    require(call, held.vnode, W_BIT | X_BIT)
    if not held.vnode.mode & stat.S_ISVTX or not call.credentials.uid:
        return
    try:
        vnode = await lookup_in(call, held)
    except NotFound:
        return
    try:
        if call.credentials.uid != vnode.uid:
            raise NotPermitted
    finally:
        call.vfs.vnodes.release(vnode)


async def _require_absent(call: Call, held: Held) -> None:
    try:
        vnode = await lookup_in(call, held)
    except NotFound:
        return
    call.vfs.vnodes.release(vnode)
    raise Exists
