"""ext2 directories: blocks of entries of any length (specification: file systems, 3.7).

The position of an entry is its byte offset in the directory. Entries never move; a removed one becomes part of the one
before it in its block, or is marked free if it is the first. What a search tree (htree) keeps in a directory looks like
free room to this code, and so it may: names are searched without it, and before the first new name the directory is
declared to have none.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from dataclasses import dataclass, field
from functools import cache
from struct import Struct

from minixfs.errors import Corrupt, NotDirectory
from minixfs.fs.disk.directory import Directories, Entry, Index
from minixfs.fs.disk.inode import Inode, InodeTable
from minixfs.fs.disk.zones import ZoneMap
from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.inode import Ext2Inode
from minixfs.fs.ext2.volume import Ext2Volume
from minixfs.fs.libminixfs.buffer import Buf
from minixfs.fs.libminixfs.write_order import Order
from minixfs.fs.protocol import DirEntry

_HEAD = layout.DIRENT.struct
_SMALLEST = 12


def needed(name_length: int) -> int:
    """Bytes that an entry takes, a multiple of 4."""
    return 8 + name_length + 3 & ~3


@cache
def _form(name_length: int) -> Struct:
    """A whole entry with a name of this length."""
    return Struct(f"{_HEAD.format}{needed(name_length) - _HEAD.size}s")


@dataclass(slots=True)
class RoomIndex(Index):
    """Of each block: `starts` has the offsets of its entries, `gaps` the size and offset of its largest known gap.

    Blocks in `several` may have other gaps, those in `unsure` larger ones. `first` is for each size of entry the first
    block that may have room for it.
    """

    starts: list[array[int]] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    several: set[int] = field(default_factory=set)
    unsure: set[int] = field(default_factory=set)
    first: dict[int, int] = field(default_factory=dict)


class Ext2Directories(Directories[RoomIndex]):
    """The directories of an ext2 volume."""

    def __init__(self, volume: Ext2Volume, inodes: InodeTable, zones: ZoneMap) -> None:
        self._size = volume.block_size
        self._typed = bool(volume.superblock.incompat & layout.INCOMPAT_FILETYPE)
        super().__init__(volume, inodes, zones)

    # ---- looking ---------------------------------------------------------------------------------------------------

    async def entries(self, directory: Inode, position: int, count: int) -> list[DirEntry]:
        if not directory.is_directory:
            raise NotDirectory
        found: list[DirEntry] = []
        while position < directory.size and len(found) < count:
            number, start = divmod(position, self._size)
            with await self._block(directory, number) as buf:
                rows = self._scan(directory, buf)
            base = number * self._size
            wanted = [row for row in rows if row[2] and row[0] >= start][: count - len(found)]
            found += [DirEntry(ino, base + offset + length, name) for offset, length, ino, name in wanted]
            position = (number + 1) * self._size
        return found

    async def block_for_new(self, directory: Inode, name: bytes) -> int | None:
        index = await self._index(directory)
        need = needed(len(self.clip(name)))
        number = self._room_at_hand(index, need)
        if number is None:
            number = await self._with_room(directory, index, need)
        if number == len(index.gaps):
            return None
        with await self._block(directory, number) as buf:
            return buf.block

    def _block_of(self, position: int) -> int:
        return position // self._size

    async def _read_index(self, directory: Inode) -> RoomIndex:
        if directory.size % self._size:
            raise Corrupt("a directory whose size is no whole number of blocks", inode=directory.num)
        index = RoomIndex({})
        for number in range(directory.size // self._size):
            base = number * self._size
            largest = (0, 0)
            starts = array("H")
            with await self._block(directory, number) as buf:
                for offset, length, ino, name in self._scan(directory, buf):
                    if ino:
                        index.names.setdefault(name, base + offset << 32 | ino)
                    largest = max(largest, (_gap(length, ino, name), offset))
                    starts.append(offset)
            index.starts.append(starts)
            index.gaps.append(largest)
            index.several.add(number)
        return index

    def _scan(self, directory: Inode, buf: Buf) -> list[tuple[int, int, int, bytes]]:
        """The entries of a block: offset in it, length, inode and name. Raises Corrupt where they do not add up."""
        data, size, unpack = bytes(buf.data), self._size, _HEAD.unpack_from
        found = []
        offset = 0
        while offset < size:
            ino, length, name_length, _ = unpack(data, offset)
            if size == layout.MAX_BLOCK_SIZE:
                length = self._length(length)
            start, end = offset + _HEAD.size, offset + length
            if length < _HEAD.size + (name_length if ino else 0) or length & 3 or end > size:
                raise Corrupt(f"bad entry at byte {offset} of a directory block", block=buf.block, inode=directory.num)
            found.append((offset, length, ino, data[start : start + name_length]))
            offset = end
        return found

    # ---- changing --------------------------------------------------------------------------------------------------

    async def _add(self, directory: Inode, index: RoomIndex, name: bytes, inode: Inode) -> Entry:
        assert isinstance(directory, Ext2Inode)
        need = needed(len(name))
        number = self._room_at_hand(index, need)
        if number is None:
            number = await self._with_room(directory, index, need)
        if number == len(index.gaps):
            buf = await self._grow(directory, number)
            index.starts.append(array("H", [0]))
            index.gaps.append((self._size, 0))
            directory.size = max(directory.size, (number + 1) * self._size)
        else:
            buf = self._block_cached(directory, number) or await self._block(directory, number)
        directory.flags &= ~layout.FLAG_INDEX
        offset, length = self._split(index, number, buf, need)
        self._store(buf, offset, length, inode, name)
        return Entry(directory, name, number * self._size + offset, buf)

    def _room_at_hand(self, index: RoomIndex, need: int) -> int | None:
        """What `_with_room` would tell if it found room where it looks first; else None."""
        number = index.first.get(need, 0)
        return number if number < len(index.gaps) and index.gaps[number][0] >= need else None

    async def _with_room(self, directory: Inode, index: RoomIndex, need: int) -> int:
        """The first block with a gap of `need` bytes, or the number of blocks."""
        gaps = index.gaps
        number = index.first.get(need, 0)
        while number < len(gaps):
            if gaps[number][0] < need and number in index.unsure:
                await self._measure(directory, index, number)
            if gaps[number][0] >= need:
                break
            number += 1
        index.first[need] = number
        return number

    async def _measure(self, directory: Inode, index: RoomIndex, number: int) -> None:
        with await self._block(directory, number) as buf:
            rows = ((_gap(length, ino, name), offset) for offset, length, ino, name in self._scan(directory, buf))
            index.gaps[number] = max(rows)
        index.unsure.discard(number)

    def _split(self, index: RoomIndex, number: int, buf: Buf, need: int) -> tuple[int, int]:
        """Take the block's largest gap, of at least `need` bytes, for an entry: where it begins, and its length."""
        gap, offset = index.gaps[number]
        ino, length, name_length, kind = _HEAD.unpack_from(buf.data, offset)
        length = self._length(length)
        if ino:
            own = needed(name_length)
            _HEAD.pack_into(buf.data, offset, ino, own, name_length, kind)
            offset, length = offset + own, length - own
            insort(index.starts[number], offset)
        index.gaps[number] = (gap - need, offset)
        if number in index.several:
            index.unsure.add(number)
        return offset, length

    def _erase(self, entry: Entry, index: RoomIndex | None) -> None:
        data, (number, target) = entry.buf.data, divmod(entry.position, self._size)
        starts = self._starts(data, target) if index is None else index.starts[number]
        place = bisect_left(starts, target)
        length = self._length(_HEAD.unpack_from(data, target)[1])
        if target:
            previous = starts[place - 1]
            ino, before, name_length, kind = _HEAD.unpack_from(data, previous)
            _HEAD.pack_into(data, previous, ino, self._stored(before + length), name_length, kind)
            gap = (before + length - (needed(name_length) if ino else 0), previous)
            del starts[place]
        else:
            _HEAD.pack_into(data, 0, 0, self._stored(length), 0, 0)
            gap = (length, 0)
        self._volume.cache.mark_dirty(entry.buf, Order.DIRECTORY)
        if index is not None:
            index.several.add(number)
            known = index.gaps[number]
            # a gap that the freed entry touched is part of the new one
            index.gaps[number] = gap if known[1] in (target, gap[1]) else max(gap, known)
            for need, first in index.first.items():
                if first > number and need <= gap[0]:
                    index.first[need] = number

    def _starts(self, data: memoryview, end: int) -> array[int]:
        """The offsets of the entries in front of `end`, and `end`."""
        starts, offset = array("H"), 0
        while offset < end:
            starts.append(offset)
            offset += self._length(_HEAD.unpack_from(data, offset)[1])
        starts.append(end)
        return starts

    def _begin(self, directory: Inode, parent: Inode, buf: Buf) -> RoomIndex:
        self._store(buf, 0, _SMALLEST, directory, b".")
        self._store(buf, _SMALLEST, self._size - _SMALLEST, parent, b"..")
        directory.size = self._size
        names = {b".": directory.num, b"..": _SMALLEST << 32 | parent.num}
        return RoomIndex(names, [array("H", [0, _SMALLEST])], [(self._size - 2 * _SMALLEST, _SMALLEST)])

    def _write(self, buf: Buf, position: int, inode: Inode, name: bytes) -> None:
        offset = position % self._size
        self._store(buf, offset, self._length(_HEAD.unpack_from(buf.data, offset)[1]), inode, name)

    def _store(self, buf: Buf, offset: int, length: int, inode: Inode, name: bytes) -> None:
        kind = layout.FILE_TYPES[inode.mode & 0o170000] if self._typed else 0
        size = len(name)
        _form(size).pack_into(buf.data, offset, inode.num, self._stored(length), size, kind, name)
        self._volume.cache.mark_dirty(buf, Order.DIRECTORY)

    def _empty(self) -> bytes:
        return _HEAD.pack(0, self._stored(self._size), 0, 0).ljust(self._size, b"\0")

    def _length(self, stored: int) -> int:
        """The length of an entry; in blocks of 64 KiB the largest does not fit its field."""
        return self._size if self._size == layout.MAX_BLOCK_SIZE and stored in (0, 0xFFFF) else stored

    def _stored(self, length: int) -> int:
        return min(length, 0xFFFF)


def _gap(length: int, ino: int, name: bytes) -> int:
    """The bytes of an entry that a new one could take."""
    return length - needed(len(name)) if ino else length
