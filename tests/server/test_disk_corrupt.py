"""Bad images: an error for the file that is hit, never a crash, a loop, or a step outside the volume."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from functools import partial

import pytest

from minixfs.errors import Corrupt, MinixFsError, ReadOnly
from minixfs.fs.disk.volume import Settings
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from tests.support.volumes import DISKS, KINDS, Served, copy, fresh, is_clean

CORRUPT = r"corrupt image: .*; unmount and run minixfs fsck"
NOW_READ_ONLY = "the mount is read-only from now on"
FORMATS = ["V3-1K", "ext2-1K"]


def populated(name: str = "V3-1K") -> RamDisk:
    disk = fresh(DISKS[name])
    fs = Served(disk)
    fs.make_directory(b"d")
    fs.make_directory(b"d/e")
    fs.make_file(b"d/e/f", b"deep")
    fs.make_file(b"f", bytes(range(256)) * 1300)
    fs.symlink(fs.root, b"l", b"d/e", 0, 0)
    fs.unmount()
    return disk


def numbers(disk: RamDisk) -> dict[bytes, int]:
    fs = Served(copy(disk), read_only=True)
    found = {}
    for path in (b"d", b"d/e", b"d/e/f", b"f", b"l"):
        with fs.at(path) as ino:
            found[path] = ino
    return found


OFFSETS = {
    "mfs": {"mode": 0, "links": 2, "size": 8, "zones": 24},
    "ext2": {"mode": 0, "size": 4, "links": 26, "zones": 40},
}
"""Where fields are in a record of V3 and of ext2."""


def place(disk: RamDisk, ino: int, field: str, slot: int = 0) -> int:
    """The byte of the disk where a field of an inode begins; of the zone pointers that of number `slot`."""
    server = Served(copy(disk), read_only=True).server
    block, offset = server.inodes._codec.locate(ino)
    at: int = block * server.volume.block_size + offset + OFFSETS[server.kind][field] + 4 * slot
    return at


def patch(disk: RamDisk, ino: int, field: str, data: bytes, slot: int = 0) -> RamDisk:
    """A copy whose inode has other bytes in a field."""
    return changed(disk, place(disk, ino, field, slot), data)


def changed(disk: RamDisk, offset: int, data: bytes) -> RamDisk:
    image = bytearray(disk.snapshot())
    image[offset : offset + len(data)] = data
    return RamDisk(image)


def names(disk: RamDisk) -> list[tuple[int, int, bytes]]:
    """The entries of the root of a volume of 1K blocks: byte on the disk where each begins, inode, name."""
    server = Served(copy(disk), read_only=True).server
    block = run(server._zones.zone_at(server.inodes.open(server.root_inode), 0))
    entries = run(server.getdents(server.root_inode, 0, 100))
    starts = [0, *(entry.next for entry in entries)]
    step = 1 if server.kind == "ext2" else server._directories._entry.size
    return [(block * 1024 + at * step, entry.ino, entry.name) for at, entry in zip(starts, entries, strict=False)]


FAULTS: dict[str, tuple[bytes, str, bytes, Callable[[Served], object]]] = {
    "free inode": (b"f", "mode", b"\0\0", lambda fs: fs.find(b"f")),
    "unknown type": (b"f", "mode", b"\xff\x51", lambda fs: fs.find(b"f")),
    "no links": (b"f", "links", b"\0\0", lambda fs: fs.find(b"f")),
    "zone in the metadata": (b"f", "zones", struct.pack("<L", 3), lambda fs: fs.contents(b"f")),
    "zone past the end": (b"f", "zones", struct.pack("<L", 1 << 30), lambda fs: fs.contents(b"f")),
    "hole in a directory": (b"d", "zones", bytes(4), lambda fs: fs.names(b"d")),
    "symlink too long": (b"l", "size", struct.pack("<L", 99999), lambda fs: fs.find(b"l/x")),
    "symlink without text": (b"l", "size", bytes(4), lambda fs: fs.find(b"l/x")),
}


@pytest.mark.logs(CORRUPT, NOW_READ_ONLY)
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_defect_is_an_error_of_one_file(fault: str, kind: str) -> None:
    """EUCLEAN, logged once, and the mount turns read-only; the rest is still served."""
    path, field, data, request = FAULTS[fault]
    disk = populated(kind)
    fs = Served(patch(disk, numbers(disk)[path], field, data), Settings(errors="remount-ro"))
    fs.make_file(b"before", b"the defect was met")
    for _ in range(2):
        with pytest.raises(Corrupt):
            request(fs)
        fs.check()
    assert fs.server.read_only
    assert fs.contents(b"before") == b"the defect was met"
    with pytest.raises(ReadOnly):
        fs.mkdir(fs.root, b"x", 0o755, 0, 0)
    fs.unmount()
    image = fs.device.snapshot()
    assert b"the defect was met" in image, "what was done before is still written"
    assert not is_clean(fs.device), "and the volume needs a checker"


@pytest.mark.logs(CORRUPT)
@pytest.mark.parametrize("kind", FORMATS)
def test_errors_continue(kind: str) -> None:
    disk = populated(kind)
    fs = Served(patch(disk, numbers(disk)[b"f"], "zones", struct.pack("<L", 3)), Settings(errors="continue"))
    with pytest.raises(Corrupt):
        fs.contents(b"f")
    fs.make_directory(b"x")
    fs.unmount()
    assert not is_clean(fs.device)


@pytest.mark.logs(CORRUPT)
@pytest.mark.parametrize("kind", FORMATS)
def test_errors_abort(kind: str) -> None:
    disk = populated(kind)
    fs = Served(patch(disk, numbers(disk)[b"f"], "zones", struct.pack("<L", 3)), Settings(errors="abort"))
    with pytest.raises(SystemExit):
        fs.contents(b"f")


@pytest.mark.logs(CORRUPT, NOW_READ_ONLY)
@pytest.mark.parametrize("kind", FORMATS)
def test_a_name_of_an_inode_that_is_not_there(kind: str) -> None:
    disk = populated(kind)
    root = next(at for at, ino, name in names(disk) if name == b"f")
    fs = Served(changed(disk, root, struct.pack("<L", 60_000)), Settings(errors="remount-ro"))
    with pytest.raises(Corrupt, match="inode number out of range"):
        fs.find(b"f")
    assert fs.contents(b"d/e/f") == b"deep"
    assert fs.getnodes(fs.getdents(fs.root, 0, 10)).count(None) == 1


@pytest.mark.logs(CORRUPT, NOW_READ_ONLY)
@pytest.mark.parametrize("kind", FORMATS)
def test_what_a_second_name_leads_to_is_not_freed(kind: str) -> None:
    """A wrong link count: the other name leads to nothing, and nothing is freed twice."""
    disk = populated(kind)
    fs = Served(disk)
    with fs.at(b"f") as ino:
        fs.link(ino, fs.root, b"g")
        number = ino
    fs.unmount()
    fs = Served(patch(disk, number, "links", b"\1\0"), Settings(errors="remount-ro"))
    fs.unlink(fs.root, b"f")
    fs.sync()
    with pytest.raises(Corrupt):
        fs.find(b"g")
    fs.check()
    fs.unmount()


@pytest.mark.parametrize("kind", FORMATS)
def test_link_counts_of_directories_that_are_too_low(kind: str) -> None:
    disk = populated(kind)
    root = Served(copy(disk)).root
    fs = Served(patch(patch(disk, root, "links", b"\1\0"), numbers(disk)[b"d"], "links", b"\1\0"))
    with fs.at(b"d/e") as e, fs.at(b"d") as d:
        fs.unlink(e, b"f")
        fs.rename(d, b"e", fs.root, b"e")
        fs.rmdir(fs.root, b"e")
        fs.rmdir(fs.root, b"d")
        assert fs.names() == [b"f", b"l"]
    fs.sync()
    fs.unmount()


@pytest.mark.logs(CORRUPT, NOW_READ_ONLY)
@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_has_a_zone_twice_is_freed_once(kind: str) -> None:
    disk = populated(kind)
    number = numbers(disk)[b"f"]
    at = place(disk, number, "zones")
    fs = Served(patch(disk, number, "zones", disk.snapshot()[at : at + 4], 1), Settings(errors="remount-ro"))
    fs.unlink(fs.root, b"f")
    fs.sync()
    assert not fs.server.volume.frees_pending
    fs.sync()
    fs.unmount()


@pytest.mark.logs(CORRUPT, NOW_READ_ONLY)
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_indirect_blocks_that_lead_in_circles_end(level: int, kind: str) -> None:
    """An indirect block full of its own number."""
    disk = populated(kind)
    slot = Served(copy(disk)).server.volume.shape.direct + level - 1
    zone = 900
    disk = patch(disk, numbers(disk)[b"f"], "zones", struct.pack("<L", zone), slot)
    fs = Served(changed(disk, zone * 1024, struct.pack("<L", zone) * 256), Settings(errors="remount-ro"))
    if kind in KINDS:
        fs.server.volume.superblock.max_size = 0x7FFFFFFF
    with fs.at(b"f") as ino:
        outcomes = []
        for request in (
            lambda: fs.stat(ino),
            lambda: fs.read(ino, 0, 400_000),
            lambda: fs.truncate(ino, 10),
            lambda: fs.unlink(fs.root, b"f"),
        ):
            try:
                outcomes.append(request())
            except MinixFsError as error:
                outcomes.append(error)
            fs.check()
        if level > 1:
            assert any(isinstance(outcome, Corrupt) for outcome in outcomes)
    if not fs.server.corrupt:
        fs.sync()  # a zone that is freed twice shows at the latest here
    fs.unmount()


@pytest.mark.logs(CORRUPT, NOW_READ_ONLY)
@pytest.mark.parametrize("kind", FORMATS)
def test_directories_that_form_a_loop(kind: str) -> None:
    disk = populated(kind)
    fs = Served(disk, Settings(errors="remount-ro"))
    d, e = fs.find(b"d"), fs.find(b"d/e")
    fs.make_directory(b"x")
    directories, inodes = fs.server._directories, fs.server.inodes
    with run(directories.entry(inodes.open(d.ino), b"..")) as up:
        directories.replace(up, inodes.open(e.ino))
    with pytest.raises(Corrupt, match="directories form a loop"):
        fs.rename(fs.root, b"x", e.ino, b"x")
    for node in (d, e):
        fs.putnode(node.ino, 1)
    fs.check()


@pytest.mark.logs(CORRUPT, NOW_READ_ONLY)
@pytest.mark.parametrize("kind", FORMATS)
def test_a_bitmap_that_calls_used_things_free(kind: str) -> None:
    """The first bits of both maps are clear: neither the inode table nor the root is handed out."""
    disk = populated(kind)
    if kind in KINDS:
        maps, table = (2, 3), 4 * 1024
    else:
        group = Served(copy(disk)).server.volume.groups.table[0]
        maps, table = (group.block_bitmap, group.inode_bitmap), group.inode_table * 1024
    for block in maps:
        disk = changed(disk, block * 1024, b"\0")
    image = disk.snapshot()
    fs = Served(disk, Settings(errors="remount-ro"))
    for index in range(10):
        try:
            fs.make_file(b"n%d" % index, b"x" * 3000)
        except (Corrupt, ReadOnly):
            break
    assert fs.server.inodes.open(fs.root).is_directory
    fs.check()
    fs.write_back()
    assert fs.device.snapshot()[table : table + 2] == image[table : table + 2]


def touch_everything(fs: Served) -> int:
    """Requests of every kind; returns how many were refused with an error of ours."""
    refused = 0

    def look(path: bytes, depth: int) -> None:
        with fs.at(path) as ino:
            status = fs.stat(ino)
            fs.read(ino, 0, 50_000)
            fs.read(ino, max(0, status.size - 5_000), 50_000)
        for name in fs.names(path)[:20] if depth < 4 else []:
            attempt(partial(look, path + b"/" + name, depth + 1))

    def attempt(request: Callable[[], object]) -> None:
        nonlocal refused
        try:
            request()
        except MinixFsError:
            refused += 1
        fs.server.gate.check()
        fs.server.inodes.check()
        fs.cache.check()
        assert fs.cache.statistics.in_use == 0

    attempt(lambda: look(b"", 0))
    attempt(lambda: fs.getnodes(fs.getdents(fs.root, 0, 100)))
    attempt(lambda: fs.make_file(b"new", b"x" * 9000))
    attempt(lambda: fs.make_directory(b"d/n"))
    attempt(lambda: fs.unlink(fs.root, b"f"))
    attempt(lambda: fs.rename(fs.root, b"d", fs.root, b"moved"))
    attempt(lambda: fs.exchange(fs.root, b"l", fs.root, b"moved"))
    attempt(lambda: fs.rmdir(fs.root, b"l"))
    attempt(fs.statvfs)
    attempt(fs.sync)
    return refused


@pytest.mark.logs(r".*")
@pytest.mark.parametrize("name", ["V3-1K", "V1", "V2-big", "V3-4K", "V3-1K-zones-of-8", "ext2-1K-groups", "ext2-4K"])
def test_random_damage(name: str, rng: random.Random) -> None:
    """Whatever is in the metadata: errors of ours, and the server stays sound."""
    damage(name, rng, 60)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.logs(r".*")
@pytest.mark.parametrize("name", DISKS)
def test_much_random_damage(name: str, rng: random.Random) -> None:
    damage(name, rng, 2000)


def damage(name: str, rng: random.Random, times: int) -> None:
    disk = populated(name)
    server = Served(copy(disk), read_only=True).server
    size, record = server.volume.block_size, server.inodes._codec.size
    table, offset = server.inodes._codec.locate(server.root_inode)
    end = min((server.volume.first_data_zone << server.volume.zone_shift) + 140, disk.size // size)
    refused = 0
    for _ in range(times):
        image = bytearray(disk.snapshot())
        for _ in range(rng.randrange(1, 30)):
            image[rng.randrange(min(2 * size, 4096), end * size)] = rng.randrange(256)
        for _ in range(rng.randrange(12)):
            image[table * size + offset + rng.randrange(20 * record)] = rng.choice([0, 1, 0xFF, 0x80])
        try:
            fs = Served(RamDisk(image), Settings(errors=rng.choice(["continue", "remount-ro"])), pool_pages=400)
        except MinixFsError:
            refused += 1
            continue
        refused += touch_everything(fs)
    assert refused
