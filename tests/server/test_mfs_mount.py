"""Mounting, committing and unmounting an MFS volume."""

from __future__ import annotations

import errno
import hashlib
import stat
import struct

import pytest

from minixfs.errors import BadSuperblock, Busy, InvalidArgument, MinixFsError, ReadOnly, Unsupported
from minixfs.fs.disk.volume import Settings
from minixfs.fs.libminixfs import heuristic
from minixfs.fs.mfs.server import probe
from minixfs.fs.mfs.superblock import Superblock
from minixfs.fs.protocol import SUPER_USER, TimeUpdate
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.blockdev.recorder import Flush, Recorder, Write
from minixfs.hw.runtime import run
from tests.support.volumes import KINDS, START, Kind, MfsKind, Served, copy, fresh, verify


def superblock_of(disk: RamDisk) -> Superblock:
    return Superblock.parse(disk.snapshot()[1024:2048])


def changed(disk: RamDisk, offset: int, data: bytes) -> RamDisk:
    image = bytearray(disk.snapshot())
    image[offset : offset + len(data)] = data
    return RamDisk(image)


def unclean(kind: Kind) -> RamDisk:
    disk = fresh(kind)
    superblock = superblock_of(disk)
    superblock.mark(clean=False)
    return changed(disk, 1024, superblock.build())


def test_the_mount_answer(mfs_kind: MfsKind) -> None:
    fs = Served(fresh(mfs_kind))
    assert fs.mounted.root.ino == 1
    assert stat.S_ISDIR(fs.mounted.root.mode)
    assert not fs.mounted.read_only
    assert not fs.mounted.warnings
    assert run(probe(fs.device))
    assert not run(probe(RamDisk(4096)))
    fs.unmount()


def test_what_is_written_is_there_after_a_remount(kind: Kind) -> None:
    disk = fresh(kind)
    fs = Served(disk)
    fs.make_directory(b"d")
    fs.make_file(b"d/f", bytes(range(256)) * 300)
    fs.symlink(fs.root, b"l", b"d/f", 0, 0)
    before = fs.tree()
    assert len(before) == 3
    fs.remount()
    assert fs.tree() == before
    fs.check()
    fs.unmount()
    verify(disk, peer=kind.for_fsck_minix)


def test_the_clean_mark_goes_with_the_first_change_and_comes_back_at_unmount(mfs_kind: MfsKind) -> None:
    """FS-62, with the design's rule that a mount alone changes nothing."""
    disk = fresh(mfs_kind)
    before = disk.snapshot()
    fs = Served(disk, Settings(atime="noatime"))
    assert fs.names() == []
    fs.sync()
    fs.remount()
    assert disk.snapshot() == before
    fs.make_file(b"a", b"x")
    assert not superblock_of(disk).clean, "before anything else reaches the disk"
    fs.sync()
    assert not superblock_of(disk).clean
    fs.unmount()
    assert superblock_of(disk).clean
    assert disk.snapshot()[1024:2048] == before[1024:2048]


def test_an_access_time_alone_is_a_change_too() -> None:
    recorder = Recorder(fresh(KINDS["V3-1K"]))
    fs = Served(recorder)
    fs.clock.now += 5
    assert fs.names() == []
    assert not recorder.log
    fs.sync()
    assert isinstance(recorder.log[0], Write)
    assert not Superblock.parse(recorder.log[0].data).clean
    fs.unmount()


def test_the_clean_mark_is_the_first_and_the_last_write() -> None:
    recorder = Recorder(fresh(KINDS["V3-4K"]))
    fs = Served(recorder)
    fs.make_file(b"a", b"x" * 10000)
    fs.unmount()
    writes = [entry for entry in recorder.log if isinstance(entry, Write)]
    assert (writes[0].offset, writes[-1].offset) == (1024, 1024)
    assert not Superblock.parse(writes[0].data).clean
    assert Superblock.parse(writes[-1].data).clean
    assert recorder.log[-1] == Flush()
    assert recorder.log[-3] == Flush(), "everything is stable before the mark is"


def test_the_size_limit_on_the_disk_stays_what_it_was() -> None:
    disk = changed(fresh(KINDS["V3-4K"]), 1024 + 16, struct.pack("<L", 0xFFFFFFFF))
    fs = Served(disk)
    fs.make_file(b"a")
    fs.unmount()
    assert superblock_of(disk).max_size == 0xFFFFFFFF


@pytest.mark.parametrize("name", ["V3-1K", "hybrid", "hybrid-big"])
def test_an_unclean_v3_volume_is_mounted_read_only(name: str) -> None:
    """FS-62; specification: file systems, 1.9."""
    disk = unclean(KINDS[name])
    fs = Served(disk)
    assert fs.mounted.read_only
    assert "not cleanly unmounted, so it is mounted read-only" in fs.mounted.warnings[0]
    with pytest.raises(ReadOnly):
        fs.mkdir(fs.root, b"a", 0o755, 0, 0)
    fs.unmount()
    fs = Served(disk, Settings(force=True))
    assert not fs.mounted.read_only
    assert fs.mounted.warnings
    fs.make_directory(b"a")
    fs.unmount()
    assert not superblock_of(disk).clean, "only a checker may say that it is clean"


