"""What an ext2 inode can hold: stamps, ids, device numbers, links, sizes, and what it carries (3.3)."""

from __future__ import annotations

import os
import random
import stat
import struct

import pytest

from minixfs.errors import TooManyLinks
from minixfs.fs.ext2 import layout
from minixfs.hw.blockdev.ramdisk import RamDisk
from tests.support.ext2_image import ask, changed, made, superblock
from tests.support.volumes import EXT2_KINDS, START, Served, fresh, verify

NS = 10**9


def number(fs: Served, path: bytes) -> int:
    with fs.at(path) as ino:
        return ino


def record(disk: RamDisk, ino: int) -> tuple[int, bytes]:
    """Where an inode's record is, in bytes, and the record."""
    server = Served(RamDisk(disk.snapshot()), read_only=True).server
    block, offset = server.inodes._codec.locate(ino)
    start = block * server.volume.block_size + offset
    return start, disk.snapshot()[start : start + server.inodes._codec.size]


# ---- stamps --------------------------------------------------------------------------------------------------------

STAMPS = [0, -1, -(1 << 31), (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 33) + 7, (1 << 34) - (1 << 31) - 1]


@pytest.mark.parametrize("kind", ["ext2-1K-direct", "ext2-2K", "ext2-4K"])
@pytest.mark.parametrize("seconds", STAMPS)
def test_large_inodes_have_nanoseconds_and_years_past_2038(kind: str, seconds: int) -> None:
    disk = fresh(EXT2_KINDS[kind])
    fs = Served(disk)
    fs.make_file(b"f")
    wanted = [seconds * NS + fine for fine in (0, 1, 999_999_999)]
    with fs.at(b"f") as ino:
        fs.utime(ino, *wanted)
    fs.remount()
    with fs.at(b"f") as ino:
        found = fs.stat(ino)
    assert [found.atime, found.mtime, found.ctime] == wanted
    fs.unmount()
    verify(disk)
    said = ask(disk, "stat f").splitlines()
    words = [int(line.split()[1].split(":")[1], 16) for line in said if "atime:" in line]
    assert words[0] >> 2 == 0, "as debugfs reads it: no nanoseconds in the access time"
    assert words[0] & 3 == (seconds + (1 << 31)) >> 32


