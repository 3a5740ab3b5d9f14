"""Damage to directories and their indexes."""

from __future__ import annotations

import random
import struct

from minixfs.fs.ext2 import layout
from tests.support.ext2_damage.base import KINDS, Damage, kind, within
from tests.support.ext2_damage.image import Ext2Image


def _entry_kinds() -> None:
    """One kind for each field of a directory entry: path, offset in the entry, bytes, what it affects."""
    cases: dict[str, tuple[bytes, int, bytes, set[bytes]]] = {
        "entry_length_zero": (b"/file5", 4, b"\0\0", {b"/file5"}),
        "entry_length_odd": (b"/file5", 4, b"\x0d\0", {b"/file5"}),
        "entry_crosses_the_end": (b"/file5", 4, b"\xf0\xff", {b"/file5"}),
        "name_too_long": (b"/file5", 6, b"\xff", {b"/file5"}),
        "name_empty": (b"/file5", 6, b"\0", {b"/file5"}),
        "name_with_slash": (b"/file5", 10, b"/", {b"/file5"}),
        "name_with_nul": (b"/file5", 10, b"\0", {b"/file5"}),
        "name_twice": (b"/file5", 8, b"file6", {b"/file5", b"/file6"}),
        "entry_for_root": (b"/file5", 0, struct.pack("<L", 2), {b"/file5"}),
        "entry_for_reserved": (b"/file5", 0, struct.pack("<L", 7), {b"/file5"}),
        "entry_for_nothing": (b"/file5", 0, struct.pack("<L", 150), {b"/file5"}),
        "entry_outside": (b"/file5", 0, struct.pack("<L", 1 << 30), {b"/file5"}),
        "entry_removed": (b"/file5", 0, bytes(4), {b"/file5"}),
        "empty_file_without_a_name": (b"/none", 0, bytes(4), {b"/none"}),
        "directory_without_a_name": (b"/a/b", 0, bytes(4), {b"/a/b", b"/a/b/c", b"/a/b/c/deep"}),
        "type_wrong": (b"/file5", 7, b"\x02", set()),
        "type_unknown": (b"/file5", 7, b"\0", set()),
        "type_impossible": (b"/file5", 7, b"\x63", set()),
        "lost_and_found_gone": (b"/lost+found", 0, bytes(4), {b"/lost+found"}),
    }
    for name, (path, offset, data, touched) in cases.items():
        KINDS[name] = _entry_kind(path, offset, data, touched)


def _entry_kind(path: bytes, offset: int, data: bytes, touched: set[bytes]) -> Damage:
    def damage(image: Ext2Image, rng: random.Random) -> set[bytes]:
        image.write(image.entry(path).offset + offset, data)
        return set(touched)

    return damage


_entry_kinds()


def _dot_kinds() -> None:
    """Damage to the first block of a directory: offset, bytes."""
    cases: dict[str, tuple[int, bytes]] = {
        "dot_names_another": (0, struct.pack("<L", 2)),
        "dot_unused": (0, bytes(4)),
        "dot_renamed": (8, b"x"),
        "dot_without_nul": (9, b"x"),
        "dotdot_names_another": (12, struct.pack("<L", 11)),
        "dotdot_outside": (12, struct.pack("<L", 1 << 30)),
        "dotdot_unused": (12, bytes(4)),
        "dotdot_renamed": (20, b"xy"),
        "dotdot_without_nul": (22, b"x"),
        "directory_block_zero": (0, bytes(1024)),
        "directory_block_rubbish": (0, random.Random(1).randbytes(1024)),
        "directory_block_ones": (0, b"\xff" * 1024),
    }
    for name, (offset, data) in cases.items():
        KINDS[name] = _dot_kind(offset, data)


def _dot_kind(offset: int, data: bytes) -> Damage:
    def damage(image: Ext2Image, rng: random.Random) -> set[bytes]:
        touched = within(image, b"/a/b")
        image.write(image.pointer(image.number(b"/a/b"), 0) * image.block_size + offset, data)
        return touched

    return damage


_dot_kinds()


@kind
def _dot_is_long(image: Ext2Image, rng: random.Random) -> set[bytes]:
    at = image.pointer(image.number(b"/empty"), 0) * image.block_size
    parent = image.data[at + 12 : at + 16]
    image.write(at + 4, struct.pack("<H", 24))
    image.write(at + 24, parent + struct.pack("<HBB", image.block_size - 24, 2, image.data[at + 7]) + b"..\0\0")
    return set()


@kind
def _directory_with_two_names(image: Ext2Image, rng: random.Random) -> set[bytes]:
    entry, target = image.entry(b"/file5"), image.entry(b"/empty")
    image.write(entry.offset, struct.pack("<L", target.inode))
    image.data[entry.offset + 7] = target.type
    return {b"/file5"}


@kind
def _directory_below_itself(image: Ext2Image, rng: random.Random) -> set[bytes]:
    touched = within(image, b"/a")
    entry, target = image.entry(b"/a/b/c/deep"), image.entry(b"/a")
    image.write(entry.offset, struct.pack("<L", target.inode))
    image.data[entry.offset + 7] = target.type
    image.write(target.offset, bytes(4))
    return touched


@kind
def _directory_hole(image: Ext2Image, rng: random.Random) -> set[bytes]:
    touched = within(image, b"/many")
    number = image.number(b"/many")
    image.put_pointer(number, 1, 0)
    return touched


@kind
def _directory_block_outside(image: Ext2Image, rng: random.Random) -> set[bytes]:
    touched = within(image, b"/a/b")
    image.put_pointer(image.number(b"/a/b"), 0, image.superblock.blocks)
    return touched


@kind
def _index_root(image: Ext2Image, rng: random.Random) -> set[bytes]:
    at = image.pointer(image.number(b"/many"), 0) * image.block_size
    if image.field(image.number(b"/many"), "i_flags") & layout.FLAG_INDEX:
        image.data[at + rng.choice([28, 29, 30, 32, 34, 36, 40, 44])] ^= 0x55
    return set()


@kind
def _name_where_the_index_does_not_look(image: Ext2Image, rng: random.Random) -> set[bytes]:
    entries = [entry for entry in image.entries(image.number(b"/many")) if entry.name.startswith(b"a-rather")]
    entry = rng.choice(entries)
    image.write(entry.offset + 8, b"A")
    return {b"/many/" + entry.name}
