"""What the fields of MFS structures mean, in words. Every function takes any value that a disk can hold."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from typing import Any

from minixfs.fs.mfs import layout
from minixfs.fs.mfs.superblock import Superblock
from minixfs.image.anatomy.words import flag_words, mode_words, moment


def superblock_meaning(superblock: Superblock) -> Callable[[str, Any], str]:
    """For the fields of the superblock's record."""
    variant = superblock.variant
    unused = {"s_zones": variant.version == 1, "s_nzones": variant.version > 1 or variant.magic_offset == 24}

    def meaning(name: str, value: Any) -> str:
        if unused.get(name):
            return "not used by this version"
        match name:
            case "s_magic":
                format_ = f"MINIX {variant.name}, {'big' if superblock.swapped else 'little'}-endian"
                return f"{value:#06x}, {format_ if value == variant.magic else 'unknown'}"
            case "s_firstdatazone":
                return "" if value else f"compute it: {_safely(lambda: superblock.computed_first_data_zone)}"
            case "s_log_zone_size":
                return f"zones of {1 << value} blocks" if value <= layout.MAX_ZONE_SHIFT else "impossible"
            case "s_state":
                names = {layout.STATE_VALID: "clean", layout.STATE_ERROR: "errors were found"}
                return flag_words(value, names) or "not cleanly unmounted"
            case "s_flags":
                return flag_words(value, {layout.FLAG_CLEAN: "clean"}) or "not cleanly unmounted"
            case "s_block_size":
                legal = layout.MIN_BLOCK_SIZE <= value <= layout.MAX_BLOCK_SIZE and not value % layout.BLOCK_SIZE_STEP
                return "bytes" if legal or variant.version < 3 else "impossible"
        return _PLAIN.get(name, "")

    return meaning


_PLAIN = {
    "s_ninodes": "inodes",
    "s_nzones": "zones, from byte 0 on",
    "s_zones": "zones, from byte 0 on",
    "s_imap_blocks": "blocks of the inode map",
    "s_zmap_blocks": "blocks of the zone map",
    "s_max_size": "largest file, bytes",
    "i_nlinks": "names",
    "i_size": "bytes",
    "i_uid": "owner",
    "i_gid": "group",
}


def inode_meaning(superblock: Superblock, mode: int, zones: int) -> Callable[[str, Any], str]:
    """For the fields of an inode with this mode, on a volume of so many zones."""

    def meaning(name: str, value: Any) -> str:
        if name == "i_mode":
            return mode_words(value)
        if name.endswith("time"):
            return moment(value)
        place = re.fullmatch(r"i_zone\[(\d+)\]", name)
        return _zone(int(place[1]), value) if place else _PLAIN.get(name, "")

    def _zone(index: int, value: int) -> str:
        if stat.S_IFMT(mode) in (stat.S_IFCHR, stat.S_IFBLK) and index == 0:
            return f"device {value >> 8}, {value & 0xFF}"
        words = pointer_words(superblock, value, zones)
        return words if index < layout.DIRECT_ZONES else f"{zone_level(index)}{words and ': '}{words}"

    return meaning


def zone_level(index: int) -> str:
    """What the zone number at `index` of an inode leads to."""
    if index < layout.DIRECT_ZONES:
        return "direct"
    return ("single", "double", "triple")[index - layout.DIRECT_ZONES] + " indirect"


def pointer_words(superblock: Superblock, zone: int, zones: int) -> str:
    """A zone number, on a volume of so many zones."""
    if not zone:
        return "none"
    if not superblock.first_data_zone <= zone < zones:
        return "outside the data zones"
    shift = superblock.zone_shift
    return f"blocks {zone << shift}-{(zone + 1 << shift) - 1}" if shift else ""


def entry_words(inode: int, inodes: int) -> str:
    """The inode number of a directory entry. The name of a removed file is often still there."""
    return "free" if not inode else "" if inode <= inodes else "no such inode"


def _safely(compute: Callable[[], int]) -> str:
    try:
        return str(compute())
    except ZeroDivisionError:
        return "impossible"
