"""File data: reading, writing, holes, truncation, peeking, limits (specification: file systems, 2.4, 2.5, 5)."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

import pytest

from minixfs.errors import FileTooBig, InvalidArgument, IsDirectory, NoSpace
from minixfs.fs.disk.volume import Settings
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from tests.support.volumes import DEV, DISKS, KINDS, Kind, Served, fresh, verify


@pytest.fixture
def disk(kind: Kind) -> RamDisk:
    return fresh(kind)


@pytest.fixture
def fs(disk: RamDisk) -> Iterator[Served]:
    """A server on every kind of volume; at the end the volume is clean."""
    served = Served(disk)
    yield served
    served.check()
    served.unmount()
    verify(disk)


def make(fs: Served, name: bytes, data: bytes = b"", position: int = 0) -> int:
    """A file, whose reference the caller keeps."""
    fs.make_file(name, data, position=position)
    ino: int = fs.find(name).ino
    return ino


def blocks_of(fs: Served, ino: int) -> int:
    """Zones that the file has."""
    zones: int = fs.stat(ino).blocks * 512 // fs.server.volume.zone_size
    return zones


# ---- reading and writing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["V3-4K-direct", "V3-2K-zones-of-2-direct", "ext2-4K-direct"])
def test_a_new_zone_that_is_filled_in_part_goes_to_the_device_at_once(name: str) -> None:
    """With zeroes around, whatever was there before, and without a buffer in the cache."""
    disk = fresh(DISKS[name])
    fs = Served(disk)
    zone = fs.server.volume.zone_size
    old = make(fs, b"old", b"\xee" * (20 * zone))
    fs.unlink(fs.root, b"old")
    fs.putnode(old, 1)
    fs.sync()
    ino = make(fs, b"f", b"mark" * 25, position=10)
    before = fs.cache.statistics
    expected = bytes(10) + b"mark" * 25
    assert fs.read(ino, 0, zone) == expected
    image = disk.snapshot()
    at = image.index(b"mark" * 25) - 10
    assert at % zone == 0
    assert image[at : at + zone] == expected.ljust(zone, b"\0")
    assert fs.cache.statistics.buffers == before.buffers
    fs.write(ino, 2 * zone - 3, b"behind a hole")
    assert fs.read(ino, 0, 3 * zone) == expected.ljust(2 * zone - 3, b"\0") + b"behind a hole"
    fs.putnode(ino, 1)
    fs.unmount()
    verify(disk)


def test_zones_are_found_again_after_they_were_cut_off(fs: Served, rng: random.Random) -> None:
    """What is remembered of indirect blocks goes with them."""
    ino = make(fs, b"f")
    volume = fs.server.volume
    per_leaf, direct, zone = volume.shape.pointers_per_block, volume.shape.direct, volume.zone_size
    places = [index * zone for index in (direct, direct + per_leaf - 1, direct + per_leaf, direct + per_leaf + 3)]
    places = [place for place in places if place + zone <= volume.shape.max_file_size]
    for _ in range(3):
        data = {place: rng.randbytes(100) for place in places}
        for place, part in data.items():
            fs.write(ino, place, part)
        assert all(fs.read(ino, place, 100) == part for place, part in data.items())
        fs.truncate(ino, places[-1] if rng.random() < 0.5 else 0)
        fs.sync()
    fs.putnode(ino, 1)


def test_random_pieces(fs: Served, rng: random.Random) -> None:
    """FS-12: whatever is written in pieces of any size is read back, cached or not."""
    ino = make(fs, b"f")
    zone = fs.server.volume.zone_size
    size = min(9 * zone, 300_000)
    expected = bytearray(size)
    fs.write(ino, 0, bytes(size))
    for step in range(60):
        start = rng.choice([rng.randrange(size), rng.randrange(size) // 1024 * 1024])
        data = rng.randbytes(rng.choice([1, 100, 1024, 4096, 20_000]))[: size - start]
        assert fs.write(ino, start, data) == len(data)
        expected[start : start + len(data)] = data
        start, length = rng.randrange(size), rng.randrange(1, 30_000)
        assert fs.read(ino, start, length) == expected[start : start + length]
        if step % 20 == 7:
            fs.drop_caches()
    fs.putnode(ino, 1)
    fs.remount()
    assert fs.contents(b"f") == expected


def test_reading_stops_at_the_end(fs: Served) -> None:
    ino = make(fs, b"f", b"12345")
    assert fs.read(ino, 3, 100) == b"45"
    assert fs.read(ino, 5, 100) == fs.read(ino, 1 << 40, 1) == fs.read(ino, 0, 0) == b""
    assert fs.write(ino, 5, b"") == 0
    fs.putnode(ino, 1)


def test_a_hole_reads_as_zeroes_and_costs_nothing(fs: Served) -> None:
    """FS-09, FS-10, VM-67: no device I/O, no buffer, no zone."""
    zone = fs.server.volume.zone_size
    end = 20 * zone
    ino = make(fs, b"f", b"end", position=end)
    fs.drop_caches()
    fs.read(ino, end, 3)
    free, before = fs.statvfs(), fs.cache.statistics
    assert fs.read(ino, zone, 10 * zone) == bytes(10 * zone)
    after = fs.cache.statistics
    assert (after.reads, after.buffers, fs.statvfs().bfree) == (before.reads, before.buffers, free.bfree)
    assert blocks_of(fs, ino) <= 2
    fs.putnode(ino, 1)


def test_many_files_in_one_request(fs: Served, rng: random.Random) -> None:
    """Whatever lies between them, cached or not, with holes or without: each comes whole."""
    expected = []
    for number in range(12):
        data = rng.randbytes(rng.choice([0, 1, 700, 5000, 20_000]))
        fs.make_file(b"f%d" % number, data, position=(number % 3) * 3000 if data else 0)
        expected.append(bytes((number % 3) * 3000) + data if data else b"")
    inos = [fs.getnodes([entry])[0][0].ino for entry in fs.entries() if entry.name[:1] == b"f"]
    for ino in inos:
        fs.putnode(ino, 1)
    assert list(map(bytes, fs.read_files(inos))) == expected
    fs.drop_caches()
    assert list(map(bytes, fs.read_files(inos[::-1]))) == expected[::-1]
    with pytest.raises(InvalidArgument):
        fs.read_files([inos[0], fs.root])


def test_runs_leave_out_holes(fs: Served) -> None:
    zone = fs.server.volume.zone_size
    ino = make(fs, b"f", b"a" * (zone + 10), position=2 * zone)
    fs.write(ino, 6 * zone + 5, b"c" * (2 * zone))
    fs.truncate(ino, 12 * zone)
    assert fs.data_runs(ino, 0, 1 << 31) == [(2 * zone, 2 * zone), (6 * zone, 3 * zone)]
    assert fs.data_runs(ino, 3 * zone + 9, 3 * zone) == [(3 * zone + 9, zone - 9), (6 * zone, 9)]
    assert fs.data_runs(ino, 9 * zone, 3 * zone) == fs.data_runs(ino, 12 * zone, 1) == []
    fs.write(ino, 12 * zone, b"end")
    assert fs.data_runs(ino, 12 * zone, zone) == [(12 * zone, 3)]
    with pytest.raises(InvalidArgument):
        fs.data_runs(fs.root, 0, 1)
    fs.putnode(ino, 1)


def test_writing_into_a_hole_leaves_zeroes_around(fs: Served) -> None:
    zone = fs.server.volume.zone_size
    ino = make(fs, b"f", b"end", position=10 * zone)
    fs.write(ino, 3 * zone + 17, b"middle")
    fs.drop_caches()
    expected = bytearray(10 * zone) + b"end"
    expected[3 * zone + 17 : 3 * zone + 23] = b"middle"
    assert fs.read(ino, 0, 1 << 30) == expected
    assert blocks_of(fs, ino) <= 3
    fs.putnode(ino, 1)


def test_old_contents_of_the_disk_never_show(disk: RamDisk, fs: Served) -> None:
    """Freed zones are reused by files that write only a part of them."""
    zone = fs.server.volume.zone_size
    fs.make_file(b"secret", b"\xee" * min(30 * zone, 1 << 20))
    fs.unlink(fs.root, b"secret")
    fs.sync()
    ino = make(fs, b"f")
    fs.write(ino, 10, b"x")
    fs.write(ino, 2 * zone + zone // 2, b"y")
    fs.truncate(ino, 3 * zone + 5)
    fs.write(ino, 5 * zone - 1, b"z")
    expected = bytearray(5 * zone)
    expected[10], expected[2 * zone + zone // 2], expected[5 * zone - 1] = b"xyz"
    assert fs.read(ino, 0, 1 << 30) == expected
    fs.drop_caches()
    assert fs.read(ino, 0, 1 << 30) == expected
    fs.putnode(ino, 1)


def test_what_lies_behind_the_end_never_shows(fs: Served) -> None:
    """A shrunk file that grows again, by truncation or by a write further on."""
    zone = fs.server.volume.zone_size
    ino = make(fs, b"f", b"\xee" * (2 * zone))
    fs.truncate(ino, zone + 10)
    fs.truncate(ino, 2 * zone)
    assert fs.read(ino, 0, 1 << 30) == b"\xee" * (zone + 10) + bytes(zone - 10)
    fs.write(ino, 0, b"\xee" * (2 * zone))
    fs.truncate(ino, 100)
    fs.write(ino, zone + 5, b"x")
    assert fs.read(ino, 0, 1 << 30) == b"\xee" * 100 + bytes(zone - 95) + b"x"
    fs.putnode(ino, 1)


def test_truncation_frees(fs: Served) -> None:
    zone = fs.server.volume.zone_size
    free = fs.statvfs().bfree
    ino = make(fs, b"f", bytes(min(12 * zone, 1 << 20)))
    fs.truncate(ino, 1)
    assert blocks_of(fs, ino) == 1
    fs.truncate(ino, 0)
    assert blocks_of(fs, ino) == 0
    assert fs.statvfs().bfree == free
    fs.truncate(ino, 100 * zone)
    assert fs.statvfs().bfree == free
    assert fs.stat(ino).size == 100 * zone
    fs.putnode(ino, 1)


def test_free_range(fs: Served) -> None:
    zone = fs.server.volume.zone_size
    many = 12 if zone < 20_000 else 4
    data = bytes(range(1, 251)) * (many * zone // 250 + 1)
    ino = make(fs, b"f", data[: many * zone - 7])
    size = many * zone - 7
    for start, end, freed in (
        (10, 20, 0),
        (zone - 1, zone + 1, 0),
        (zone, 2 * zone, 1),
        (2 * zone - 5, 3 * zone + 5, 1),
        ((many - 1) * zone, size, 1),
        (size - zone, size + 100, 0),
    ):
        expected = bytearray(fs.read(ino, 0, 1 << 30))
        before = blocks_of(fs, ino)
        fs.free_range(ino, start, end)
        expected[start : min(end, size)] = bytes(min(end, size) - start)
        assert fs.read(ino, 0, 1 << 30) == expected
        assert before - blocks_of(fs, ino) == freed
        assert fs.stat(ino).size == size
    for start, end in ((5, 5), (6, 5), (size, size + 10)):
        with pytest.raises(InvalidArgument):
            fs.free_range(ino, start, end)
    with pytest.raises(InvalidArgument):
        fs.free_range(fs.root, 0, 10)
    fs.putnode(ino, 1)


def test_an_empty_range_at_a_border_of_indirect_zones(fs: Served) -> None:
    zone = fs.server.volume.zone_size
    ino = make(fs, b"f", b"x" * (9 * zone if zone < 20_000 else zone))
    for border in range(1, 9):
        if border * zone + 9 < fs.stat(ino).size:
            fs.free_range(ino, border * zone - 9, border * zone + 9)
    fs.putnode(ino, 1)


def test_what_has_no_data(fs: Served) -> None:
    fs.mknod(fs.root, b"dev", 0o060600, 0, 0, 0x0300)
    with fs.at(b"dev") as ino:
        for request in (
            lambda: fs.read(ino, 0, 1),
            lambda: fs.write(ino, 0, b"x"),
            lambda: fs.truncate(ino, 0),
            lambda: fs.free_range(ino, 0, 1),
        ):
            with pytest.raises(InvalidArgument):
                request()
        assert fs.stat(ino).rdev == 0x0300
    with pytest.raises(IsDirectory):
        fs.truncate(fs.root, 0)
    with pytest.raises(InvalidArgument):
        fs.write(fs.root, 0, b"x")
    assert len(fs.read(fs.root, 0, 100_000)) == fs.stat(fs.root).size


# ---- limits --------------------------------------------------------------------------------------------------------


def test_the_size_limit(fs: Served) -> None:
    """EFBIG with nothing written."""
    limit = fs.server.volume.shape.max_file_size
    ino = make(fs, b"f", b"abc")
    free = fs.statvfs().bfree
    for request in (
        lambda: fs.write(ino, limit - 1, b"xy"),
        lambda: fs.write(ino, limit, b"x"),
        lambda: fs.truncate(ino, limit + 1),
    ):
        with pytest.raises(FileTooBig):
            request()
    assert (fs.stat(ino).size, fs.statvfs().bfree) == (3, free)
    assert fs.write(ino, limit - 1, b"x") == 1
    assert fs.stat(ino).size == limit
    assert fs.read(ino, limit - 2, 10) == b"\0x"
    fs.truncate(ino, 0)
    fs.truncate(ino, limit)
    fs.putnode(ino, 1)


def test_a_full_disk(fs: Served) -> None:
    """A short write first, then ENOSPC; what was written stays."""
    zone = fs.server.volume.zone_size
    free = fs.statvfs().bfree * fs.server.volume.block_size
    ino = make(fs, b"f")
    written = 0
    piece = bytes(range(251)) * (max(zone, 200_000) // 251)
    while True:
        count = fs.write(ino, written, piece)
        written += count
        if count < len(piece):
            break
    with pytest.raises(NoSpace):
        fs.write(ino, written + zone, piece)
    fs.check()
    assert fs.stat(ino).size == written > free * 0.9
    assert fs.statvfs().bfree * fs.server.volume.block_size // zone <= 2
    while fs.statvfs().bfree:
        fs.mkdir(fs.root, b"%d" % fs.statvfs().bfree, 0o755, 0, 0)
    for request in (
        lambda: fs.mkdir(fs.root, b"d", 0o755, 0, 0),
        lambda: fs.symlink(fs.root, b"l", b"text" * 20, 0, 0),
    ):
        with pytest.raises(NoSpace):
            request()
        fs.check()
    reader = bytes(fs.read(ino, 0, written))
    assert reader == (piece * (written // len(piece) + 1))[:written]
    fs.putnode(ino, 1)
    fs.drop_caches()
    assert fs.contents(b"f") == reader


def test_space_that_was_just_freed_can_be_used_at_once(fs: Served) -> None:
    """Frees wait for a commit, but nobody waits for the frees."""
    room = fs.statvfs().bfree * fs.server.volume.block_size
    data = bytes(int(room * 0.9))
    for name in (b"a", b"b", b"c"):
        fs.make_file(name, data)
        fs.unlink(fs.root, name)
    for index in range(3):
        for number in range(200):
            fs.make_file(b"%d-%d" % (index, number))
        for number in range(200):
            fs.unlink(fs.root, b"%d-%d" % (index, number))


# ---- zones far out -------------------------------------------------------------------------------------------------

LEVELS = ["V1", "V2-big", "V3-1K", "V3-1K-direct", "V3-1K-zones-of-8", "ext2-1K", "ext2-1K-direct", "ext2-2K"]


@pytest.mark.parametrize("name", LEVELS)
def test_double_indirect_zones(name: str) -> None:
    disk = fresh(DISKS[name])
    fs = Served(disk)
    shape = fs.server.volume.shape
    zone, direct, per_block = shape.zone_size, shape.direct, shape.pointers_per_block
    places = [0, direct, direct + per_block - 1, direct + per_block, direct + 3 * per_block]
    places.append(min(shape.max_file_size // zone, direct + per_block + per_block**2) - 1)
    ino = make(fs, b"f")
    for place in places:
        fs.write(ino, place * zone, b"%d" % place)
    fs.drop_caches()
    for place in places:
        assert fs.read(ino, place * zone, len(b"%d" % place)) == b"%d" % place
    second_level = {(place - direct - per_block) // per_block for place in places[3:]}
    assert blocks_of(fs, ino) == len(places) + 1 + 1 + len(second_level)
    fs.unlink(fs.root, b"f")
    fs.putnode(ino, 1)
    fs.unmount()
    verify(disk, peer=DISKS[name].for_fsck_minix)


@pytest.mark.parametrize("name", ["V2", "V3-1K", "V3-1K-direct", "ext2-1K", "ext2-1K-direct"])
def test_triple_indirect_zones_where_the_volume_allows_them(name: str) -> None:
    """Specification: file systems, 1.7: Linux volumes of MINIX store a larger size limit."""
    disk = fresh(DISKS[name])
    if name in KINDS:
        image = bytearray(disk.snapshot())
        offset = 1024 + (16 if name.startswith("V3") else 12)
        image[offset : offset + 4] = struct.pack("<L", 0x7FFFFFFF)
        disk = RamDisk(image)
    fs = Served(disk)
    shape = fs.server.volume.shape
    ino = make(fs, b"f", b"start")
    triple = (shape.direct + 256 + 256 * 256) * 1024
    for place in (triple - 3, triple + 70_000_000, shape.max_file_size - 5):
        fs.write(ino, place, b"hello")
    fs.drop_caches()
    for place in (triple - 3, triple + 70_000_000, shape.max_file_size - 5):
        assert fs.read(ino, place, 5) == b"hello"
    used = blocks_of(fs, ino)
    fs.free_range(ino, triple, shape.max_file_size)
    assert blocks_of(fs, ino) < used
    assert fs.read(ino, triple - 3, 5) == b"hel\0\0"
    fs.putnode(ino, 1)
    fs.unmount()
    verify(disk, peer=name == "V2")
    fs = Served(disk)
    fs.unlink(fs.root, b"f")
    fs.unmount()
    verify(disk)


def test_volumes_of_minix_have_no_triple_indirect_zones() -> None:
    fs = Served(fresh(KINDS["V3-1K"]))
    fs.server.volume.superblock.max_size = 0x7FFFFFFF  # a limit that the pointers do not reach
    ino = make(fs, b"f")
    with pytest.raises(FileTooBig):
        fs.write(ino, (7 + 256 + 256 * 256) * 1024, b"x")
    assert fs.stat(ino).size == 0
    fs.check()


# ---- the page cache ------------------------------------------------------------------------------------------------

PAGED = ["V3-4K", "V3-4K-direct", "V3-4K-zones-of-4", "V3-8K", "V3-32K", "ext2-4K", "ext2-4K-direct", "ext2-64K"]


@pytest.mark.parametrize("name", PAGED)
def test_peek_brings_exactly_its_pages(name: str) -> None:
    """FS-17, FS-20, FS-26, VM-25, VM-32: annotated, nothing else, no stamp; on a read-only mount too."""
    disk = fresh(DISKS[name])
    fs = Served(disk)
    size = fs.server.volume.block_size
    fs.make_file(b"f", b"\x11" * (6 * size))
    fs.remount(read_only=True)
    ino = fs.find(b"f").ino
    before = fs.stat(ino)
    fs.peek(ino, 2 * size + 100, size)
    found = [page for page in range(6 * size // 4096) if fs.pages.find_file_page((DEV, ino, page * 4096)) is not None]
    assert found == list(range(2 * size // 4096, 4 * size // 4096))
    frame = fs.pages.find_file_page((DEV, ino, 2 * size))
    assert frame is not None
    assert bytes(fs.pages.pool.view(frame, 4)) == b"\x11" * 4
    assert fs.stat(ino) == before
    fs.check()
    fs.putnode(ino, 1)
    fs.unmount()


@pytest.mark.parametrize("name", PAGED)
def test_metadata_has_no_place_in_a_file(name: str) -> None:
    """FS-17."""
    fs = Served(fresh(DISKS[name]))
    size = fs.server.volume.block_size
    ino = make(fs, b"f", bytes(9 * size))
    fs.peek(ino, 0, 9 * size)
    fs.drop_caches()
    fs.peek(ino, 0, 9 * size)
    fs.stat(ino)
    known = {block.key[1] // size: block.file for block in fs.pages._blocks.values()}
    data = {extent.zone + step << fs.server.volume.zone_shift
            for extent in run(fs.server._zones.extents(fs.server.inodes.open(ino), 0, 9)) if extent.zone
            for step in range(extent.count)}  # fmt: skip
    shift = fs.server.volume.zone_shift
    for block, file in known.items():
        if file is not None and file[1] == ino:
            assert block >> shift << shift in data
    first_data = fs.server.volume.first_data_zone << shift
    assert all(file is None for block, file in known.items() if block < first_data)


@pytest.mark.parametrize("name", PAGED)
def test_peek_of_holes_and_past_the_end_allocates_nothing(name: str) -> None:
    """FS-21, defect D-01, VM-13."""
    fs = Served(fresh(DISKS[name]))
    size = fs.server.volume.block_size
    ino = make(fs, b"f", b"x", position=20 * size)
    fs.sync()
    free, writes = fs.statvfs().bfree, fs.cache.statistics.writes
    fs.peek(ino, 0, 15 * size)
    fs.peek(ino, 30 * size, size)
    fs.peek(ino, 21 * size, 1)
    assert fs.pages.find_file_page((DEV, ino, 0)) is None
    assert fs.statvfs().bfree == free
    assert not fs.cache.dirty
    assert fs.cache.statistics.writes == writes


@pytest.mark.parametrize("name", PAGED)
def test_pages_of_freed_blocks_are_not_found_any_more(name: str) -> None:
    """FS-19, VM-33: after truncate, unlink, a hole, and reuse by another file."""
    fs = Served(fresh(DISKS[name]))
    zone = fs.server.volume.zone_size
    ino = make(fs, b"f", b"\x11" * (3 * zone))
    fs.peek(ino, 0, 3 * zone)
    fs.truncate(ino, 2 * zone)
    assert fs.pages.find_file_page((DEV, ino, 2 * zone)) is None
    fs.free_range(ino, 0, zone)
    assert fs.pages.find_file_page((DEV, ino, 0)) is None
    assert fs.pages.find_file_page((DEV, ino, zone)) is not None
    fs.unlink(fs.root, b"f")
    fs.putnode(ino, 1)
    assert fs.pages.find_file_page((DEV, ino, zone)) is None
    fs.sync()
    other = make(fs, b"g", b"\x22" * (3 * zone))
    fs.peek(other, 0, 3 * zone)
    for page in range(3 * zone // 4096):
        frame = fs.pages.find_file_page((DEV, other, page * 4096))
        assert frame is not None
        assert fs.pages.pool.view(frame, 1)[0] == 0x22


@pytest.mark.parametrize("name", PAGED)
def test_a_write_changes_the_page_that_is_mapped(name: str) -> None:
    """VM-04, VM-89: in place, never another frame; read and page agree after every write."""
    fs = Served(fresh(DISKS[name]))
    size = fs.server.volume.block_size
    ino = make(fs, b"f", b"\x11" * (4 * size))
    fs.peek(ino, 0, 4 * size)
    frames = [fs.pages.find_file_page((DEV, ino, page * 4096)) for page in range(4 * size // 4096)]
    assert None not in frames
    for position, data in ((0, b"\x22" * (4 * size)), (100, b"\x33" * 50), (size - 1, b"\x44" * (size + 2))):
        fs.write(ino, position, data)
        now = bytes(fs.read(ino, 0, 4 * size))
        assert now[position : position + len(data)] == data
        assert b"".join(bytes(fs.pages.pool.view(frame or 0, 4096)) for frame in frames) == now
        assert [fs.pages.find_file_page((DEV, ino, page * 4096)) for page in range(4 * size // 4096)] == frames


@pytest.mark.parametrize("name", PAGED)
def test_the_second_level_saves_device_reads(name: str) -> None:
    """FS-15."""
    fs = Served(fresh(DISKS[name]))
    size = fs.server.volume.block_size
    ino = make(fs, b"f", b"\x11" * (6 * size))
    fs.sync()
    fs.peek(ino, 0, 6 * size)
    fs.cache.invalidate()
    reads = fs.cache.statistics.reads
    assert fs.read(ino, 0, 6 * size) == b"\x11" * (6 * size)
    assert fs.cache.statistics.reads == reads


# ---- the device ----------------------------------------------------------------------------------------------------


def test_bread_sees_the_device_and_bpeek_caches_it(disk: RamDisk, fs: Served) -> None:
    """FS-23."""
    fs.make_file(b"f", b"needle" * 2000)
    fs.sync()
    size = fs.server.volume.block_size
    image = disk.snapshot()
    assert fs.bread(1024, 3000) == image[1024:4024]
    fs.drop_caches()
    fs.bpeek(size + 5, 2 * size)
    reads = fs.cache.statistics.reads
    assert fs.bread(size, 3 * size) == image[size : 4 * size]
    assert fs.cache.statistics.reads == reads
    end = len(image) // size * size
    assert fs.bread(end - 10, 100) == image[end - 10 : end]
    assert fs.bread(end, 100) == b""
    fs.bpeek(end - 10, 100)


def test_bread_of_the_superblock_is_never_stale(fs: Served, disk: RamDisk) -> None:
    before = fs.bread(1024, 1024)
    fs.make_file(b"f")
    assert fs.bread(1024, 1024) == disk.snapshot()[1024:2048] != before


@pytest.mark.parametrize("name", ["V3-1K", "V3-4K", "ext2-1K"])
def test_read_ahead(name: str) -> None:
    """Specification: file systems, 2.4: one device request brings what will be read next."""
    fs = Served(fresh(DISKS[name]), Settings(vm_cache=False))
    size = fs.server.volume.block_size
    ino = make(fs, b"f", bytes(7 * size))
    fs.drop_caches()
    fs.cache.resize(60)
    reads = fs.cache.statistics.reads
    for block in range(7):
        fs.read(ino, block * size, size)
    assert fs.cache.statistics.reads == reads + 1
    fs.drop_caches()
    fs.inhibit_readahead(ino)
    blocks = fs.cache.statistics.blocks_read
    fs.read(ino, 0, size)
    assert fs.cache.statistics.blocks_read == blocks + 1, "not after a seek"
    fs.read(ino, size, size)
    assert fs.cache.statistics.blocks_read == blocks + 7, "but after the read that follows it"
