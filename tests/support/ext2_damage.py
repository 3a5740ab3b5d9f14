"""Damage to ext2 images, one function for each kind, driven by a seeded generator.

`SHAPES` are ways to make an image with mke2fs; `populated(shape)` makes one, with the same tree in it. `KINDS` maps a
name to a function that harms an `Ext2Image`; it returns the paths that may differ after a repair. Everything else must
be there as before.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.superblock import Superblock
from tests.support import peers

SHAPES = {
    "1K": (1024, 4096, ("-O", "^dir_index")),
    "1K-128": (1024, 4096, ("-I", "128", "-N", "160", "-O", "^resize_inode")),
    "1K-groups": (1024, 5000, ("-g", "1024", "-N", "200")),
    "4K": (4096, 8192, ("-N", "160")),
    "revision-0": (1024, 4096, ("-r", "0", "-N", "160")),
    "indexed": (1024, 4096, ("-N", "700")),
}
"""Block size, kilobytes, and options of mke2fs. The directories of the last one have search trees."""
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""Where files of short life are."""
E2FSCK_SECONDS = 10
"""e2fsck does not come to an end with some images; a test leaves those out."""
_DIRENT = layout.DIRENT.struct
Contents = dict[bytes, tuple[Any, ...]]


@dataclass(frozen=True)
class Entry:
    """A directory entry: its byte offset in the image, inode, whole length, name, type."""

    offset: int
    inode: int
    length: int
    name: bytes
    type: int


