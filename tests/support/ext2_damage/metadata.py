"""Damage to bitmaps, counts, the superblock, reserved inodes."""

from __future__ import annotations

import random
import struct

from minixfs.fs.ext2 import layout
from tests.support.ext2_damage.base import kind
from tests.support.ext2_damage.image import Ext2Image


@kind
def _root_becomes_a_file(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put(layout.ROOT_INODE, "i_mode", 0o100755)
    return set()


@kind
def _block_bitmap(image: Ext2Image, rng: random.Random) -> set[bytes]:
    _flip(image, rng, 0, image.superblock.group_blocks(0))
    return set()


@kind
def _inode_bitmap(image: Ext2Image, rng: random.Random) -> set[bytes]:
    _flip(image, rng, 4, image.superblock.inodes_per_group)
    return set()


@kind
def _padding_of_the_inode_bitmap(image: Ext2Image, rng: random.Random) -> set[bytes]:
    (block,) = struct.unpack_from("<L", image.data, image.descriptor(0) + 4)
    image.write((block + 1) * image.block_size - 1, b"\0")
    return set()


def _flip(image: Ext2Image, rng: random.Random, field: int, bits: int) -> None:
    (block,) = struct.unpack_from("<L", image.data, image.descriptor(0) + field)
    for _ in range(rng.choice([1, 5])):
        bit = rng.randrange(bits - 1)
        image.data[block * image.block_size + bit // 8] ^= 1 << bit % 8


@kind
def _counts_of_a_group(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.data[image.descriptor(0) + rng.choice([12, 14, 16])] ^= 1
    return set()


@kind
def _flags_of_a_group(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.data[image.descriptor(0) + 18] = 1
    return set()


@kind
def _totals(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.write(1024 + 12, struct.pack("<LL", 5, 6))
    return set()


@kind
def _place_of_a_bitmap(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.write(image.descriptor(0) + rng.choice([0, 4]), struct.pack("<L", image.superblock.blocks + 9))
    return set()


@kind
def _resize_inode(image: Ext2Image, rng: random.Random) -> set[bytes]:
    if image.superblock.compat & layout.COMPAT_RESIZE_INODE:
        image.put_pointer(layout.RESIZE_INODE, rng.choice([0, 13]), image.superblock.blocks - 3)
    return set()


@kind
def _reserved_inode(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put(9, "i_mode", 0o100644)
    return set()


@kind
def _journal_without_the_feature(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put(layout.JOURNAL_INODE, "i_links_count", 1)
    return set()


@kind
def _state(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.data[1024 + 0x3A] = rng.choice([0, 2])
    return set()


@kind
def _number_of_inodes(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.write(1024, struct.pack("<L", image.superblock.inodes - 8))
    return set()


@kind
def _times_in_the_future(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.write(1024 + 44, struct.pack("<LL", 0xFFFFFFFE, 0xFFFFFFFF))
    return set()
