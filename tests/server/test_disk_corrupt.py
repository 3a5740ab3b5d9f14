"""Bad images: an error for the file that is hit, never a crash, a loop, or a step outside the volume."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from minixfs.errors import Corrupt, MinixFsError, ReadOnly
from minixfs.fs.disk.volume import Settings
from minixfs.fs.mfs.superblock import Superblock
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from tests.support.volumes import KINDS, Served, copy, fresh

CORRUPT = r"corrupt image: .*; unmount and run minixfs fsck"
NOW_READ_ONLY = "the mount is read-only from now on"


def populated(name: str = "V3-1K") -> RamDisk:
    disk = fresh(KINDS[name])
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


def patch(disk: RamDisk, ino: int, offset: int, data: bytes) -> RamDisk:
    """A copy whose inode has other bytes from `offset` on."""
    image = bytearray(disk.snapshot())
    superblock = Superblock.parse(bytes(image[1024:2048]))
    at = superblock.inode_table_block * superblock.block_size + (ino - 1) * superblock.variant.inode.size + offset
    image[at : at + len(data)] = data
    return RamDisk(image)


MODE, LINKS, SIZE, ZONES = 0, 2, 8, 24

FAULTS: dict[str, tuple[bytes, int, bytes, Callable[[Served, Any], object]]] = {
    "free inode": (b"f", MODE, b"\0\0", lambda fs, ino: fs.find(b"f")),
    "unknown type": (b"f", MODE, b"\xff\x51", lambda fs, ino: fs.find(b"f")),
    "no links": (b"f", LINKS, b"\0\0", lambda fs, ino: fs.find(b"f")),
    "zone in the metadata": (b"f", ZONES, struct.pack("<L", 3), lambda fs, ino: fs.contents(b"f")),
    "zone past the end": (b"f", ZONES, struct.pack("<L", 1 << 30), lambda fs, ino: fs.contents(b"f")),
    "indirect past the end": (b"f", ZONES + 28, struct.pack("<L", 1 << 30), lambda fs, ino: fs.contents(b"f")),
    "hole in a directory": (b"d", ZONES, bytes(4), lambda fs, ino: fs.names(b"d")),
    "symlink too long": (b"l", SIZE, struct.pack("<L", 99999), lambda fs, ino: fs.find(b"l/x")),
    "symlink without text": (b"l", SIZE, bytes(4), lambda fs, ino: fs.find(b"l/x")),
}


@pytest.mark.logs(CORRUPT, NOW_READ_ONLY)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_defect_is_an_error_of_one_file(fault: str) -> None:
    """EUCLEAN, logged once, and the mount turns read-only; the rest is still served."""
    path, offset, data, request = FAULTS[fault]
    disk = populated()
    fs = Served(patch(disk, numbers(disk)[path], offset, data))
    fs.make_file(b"before", b"the defect was met")
    for _ in range(2):
        with pytest.raises(Corrupt):
            request(fs, None)
        fs.check()
    assert fs.server.read_only
    assert fs.contents(b"before") == b"the defect was met"
    with pytest.raises(ReadOnly):
        fs.mkdir(fs.root, b"x", 0o755, 0, 0)
    fs.unmount()
    image = fs.device.snapshot()
    assert b"the defect was met" in image, "what was done before is still written"
    assert not Superblock.parse(image[1024:2048]).clean, "and the volume needs a checker"


@pytest.mark.logs(CORRUPT)
def test_errors_continue() -> None:
    disk = populated()
    fs = Served(patch(disk, numbers(disk)[b"f"], ZONES, struct.pack("<L", 3)), Settings(errors="continue"))
    with pytest.raises(Corrupt):
        fs.contents(b"f")
    fs.make_directory(b"x")
    fs.unmount()
    assert not Superblock.parse(fs.device.snapshot()[1024:2048]).clean


@pytest.mark.logs(CORRUPT)
def test_errors_abort() -> None:
    disk = populated()
    fs = Served(patch(disk, numbers(disk)[b"f"], ZONES, struct.pack("<L", 3)), Settings(errors="abort"))
    with pytest.raises(SystemExit):
        fs.contents(b"f")


@pytest.mark.logs(CORRUPT, NOW_READ_ONLY)
def test_a_name_of_an_inode_that_is_not_there() -> None:
    disk = populated()
    image = bytearray(disk.snapshot())
    superblock = Superblock.parse(bytes(image[1024:2048]))
    root = superblock.first_data_zone * 1024
    entry = image.index(struct.pack("<L", numbers(disk)[b"f"]) + b"f\0", root)
    image[entry : entry + 4] = struct.pack("<L", 60_000)
    fs = Served(RamDisk(image))
    with pytest.raises(Corrupt, match="inode number out of range"):
        fs.find(b"f")
    assert fs.contents(b"d/e/f") == b"deep"
    assert fs.getnodes(fs.getdents(fs.root, 0, 10)).count(None) == 1


@pytest.mark.logs(CORRUPT, NOW_READ_ONLY)
def test_what_a_second_name_leads_to_is_not_freed() -> None:
    """A wrong link count: the other name leads to nothing, and nothing is freed twice."""
    disk = populated()
    fs = Served(disk)
    with fs.at(b"f") as ino:
        fs.link(ino, fs.root, b"g")
        number = ino
    fs.unmount()
    fs = Served(patch(disk, number, LINKS, b"\1\0"))
    fs.unlink(fs.root, b"f")
    fs.sync()
    with pytest.raises(Corrupt):
        fs.find(b"g")
    fs.check()
    fs.unmount()


def test_link_counts_of_directories_that_are_too_low() -> None:
    disk = populated()
    fs = Served(patch(patch(disk, 1, LINKS, b"\1\0"), numbers(disk)[b"d"], LINKS, b"\1\0"))
    with fs.at(b"d/e") as e, fs.at(b"d") as d:
        fs.unlink(e, b"f")
        fs.rename(d, b"e", fs.root, b"e")
        fs.rmdir(fs.root, b"e")
        fs.rmdir(fs.root, b"d")
        assert fs.names() == [b"f", b"l"]
    fs.sync()
    fs.unmount()


@pytest.mark.logs(CORRUPT, NOW_READ_ONLY)
def test_a_file_that_has_a_zone_twice_is_freed_once() -> None:
    disk = populated()
    number = numbers(disk)[b"f"]
    image = disk.snapshot()
    superblock = Superblock.parse(image[1024:2048])
    at = superblock.inode_table_block * 1024 + (number - 1) * 64 + ZONES
    fs = Served(patch(disk, number, ZONES + 4, image[at : at + 4]))
    fs.unlink(fs.root, b"f")
    fs.sync()
    assert not fs.server.volume.zone_map.pending
    fs.sync()
    fs.unmount()


@pytest.mark.logs(CORRUPT, NOW_READ_ONLY)
@pytest.mark.parametrize("slot", [7, 8, 9])
def test_indirect_blocks_that_lead_in_circles_end(slot: int) -> None:
    """An indirect block full of its own number."""
    disk = populated()
    number = numbers(disk)[b"f"]
    zone = 900
    image = bytearray(patch(disk, number, ZONES + 4 * slot, struct.pack("<L", zone)).snapshot())
    image[zone * 1024 : zone * 1024 + 1024] = struct.pack("<L", zone) * 256
    fs = Served(RamDisk(image))
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
        if slot != 7:
            assert any(isinstance(outcome, Corrupt) for outcome in outcomes)
    if not fs.server.corrupt:
        fs.sync()  # a zone that is freed twice shows at the latest here
    fs.unmount()


@pytest.mark.logs(CORRUPT, NOW_READ_ONLY)
def test_directories_that_form_a_loop() -> None:
    disk = populated()
    fs = Served(disk)
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
def test_a_bitmap_that_calls_used_things_free() -> None:
    """Bits 0 and 1 of both maps clear: neither the inode table nor the root is handed out."""
    disk = populated()
    image = bytearray(disk.snapshot())
    image[2 * 1024] = image[3 * 1024] = 0
    fs = Served(RamDisk(image))
    for index in range(10):
        try:
            fs.make_file(b"n%d" % index, b"x" * 3000)
        except (Corrupt, ReadOnly):
            break
    assert fs.server.inodes.open(1).is_directory
    fs.check()
    table = 4 * 1024
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
@pytest.mark.parametrize("name", ["V3-1K", "V1", "V2-big", "V3-4K", "V3-1K-zones-of-8"])
def test_random_damage(name: str, rng: random.Random) -> None:
    """Whatever is in the metadata: errors of ours, and the server stays sound."""
    damage(name, rng, 60)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.logs(r".*")
@pytest.mark.parametrize("name", KINDS)
def test_much_random_damage(name: str, rng: random.Random) -> None:
    damage(name, rng, 2000)


def damage(name: str, rng: random.Random, times: int) -> None:
    disk = populated(name)
    superblock = Superblock.parse(disk.snapshot()[1024:2048])
    end = (superblock.first_data_zone << superblock.zone_shift) + 40
    refused = 0
    for _ in range(times):
        image = bytearray(disk.snapshot())
        for _ in range(rng.randrange(1, 30)):
            image[rng.randrange(2 * superblock.block_size, end * superblock.block_size)] = rng.randrange(256)
        table = superblock.inode_table_block * superblock.block_size
        for _ in range(rng.randrange(12)):
            image[table + rng.randrange(8 * superblock.variant.inode.size)] = rng.choice([0, 1, 0xFF, 0x80])
        try:
            fs = Served(RamDisk(image), Settings(errors=rng.choice(["continue", "remount-ro"])), pool_pages=400)
        except MinixFsError:
            refused += 1
            continue
        refused += touch_everything(fs)
    assert refused
