"""The ext2 disk format: every record and every number that the format fixes (specification: file systems, 3).

The volume is a row of block groups, each with a block bitmap, an inode bitmap, a piece of the inode table and data
blocks; group 0 and some others begin with a copy of the superblock and of the group descriptors. On-disk field names
(``s_...``, ``bg_...``, ``i_...``) appear in this module only; `superblock`, `group` and `inode` give the things plain
names.
"""

from __future__ import annotations

import stat

from construct import Array, Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

from minixfs.layouts import Record

SUPERBLOCK_OFFSET = 1024
SUPERBLOCK_SIZE = 1024
MAGIC = 0xEF53
MIN_BLOCK_SIZE, MAX_BLOCK_SIZE = 1024, 65536

BAD_BLOCKS_INODE, ROOT_INODE, RESIZE_INODE, JOURNAL_INODE = 1, 2, 7, 8
FIRST_INODE_REVISION_0 = 11
INODE_SIZE_REVISION_0 = 128
DIRECT_BLOCKS = 12
LEVELS = 3
SECTOR = 512
"""The unit of an inode's block count, whatever the block size."""
LINK_MAX = 32000
"""Hard links of one inode: what Linux allows; the field has 16 bits."""
NAME_MAX = 255
LARGE_FILE = 0x7FFFFFFF
"""Bytes of the largest file that does without the feature large_file."""
FAST_SYMLINK_MAX = 59
"""Longest symbolic link text (bytes) that is kept in the inode itself, where the block pointers are otherwise."""

STATE_VALID, STATE_ERROR, STATE_ORPHANS = 1, 2, 4
ERRORS_CONTINUE, ERRORS_READ_ONLY, ERRORS_PANIC = 1, 2, 3

FLAG_SYNC, FLAG_IMMUTABLE, FLAG_APPEND, FLAG_NOATIME = 0x8, 0x10, 0x20, 0x80
FLAG_INDEX, FLAG_TOPDIR = 0x1000, 0x20000
FLAG_HUGE_FILE, FLAG_EXTENTS, FLAG_EA_INODE, FLAG_INLINE_DATA = 0x40000, 0x80000, 0x200000, 0x10000000
FLAGS_INHERITED = 0x1 | 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x200 | 0x400 | 0x4000 | 0x8000 | 0x10000
FLAGS_OF_DIRECTORIES = 0x10000
FLAGS_OF_OTHERS = 0x40 | 0x80
"""What a new object takes over from its directory; the second is for directories alone, all that objects which are
neither files nor directories keep is the third."""

COMPAT_HAS_JOURNAL, COMPAT_EXT_ATTR, COMPAT_RESIZE_INODE, COMPAT_DIR_INDEX = 0x4, 0x8, 0x10, 0x20
INCOMPAT_FILETYPE, INCOMPAT_RECOVER = 0x2, 0x4
RO_COMPAT_SPARSE_SUPER, RO_COMPAT_LARGE_FILE, RO_COMPAT_DIR_NLINK, RO_COMPAT_EXTRA_ISIZE = 0x1, 0x2, 0x20, 0x40

COMPAT_NAMES = {
    0x1: "dir_prealloc", 0x2: "imagic_inodes", 0x4: "has_journal", 0x8: "ext_attr", 0x10: "resize_inode",
    0x20: "dir_index", 0x200: "sparse_super2", 0x400: "fast_commit", 0x800: "stable_inodes", 0x1000: "orphan_file",
}  # fmt: skip
INCOMPAT_NAMES = {
    0x1: "compression", 0x2: "filetype", 0x4: "needs_recovery", 0x8: "journal_dev", 0x10: "meta_bg", 0x40: "extents",
    0x80: "64bit", 0x100: "mmp", 0x200: "flex_bg", 0x400: "ea_inode", 0x1000: "dirdata", 0x2000: "metadata_csum_seed",
    0x4000: "large_dir", 0x8000: "inline_data", 0x10000: "encrypt", 0x20000: "casefold",
}  # fmt: skip
RO_COMPAT_NAMES = {
    0x1: "sparse_super", 0x2: "large_file", 0x4: "btree_dir", 0x8: "huge_file", 0x10: "uninit_bg", 0x20: "dir_nlink",
    0x40: "extra_isize", 0x80: "has_snapshot", 0x100: "quota", 0x200: "bigalloc", 0x400: "metadata_csum",
    0x800: "replica", 0x1000: "read-only", 0x2000: "project", 0x4000: "shared_blocks", 0x8000: "verity",
    0x10000: "orphan_present",
}  # fmt: skip
"""The bits of the three feature words, as tune2fs names them."""

