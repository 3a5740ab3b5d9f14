"""The disk in memory."""

from __future__ import annotations

import pytest

from minixfs.errors import InvalidArgument, ReadOnly
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run


def test_starts_as_zeros_or_as_a_copy() -> None:
    assert RamDisk(8).snapshot() == bytes(8)
    content = bytearray(b"content!")
    disk = RamDisk(content)
    content[0] = 0
    assert disk.snapshot() == b"content!"
    assert (disk.size, disk.host_cached) == (8, False)


def test_scattered_transfers() -> None:
    disk = RamDisk(16)
    assert run(disk.write(2, [b"abc", b"", memoryview(b"defg")])) == 7
    buffers = [bytearray(1), bytearray(6)]
    assert run(disk.read(2, buffers)) == 7
    assert b"".join(buffers) == b"abcdefg"
    assert disk.snapshot() == b"\0\0abcdefg" + bytes(7)
    run(disk.flush())


def test_transfers_are_cut_at_the_end() -> None:
    disk = RamDisk(b"01234567")
    buffers = [bytearray(b"..."), bytearray(b"...")]
    assert run(disk.read(4, buffers)) == 4
    assert b"".join(buffers) == b"4567.."
    assert run(disk.write(6, [b"x", b"yz"])) == 2
    assert run(disk.write(8, [b"x"])) == 0
    assert run(disk.read(2**64, buffers)) == 0
    assert disk.snapshot() == b"012345xy"


def test_sectors() -> None:
    disk = RamDisk(1024, sector_size=512)
    for offset, length in ((1, 512), (0, 511), (-512, 512)):
        with pytest.raises(InvalidArgument):
            run(disk.read(offset, [bytearray(length)]))
        with pytest.raises(InvalidArgument):
            run(disk.write(offset, [b"x" * length]))
    assert disk.snapshot() == bytes(1024)
    assert run(disk.write(512, [b"x" * 100, b"y" * 412])) == 512
    with pytest.raises(InvalidArgument):
        RamDisk(1000, sector_size=512)


def test_a_snapshot_is_a_copy() -> None:
    disk = RamDisk(4)
    before = disk.snapshot()
    run(disk.write(0, [b"abcd"]))
    assert before == bytes(4)


def test_read_only() -> None:
    disk = RamDisk(4)
    disk.read_only = True
    with pytest.raises(ReadOnly):
        run(disk.write(0, [b"abcd"]))
