"""ext2 directories: entries that split and join, search trees made linear, types, what a bad one may not do (3.7)."""

from __future__ import annotations

import random
import stat
import struct

import pytest

from minixfs.errors import Corrupt
from minixfs.fs.disk.volume import Settings
from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.directory import needed
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.blockdev.recorder import Recorder, Write
from minixfs.hw.runtime import run
from tests.support.ext2_image import ask, made, optimized
from tests.support.volumes import EXT2_KINDS, Served, fresh, verify

ALL_SIZES = ["ext2-1K", "ext2-2K", "ext2-4K-direct", "ext2-64K", "ext2-1K-revision-0"]


def entries(fs: Served, path: bytes) -> list[list[tuple[int, int, int, int, bytes]]]:
    """The raw entries of a directory, block by block: inode, length, length of the name, type, name."""
    found = []
    with fs.at(path) as ino:
        directory = fs.server.inodes.open(ino)
        size = fs.server.volume.block_size
        for number in range(directory.size // size):
            with run(fs.server._directories._block(directory, number)) as buf:
                offset, rows = 0, []
                while offset < size:
                    inode, length, name_length, kind = layout.DIRENT.struct.unpack_from(buf.data, offset)
                    length = size if size == 65536 and length in (0, 65535) else length
                    rows.append((inode, length, name_length, kind, bytes(buf.data[offset + 8 :][:name_length])))
                    offset += length
                assert offset == size
            found.append(rows)
    return found


def free_bytes(fs: Served, path: bytes) -> int:
    return sum(
        length - (needed(name_length) if inode else 0)
        for block in entries(fs, path)
        for inode, length, name_length, _, _ in block
    )


# ---- room ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL_SIZES)
def test_a_new_directory(kind: str) -> None:
    fs = Served(fresh(EXT2_KINDS[kind]))
    fs.make_directory(b"d")
    size = fs.server.volume.block_size
    typed = 0 if kind.endswith("revision-0") else 2
    with fs.at(b"d") as ino:
        assert entries(fs, b"d") == [[(ino, 12, 1, typed, b"."), (fs.root, size - 12, 2, typed, b"..")]]
        assert fs.stat(ino).size == size


@pytest.mark.parametrize("kind", ALL_SIZES)
def test_names_of_every_length(kind: str) -> None:
    """Entries split, fill their block, and join again when names go."""
    disk = fresh(EXT2_KINDS[kind])
    fs = Served(disk)
    fs.make_directory(b"d")
    names = [bytes([0x61 + length % 26]) * length for length in range(1, 256)]
    fs.make_file(b"f")
    with fs.at(b"f") as ino, fs.at(b"d") as d:
        for name in names:
            fs.link(ino, d, name)
        assert sorted(fs.names(b"d")) == sorted(names)
        for name in names[::2]:
            fs.unlink(d, name)
        assert sorted(fs.names(b"d")) == sorted(names[1::2])
        blocks = len(entries(fs, b"d"))
        for name in reversed(names[::2]):
            fs.link(ino, d, name)
        assert len(entries(fs, b"d")) <= blocks * 3 // 2, "the room is used again"
    fs.remount()
    assert sorted(fs.names(b"d")) == sorted(names)
    fs.unmount()
    verify(disk)


def test_room_that_names_leave_side_by_side_is_one() -> None:
    disk = fresh(EXT2_KINDS["ext2-1K"])
    fs = Served(disk)
    fs.make_directory(b"d")
    fs.make_file(b"f")
    with fs.at(b"f") as ino, fs.at(b"d") as d:
        for index in range(50):
            fs.link(ino, d, b"%09d" % index)  # 20 bytes each: the block is full
        assert len(entries(fs, b"d")) == 1
        for index in (20, 22, 21):
            fs.unlink(d, b"%09d" % index)
        fs.link(ino, d, b"n" * 52)
        assert len(entries(fs, b"d")) == 1
        assert b"n" * 52 in [row[4] for row in entries(fs, b"d")[0]]
        fs.link(ino, d, b"x")
        assert len(entries(fs, b"d")) == 2
    fs.unmount()
    verify(disk)


def test_the_first_entry_of_a_block_is_marked_free() -> None:
    disk = fresh(EXT2_KINDS["ext2-1K"])
    fs = Served(disk)
    fs.make_directory(b"d")
    fs.make_file(b"f")
    with fs.at(b"f") as ino, fs.at(b"d") as d:
        names = [b"%0200d" % index for index in range(9)]
        for name in names:
            fs.link(ino, d, name)
        assert len(entries(fs, b"d")) == 3
        first = entries(fs, b"d")[1][0]
        fs.unlink(d, first[4])
        assert entries(fs, b"d")[1][0][:2] == (0, first[1])
        fs.drop_caches()
        assert sorted(fs.names(b"d")) == sorted(set(names) - {first[4]})
        fs.link(ino, d, b"again" * 40)
        assert entries(fs, b"d")[1][0][4] == b"again" * 40
    fs.unmount()
    verify(disk)


@pytest.mark.parametrize("kind", ["ext2-1K", "ext2-64K"])
def test_random_names_come_and_go(kind: str, rng: random.Random) -> None:
    disk = fresh(EXT2_KINDS[kind])
    fs = Served(disk)
    fs.make_directory(b"d")
    fs.make_file(b"f")
    directories = fs.server._directories
    here: set[bytes] = set()
    with fs.at(b"f") as ino, fs.at(b"d") as d:
        for step in range(1500):
            if here and rng.random() < 0.45:
                name = rng.choice(sorted(here))
                fs.unlink(d, name)
                here.remove(name)
            else:
                name = b"%d-" % step + b"x" * rng.choice([0, 1, 5, 30, 200])
                fs.link(ino, d, name)
                here.add(name)
            if step % 300 == 299:
                fs.drop_caches()
                kept = directories._indexes[d]
                directories.drop_index(d)
                assert set(fs.names(b"d")) == here
                assert free_bytes(fs, b"d") >= 0
                read = run(directories._index(fs.server.inodes.open(d)))
                assert (kept.names, kept.starts, kept.gaps) == (read.names, read.starts, read.gaps)
    fs.unmount()
    verify(disk)


# ---- types ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "typed"), [("ext2-1K", True), ("ext2-1K-sectors", False)])
def test_entries_say_the_type_if_the_volume_has_the_feature(kind: str, typed: bool) -> None:
    disk = fresh(EXT2_KINDS[kind])
    fs = Served(disk)
    fs.make_file(b"file")
    fs.make_directory(b"dir")
    fs.symlink(fs.root, b"link", b"x", 0, 0)
    for name, mode in ((b"char", stat.S_IFCHR), (b"block", stat.S_IFBLK), (b"fifo", stat.S_IFIFO),
                       (b"sock", stat.S_IFSOCK)):  # fmt: skip
        fs.mknod(fs.root, name, mode | 0o600, 0, 0, 0)
    fs.make_file(b"other")
    fs.rename(fs.root, b"fifo", fs.root, b"other")  # an entry gets another type
    fs.exchange(fs.root, b"file", fs.root, b"dir")
    found = {row[4]: row[3] for row in entries(fs, b"")[0]}
    expected = {b".": 2, b"..": 2, b"file": 2, b"dir": 1, b"link": 7, b"char": 3, b"block": 4, b"other": 5, b"sock": 6}
    assert found == (expected if typed else dict.fromkeys(expected, 0))
    fs.unmount()
    verify(disk)


# ---- search trees --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_tree() -> RamDisk:
    """A volume whose directory `d` has a search tree: 400 names."""
    disk = made("-b 1024 -N 512 -m 0")
    fs = Served(disk)
    fs.make_directory(b"d")
    for index in range(400):
        fs.make_file(b"d/name-%03d-with-some-length" % index, b"%d" % index)
    fs.unmount()
    return optimized(disk)


def indexed(disk: RamDisk) -> bool:
    """Whether `d` has a search tree; e2fsprogs finds all that it must."""
    text = ask(disk, "stat d")
    flags = int(text.partition("Flags: ")[2].split()[0], 16)
    return bool(flags & layout.FLAG_INDEX)


def test_a_search_tree_is_read_as_a_list(with_tree: RamDisk) -> None:
    disk = RamDisk(with_tree.snapshot())
    assert indexed(disk)
    fs = Served(disk)
    assert len(fs.names(b"d")) == 400
    assert fs.contents(b"d/name-123-with-some-length") == b"123"
    fs.unmount()
    verify(disk)


def test_lookups_and_removals_leave_a_search_tree(with_tree: RamDisk) -> None:
    """So do renames over a name, and the new parent of a directory that moves."""
    disk = RamDisk(with_tree.snapshot())
    fs = Served(disk)
    with fs.at(b"d") as d:
        for index in range(0, 400, 3):
            fs.unlink(d, b"name-%03d-with-some-length" % index)
        fs.rename(d, b"name-001-with-some-length", d, b"name-002-with-some-length")
    fs.make_directory(b"e")
    with fs.at(b"e") as e:
        fs.rename(fs.root, b"d", e, b"d")
    fs.remount()
    verify(disk)
    with fs.at(b"e") as e:
        fs.rename(e, b"d", fs.root, b"d")
    fs.unmount()
    assert indexed(disk)
    verify(disk)
    fs = Served(disk)
    assert len(fs.names(b"d")) == 400 - 134 - 1
    assert fs.contents(b"d/name-002-with-some-length") == b"1"


def test_the_first_new_name_makes_the_directory_linear(with_tree: RamDisk) -> None:
    disk = RamDisk(with_tree.snapshot())
    fs = Served(disk)
    for index in range(60):
        fs.make_file(b"d/new-%d" % index)
    assert len(fs.names(b"d")) == 460
    fs.unmount()
    assert not indexed(disk)
    verify(disk)
    fs = Served(disk)
    assert len(fs.names(b"d")) == 460


def test_the_flag_goes_before_the_name_comes(with_tree: RamDisk) -> None:
    """At no moment a tree that lacks a name: the inode is on the disk before the directory's block."""
    disk = RamDisk(with_tree.snapshot())
    image = bytearray(with_tree.snapshot())
    recorder = Recorder(disk)
    fs = Served(recorder)
    fs.make_file(b"d/new-name-in-the-tree")
    fs.sync()
    for entry in recorder.log:
        if isinstance(entry, Write):
            image[entry.offset : entry.offset + len(entry.data)] = entry.data
            if b"new-name-in-the-tree" in image:
                assert not indexed(RamDisk(image))
    assert b"new-name-in-the-tree" in image


# ---- bad directories -----------------------------------------------------------------------------------------------


@pytest.mark.logs(r"corrupt image: .*", "read-only from now on")
@pytest.mark.parametrize("length", [0, 4, 8, 13, 1008, 1016, 1028, 0xFFFF])
def test_lengths_that_do_not_add_up(length: int) -> None:
    disk = fresh(EXT2_KINDS["ext2-1K"])
    fs = Served(disk)
    fs.make_directory(b"d")
    fs.make_file(b"d/file", b"data")
    fs.make_file(b"other", b"fine")
    with fs.at(b"d") as ino:
        block = run(fs.server._zones.zone_at(fs.server.inodes.open(ino), 0))
    fs.unmount()
    image = bytearray(disk.snapshot())
    image[block * 1024 + 12 + 4 : block * 1024 + 12 + 6] = struct.pack("<H", length)
    fs = Served(RamDisk(image), Settings(errors="remount-ro"))

    def columns() -> None:
        with fs.at(b"d") as ino:
            fs.getdents_table(ino, 0, 10)

    for request in (
        lambda: fs.find(b"d/file"),
        lambda: fs.names(b"d"),
        lambda: fs.find(b"d/new"),
        columns,
    ):
        with pytest.raises(Corrupt):
            request()
        fs.check()
    assert fs.contents(b"other") == b"fine"
    fs.unmount()


@pytest.mark.logs(r"corrupt image: .*", "read-only from now on")
def test_a_size_that_is_no_whole_number_of_blocks() -> None:
    disk = fresh(EXT2_KINDS["ext2-1K"])
    fs = Served(disk, Settings(errors="remount-ro"))
    fs.make_directory(b"d")
    with fs.at(b"d") as ino:
        fs.server.inodes.open(ino).size = 1500
        fs.server._directories.drop_index(ino)
    with pytest.raises(Corrupt):
        fs.find(b"d/x")
