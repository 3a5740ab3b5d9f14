"""The faults that the ext2 checker knows, and which of them are repaired without a question."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    SUPERBLOCK = "superblock"
    FUTURE_TIME = "future-time"
    GROUP_DESCRIPTOR = "group-descriptor"
    GROUP_FLAGS = "group-flags"
    ORPHAN_LIST = "orphan-list"
    ROOT = "root"
    RESERVED_INODE = "reserved-inode"
    BAD_BLOCKS_INODE = "bad-blocks-inode"
    RESIZE_INODE = "resize-inode"
    JOURNAL = "journal"
    DELETION_TIME = "deletion-time"
    ORPHAN_INODE = "orphan-inode"
    UNKNOWN_MODE = "unknown-mode"
    BAD_FLAGS = "bad-flags"
    BAD_FIELD = "bad-field"
    HIGH_XATTR = "high-xattr"
    EXTRA_SIZE = "extra-size"
    DEVICE_SIZE = "device-size"
    BAD_DEVICE = "bad-device"
    SYMLINK = "symlink"
    BAD_BLOCK = "bad-block"
    SHARED_BLOCK = "shared-block"
    BAD_SIZE = "bad-size"
    BLOCK_COUNT = "block-count"
    LARGE_FILE = "large-file"
    XATTR = "xattr"
    XATTR_VALUE = "xattr-value"
    XATTR_REFERENCES = "xattr-references"
    INDEX = "index"
    INDEX_TREE = "index-tree"
    EMPTY_DIRECTORY = "empty-directory"
    DIRECTORY_HOLE = "directory-hole"
    DIRECTORY_BLOCK = "directory-block"
    BAD_ENTRY = "bad-entry"
    FREE_ENTRY = "free-entry"
    BAD_NAME = "bad-name"
    DUPLICATE_NAME = "duplicate-name"
    FILE_TYPE = "file-type"
    SPARE_FILE_TYPE = "spare-file-type"
    DOT = "dot"
    DOTDOT = "dotdot"
    DIRECTORY_LINK = "directory-link"
    UNREACHABLE = "unreachable"
    UNUSED = "unused"
    LINK_COUNT = "link-count"
    BLOCK_MAP = "block-map"
    INODE_MAP = "inode-map"
    PADDING = "padding"
    GROUP_COUNT = "group-count"
    UNSETTLED = "unsettled"


HARMLESS = frozenset({
    Kind.FUTURE_TIME, Kind.GROUP_FLAGS, Kind.ORPHAN_LIST, Kind.RESERVED_INODE, Kind.JOURNAL, Kind.DELETION_TIME,
    Kind.HIGH_XATTR,
    Kind.EXTRA_SIZE, Kind.DEVICE_SIZE, Kind.BAD_SIZE, Kind.BLOCK_COUNT, Kind.LARGE_FILE, Kind.XATTR_VALUE, Kind.INDEX,
    Kind.EMPTY_DIRECTORY, Kind.FREE_ENTRY, Kind.SPARE_FILE_TYPE, Kind.UNUSED, Kind.LINK_COUNT,
    Kind.BLOCK_MAP, Kind.INODE_MAP, Kind.PADDING, Kind.GROUP_COUNT,
})  # fmt: skip
"""What preening repairs: nothing is lost by it, and there is one way to do it."""