class Ext2Image:
    """The bytes of an image, `data`, to be harmed. Things are found, and read, where they were before that."""

    def __init__(self, data: bytes) -> None:
        self.original = data
        self.data = bytearray(data)
        self.superblock = Superblock.parse(bytes(data[1024:2048]))
        self.block_size = self.superblock.block_size

    def descriptor(self, group: int) -> int:
        """The byte offset of a group descriptor."""
        return self.superblock.descriptor_block * self.block_size + group * layout.GROUP_DESCRIPTOR.size

    def inode_offset(self, number: int) -> int:
        group, index = divmod(number - 1, self.superblock.inodes_per_group)
        (table,) = struct.unpack_from("<L", self.original, self.descriptor(group) + 8)
        return int(table) * self.block_size + index * self.superblock.inode_size

    def field(self, number: int, name: str) -> int:
        code = {2: "<H", 4: "<L"}[self._width(name)]
        return int(struct.unpack_from(code, self.original, self.inode_offset(number) + layout.INODE.offsets[name])[0])

    def put(self, number: int, name: str, value: int) -> None:
        width = self._width(name)
        at = self.inode_offset(number) + layout.INODE.offsets[name]
        self.data[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")

    def _width(self, name: str) -> int:
        return 4 if name == "i_block" else int(layout.INODE.dtype[name].itemsize)

    def pointer(self, number: int, index: int) -> int:
        return self._pointers(number)[index]

    def put_pointer(self, number: int, index: int, block: int) -> None:
        at = self.inode_offset(number) + layout.INODE.offsets["i_block"] + 4 * index
        struct.pack_into("<L", self.data, at, block)

    def _pointers(self, number: int) -> tuple[int, ...]:
        at = self.inode_offset(number) + layout.INODE.offsets["i_block"]
        return struct.unpack_from("<15L", self.original, at)

    def blocks(self, number: int) -> Iterator[int]:
        """The data blocks of a file, as far as its size goes (0: a hole)."""
        pointers = self._pointers(number)
        per_block = self.block_size // 4
        found = [*pointers[:12]]
        if pointers[12]:
            found += struct.unpack_from(f"<{per_block}L", self.original, pointers[12] * self.block_size)
        yield from found[: -(-self.field(number, "i_size") // self.block_size)]

    def entries(self, number: int) -> Iterator[Entry]:
        for block in self.blocks(number):
            offset, end = block * self.block_size, (block + 1) * self.block_size
            while offset < end:
                inode, length, name_length, kind = _DIRENT.unpack_from(self.original, offset)
                name = bytes(self.original[offset + 8 : offset + 8 + name_length])
                if inode:
                    yield Entry(offset, inode, length, name, kind)
                offset += length

    def entry(self, path: bytes) -> Entry:
        number = layout.ROOT_INODE
        found = None
        for name in path.strip(b"/").split(b"/"):
            found = next(entry for entry in self.entries(number) if entry.name == name)
            number = found.inode
        assert found is not None
        return found

    def number(self, path: bytes) -> int:
        return self.entry(path).inode if path.strip(b"/") else layout.ROOT_INODE

    def write(self, offset: int, data: bytes) -> None:
        self.data[offset : offset + len(data)] = data

    def contents(self) -> Contents:
        """Path -> mode, owner, size and data of everything that can be reached."""
        found: Contents = {}
        todo = [(b"", layout.ROOT_INODE)]
        while todo:
            path, number = todo.pop()
            mode = self.field(number, "i_mode")
            size = self.field(number, "i_size")
            data = b""
            if stat.S_ISREG(mode):
                data = b"".join(self._block(block) for block in self.blocks(number))[:size]
            elif stat.S_ISLNK(mode) and size < 60:
                data = struct.pack("<15L", *self._pointers(number))[:size]
            elif stat.S_ISLNK(mode):
                data = self._block(self.pointer(number, 0))[:size]
            elif stat.S_ISDIR(mode):
                todo += [
                    (path + b"/" + entry.name, entry.inode)
                    for entry in self.entries(number)
                    if entry.name not in (b".", b"..")
                ]
            found[path] = (mode, self.field(number, "i_uid"), 0 if stat.S_ISDIR(mode) else size, data)
        return found

    def _block(self, block: int) -> bytes:
        return (
            bytes(self.original[block * self.block_size : (block + 1) * self.block_size])
            if block
            else bytes(self.block_size)
        )


@cache
def populated(shape: str) -> tuple[bytes, Contents]:
    """An image of that shape with a small tree in it, and what it contains."""
    block_size, kilobytes, options = SHAPES[shape]
    with tempfile.TemporaryDirectory(prefix="ext2-damage-", dir=MEMORY) as directory:
        source, image = Path(directory) / "tree", Path(directory) / "image"
        _plant(source)
        peers.mke2fs(image, kilobytes << 10, block_size=block_size, options=[*options, "-d", str(source)])
        if shape == "indexed":
            _run_e2fsck("-f", "-y", "-D", str(image))
        data = image.read_bytes()
    return data, Ext2Image(data).contents()


def e2fsck(data: bytes | bytearray, option: str) -> tuple[int, str]:
    """What e2fsck says of an image, and its exit code."""
    with tempfile.NamedTemporaryFile(prefix="ext2-damage-", dir=MEMORY) as file:
        file.write(data)
        file.flush()
        done = _run_e2fsck("-f", option, file.name)
    return done.returncode, done.stdout


def _run_e2fsck(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("e2fsck", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    assert program is not None
    return subprocess.run(
        [program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C"},
        encoding="utf-8",
        errors="surrogateescape",
        timeout=E2FSCK_SECONDS,
        check=False,
    )


def _plant(top: Path) -> None:
    rng = random.Random(5)
    for directory in ("a/b/c", "d/e", "empty", "many"):
        (top / directory).mkdir(parents=True)
    for number in range(12):
        (top / f"file{number}").write_bytes(rng.randbytes(rng.choice([10, 1500, 9000, 20000])))
    for name in ("big", "a/big"):
        (top / name).write_bytes(rng.randbytes(200_000))
    (top / "a/b/c/deep").write_bytes(b"deep" * 1000)
    (top / "none").touch()
    (top / "fast").symlink_to("a/b/c/deep")
    (top / "slow").symlink_to("x" * 100)
    os.mkfifo(top / "pipe")
    os.link(top / "file1", top / "d/e/link")
    for number in range(60):
        (top / "many" / f"a-rather-long-name-of-a-file-{number:04}").touch()
    for path, size in (("file2", 5), ("file3", 300), ("file4", 300)):
        os.setxattr(top / path, "user.test", b"v" * size)


# ---- the kinds -----------------------------------------------------------------------------------------------------

Damage = Callable[[Ext2Image, random.Random], set[bytes]]
KINDS: dict[str, Damage] = {}


def _kind(function: Damage) -> Damage:
    KINDS[function.__name__.strip("_")] = function
    return function


def _within(image: Ext2Image, path: bytes) -> set[bytes]:
    """`path` and everything below it."""
    return {other for other in image.contents() if other == path or other.startswith(path + b"/")}


def _file(rng: random.Random) -> bytes:
    """Some file that has data, and but one name."""
    return rng.choice([b"/big", b"/a/big", b"/a/b/c/deep", *(b"/file%d" % number for number in (0, *range(5, 12)))])


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
        touched = _within(image, path) if path != b"/" else set()
        number = image.number(path)
        if field == "i_file_acl" and not value:
            image.put(number, field, image.pointer(image.number(b"/file6"), 0))
        else:
            image.put(number, field, value)
        return touched

    return damage


_inode_kinds()


@_kind
def _nothing(image: Ext2Image, rng: random.Random) -> set[bytes]:
    return set()


@_kind
def _block_outside(image: Ext2Image, rng: random.Random) -> set[bytes]:
    path = _file(rng)
    image.put_pointer(image.number(path), 0, rng.choice([image.superblock.blocks, 0xFFFFFFFF, 1 << 20]))
    return {path}


@_kind
def _block_on_metadata(image: Ext2Image, rng: random.Random) -> set[bytes]:
    path = _file(rng)
    image.put_pointer(image.number(path), 0, image.superblock.descriptor_block)
    return {path}


@_kind
def _indirect_block_outside(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put_pointer(image.number(b"/big"), 12, image.superblock.blocks + 5)
    return {b"/big"}


@_kind
def _block_outside_in_indirect_block(image: Ext2Image, rng: random.Random) -> set[bytes]:
    block = image.pointer(image.number(b"/big"), 12)
    image.write(block * image.block_size + 4 * rng.randrange(30), b"\xfe\xff\xff\xff")
    return {b"/big"}


@_kind
def _block_missing(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put_pointer(image.number(b"/big"), 3, 0)
    return {b"/big"}


@_kind
def _block_in_two_files(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put_pointer(image.number(b"/a/big"), 2, image.pointer(image.number(b"/big"), 1))
    return {b"/a/big"}


@_kind
def _indirect_block_in_two_files(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put_pointer(image.number(b"/a/big"), 12, image.pointer(image.number(b"/big"), 12))
    return {b"/a/big"}


@_kind
def _block_twice_in_a_file(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put_pointer(image.number(b"/big"), 4, image.pointer(image.number(b"/big"), 5))
    return {b"/big"}


@_kind
def _second_indirect_block_without_use(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put_pointer(image.number(b"/file5"), 13, image.superblock.blocks - 2)
    return {b"/file5"}


@_kind
def _slow_link_block(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put_pointer(image.number(b"/slow"), 0, 0)
    return {b"/slow"}


@_kind
def _extra_size(image: Ext2Image, rng: random.Random) -> set[bytes]:
    if image.superblock.inode_size > 128:
        image.write(image.inode_offset(image.number(b"/file5")) + 128, bytes([rng.choice([3, 6, 250]), 0]))
    return set()


@_kind
def _attribute_hash(image: Ext2Image, rng: random.Random) -> set[bytes]:
    block = image.field(image.number(b"/file3"), "i_file_acl")
    if block:
        at = block * image.block_size
        image.write(at + 32 + 12, b"abcd")
    return set()


@_kind
def _attribute_references(image: Ext2Image, rng: random.Random) -> set[bytes]:
    block = image.field(image.number(b"/file3"), "i_file_acl")
    if block:
        image.write(block * image.block_size + 4, b"\x05")
    return set()


@_kind
def _attribute_magic(image: Ext2Image, rng: random.Random) -> set[bytes]:
    block = image.field(image.number(b"/file3"), "i_file_acl")
    if block:
        image.write(block * image.block_size, bytes(4))
    return set()


@_kind
def _attributes_in_the_inode(image: Ext2Image, rng: random.Random) -> set[bytes]:
    size = image.superblock.inode_size
    if size > 128:
        at = image.inode_offset(image.number(b"/file2"))
        (extra,) = struct.unpack_from("<H", image.data, at + 128)
        image.write(at + 128 + extra + 4 + rng.choice([0, 2, 8, 12]), b"\xff")
    return set()


# ---- directories ---------------------------------------------------------------------------------------------------


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
        touched = _within(image, b"/a/b")
        image.write(image.pointer(image.number(b"/a/b"), 0) * image.block_size + offset, data)
        return touched

    return damage


_dot_kinds()


@_kind
def _dot_is_long(image: Ext2Image, rng: random.Random) -> set[bytes]:
    at = image.pointer(image.number(b"/empty"), 0) * image.block_size
    parent = image.data[at + 12 : at + 16]
    image.write(at + 4, struct.pack("<H", 24))
    image.write(at + 24, parent + struct.pack("<HBB", image.block_size - 24, 2, image.data[at + 7]) + b"..\0\0")
    return set()


@_kind
def _directory_with_two_names(image: Ext2Image, rng: random.Random) -> set[bytes]:
    entry, target = image.entry(b"/file5"), image.entry(b"/empty")
    image.write(entry.offset, struct.pack("<L", target.inode))
    image.data[entry.offset + 7] = target.type
    return {b"/file5"}


@_kind
def _directory_below_itself(image: Ext2Image, rng: random.Random) -> set[bytes]:
    touched = _within(image, b"/a")
    entry, target = image.entry(b"/a/b/c/deep"), image.entry(b"/a")
    image.write(entry.offset, struct.pack("<L", target.inode))
    image.data[entry.offset + 7] = target.type
    image.write(target.offset, bytes(4))
    return touched


@_kind
def _directory_hole(image: Ext2Image, rng: random.Random) -> set[bytes]:
    touched = _within(image, b"/many")
    number = image.number(b"/many")
    image.put_pointer(number, 1, 0)
    return touched


@_kind
def _directory_block_outside(image: Ext2Image, rng: random.Random) -> set[bytes]:
    touched = _within(image, b"/a/b")
    image.put_pointer(image.number(b"/a/b"), 0, image.superblock.blocks)
    return touched


@_kind
def _index_root(image: Ext2Image, rng: random.Random) -> set[bytes]:
    at = image.pointer(image.number(b"/many"), 0) * image.block_size
    if image.field(image.number(b"/many"), "i_flags") & layout.FLAG_INDEX:
        image.data[at + rng.choice([28, 29, 30, 32, 34, 36, 40, 44])] ^= 0x55
    return set()


@_kind
def _name_where_the_index_does_not_look(image: Ext2Image, rng: random.Random) -> set[bytes]:
    entries = [entry for entry in image.entries(image.number(b"/many")) if entry.name.startswith(b"a-rather")]
    entry = rng.choice(entries)
    image.write(entry.offset + 8, b"A")
    return {b"/many/" + entry.name}


# ---- everything else -------------------------------------------------------------------------------------------------


@_kind
def _root_becomes_a_file(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put(layout.ROOT_INODE, "i_mode", 0o100755)
    return set()


@_kind
def _block_bitmap(image: Ext2Image, rng: random.Random) -> set[bytes]:
    _flip(image, rng, 0, image.superblock.group_blocks(0))
    return set()


@_kind
def _inode_bitmap(image: Ext2Image, rng: random.Random) -> set[bytes]:
    _flip(image, rng, 4, image.superblock.inodes_per_group)
    return set()


@_kind
def _padding_of_the_inode_bitmap(image: Ext2Image, rng: random.Random) -> set[bytes]:
    (block,) = struct.unpack_from("<L", image.data, image.descriptor(0) + 4)
    image.write((block + 1) * image.block_size - 1, b"\0")
    return set()


def _flip(image: Ext2Image, rng: random.Random, field: int, bits: int) -> None:
    (block,) = struct.unpack_from("<L", image.data, image.descriptor(0) + field)
    for _ in range(rng.choice([1, 5])):
        bit = rng.randrange(bits - 1)
        image.data[block * image.block_size + bit // 8] ^= 1 << bit % 8


@_kind
def _counts_of_a_group(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.data[image.descriptor(0) + rng.choice([12, 14, 16])] ^= 1
    return set()


@_kind
def _flags_of_a_group(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.data[image.descriptor(0) + 18] = 1
    return set()


@_kind
def _totals(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.write(1024 + 12, struct.pack("<LL", 5, 6))
    return set()


@_kind
def _place_of_a_bitmap(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.write(image.descriptor(0) + rng.choice([0, 4]), struct.pack("<L", image.superblock.blocks + 9))
    return set()


@_kind
def _resize_inode(image: Ext2Image, rng: random.Random) -> set[bytes]:
    if image.superblock.compat & layout.COMPAT_RESIZE_INODE:
        image.put_pointer(layout.RESIZE_INODE, rng.choice([0, 13]), image.superblock.blocks - 3)
    return set()


@_kind
def _reserved_inode(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put(9, "i_mode", 0o100644)
    return set()


@_kind
def _journal_without_the_feature(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.put(layout.JOURNAL_INODE, "i_links_count", 1)
    return set()


@_kind
def _state(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.data[1024 + 0x3A] = rng.choice([0, 2])
    return set()


@_kind
def _number_of_inodes(image: Ext2Image, rng: random.Random) -> set[bytes]:
    image.write(1024, struct.pack("<L", image.superblock.inodes - 8))
    return set()
