"""The device that fails on demand."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

import pytest

from minixfs.errors import DeviceError
from minixfs.hw.blockdev.fault import FaultDevice, Kind
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run


def outcomes(device: FaultDevice, kinds: Sequence[Kind]) -> list[int]:
    """The errno of each of these operations in turn, 0 for success."""
    operations: dict[Kind, Callable[[], object]] = {
        "read": lambda: run(device.read(0, [bytearray(4)])),
        "write": lambda: run(device.write(0, [b"data"])),
        "flush": lambda: run(device.flush()),
    }
    numbers = []
    for kind in kinds:
        try:
            operations[kind]()
            numbers.append(0)
        except DeviceError as error:
            numbers.append(error.errno)
    return numbers


ROUND: tuple[Kind, ...] = ("read", "write", "flush")


def test_without_a_fault_it_is_the_inner_device() -> None:
    device = FaultDevice(RamDisk(8))
    assert outcomes(device, ROUND * 2) == [0] * 6
    assert device.operations == {"read": 2, "write": 2, "flush": 2}
    assert not device.failures


@pytest.mark.parametrize("nth", range(1, 7))
def test_the_nth_operation_fails_once(nth: int) -> None:
    device = FaultDevice(RamDisk(8))
    device.arm(nth)
    expected = [0] * 6
    expected[nth - 1] = errno.EIO
    assert outcomes(device, ROUND * 2) == expected
    assert device.operations.total() == 6
    assert device.failures == {ROUND[(nth - 1) % 3]: 1}


def test_from_then_on_until_disarmed() -> None:
    device = FaultDevice(RamDisk(8))
    device.arm(2, lasting=True, error=errno.ENOSPC)
    assert outcomes(device, ROUND) == [0, errno.ENOSPC, errno.ENOSPC]
    device.disarm()
    assert outcomes(device, ROUND) == [0, 0, 0]


def test_only_the_chosen_kinds_count_and_fail() -> None:
    device = FaultDevice(RamDisk(8))
    device.arm(2, kinds=["flush"])
    assert outcomes(device, ROUND * 3) == [0, 0, 0, 0, 0, errno.EIO, 0, 0, 0]


def test_a_failing_write_moves_nothing() -> None:
    disk = RamDisk(4)
    device = FaultDevice(disk)
    device.arm(1)
    with pytest.raises(DeviceError, match="injected fault: write: Input/output error"):
        run(device.write(0, [b"data"]))
    assert disk.snapshot() == bytes(4)


def test_arming_again_starts_over() -> None:
    device = FaultDevice(RamDisk(8))
    device.arm(1, lasting=True)
    device.arm(2)
    assert outcomes(device, ["read"] * 3) == [0, errno.EIO, 0]
