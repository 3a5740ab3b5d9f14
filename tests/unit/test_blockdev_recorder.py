"""The device that remembers what was written."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from minixfs.errors import DeviceError, InvalidArgument
from minixfs.hw.blockdev.device import Buffer
from minixfs.hw.blockdev.fault import FaultDevice
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.blockdev.recorder import Discard, Flush, Recorder, Write
from minixfs.hw.runtime import INLINE, run


def test_log_and_replay() -> None:
    initial = b"--------"
    disk = RamDisk(initial)
    recorder = Recorder(disk)
    run(recorder.write(0, [b"a", b"b"]))
    run(recorder.flush())
    run(recorder.write(1, [b"cd"]))
    run(recorder.discard(6, 1))
    run(recorder.read(0, [bytearray(4)]))
    assert recorder.log == [Write(0, b"ab"), Flush(), Write(1, b"cd"), Discard(6, 1)]
    expected = [b"--------", b"ab------", b"ab------", b"acd-----", b"acd---\0-"]
    assert [recorder.replay(initial, count) for count in range(5)] == expected
    assert recorder.replay(disk.snapshot(), 0) == disk.snapshot() == b"acd-----"


def test_only_what_was_stored_is_logged() -> None:
    recorder = Recorder(RamDisk(4, sector_size=2))
    run(recorder.write(2, [b"xy", b"zz"]))
    run(recorder.write(4, [b"zz"]))
    run(recorder.discard(4, 2))
    with pytest.raises(InvalidArgument):
        run(recorder.write(1, [b"zz"]))
    assert recorder.log == [Write(2, b"xy")]


def test_failed_operations_are_not_logged() -> None:
    faults = FaultDevice(RamDisk(4))
    recorder = Recorder(faults)
    faults.arm(1, lasting=True)
    for operation in (recorder.write(0, [b"a"]), recorder.flush()):
        with pytest.raises(DeviceError):
            run(operation)
    assert recorder.log == []


def test_the_log_keeps_what_the_buffer_held() -> None:
    recorder = Recorder(RamDisk(4))
    buffer = bytearray(b"old!")
    run(recorder.write(0, [buffer]))
    buffer[:] = b"new!"
    assert recorder.log == [Write(0, b"old!")]


def test_the_rest_is_passed_on() -> None:
    class Slow(RamDisk):
        host_cached = True
        closed = False

        async def read(self, offset: int, buffers: Sequence[Buffer]) -> int:
            return 77

        def close(self) -> None:
            self.closed = True

    disk = Slow(1024, sector_size=512)
    disk.read_only = True
    recorder = Recorder(disk)
    assert (recorder.size, recorder.sector_size, recorder.read_only, recorder.host_cached) == (
        1024,
        512,
        True,
        True,
    )
    assert run(recorder.read(0, [bytearray(512)])) == 77
    recorder.runtime = other = type(INLINE)()
    assert disk.runtime is other
    assert recorder.runtime is other
    recorder.close()
    assert disk.closed
