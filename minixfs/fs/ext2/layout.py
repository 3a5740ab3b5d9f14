"""The ext2 disk format: every record and every number that the format fixes (specification: file systems, 3).

The volume is a row of block groups, each with a block bitmap, an inode bitmap, a piece of the inode table and data
blocks; group 0 and some others begin with a copy of the superblock and of the group descriptors. On-disk field names
(``s_...``, ``bg_...``, ``i_...``) appear in this module only; `superblock`, `group` and `inode` give the things plain
names.
"""

from __future__ import annotations

import stat

from minixfs.layouts import U8, U16, U32, U64, Record, array, octets

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
    s_inodes_count=U32,
    s_blocks_count=U32,
    s_r_blocks_count=U32,
    s_free_blocks_count=U32,
    s_free_inodes_count=U32,
    s_first_data_block=U32,
    s_log_block_size=U32,
    s_log_frag_size=U32,
    s_blocks_per_group=U32,
    s_frags_per_group=U32,
    s_inodes_per_group=U32,
    s_mtime=U32,
    s_wtime=U32,
    s_mnt_count=U16,
    s_max_mnt_count=U16,
    s_magic=U16,
    s_state=U16,
    s_errors=U16,
    s_minor_rev_level=U16,
    s_lastcheck=U32,
    s_checkinterval=U32,
    s_creator_os=U32,
    s_rev_level=U32,
    s_def_resuid=U16,
    s_def_resgid=U16,
    s_first_ino=U32,
    s_inode_size=U16,
    s_block_group_nr=U16,
    s_feature_compat=U32,
    s_feature_incompat=U32,
    s_feature_ro_compat=U32,
    s_uuid=octets(16),
    s_volume_name=octets(16),
    s_last_mounted=octets(64),
    s_algorithm_usage_bitmap=U32,
    s_prealloc_blocks=U8,
    s_prealloc_dir_blocks=U8,
    s_reserved_gdt_blocks=U16,
    s_journal_uuid=octets(16),
    s_journal_inum=U32,
    s_journal_dev=U32,
    s_last_orphan=U32,
    s_hash_seed=octets(16),
    s_def_hash_version=U8,
    s_jnl_backup_type=U8,
    s_desc_size=U16,
    s_default_mount_opts=U32,
    s_first_meta_bg=U32,
    s_mkfs_time=U32,
    s_jnl_blocks=array(17, U32),
    s_blocks_count_hi=U32,
    s_r_blocks_count_hi=U32,
    s_free_blocks_hi=U32,
    s_min_extra_isize=U16,
    s_want_extra_isize=U16,
    s_flags=U32,
    s_raid_stride=U16,
    s_mmp_interval=U16,
    s_mmp_block=U64,
    s_raid_stripe_width=U32,
    s_log_groups_per_flex=U8,
    s_checksum_type=U8,
    s_reserved_pad=U16,
    s_kbytes_written=U64,
    s_snapshot_inum=U32,
    s_snapshot_id=U32,
    s_snapshot_r_blocks_count=U64,
    s_snapshot_list=U32,
    s_error_count=U32,
    s_first_error_time=U32,
    s_first_error_ino=U32,
    s_first_error_block=U64,
    s_first_error_func=octets(32),
    s_first_error_line=U32,
    s_last_error_time=U32,
    s_last_error_ino=U32,
    s_last_error_line=U32,
    s_last_error_block=U64,
    s_last_error_func=octets(32),
    s_mount_opts=octets(64),
    s_usr_quota_inum=U32,
    s_grp_quota_inum=U32,
    s_overhead_blocks=U32,
)
GROUP_DESCRIPTOR = Record(
    bg_block_bitmap=U32,
    bg_inode_bitmap=U32,
    bg_inode_table=U32,
    bg_free_blocks_count=U16,
    bg_free_inodes_count=U16,
    bg_used_dirs_count=U16,
    bg_flags=U16,
    bg_reserved=octets(12),
)
INODE = Record(
    i_mode=U16,
    i_uid=U16,
    i_size=U32,
    i_atime=U32,
    i_ctime=U32,
    i_mtime=U32,
    i_dtime=U32,
    i_gid=U16,
    i_links_count=U16,
    i_blocks=U32,
    i_flags=U32,
    i_version=U32,
    i_block=array(15, U32),
    i_generation=U32,
    i_file_acl=U32,
    i_size_high=U32,
    i_faddr=U32,
    i_blocks_high=U16,
    i_file_acl_high=U16,
    i_uid_high=U16,
    i_gid_high=U16,
    i_checksum_lo=U16,
    i_reserved=U16,
)
"""The first 128 bytes of every inode."""
INODE_EXTRA = Record(
    i_extra_isize=U16,
    i_checksum_hi=U16,
    i_ctime_extra=U32,
    i_mtime_extra=U32,
    i_atime_extra=U32,
    i_crtime=U32,
    i_crtime_extra=U32,
    i_version_hi=U32,
    i_projid=U32,
)
"""What follows in larger inodes, as far as ``i_extra_isize`` (counted from byte 128) says."""
DIRENT = Record(inode=U32, rec_len=U16, name_len=U8, file_type=U8)
"""The head of a directory entry; the name follows, and whatever fills ``rec_len``."""

FILE_TYPES = {
    stat.S_IFREG: 1, stat.S_IFDIR: 2, stat.S_IFCHR: 3, stat.S_IFBLK: 4, stat.S_IFIFO: 5, stat.S_IFSOCK: 6,
    stat.S_IFLNK: 7,
}  # fmt: skip
"""The type byte of a directory entry for each file type; all types that the format knows."""

XATTR_MAGIC = 0xEA020000
XATTR_REFERENCES_MAX = 1024
XATTR_HEADER = Record(
    h_magic=U32,
    h_refcount=U32,
    h_blocks=U32,
    h_hash=U32,
    h_checksum=U32,
    h_reserved=octets(12),
)
XATTR_ENTRY = Record(
    e_name_len=U8,
    e_name_index=U8,
    e_value_offs=U16,
    e_value_inum=U32,
    e_value_size=U32,
    e_hash=U32,
)
