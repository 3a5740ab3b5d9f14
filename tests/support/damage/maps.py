"""Damage to the bitmaps."""

from __future__ import annotations

import random

from minixfs.fsck.mfs.context import Kind
from tests.support.damage.base import Harm, Map, kind
from tests.support.mfs_image import Image


@kind
def inode_map(image: Image, where: Map, rng: random.Random) -> Harm:
    number = rng.choice([0, where.number(where.file()), image.superblock.inodes])
    image.set_bit("inode", number, not image.bit("inode", number))
    return Harm(Kind.INODE_MAP)


@kind
def zone_map(image: Image, where: Map, rng: random.Random) -> Harm:
    zone = image.inode(where.number(where.file())).zones[0]
    known = zone in range(image.superblock.first_data_zone, image.superblock.zones)
    used = [image.zone_bit(zone)] if known else []
    bit = rng.choice([0, image.superblock.zone_bits - 1, *used])
    image.set_bit("zone", bit, not image.bit("zone", bit))
    return Harm(Kind.ZONE_MAP)


@kind
def maps_wiped(image: Image, where: Map, rng: random.Random) -> Harm:
    start, end = image.map_offset("inode"), image.superblock.inode_table_block * image.superblock.block_size
    image.data[start:end] = bytes(end - start)
    return Harm(Kind.ZONE_MAP)
