"""Damage to inodes, block maps and extended attributes."""

from __future__ import annotations

import random
import struct

from tests.support.ext2_damage.base import KINDS, Damage, any_file, kind, within
from tests.support.ext2_damage.image import Ext2Image


def _inode_kinds() -> None:
    """One kind for each field of an inode that can be wrong on its own: path, field, value."""
    cases: dict[str, tuple[bytes, str, int]] = {
        "size_too_small": (b"/big", "i_size", 1000),
        "size_beyond_the_blocks": (b"/big", "i_size", 999_999),
        "huge_size": (b"/big", "i_size_high", 0xFFFFFFFF),
        "block_count": (b"/a/big", "i_blocks", 7),
        "links_too_many": (b"/file1", "i_links_count", 7),
        "links_too_few": (b"/file1", "i_links_count", 1),
        "no_links": (b"/file5", "i_links_count", 0),
        "time_of_deletion": (b"/file5", "i_dtime", 1_700_000_000),
        "in_the_orphan_list": (b"/file5", "i_dtime", 15),
        "fragment": (b"/file5", "i_faddr", 3),
        "high_block_count": (b"/file5", "i_blocks_high", 1),
        "high_attribute_block": (b"/file5", "i_file_acl_high", 1),
        "mode_zero": (b"/file5", "i_mode", 0),
        "mode_unknown": (b"/file5", "i_mode", 0o070644),
        "large_file": (b"/none", "i_size_high", 1),
        "attribute_block_outside": (b"/file5", "i_file_acl", 999_999),
        "attribute_block_of_data": (b"/file5", "i_file_acl", 0),
        "index_flag_on_a_file": (b"/file5", "i_flags", 0x1000),
        "index_flag_on_a_small_directory": (b"/a", "i_flags", 0x1000),
        "extents_flag": (b"/file5", "i_flags", 0x80000),
        "inline_data_flag": (b"/file5", "i_flags", 0x10000000),
        "encrypt_flag": (b"/file5", "i_flags", 0x800),
        "harmless_flags": (b"/file5", "i_flags", 0xC0),
        "pipe_with_a_size": (b"/pipe", "i_size", 5),
        "pipe_with_blocks": (b"/pipe", "i_blocks", 2),
        "fast_link_size": (b"/fast", "i_size", 4),
        "slow_link_size": (b"/slow", "i_size", 99),
        "empty_link": (b"/fast", "i_size", 0),
        "directory_size_zero": (b"/a", "i_size", 0),
        "directory_size_odd": (b"/a", "i_size", 1000),
        "directory_high_size": (b"/a", "i_size_high", 1),
        "directory_becomes_file": (b"/empty", "i_mode", 0o100644),
        "directory_becomes_pipe": (b"/empty", "i_mode", 0o010755),
        "root_time_of_deletion": (b"/", "i_dtime", 1_700_000_000),
        "owner": (b"/none", "i_uid_high", 7),
        "generation": (b"/none", "i_generation", 7),
    }
    for name, (path, field, value) in cases.items():
        KINDS[name] = _field_kind(path, field, value)


def _field_kind(path: bytes, field: str, value: int) -> Damage:
    def damage(image: Ext2Image, rng: random.Random) -> set[bytes]:
        touched = within(image, path) if path != b"/" else set()
        number = image.number(path)
        if field == "i_file_acl" and not value:
            image.put(number, field, image.pointer(image.number(b"/file6"), 0))
        else:
            image.put(number, field, value)
        return touched

    return damage


_inode_kinds()


@kind
def _nothing(image: Ext2Image, rng: random.Random) -> set[bytes]:
    return set()


@kind
def _block_outside(image: Ext2Image, rng: random.Random) -> set[bytes]:
    path = any_file(rng)
    image.put_pointer(image.number(path), 0, rng.choice([image.superblock.blocks, 0xFFFFFFFF, 1 << 20]))
    return {path}


@kind
def _block_on_metadata(image: Ext2Image, rng: random.Random) -> set[bytes]:
    path = any_file(rng)
    image.put_pointer(image.number(path), 0, image.superblock.descriptor_block)
    return {path}


@kind
def _indirect_block_outside(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put_pointer(image.number(b"/big"), 12, image.superblock.blocks + 5)
    return {b"/big"}


@kind
def _block_outside_in_indirect_block(image: Ext2Image, rng: random.Random) -> set[bytes]:
    block = image.pointer(image.number(b"/big"), 12)
    image.write(block * image.block_size + 4 * rng.randrange(30), b"\xfe\xff\xff\xff")
    return {b"/big"}


@kind
def _block_missing(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put_pointer(image.number(b"/big"), 3, 0)
    return {b"/big"}


@kind
def _block_in_two_files(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put_pointer(image.number(b"/a/big"), 2, image.pointer(image.number(b"/big"), 1))
    return {b"/a/big"}


@kind
def _indirect_block_in_two_files(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put_pointer(image.number(b"/a/big"), 12, image.pointer(image.number(b"/big"), 12))
    return {b"/a/big"}


@kind
def _block_twice_in_a_file(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put_pointer(image.number(b"/big"), 4, image.pointer(image.number(b"/big"), 5))
    return {b"/big"}


@kind
def _second_indirect_block_without_use(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put_pointer(image.number(b"/file5"), 13, image.superblock.blocks - 2)
    return {b"/file5"}


@kind
def _slow_link_block(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put_pointer(image.number(b"/slow"), 0, 0)
    return {b"/slow"}


@kind
def _extra_size(image: Ext2Image, rng: random.Random) -> set[bytes]:
    if image.superblock.inode_size > 128:
        image.write(image.inode_offset(image.number(b"/file5")) + 128, bytes([rng.choice([3, 6, 250]), 0]))
    return set()


@kind
def _attribute_hash(image: Ext2Image, rng: random.Random) -> set[bytes]:
    block = image.field(image.number(b"/file3"), "i_file_acl")
    if block:
        at = block * image.block_size
        image.write(at + 32 + 12, b"abcd")
    return set()


@kind
def _attribute_references(image: Ext2Image, rng: random.Random) -> set[bytes]:
    block = image.field(image.number(b"/file3"), "i_file_acl")
    if block:
        image.write(block * image.block_size + 4, b"\x05")
    return set()


@kind
def _attribute_magic(image: Ext2Image, rng: random.Random) -> set[bytes]:
    block = image.field(image.number(b"/file3"), "i_file_acl")
    if block:
        image.write(block * image.block_size, bytes(4))
    return set()


@kind
def _attributes_in_the_inode(image: Ext2Image, rng: random.Random) -> set[bytes]:
    size = image.superblock.inode_size
    if size > 128:
        at = image.inode_offset(image.number(b"/file2"))
        (extra,) = struct.unpack_from("<H", image.data, at + 128)
        image.write(at + 128 + extra + 4 + rng.choice([0, 2, 8, 12]), b"\xff")
    return set()
