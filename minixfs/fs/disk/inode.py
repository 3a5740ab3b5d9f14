"""In-core inodes and the inode table.

    inode = await inodes.get(number)     loaded if need be, count raised
    inode = inodes.open(number)          only if somebody already holds it, else InvalidArgument
    inodes.put(inode)                    count lowered; True when the inode has no names and no users left: free it

Life of an inode: on the disk -> idle (cached, count 0) <-> in use (count > 0). Changing a field sets `dirty`; the
record goes into the inode's block when the server commits (`store_dirty`), not before. An inode without names that
nobody uses any more is *freed*: `release` forgets it, and its record on the disk is zeroed by `erase_released` only
when the directories that named it are written (see `bitmap`).

A record on the disk that a name leads to has a known type and a positive link count; `get` refuses all others, so that
a bad image cannot make us free what it still names.

Where records are and how they are stored is the format's matter: its `Codec`.

Invariants (`check`): an inode is on the idle list iff its count is 0; idle dirty inodes are never dropped.
"""

from __future__ import annotations

import stat
from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import TYPE_CHECKING

from minixfs.errors import Corrupt, InvalidArgument, TooManyOpen
from minixfs.fs.libminixfs.buffer import Buf
from minixfs.fs.libminixfs.write_order import Order

if TYPE_CHECKING:
    from minixfs.fs.disk.volume import Volume

FILE_TYPES = frozenset(
    (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)
)
_DEVICES = (stat.S_IFCHR, stat.S_IFBLK)
_WITH_ZONES = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
IDLE_INODES = 512
"""Unused inodes that stay in memory (MINIX: the size of its table)."""

AHEAD = 1 << 15
"""Bytes of the inode table that are read at once."""


class Inode:
    """One in-core inode. `size` is bytes, times are nanoseconds; `zones` are the pointers of the disk record.

    `zones_used` is the number of allocated zones, or None until somebody asks. `search_zone` is where the next zone
    of the file is looked for. `leaves` are the zones of its indirect blocks of the lowest level, as far as known, by
    their number in the file. `mountpoint` says that another file system covers it. `after_seek` inhibits read-ahead
    once.
    """

    __slots__ = (
        "after_seek",
        "atime",
        "count",
        "ctime",
        "dirty",
        "gid",
        "leaves",
        "mode",
        "mountpoint",
        "mtime",
        "nlinks",
        "num",
        "search_zone",
        "size",
        "uid",
        "zones",
        "zones_used",
    )

    mode: int
    nlinks: int
    uid: int
    gid: int
    size: int
    atime: int
    mtime: int
    ctime: int
    zones: list[int]

    def __init__(self, num: int) -> None:
        """The rest of the fields is the codec's to set."""
        self.num = num
        self.count = 0
        self.dirty = False
        self.mountpoint = False
        self.after_seek = False
        self.search_zone = 0
        self.leaves: dict[int, int] = {}
        self.zones_used: int | None = None

    @property
    def is_directory(self) -> bool:
        return self.mode & 0o170000 == stat.S_IFDIR

    @property
    def is_regular(self) -> bool:
        return self.mode & 0o170000 == stat.S_IFREG

    @property
    def is_symlink(self) -> bool:
        return self.mode & 0o170000 == stat.S_IFLNK

    @property
    def is_device(self) -> bool:
        return self.mode & 0o170000 in _DEVICES

    @property
    def has_zones(self) -> bool:
        """Whether the pointers are zones (and not a device number, or nothing)."""
        return self.mode & 0o170000 in _WITH_ZONES

    @property
    def zones_besides(self) -> int:
        """How many zones it has that are not in its map."""
        return 0

    @property
    def may_have_attributes(self) -> bool:
        """False if it surely has no extended attributes: mostly so, and nothing has to be read to know."""
        return False

    @property
    def rdev(self) -> int:
        """The device number of a device node, as os.makedev makes it."""
        return self.zones[0]

    @rdev.setter
    def rdev(self, number: int) -> None:
        self.zones[0] = number

    @property
    def fast_text(self) -> bytes | None:
        """The text of a symbolic link that is kept in the inode; None if it is in a zone."""
        return None

    @fast_text.setter
    def fast_text(self, text: bytes) -> None:
        raise NotImplementedError


