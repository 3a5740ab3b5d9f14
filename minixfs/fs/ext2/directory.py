"""ext2 directories: blocks of entries of any length (specification: file systems, 3.7).

The position of an entry is its byte offset in the directory. Entries never move; a removed one becomes part of the one
before it in its block, or is marked free if it is the first. What a search tree (htree) keeps in a directory looks like
free room to this code, and so it may: names are searched without it, and before the first new name the directory is
declared to have none.
"""

from __future__ import annotations

import stat
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
from minixfs.fs.protocol import DirTable

_HEAD = layout.DIRENT.struct
_HEAD_SIZE = _HEAD.size
_NAME_LENGTH_BEFORE = _HEAD_SIZE - layout.DIRENT.offsets["name_len"]
"""In front of a name is its length, so many bytes before."""
_SMALLEST = 12
_LISTED_TYPES = [0] * 256
"""What a listing says of an inode's type, by the type byte of its entry: nothing where directories keep none."""
for _mode, _number in layout.FILE_TYPES.items():
    _LISTED_TYPES[_number] = _mode >> 12
Row = tuple[int, int, int, bytes, int]
"""An entry: offset in its block, length, inode, name and type byte."""


def needed(name_length: int) -> int:
    """Bytes that an entry takes, a multiple of 4."""
    return 8 + name_length + 3 & ~3


@cache
def _form(name_length: int) -> Struct:
    """A whole entry with a name of this length."""
    return Struct(f"{_HEAD.format}{needed(name_length) - _HEAD_SIZE}s")


_DOTS = Struct(f"{_form(1).format}{_form(2).format[1:]}")
"""The two entries of a new directory."""


@dataclass(slots=True)
class RoomIndex(Index):
    """Of each block: `starts` has the offsets of its entries, `gaps` the bytes that a new one could take of them.

    `first` is for each size of entry the first block that may have room for it.
    """

    starts: list[array[int]] = field(default_factory=list)
    gaps: list[dict[int, int]] = field(default_factory=list)
    first: dict[int, int] = field(default_factory=dict)


