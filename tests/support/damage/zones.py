"""Damage to zone numbers: outside the volume, in use twice, in loops."""

from __future__ import annotations

import random

from minixfs.fsck.mfs.context import Kind
from tests.support.damage.base import Harm, Map, beyond, kind, set_zone
from tests.support.mfs_image import Image


@kind
def zone_outside(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    set_zone(image, where.number(path), 0, beyond(image, rng))
    return Harm(Kind.BAD_ZONE, frozenset({path}))


@kind
def indirect_block_outside(image: Image, where: Map, rng: random.Random) -> Harm:
    set_zone(image, where.number(b"/a/big"), rng.choice([7, 8]), beyond(image, rng))
    return Harm(Kind.BAD_ZONE, frozenset({b"/a/big"}))


@kind
def zone_outside_in_indirect_block(image: Image, where: Map, rng: random.Random) -> Harm:
    block = image.inode(where.number(b"/b/big")).zones[7]
    if block in range(image.superblock.first_data_zone, image.superblock.zones):
        image.pointer(block, rng.randrange(image.superblock.pointers_per_block), beyond(image, rng))
    return Harm(Kind.BAD_ZONE, frozenset({b"/b/big"}))


@kind
def directory_zone_outside(image: Image, where: Map, rng: random.Random) -> Harm:
    set_zone(image, where.number(b"/b/deep"), 0, beyond(image, rng))
    return Harm(Kind.BAD_ZONE, where.within(b"/b/deep"))


@kind
def zone_in_two_files(image: Image, where: Map, rng: random.Random) -> Harm:
    one, two = where.file(), where.file()
    while one == two:
        two = where.file()
    set_zone(image, where.number(two), 0, image.inode(where.number(one)).zones[0])
    return Harm(Kind.SHARED_ZONE, frozenset({two}))


@kind
def zone_twice_in_a_file(image: Image, where: Map, rng: random.Random) -> Harm:
    inode = image.inode(where.number(b"/a/big"))
    set_zone(image, inode.number, 1, inode.zones[0])
    return Harm(Kind.SHARED_ZONE, frozenset({b"/a/big"}))


@kind
def indirect_block_in_two_files(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    while path == b"/a/big":
        path = where.file()
    set_zone(image, where.number(path), 7, image.inode(where.number(b"/a/big")).zones[7])
    return Harm(Kind.SHARED_ZONE, frozenset({path}))


@kind
def indirect_block_in_itself(image: Image, where: Map, rng: random.Random) -> Harm:
    inode = image.inode(where.number(b"/b/big"))
    if inode.zones[7] in range(image.superblock.first_data_zone, image.superblock.zones):
        image.pointer(inode.zones[7], 1, inode.zones[7])
        inode.zones[8] = inode.zones[7]
    if len(inode.zones) > 9:
        inode.zones[9] = inode.zones[7]
    image.put_inode(inode)
    return Harm(Kind.SHARED_ZONE, frozenset({b"/b/big"}))


@kind
def directory_zone_in_a_file(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    set_zone(image, where.number(path), 0, image.inode(where.number(b"/a")).zones[0])
    return Harm(Kind.SHARED_ZONE, frozenset({path}))


@kind
def two_directories_in_one_zone(image: Image, where: Map, rng: random.Random) -> Harm:
    set_zone(image, where.number(b"/b/deep"), 0, image.inode(where.number(b"/a/deep")).zones[0])
    return Harm(Kind.SHARED_ZONE, where.within(b"/b/deep"))


@kind
def rubbish_in_an_indirect_block(image: Image, where: Map, rng: random.Random) -> Harm:
    block = image.inode(where.number(b"/a/big")).zones[7]
    if block in range(image.superblock.first_data_zone, image.superblock.zones):
        start, size = block * image.superblock.zone_size, image.superblock.block_size
        image.data[start : start + size] = rng.randbytes(size)
    return Harm(Kind.BAD_ZONE, frozenset({b"/a/big"}))


@kind
def device_with_zones(image: Image, where: Map, rng: random.Random) -> Harm:
    set_zone(image, where.number(b"/device"), rng.randrange(1, 9), image.superblock.zones - 1)
    return Harm(Kind.DEVICE_ZONES)


@kind
def fifo_with_zones(image: Image, where: Map, rng: random.Random) -> Harm:
    set_zone(image, where.number(b"/fifo"), 0, image.inode(where.number(b"/a/big")).zones[2])
    return Harm(Kind.DEVICE_ZONES, frozenset({b"/fifo"}))