class Codec(ABC):
    """How a format keeps its inodes. `size` is that of a record in bytes."""

    size: int

    @abstractmethod
    def locate(self, number: int) -> tuple[int, int]:
        """The block of an inode's record, and the offset of the record in it."""

    @abstractmethod
    def load(self, number: int, data: memoryview, offset: int) -> Inode: ...

    @abstractmethod
    def store(self, inode: Inode, data: memoryview, offset: int) -> None: ...

    @abstractmethod
    def fresh(self, number: int, mode: int, parent: Inode, now: int) -> Inode:
        """An inode of that mode, to be named in directory `parent`, without anything in it yet."""

    def erase(self, data: memoryview, offset: int) -> None:
        """Make a freed inode's record that of a free one."""
        data[offset : offset + self.size] = bytes(self.size)


class InodeTable:
    """The inodes of one volume that are in memory."""

    def __init__(self, volume: Volume, codec: Codec) -> None:
        self._volume = volume
        self._codec = codec
        self._last = volume.shape.inodes
        self._limit = volume.settings.inode_limit
        self._inodes: dict[int, Inode] = {}
        self._idle: OrderedDict[int, Inode] = OrderedDict()
        self._dirty: dict[int, Inode] = {}
        self._released: list[int] = []

    def cached(self, number: int) -> Inode | None:
        """The inode if it is in memory, now in use; else None."""
        inode = self._inodes.get(number)
        if inode is not None:
            if not inode.count:
                del self._idle[number]
            inode.count += 1
        return inode

    async def get(self, number: int) -> Inode:
        """The inode, loaded if need be, now in use. Raises Corrupt for a number or a record that cannot be."""
        inode = self.cached(number)
        if inode is not None:
            return inode
        if not 1 <= number <= self._last:
            raise Corrupt("inode number out of range", inode=number)
        self._check_limit()
        block, offset = self._codec.locate(number)
        buf = self._volume.cache.get_cached(block)
        if buf is None:
            await self._read_ahead(number)
            buf = self._volume.cache.get_cached(block) or await self._volume.cache.get(block)
            inode = self.cached(number)  # somebody else may have loaded it while we waited
        try:
            if inode is None:
                inode = self._codec.load(number, buf.data, offset)
                if inode.mode & 0o170000 not in FILE_TYPES or not inode.nlinks:
                    raise Corrupt(f"not a file in use (mode {inode.mode:o}, {inode.nlinks} links)", inode=number)
                self._enter(inode)
        finally:
            self._volume.cache.put(buf)
        return inode

    def peek(self, number: int) -> Inode | None:
        """The inode if it is in memory, in use or not."""
        return self._inodes.get(number)

    def open(self, number: int) -> Inode:
        """The inode that VFS holds a reference to; InvalidArgument if it holds none."""
        inode = self._inodes.get(number)
        if inode is None or not inode.count:
            raise InvalidArgument(message=f"inode {number} is not open")
        return inode

    def put(self, inode: Inode, count: int = 1) -> bool:
        """End `count` uses. True: nobody uses it and no name leads to it, so the caller must free it."""
        inode.count -= count
        if inode.count:
            return False
        inode.mountpoint = False
        self._idle[inode.num] = inode
        if inode.nlinks == 0:
            return True
        if len(self._idle) > IDLE_INODES:
            self._shrink(2)
        return False

    async def new(self, mode: int, uid: int, gid: int, parent: Inode) -> Inode:
        """A fresh inode in use, with one link and no zones, to be named in `parent`. Raises NoSpace."""
        self._check_limit()
        number = await self._volume.allocate_inode(mode, parent)
        if number in self._inodes:
            raise Corrupt("in use, but free in the bitmap", inode=number)
        now = self._volume.now()
        inode = self._enter(self._codec.fresh(number, mode, parent, now))
        inode.mode, inode.nlinks, inode.uid, inode.gid = mode, 1, uid, gid
        inode.atime = inode.mtime = inode.ctime = now
        inode.zones_used = 0
        self.mark_dirty(inode)
        return inode

    def mark_dirty(self, inode: Inode) -> None:
        if not inode.dirty:
            inode.dirty = True
            self._dirty[inode.num] = inode

    def release(self, inode: Inode) -> None:
        """The inode (idle, nameless, without zones) is to be free; its number follows when it is safe."""
        del self._idle[inode.num]
        del self._inodes[inode.num]
        self._dirty.pop(inode.num, None)
        self._released.append(inode.num)
        self._volume.free_inode(inode)

    def nameless(self) -> list[Inode]:
        """Idle inodes without a name that could not be freed yet."""
        return [inode for inode in self._idle.values() if inode.nlinks == 0]

    @property
    def in_use(self) -> int:
        """How many inodes VFS or the server itself holds."""
        return len(self._inodes) - len(self._idle)

    async def store_dirty(self) -> None:
        """Put every dirty inode's record into its block of the cache."""
        cache, buf = self._volume.cache, None
        try:
            for number in sorted(self._dirty):
                block, offset = self._codec.locate(number)
                if buf is None or buf.block != block:
                    if buf is not None:
                        cache.put(buf)
                        buf = None
                    buf = await self._block(block)
                    cache.mark_dirty(buf, Order.INODE)
                inode = self._dirty[number]
                self._codec.store(inode, buf.data, offset)
                inode.dirty = False
                del self._dirty[number]
        finally:
            if buf is not None:
                cache.put(buf)
        self._shrink(len(self._idle))

    async def erase_released(self) -> None:
        """Make the records of freed inodes in the cache those of free ones."""
        self._released.sort()
        while self._released:
            block, offset = self._codec.locate(self._released[-1])
            with await self._block(block) as buf:
                while True:
                    self._codec.erase(buf.data, offset)
                    self._released.pop()
                    if not self._released:
                        break
                    next_block, offset = self._codec.locate(self._released[-1])
                    if next_block != block:
                        break
                self._volume.cache.mark_dirty(buf, Order.INODE)

    def _enter(self, inode: Inode) -> Inode:
        inode.count = 1
        self._inodes[inode.num] = inode
        return inode

    def _check_limit(self) -> None:
        if self._limit and self.in_use >= self._limit:
            raise TooManyOpen

    def _shrink(self, tries: int) -> None:
        """Look at the `tries` oldest surplus idle inodes and drop the clean ones; dirty ones may be many."""
        for _ in range(min(tries, len(self._idle) - IDLE_INODES)):
            number, inode = next(iter(self._idle.items()))
            if inode.dirty or not inode.nlinks:
                self._idle.move_to_end(number)
            else:
                del self._idle[number]
                del self._inodes[number]

    async def _read_ahead(self, number: int) -> None:
        """Inodes that were made together are wanted together: fetch the next blocks of the table, too."""
        per_block = self._volume.block_size // self._codec.size
        numbers = range(number, min(number + AHEAD // self._codec.size, self._last + 1), per_block)
        await self._volume.cache.prefetch([(self._codec.locate(one)[0], 0, 0) for one in numbers])

    async def _block(self, block: int) -> Buf:
        return self._volume.cache.get_cached(block) or await self._volume.cache.get(block)

    def check(self) -> None:
        """Assert the invariants (tests)."""
        for number, inode in self._inodes.items():
            assert inode.num == number
            assert (number in self._idle) == (inode.count == 0)
            assert (number in self._dirty) == inode.dirty
        assert set(self._idle) <= set(self._inodes)
