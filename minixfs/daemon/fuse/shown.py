"""What all handlers share: the file system as it is shown, what the kernel knows of it, what was agreed with it."""

from __future__ import annotations

import functools
import stat
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import trio

from minixfs.daemon.call import Call
from minixfs.daemon.calls import protect, readwrite
from minixfs.daemon.fuse.known import KnownNodes
from minixfs.daemon.fuse.view import View
from minixfs.daemon.fuse.wire import (
    FOPEN_KEEP_CACHE,
    OPEN_OUT,
    Feature,
    Request,
)
from minixfs.daemon.objects import Vnode
from minixfs.daemon.path import ByNode
from minixfs.daemon.vfs import Vfs
from minixfs.errors import NoSpace
from minixfs.fs.protocol import SUPER_USER, Credentials

FORGET_PATIENCE = 1.0
"""Seconds that the kernel is given to forget what was removed, before a volume counts as full."""
SET_ID = stat.S_ISUID | stat.S_ISGID
OPENED = OPEN_OUT.pack(0, FOPEN_KEEP_CACHE, 0)
"""The end of a reply to an open."""


class Shown:
    """`vfs` shown to the kernel as `view` says. `attributes_changed` has the kernel ask for those of a node again."""

    def __init__(
        self, vfs: Vfs, view: View, held_nodes: int = 0, attributes_changed: Callable[[int], None] = lambda _: None
    ) -> None:
        """`held_nodes`: how many of the nodes that the kernel knows may stay in memory (0: all)."""
        servers = [vmnt.fs for vmnt in vfs.mounts.values()]
        self.vfs = vfs
        self.view = view
        self.known = KnownNodes(vfs, view, held_nodes)
        self.held = self.known.held
        self._absent = view.absence()
        self.has_xattrs = view.xattrs and any(fs.has_xattrs for fs in servers)
        self.stamps_access = any(fs.stamps_access for fs in servers)
        self.features = 0  # bits of `wire.Feature`
        self._allocated: dict[int, int] = {}  # blocks of files when they were last synced, of some
        self.attributes_changed = attributes_changed

    def maker(self, request: Request, umask: int = 0) -> Call:
        """A call that makes something: it belongs to who asked."""
        owner = SUPER_USER if self.view.fakeroot else _credentials(request.uid, request.gid)
        return Call(self.vfs, SUPER_USER, umask if self.features & Feature.DONT_MASK else 0, owner)

    async def resize(self, call: Call, place: ByNode, size: int, *, kill: bool) -> None:
        """Set the size of a file."""
        set_id = place.vnode.mode & SET_ID
        await readwrite.truncate(call, place, size)
        await self.settle_set_id(call, place.vnode, set_id, kill=kill)

    def kills(self, request: Request, told: int) -> bool:
        """Whether new contents take the set-id bits away: as the kernel says, or an old kernel leaves it to us."""
        return bool(told) if self.features & Feature.HANDLE_KILLPRIV_V2 else request.uid != 0

    async def settle_set_id(self, call: Call, vnode: Vnode, before: int, *, kill: bool) -> None:
        """A file server takes the set-id bits away with new contents: put them back, or tell the kernel."""
        if vnode.mode & SET_ID == before:
            return
        if kill:
            self.attributes_changed(vnode.key)
        else:
            await protect.chmod(call, ByNode(vnode), vnode.mode & ~SET_ID | before)


S = TypeVar("S", bound=Shown)


def patient(handler: Callable[[S, Request], Awaitable[bytes]]) -> Callable[[S, Request], Coroutine[Any, Any, bytes]]:
    """A request that finds the volume full is tried again when something was removed: that is free only once the kernel
    has forgotten it."""

    @functools.wraps(handler)
    async def try_again(self: S, request: Request) -> bytes:
        deadline: float | None = None
        while True:
            try:
                return await handler(self, request)
            except NoSpace:
                if self.vfs.vnodes.owes:
                    await self.vfs.vnodes.settle()
                    continue
                deadline = deadline or trio.current_time() + FORGET_PATIENCE
                if not await self.known.forgotten_before(deadline):
                    raise

    return try_again


@functools.lru_cache
def _credentials(uid: int, gid: int) -> Credentials:
    return Credentials(uid, gid)
