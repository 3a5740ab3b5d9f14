"""One directory, slot by slot, for the few that need repair."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minixfs.fsck.mapping import FileMap, data_zones
from minixfs.fsck.mfs.context import Context


class Entry(NamedTuple):
    """A slot in use: its position, the inode number, the name without padding."""

    position: int
    inode: int
    name: bytes


class Directory:
    """The directory in `row`. `await Directory.open(...)` reads its map; every method sees the changes of
    the others.

    `_zones` are by index in the file; some may be missing before the last one (`has_holes`).
    """

    def __init__(self, context: Context, row: int, zones: dict[int, int]) -> None:
        self._context = context
        self._row = row
        self._zones = zones
        self._record = context.superblock.dirent_record
        self._per_zone = context.superblock.zone_size // self._record.size
        self._used: set[int] | None = None
        self._next = 2

    @classmethod
    async def open(cls, context: Context, row: int) -> Directory:
        _, place, zone = await data_zones(context, np.array([row]))
        return cls(context, row, dict(zip(place.tolist(), zone.tolist(), strict=True)))

    @property
    def has_holes(self) -> bool:
        return len(self._zones) < self.zone_count

    @property
    def slots(self) -> int:
        """Slots up to the last one of the last zone."""
        return self.zone_count * self._per_zone

    @property
    def size(self) -> int:
        """Slots that the size of the directory covers."""
        return int(self._context.table.size[self._row]) // self._record.size

    @property
    def zone_count(self) -> int:
        """Zones up to the last one, missing ones included."""
        return max(self._zones, default=-1) + 1

    @property
    def has_spare_zones(self) -> bool:
        """Whether zones lie wholly behind the size (the first one is always needed)."""
        return self.zone_count > self._zones_needed()

    def set_size(self, slots: int) -> None:
        self._context.table.size[self._row] = slots * self._record.size
        self._context.table.changed[self._row] = True

    async def close_holes(self) -> bool:
        """Move later zones forward so that none is missing; False if there is no room for an indirect block."""
        file_map = FileMap(self._context, self._row)
        moved = dict(enumerate(zone for _, zone in sorted(self._zones.items())))
        for index in moved:
            if not await file_map.reach(index):
                return False
        for index, zone in moved.items():
            await file_map.set(index, zone)
        await file_map.cut(len(moved))
        self._zones = moved
        return True

    async def drop_spare_zones(self) -> None:
        needed = self._zones_needed()
        await FileMap(self._context, self._row).cut(needed)
        self._zones = {index: zone for index, zone in self._zones.items() if index < needed}

    async def entries(self) -> list[Entry]:
        """The slots in use, in order, also behind the size."""
        volume, result = self._context.volume, []
        for index, zone in sorted(self._zones.items()):
            blocks = self._context.blocks_of(zone)
            data = (await volume.read_run(blocks.start, len(blocks))).view(self._record.dtype)
            for slot in np.flatnonzero(data["d_ino"]).tolist():
                name = data["d_name"][slot].tobytes().split(b"\0", 1)[0]
                result.append(Entry(index * self._per_zone + slot, int(data["d_ino"][slot]), name))
        return result

    async def put(self, position: int, inode: int, name: bytes) -> None:
        """Write one slot of a mapped zone."""
        block, offset = self._where(position)
        self._record.struct.pack_into(await self._context.volume.edit(block), offset, inode, name)

    async def clear(self, position: int) -> None:
        """Make one slot unused; its name stays."""
        block, offset = self._where(position)
        number = self._record.offsets["d_name"]
        (await self._context.volume.edit(block))[offset : offset + number] = bytes(number)

    async def reserve(self, slots: int) -> bool:
        """See to it that there are zones for so many slots and the size covers them; False if there is no room."""
        while self.slots < slots:
            zone = self._context.new_zone()
            if zone is None or not await FileMap(self._context, self._row).set(self.zone_count, zone):
                return False
            self._zones[self.zone_count] = zone
        if self.size < slots:
            self.set_size(slots)
        return True

    async def add(self, inode: int, name: bytes) -> bool:
        """Put an entry into the first free slot behind ``..``; False if there is no room for it."""
        if self._used is None:
            self._used = {entry.position for entry in await self.entries() if entry.position < self.size}
        while self._next in self._used or self._is_in_hole(self._next):
            self._next += 1
        if not await self.reserve(self._next + 1):
            return False
        await self.put(self._next, inode, name)
        self._next += 1
        return True

    def _zones_needed(self) -> int:
        return max(1, -(-self.size // self._per_zone))

    def _is_in_hole(self, position: int) -> bool:
        return position < self.slots and position // self._per_zone not in self._zones

    def _where(self, position: int) -> tuple[int, int]:
        """Block and byte offset of a slot."""
        index, slot = divmod(position, self._per_zone)
        step, offset = divmod(slot * self._record.size, self._context.superblock.block_size)
        return self._context.blocks_of(self._zones[index])[step], offset
