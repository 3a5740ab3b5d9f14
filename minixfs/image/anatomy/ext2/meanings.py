"""What the fields of ext2 structures mean, in words. Every function takes any value that a disk can hold."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from typing import Any

from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.superblock import Superblock
from minixfs.image.anatomy.words import flag_words, mode_words, moment

ERRORS = {
    layout.ERRORS_CONTINUE: "continue",
    layout.ERRORS_READ_ONLY: "remount read-only",
    layout.ERRORS_PANIC: "panic",
}
CREATORS = {0: "Linux", 1: "Hurd", 2: "Masix", 3: "FreeBSD", 4: "Lites"}
HASHES = {0: "legacy", 1: "half MD4", 2: "TEA", 3: "legacy, unsigned", 4: "half MD4, unsigned", 5: "TEA, unsigned"}
_INODE_FLAGS = {
    0x1: "secure removal", 0x2: "undelete", 0x4: "compressed", 0x8: "synchronous", 0x10: "immutable",
    0x20: "append only", 0x40: "no dump", 0x80: "no access times", 0x1000: "indexed directory", 0x4000: "journal data",
    0x10000: "synchronous directory", 0x20000: "top of a hierarchy", 0x40000: "huge", 0x80000: "extents",
    0x200000: "attribute values", 0x10000000: "data in the inode",
}  # fmt: skip
_GROUP_FLAGS = {0x1: "no inode bitmap yet", 0x2: "no block bitmap yet", 0x4: "inode table zeroed"}
_TYPES = {0: "unknown", 1: "file", 2: "directory", 3: "character device", 4: "block device", 5: "fifo", 6: "socket"}
_TYPES[7] = "symbolic link"
_MOMENTS = ("s_mtime", "s_wtime", "s_lastcheck", "s_mkfs_time", "s_first_error_time", "s_last_error_time")
_PLAIN = {
    "s_inodes_count": "inodes",
    "s_blocks_count": "blocks",
    "s_r_blocks_count": "blocks kept for the super-user",
    "s_free_blocks_count": "blocks free",
    "s_free_inodes_count": "inodes free",
    "s_mnt_count": "mounts since the last check",
    "s_inode_size": "bytes",
    "s_block_group_nr": "the group that this copy lies in",
    "s_reserved_gdt_blocks": "blocks of room for group descriptors",
    "bg_block_bitmap": "block",
    "bg_inode_bitmap": "block",
    "bg_free_blocks_count": "blocks free",
    "bg_free_inodes_count": "inodes free",
    "bg_used_dirs_count": "directories",
    "i_links_count": "names",
    "i_size": "bytes",
    "i_blocks": "sectors of 512 bytes",
    "i_extra_isize": "bytes of extra fields in use",
    "rec_len": "bytes",
    "name_len": "bytes",
    "h_refcount": "files have this block",
    "h_blocks": "blocks",
    "e_value_size": "bytes",
}


def state_words(state: int) -> str:
    """The superblock's state."""
    names = {
        layout.STATE_VALID: "clean",
        layout.STATE_ERROR: "errors were found",
        layout.STATE_ORPHANS: "files are being deleted",
    }
    return flag_words(state, names) or "not cleanly unmounted"


def uuid_words(raw: bytes) -> str:
    """As users write it; empty for none."""
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:])) if any(raw) else ""