@pytest.mark.parametrize("name", ["V1", "V2-big"])
def test_an_unclean_v1_or_v2_volume_is_only_warned_about(name: str) -> None:
    disk = unclean(KINDS[name])
    fs = Served(disk)
    assert not fs.mounted.read_only
    assert fs.mounted.warnings
    fs.make_directory(b"a")
    fs.unmount()
    assert not superblock_of(disk).clean
    assert Served(disk, Settings(strict=True)).mounted.read_only


def test_a_read_only_mount_changes_no_byte(kind: Kind) -> None:
    """FS-58: EROFS for every request that changes something, and the image stays the same."""
    disk = fresh(kind)
    fs = Served(disk)
    fs.make_file(b"file", bytes(5000))
    fs.make_directory(b"dir")
    fs.symlink(fs.root, b"link", b"file", 0, 0)
    fs.unmount()
    before = hashlib.sha256(disk.snapshot()).digest()
    fs = Served(disk, Settings(atime="strictatime"), read_only=True)
    assert fs.mounted.read_only
    fs.clock.now += 100_000
    with fs.at(b"file") as ino, fs.at(b"dir") as directory:
        for request in (
            lambda: fs.create(fs.root, b"n", 0o644, 0, 0),
            lambda: fs.mkdir(fs.root, b"n", 0o755, 0, 0),
            lambda: fs.mknod(fs.root, b"n", stat.S_IFIFO, 0, 0, 0),
            lambda: fs.symlink(fs.root, b"n", b"t", 0, 0),
            lambda: fs.link(ino, fs.root, b"n"),
            lambda: fs.unlink(fs.root, b"file"),
            lambda: fs.rmdir(fs.root, b"dir"),
            lambda: fs.rename(fs.root, b"file", directory, b"n"),
            lambda: fs.exchange(fs.root, b"file", fs.root, b"dir"),
            lambda: fs.write(ino, 0, b"x"),
            lambda: fs.truncate(ino, 0),
            lambda: fs.free_range(ino, 0, 100),
            lambda: fs.chmod(ino, 0),
            lambda: fs.chown(ino, 1, 1),
            lambda: fs.utime(ino, TimeUpdate.NOW, TimeUpdate.NOW),
        ):
            with pytest.raises(ReadOnly):
                request()
        assert bytes(fs.read(ino, 0, 9999)) == bytes(5000)
        fs.peek(ino, 0, 9999)
        assert fs.stat(ino).atime == START * 10**9
        assert fs.statvfs().read_only
    assert fs.names() == [b"file", b"dir", b"link"]
    fs.sync()
    fs.write_back()
    fs.check()
    fs.unmount()
    assert hashlib.sha256(disk.snapshot()).digest() == before


def test_a_read_only_device_is_mounted_read_only() -> None:
    disk = fresh(KINDS["V3-4K"])
    disk.read_only = True
    fs = Served(disk)
    assert fs.mounted.read_only
    fs.unmount()


def test_unmount_refuses_while_something_is_open() -> None:
    """FS-36."""
    disk = fresh(KINDS["V3-1K"])
    fs = Served(disk)
    fs.make_file(b"a", b"abc")
    node = fs.find(b"a")
    with pytest.raises(Busy):
        fs.unmount()
    fs.write(node.ino, 3, b"def")
    assert fs.contents(b"a") == b"abcdef"
    assert not superblock_of(disk).clean
    fs.putnode(node.ino, 1)
    fs.find(b"")
    with pytest.raises(Busy):
        fs.unmount()
    fs.putnode(1, 1)
    fs.unmount()
    assert superblock_of(disk).clean


def test_a_change_reaches_the_disk_at_sync_only() -> None:
    """FS-02."""
    disk = fresh(KINDS["V3-1K"])
    fs = Served(disk)
    fs.make_file(b"a", b"some data")
    assert b"some data" not in disk.snapshot()
    fs.sync()
    assert b"some data" in disk.snapshot()
    verify(disk)


def test_sync_flushes_the_device_and_write_back_does_not() -> None:
    recorder = Recorder(fresh(KINDS["V3-1K"]))
    fs = Served(recorder)
    fs.make_file(b"a")
    fs.write_back()
    assert Flush() not in recorder.log
    fs.sync()
    assert recorder.log[-1] == Flush()


def test_a_synchronous_mount_makes_each_change_durable() -> None:
    disk = fresh(KINDS["V3-1K"])
    recorder = Recorder(disk)
    fs = Served(recorder, Settings(synchronous=True))
    fs.make_directory(b"d")
    fs.make_file(b"d/a", b"data")
    assert not fs.cache.dirty
    assert recorder.log[-1] == Flush()
    assert Served(copy(disk), Settings(force=True)).contents(b"d/a") == b"data"


