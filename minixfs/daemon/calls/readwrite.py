"""Moving data: read, write, getdents, truncate, fsync."""

from __future__ import annotations

from minixfs.daemon.call import Call
from minixfs.daemon.calls.protect import W_BIT, require, require_writable
from minixfs.daemon.objects import Filp, Vnode
from minixfs.daemon.path import Place
from minixfs.daemon.tll import Mode
from minixfs.errors import BadDescriptor, InvalidArgument, IsDirectory
from minixfs.fs.protocol import DirEntry
from minixfs.hw.blockdev.device import Buffer, Data


async def read(call: Call, filp: Filp, position: int, size: int) -> Buffer:
    """Up to `size` bytes from `position`. The position in `filp` plays no part."""
    if not filp.readable:
        raise BadDescriptor
    vnode = filp.vnode
    if vnode.is_directory:
        raise IsDirectory
    if not size:
        return bytearray()
    await vnode.lock.acquire(Mode.READ, call)
    try:
        return await vnode.fs.read(vnode.ino, position, size)
    finally:
        vnode.lock.release(call)


async def write(call: Call, filp: Filp, position: int | None, data: Data) -> tuple[int, int]:
    """Store `data` at `position`, or at the end of the file for None. Returns the count and the position used."""
    if not filp.writable:
        raise BadDescriptor
    vnode = filp.vnode
    if not len(data):
        return 0, position or 0
    await vnode.lock.acquire(Mode.WRITE, call)
    try:
        require_writable(vnode.vmnt)
        at = vnode.size if position is None else position
        count = await vnode.fs.write(vnode.ino, at, data)
        vnode.size = max(vnode.size, at + count)
        vnode.mode = _without_set_id(vnode.mode)
        return count, at
    finally:
        vnode.lock.release(call)


async def getdents(call: Call, filp: Filp, position: int, count: int) -> list[DirEntry]:
    """Up to `count` entries of an open directory from `position` on."""
    vnode = filp.vnode
    if not filp.readable or not vnode.is_directory:
        raise BadDescriptor
    await vnode.lock.acquire(Mode.READ, call)
    try:
        return await vnode.fs.getdents(vnode.ino, position, count)
    finally:
        vnode.lock.release(call)


async def truncate(call: Call, place: Place, size: int) -> None:
    """Set the size of what the caller may write."""
    if size < 0:
        raise InvalidArgument
    async with place.object(call, Mode.READ, Mode.WRITE) as held:
        require(call, held.vnode, W_BIT)
        await _set_size(held.vnode, size)


async def ftruncate(call: Call, filp: Filp, size: int) -> None:
    """Set the size of a file that is open for writing."""
    if size < 0 or not filp.writable:
        raise InvalidArgument
    await filp.vnode.lock.acquire(Mode.WRITE, call)
    try:
        await _set_size(filp.vnode, size)
    finally:
        filp.vnode.lock.release(call)


async def fsync(call: Call, filp: Filp) -> None:
    """Make everything on the file's mount durable; no vnode is locked meanwhile (specification: vfs 9.3)."""
    vmnt = filp.vnode.vmnt
    await vmnt.lock.acquire(Mode.READ, call)
    try:
        await vmnt.fs.sync()
    finally:
        vmnt.lock.release(call)


async def _set_size(vnode: Vnode, size: int) -> None:
    if vnode.is_directory:
        raise IsDirectory
    if not vnode.is_regular:
        raise InvalidArgument
    if size == vnode.size:
        return
    await vnode.fs.truncate(vnode.ino, size)
    vnode.size = size
    vnode.mode = _without_set_id(vnode.mode)


def _without_set_id(mode: int) -> int:
    """The mode after the contents changed, as the file server sets it."""
    return mode & ~0o6000 if mode & 0o010 else mode & ~0o4000