def superblock_meaning(superblock: Superblock) -> Callable[[str, Any], str]:
    """For the fields of the superblock's record."""
    features = {
        "s_feature_compat": layout.COMPAT_NAMES,
        "s_feature_incompat": layout.INCOMPAT_NAMES,
        "s_feature_ro_compat": layout.RO_COMPAT_NAMES,
    }

    def meaning(name: str, value: Any) -> str:
        if name in features:
            return flag_words(value, features[name]) if superblock.revision else "not used by this revision"
        if name in _MOMENTS:
            return moment(value) if value else "never"
        match name:
            case "s_magic":
                return f"{value:#06x}, {'ext2' if value == layout.MAGIC else 'unknown'}"
            case "s_log_block_size":
                return f"blocks of {1024 << value} bytes" if value <= 6 else "impossible"
            case "s_state":
                return state_words(value)
            case "s_errors":
                return ERRORS.get(value, "unknown")
            case "s_creator_os":
                return CREATORS.get(value, "unknown")
            case "s_def_hash_version":
                return HASHES.get(value, "unknown")
            case "s_max_mnt_count":
                return "mounts until a check" if 0 < value < 0x8000 else "no check is due after any number of mounts"
            case "s_checkinterval":
                return "seconds between checks" if value else "no check is due after any time"
            case "s_uuid" | "s_journal_uuid":
                return uuid_words(value)
        return _PLAIN.get(name, "")

    return meaning


def group_meaning(superblock: Superblock) -> Callable[[str, Any], str]:
    """For the fields of a group descriptor."""

    def meaning(name: str, value: Any) -> str:
        if name == "bg_inode_table" and superblock.inodes_per_block:
            return f"blocks {value}-{value + superblock.inode_table_blocks - 1}"
        if name == "bg_flags":
            return flag_words(value, _GROUP_FLAGS)
        return _PLAIN.get(name, "")

    return meaning


def inode_meaning(superblock: Superblock, mode: int, size: int) -> Callable[[str, Any], str]:
    """For the fields of an inode with this mode and size."""
    kind = stat.S_IFMT(mode)

    def meaning(name: str, value: Any) -> str:
        place = re.fullmatch(r"i_block\[(\d+)\]", name)
        if place:
            return _pointer(int(place[1]), value)
        match name:
            case "i_mode":
                return mode_words(value)
            case "i_flags":
                return flag_words(value, _INODE_FLAGS)
            case "i_dtime":
                return moment(value) if value else "not deleted"
            case "i_file_acl":
                return "block of extended attributes" if value else ""
        if name.endswith("time_extra"):
            return f"{value >> 2} ns" + (f", {value & 3} epochs later" if value & 3 else "")
        if name.endswith("time"):
            return moment(value - ((value & 0x80000000) << 1))
        return _PLAIN.get(name, "")

    def _pointer(index: int, value: int) -> str:
        if kind == stat.S_IFLNK and size <= layout.FAST_SYMLINK_MAX:
            return "text of the link" if 4 * index < size else ""
        if kind in (stat.S_IFCHR, stat.S_IFBLK) and index < 2:
            return f"device {os.major(value)}, {os.minor(value)}" if value else ""
        words = "" if value < superblock.blocks else "outside the volume"
        return words if index < layout.DIRECT_BLOCKS else f"{pointer_level(index)}{words and ': '}{words}"

    return meaning


def pointer_level(index: int) -> str:
    """What the block number at `index` of an inode leads to."""
    if index < layout.DIRECT_BLOCKS:
        return "direct"
    return ("single", "double", "triple")[index - layout.DIRECT_BLOCKS] + " indirect"


def entry_meaning(superblock: Superblock) -> Callable[[str, Any], str]:
    """For the fields of a directory entry."""
    typed = superblock.incompat & layout.INCOMPAT_FILETYPE

    def meaning(name: str, value: Any) -> str:
        if name == "inode":
            return "free" if not value else "" if value <= superblock.inodes else "no such inode"
        if name == "file_type":
            return _TYPES.get(value, "no known type") if typed else "high byte of the length"
        return _PLAIN.get(name, "")

    return meaning


def attribute_meaning(name: str, value: Any) -> str:
    """For the fields of a header of extended attributes, and of an entry."""
    match name:
        case "h_magic":
            return f"{value:#010x}, {'extended attributes' if value == layout.XATTR_MAGIC else 'unknown'}"
        case "e_name_index":
            return _NAME_STARTS.get(value, "unknown")
    return _PLAIN.get(name, "")


_NAME_STARTS = {
    1: "user.", 2: "system.posix_acl_access", 3: "system.posix_acl_default", 4: "trusted.", 6: "security.",
    7: "system.",
}  # fmt: skip
