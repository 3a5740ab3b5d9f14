"""Images somewhere else: a device on a file object that reads and seeks."""

from __future__ import annotations

import errno
import io

import pytest

from minixfs.errors import DeviceError, ReadOnly, UsageError
from minixfs.hw.blockdev.remote import RemoteDevice, open_remote
from minixfs.hw.runtime import run

DATA = bytes(range(256)) * 16


class Sluggish(io.BytesIO):
    """Gives less than it was asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 100))


class Broken(io.BytesIO):
    """Reads fail with whatever its library raises."""

    failure: Exception = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    def read(self, size: int | None = -1, /) -> bytes:
        raise self.failure


@pytest.mark.parametrize("kind", [io.BytesIO, Sluggish])
def test_scattered_reads_and_the_end(kind: type[io.BytesIO]) -> None:
    device = RemoteDevice(kind(DATA), "far")
    assert (device.size, device.read_only) == (len(DATA), True)
    first, second = bytearray(10), bytearray(1000)
    assert run(device.read(250, [first, second])) == 1010
    assert first + second == DATA[250:1260]
    buffer = bytearray(b"x" * 20)
    assert run(device.read(len(DATA) - 5, [buffer])) == 5
    assert buffer == DATA[-5:] + b"x" * 15
    assert run(device.read(len(DATA), [buffer])) == 0


def test_nothing_is_written() -> None:
    device = RemoteDevice(io.BytesIO(DATA), "far")
    with pytest.raises(ReadOnly):
        run(device.write(0, [b"x"]))
    run(device.flush())


@pytest.mark.parametrize(
    ("failure", "number", "text"),
    [
        (ConnectionResetError(errno.ECONNRESET, "reset"), errno.ECONNRESET, "reset"),
        (RuntimeError("odd"), errno.EIO, "odd"),
        (TimeoutError(), errno.EIO, "TimeoutError"),
    ],
)
def test_every_failure_of_the_file_is_a_device_error(failure: Exception, number: int, text: str) -> None:
    file = Broken(DATA)
    file.failure = failure
    with pytest.raises(DeviceError, match=rf"far: read of 4 bytes at 8: .*{text}") as caught:
        run(RemoteDevice(file, "far").read(8, [bytearray(4)]))
    assert caught.value.errno == number


def test_a_file_that_became_shorter_is_an_error() -> None:
    file = io.BytesIO(DATA)
    device = RemoteDevice(file, "far")
    file.truncate(100)
    with pytest.raises(DeviceError, match="only 4 bytes came"):
        run(device.read(96, [bytearray(8)]))


def test_a_part_of_it_and_the_end_of_it() -> None:
    file = io.BytesIO(DATA)
    device = run(open_remote(file, "far", offset=512))
    buffer = bytearray(3)
    assert run(device.read(1, [buffer])) == 3
    assert buffer == DATA[513:516]
    device.close()
    assert file.closed
    for options in ({"partition": "p0", "offset": 0}, {"partition": "p0"}, {"offset": len(DATA)}):
        with pytest.raises(UsageError):
            run(open_remote(io.BytesIO(DATA), "far", **options))  # type: ignore[arg-type]
