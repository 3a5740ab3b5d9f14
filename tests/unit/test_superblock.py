"""The MFS superblock: recognising, deriving, refusing, writing back."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from minixfs.errors import BadSuperblock, Unsupported
from minixfs.fs.mfs import layout
from minixfs.fs.mfs.superblock import Superblock
from tests.support.volumes import KINDS, Kind, fresh


def raw_of(kind: Kind) -> bytes:
    return fresh(kind).snapshot()[1024:2048]


@pytest.mark.parametrize("name", KINDS)
def test_every_variant_is_recognised_and_rewritten_unchanged(name: str) -> None:
    """Specification: file systems, 1.2."""
    kind = KINDS[name]
    raw = raw_of(kind)
    superblock = Superblock.parse(raw)
    assert superblock.variant is kind.options.variant
    assert superblock.swapped == kind.options.big_endian
    assert superblock.block_size == (kind.options.block_size or 1024)
    assert superblock.zone_shift == kind.options.zone_shift
    assert superblock.inodes == 256
    assert superblock.clean
    assert superblock.build() == raw
    superblock.validate(kind.size, read_only=False)


@pytest.mark.parametrize("name", KINDS)
def test_bytes_that_are_not_ours_are_carried_through(name: str, rng: random.Random) -> None:
    """Specification: file systems, 1.4."""
    raw = bytearray(raw_of(KINDS[name]))
    size = Superblock.parse(bytes(raw)).variant.superblock.size
    raw[size:] = rng.randbytes(1024 - size)
    superblock = Superblock.parse(bytes(raw))
    assert superblock.build() == raw
    superblock.mark(clean=False)
    changed = [index for index in range(1024) if superblock.build()[index] != raw[index]]
    assert len(changed) == 1
    assert not Superblock.parse(superblock.build()).clean
    superblock.mark(clean=True)
    assert superblock.build() == raw


def test_the_magic_at_the_late_place_wins() -> None:
    """A hybrid volume and a V2 volume differ only in where the number is."""
    raw = bytearray(1024)
    struct.pack_into("<H", raw, 16, 0x137F)
    assert Superblock.parse(bytes(raw)).variant.name == "V1"
    struct.pack_into("<H", raw, 24, 0x2468)
    assert Superblock.parse(bytes(raw)).variant.name == "hybrid"
    struct.pack_into("<H", raw, 24, 0x4D5A)
    assert Superblock.parse(bytes(raw)).variant.name == "V3"


def test_v3_has_no_swapped_form() -> None:
    raw = bytearray(1024)
    struct.pack_into(">H", raw, 24, 0x4D5A)
    with pytest.raises(BadSuperblock):
        Superblock.parse(bytes(raw))


@pytest.mark.parametrize("raw", [b"", bytes(1024), b"\xff" * 1024, b"\x5a\x4d" * 10])
def test_no_magic_is_refused(raw: bytes) -> None:
    with pytest.raises(BadSuperblock, match="no MINIX file system"):
        Superblock.parse(raw)


def test_geometry() -> None:
    """Specification: file systems, 1.5 and the table of 1.7."""
    superblock = Superblock.parse(raw_of(KINDS["V3-1K"]))
    assert (superblock.imap_blocks, superblock.zmap_blocks) == (1, 1)
    assert superblock.inode_table_block == 4
    assert superblock.first_data_zone == superblock.inode_table_end == 4 + 256 // 16
    assert superblock.zone_bits == superblock.zones - superblock.first_data_zone + 1
    assert superblock.natural_max_size == 0x04041C00
    assert replace(superblock, stored_first_data_zone=0).first_data_zone == superblock.first_data_zone
    assert Superblock.parse(raw_of(KINDS["V1"])).natural_max_size == 0x10081C00
    assert Superblock.parse(raw_of(KINDS["V3-4K"])).natural_max_size == 0x7FFFFFFF
    zones = Superblock.parse(raw_of(KINDS["V3-1K-zones-of-8"]))
    assert zones.zone_size == 8192
    assert zones.first_data_zone == -(-zones.inode_table_end // 8)
    assert zones.inode_table_end == superblock.inode_table_end


BAD: dict[str, Callable[[Superblock], Superblock]] = {
    "no inodes": lambda s: replace(s, inodes=0),
    "no zones": lambda s: replace(s, zones=0),
    "a bitmap has no blocks": lambda s: replace(s, imap_blocks=0),
    "has no blocks": lambda s: replace(s, zmap_blocks=0),
    "zone size shift 5": lambda s: replace(s, zone_shift=5),
    "first data zone 5 is outside": lambda s: replace(s, stored_first_data_zone=5),
    "first data zone 60000 is outside": lambda s: replace(s, stored_first_data_zone=60000),
    "inode bitmap is too small": lambda s: replace(s, inodes=9000, stored_first_data_zone=2000),
    "zone bitmap is too small": lambda s: replace(s, zones=60000),
    "block size 512": lambda s: replace(s, block_size=512),
    "block size 1100": lambda s: replace(s, block_size=1100),
}


@pytest.mark.parametrize("message", BAD)
def test_what_is_refused(message: str) -> None:
    """Specification: file systems, 1.10."""
    superblock = BAD[message](Superblock.parse(raw_of(KINDS["V3-1K"])))
    with pytest.raises(BadSuperblock, match=message):
        superblock.validate(1 << 40, read_only=False)


@pytest.mark.parametrize("bit", range(8, 16))
def test_unknown_mandatory_flags_are_refused(bit: int) -> None:
    superblock = replace(Superblock.parse(raw_of(KINDS["V3-1K"])), flags=1 << bit)
    with pytest.raises(Unsupported):
        superblock.validate(1 << 40, read_only=True)
    replace(superblock, flags=0x00FE).validate(1 << 40, read_only=False)


def test_a_volume_longer_than_its_device_can_only_be_read() -> None:
    superblock = Superblock.parse(raw_of(KINDS["V3-1K"]))
    with pytest.raises(BadSuperblock, match="mount it with -o ro"):
        superblock.validate((3 << 20) - 1, read_only=False)
    superblock.validate((3 << 20) - 1, read_only=True)
    with pytest.raises(BadSuperblock):
        superblock.validate(superblock.inode_table_end * 1024 - 1, read_only=True)


@pytest.mark.parametrize(("state", "clean"), [(0, False), (1, True), (2, False), (3, False)])
def test_the_linux_clean_mark(state: int, clean: bool) -> None:
    superblock = replace(Superblock.parse(raw_of(KINDS["V1"])), state=state)
    assert superblock.clean == clean


def test_random_superblocks_are_refused_or_consistent(rng: random.Random) -> None:
    """Whatever the bytes are: an error of ours, or numbers that fit the device."""
    passed = 0
    for _ in range(4000):
        raw = bytearray(raw_of_v3 if rng.random() < 0.5 else raw_of_v1)
        for _ in range(rng.randrange(1, 4)):
            raw[rng.randrange(32)] = rng.choice([0, 1, 2, 0xFF, rng.randrange(256)])
        try:
            superblock = Superblock.parse(bytes(raw))
            superblock.validate(3 << 20, read_only=False)
        except (BadSuperblock, Unsupported):
            continue
        passed += 1
        assert superblock.zones * superblock.zone_size <= 3 << 20
        assert superblock.inode_table_end <= superblock.first_data_zone << superblock.zone_shift
        assert superblock.first_data_zone < superblock.zones
        assert superblock.inode_bits <= superblock.imap_blocks * 8 * superblock.block_size
        assert superblock.zone_bits <= superblock.zmap_blocks * 8 * superblock.block_size
    assert passed > 100


raw_of_v3, raw_of_v1 = raw_of(KINDS["V3-1K"]), raw_of(KINDS["V1"])


def test_the_superblock_of_every_format_fits_its_1024_bytes() -> None:
    assert all(variant.superblock.size <= layout.SUPERBLOCK_SIZE for variant in layout.VARIANTS)
