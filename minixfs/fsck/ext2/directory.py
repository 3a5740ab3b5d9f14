"""One directory, entry by entry, for the few that need repair."""

from __future__ import annotations

import stat
from typing import NamedTuple

import numpy as np

from minixfs.fs.ext2 import layout
from minixfs.fsck.ext2.context import Context
from minixfs.fsck.ext2.entries import SMALLEST, entry_length
from minixfs.fsck.mapping import FileMap, data_zones

_HEAD = layout.DIRENT.struct


def needed(name_length: int) -> int:
    """Bytes that an entry takes, a multiple of 4. (The file server has this too, but its modules take long to load.)"""
    return layout.DIRENT.size + name_length + 3 & ~3


class Entry(NamedTuple):
    """One entry, in use or not: byte offset in the directory, length with what follows it, inode number, type, name."""

    position: int
    length: int
    inode: int
    type: int
    name: bytes

    @property
    def is_dot(self) -> bool:
        return self.name in (b".", b"..")


class Directory:
    """The directory in `row`. `await Directory.open(...)` reads its map; every method sees the changes of the others.

    `holes` are the indexes of blocks that are missing before the last one.
    """

    def __init__(self, context: Context, row: int, places: list[int], blocks: list[int]) -> None:
        self._context = context
        self._row = row
        self._blocks = dict(zip(places, blocks, strict=True))
        self._size = context.superblock.block_size
        self._typed = bool(context.superblock.incompat & layout.INCOMPAT_FILETYPE)
        self._roomy = 0

    @classmethod
    async def open(cls, context: Context, row: int) -> Directory:
        _, place, block = await data_zones(context, np.array([row]))
        return cls(context, row, place.tolist(), block.tolist())

    @property
    def end(self) -> int:
        """Behind the last block."""
        return max(self._blocks, default=-1) + 1

    @property
    def has_start(self) -> bool:
        """Whether its first block is there, where the dots have to be."""
        return 0 in self._blocks

    @property
    def holes(self) -> list[int]:
        return [index for index in range(self.end) if index not in self._blocks]

    @property
    def places(self) -> list[int]:
        return sorted(self._blocks)

    # ---- reading ---------------------------------------------------------------------------------------------------

    async def entries(self) -> list[Entry]:
        """The entries of all blocks; of a block that they do not tile, those before the damage."""
        result = []
        for place in self.places:
            entries, _ = self._parse(place, await self._read(place))
            result += entries
        return result

    async def has_closed_dots(self, head: list[Entry]) -> bool:
        """Whether a NUL follows the names in `head`, the first two entries, as everybody writes them."""
        data = await self._read(0)
        return all(data[entry.position + 8 + len(entry.name)] == 0 for entry in head)

    async def broken(self) -> list[int]:
        """The blocks that their entries do not tile."""
        return [place for place in self.places if self._parse(place, await self._read(place))[1] < self._size]

    async def _read(self, place: int) -> bytes:
        return (await self._context.volume.read_blocks(np.array([self._blocks[place]]))).tobytes()

    def _parse(self, place: int, data: bytes, offset: int = 0) -> tuple[list[Entry], int]:
        """The entries of a block from `offset` on, and where they stop to make sense."""
        entries = []
        while offset < self._size:
            entry = self._entry(place, data, offset)
            if entry is None:
                break
            entries.append(entry)
            offset += entry.length
        return entries, offset

    def _entry(self, place: int, data: bytes, offset: int) -> Entry | None:
        if offset + 8 > self._size:
            return None
        inode, stored, name_length, kind = _HEAD.unpack_from(data, offset)
        length = int(entry_length(stored, self._size))
        if length < SMALLEST or length & 3 or name_length + 8 > length or offset + length > self._size:
            return None
        name = data[offset + 8 : offset + 8 + name_length]
        return Entry(place * self._size + offset, length, inode, kind, name)

    # ---- changing --------------------------------------------------------------------------------------------------

    async def fill_hole(self, place: int) -> bool:
        """Put an empty block into a hole; False if there is no room for it."""
        block = self._context.new_zone()
        if block is None or not await FileMap(self._context, self._row).set(place, block):
            return False
        self._blocks[place] = block
        await self._write(Entry(place * self._size, self._size, 0, 0, b""))
        return True

    async def cut(self, end: int) -> None:
        """Give up the blocks from index `end` on."""
        await FileMap(self._context, self._row).cut(end)
        self._blocks = {place: block for place, block in self._blocks.items() if place < end}

    async def salvage(self, place: int) -> None:
        """Make entries tile a block: keep those before and behind the damage, and the damaged one if it makes sense."""
        data = await self._read(place)
        good, offset = self._parse(place, data)
        while offset < self._size:
            resume = next((at for at in range(offset + 4, self._size, 4) if self._goes_on(place, data, at)), self._size)
            length = resume - offset
            saved = self._saved(place, data, offset, length)
            if length >= SMALLEST and (saved is not None or not good):
                good.append(saved or Entry(place * self._size + offset, length, 0, 0, b""))
            elif good:
                good[-1] = good[-1]._replace(length=good[-1].length + length)
            else:
                resume = self._size
                good.append(Entry(place * self._size, self._size, 0, 0, b""))
            more, offset = self._parse(place, data, resume) if resume < self._size else ([], self._size)
            good += more
        for entry in good:
            await self._write(entry)

    def _goes_on(self, place: int, data: bytes, offset: int) -> bool:
        """Whether entries that make sense tile the rest of a block from `offset` on."""
        entries, end = self._parse(place, data, offset)
        return end == self._size and all(self._plausible(entry) for entry in entries)

    def _plausible(self, entry: Entry) -> bool:
        if not entry.inode:
            return True
        legal = entry.name and b"/" not in entry.name and b"\0" not in entry.name and entry.type <= 7
        return bool(legal) and self._context.table.row(entry.inode) >= 0

    def _saved(self, place: int, data: bytes, offset: int, length: int) -> Entry | None:
        """The entry at `offset` if only its length is wrong."""
        inode, _, name_length, kind = _HEAD.unpack_from(data, offset)
        if not inode or needed(name_length) > length:
            return None
        name = data[offset + 8 : offset + 8 + name_length]
        entry = Entry(place * self._size + offset, length, inode, kind, name)
        return entry if self._plausible(entry) else None

    async def clear(self, position: int) -> None:
        """Make an entry unused."""
        data, offset = await self._edit(position)
        data[offset : offset + 4] = bytes(4)

    async def replace(self, entry: Entry, inode: int, name: bytes) -> bool:
        """Give an entry another inode and name, with the type that goes with them; False if the name does not fit."""
        if needed(len(name)) > entry.length:
            return False
        await self._write(Entry(entry.position, entry.length, inode, self.type_of(inode), name))
        return True

    def type_of(self, inode: int) -> int:
        """The type byte that an entry for this inode must have."""
        table = self._context.table
        row = table.row(inode)
        return layout.FILE_TYPES.get(int(table.type[row]), 0) if self._typed and row >= 0 else 0

    async def add(self, inode: int, name: bytes) -> bool:
        """A new entry, behind ``..`` and wherever there is room; False if there is none."""
        need = needed(len(name))
        for place in [place for place in self.places if place >= self._roomy]:
            for entry in self._parse(place, await self._read(place))[0]:
                occupied = needed(len(entry.name)) if entry.inode else 0
                if entry.is_dot and occupied:
                    occupied = SMALLEST
                if entry.position < SMALLEST or entry.length - occupied < need:
                    continue
                await self._split(entry, occupied, inode, name)
                self._roomy = place
                return True
        place = self.end
        if not await self.fill_hole(place):
            return False
        self._context.table.set_size(self._row, self.end * self._size)
        self._context.end[self._row] = self.end
        self._roomy = place
        await self._split(Entry(place * self._size, self._size, 0, 0, b""), 0, inode, name)
        return True

    async def _split(self, entry: Entry, occupied: int, inode: int, name: bytes) -> None:
        """Put a new entry into the end of another, or in the place of an unused one."""
        if occupied:
            await self._write(entry._replace(length=occupied))
        start, length = entry.position + occupied, entry.length - occupied
        await self._write(Entry(start, length, inode, self.type_of(inode), name))

    async def put_dots(self, number: int, parent: int, end: int) -> None:
        """Write ``.`` and ``..`` over the first `end` bytes of the first block, where an entry ends."""
        kind = layout.FILE_TYPES[stat.S_IFDIR] if self._typed else 0
        await self._write(Entry(0, SMALLEST, number, kind, b"."))
        await self._write(Entry(SMALLEST, end - SMALLEST, parent, kind, b".."))

    async def _write(self, entry: Entry) -> None:
        data, offset = await self._edit(entry.position)
        length = entry.length if entry.length < 1 << 16 else 0xFFFF
        _HEAD.pack_into(data, offset, entry.inode, length, len(entry.name), entry.type)
        padded = entry.name + bytes(-len(entry.name) % 4)
        data[offset + 8 : offset + 8 + len(padded)] = padded

    async def _edit(self, position: int) -> tuple[bytearray, int]:
        place, offset = divmod(position, self._size)
        return await self._context.volume.edit(self._blocks[place]), offset
