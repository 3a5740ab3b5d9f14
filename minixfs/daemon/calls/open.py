"""Opening, creating and closing files; making nodes and directories."""

from __future__ import annotations

import os
import stat

from minixfs.daemon.call import Call
from minixfs.daemon.calls.protect import R_BIT, W_BIT, X_BIT, masked, new_owner, require
from minixfs.daemon.calls.readwrite import resized
from minixfs.daemon.objects import Filp, Vnode, dup
from minixfs.daemon.path import Held, Place
from minixfs.daemon.tll import READ, SERIAL, WRITE
from minixfs.errors import Exists, InvalidArgument, IsDirectory, NotDirectory, NotFound, NotPermitted, TooManySymlinks

_READS = {os.O_RDONLY: True, os.O_WRONLY: False, os.O_RDWR: True}


async def open_file(call: Call, place: Place, flags: int) -> Filp:
    """Open what exists. O_TRUNC empties a regular file, under the vnode's WRITE lock."""
    _check_access_mode(flags)
    truncate = bool(flags & os.O_TRUNC)
    async with place.object(call, READ, WRITE if truncate else SERIAL) as held:
        return await _open_vnode(call, held.vnode, flags)


async def create(call: Call, place: Place, flags: int, mode: int) -> Filp:
    """Open with O_CREAT: make a regular file, or open what is there unless O_EXCL says otherwise."""
    _check_access_mode(flags)
    async with place.parent(call, SERIAL, WRITE) as held:
        try:
            vnode = await lookup_in(call, held)
        except NotFound:
            vnode = await _create_in(call, held, mode)
            return _filp(call, vnode, flags)
        try:
            if flags & os.O_EXCL:
                raise Exists
            if vnode.is_directory:  # perhaps the locked one itself
                raise IsDirectory
            await vnode.lock.acquire(WRITE if flags & os.O_TRUNC else SERIAL, call)
            try:
                return await _open_vnode(call, vnode, flags)
            finally:
                vnode.lock.release(call)
        finally:
            call.vfs.vnodes.release(vnode)


async def create_new(call: Call, place: Place, flags: int, mode: int) -> Filp:
    """As `create` with O_EXCL, where the name was looked up and not found: only the file server looks again."""
    _check_access_mode(flags)
    async with place.parent(call, SERIAL, WRITE) as held:
        return _filp(call, await _create_in(call, held, mode), flags)


async def close(call: Call, filp: Filp) -> None:
    """One descriptor less; with the last one the vnode loses its reference."""
    filp.count -= 1
    if not filp.count:
        call.vfs.vnodes.release(filp.vnode)


async def lookup_in(call: Call, held: Held) -> Vnode:
    """The object behind a held parent's name, referenced and not locked; links are not followed."""
    node = await held.vnode.fs.lookup_entry(held.vnode.ino, held.name)
    return call.vfs.vnodes.adopt(held.vmnt, node)


async def mknod(call: Call, place: Place, mode: int, rdev: int) -> None:
    if call.credentials.uid and not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        raise NotPermitted
    async with place.parent(call, SERIAL, WRITE) as held:
        _require_directory(call, held.vnode)
        mode, uid, gid = new_owner(call, held.vnode, await masked(call, held.vnode, mode))
        await held.vnode.fs.mknod(held.vnode.ino, held.name, mode, uid, gid, rdev)


async def mkdir(call: Call, place: Place, mode: int) -> None:
    async with place.parent(call, SERIAL, WRITE) as held:
        _require_directory(call, held.vnode)
        mode = await masked(call, held.vnode, stat.S_IFDIR | mode & 0o7777)
        mode, uid, gid = new_owner(call, held.vnode, mode)
        await held.vnode.fs.mkdir(held.vnode.ino, held.name, mode, uid, gid)


def _check_access_mode(flags: int) -> None:
    if flags & os.O_ACCMODE not in _READS:
        raise InvalidArgument


async def _create_in(call: Call, held: Held, mode: int) -> Vnode:
    """CREATE runs with the mount locked exclusively (specification: vfs 3.5)."""
    directory, vmnt = held.vnode, held.vmnt
    _require_directory(call, directory)
    mode = await masked(call, directory, stat.S_IFREG | mode & 0o7777)
    mode, uid, gid = new_owner(call, directory, mode)
    call.vfs.vnodes.require_room()
    await vmnt.lock.upgrade(call)
    try:
        node = await directory.fs.create(directory.ino, held.name, mode, uid, gid)
    finally:
        vmnt.lock.downgrade(call)
    node.rdev = None  # whatever a server answers: a new regular file denotes no device
    return call.vfs.vnodes.adopt(vmnt, node)


def _require_directory(call: Call, directory: Vnode) -> None:
    if not directory.is_directory:
        raise NotDirectory
    require(call, directory, W_BIT | X_BIT)


async def _open_vnode(call: Call, vnode: Vnode, flags: int) -> Filp:
    access = flags & os.O_ACCMODE
    writes = access != os.O_RDONLY
    if stat.S_ISLNK(vnode.mode):
        raise TooManySymlinks  # only O_NOFOLLOW leads here
    require(call, vnode, R_BIT * _READS[access] | W_BIT * (writes or bool(flags & os.O_TRUNC)))
    if flags & os.O_DIRECTORY and not vnode.is_directory:
        raise NotDirectory
    if vnode.is_directory and (writes or flags & os.O_TRUNC):
        raise IsDirectory
    if flags & os.O_TRUNC and vnode.is_regular:
        await vnode.fs.truncate(vnode.ino, 0)
        resized(vnode, 0)
    return _filp(call, dup(vnode), flags)


def _filp(call: Call, vnode: Vnode, flags: int) -> Filp:
    access = flags & os.O_ACCMODE
    return Filp(
        vnode,
        readable=_READS[access],
        writable=access != os.O_RDONLY,
        append=bool(flags & os.O_APPEND),
        runtime=call.vfs.runtime,
    )
