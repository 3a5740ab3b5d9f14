"""Requests that make, move and remove names."""

from __future__ import annotations

from minixfs.daemon.calls import link as names
from minixfs.daemon.calls import open as opening
from minixfs.daemon.fuse.shown import OPENED, Shown, patient
from minixfs.daemon.fuse.wire import (
    CREATE_IN,
    LINK_IN,
    MKDIR_IN,
    MKNOD_IN,
    RENAME2_IN,
    RENAME_IN,
    Request,
)
from minixfs.daemon.objects import dup
from minixfs.daemon.path import ByName, ByNode
from minixfs.errors import Exists, InvalidArgument

RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2


class NameRequests(Shown):
    """The handlers of these requests."""

    @patient
    async def _mknod(self, request: Request) -> bytes:
        mode, rdev, umask, _ = MKNOD_IN.unpack_from(request.body)
        place = ByName(await self.known.vnode(request.node), request.name(MKNOD_IN.size))
        async with self.maker(request, umask) as call:
            await opening.mknod(call, place, mode, rdev)
            return await self.known.entry_at(place.directory, place.name)

    @patient
    async def _mkdir(self, request: Request) -> bytes:
        mode, umask = MKDIR_IN.unpack_from(request.body)
        place = ByName(await self.known.vnode(request.node), request.name(MKDIR_IN.size))
        async with self.maker(request, umask) as call:
            await opening.mkdir(call, place, mode)
            return await self.known.entry_at(place.directory, place.name)

    @patient
    async def _symlink(self, request: Request) -> bytes:
        name, target = request.names()
        place = ByName(await self.known.vnode(request.node), name)
        async with self.maker(request) as call:
            await names.symlink(call, target, place)
            return await self.known.entry_at(place.directory, name)

    @patient
    async def _link(self, request: Request) -> bytes:
        vnode = await self.known.vnode(*LINK_IN.unpack_from(request.body))
        place = ByName(await self.known.vnode(request.node), request.name(LINK_IN.size))
        async with self.vfs.call() as call:
            await names.link(call, ByNode(vnode), place)
            return await self.known.entry(dup(vnode))

    @patient
    async def _create(self, request: Request) -> bytes:
        flags, mode, umask, _ = CREATE_IN.unpack_from(request.body)
        place = ByName(await self.known.vnode(request.node), request.name(CREATE_IN.size))
        async with self.maker(request, umask) as call:
            try:
                filp = await opening.create_new(call, place, flags, mode)  # the kernel has looked the name up
            except Exists:
                filp = await opening.create(call, place, flags, mode)
            return await self.known.entry(filp.vnode) + OPENED  # which takes over the reference of the file

    async def _unlink(self, request: Request) -> bytes:
        place = await self._to_remove(request.node, request.name())
        async with self.vfs.call() as call:
            await names.unlink(call, place)
        return b""

    async def _rmdir(self, request: Request) -> bytes:
        place = await self._to_remove(request.node, request.name())
        async with self.vfs.call() as call:
            await names.rmdir(call, place)
        return b""

    @patient
    async def _rename(self, request: Request) -> bytes:
        (directory,) = RENAME_IN.unpack_from(request.body)
        return await self._move(request.node, directory, *request.names(RENAME_IN.size))

    @patient
    async def _rename2(self, request: Request) -> bytes:
        directory, flags, _ = RENAME2_IN.unpack_from(request.body)
        if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE):
            raise InvalidArgument
        return await self._move(request.node, directory, *request.names(RENAME2_IN.size), flags)

    async def _move(self, node: int, new_node: int, name: bytes, new_name: bytes, flags: int = 0) -> bytes:
        old = ByName(await self.known.vnode(node), name)
        new = await self._to_remove(new_node, new_name)
        async with self.vfs.call() as call:
            await names.rename(
                call, old, new, replace=not flags & RENAME_NOREPLACE, exchange=bool(flags & RENAME_EXCHANGE)
            )
        return b""

    async def _to_remove(self, node: int, name: bytes) -> ByName:
        """A name that is about to lose what it leads to. That stays as long as the kernel knows it."""
        place = ByName(await self.known.vnode(node), name)
        await self.known.hold(place.directory, name)
        self.known.removed = True
        return place
