"""The nodes that the kernel knows.

A node id of the kernel is the key of a vnode (mount slot and inode number), which makes the root's 1. For every id that
the kernel knows there is one reference to the vnode and a count of how often it was told; when the kernel has
forgotten as many as it was told, the reference goes.

What was removed while the kernel knew it is free only when it is forgotten: who finds the volume full can wait for that
(`forgotten_before`).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

import trio
from pyfuse3 import EntryAttributes

from minixfs.daemon.objects import Vmnt, Vnode, dup
from minixfs.daemon.vfs import Vfs
from minixfs.daemon.view import View
from minixfs.errors import PosixError
from minixfs.fs.protocol import Node


class KnownNodes:
    """`_lookups` counts what the kernel was told of each node; `removed`: something was since the last vain wait."""

    def __init__(self, vfs: Vfs, view: View) -> None:
        self._vfs = vfs
        self._vnodes = vfs.vnodes
        self._view = view
        self._lookups: dict[int, int] = {}
        self._root = dup(vfs.root.root)
        self._forgotten = trio.Event()
        self.removed = False

    def vnode(self, key: int) -> Vnode:
        """The vnode behind a node id. Raises ESTALE for one that the kernel was not told of."""
        vnode = self._vnodes.find(key)
        if vnode is None:
            raise PosixError(errno.ESTALE)
        return vnode

    def adopt(self, vmnt: Vmnt, node: Node) -> Vnode:
        """The vnode of a node that was just looked up, or the root of what is mounted on it, referenced."""
        vnode = self._vnodes.adopt(vmnt, node)
        if len(self._vfs.mounts) > 1:
            below = self._vfs.mounted_on(vmnt, node.ino)
            if below is not None:
                self._vnodes.release(vnode)
                return dup(below.root)
        return vnode

    def tell(self, vnode: Vnode) -> None:
        """The kernel is told of a node. The reference that comes with it is kept only the first time."""
        count = self._lookups.get(vnode.key)
        if count is None:
            self._lookups[vnode.key] = 1
        else:
            self._lookups[vnode.key] = count + 1
            vnode.ref_count -= 1

    async def status(self, vnode: Vnode) -> EntryAttributes:
        """The attributes of a node that the kernel or we refer to. One request of the server: it needs no lock."""
        return self._view.attributes(vnode.key, await vnode.fs.stat(vnode.ino))

    async def entry(self, vnode: Vnode) -> EntryAttributes:
        """The reply that tells the kernel of a node. Takes over one reference."""
        try:
            entry = await self.status(vnode)
        except BaseException:
            self._vnodes.release(vnode)
            raise
        self.tell(vnode)
        return entry

    async def entry_at(self, directory: Vnode, name: bytes) -> EntryAttributes:
        """The reply that tells the kernel what a name leads to. One request of the server: it needs no lock."""
        node, status = await directory.fs.lookup_stat(directory.ino, name)
        vnode = self.adopt(directory.vmnt, node)
        if vnode.vmnt is not directory.vmnt:
            return await self.entry(vnode)
        self.tell(vnode)
        return self._view.attributes(vnode.key, status)

    async def forget(self, counts: Iterable[tuple[int, int]]) -> None:
        """The kernel forgets (node id, how often it was told of it)."""
        for key, count in counts:
            left = self._lookups.get(key, 0) - count
            if left > 0:
                self._lookups[key] = left
            elif key in self._lookups:
                del self._lookups[key]
                self._vnodes.release(self.vnode(key))
        await self._vnodes.settle()
        self._forgotten.set()

    async def forgotten_before(self, deadline: float) -> bool:
        """Wait until the kernel forgets something, if something was removed at all; False when the time is over."""
        if not self.removed:
            return False
        if self._forgotten.is_set():
            self._forgotten = trio.Event()
        with trio.move_on_at(deadline):
            await self._forgotten.wait()
            return True
        self.removed = False
        return False

    async def close(self) -> None:
        """Forget all: the kernel need not say good-bye when a mount ends."""
        for key in self._lookups:
            self._vnodes.release(self.vnode(key))
        self._lookups.clear()
        self._vnodes.release(self._root)
        await self._vnodes.settle()