SUPERBLOCK = Record(
    Struct(
        "s_inodes_count" / Int32ul,
        "s_blocks_count" / Int32ul,
        "s_r_blocks_count" / Int32ul,
        "s_free_blocks_count" / Int32ul,
        "s_free_inodes_count" / Int32ul,
        "s_first_data_block" / Int32ul,
        "s_log_block_size" / Int32ul,
        "s_log_frag_size" / Int32ul,
        "s_blocks_per_group" / Int32ul,
        "s_frags_per_group" / Int32ul,
        "s_inodes_per_group" / Int32ul,
        "s_mtime" / Int32ul,
        "s_wtime" / Int32ul,
        "s_mnt_count" / Int16ul,
        "s_max_mnt_count" / Int16ul,
        "s_magic" / Int16ul,
        "s_state" / Int16ul,
        "s_errors" / Int16ul,
        "s_minor_rev_level" / Int16ul,
        "s_lastcheck" / Int32ul,
        "s_checkinterval" / Int32ul,
        "s_creator_os" / Int32ul,
        "s_rev_level" / Int32ul,
        "s_def_resuid" / Int16ul,
        "s_def_resgid" / Int16ul,
        "s_first_ino" / Int32ul,
        "s_inode_size" / Int16ul,
        "s_block_group_nr" / Int16ul,
        "s_feature_compat" / Int32ul,
        "s_feature_incompat" / Int32ul,
        "s_feature_ro_compat" / Int32ul,
        "s_uuid" / Bytes(16),
        "s_volume_name" / Bytes(16),
        "s_last_mounted" / Bytes(64),
        "s_algorithm_usage_bitmap" / Int32ul,
        "s_prealloc_blocks" / Int8ul,
        "s_prealloc_dir_blocks" / Int8ul,
        "s_reserved_gdt_blocks" / Int16ul,
        "s_journal_uuid" / Bytes(16),
        "s_journal_inum" / Int32ul,
        "s_journal_dev" / Int32ul,
        "s_last_orphan" / Int32ul,
        "s_hash_seed" / Bytes(16),
        "s_def_hash_version" / Int8ul,
        "s_jnl_backup_type" / Int8ul,
        "s_desc_size" / Int16ul,
        "s_default_mount_opts" / Int32ul,
        "s_first_meta_bg" / Int32ul,
        "s_mkfs_time" / Int32ul,
        "s_jnl_blocks" / Array(17, Int32ul),
        "s_blocks_count_hi" / Int32ul,
        "s_r_blocks_count_hi" / Int32ul,
        "s_free_blocks_hi" / Int32ul,
        "s_min_extra_isize" / Int16ul,
        "s_want_extra_isize" / Int16ul,
        "s_flags" / Int32ul,
        "s_raid_stride" / Int16ul,
        "s_mmp_interval" / Int16ul,
        "s_mmp_block" / Int64ul,
        "s_raid_stripe_width" / Int32ul,
        "s_log_groups_per_flex" / Int8ul,
        "s_checksum_type" / Int8ul,
        "s_reserved_pad" / Int16ul,
        "s_kbytes_written" / Int64ul,
        "s_snapshot_inum" / Int32ul,
        "s_snapshot_id" / Int32ul,
        "s_snapshot_r_blocks_count" / Int64ul,
        "s_snapshot_list" / Int32ul,
        "s_error_count" / Int32ul,
        "s_first_error_time" / Int32ul,
        "s_first_error_ino" / Int32ul,
        "s_first_error_block" / Int64ul,
        "s_first_error_func" / Bytes(32),
        "s_first_error_line" / Int32ul,
        "s_last_error_time" / Int32ul,
        "s_last_error_ino" / Int32ul,
        "s_last_error_line" / Int32ul,
        "s_last_error_block" / Int64ul,
        "s_last_error_func" / Bytes(32),
        "s_mount_opts" / Bytes(64),
        "s_usr_quota_inum" / Int32ul,
        "s_grp_quota_inum" / Int32ul,
        "s_overhead_blocks" / Int32ul,
    )
)
GROUP_DESCRIPTOR = Record(
    Struct(
        "bg_block_bitmap" / Int32ul,
        "bg_inode_bitmap" / Int32ul,
        "bg_inode_table" / Int32ul,
        "bg_free_blocks_count" / Int16ul,
        "bg_free_inodes_count" / Int16ul,
        "bg_used_dirs_count" / Int16ul,
        "bg_flags" / Int16ul,
        "bg_reserved" / Bytes(12),
    )
)
INODE = Record(
    Struct(
        "i_mode" / Int16ul,
        "i_uid" / Int16ul,
        "i_size" / Int32ul,
        "i_atime" / Int32ul,
        "i_ctime" / Int32ul,
        "i_mtime" / Int32ul,
        "i_dtime" / Int32ul,
        "i_gid" / Int16ul,
        "i_links_count" / Int16ul,
        "i_blocks" / Int32ul,
        "i_flags" / Int32ul,
        "i_version" / Int32ul,
        "i_block" / Array(15, Int32ul),
        "i_generation" / Int32ul,
        "i_file_acl" / Int32ul,
        "i_size_high" / Int32ul,
        "i_faddr" / Int32ul,
        "i_blocks_high" / Int16ul,
        "i_file_acl_high" / Int16ul,
        "i_uid_high" / Int16ul,
        "i_gid_high" / Int16ul,
        "i_checksum_lo" / Int16ul,
        "i_reserved" / Int16ul,
    )
)
"""The first 128 bytes of every inode."""
INODE_EXTRA = Record(
    Struct(
        "i_extra_isize" / Int16ul,
        "i_checksum_hi" / Int16ul,
        "i_ctime_extra" / Int32ul,
        "i_mtime_extra" / Int32ul,
        "i_atime_extra" / Int32ul,
        "i_crtime" / Int32ul,
        "i_crtime_extra" / Int32ul,
        "i_version_hi" / Int32ul,
        "i_projid" / Int32ul,
    )
)
"""What follows in larger inodes, as far as ``i_extra_isize`` (counted from byte 128) says."""
DIRENT = Record(Struct("inode" / Int32ul, "rec_len" / Int16ul, "name_len" / Int8ul, "file_type" / Int8ul))
"""The head of a directory entry; the name follows, and whatever fills ``rec_len``."""

FILE_TYPES = {
    stat.S_IFREG: 1, stat.S_IFDIR: 2, stat.S_IFCHR: 3, stat.S_IFBLK: 4, stat.S_IFIFO: 5, stat.S_IFSOCK: 6,
    stat.S_IFLNK: 7,
}  # fmt: skip
"""The type byte of a directory entry for each file type; all types that the format knows."""

XATTR_MAGIC = 0xEA020000
XATTR_REFERENCES_MAX = 1024
XATTR_HEADER = Record(
    Struct(
        "h_magic" / Int32ul,
        "h_refcount" / Int32ul,
        "h_blocks" / Int32ul,
        "h_hash" / Int32ul,
        "h_checksum" / Int32ul,
        "h_reserved" / Bytes(12),
    )
)
XATTR_ENTRY = Record(
    Struct(
        "e_name_len" / Int8ul,
        "e_name_index" / Int8ul,
        "e_value_offs" / Int16ul,
        "e_value_inum" / Int32ul,
        "e_value_size" / Int32ul,
        "e_hash" / Int32ul,
    )
)
