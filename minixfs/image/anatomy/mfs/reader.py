"""Single inodes, files and directories of an MFS volume, read from the device whatever state the volume is in.

Nothing is cached and nothing is believed: numbers are checked before they are followed, and zones end where the device
ends. The walk over indirect blocks and the bulk readers are the checker's.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minixfs.errors import BadSuperblock, Corrupt, NotDirectory, NotFound, TooManySymlinks, Unsupported, UsageError
from minixfs.fs.mfs import layout
from minixfs.fs.mfs.superblock import Superblock
from minixfs.fsck.mapping import References, references
from minixfs.fsck.mfs.context import Context
from minixfs.fsck.mfs.inodes import MAPPED_TYPES, InodeTable
from minixfs.fsck.mfs.volume import Budget, Tick, Volume
from minixfs.fsck.report import REPORT, Judge
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.runtime import run
from minixfs.image.anatomy.volume import read_bytes

MEMORY_LIMIT = 512 << 20
"""Bytes that the checker's readers may take."""
MAP_MAX = 16 << 20
"""Bytes of a bitmap that can be held with its bits one by one."""
MAP_UNIT = 4
"""Bytes that the order of bits in a map goes by."""
MAX_LINKS = 40
"""Symbolic links on the way of a path."""


class Inode(NamedTuple):
    """`offset` is the byte of the volume where `raw` lies; `pointers` are the zone numbers in it."""

    number: int
    offset: int
    raw: bytes
    mode: int
    size: int
    pointers: list[int]

    @property
    def type(self) -> int:
        return stat.S_IFMT(self.mode)

    @property
    def has_zones(self) -> bool:
        return self.type in MAPPED_TYPES


class Slot(NamedTuple):
    """One place of a directory. `offset` is the byte of the volume where it lies."""

    offset: int
    raw: bytes
    inode: int
    name: bytes


