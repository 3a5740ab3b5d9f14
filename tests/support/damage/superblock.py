"""Damage to the superblock: one field, several, the magic number, everything.

Only bytes on the disk are changed: the `Image` keeps its undamaged superblock, by which other kinds find their way.
Values are such that the volume is unusable or files would be lost by them; a field that is odd but does no harm is no
fault.
"""

from __future__ import annotations

import random

from minixfs.fsck.mfs.context import Kind
from tests.support.damage.base import Harm, Map, kind
from tests.support.mfs_image import Image


def put_field(image: Image, name: str, value: int) -> None:
    """Store a number in a field of the superblock, as far as it has room for it."""
    superblock = image.superblock
    record = superblock.variant.superblock
    names, at = list(record.fields), record.offsets[name]
    following = names.index(name) + 1
    end = record.offsets[names[following]] if following < len(names) else record.size
    order = "big" if superblock.swapped else "little"
    value &= (1 << 8 * (end - at)) - 1
    image.data[1024 + at : 1024 + end] = value.to_bytes(end - at, order)


HARM = Harm(Kind.SUPERBLOCK)


def zones_field(image: Image) -> str:
    variant = image.superblock.variant
    return "s_nzones" if variant.version == 1 and variant.has_state else "s_zones"


def last_zones(image: Image, where: Map) -> list[int]:
    """The last zone that each file claims, ascending."""
    numbers = {number for _, number in where.places.values()}
    return sorted(max(image.inode(number).zones) for number in numbers if image.inode(number).type & 0o100000)


@kind
def superblock_number_of_inodes(image: Image, where: Map, rng: random.Random) -> Harm:
    last = max(number for _, number in where.places.values())
    put_field(image, "s_ninodes", rng.choice([0, 1, 5, last // 2, last - 2, 60000, 0xFFFFFFFF]))
    return HARM


@kind
def superblock_number_of_zones(image: Image, where: Map, rng: random.Random) -> Harm:
    many = last_zones(image, where)
    wrong = [0, 1, image.superblock.first_data_zone, many[-3], many[len(many) // 2], image.superblock.zones * 2, -1]
    put_field(image, zones_field(image), rng.choice(wrong))
    return HARM


@kind
def superblock_imap_blocks(image: Image, where: Map, rng: random.Random) -> Harm:
    put_field(image, "s_imap_blocks", rng.choice([0, 2, 3, 7, 1000, 0xFFFF]))
    return HARM


@kind
def superblock_zmap_blocks(image: Image, where: Map, rng: random.Random) -> Harm:
    put_field(image, "s_zmap_blocks", rng.choice([0, 2, 3, 7, 1000, 0xFFFF]))
    return HARM


@kind
def superblock_first_data_zone(image: Image, where: Map, rng: random.Random) -> Harm:
    first = image.superblock.first_data_zone
    put_field(image, "s_firstdatazone", rng.choice([0, 1, first - 1, first + rng.randrange(1, 200), 0xFFFF]))
    return HARM


@kind
def superblock_zone_shift(image: Image, where: Map, rng: random.Random) -> Harm:
    shifts = [shift for shift in (0, 1, 2, 3, 4, 5, 200, 0xFFFF) if shift != image.superblock.zone_shift]
    put_field(image, "s_log_zone_size", rng.choice(shifts))
    return HARM


@kind
def superblock_magic(image: Image, where: Map, rng: random.Random) -> Harm:
    magic = image.superblock.variant.magic
    put_field(image, "s_magic", rng.choice([0, 0xFFFF, magic ^ 1 << rng.randrange(16), rng.randrange(0x10000)]))
    return HARM


@kind
def superblock_block_size(image: Image, where: Map, rng: random.Random) -> Harm:
    if image.superblock.variant.version == 3:
        wrong = [0, 1, 512, 1024, 2048, 4096, 8192, 1536, 0xFFFF]
        put_field(image, "s_block_size", rng.choice([size for size in wrong if size != image.superblock.block_size]))
    else:
        superblock_magic(image, where, rng)
    return HARM


FIELDS = (
    superblock_number_of_inodes,
    superblock_number_of_zones,
    superblock_imap_blocks,
    superblock_zmap_blocks,
    superblock_first_data_zone,
    superblock_zone_shift,
    superblock_magic,
    superblock_block_size,
)


@kind
def superblock_max_size(image: Image, where: Map, rng: random.Random) -> Harm:
    put_field(image, "s_max_size", rng.choice([0xFFFFFFFF, 0x80000000]))
    return HARM


@kind
def superblock_two_fields(image: Image, where: Map, rng: random.Random) -> Harm:
    for damage in rng.sample(FIELDS, 2):
        damage(image, where, rng)
    return HARM


@kind
def superblock_wiped(image: Image, where: Map, rng: random.Random) -> Harm:
    image.data[1024:2048] = rng.choice([b"\0", b"\xff"]) * 1024
    return HARM
