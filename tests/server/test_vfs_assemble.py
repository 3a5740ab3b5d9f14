"""A whole MINIX disk as one tree: a partition with three volumes in its subpartitions, as MINIX lays out its own."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minixfs.daemon.assemble import Assembly
from minixfs.daemon.call import LockChecker
from minixfs.daemon.options import MountOptions
from minixfs.daemon.process import Process, Synchronous
from minixfs.daemon.vfs import Vfs
from minixfs.errors import MinixFsError
from minixfs.fs.mfs.server import MfsServer
from minixfs.fsck.mfs.check import check
from minixfs.hw.blockdev.open import open_device
from minixfs.hw.blockdev.partition import MINIX, SECTOR, Slice
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from minixfs.mkfs.mfs import Options, make
from minixfs.vm.pagecache import PageCache
from minixfs.vm.pool import PagePool

START = 64  # sectors
SIZE = 2048  # of each subpartition
PARTS = ("p0s0", "p0s1", "p0s2")  # root, home, usr
FSTAB = b"""# the disk of this system
/dev/c0d0p0s2   /usr    mfs     rw  0 2
/dev/c0d0p0s1   /home   mfs     rw,noatime  0 2   # people
/dev/c0d0p0s0   /       mfs     rw  0 1

none            /proc   procfs  rw  0 0
/dev/c0d0p0s3   swap    swap    defaults 0 0
"""


def table(first: int, kinds: list[int]) -> bytes:
    entries = [
        struct.pack("<B3sB3sII", 0x80 if not index else 0, b"", kind, b"", first + index * SIZE, SIZE)
        for index, kind in enumerate(kinds)
    ]
    return bytes(446) + b"".join(entries).ljust(64, b"\0") + b"\x55\xaa"


def fill(volume: Slice, name: str, directories: list[bytes], fstab: bytes | None) -> None:
    """Make a volume with some directories, a file that tells which it is, and an fstab."""
    run(make(volume, Options(block_size=1024)))
    vfs = Vfs()
    run(vfs.mount(MfsServer(volume, 1, PageCache(PagePool(256))), 1, name))
    process = Process(vfs)
    p = Synchronous(process)
    for directory in directories:
        p.mkdir(directory)
    files = {b"/name": name.encode()} | ({b"/etc/fstab": fstab} if fstab is not None else {})
    for path, content in files.items():
        p.write(p.open(path, os.O_CREAT | os.O_WRONLY), content)
    p.exit()
    run(vfs.unmount_all())


def make_disk(path: Path, fstab: bytes | None = FSTAB) -> str:
    disk = RamDisk((START + 1 + 4 * SIZE) * SECTOR)
    whole = struct.pack("<B3sB3sII", 0x80, b"", MINIX, b"", START, 1 + 4 * SIZE)
    mbr = bytes(446) + whole.ljust(64, b"\0") + b"\x55\xaa"
    run(disk.write(0, [mbr]))
    run(disk.write(START * SECTOR, [table(START + 1, [MINIX] * 4)]))
    contents = {"p0s0": [b"/usr", b"/home", b"/etc"], "p0s1": [b"/me"], "p0s2": [b"/local"]}
    for index, (name, directories) in enumerate(contents.items()):
        volume = Slice(disk, (START + 1 + index * SIZE) * SECTOR, SIZE * SECTOR)
        fill(volume, name, directories, fstab if not index else None)
    path.write_bytes(disk.snapshot())
    return str(path)


@pytest.fixture
def image(tmp_path: Path) -> str:
    return make_disk(tmp_path / "disk.img")


@pytest.fixture
def assembly() -> Iterator[Assembly]:
    assembly = Assembly(Vfs(lock_checker=LockChecker()), MountOptions(cache_size=1 << 20))
    yield assembly
    run(assembly.close())
    assert not assembly.vfs.mounts
    assert len(assembly.vfs.vnodes) == 0


def read(p: Any, path: bytes) -> bytes:
    fd = p.open(path, os.O_RDONLY)
    try:
        return bytes(p.read(fd, 100))
    finally:
        p.close(fd)


def verify(image: str) -> None:
    for part in PARTS:
        device = run(open_device(image, partition=part, read_only=True))
        report = run(check(device))
        device.close()
        assert not report.findings, [finding.message for finding in report.findings]


def one_line(call: Any) -> str:
    """The message of an error, which is one line."""
    with pytest.raises(MinixFsError) as caught:
        run(call)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


def test_the_tree_that_fstab_describes(image: str, assembly: Assembly) -> None:
    assert run(assembly.mount_root(image, "p0s0")) == []
    assert run(assembly.mount_fstab()) == []
    process = Process(assembly.vfs)
    p = Synchronous(process)
    assert [read(p, path) for path in (b"/name", b"/home/name", b"/usr/name")] == [b"p0s0", b"p0s1", b"p0s2"]
    assert [vmnt.path for vmnt in assembly.vfs.mounts.values()] == [b"/", b"/usr", b"/home"]
    p.symlink(b"/usr/local", b"/home/me/link")
    p.write(p.open(b"/home/me/link/made", os.O_CREAT | os.O_WRONLY), b"made")
    p.exit()
    run(assembly.close())
    assert assembly.bytes_written > 0
    verify(image)
    again = Assembly(Vfs(), MountOptions(ro=True))
    run(again.mount_root(f"{image}:p0s2"))
    process = Process(again.vfs)
    assert read(Synchronous(process), b"/local/made") == b"made"
    run(process.exit())
    run(again.close())


def test_partitions_one_by_one(image: str, assembly: Assembly) -> None:
    run(assembly.mount_root(f"{image}:p0s0"))
    run(assembly.mount_on("p0s2", b"/usr"))
    run(assembly.mount_on("p0s1", b"/usr/local", read_only=True))
    process = Process(assembly.vfs)
    p = Synchronous(process)
    assert read(p, b"/usr/local/name") == b"p0s1"
    assert [vmnt.read_only for vmnt in assembly.vfs.mounts.values()] == [False, False, True]
    p.exit()


def test_fstab_goes_from_the_outside_in(tmp_path: Path, assembly: Assembly) -> None:
    fstab = b"/dev/c0d0p0s1 /usr/local/ mfs ro\n/dev/c0d0p0s2 /usr mfs\n"
    image = make_disk(tmp_path / "disk.img", fstab)
    run(assembly.mount_root(image, "p0s0"))
    assert run(assembly.mount_fstab()) == []
    process = Process(assembly.vfs)
    assert read(Synchronous(process), b"/usr/local/name") == b"p0s1"
    assert [vmnt.read_only for vmnt in assembly.vfs.mounts.values()] == [False, False, True]
    run(process.exit())


def test_what_fstab_has_that_is_not_for_us(tmp_path: Path, assembly: Assembly) -> None:
    fstab = b"""/dev/c0d1p0s2 /usr mfs rw