def test_small_inodes_have_seconds_from_1901_to_2038() -> None:
    fs = Served(fresh(EXT2_KINDS["ext2-1K"]))
    fs.make_file(b"f")
    with fs.at(b"f") as ino:
        for given, kept in (
            (-5 * NS + 7, -5 * NS),
            (-(1 << 40) * NS, -(1 << 31) * NS),
            (1 << 40, (1 << 40) // NS * NS),
            ((1 << 31) * NS, ((1 << 31) - 1) * NS),
        ):
            fs.utime(ino, given, given)
            fs.drop_caches()
            assert fs.stat(ino).mtime == kept, "the nearest that fits"
    fs.remount()
    with fs.at(b"f") as ino:
        assert fs.stat(ino).atime == ((1 << 31) - 1) * NS


def test_a_large_inode_that_was_made_as_a_small_one_keeps_seconds() -> None:
    """Linux's ext2 driver leaves i_extra_isize 0: nothing behind the first 128 bytes has a meaning."""
    disk = made("-b 1024 -I 256")
    fs = Served(disk)
    fs.make_file(b"f", b"data")
    ino = number(fs, b"f")
    fs.unmount()
    start, _ = record(disk, ino)
    image = bytearray(disk.snapshot())
    image[start + 128 : start + 256] = bytes(128)
    disk = RamDisk(image)
    fs = Served(disk)
    with fs.at(b"f") as ino:
        fs.utime(ino, 5 * NS + 5, (1 << 33) * NS + 5)
        fs.setxattr(ino, b"user.name", b"value", 0)
    fs.remount()
    with fs.at(b"f") as ino:
        assert fs.stat(ino).atime == 5 * NS
        assert fs.getxattr(ino, b"user.name") == b"value"
    fs.unmount()
    assert record(disk, ino)[1][128:] == bytes(128)
    verify(disk)


def test_when_it_was_made_is_kept() -> None:
    disk = made("-b 1024 -I 256")
    fs = Served(disk)
    fs.clock.now = START + 77
    fs.make_file(b"f")
    fs.clock.now = START + 99
    with fs.at(b"f") as ino:
        fs.write(ino, 0, b"x")
    fs.unmount()
    start = layout.INODE.size + layout.INODE_EXTRA.offsets["i_crtime"]
    assert struct.unpack_from("<L", record(disk, ino)[1], start) == (START + 77,)


# ---- what is carried -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ext2-1K", "ext2-2K"])
def test_what_we_do_not_know_is_carried(kind: str, rng: random.Random) -> None:
    """Flags, version, generation, fragment address, and everything behind what we know."""
    disk = fresh(EXT2_KINDS[kind])
    fs = Served(disk)
    fs.make_file(b"f", b"data")
    ino = number(fs, b"f")
    fs.unmount()
    start, old = record(disk, ino)
    offsets = layout.INODE.offsets
    places = [offsets[name] for name in ("i_version", "i_generation", "i_faddr")]
    places += range(160, len(old), 4)
    image = bytearray(disk.snapshot())
    for place in places:
        image[start + place : start + place + 4] = rng.randbytes(4)
    flags = layout.FLAG_SYNC | layout.FLAG_NOATIME | 0x40
    image[start + offsets["i_flags"] : start + offsets["i_flags"] + 4] = struct.pack("<L", flags)
    disk = RamDisk(image)
    fs = Served(disk)
    with fs.at(b"f") as ino:
        fs.chmod(ino, 0o600)
        fs.write(ino, 0, bytes(5000))
    fs.unmount()
    new = record(disk, ino)[1]
    for place in [*places, offsets["i_flags"]]:
        assert new[place : place + 4] == image[start + place : start + place + 4], place


def test_new_inodes_have_generations_of_their_own() -> None:
    disk = fresh(EXT2_KINDS["ext2-1K"])
    fs = Served(disk)
    for index in range(5):
        fs.make_file(b"%d" % index)
    inos = [number(fs, b"%d" % index) for index in range(5)]
    fs.unmount()
    offset = layout.INODE.offsets["i_generation"]
    assert len({record(disk, ino)[1][offset : offset + 4] for ino in inos}) == 5


def test_flags_are_inherited_as_linux_does() -> None:
    disk = made("-b 1024")
    fs = Served(disk)
    fs.make_directory(b"d")
    fs.unmount()
    flags = layout.FLAG_NOATIME | layout.FLAG_SYNC | 0x10000 | layout.FLAG_TOPDIR | layout.FLAG_IMMUTABLE
    disk = changed(disk, f"sif d flags {flags}")
    fs = Served(disk)
    fs.make_file(b"d/f")
    fs.make_directory(b"d/d")
    with fs.at(b"d") as ino:
        fs.symlink(ino, b"l", b"x", 0, 0)
    found = {name: fs.server.inodes.open(fs.find(b"d/" + name).ino).flags for name in (b"f", b"d", b"l")}
    assert found == {
        b"f": layout.FLAG_NOATIME | layout.FLAG_SYNC,
        b"d": layout.FLAG_NOATIME | layout.FLAG_SYNC | 0x10000,
        b"l": layout.FLAG_NOATIME,
    }


# ---- ids, devices, links -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ext2-1K", "ext2-4K", "ext2-1K-revision-0"])
def test_ids_of_32_bits(kind: str) -> None:
    disk = fresh(EXT2_KINDS[kind])
    fs = Served(disk)
    fs.putnode(fs.create(fs.root, b"f", 0o644, 70_000, 0xFFFFFFFE).ino, 1)
    fs.make_file(b"g")
    with fs.at(b"g") as ino:
        fs.chown(ino, 0x12345678, 65_536)
    fs.remount()
    for name, ids in ((b"f", (70_000, 0xFFFFFFFE)), (b"g", (0x12345678, 65_536))):
        with fs.at(name) as ino:
            assert (fs.stat(ino).uid, fs.stat(ino).gid) == ids
    fs.unmount()
    verify(disk)
    assert "User: 70000" in ask(disk, "stat f").replace("  ", " ")


@pytest.mark.parametrize("mode", [stat.S_IFCHR, stat.S_IFBLK])
@pytest.mark.parametrize(("major", "minor", "slot"), [(0, 1, 0), (4, 64, 0), (255, 255, 0), (256, 0, 1), (4, 256, 1),
                                                       (4095, 0xFFFFF, 1)])  # fmt: skip
def test_device_numbers_of_both_forms(mode: int, major: int, minor: int, slot: int) -> None:
    disk = fresh(EXT2_KINDS["ext2-1K"])
    fs = Served(disk)
    fs.mknod(fs.root, b"dev", mode | 0o600, 0, 0, os.makedev(major, minor))
    fs.remount()
    with fs.at(b"dev") as ino:
        assert fs.stat(ino).rdev == os.makedev(major, minor)
    fs.unmount()
    zones = struct.unpack_from("<2L", record(disk, ino)[1], layout.INODE.offsets["i_block"])
    assert [index for index, value in enumerate(zones) if value] == [slot]
    assert f"Device major/minor number: {major:02d}:{minor:02d}" in ask(disk, "stat dev")
    verify(disk)


def test_directories_stop_at_32000_links() -> None:
    disk = made("-b 4096 -N 33000", 64 << 20)
    fs = Served(disk, pool_pages=8192)
    fs.make_directory(b"d")
    with fs.at(b"d") as ino:
        inode = fs.server.inodes.open(ino)
        inode.nlinks = layout.LINK_MAX - 1
        fs.mkdir(ino, b"last", 0o755, 0, 0)
        assert fs.stat(ino).nlink == layout.LINK_MAX
        with pytest.raises(TooManyLinks):
            fs.mkdir(ino, b"more", 0o755, 0, 0)
    fs.check()


def test_links_of_directories_that_are_not_counted() -> None:
    """dir_nlink: a directory of more than 65000 subdirectories has one link; it is neither removed nor counted."""
    disk = made("-b 1024 -O dir_nlink")
    fs = Served(disk)
    fs.make_directory(b"d")
    fs.make_directory(b"d/e")
    fs.unmount()
    fs = Served(changed(disk, "sif d links_count 1"))
    with fs.at(b"d") as ino:
        fs.mkdir(ino, b"f", 0o755, 0, 0)
        fs.rmdir(ino, b"e")
        assert fs.names(b"d") == [b"f"]
        fs.rmdir(ino, b"f")
        fs.rmdir(fs.root, b"d")
    fs.unmount()


# ---- symbolic links ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ext2-1K", "ext2-4K", "ext2-1K-groups"])
@pytest.mark.parametrize("length", [1, 58, 59, 60, 61, 1023])
def test_fast_and_slow_symbolic_links(kind: str, length: int) -> None:
    disk = fresh(EXT2_KINDS[kind])
    fs = Served(disk)
    free = fs.statvfs().bfree
    fs.symlink(fs.root, b"l", b"x" * length, 0, 0)
    assert free - fs.statvfs().bfree == (length > layout.FAST_SYMLINK_MAX)
    fs.remount()
    with fs.at(b"l") as ino:
        assert fs.readlink(ino) == b"x" * length
        assert fs.stat(ino).size == length
    fs.unmount()
    verify(disk)
    fs = Served(disk)
    fs.unlink(fs.root, b"l")
    assert fs.statvfs().bfree == free
    fs.unmount()
    verify(disk)


# ---- sizes ---------------------------------------------------------------------------------------------------------


def test_the_large_file_feature_comes_with_the_first_file_of_2_gib() -> None:
    disk = made("-b 1024 -O ^large_file")
    fs = Served(disk)
    fs.make_file(b"f", b"x", position=(1 << 31) - 2)
    fs.sync()
    assert not superblock(disk)["s_feature_ro_compat"] & layout.RO_COMPAT_LARGE_FILE
    with fs.at(b"f") as ino:
        fs.truncate(ino, 1 << 31)
    fs.sync()
    assert superblock(disk)["s_feature_ro_compat"] & layout.RO_COMPAT_LARGE_FILE
    fs.unmount()
    verify(disk)


@pytest.mark.parametrize("kind", ["ext2-1K", "ext2-2K", "ext2-4K", "ext2-64K"])
def test_the_largest_file(kind: str) -> None:
    disk = fresh(EXT2_KINDS[kind])
    fs = Served(disk)
    largest = fs.server.volume.shape.max_file_size
    fs.make_file(b"f", b"the end", position=largest - 7)
    fs.remount()
    with fs.at(b"f") as ino:
        assert fs.stat(ino).size == largest
        assert bytes(fs.read(ino, largest - 9, 100)) == b"\0\0the end"
    fs.unmount()
    verify(disk)


def test_blocks_count_attributes_and_indirect_blocks() -> None:
    fs = Served(fresh(EXT2_KINDS["ext2-1K"]))
    fs.make_file(b"f", bytes(20_000))
    with fs.at(b"f") as ino:
        assert fs.stat(ino).blocks == (20 + 1) * 2
        fs.setxattr(ino, b"user.a", b"b", 0)
        assert fs.stat(ino).blocks == (20 + 2) * 2
    fs.remount()
    with fs.at(b"f") as ino:
        assert fs.stat(ino).blocks == (20 + 2) * 2
