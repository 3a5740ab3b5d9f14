"""`gather`: many small pieces of a device in one call, the same from every kind of device."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from minixfs.errors import DeviceError
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.blockdev.image import ImageDevice
from minixfs.hw.blockdev.partition import Slice
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run

DATA = random.Random(1).randbytes(64 << 10)
FRONT = bytes(4096)


def _image(path: Path, data: bytes) -> ImageDevice:
    path.write_bytes(data)
    return ImageDevice(path)


DEVICES: dict[str, Callable[[Path], BlockDevice]] = {
    "ram disk": lambda path: RamDisk(DATA),
    "image": lambda path: _image(path, DATA),
    "slice": lambda path: Slice(_image(path, FRONT + DATA + FRONT), len(FRONT), len(DATA), owns_parent=True),
}


@pytest.mark.parametrize("name", DEVICES)
def test_pieces_come_in_the_order_they_were_asked_for(name: str, tmp_path: Path) -> None:
    device = DEVICES[name](tmp_path / "image")
    offsets = [5 << 10, 0, 63 << 10, 5 << 10, 6 << 10]
    lengths = [1024, 2048, 512, 1024, 4096]
    wanted = b"".join(DATA[at : at + length] for at, length in zip(offsets, lengths, strict=True))
    assert run(device.gather(offsets, lengths)) == wanted
    assert run(device.gather([], [])) == b""
    device.close()


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("offset", [len(DATA) - 512, len(DATA)])
def test_a_piece_that_is_not_wholly_there_is_an_error(name: str, offset: int, tmp_path: Path) -> None:
    device = DEVICES[name](tmp_path / "image")
    with pytest.raises(DeviceError):
        run(device.gather([0, offset], [512, 1024]))
    device.close()