floppy /home minix rw
/dev/c0d0p0s1
nonsense
\xff /home/me mfs
/dev/c0d0p0s0 / mfs rw
"""
    image = make_disk(tmp_path / "disk.img", fstab)
    run(assembly.mount_root(image, "p0s0"))
    warnings = run(assembly.mount_fstab())
    assert len(warnings) == 5
    for warning, subject in zip(warnings, ["line 3", "line 4", "c0d1p0s2", "floppy", "/home/me"], strict=True):
        assert subject in warning
        assert "\n" not in warning
    assert len(assembly.vfs.mounts) == 1


@pytest.mark.parametrize("fstab", [None, b""])
def test_a_root_without_an_fstab(tmp_path: Path, assembly: Assembly, fstab: bytes | None) -> None:
    image = make_disk(tmp_path / "disk.img", fstab)
    run(assembly.mount_root(image, "p0s0"))
    if fstab is None:
        assert "/etc/fstab" in one_line(assembly.mount_fstab())
    else:
        assert run(assembly.mount_fstab()) == []


def test_what_is_wrong_is_said_in_one_line(image: str, tmp_path: Path, assembly: Assembly) -> None:
    assert "choose one" in one_line(assembly.mount_root(image))
    assert "no partition p0s9" in one_line(assembly.mount_root(image, "p0s9"))
    assert "there is no" in one_line(assembly.mount_root(str(tmp_path / "none.img")))
    run(assembly.mount_root(image, "p0s0"))
    for partition, path, words in [
        ("p0s2", b"/none", ["/none", "p0s2"]),
        ("p0s2", b"/name", ["/name", "p0s2"]),
        ("p0s2", b"/", ["/", "in use"]),
        ("p1", b"/usr", ["no partition p1", "p0s2"]),
        ("p0s3", b"/usr", ["p0s3"]),
        ("p0s0", b"/usr", ["in use"]),
    ]:
        message = one_line(assembly.mount_on(partition, path))
        assert all(word in message for word in words), (path, message)
    run(assembly.mount_on("p0s2", b"/usr"))
    assert "/usr" in one_line(assembly.mount_on("p0s1", b"/usr"))
    assert len(assembly.devices) == 2


def test_an_fstab_with_a_missing_directory_or_partition(tmp_path: Path) -> None:
    for line, word in [(b"/dev/c0d0p0s2 /opt mfs", "/opt"), (b"/dev/c0d0p2 /usr mfs", "p2")]:
        image = make_disk(tmp_path / "disk.img", line)
        assembly = Assembly(Vfs(), MountOptions())
        run(assembly.mount_root(image, "p0s0"))
        assert word in one_line(assembly.mount_fstab())
        run(assembly.close())
    verify(image)