class Ext2Directories(Directories[RoomIndex]):
    """The directories of an ext2 volume."""

    def __init__(self, volume: Ext2Volume, inodes: InodeTable, zones: ZoneMap) -> None:
        self._size = volume.block_size
        typed = volume.superblock.incompat & layout.INCOMPAT_FILETYPE
        self._types = layout.FILE_TYPES if typed else dict.fromkeys(layout.FILE_TYPES, 0)
        super().__init__(volume, inodes, zones)

    # ---- looking ---------------------------------------------------------------------------------------------------

    async def table(self, directory: Inode, position: int, count: int) -> DirTable:
        if not directory.is_directory:
            raise NotDirectory
        used: list[Row] = []
        positions: list[int] = []
        while position < directory.size and len(used) < count:
            number, start = divmod(position, self._size)
            base = position - start
            with await self._block(directory, number) as buf:
                rows = self._scan(directory, buf, start, count - len(used))
            position = base + (rows[-1][0] + rows[-1][1] if rows else self._size)
            rows = [row for row in rows if row[2]]
            used += rows
            positions += [base + offset + length for offset, length, _, _, _ in rows]
        if not used:
            return DirTable.of(())
        _, _, inos, names, kinds = zip(*used, strict=True)
        return DirTable(inos, positions, list(map(_LISTED_TYPES.__getitem__, kinds)), names)

    def _block_of(self, position: int) -> int:
        return position // self._size

    def _search_block(self, directory: Inode, number: int, buf: Buf, name: bytes) -> int:
        """What is between the entries may look like them, so a row of entries has to lead to what was found."""
        if directory.size % self._size:
            return 0  # `_read_index` will tell
        data = bytes(buf.data)
        at = data.find(name, _HEAD_SIZE)
        while at >= 0:
            if data[at - _NAME_LENGTH_BEFORE] == len(name):
                for _, _, ino, found, _ in self._scan(directory, buf, at - _HEAD_SIZE, 1):
                    if ino and found == name:
                        return ino
            at = data.find(name, at + 1)
        return 0

    async def _read_index(self, directory: Inode) -> RoomIndex:
        if directory.size % self._size:
            raise Corrupt("a directory whose size is no whole number of blocks", inode=directory.num)
        index = RoomIndex({}, directory.size // self._size)
        names = index.names
        for number in range(index.blocks):
            base = number * self._size
            gaps = {}
            with await self._block(directory, number) as buf:
                rows = self._scan(directory, buf)
            for offset, length, ino, name, _ in rows:
                gap = length
                if ino:
                    gap -= needed(len(name))
                    if name not in names:
                        names[name] = base + offset << 32 | ino
                if gap >= _SMALLEST:
                    gaps[offset] = gap
            index.starts.append(array("H", [row[0] for row in rows]))
            index.gaps.append(gaps)
        return index

    def _scan(self, directory: Inode, buf: Buf, start: int = 0, most: int = layout.MAX_BLOCK_SIZE) -> list[Row]:
        """Up to `most` entries of a block, from the first that is not in front of byte `start` on.

        Raises Corrupt where they do not add up.
        """
        data, size, unpack = bytes(buf.data), self._size, _HEAD.unpack_from
        last = size - _HEAD_SIZE  # where an entry can begin
        found: list[Row] = []
        offset = 0
        while offset < size and len(found) < most:
            ino, length, name_length, kind = unpack(data, offset)
            if size == layout.MAX_BLOCK_SIZE:
                length = self._length(length)
            name, end = offset + _HEAD_SIZE, offset + length
            if length < _HEAD_SIZE + (name_length if ino else 0) or length & 3 or (end > last and end != size):
                raise Corrupt(f"bad entry at byte {offset} of a directory block", block=buf.block, inode=directory.num)
            if offset >= start:
                found.append((offset, length, ino, data[name : name + name_length], kind))
            offset = end
        return found

    # ---- changing --------------------------------------------------------------------------------------------------

    def _room(self, index: RoomIndex, name: bytes) -> int:
        need = needed(len(name))
        number = index.first.get(need, 0)
        while number < index.blocks:
            for offset, gap in index.gaps[number].items():
                if gap >= need:
                    index.first[need] = number
                    return number * self._size + offset
            number += 1
        index.first[need] = number
        return number * self._size

    def _insert(self, directory: Inode, index: RoomIndex, buf: Buf, position: int, name: bytes, inode: Inode) -> int:
        assert isinstance(directory, Ext2Inode)
        number, offset = divmod(position, self._size)
        if number == len(index.gaps):
            index.starts.append(array("H", [0]))
            index.gaps.append({0: self._size})
            directory.size = max(directory.size, (number + 1) * self._size)
        directory.flags &= ~layout.FLAG_INDEX
        gaps = index.gaps[number]
        gap = gaps.pop(offset)
        ino, _, name_length, kind = _HEAD.unpack_from(buf.data, offset)
        if ino:
            own = needed(name_length)
            _HEAD.pack_into(buf.data, offset, ino, own, name_length, kind)
            offset += own
            insort(index.starts[number], offset)
        left = gap - needed(len(name))
        if left >= _SMALLEST:
            gaps[offset] = left
        self._store(buf, offset, gap, inode, name)
        return number * self._size + offset

    def _erase(self, entry: Entry, index: RoomIndex | None) -> None:
        data, (number, target) = entry.buf.data, divmod(entry.position, self._size)
        length = self._length(_HEAD.unpack_from(data, target)[1])
        if target:
            starts = self._starts(data, target) if index is None else index.starts[number]
            place = bisect_left(starts, target)
            previous = starts[place - 1]
            ino, before, name_length, kind = _HEAD.unpack_from(data, previous)
            length += before
            _HEAD.pack_into(data, previous, ino, self._stored(length), name_length, kind)
            gap = length - (needed(name_length) if ino else 0)
            del starts[place]
        else:
            previous, gap = 0, length
            _HEAD.pack_into(data, 0, 0, self._stored(length), 0, 0)
        self._volume.cache.mark_dirty(entry.buf, Order.DIRECTORY)
        if index is not None:
            gaps = index.gaps[number]
            gaps.pop(target, None)  # it is part of the one in front of it
            gaps[previous] = gap
            for need, first in index.first.items():
                if first > number and need <= gap:
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
        kind, rest = self._types[stat.S_IFDIR], self._stored(self._size - _SMALLEST)
        _DOTS.pack_into(buf.data, 0, directory.num, _SMALLEST, 1, kind, b".", parent.num, rest, 2, kind, b"..")
        self._volume.cache.mark_dirty(buf, Order.DIRECTORY)
        directory.size = self._size
        names = {b".": directory.num, b"..": _SMALLEST << 32 | parent.num}
        return RoomIndex(names, 1, [array("H", [0, _SMALLEST])], [{_SMALLEST: self._size - 2 * _SMALLEST}])

    def _write(self, buf: Buf, position: int, inode: Inode, name: bytes) -> None:
        offset = position % self._size
        self._store(buf, offset, self._length(_HEAD.unpack_from(buf.data, offset)[1]), inode, name)

    def _store(self, buf: Buf, offset: int, length: int, inode: Inode, name: bytes) -> None:
        size, kind = len(name), self._types[inode.mode & 0o170000]
        _form(size).pack_into(buf.data, offset, inode.num, self._stored(length), size, kind, name)
        self._volume.cache.mark_dirty(buf, Order.DIRECTORY)

    def _empty(self) -> bytes:
        return _HEAD.pack(0, self._stored(self._size), 0, 0).ljust(self._size, b"\0")

    def _length(self, stored: int) -> int:
        """The length of an entry; in blocks of 64 KiB the largest does not fit its field."""
        return self._size if self._size == layout.MAX_BLOCK_SIZE and stored in (0, 0xFFFF) else stored

    def _stored(self, length: int) -> int:
        return length if length <= 0xFFFF else 0xFFFF
