"""What the passes of one check share: see `minixfs.fsck.context`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.ext2 import layout
from minixfs.fsck import context
from minixfs.fsck.ext2.groups import Groups
from minixfs.fsck.ext2.inodes import InodeTable
from minixfs.fsck.ext2.volume import Volume
from minixfs.fsck.report import Judge


class Context(context.Context):
    """State of one check of an ext2 volume. `in_use` has fixed metadata too; `count` is by row: how many blocks the
    inode holds in all.
    """

    table: InodeTable
    counts_zones = True

    def __init__(self, volume: Volume, groups: Groups, table: InodeTable, judge: Judge) -> None:
        self.superblock = superblock = volume.superblock
        shape = context.Shape(
            first_data_zone=superblock.first_data_block + 1,
            zones=superblock.blocks,
            zone_shift=0,
            direct=layout.DIRECT_BLOCKS,
            levels=layout.LEVELS,
            pointers_per_block=superblock.block_size // 4,
        )
        super().__init__(volume, shape, layout.ROOT_INODE, judge)
        self.groups = groups
        self.table = table
        self.in_use = groups.fixed.copy()
        self.end = np.zeros(len(table.numbers), np.int64)
        self.count = np.zeros(len(table.numbers), np.int64)

    def is_zone(self, zones: NDArray[np.int64]) -> NDArray[np.bool_]:
        inside = super().is_zone(zones)
        return inside & ~self.groups.fixed[np.where(inside, zones, 0)]

    async def entry_name(self, block: int, position: int) -> bytes:
        data = (await self.volume.read_blocks(np.array([block]))).tobytes()
        offset = position % self.superblock.block_size
        _, _, length, _ = layout.DIRENT.struct.unpack_from(data, offset)
        return data[offset + 8 : offset + 8 + length]

    def unclaimed(self) -> NDArray[np.bool_]:
        """Metadata, attribute blocks and the resize inode's own block."""
        table = self.table
        holders = table.columns["i_file_acl"][table.ordinary].astype(np.int64)
        own = table.zones[table.reserved_row(layout.RESIZE_INODE), layout.DIRECT_BLOCKS + 1]
        blocks = np.append(holders, np.int64(own))
        found = self.groups.fixed.copy()
        found[blocks[self.is_zone(blocks)]] = True
        return found
