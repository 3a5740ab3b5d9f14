"""Whole disks: which sectors belong to whom, and tables that everybody reads the same way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from minixfs.errors import InvalidArgument, UsageError
from minixfs.hw.blockdev.open import root_of
from minixfs.hw.blockdev.partition import SECTOR, scan
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.blockdev.table import Slot, sector
from minixfs.hw.runtime import run
from minixfs.mkfs.disk import Disk, clear, plan, write_tables
from tests.support.peers import require

MIB = 1 << 20


def tables_of(disk: Disk) -> RamDisk:
    device = RamDisk(disk.size)
    run(clear(device, disk))
    run(write_tables(device, disk))
    return device


def layout_of(disk: Disk) -> dict[str, tuple[int, int, bool]]:
    """What a reader of the tables finds: first sector, sectors, active."""
    return {p.name: (p.start // SECTOR, p.size // SECTOR, p.active) for p in run(scan(tables_of(disk)))}


def test_the_installed_layout() -> None:
    disk = plan("installed", 70 * MIB, {})
    rest = 70 * 2048 - 2080 - 131072
    home = rest // 5 // 8 * 8
    assert layout_of(disk) == {
        "p0": (2048, 32 + 131072 + rest, True),
        "p0s0": (2080, 131072, True),
        "p0s1": (2080 + 131072, home, False),
        "p0s2": (2080 + 131072 + home, rest - home, False),
    }
    assert disk.size == 70 * MIB


def test_the_release_layout() -> None:
    disk = plan("release", None, {"root": 5 * MIB, "usr": 3 * MIB + 1})
    assert layout_of(disk) == {
        "p0": (1, 1 + 10240 + 6145, True),
        "p0s0": (2, 10240, True),
        "p0s2": (10242, 6145, False),
    }
    assert disk.size == 9 * MIB  # the next multiple of 64 * 32 sectors


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({"root": 8 * MIB, "home": 4 * MIB}, [16384, 8192, 38880]),
        ({"root": 8 * MIB, "usr": 4 * MIB}, [16384, 38880, 8192]),
        ({"root": 8 * MIB, "home": 0}, [16384, 0, 47072]),
        ({"root": 8 * MIB, "home": 2 * MIB, "usr": 1 * MIB}, [16384, 4096, 2048]),
        ({"root": 8 * MIB, "home": 0, "usr": 0}, [16384, 0, 0]),
    ],
)
def test_a_part_without_a_size_gets_the_rest(wishes: dict[str, int], expected: list[int]) -> None:
    disk = plan("installed", 32 * MIB, wishes)
    assert [slot.count for slot in disk.parts.values()] == expected
    first = 2080
    for slot in disk.parts.values():
        assert slot.first == (first if slot.count else 0)
        first += slot.count
    assert disk.primary == Slot(2048, first - 2048, active=True)


@pytest.mark.parametrize(
    ("layout", "size", "wishes", "complaint"),
    [
        ("installed", 64 * MIB, {}, "the parts need 65536 KiB, the disk has 64496 KiB"),
        ("installed", 1, {}, "the disk has"),
        ("installed", None, {"home": MIB}, "give the size of the disk"),
        ("installed", 64 * MIB, {"root": 0}, "needs a root"),
        ("installed", 3 << 40, {}, "2 TiB"),
        ("release", 128 * MIB, {"home": MIB}, "has no /home"),
    ],
)
def test_what_cannot_be(layout: str, size: int | None, wishes: dict[str, int], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        plan(layout, size, wishes)
    assert caught.value.exit_code == 16


def test_a_table_does_not_reach_too_far() -> None:
    with pytest.raises(InvalidArgument):
        sector([Slot(0xFFFFFFF0, 0x10)])
    with pytest.raises(InvalidArgument):
        sector([Slot(1, 1)] * 5)


def test_nothing_is_left_of_what_the_disk_held() -> None:
    disk = plan("installed", 4 * MIB, {"root": 1 * MIB})
    device = RamDisk(disk.size)
    run(device.write(0, [b"\xff" * (2 * MIB)]))
    run(clear(device, disk))
    left = bytearray(2 * MIB)
    run(device.read(0, [left]))
    assert left == bytes(2080 * SECTOR) + b"\xff" * (2 * MIB - 2080 * SECTOR)


@pytest.mark.parametrize(("layout", "size"), [("installed", 300 * MIB), ("release", 100 * MIB), ("installed", 9 << 30)])
def test_sfdisk_reads_the_same(tmp_path: Path, layout: str, size: int) -> None:
    """The primary table, and the table of sub-partitions, which sfdisk takes for that of a disk of its own."""
    require("sfdisk")
    disk = plan(layout, size, {})
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.write(sector([disk.primary]))
        file.truncate(disk.size)
    [found] = sfdisk(image)
    assert (found["start"], found["size"]) == (disk.primary.first, disk.primary.count)
    assert (found["type"], found["bootable"]) == ("81", True)
    with image.open("r+b") as file:
        file.write(sector(list(disk.parts.values())))
    used = [slot for slot in disk.parts.values() if slot.count]
    assert [(part["start"], part["size"]) for part in sfdisk(image)] == [(slot.first, slot.count) for slot in used]


def sfdisk(image: Path) -> list[dict[str, object]]:
    program = shutil.which("sfdisk", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert program
    done = subprocess.run([program, "--json", image], capture_output=True, text=True, timeout=20, check=True)
    assert done.stderr == ""
    partitions: list[dict[str, object]] = json.loads(done.stdout)["partitiontable"]["partitions"]
    return partitions


def test_the_root_of_a_disk_is_found(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    image.write_bytes(tables_of(plan("installed", 4 * MIB, {"root": 1 * MIB})).snapshot())
    assert run(root_of(str(image))) == "p0s0"
    assert run(root_of(f"{image}:p0s2")) is None
    image.write_bytes(bytes(4096))
    assert run(root_of(str(image))) is None
