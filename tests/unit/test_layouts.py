"""On-disk records: construct, struct and numpy see the same bytes, and the fields lie where the formats have them."""

from __future__ import annotations

import random
from typing import Any

import construct
import numpy as np
import pytest

from minixfs.fs.ext2 import layout as ext2_layout
from minixfs.fs.mfs import layout
from minixfs.fs.mfs.layout import VARIANTS, variant_for
from minixfs.hw.blockdev import partition
from minixfs.image.anatomy.ext2 import journal
from minixfs.layouts import U8, U16, U64, Record, array, octets

RECORDS = {
    f"{module.__name__.removeprefix('minixfs.')} {name}{' swapped' if order == '>' else ''}": record
    for module in (layout, ext2_layout, partition, journal)
    for name, value in vars(module).items()
    if isinstance(value, Record)
    for order, record in (("<", value), (">", value.big_endian()))
}

OFFSETS: dict[str, dict[str, int]] = {
    "SUPERBLOCK_V12": {
        "s_ninodes": 0, "s_nzones": 2, "s_imap_blocks": 4, "s_zmap_blocks": 6, "s_firstdatazone": 8,
        "s_log_zone_size": 10, "s_max_size": 12, "s_magic": 16, "s_state": 18, "s_zones": 20,
    },
    "SUPERBLOCK_V3": {
        "s_ninodes": 0, "s_nzones": 4, "s_imap_blocks": 6, "s_zmap_blocks": 8, "s_firstdatazone": 10,
        "s_log_zone_size": 12, "s_flags": 14, "s_max_size": 16, "s_zones": 20, "s_magic": 24, "s_pad2": 26,
        "s_block_size": 28, "s_disk_version": 30,
    },
    "INODE_V1": {"i_mode": 0, "i_uid": 2, "i_size": 4, "i_mtime": 8, "i_gid": 12, "i_nlinks": 13, "i_zone": 14},
    "INODE_V2": {
        "i_mode": 0, "i_nlinks": 2, "i_uid": 4, "i_gid": 6, "i_size": 8, "i_atime": 12, "i_mtime": 16,
        "i_ctime": 20, "i_zone": 24,
    },
    "DIRENT_14": {"d_ino": 0, "d_name": 2},
    "DIRENT_30": {"d_ino": 0, "d_name": 2},
    "DIRENT_60": {"d_ino": 0, "d_name": 4},
}  # fmt: skip
SIZES = {"SUPERBLOCK_V12": 24, "SUPERBLOCK_V3": 31, "INODE_V1": 32, "INODE_V2": 64}
SIZES |= {"DIRENT_14": 16, "DIRENT_30": 32, "DIRENT_60": 64}


def _flat(value: Any) -> list[Any]:
    return [int(item) for item in value] if isinstance(value, tuple | construct.ListContainer | np.ndarray) else [value]


@pytest.mark.parametrize("name", RECORDS)
def test_the_three_views_agree(name: str, rng: random.Random) -> None:
    """Layout rule of the design, section 3."""
    record = RECORDS[name]
    assert record.construct.sizeof() == record.struct.size == record.dtype.itemsize == record.size
    for _ in range(20):
        raw = rng.randbytes(record.size)
        parsed = record.construct.parse(raw)
        by_construct = [item for field in record.fields for item in _flat(parsed[field])]
        row = np.frombuffer(raw, record.dtype)[0]
        by_numpy = []
        for field in record.fields:
            value = row[field]
            by_numpy += [value.tobytes()] if value.dtype.kind == "V" else _flat(value)
        assert list(record.struct.unpack(raw)) == by_construct == by_numpy
        assert record.construct.build(parsed) == raw == record.struct.pack(*by_construct)
        by_name = record.parse(raw)
        assert [item for field in record.fields for item in _flat(by_name[field])] == by_construct
        assert record.build(by_name) == raw


def test_a_record_lies_packed_in_the_order_of_its_members() -> None:
    record = Record(a=U8, b=array(3, U16), c=octets(2), d=U64)
    raw = bytes(range(17)) + b"behind it"
    assert record.parse(raw) == {
        "a": 0, "b": (0x0201, 0x0403, 0x0605), "c": b"\7\x08", "d": 0x100F0E0D0C0B0A09,
    }  # fmt: skip
    assert record.offsets == {"a": 0, "b": 1, "c": 7, "d": 9}
    assert record.construct.sizeof() == record.dtype.itemsize == record.size == 17


@pytest.mark.parametrize("name", RECORDS)
def test_a_part_of_a_record_is_that_part(name: str, rng: random.Random) -> None:
    record = RECORDS[name]
    raw = rng.randbytes(record.size)
    parsed = record.construct.parse(raw)
    for first in range(len(record.fields)):
        last = rng.randrange(first, len(record.fields))
        part, offset = record.part(record.fields[first], record.fields[last])
        expected = [item for field in record.fields[first : last + 1] for item in _flat(parsed[field])]
        assert list(part.unpack_from(raw, offset)) == expected


@pytest.mark.parametrize("name", OFFSETS)
def test_fields_lie_where_the_format_has_them(name: str) -> None:
    """Specification: file systems, 1.3, 1.4, 1.6, 1.8."""
    record: Record = getattr(layout, name)
    assert record.offsets == OFFSETS[name]
    assert {field: record.dtype.fields[field][1] for field in record.fields} == OFFSETS[name]
    assert record.size == SIZES[name]


def test_swapping_reverses_each_integer() -> None:
    native, swapped = layout.DIRENT_60, layout.DIRENT_60.big_endian()
    assert native.struct.pack(0x01020304, b"name")[:4] == swapped.struct.pack(0x01020304, b"name")[:4][::-1]
    assert swapped.construct.parse(b"\1\2\3\4" + bytes(60)).d_ino == 0x01020304


def test_the_variants() -> None:
    """Specification: file systems, 1.2."""
    table = {variant.name: (variant.magic, variant.inode.size, variant.dirent.size, variant.name_max)
             for variant in VARIANTS}  # fmt: skip
    assert table == {
        "V3": (0x4D5A, 64, 64, 60),
        "hybrid": (0x2468, 64, 64, 60),
        "V1": (0x137F, 32, 16, 14),
        "V1L": (0x138F, 32, 32, 30),
        "V2": (0x2468, 64, 16, 14),
        "V2L": (0x2478, 64, 32, 30),
    }
    assert {variant.name: variant.link_max for variant in VARIANTS if variant.version == 1} == {"V1": 250, "V1L": 250}
    assert all(variant.link_max == 32767 for variant in VARIANTS if variant.version > 1)
    assert [variant_for(version).name for version in (1, 2, 3)] == ["V1L", "V2L", "V3"]
    with pytest.raises(ValueError, match="V3 has no names of 14"):
        variant_for(3, 14)
