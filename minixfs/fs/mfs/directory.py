"""Directories: rows of fixed-size entries (specification: file systems, 1.8, 2.6).

A *slot* is the number of an entry. Slots never move, so a position in a directory is a slot number and stays valid
while other entries come and go. Inode number 0 marks a free slot; the first free slot is used first; a directory
grows by a block when it has none and never shrinks.

Every directory that is searched gets an index (name -> slot and inode, heap of free slots), built in one pass and
kept up to date; the indexes of the least recently used directories are dropped when they hold too many names
together.

Whoever wants to change an existing name holds its `Entry`: the block is in use, so that the change itself cannot fail
or wait. The entry tells the block too, so that a rename can say in which order its two blocks must reach the disk.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from dataclasses import dataclass, field
from types import TracebackType

from minixfs.errors import Corrupt, Exists, FileTooBig, InvalidArgument, NameTooLong, NotDirectory, NotFound
from minixfs.fs.libminixfs.buffer import Buf
from minixfs.fs.libminixfs.write_order import Order
from minixfs.fs.mfs.inode import Inode, InodeTable
from minixfs.fs.mfs.volume import Volume
from minixfs.fs.mfs.zones import ZoneMap
from minixfs.fs.protocol import DirEntry

MAPPED_DIRECTORIES = 4096
"""Directories whose disk blocks are remembered at once."""
INDEXED_NAMES = 1_000_000
"""Names that all indexes together may hold."""


@dataclass(slots=True)
class _Index:
    """Of one directory. `names` maps a name to slot << 32 | inode; `end` is the first slot never used."""

    names: dict[bytes, int] = field(default_factory=dict)
    free: list[int] = field(default_factory=list)
    end: int = 0


@dataclass(slots=True)
class Entry:
    """A name in a directory, with the buffer that holds it in use."""

    directory: Inode
    name: bytes
    slot: int
    buf: Buf

    def __enter__(self) -> Entry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.buf.__exit__(kind, value, trace)


class Directories:
    """The directories of one volume."""

    def __init__(self, volume: Volume, inodes: InodeTable, zones: ZoneMap) -> None:
        self._volume = volume
        self._inodes = inodes
        self._zones = zones
        self._entry = volume.superblock.dirent_record.struct
        self._name_max = volume.superblock.variant.name_max
        self._indexes: OrderedDict[int, _Index] = OrderedDict()
        self._indexed = 0
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
        """The inode number behind a name. Raises NotFound, NotDirectory, NameTooLong."""
        index = self._indexes.get(directory.num) or await self._index(directory)
        packed = index.names.get(name)
        if packed is None:
            packed = index.names.get(self.clip(name))
            if packed is None:
                raise NotFound
        return packed & 0xFFFFFFFF

    async def is_empty(self, directory: Inode) -> bool:
        """Whether nothing but ``.`` and ``..`` is in it."""
        index = await self._index(directory)
        return not index.names.keys() - {b".", b".."}

    async def entries(self, directory: Inode, position: int, count: int) -> list[DirEntry]:
        """Up to `count` entries from slot `position` on, in slot order."""
        if not directory.is_directory:
            raise NotDirectory
        size = self._entry.size
        per_block = self._volume.block_size // size
        end = directory.size // size
        found: list[DirEntry] = []
        while position < end and len(found) < count:
            start = position % per_block
            stop = min(per_block, start + end - position)
            with await self._block(directory, position // per_block) as buf:
                rows = self._entry.iter_unpack(buf.data[start * size : stop * size])
                for ino, name in rows:
                    position += 1
                    if ino:
                        found.append(DirEntry(ino, position, name.partition(b"\0")[0]))
                        if len(found) == count:
                            break
        return found

    async def entry(self, directory: Inode, name: bytes) -> Entry:
        """An existing name, to be changed."""
        index = await self._index(directory)
        name = self.clip(name)
        packed = index.names.get(name)
        if packed is None:
            raise NotFound
        slot = packed >> 32
        return Entry(directory, name, slot, await self._slot_block(directory, slot))

    async def block_for_new(self, directory: Inode) -> int | None:
        """The disk block that the next new entry will go to; None if the directory will grow for it."""
        index = await self._index(directory)
        slot = index.free[0] if index.free else index.end
        if slot % self._per_block == 0 and slot == index.end:
            return None
        with await self._slot_block(directory, slot) as buf:
            return buf.block

    # ---- changing --------------------------------------------------------------------------------------------------

    async def enter(self, directory: Inode, name: bytes, ino: int) -> Entry:
        """Add a name. Raises Exists, NameTooLong, NoSpace, and FileTooBig for a directory at its limit."""
        if not name or b"/" in name or b"\0" in name:
            raise InvalidArgument
        index = await self._index(directory)
        name = self.clip(name)
        if name in index.names:
            raise Exists
        slot = index.free[0] if index.free else index.end
        if slot == index.end and slot % self._per_block == 0:
            buf = await self._grow(directory, slot)
        else:
            buf = await self._slot_block(directory, slot)
        self._write(buf, slot, ino, name)
        if slot == index.end:
            index.end += 1
            directory.size = max(directory.size, index.end * self._entry.size)
        else:
            heapq.heappop(index.free)
        index.names[name] = slot << 32 | ino
        self._indexed += 1
        self._changed(directory)
        return Entry(directory, name, slot, buf)

    def remove(self, entry: Entry) -> None:
        """Free the slot of an existing name."""
        self._write(entry.buf, entry.slot, 0, entry.name)
        index = self._indexes.get(entry.directory.num)
        if index is not None:
            del index.names[entry.name]
            self._indexed -= 1
            heapq.heappush(index.free, entry.slot)
        self._changed(entry.directory)

    def replace(self, entry: Entry, ino: int) -> None:
        """Let an existing name lead to another inode, in one write."""
        self._write(entry.buf, entry.slot, ino, entry.name)
        index = self._indexes.get(entry.directory.num)
        if index is not None:
            index.names[entry.name] = entry.slot << 32 | ino
        self._changed(entry.directory)

    async def start(self, directory: Inode, parent: int) -> int:
        """Give a new directory its block with ``.`` and ``..``; return the block's number. Raises NoSpace."""
        with await self._grow(directory, 0) as buf:
            self._write(buf, 0, directory.num, b".")
            self._write(buf, 1, parent, b"..")
            directory.size = 2 * self._entry.size
            self._indexes[directory.num] = _Index({b".": directory.num, b"..": 1 << 32 | parent}, end=2)
            self._indexed += 2
            self._changed(directory)
            return buf.block

    def drop_index(self, number: int) -> None:
        """Forget what is known of a directory that is going away."""
        self._blocks.pop(number, None)
        index = self._indexes.pop(number, None)
        if index is not None:
            self._indexed -= len(index.names)

    # ---- inside ----------------------------------------------------------------------------------------------------

    @property
    def _per_block(self) -> int:
        return self._volume.block_size // self._entry.size

    async def _index(self, directory: Inode) -> _Index:
        index = self._indexes.get(directory.num)
        if index is not None:
            self._indexes.move_to_end(directory.num)
            return index
        if not directory.is_directory:
            raise NotDirectory
        index = _Index(end=directory.size // self._entry.size)
        slot = 0
        while slot < index.end:
            with await self._block(directory, slot // self._per_block) as buf:
                rows = self._entry.iter_unpack(buf.data[: (index.end - slot) * self._entry.size])
                for ino, raw in rows:
                    name = raw.partition(b"\0")[0]
                    if ino and name not in index.names:
                        index.names[name] = slot << 32 | ino
                    elif not ino:
                        index.free.append(slot)  # ascending, hence a heap
                    slot += 1
        other = self._indexes.setdefault(directory.num, index)
        if other is index:
            self._indexed += len(index.names)
            while self._indexed > INDEXED_NAMES and len(self._indexes) > 1:
                self.drop_index(next(iter(self._indexes)))
        return other

    async def _block(self, directory: Inode, number: int) -> Buf:
        """Block `number` of the directory, in use, annotated with its place in it."""
        blocks = self._blocks.get(directory.num)
        if blocks is None or number >= len(blocks):
            blocks = await self._map(directory)
        block = blocks[number]
        cache = self._volume.cache
        return cache.get_cached(block) or await cache.get(block, directory.num, number * self._volume.block_size)

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
        if len(self._blocks) >= MAPPED_DIRECTORIES:
            self._blocks.clear()
        self._blocks[directory.num] = blocks
        return blocks

    async def _slot_block(self, directory: Inode, slot: int) -> Buf:
        return await self._block(directory, slot // self._per_block)

    async def _grow(self, directory: Inode, slot: int) -> Buf:
        """The block that a new last slot needs, zeroed, in use.

        A new zone is zeroed on the disk at once: its old contents must never be taken for entries after a crash.
        """
        volume = self._volume
        number = slot // self._per_block
        index = number >> volume.zone_shift
        if (number + 1) * volume.block_size > volume.superblock.max_size:
            raise FileTooBig
        self._zones.leaf_room(index)
        zone = await self._zones.zone_at(directory, index)
        if not zone:
            zone, _ = await volume.allocate_zones(directory.search_zone or directory.zones[0], 1)
            try:
                offset = volume.zone_block(zone) * volume.block_size
                await volume.cache.device.write(offset, [bytes(volume.zone_size)])
                await self._zones.assign(directory, index, zone, 1)
            except BaseException:
                volume.free_zones(zone, 1)
                raise
        block = volume.zone_block(zone) + (number & ((1 << volume.zone_shift) - 1))
        blocks = self._blocks.get(directory.num)
        if blocks is not None and len(blocks) == number:
            blocks.extend(range(block, volume.zone_block(zone + 1)))
        buf = await volume.cache.get(block, directory.num, number * volume.block_size, read=False)
        buf.data[:] = bytes(volume.block_size)
        return buf

    def _write(self, buf: Buf, slot: int, ino: int, name: bytes) -> None:
        """Store one entry. A freed slot keeps its name, as an aid to who wants to undelete it."""
        offset = slot % self._per_block * self._entry.size
        self._entry.pack_into(buf.data, offset, ino, name)
        self._volume.cache.mark_dirty(buf, Order.DIRECTORY)

    def _changed(self, directory: Inode) -> None:
        directory.mtime = directory.ctime = self._volume.now()
        self._inodes.mark_dirty(directory)
