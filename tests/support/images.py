"""Small MINIX images in files, for tests of what opens them.

path = new_image(tmp_path / "image", 4 << 20)    an empty volume
whole = disk(tmp_path / "disk", data)            a disk with a MINIX partition p0 that holds `data`
verify_image(path)                               our checker, and util-linux's unless peer=False, find nothing
"""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

from minixfs.hw.blockdev.ramdisk import RamDisk
from tests.support.volumes import KINDS, fresh, verify

PARTITION_START = 1 << 20


def new_image(path: Path, size: int = 4 << 20, kind: str = "V3-1K", inodes: int = 1024) -> Path:
    """An empty volume of one of `volumes.KINDS`."""
    known = KINDS[kind]
    path.write_bytes(fresh(replace(known, size=size, options=replace(known.options, inodes=inodes))).snapshot())
    return path


def disk(path: Path, volume: bytes) -> Path:
    """A whole disk; its only partition starts at `PARTITION_START`."""
    entry = struct.pack("<B3xB3xII", 0x80, 0x81, PARTITION_START // 512, len(volume) // 512)
    table = bytes(446) + entry + bytes(48) + b"\x55\xaa"
    path.write_bytes(table.ljust(PARTITION_START, b"\0") + volume)
    return path


def verify_image(path: Path, *, peer: bool = True) -> None:
    verify(RamDisk(path.read_bytes()), peer=peer)
