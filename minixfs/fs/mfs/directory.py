"""MFS directories: rows of fixed-size entries (specification: file systems, 1.8, 2.6).

A *slot* is the number of an entry; it is its position. Slots never move. Inode number 0 marks a free slot; the first
free slot is used first; a directory grows by a block when it has none and never shrinks.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress

from minixfs.errors import NotDirectory
from minixfs.fs.disk.directory import Directories, Entry, Index
from minixfs.fs.disk.inode import Inode, InodeTable
from minixfs.fs.disk.zones import ZoneMap
from minixfs.fs.libminixfs.buffer import Buf
from minixfs.fs.libminixfs.write_order import Order
from minixfs.fs.mfs.volume import MfsVolume
from minixfs.fs.protocol import DirTable


@dataclass(slots=True)
class SlotIndex(Index):
    """`free` is a heap of the free slots; `end` is the first slot never used."""

    free: list[int] = field(default_factory=list)
    end: int = 0


class MfsDirectories(Directories[SlotIndex]):
    """The directories of an MFS volume."""

    def __init__(self, volume: MfsVolume, inodes: InodeTable, zones: ZoneMap) -> None:
        super().__init__(volume, inodes, zones)
        self._entry = volume.superblock.dirent_record.struct
        self._per_block = volume.block_size // self._entry.size

    async def table(self, directory: Inode, position: int, count: int) -> DirTable:
        if not directory.is_directory:
            raise NotDirectory
        size = self._entry.size
        end = directory.size // size
        inos: Sequence[int] = ()
        names: Sequence[bytes] = ()
        first = position
        while position < end and not any(inos):
            first, rows = position, bytearray()
            while position < end and position - first < count:
                start = position % self._per_block
                stop = min(self._per_block, start + min(end, first + count) - position)
                with await self._block(directory, position // self._per_block) as buf:
                    rows += buf.data[start * size : stop * size]
                position += stop - start
            inos, names = zip(*self._entry.iter_unpack(rows), strict=True)
        positions: Sequence[int] = range(first + 1, first + 1 + len(inos))
        if not all(inos):
            positions, names = list(compress(positions, inos)), list(compress(names, inos))
            inos = list(filter(None, inos))
        return DirTable(inos, positions, [0] * len(inos), [name.partition(b"\0")[0] for name in names])

    def _block_of(self, position: int) -> int:
        return position // self._per_block

    def _search_block(self, directory: Inode, number: int, buf: Buf, name: bytes) -> int:
        size = self._entry.size
        in_front = size - self._name_max
        end = directory.size - number * self._volume.block_size
        data = bytes(buf.data[: min(end // size, self._per_block) * size])
        at = data.find(name)
        while at >= 0:
            if at % size == in_front:
                ino, raw = self._entry.unpack_from(data, at - in_front)
                if ino and raw.partition(b"\0")[0] == name:
                    return int(ino)
            at = data.find(name, at + 1)
        return 0

    async def _read_index(self, directory: Inode) -> SlotIndex:
        end = directory.size // self._entry.size
        index = SlotIndex({}, -(-end // self._per_block), end=end)
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
        return index

    def _room(self, index: SlotIndex, name: bytes) -> int:
        return index.free[0] if index.free else index.end

    def _insert(self, directory: Inode, index: SlotIndex, buf: Buf, position: int, name: bytes, inode: Inode) -> int:
        self._store(buf, position, inode.num, name)
        if position == index.end:
            index.end += 1
            directory.size = max(directory.size, index.end * self._entry.size)
        else:
            heapq.heappop(index.free)
        return position

    def _erase(self, entry: Entry, index: SlotIndex | None) -> None:
        """A freed slot keeps its name, as an aid to who wants to undelete it."""
        self._store(entry.buf, entry.position, 0, entry.name)
        if index is not None:
            heapq.heappush(index.free, entry.position)

    def _begin(self, directory: Inode, parent: Inode, buf: Buf) -> SlotIndex:
        self._store(buf, 0, directory.num, b".")
        self._store(buf, 1, parent.num, b"..")
        directory.size = 2 * self._entry.size
        return SlotIndex({b".": directory.num, b"..": 1 << 32 | parent.num}, 1, end=2)

    def _write(self, buf: Buf, position: int, inode: Inode, name: bytes) -> None:
        self._store(buf, position, inode.num, name)

    def _store(self, buf: Buf, slot: int, number: int, name: bytes) -> None:
        offset = slot % self._per_block * self._entry.size
        self._entry.pack_into(buf.data, offset, number, name)
        self._volume.cache.mark_dirty(buf, Order.DIRECTORY)
