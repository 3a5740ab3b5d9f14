"""Moving data: read, write, lseek, getdents, truncate, fsync."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from minixfs.daemon.call import Call
from minixfs.daemon.calls.protect import W_BIT, require, require_writable
from minixfs.daemon.objects import Filp, Vmnt, Vnode
from minixfs.daemon.path import Place
from minixfs.daemon.tll import READ, WRITE
from minixfs.errors import BadDescriptor, InvalidArgument, IsDirectory, MinixFsError
from minixfs.fs.protocol import DirEntry, DirTable
from minixfs.hw.blockdev.device import Buffer, Data

MAX_POSITION = 2**63 - 1


async def read(call: Call, filp: Filp, position: int | None, size: int) -> Buffer:
    """Up to `size` bytes from `position`; None: from where the file stands, which moves on."""
    if not filp.readable:
        raise BadDescriptor
    vnode = filp.vnode
    if vnode.is_directory:
        raise IsDirectory
    if size <= 0:
        if size:
            raise InvalidArgument
        return bytearray()
    if position is not None:
        return await read_at(call, vnode, position, size)
    async with _standing(call, filp):
        data = await vnode.fs.read(vnode.ino, filp.position, size)
        filp.position += len(data)
        return data


async def read_at(call: Call, vnode: Vnode, position: int, size: int) -> Buffer:
    """Up to `size` bytes, at least one, from `position` of a file that may be read."""
    if not vnode.lock.try_acquire(READ, call):
        await vnode.lock.acquire(READ, call)
    try:
        return await vnode.fs.read(vnode.ino, position, size)
    finally:
        vnode.lock.release(call)


async def write(call: Call, filp: Filp, position: int | None, data: Data) -> int:
    """Store `data` at `position`; None: where the file stands (for O_APPEND its end), which moves on.

    Returns the count.
    """
    if not filp.writable:
        raise BadDescriptor
    vnode = filp.vnode
    if not len(data):
        return 0
    if position is not None:
        return await write_at(call, vnode, position, data)
    await vnode.lock.acquire(WRITE, call)
    try:
        at = vnode.size if filp.append else filp.position
        count = await _store(vnode, at, data)
        filp.position = at + count  # whoever uses it has locked the vnode first, so nobody does now
        return count
    finally:
        vnode.lock.release(call)


async def write_at(call: Call, vnode: Vnode, position: int, data: Data) -> int:
    """Store `data`, at least one byte, at `position` of a file that may be written. Returns the count."""
    if not vnode.lock.try_acquire(WRITE, call):
        await vnode.lock.acquire(WRITE, call)
    try:
        return await _store(vnode, position, data)
    finally:
        vnode.lock.release(call)


async def _store(vnode: Vnode, position: int, data: Data) -> int:
    require_writable(vnode.vmnt)
    count = await vnode.fs.write(vnode.ino, position, data)
    resized(vnode, max(vnode.size, position + count))
    return count


async def lseek(call: Call, filp: Filp, offset: int, whence: int) -> int:
    """Move to `offset` bytes from the start, the position or the end; returns the new position."""
    vnode = filp.vnode
    async with _standing(call, filp):
        base = {os.SEEK_SET: 0, os.SEEK_CUR: filp.position, os.SEEK_END: vnode.size}.get(whence)
        if base is None or not 0 <= base + offset <= MAX_POSITION:
            raise InvalidArgument
        moved = base + offset != filp.position
        filp.position = base + offset
        if moved and vnode.is_regular:
            with suppress(MinixFsError):  # only a hint: a server may well not have it
                await vnode.fs.inhibit_readahead(vnode.ino)
        return base + offset


async def getdents(call: Call, filp: Filp, position: int | None, count: int) -> list[DirEntry]:
    """Up to `count` entries of an open directory from `position` on; None: from where the file stands."""
    vnode = filp.vnode
    if not filp.readable or not vnode.is_directory:
        raise BadDescriptor
    if position is not None:
        return await getdents_at(call, vnode, position, count)
    async with _standing(call, filp):
        entries = await vnode.fs.getdents(vnode.ino, filp.position, count)
        if entries:
            filp.position = entries[-1].next
        return entries


async def getdents_at(call: Call, directory: Vnode, position: int, count: int) -> list[DirEntry]:
    """Up to `count` entries of a directory that may be read, from `position` on."""
    if not directory.lock.try_acquire(READ, call):
        await directory.lock.acquire(READ, call)
    try:
        return await directory.fs.getdents(directory.ino, position, count)
    finally:
        directory.lock.release(call)


async def getdents_table_at(call: Call, directory: Vnode, position: int, count: int) -> DirTable:
    """As `getdents_at`, as columns; see `FileServer.getdents_table`."""
    if not directory.lock.try_acquire(READ, call):
        await directory.lock.acquire(READ, call)
    try:
        return await directory.fs.getdents_table(directory.ino, position, count)
    finally:
        directory.lock.release(call)


async def truncate(call: Call, place: Place, size: int) -> None:
    """Set the size of what the caller may write."""
    if size < 0:
        raise InvalidArgument
    async with place.object(call, READ, WRITE) as held:
        require(call, held.vnode, W_BIT)
        await _set_size(held.vnode, size)


async def ftruncate(call: Call, filp: Filp, size: int) -> None:
    """Set the size of a file that is open for writing."""
    if size < 0:
        raise InvalidArgument
    if not filp.writable:
        raise BadDescriptor
    await filp.vnode.lock.acquire(WRITE, call)
    try:
        await _set_size(filp.vnode, size)
    finally:
        filp.vnode.lock.release(call)


async def fsync(call: Call, vmnt: Vmnt) -> None:
    """Make everything on a file's mount durable; no vnode is locked meanwhile (specification: vfs 9.3)."""
    await vmnt.lock.acquire(READ, call)
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
    resized(vnode, size)


def resized(vnode: Vnode, size: int) -> None:
    """Mirror what the file server did when the contents changed: the size, and the set-id bits that go with it."""
    vnode.size = size
    vnode.mode &= ~0o6000 if vnode.mode & 0o010 else ~0o4000


@asynccontextmanager
async def _standing(call: Call, filp: Filp) -> AsyncIterator[None]:
    """Lock what is needed to do something where a file stands, and to move that."""
    await filp.vnode.lock.acquire(READ, call)
    try:
        await filp.lock.acquire(WRITE, call)
        try:
            yield
        finally:
            filp.lock.release(call)
    finally:
        filp.vnode.lock.release(call)
