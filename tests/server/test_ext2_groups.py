"""Where things go on an ext2 volume: files in runs near their directory, directories spread, the reserve (3.6)."""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from minixfs.errors import Corrupt, NoSpace, ReadOnly
from minixfs.fs.disk.volume import Settings
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from tests.support.ext2_image import changed, made, superblock
from tests.support.volumes import EXT2_KINDS, Served, fresh, verify

GROUPS = "-b 1024 -g 1024 -N 2048 -m 0 -O ^resize_inode"
SIZE = 16 << 20


def runs(fs: Served, path: bytes) -> list[int]:
    """The lengths of the pieces of a file on the disk, as filefrag counts them."""
    with fs.at(path) as ino:
        inode = fs.server.inodes.open(ino)
        zones = -(-inode.size // fs.server.volume.zone_size)
        extents = [extent for extent in run(fs.server._zones.extents(inode, 0, zones)) if extent.zone]
    lengths, end = [], 0
    for extent in extents:
        if lengths and extent.zone - end in (0, 1, 2, 3):  # an indirect block or two lie between
            lengths[-1] += extent.count
        else:
            lengths.append(extent.count)
        end = extent.zone + extent.count
    return lengths


def group_of(fs: Served, path: bytes) -> int:
    with fs.at(path) as ino:
        group: int = fs.server.volume.group_of(ino)
        return group


def data_group(fs: Served, path: bytes) -> int:
    with fs.at(path) as ino:
        volume = fs.server.volume
        block = volume.groups and fs.server.inodes.open(ino).zones[0]
        return int((block - volume.superblock.first_data_block) // volume.superblock.blocks_per_group)


# ---- blocks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [1024, 4096, 100_000, 700_000])
def test_a_file_that_is_written_in_order_lies_in_one_piece(piece: int) -> None:
    fs = Served(made(GROUPS, SIZE))
    fs.make_directory(b"d")
    fs.make_file(b"d/f")
    with fs.at(b"d/f") as ino:
        for position in range(0, 700_000, piece):
            fs.write(ino, position, bytes(min(piece, 700_000 - position)))
    assert runs(fs, b"d/f") == [684]


def test_files_that_grow_together_are_in_few_pieces() -> None:
    """Two writers at once: each goes on behind its own last block while there is room."""
    fs = Served(made(GROUPS, SIZE))
    for name in (b"a", b"b"):
        fs.make_directory(name)
        fs.make_file(name + b"/f")
    with fs.at(b"a/f") as a, fs.at(b"b/f") as b:
        for position in range(0, 300_000, 20_000):
            fs.write(a, position, bytes(20_000))
            fs.write(b, position, bytes(20_000))
    assert group_of(fs, b"a") != group_of(fs, b"b")
    assert runs(fs, b"a/f") == runs(fs, b"b/f") == [293]


def test_data_is_in_the_group_of_its_inode() -> None:
    fs = Served(made(GROUPS, SIZE))
    for name in b"abcdef":
        fs.make_directory(bytes([name]))
        fs.make_file(bytes([name]) + b"/f", bytes(9000))
    for name in b"abcdef":
        path = bytes([name]) + b"/f"
        assert data_group(fs, path) == group_of(fs, path) == group_of(fs, bytes([name]))


def test_a_large_file_goes_on_in_the_groups_that_follow() -> None:
    disk = made(GROUPS, SIZE)
    fs = Served(disk)
    fs.make_file(b"f", bytes(5 << 20))
    assert len(runs(fs, b"f")) <= 7
    fs.unmount()
    verify(disk)


def test_every_last_block_can_be_used() -> None:
    """Metadata is never handed out, the short last group to its end; nothing is lost when all is freed."""
    disk = made("-b 1024 -g 256 -N 300 -m 0 -O ^resize_inode,^meta_bg", (3 << 20) + 77 * 1024)
    fs = Served(disk)
    free = fs.statvfs()
    fs.make_file(b"f")
    with fs.at(b"f") as ino:
        position = 0
        while True:
            try:
                position += fs.write(ino, position, bytes(50_000))
            except NoSpace:
                break
    assert fs.statvfs().bfree == 0
    fs.remount()
    verify(disk)
    fs.unlink(fs.root, b"f")
    assert (fs.statvfs().bfree, fs.statvfs().ffree) == (free.bfree, free.ffree)
    fs.unmount()
    verify(disk)


@pytest.mark.logs(r"corrupt image: the block bitmap has metadata as free", "read-only from now on")
def test_metadata_that_a_bitmap_calls_free_is_not_handed_out() -> None:
    disk = made("-b 1024 -m 0")
    server = Served(RamDisk(disk.snapshot())).server
    group = server.volume.groups.table[0]
    image = bytearray(disk.snapshot())
    image[group.block_bitmap * 1024] = 0
    fs = Served(RamDisk(image), Settings(errors="remount-ro"))
    before = fs.device.snapshot()[: 40 * 1024]
    for error in (Corrupt, ReadOnly):
        with pytest.raises(error):
            fs.make_file(b"f", bytes(1 << 20))
    fs.sync()
    spare = slice(3 * 1024, group.block_bitmap * 1024)  # room for more group descriptors
    assert fs.device.snapshot()[spare] == before[spare]


# ---- inodes --------------------------------------------------------------------------------------------------------


def test_directories_at_the_top_are_spread() -> None:
    fs = Served(made(GROUPS, SIZE))
    for index in range(32):
        fs.make_directory(b"%d" % index)
    groups = Counter(group_of(fs, b"%d" % index) for index in range(32))
    assert len(groups) >= 14
    assert max(groups.values()) <= 4


def test_directories_further_down_stay_near_their_parent() -> None:
    fs = Served(made(GROUPS, SIZE))
    fs.make_directory(b"d")
    for index in range(20):
        fs.make_directory(b"d/%d" % index)
        fs.make_file(b"d/%d/f" % index, bytes(2000))
    home = group_of(fs, b"d")
    assert sum(group_of(fs, b"d/%d" % index) == home for index in range(20)) >= 15
    assert all(group_of(fs, b"d/%d/f" % index) == group_of(fs, b"d/%d" % index) for index in range(20))


def test_files_go_elsewhere_when_their_group_is_full() -> None:
    disk = made("-b 1024 -g 1024 -N 256 -m 0 -O ^resize_inode", SIZE)  # 16 inodes in a group
    fs = Served(disk)
    for index in range(200):
        fs.make_file(b"%d" % index, bytes(100))
    groups = Counter(group_of(fs, b"%d" % index) for index in range(200))
    assert len(groups) >= 12
    fs.unmount()
    verify(disk)


def test_every_last_inode_can_be_used(rng: random.Random) -> None:
    disk = made("-b 1024 -g 1024 -N 256 -m 0 -O ^resize_inode", SIZE)
    fs = Served(disk)
    free = fs.statvfs().ffree
    for index in range(free):
        if rng.random() < 0.3:
            fs.make_directory(b"%d" % index)
        else:
            fs.make_file(b"%d" % index)
    with pytest.raises(NoSpace):
        fs.make_file(b"more")
    assert fs.statvfs().ffree == 0
    fs.remount()
    verify(disk)
    for name in fs.names():
        if name != b"lost+found":
            with fs.at(name) as ino:
                directory = fs.stat(ino).mode & 0o40000
            (fs.rmdir if directory else fs.unlink)(fs.root, name)
    assert fs.statvfs().ffree == free
    fs.unmount()
    verify(disk)


# ---- the reserve ---------------------------------------------------------------------------------------------------


def test_the_reserve_is_for_its_users(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = changed(made("-b 1024 -m 10"), "ssv def_resuid 77")
    reserved = superblock(disk)["s_r_blocks_count"]
    assert reserved > 200
    for user, left in ((1000, reserved), (77, 0), (0, 0)):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        fs = Served(RamDisk(disk.snapshot()))
        before = fs.statvfs()
        assert before.bfree - before.bavail == reserved
        fs.make_file(b"f")
        with fs.at(b"f") as ino:
            position = 0
            while True:
                try:
                    position += fs.write(ino, position, bytes(40_000))
                except NoSpace:
                    break
        assert left <= fs.statvfs().bfree <= left + 2
        assert fs.statvfs().bavail <= 2
        fs.unmount()
        verify(fs.device)


# ---- counts --------------------------------------------------------------------------------------------------------


def test_counts_of_groups_follow_at_once(rng: random.Random) -> None:
    """After each commit the descriptors say what the bitmaps say; e2fsck counts them all."""
    disk = fresh(EXT2_KINDS["ext2-1K-groups"])
    fs = Served(disk)
    here: list[bytes] = []
    for step in range(6):
        for index in range(15):
            name = b"%d-%d" % (step, index)
            if rng.random() < 0.3:
                fs.make_directory(name)
            else:
                fs.make_file(name, bytes(rng.randrange(20_000)))
            here.append(name)
        for name in rng.sample(here, 8):
            here.remove(name)
            with fs.at(name) as ino:
                directory = fs.stat(ino).mode & 0o40000
            (fs.rmdir if directory else fs.unlink)(fs.root, name)
        fs.remount()
        verify(disk)
