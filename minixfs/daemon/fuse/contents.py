"""Requests about what is in files and directories. All is moved by node: there is nothing to keep of what is open."""

from __future__ import annotations

import errno
import os

from minixfs.daemon.call import Call
from minixfs.daemon.calls import readwrite
from minixfs.daemon.fuse import listing
from minixfs.daemon.fuse.shown import OPENED, SET_ID, Shown, patient
from minixfs.daemon.fuse.wire import (
    OPEN_IN,
    OPEN_KILL_SUIDGID,
    READ_IN,
    WRITE_IN,
    WRITE_KILL_SUIDGID,
    WRITE_OUT,
    Feature,
    Request,
)
from minixfs.daemon.objects import Vnode
from minixfs.daemon.path import ByNode
from minixfs.errors import FileTooBig, PosixError
from minixfs.hw.blockdev.device import Buffer, Data

SYNCED_FILES = 256
"""Of so many files it is remembered how large they were when they were last synced."""


class ContentRequests(Shown):
    """The handlers of these requests."""

    async def _open(self, request: Request) -> bytes:
        flags, told = OPEN_IN.unpack_from(request.body)
        if self.features & Feature.NO_OPEN_SUPPORT:
            raise PosixError(errno.ENOSYS)
        vnode = self.held.get(request.node) or await self.known.revive(request.node)
        if flags & os.O_TRUNC:
            async with self.vfs.call() as call:
                await self.resize(call, ByNode(vnode), 0, kill=self.kills(request, told & OPEN_KILL_SUIDGID))
        if flags & os.O_ACCMODE != os.O_WRONLY and vnode.is_regular and await vnode.fs.accessed(vnode.ino):
            self.attributes_changed(vnode.key)
        return OPENED

    async def _release(self, request: Request) -> bytes:
        return b""

    async def _read(self, request: Request) -> Buffer:
        _, offset, size, _, _, _, _ = READ_IN.unpack_from(request.body)
        vnode = self.held.get(request.node) or await self.known.revive(request.node)
        async with self.vfs.call() as call:
            return await readwrite.read_at(call, vnode, offset, size)

    @patient
    async def _write(self, request: Request) -> bytes:
        _, offset, size, told, _, _, _ = WRITE_IN.unpack_from(request.body)
        data = request.body[WRITE_IN.size :]
        vnode = self.held.get(request.node) or await self.known.revive(request.node)
        set_id = vnode.mode & SET_ID
        async with self.vfs.call() as call:
            try:
                count = await readwrite.write_at(call, vnode, offset, data)
            except FileTooBig:
                count = await _write_what_fits(call, vnode, offset, data)
            if count < size and self.features & Feature.WRITEBACK_CACHE:
                await readwrite.write_at(call, vnode, offset + count, data[count:])  # to fail: no short count is taken
            if set_id:
                await self.settle_set_id(call, vnode, set_id, kill=self.kills(request, told & WRITE_KILL_SUIDGID))
        return WRITE_OUT.pack(count, 0)

    async def _fsync(self, request: Request) -> bytes:
        vnode = await self.known.vnode(request.node)
        async with self.vfs.call() as call:
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
            self.attributes_changed(vnode.key)

    # ---- directories ------------------------------------------------------------------------------------------

    async def _opendir(self, request: Request) -> bytes:
        if self.features & Feature.NO_OPENDIR_SUPPORT:
            raise PosixError(errno.ENOSYS)
        return OPENED

    async def _readdir(self, request: Request) -> bytes:
        _, offset, size, _, _, _, _ = READ_IN.unpack_from(request.body)
        vnode = await self.known.vnode(request.node)
        async with self.vfs.call() as call:
            return await listing.names(call, vnode, offset, size)

    async def _readdirplus(self, request: Request) -> bytes:
        _, offset, size, _, _, _, _ = READ_IN.unpack_from(request.body)
        vnode = await self.known.vnode(request.node)
        async with self.vfs.call() as call:
            return await listing.nodes(call, vnode, offset, size, self.known)


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