class Reader:
    """`superblock` is the volume's; `blocks` counts those that are really on the device."""

    def __init__(self, device: BlockDevice, superblock: Superblock) -> None:
        self.device = device
        self.superblock = superblock
        size = superblock.block_size
        if not layout.MIN_BLOCK_SIZE <= size <= layout.MAX_BLOCK_SIZE or size % layout.BLOCK_SIZE_STEP:
            raise BadSuperblock(f"bad superblock: block size {size} is not a multiple of 512 from 1024 to 65024")
        if superblock.zone_shift > layout.MAX_ZONE_SHIFT:
            raise BadSuperblock(f"bad superblock: zone size shift {superblock.zone_shift} is too large")
        self.block_size = size
        self.zones = min(superblock.zones, device.size // superblock.zone_size)
        self.blocks = min(superblock.zones << superblock.zone_shift, device.size // size)

    # ---- blocks and bitmaps ----------------------------------------------------------------------------------------

    def block(self, number: int) -> bytes:
        """The contents of a block. Raises UsageError for one that is not on the device."""
        if not 0 <= number < max(self.blocks, self.device.size // self.block_size):
            raise UsageError(f"there is no block {number}: the device ends before it")
        return read_bytes(self.device, number * self.block_size, self.block_size)

    def bitmap(self, start: int, blocks: int) -> bytes:
        """Map bytes as they lie on the disk, as far as they are there.

        Raises Corrupt if none is there, Unsupported if there are too many to look at.
        """
        offset = start * self.block_size
        length = min(blocks * self.block_size, self.device.size - offset) // MAP_UNIT * MAP_UNIT
        if length <= 0:
            raise Corrupt("a bitmap lies behind the end of the device", block=start)
        if length > MAP_MAX:
            raise Unsupported(f"a bitmap of {length} bytes is too large to be shown")
        return read_bytes(self.device, offset, length)

    # ---- inodes ----------------------------------------------------------------------------------------------------

    def inode_offset(self, number: int) -> int:
        """The byte of the volume where an inode lies. Raises UsageError for one that does not exist."""
        superblock = self.superblock
        if not 1 <= number <= superblock.inodes:
            raise UsageError(f"there is no inode {number}: the volume has inodes 1 to {superblock.inodes}")
        index, slot = divmod(number - 1, superblock.inodes_per_block)
        return (superblock.inode_table_block + index) * self.block_size + slot * superblock.variant.inode.size

    def inode(self, number: int) -> Inode:
        """Raises UsageError for one that does not exist, or that the device is too short for."""
        record = self.superblock.inode_record
        offset = self.inode_offset(number)
        raw = read_bytes(self.device, offset, record.size)
        if len(raw) < record.size:
            raise UsageError(f"inode {number} lies behind the end of the device")
        values = record.struct.unpack(raw)
        fields = dict(zip(record.fields, values, strict=False))
        return Inode(
            number, offset, raw, fields["i_mode"], fields["i_size"], list(values[record.fields.index("i_zone") :])
        )

    # ---- files -----------------------------------------------------------------------------------------------------

    def bulk(self, tick: Tick = lambda progress: None) -> Volume:
        """The checker's reader of many blocks at once. It ends where the device ends."""
        return Volume(self.device, replace(self.superblock, zones=self.zones), Budget(MEMORY_LIMIT), tick)

    @cached_property
    def _bulk(self) -> Volume:
        volume = self.bulk()
        volume.budget.spend(self.zones)
        return volume

    def references(self, inode: Inode) -> list[References]:
        """All zone numbers of a file: data in order, then indirect blocks. Also those that lie outside."""
        table = InodeTable(self._bulk)
        row = table.add(inode.number, inode.mode)
        table.zones[row] = inode.pointers

        async def collect() -> list[References]:
            context = Context(self._bulk, table, Judge(REPORT))
            return [part async for part in references(context, np.array([row]))]

        parts = run(collect()) if inode.has_zones else []
        return sorted(parts, key=lambda part: (part.level, part.places[0] if len(part.places) else 0))

    def zones_of(self, inode: Inode) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places and zone numbers of a file's data, in order, as far as they are on the device."""
        data = [part for part in self.references(inode) if part.level == 0]
        if not data:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        places, zones = (np.concatenate([getattr(part, name) for part in data]) for name in ("places", "zones"))
        order = np.argsort(places, kind="stable")
        order = order[self.is_zone(zones[order])]
        return places[order], zones[order]

    def is_zone(self, zones: NDArray[np.int64]) -> NDArray[np.bool_]:
        return (zones >= self.superblock.first_data_zone) & (zones < self.zones)

    def slots(self, directory: Inode) -> Iterator[Slot]:
        """Every slot of a directory, free ones too, up to its size; slots in holes are left out."""
        record, zone_size = self.superblock.dirent_record, self.superblock.zone_size
        for place, zone in zip(*(column.tolist() for column in self.zones_of(directory)), strict=True):
            start = zone * zone_size
            length = min(zone_size, directory.size - place * zone_size) // record.size * record.size
            if length <= 0:
                break
            data = read_bytes(self.device, start, length)
            for at in range(0, len(data), record.size):
                raw = data[at : at + record.size]
                number, name = record.struct.unpack(raw)
                yield Slot(start + at, raw, number, name.split(b"\0", 1)[0])

    # ---- paths -----------------------------------------------------------------------------------------------------

    def find(self, path: bytes) -> Inode:
        """Where a path from the root leads; links on the way are followed, one at its end is not."""
        inode = self.inode(layout.ROOT_INODE)
        above = [inode]
        waiting = _parts(path)
        links = 0
        while waiting:
            name = waiting.pop()
            if inode.type != stat.S_IFDIR:
                raise NotDirectory
            above.append(inode)
            number = next((slot.inode for slot in self.slots(inode) if slot.inode and slot.name == name), None)
            if number is None:
                raise NotFound
            inode = self.inode(number)
            if inode.type == stat.S_IFLNK and waiting:
                links += 1
                if links > MAX_LINKS:
                    raise TooManySymlinks
                target = self._link_text(inode)
                waiting += _parts(target)
                inode = above[0] if target.startswith(b"/") else above[-1]
        return inode

    def _link_text(self, link: Inode) -> bytes:
        _, zones = self.zones_of(link)
        size = min(link.size, self.block_size)
        return read_bytes(self.device, int(zones[0]) * self.superblock.zone_size, size) if len(zones) else b""


def _parts(path: bytes) -> list[bytes]:
    """The names of a path, the last one first."""
    return [part for part in reversed(path.split(b"/")) if part not in (b"", b".")]
