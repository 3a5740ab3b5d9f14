"""The MFS disk formats: every record and every number that the formats fix (specification: file systems, 1.1-1.8).

The volume is: 1024 bytes boot area, 1024 bytes superblock, and from block 2 on the inode bitmap, the zone bitmap, the
inode table and the data zones. Six variants share this; `VARIANTS` lists what sets them apart. On-disk field names
(``s_...``, ``i_...``) appear in this module only; `superblock` and `inode` give the things plain names.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass

from construct import Array, Bytes, Int8ul, Int16ul, Int32ul, Struct

from minixfs.layouts import Record

BOOT_SIZE = 1024
SUPERBLOCK_OFFSET = 1024
SUPERBLOCK_SIZE = 1024
START_BLOCK = 2
"""Block where the inode bitmap begins, whatever the block size."""
ROOT_INODE = 1
BAD_BLOCKS_INODE = 2
"""Linux mkfs.minix keeps bad blocks in this inode, without a directory entry, when it was asked to look for them."""

DIRECT_ZONES = 7
MAX_FILE_SIZE = 0x7FFFFFFF
"""Size field limit that every reader of the format accepts (bytes)."""
SYMLINK_MAX = 1023
"""Longest symbolic link text (bytes), whatever the block size."""
MAX_ZONE_SHIFT = 4
MIN_BLOCK_SIZE, MAX_BLOCK_SIZE, BLOCK_SIZE_STEP = 1024, 65024, 512

FLAG_CLEAN = 0x0001
FLAG_MANDATORY_MASK = 0xFF00
STATE_VALID = 0x0001
STATE_ERROR = 0x0002

FILE_TYPES = frozenset(
    (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)
)

SUPERBLOCK_V12 = Record(
    Struct(
        "s_ninodes" / Int16ul,
        "s_nzones" / Int16ul,
        "s_imap_blocks" / Int16ul,
        "s_zmap_blocks" / Int16ul,
        "s_firstdatazone" / Int16ul,
        "s_log_zone_size" / Int16ul,
        "s_max_size" / Int32ul,
        "s_magic" / Int16ul,
        "s_state" / Int16ul,
        "s_zones" / Int32ul,
    )
)
SUPERBLOCK_V3 = Record(
    Struct(
        "s_ninodes" / Int32ul,
        "s_nzones" / Int16ul,
        "s_imap_blocks" / Int16ul,
        "s_zmap_blocks" / Int16ul,
        "s_firstdatazone" / Int16ul,
        "s_log_zone_size" / Int16ul,
        "s_flags" / Int16ul,
        "s_max_size" / Int32ul,
        "s_zones" / Int32ul,
        "s_magic" / Int16ul,
        "s_pad2" / Int16ul,
        "s_block_size" / Int16ul,
        "s_disk_version" / Int8ul,
    )
)
INODE_V1 = Record(
    Struct(
        "i_mode" / Int16ul,
        "i_uid" / Int16ul,
        "i_size" / Int32ul,
        "i_mtime" / Int32ul,
        "i_gid" / Int8ul,
        "i_nlinks" / Int8ul,
        "i_zone" / Array(9, Int16ul),
    )
)
INODE_V2 = Record(
    Struct(
        "i_mode" / Int16ul,
        "i_nlinks" / Int16ul,
        "i_uid" / Int16ul,
        "i_gid" / Int16ul,
        "i_size" / Int32ul,
        "i_atime" / Int32ul,
        "i_mtime" / Int32ul,
        "i_ctime" / Int32ul,
        "i_zone" / Array(10, Int32ul),
    )
)
DIRENT_14 = Record(Struct("d_ino" / Int16ul, "d_name" / Bytes(14)))
DIRENT_30 = Record(Struct("d_ino" / Int16ul, "d_name" / Bytes(30)))
DIRENT_60 = Record(Struct("d_ino" / Int32ul, "d_name" / Bytes(60)))


@dataclass(frozen=True, slots=True)
class Variant:
    """What sets one of the six formats apart.

    `magic_offset` is relative to the superblock. `link_max` is our limit on hard links (V1 counts in 8 bits).
    `zone_size` is the size of a zone pointer in bytes. `levels` counts the indirection levels that an inode has
    room for.
    """

    name: str
    version: int
    magic: int
    magic_offset: int
    superblock: Record
    inode: Record
    dirent: Record
    link_max: int
    id_max: int
    gid_max: int
    swappable: bool

    @property
    def name_max(self) -> int:
        """Longest file name in bytes."""
        return self.dirent.size - (2 if self.dirent is not DIRENT_60 else 4)

    @property
    def pointer_size(self) -> int:
        """Bytes of a zone number in an inode or indirect block."""
        return 2 if self.version == 1 else 4

    @property
    def levels(self) -> int:
        return 2 if self.version == 1 else 3

    @property
    def has_times(self) -> bool:
        """V1 stores the modification time alone."""
        return self.version > 1

    @property
    def has_state(self) -> bool:
        """The Linux clean mark of V1 and V2; V3 and the hybrid keep MINIX's flags instead."""
        return self.superblock is SUPERBLOCK_V12


VARIANTS = (
    Variant("V3", 3, 0x4D5A, 24, SUPERBLOCK_V3, INODE_V2, DIRENT_60, 32767, 0xFFFF, 0xFFFF, False),
    Variant("hybrid", 2, 0x2468, 24, SUPERBLOCK_V3, INODE_V2, DIRENT_60, 32767, 0xFFFF, 0xFFFF, True),
    Variant("V1", 1, 0x137F, 16, SUPERBLOCK_V12, INODE_V1, DIRENT_14, 250, 0xFFFF, 0xFF, True),
    Variant("V1L", 1, 0x138F, 16, SUPERBLOCK_V12, INODE_V1, DIRENT_30, 250, 0xFFFF, 0xFF, True),
    Variant("V2", 2, 0x2468, 16, SUPERBLOCK_V12, INODE_V2, DIRENT_14, 32767, 0xFFFF, 0xFFFF, True),
    Variant("V2L", 2, 0x2478, 16, SUPERBLOCK_V12, INODE_V2, DIRENT_30, 32767, 0xFFFF, 0xFFFF, True),
)
"""In the order in which a reader must try them."""


def variant_for(version: int, name_max: int | None = None) -> Variant:
    """The native variant of `version` 1..3 whose names hold `name_max` bytes (None: the longest of that version)."""
    wanted = name_max or {1: 30, 2: 30, 3: 60}[version]
    for variant in VARIANTS:
        if variant.version == version and variant.name_max == wanted and variant.name != "hybrid":
            return variant
    raise ValueError(f"MINIX V{version} has no names of {wanted} bytes")
