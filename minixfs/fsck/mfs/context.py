"""What the passes of one check share: see `minixfs.fsck.context`; and the words for faults."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from minixfs.fs.mfs import layout
from minixfs.fsck import context
from minixfs.fsck.mfs.inodes import InodeTable
from minixfs.fsck.mfs.volume import Volume
from minixfs.fsck.report import Judge


class Kind(StrEnum):
    """Every fault that the MFS checker knows."""

    SUPERBLOCK = "superblock"
    ROOT = "root"
    UNKNOWN_MODE = "unknown-mode"
    DEVICE_ZONES = "device-zones"
    BAD_ZONE = "bad-zone"
    SHARED_ZONE = "shared-zone"
    TOO_LARGE = "too-large"
    BEYOND_SIZE = "beyond-size"
    BAD_SIZE = "bad-size"
    SYMLINK = "symlink"
    DIRECTORY_HOLE = "directory-hole"
    NOT_DIRECTORY = "not-directory"
    BAD_ENTRY = "bad-entry"
    BAD_NAME = "bad-name"
    DUPLICATE_NAME = "duplicate-name"
    DOT = "dot"
    DOTDOT = "dotdot"
    DIRECTORY_LINK = "directory-link"
    ORPHAN = "orphan"
    TOO_MANY_LINKS = "too-many-links"
    LINK_COUNT = "link-count"
    INODE_MAP = "inode-map"
    ZONE_MAP = "zone-map"
    PADDING = "padding"
    UNSETTLED = "unsettled"


class Context(context.Context):
    """State of one check of an MFS volume."""

    table: InodeTable

    def __init__(self, volume: Volume, table: InodeTable, judge: Judge) -> None:
        self.superblock = superblock = volume.superblock
        shape = context.Shape(
            first_data_zone=superblock.first_data_zone,
            zones=superblock.zones,
            zone_shift=superblock.zone_shift,
            direct=layout.DIRECT_ZONES,
            levels=superblock.variant.levels,
            pointers_per_block=superblock.pointers_per_block,
        )
        super().__init__(volume, shape, layout.ROOT_INODE, judge)
        self.table = table

    async def entry_name(self, block: int, position: int) -> bytes:
        record = self.superblock.dirent_record
        slot = position % (self.superblock.block_size // record.size)
        data = await self.volume.read_blocks(np.array([block]))
        _, name = record.struct.unpack_from(data.tobytes(), slot * record.size)
        return bytes(name).split(b"\0", 1)[0]
