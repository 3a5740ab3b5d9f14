"""The objects of VFS: vnode (an inode in use), vmnt (a mounted file system), filp (an open file).

Reference rules. A vnode lives while somebody in VFS refers to it (`ref_count`: an open file, a working directory, a
mount point, the kernel, a running call). `fs_count` is how many references its file server believes we hold: every
lookup or create that found it added one, and all are given back together after the last `release`. Fields that mirror
the file server's (`mode`, `uid`, `gid`, `size`) change only under the vnode's WRITE lock.
"""

from __future__ import annotations

import logging
import stat
from collections import deque
from collections.abc import Sequence

from minixfs.daemon.tll import Rank, ThreeLevelLock
from minixfs.errors import MinixFsError, TooManyOpen
from minixfs.fs.protocol import FileServer, Node
from minixfs.hw.runtime import Runtime

log = logging.getLogger(__name__)

INO_BITS = 32
INO_MASK = (1 << INO_BITS) - 1


class Vnode:
    """One inode in use. `key` is its identity among all mounts.

    Most of those that the kernel knows are never locked, so the lock is made when it is first wanted.
    """

    __slots__ = (
        "_lock", "_runtime", "fs", "fs_count", "gid", "ino", "key", "mode", "rdev", "ref_count", "size", "uid", "vmnt"
    )  # fmt: skip

    def __init__(self, vmnt: Vmnt, node: Node, key: int, runtime: Runtime) -> None:
        self.vmnt = vmnt
        self.fs = vmnt.fs
        self.ino = node.ino
        self.key = key
        self.mode = node.mode
        self.uid = node.uid
        self.gid = node.gid
        self.size = node.size
        self.rdev = node.rdev
        self.ref_count = 0
        self.fs_count = 0
        self._runtime = runtime
        self._lock: ThreeLevelLock | None = None

    @property
    def lock(self) -> ThreeLevelLock:
        if self._lock is None:
            self._lock = ThreeLevelLock(Rank.VNODE, self._runtime)
        return self._lock

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(self.mode)


class Vmnt:
    """One mounted file system. `mounted_on` and `root` are counted references; `has_peek`: its files can be mapped."""

    __slots__ = ("_key", "dev", "fs", "has_peek", "label", "lock", "mounted_on", "path", "read_only", "root", "slot")

    def __init__(self, fs: FileServer, dev: int, slot: int, path: bytes, label: str, runtime: Runtime) -> None:
        self.fs = fs
        self.dev = dev
        self.slot = slot
        self._key = slot << INO_BITS
        self.path = path
        self.label = label
        self.read_only = False
        self.has_peek = False
        self.mounted_on: Vnode | None = None
        self.root: Vnode
        self.lock = ThreeLevelLock(Rank.VMNT, runtime)

    def key_of(self, ino: int) -> int:
        """The key of a vnode. That of the first mount's root is 1, since the kernel knows no other: if the root has
        another inode number, these two change places."""
        root = self.fs.root_inode
        return self._key | (1 if ino == root else root if ino == 1 else ino)

    def keys_of(self, inos: Sequence[int]) -> Sequence[int]:
        """As `key_of`, for many."""
        if self._key == 0 and self.fs.root_inode == 1:
            return inos
        return list(map(self.key_of, inos))

    def ino_of(self, key: int) -> int:
        """The inode number behind the key of one of our vnodes."""
        return self.key_of(key & INO_MASK) & INO_MASK


class Filp:
    """An open file description: a vnode (one counted reference), how it was opened, and where it stands (bytes).

    Its lock guards `position`, which the kernel's files do without: so the lock is made when it is first wanted.
    """

    __slots__ = ("_lock", "_runtime", "append", "count", "position", "readable", "vnode", "writable")

    def __init__(self, vnode: Vnode, *, readable: bool, writable: bool, append: bool, runtime: Runtime) -> None:
        self.vnode = vnode
        self.readable = readable
        self.writable = writable
        self.append = append
        self.position = 0
        self.count = 1
        self._runtime = runtime
        self._lock: ThreeLevelLock | None = None

    @property
    def lock(self) -> ThreeLevelLock:
        if self._lock is None:
            self._lock = ThreeLevelLock(Rank.FILP, self._runtime)
        return self._lock


class VnodeTable:
    """All vnodes in use, by key. `limit` bounds them (0: no bound).

    Letting go of a vnode neither waits nor fails nor can be cancelled, so that it is safe wherever something ends. What
    the file servers must be given back is noted in `_owed`, and every call settles it when it ends; unless somebody
    who settles it while nobody waits for an answer has raised `credit`: then so much may stay owed.
    """

    def __init__(self, runtime: Runtime, limit: int) -> None:
        self._runtime = runtime
        self._limit = limit
        self._vnodes: dict[int, Vnode] = {}
        self._owed: deque[tuple[FileServer, int, int]] = deque()
        self.credit = 0

    def __len__(self) -> int:
        return len(self._vnodes)

    def find(self, key: int) -> Vnode | None:
        return self._vnodes.get(key)

    def on_mount(self, vmnt: Vmnt) -> list[Vnode]:
        return [vnode for vnode in self._vnodes.values() if vnode.vmnt is vmnt]

    def adopt(self, vmnt: Vmnt, node: Node) -> Vnode:
        """The vnode for a node that a file server just gave us with one reference; one more use of it."""
        key = vmnt.key_of(node.ino)
        vnode = self._vnodes.get(key)
        if vnode is None:
            if not self._has_room:
                self.owe(vmnt.fs, node.ino)
                raise TooManyOpen
            vnode = self._vnodes[key] = Vnode(vmnt, node, key, self._runtime)
        vnode.fs_count += 1
        vnode.ref_count += 1
        return vnode

    def require_room(self) -> None:
        """Raise TooManyOpen if there is no room for another vnode."""
        if not self._has_room:
            raise TooManyOpen

    @property
    def _has_room(self) -> bool:
        return not self._limit or len(self._vnodes) < self._limit

    def release(self, vnode: Vnode) -> None:
        """End one use. After the last one the file server is owed all its references."""
        vnode.ref_count -= 1
        if not vnode.ref_count:
            del self._vnodes[vnode.key]
            self.owe(vnode.fs, vnode.ino, vnode.fs_count)

    def owe(self, fs: FileServer, ino: int, count: int = 1) -> None:
        """Note that `fs` is to get `count` references back."""
        self._owed.append((fs, ino, count))

    @property
    def owes(self) -> bool:
        return bool(self._owed)

    @property
    def overdrawn(self) -> bool:
        """Whether more is owed than may be when a call ends."""
        return len(self._owed) > self.credit

    async def settle(self, most: int = -1) -> None:
        """Give the file servers back what is owed: `most` debts, the oldest, or all (-1).

        An inode that cannot be freed now is the checker's business.
        """
        while self._owed and most:
            most -= 1
            fs, ino, count = self._owed.popleft()
            try:
                await fs.putnode(ino, count)
            except MinixFsError as error:
                log.error("releasing inode %d: %s", ino, str(error))

    def forget(self, vmnt: Vmnt) -> None:
        """Drop everything of a mount whose file server is gone."""
        for vnode in self.on_mount(vmnt):
            del self._vnodes[vnode.key]
        self._owed = deque(entry for entry in self._owed if entry[0] is not vmnt.fs)


def dup(vnode: Vnode) -> Vnode:
    """One more use of a vnode that is in use."""
    vnode.ref_count += 1
    return vnode
