"""The nodes that the kernel knows.

A node id of the kernel is the key of a vnode (mount slot and inode number), which makes the root's 1. Of every id that
the kernel knows we keep how often it was told; it forgets as often. How many it knows is its own affair, so only so
many are kept with their vnodes:

    unknown -> held: we have a reference to the vnode <-> parked: we have the count alone -> unknown

`vnode` makes a parked node a held one. `park` lets go of the nodes that were held longest; between requests, since a
request may be using a vnode on the strength of our reference. What has no name any more stays held, or its inode could
become another file's: so who removes a name has to `hold` what it leads to before.

What was removed while the kernel knew it is free only when it is forgotten: who finds the volume full can wait for that
(`forgotten_before`).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice

import trio

from minixfs.daemon.fuse.view import View
from minixfs.daemon.fuse.wire import NAMELESS_ENTRY
from minixfs.daemon.objects import INO_BITS, Vmnt, Vnode, dup
from minixfs.daemon.vfs import Vfs
from minixfs.errors import MinixFsError, PosixError
from minixfs.fs.protocol import DirEntry, Node

BYTES_A_NODE = 2048
"""What a held node takes, in VFS and in its file server; and a bit more."""
_DOTS = frozenset((b".", b".."))


class KnownNodes:
    """`_counts`: how often the kernel was told of each node; `held`: the vnodes, the root's always among them.

    No more than `limit` are held for long (0: no bound), and an eighth above it: when there are `_crowd`, it is time to
    `park`. `removed`: something was since the last vain wait.
    """

    def __init__(self, vfs: Vfs, view: View, limit: int) -> None:
        self._vfs = vfs
        self._vnodes = vfs.vnodes
        self._view = view
        self._limit = self._crowd = limit
        root = dup(vfs.root.root)
        self._counts: dict[int, int] = {root.key: 1}  # the kernel knows the root untold
        self.held: dict[int, Vnode] = {root.key: root}
        self._parked = 0
        self._forgotten = trio.Event()
        self.removed = False

    async def vnode(self, key: int) -> Vnode:
        """The vnode behind a node id. Raises ESTALE for one that the kernel was not told of, or cannot be read.

        The same as `held.get(key) or await revive(key)`, which is for requests that are often made.
        """
        return self.held.get(key) or await self.revive(key)

    async def revive(self, key: int) -> Vnode:
        """The vnode behind the id of a node that is not held."""
        vmnt = self._vfs.mounts.get(key >> INO_BITS)
        if vmnt is None or key not in self._counts:
            raise PosixError(errno.ESTALE)
        (found,) = await vmnt.fs.getnodes([DirEntry(vmnt.ino_of(key), 0, b"")])
        if found is None:
            raise PosixError(errno.ESTALE)
        self._keep(self._vnodes.adopt(vmnt, found[0]))
        vnode = self.held.get(key)
        if vnode is None:
            raise PosixError(errno.ESTALE)
        return vnode

    def _keep(self, vnode: Vnode) -> None:
        """Hold a node with the reference that the caller has, unless it is held or not known at all."""
        if vnode.key in self.held or vnode.key not in self._counts:
            self._vnodes.release(vnode)
        else:
            self.held[vnode.key] = vnode
            self._parked -= 1

    async def hold(self, directory: Vnode, name: bytes) -> None:
        """Hold what a name leads to, which may be its last. Does nothing if there is no such name."""
        if self._parked:
            with suppress(MinixFsError):  # the removal itself will meet the same and say so
                node = await directory.fs.lookup_entry(directory.ino, name)
                self._keep(self._vnodes.adopt(directory.vmnt, node))

    @property
    def crowded(self) -> bool:
        """Whether there is something for `park` to do."""
        return 0 < self._crowd < len(self.held)

    async def park(self, busy: Callable[[], bool]) -> None:
        """Between requests: let go of the nodes that were held longest. Stops when a request comes (`busy`)."""
        surplus = len(self.held) - self._limit
        for key, vnode in list(islice(self.held.items(), 2 * surplus)):
            if busy() or not surplus:
                break
            stays = vnode.ref_count > 1 or await _is_nameless(vnode)
            if busy() or self.held.get(key) is not vnode:
                continue  # it was forgotten meanwhile, and perhaps told anew
            del self.held[key]
            if stays or vnode.ref_count > 1:
                self.held[key] = vnode  # last in line
            else:
                self._vnodes.release(vnode)
                self._parked += 1
                surplus -= 1
        self._crowd = max(self._limit, len(self.held)) + self._limit // 8
        await self._vnodes.settle()

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
        """The kernel is told of a node. The reference that comes with it is kept if we have none."""
        count = self._counts.get(vnode.key)
        self._counts[vnode.key] = (count or 0) + 1
        if vnode.key in self.held:
            vnode.ref_count -= 1
        else:
            self.held[vnode.key] = vnode
            self._parked -= count is not None

    async def entry(self, vnode: Vnode) -> bytes:
        """The reply that tells the kernel of a node. Takes over one reference."""
        try:
            status = await vnode.fs.stat(vnode.ino)
        except BaseException:
            self._vnodes.release(vnode)
            raise
        self.tell(vnode)
        return self._view.entry(vnode.key, status)

    async def entry_at(self, directory: Vnode, name: bytes) -> bytes:
        """The reply that tells the kernel what a name leads to. One request of the server: it needs no lock."""
        node, status = await directory.fs.lookup_stat(directory.ino, name)
        vnode = self.adopt(directory.vmnt, node)
        if vnode.vmnt is not directory.vmnt:
            return await self.entry(vnode)
        self.tell(vnode)
        return self._view.entry(vnode.key, status)

    async def entries(self, directory: Vnode, entries: Sequence[DirEntry]) -> list[tuple[bytes, int]]:
        """The replies that tell the kernel what the names of a listing lead to, with the modes of these nodes.

        Of ``.``, ``..`` and what cannot be read it is told nothing.
        """
        view, vmnt = self._view, directory.vmnt
        found = iter(await directory.fs.getnodes([entry for entry in entries if entry.name not in _DOTS]))
        told: list[tuple[bytes, int]] = []
        for entry in entries:
            pair = None if entry.name in _DOTS else next(found)
            if pair is None:
                told.append((NAMELESS_ENTRY, 0))
                continue
            node, status = pair
            vnode = self.adopt(vmnt, node)
            if vnode.vmnt is vmnt:
                self.tell(vnode)
                told.append((view.entry(vnode.key, status), status.mode))
            else:
                told.append((await self.entry(vnode), vnode.mode))
        return told

    async def forget(self, counts: Iterable[tuple[int, int]]) -> None:
        """The kernel forgets (node id, how often it was told of it)."""
        for key, count in counts:
            left = self._counts.get(key, 0) - count
            if left > 0:
                self._counts[key] = left
            elif self._counts.pop(key, None) is not None:
                vnode = self.held.pop(key, None)
                if vnode is None:
                    self._parked -= 1
                else:
                    self._vnodes.release(vnode)
        if self._vnodes.overdrawn:
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
        for vnode in self.held.values():
            self._vnodes.release(vnode)
        self.held.clear()
        self._counts.clear()
        await self._vnodes.settle()


async def _is_nameless(vnode: Vnode) -> bool:
    """Whether the last name of a node is gone, or we cannot know."""
    try:
        return not (await vnode.fs.stat(vnode.ino)).nlink
    except MinixFsError:
        return True
