"""The MFS disk formats: every record and every number that the formats fix (specification: file systems, 1.1-1.8).

The volume is: 1024 bytes boot area, 1024 bytes superblock, and from block 2 on the inode bitmap, the zone bitmap, the
inode table and the data zones. Six variants share this; `VARIANTS` lists what sets them apart. On-disk field names
(``s_...``, ``i_...``) appear in this module only; `superblock` and `inode` give the things plain names.
"""

from __future__ import annotations

import stat
from typing import NamedTuple

from minixfs.layouts import U8, U16, U32, Record, array, octets

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
    s_ninodes=U16,
    s_nzones=U16,
    s_imap_blocks=U16,
    s_zmap_blocks=U16,
    s_firstdatazone=U16,
    s_log_zone_size=U16,
    s_max_size=U32,
    s_magic=U16,
    s_state=U16,
    s_zones=U32,
)
SUPERBLOCK_V3 = Record(
    s_ninodes=U32,
    s_nzones=U16,
    s_imap_blocks=U16,
    s_zmap_blocks=U16,
    s_firstdatazone=U16,
    s_log_zone_size=U16,
    s_flags=U16,
    s_max_size=U32,
    s_zones=U32,
    s_magic=U16,
    s_pad2=U16,
    s_block_size=U16,
    s_disk_version=U8,
)
INODE_V1 = Record(
    i_mode=U16,
    i_uid=U16,
    i_size=U32,
    i_mtime=U32,
    i_gid=U8,
    i_nlinks=U8,
    i_zone=array(9, U16),
)
INODE_V2 = Record(
    i_mode=U16,
    i_nlinks=U16,
    i_uid=U16,
    i_gid=U16,
    i_size=U32,
    i_atime=U32,
    i_mtime=U32,
    i_ctime=U32,
    i_zone=array(10, U32),
)
DIRENT_14 = Record(d_ino=U16, d_name=octets(14))
DIRENT_30 = Record(d_ino=U16, d_name=octets(30))
DIRENT_60 = Record(d_ino=U32, d_name=octets(60))


class Variant(NamedTuple):
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
