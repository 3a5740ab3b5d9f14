"""Directories, as far as formats agree: names with the inodes they lead to, an index of them, and the blocks below.

Every directory that is searched gets an index (name -> position and inode), built in one pass and kept up to date; the
indexes of the least recently used directories are dropped when they hold too many names together. In a directory of
several blocks the first few names are searched for in the blocks instead: of many it may never be asked for more.
Where in the directory a name is (its *position*), and how room for a new one is found, is the format's matter. A
position stays valid while other entries come and go.

Whoever wants to change an existing name holds its `Entry`: the block is in use, so that the change itself cannot fail
or wait. The entry tells the block too, so that a rename can say in which order its two blocks must reach the disk.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

from minixfs.errors import Corrupt, Exists, FileTooBig, InvalidArgument, NameTooLong, NotDirectory, NotFound
from minixfs.fs.disk.inode import Inode, InodeTable
from minixfs.fs.disk.volume import Volume
from minixfs.fs.disk.zones import ZoneMap
from minixfs.fs.libminixfs.buffer import Buf
from minixfs.fs.protocol import DirEntry, DirTable

MAPPED_DIRECTORIES = 4096
"""Directories whose disk blocks are remembered at once."""
SEARCHES = 4
"""Names that are searched for in the blocks of a large directory before it gets an index."""
SEARCHED_BLOCKS = 64
"""A directory of fewer blocks gets its index at once: who makes something in it needs that anyway."""
BYTES_A_NAME = 256
"""Memory for cached blocks that there must be for each name that all indexes together may hold."""


@dataclass(slots=True)
class Index:
    """Of one directory. `names` maps a name to position << 32 | inode; `blocks` is how many blocks there are."""

    names: dict[bytes, int]
    blocks: int


I = TypeVar("I", bound=Index)  # noqa: E741 - an index


@dataclass(slots=True)
class Entry:
    """A name in a directory and the number of the inode that it leads to, with the buffer that holds it in use."""

    directory: Inode
    name: bytes
    position: int
    number: int
    buf: Buf

    def __enter__(self) -> Entry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.buf.owner.put(self.buf)


class Directories(ABC, Generic[I]):
    """The directories of one volume."""

    def __init__(self, volume: Volume, inodes: InodeTable, zones: ZoneMap) -> None:
        self._volume = volume
        self._inodes = inodes
        self._zones = zones
        self._name_max = volume.shape.name_max
        self._empty_block = self._empty()
        self._indexes: OrderedDict[int, I] = OrderedDict()
        self._indexed = 0
        self._searches: dict[int, int] = {}  # in each directory without an index
        self._most_indexed = volume.cache.memory // BYTES_A_NAME
        self._blocks: dict[int, list[int]] = {}  # disk blocks of each directory in use; they never move

    # ---- looking ---------------------------------------------------------------------------------------------------

    def clip(self, name: bytes) -> bytes:
        """The name as it is stored. Too long: cut as MINIX does if the mount says so, else NameTooLong."""
        if len(name) <= self._name_max:
            return name
        if not self._volume.settings.truncate_names:
            raise NameTooLong
        return name[: self._name_max]

    async def find(self, directory: Inode, name: bytes) -> int:
        """The inode number behind a name; 0 if there is no such name. Raises NotDirectory, NameTooLong."""
        if directory.num not in self._indexes:
            number = await self._search(directory, name)
            if number:
                return number
        return await self.find_to_change(directory, name)

    async def find_to_change(self, directory: Inode, name: bytes) -> int:
        """As `find`, for who will change the directory, which takes an index anyway."""
        return self._number(self._indexes.get(directory.num) or await self._index(directory), name)

    def find_indexed(self, directory: Inode, name: bytes) -> int | None:
        """As `find`, but None if the directory has no index yet."""
        index = self._indexes.get(directory.num)
        return None if index is None else self._number(index, name)

    def _number(self, index: I, name: bytes) -> int:
        packed = index.names.get(name)
        if packed is None and len(name) > self._name_max:
            packed = index.names.get(self.clip(name))
        return packed & 0xFFFFFFFF if packed else 0

    async def is_empty(self, directory: Inode) -> bool:
        """Whether nothing but ``.`` and ``..`` is in it."""
        index = await self._index(directory)
        return len(index.names) <= 2 and index.names.keys() <= {b".", b".."}

    async def entry(self, directory: Inode, name: bytes) -> Entry:
        """An existing name, to be changed."""
        name, packed = self._existing(self._indexes.get(directory.num) or await self._index(directory), name)
        position = packed >> 32
        buf = await self._block(directory, self._block_of(position))
        return Entry(directory, name, position, packed & 0xFFFFFFFF, buf)

    def entry_at_hand(self, directory: Inode, name: bytes) -> Entry | None:
        """As `entry`, but None if that has to read something."""
        index = self._indexes.get(directory.num)
        if index is None:
            return None
        name, packed = self._existing(index, name)
        position = packed >> 32
        buf = self._block_cached(directory, self._block_of(position))
        return None if buf is None else Entry(directory, name, position, packed & 0xFFFFFFFF, buf)

    def _existing(self, index: I, name: bytes) -> tuple[bytes, int]:
        """The name as it is stored, and what the index has for it."""
        name = self.clip(name)
        packed = index.names.get(name)
        if packed is None:
            raise NotFound
        return name, packed

    async def entries(self, directory: Inode, position: int, count: int) -> list[DirEntry]:
        """As `table`, an object for each entry."""
        table = await self.table(directory, position, count)
        return list(map(DirEntry, table.inos, table.next, table.names))

    @abstractmethod
    async def table(self, directory: Inode, position: int, count: int) -> DirTable:
        """Up to `count` entries from `position` on, in order of position; at least one unless that is the end."""

    # ---- changing --------------------------------------------------------------------------------------------------

    async def enter(self, directory: Inode, name: bytes, inode: Inode) -> Entry:
        """Add a name. Raises Exists, NameTooLong, NoSpace, and FileTooBig for a directory at its limit."""
        if not name or b"/" in name or b"\0" in name:
            raise InvalidArgument
        index = self._indexes.get(directory.num) or await self._index(directory)
        name = self.clip(name)
        if name in index.names:
            raise Exists
        position = self._room(index, name)
        number = self._block_of(position)
        if number == index.blocks:
            buf = await self._grow(directory, number)
            index.blocks += 1
        else:
            buf = self._block_cached(directory, number) or await self._block(directory, number)
        position = self._insert(directory, index, buf, position, name, inode)
        index.names[name] = position << 32 | inode.num
        self._indexed += 1
        self._changed(directory)
        return Entry(directory, name, position, inode.num, buf)

    def remove(self, entry: Entry) -> None:
        """Take an existing name away."""
        index = self._indexes.get(entry.directory.num)
        self._erase(entry, index)
        if index is not None:
            del index.names[entry.name]
            self._indexed -= 1
        self._changed(entry.directory)

    def replace(self, entry: Entry, inode: Inode) -> None:
        """Let an existing name lead to another inode, in one write."""
        self._write(entry.buf, entry.position, inode, entry.name)
        entry.number = inode.num
        index = self._indexes.get(entry.directory.num)
        if index is not None:
            index.names[entry.name] = entry.position << 32 | inode.num
        self._changed(entry.directory)

    async def start(self, directory: Inode, parent: Inode) -> int:
        """Give a new directory its block with ``.`` and ``..``; return the block's number. Raises NoSpace."""
        with await self._grow(directory, 0) as buf:
            index = self._begin(directory, parent, buf)
            self._indexes[directory.num] = index
            self._indexed += len(index.names)
            return buf.block

    async def block_for_new(self, directory: Inode, name: bytes) -> int | None:
        """The disk block that a new name will go to; None if the directory must grow for it."""
        index = self._indexes.get(directory.num) or await self._index(directory)
        number = self._block_of(self._room(index, self.clip(name)))
        return None if number == index.blocks else await self._disk_block(directory, number)

    def drop_index(self, number: int) -> None:
        """Forget what is known of a directory that is going away."""
        self._blocks.pop(number, None)
        self._searches.pop(number, None)
        index = self._indexes.pop(number, None)
        if index is not None:
            self._indexed -= len(index.names)

    # ---- what a format does ----------------------------------------------------------------------------------------

    @abstractmethod
    def _block_of(self, position: int) -> int:
        """Which block of the directory holds a position."""

    @abstractmethod
    def _search_block(self, directory: Inode, number: int, buf: Buf, name: bytes) -> int:
        """The inode number behind a name in block `number` of the directory, or 0. Raises Corrupt."""

    @abstractmethod
    async def _read_index(self, directory: Inode) -> I: ...

    @abstractmethod
    def _room(self, index: I, name: bytes) -> int:
        """The position of the room that a new name will take: in a block that there is, else in one behind the last."""

    @abstractmethod
    def _insert(self, directory: Inode, index: I, buf: Buf, position: int, name: bytes, inode: Inode) -> int:
        """Store a new name in that room, note in the index what is left of it, and return the name's own position."""

    @abstractmethod
    def _erase(self, entry: Entry, index: I | None) -> None:
        """Take the entry out of its block and note the room."""

    @abstractmethod
    def _write(self, buf: Buf, position: int, inode: Inode, name: bytes) -> None:
        """Store an entry where one of the same name is, or where there is room."""

    @abstractmethod
    def _begin(self, directory: Inode, parent: Inode, buf: Buf) -> I:
        """Fill the first block of a new directory."""

    def _empty(self) -> bytes:
        """What a new block holds until an entry is in it."""
        return bytes(self._volume.block_size)

    # ---- inside ----------------------------------------------------------------------------------------------------

    async def _search(self, directory: Inode, name: bytes) -> int:
        """The inode number behind a name if its directory needs no index yet; else, or if there is no such name, 0."""
        blocks = -(-directory.size // self._volume.block_size)
        searches = self._searches.get(directory.num, 0)
        if blocks < SEARCHED_BLOCKS or searches == SEARCHES or not directory.is_directory:
            return 0
        if not searches and len(self._searches) >= MAPPED_DIRECTORIES:
            self._searches.clear()
        self._searches[directory.num] = searches + 1
        name = self.clip(name)
        for number in range(blocks):
            with self._block_cached(directory, number) or await self._block(directory, number) as buf:
                found = self._search_block(directory, number, buf, name)
            if found:
                return found
        return 0

    async def _index(self, directory: Inode) -> I:
        index = self._indexes.get(directory.num)
        if index is not None:
            self._indexes.move_to_end(directory.num)
            return index
        if not directory.is_directory:
            raise NotDirectory
        index = await self._read_index(directory)
        other = self._indexes.setdefault(directory.num, index)
        if other is index:
            self._searches.pop(directory.num, None)
            self._indexed += len(index.names)
            while self._indexed > self._most_indexed and len(self._indexes) > 1:
                self.drop_index(next(iter(self._indexes)))
        return other

    def _block_cached(self, directory: Inode, number: int) -> Buf | None:
        """What `_block` finds in memory, if it does."""
        blocks = self._blocks.get(directory.num)
        return self._volume.cache.get_cached(blocks[number]) if blocks is not None and number < len(blocks) else None

    async def _block(self, directory: Inode, number: int) -> Buf:
        """Block `number` of the directory, in use, annotated with its place in it."""
        block = await self._disk_block(directory, number)
        cache = self._volume.cache
        return cache.get_cached(block) or await cache.get(block, directory.num, number * self._volume.block_size)

    async def _disk_block(self, directory: Inode, number: int) -> int:
        """The disk block that block `number` of the directory is."""
        blocks = self._blocks.get(directory.num)
        if blocks is None or number >= len(blocks):
            blocks = await self._map(directory)
        return blocks[number]

    async def _map(self, directory: Inode) -> list[int]:
        """The disk blocks of a directory, in order, up to its size."""
        shift = self._volume.zone_shift
        blocks: list[int] = []
        for extent in await self._zones.extents(directory, 0, -(-directory.size // self._volume.zone_size)):
            if not extent.zone:
                raise Corrupt("hole in a directory", inode=directory.num)
            blocks.extend(range(extent.zone << shift, (extent.zone + extent.count) << shift))
        if len(blocks) * self._volume.block_size < directory.size:
            raise Corrupt("a directory is larger than a file can be", inode=directory.num)
        self._remember(directory, blocks)
        return blocks

    def _remember(self, directory: Inode, blocks: list[int]) -> None:
        if len(self._blocks) >= MAPPED_DIRECTORIES:
            self._blocks.clear()
        self._blocks[directory.num] = blocks

    async def _grow(self, directory: Inode, number: int) -> Buf:
        """The new last block of the directory, empty, in use.

        Empty is what it is on the disk before anything leads to it: what a new zone held before must never be taken
        for entries after a crash.
        """
        volume, cache, zones = self._volume, self._volume.cache, self._zones
        index = number >> volume.zone_shift
        if (number + 1) * volume.block_size > volume.shape.max_file_size:
            raise FileTooBig
        zone = await zones.zone_at(directory, index)
        if not zone:
            leaf = await zones.reach(directory, index) if index >= zones.direct else None
            try:
                zone, _ = await volume.allocate_zones(volume.goal(directory), 1)
                zones.assign(directory, index, zone, 1, leaf)
            finally:
                if leaf is not None:
                    cache.put(leaf)
            cache.blank(range(volume.zone_block(zone), volume.zone_block(zone + 1)), self._empty_block)
        block = volume.zone_block(zone) + (number & ((1 << volume.zone_shift) - 1))
        if not number:
            self._remember(directory, [])
        blocks = self._blocks.get(directory.num)
        if blocks is not None and len(blocks) == number:
            blocks.extend(range(block, volume.zone_block(zone + 1)))
        buf = await cache.get(block, directory.num, number * volume.block_size, read=False)
        buf.data[:] = self._empty_block
        return buf

    def _changed(self, directory: Inode) -> None:
        directory.mtime = directory.ctime = self._volume.now()
        self._inodes.mark_dirty(directory)