@pytest.mark.parametrize(
    ("offset", "data", "error"),
    [
        (1024 + 24, b"\0\0", BadSuperblock),
        (1024 + 14, b"\1\1", Unsupported),
        (1024 + 28, b"\1\4", BadSuperblock),
    ],
)
def test_bad_superblocks_are_refused_with_einval(offset: int, data: bytes, error: type[MinixFsError]) -> None:
    with pytest.raises(error) as caught:
        Served(changed(fresh(KINDS["V3-1K"]), offset, data))
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("mode", [0, stat.S_IFREG | 0o644, 0xFFFF])
def test_a_root_that_is_no_directory_is_refused_and_nothing_is_kept(mode: int) -> None:
    fs = Served(fresh(KINDS["V3-4K"]))
    fs.unmount()
    fs.device = changed(fresh(KINDS["V3-4K"]), 4 * 4096, struct.pack("<H", mode))
    with pytest.raises(BadSuperblock):
        fs._mount()
    assert fs.pages.cached_pages == 0
    assert fs.pages.pool.free_frames == fs.pages.pool.frames - 1


def test_a_volume_that_is_cut_off_can_only_be_read() -> None:
    with pytest.raises(BadSuperblock):
        Served(RamDisk(1500))
    short = RamDisk(fresh(KINDS["V3-1K"]).snapshot()[: 2 << 20])
    with pytest.raises(BadSuperblock, match="-o ro"):
        Served(short)
    Served(short, read_only=True).unmount()


def test_requests_about_inodes_that_are_not_open() -> None:
    fs = Served(fresh(KINDS["V3-1K"]))
    for request in (
        lambda: fs.stat(7),
        lambda: fs.read(7, 0, 1),
        lambda: fs.putnode(7, 1),
        lambda: fs.putnode(1, 0),
        lambda: fs.putnode(1, 2),
        lambda: fs.lookup(7, 0, b"a", SUPER_USER, follow=True),
    ):
        with pytest.raises(InvalidArgument):
            request()
    fs.check()


def test_statvfs_counts_what_the_bitmaps_say(mfs_kind: MfsKind) -> None:
    """FS-06; specification: file systems, 2.7."""
    disk = fresh(mfs_kind)
    fs = Served(disk)
    superblock = superblock_of(disk)
    start = fs.statvfs()
    assert start.blocks == superblock.zones << superblock.zone_shift
    assert (start.bsize, start.frsize) == (superblock.zone_size, superblock.block_size)
    assert (start.files, start.ffree) == (256, 255)
    assert start.namemax == superblock.variant.name_max
    assert start.bfree == start.bavail == (superblock.zone_bits - 2) << superblock.zone_shift
    fs.make_file(b"a", bytes(3 * superblock.zone_size))
    used = fs.statvfs()
    assert (start.bfree - used.bfree) >> superblock.zone_shift == 3
    assert used.ffree == 254
    with fs.at(b"a") as ino:
        assert fs.stat(ino).blocks == 3 * superblock.zone_size // 512
    fs.unlink(fs.root, b"a")
    assert fs.statvfs() == start, "at once, though the bits are cleared later"
    fs.sync()
    assert fs.statvfs() == start
    fs.remount()
    assert fs.statvfs() == start


def test_the_cache_has_the_size_that_the_heuristic_says() -> None:
    """FS-05, FS-07, FS-08."""
    disk = fresh(KINDS["V3-4K"], size=64 << 20)
    fs = Served(disk, pool_pages=20_000)
    usage = run(fs.server.volume.block_usage())
    assert fs.cache.capacity == heuristic.buffers_for(*usage, 4096, 20_000 - 1)
    small = fs.cache.capacity
    fs.make_file(b"big", bytes(30 << 20))
    fs.sync()
    grown = fs.cache.capacity
    assert grown > small * 1.1
    fs.unlink(fs.root, b"big")
    fs.sync()
    assert fs.cache.capacity < grown / 1.1
    fs.check()
    fs.unmount()


def test_without_the_vm_cache_everything_works_with_more_io() -> None:
    """FS-16, VM-45."""
    reads = []
    for vm_cache in (True, False):
        disk = fresh(KINDS["V3-4K"])
        fs = Served(disk, Settings(vm_cache=vm_cache), capacity=10)
        for index in range(5):
            fs.make_file(b"%d" % index, bytes([index]) * 60_000)
        fs.drop_caches()
        for _ in range(3):
            for index in range(5):
                assert fs.contents(b"%d" % index) == bytes([index]) * 60_000
        reads.append(fs.cache.statistics.reads)
        assert (fs.pages.cached_pages > 0) == vm_cache
        fs.check()
        fs.unmount()
        verify(disk)
    assert reads[0] < reads[1]


def test_inodes_are_read_ahead() -> None:
    """The blocks of the table that follow come with the first one."""
    fs = Served(fresh(KINDS["V3-1K"]), capacity=50)
    for number in range(120):
        fs.make_file(b"%d" % number)
    superblock = fs.server.volume.superblock
    first = superblock.inode_table_block + 120 // superblock.inodes_per_block
    end = superblock.inode_table_block + 256 // superblock.inodes_per_block
    fs.remount()
    assert not fs.cache.at_hand(first)
    with fs.at(b"119"):
        assert all(fs.cache.at_hand(block) for block in range(first, end))
    fs.unmount()
