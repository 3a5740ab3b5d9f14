"""Image files: transfers, who waits, and what the host's failures become."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from minixfs.daemon.runtime import TrioRuntime
from minixfs.errors import DeviceError, InvalidArgument, ReadOnly
from minixfs.hw.blockdev import image as image_module
from minixfs.hw.blockdev import libc, patience
from minixfs.hw.blockdev.image import ImageDevice
from minixfs.hw.blockdev.read_around import CREDIT, SMALL, WINDOW
from minixfs.hw.runtime import INLINE, run

CONTENT = bytes(range(256)) * 64


class CountingRuntime:
    """Runs in place, and remembers what was offloaded."""

    def __init__(self) -> None:
        self.offloaded: list[Any] = []

    event = staticmethod(INLINE.event)

    async def offload(self, function: Callable[..., Any], *args: Any) -> Any:
        self.offloaded.append(function)
        return function(*args)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def runtime() -> CountingRuntime:
    return CountingRuntime()


@pytest.fixture
def device(path: Path, runtime: CountingRuntime) -> Iterator[ImageDevice]:
    device = ImageDevice(path, runtime=runtime)
    yield device
    device.close()


def failing(number: int) -> Callable[..., int]:
    def call(*_: Any) -> int:
        raise OSError(number, os.strerror(number))

    return call


def test_attributes(device: ImageDevice, path: Path) -> None:
    assert (device.size, device.sector_size, device.host_cached) == (len(CONTENT), 1, True)
    assert device.name == str(path)


def test_scattered_read_and_write_of_any_alignment(device: ImageDevice, path: Path) -> None:
    assert run(device.write(3, [b"one", bytearray(b"two"), memoryview(b"-three-")[1:6]])) == 11
    parts = [bytearray(2), bytearray(0), bytearray(9)]
    assert run(device.read(3, [memoryview(part) for part in parts])) == 11
    assert b"".join(parts) == b"onetwothree"
    assert path.read_bytes() == CONTENT[:3] + b"onetwothree" + CONTENT[14:]


def test_transfers_are_cut_at_the_end(device: ImageDevice, path: Path) -> None:
    buffers = [bytearray(b"....") for _ in range(3)]
    assert run(device.read(device.size - 6, buffers)) == 6
    assert b"".join(buffers) == CONTENT[-6:] + b"......"
    assert run(device.write(device.size - 2, [b"abcd"])) == 2
    for offset in (device.size, device.size + 1, 2**63, 2**64):
        assert run(device.read(offset, buffers)) == 0
        assert run(device.write(offset, [b"abcd"])) == 0
    assert path.read_bytes() == CONTENT[:-2] + b"ab"
    with pytest.raises(InvalidArgument):
        run(device.read(-1, buffers))


@pytest.fixture
def uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that never has data at hand."""
    real = os.preadv

    def preadv(fd: int, buffers: Any, offset: int, flags: int = 0) -> int:
        if flags & os.RWF_NOWAIT:
            raise BlockingIOError(errno.EAGAIN, "not now")
        return real(fd, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", preadv)


@pytest.mark.usefixtures("uncached")
def test_a_quick_disk_is_waited_for_in_place(device: ImageDevice, runtime: CountingRuntime) -> None:
    buffer = bytearray(10)
    assert run(device.read(5, [buffer])) == 10
    assert bytes(buffer) == CONTENT[5:15]
    assert runtime.offloaded == []


@pytest.fixture
def read_times(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the next reads in place will seem to take."""
    seconds: list[float] = []
    clock = [0.0]

    def monotonic() -> float:
        return clock[0]

    real = os.preadv

    def preadv(fd: int, buffers: Any, offset: int, flags: int = 0) -> int:
        if flags & os.RWF_NOWAIT:
            raise BlockingIOError(errno.EAGAIN, "not now")
        if seconds:
            clock[0] += seconds.pop(0)
        return real(fd, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", preadv)
    monkeypatch.setattr("minixfs.hw.blockdev.patience.time.monotonic", monotonic)
    return seconds


def test_once_the_disk_is_slow_reads_come_from_a_thread(
    device: ImageDevice, runtime: CountingRuntime, read_times: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "WARY", 2)
    read_times += [0.015] * 2 + [0.0] * 2 + [0.015] * 2  # two of the six run in a thread and are not looked at
    for offloaded in (0, 0, 1, 2, 2, 2, 3):
        buffer = bytearray(10)
        assert run(device.read(5, [buffer])) == 10
        assert bytes(buffer) == CONTENT[5:15]
        assert len(runtime.offloaded) == offloaded


def test_a_slow_read_now_and_then_is_put_up_with(
    device: ImageDevice, runtime: CountingRuntime, read_times: list[float]
) -> None:
    read_times += ([0.015] + [0.0001] * 16) * 10
    while read_times:
        assert run(device.read(5, [bytearray(10)])) == 10
    assert runtime.offloaded == []


def test_much_may_take_longer(
    device: ImageDevice, runtime: CountingRuntime, read_times: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "QUICK", len(CONTENT) / 0.015)
    read_times += [0.015] * 10
    while read_times:
        assert run(device.read(0, [bytearray(len(CONTENT))])) == len(CONTENT)
    assert runtime.offloaded == []


def test_once_the_disk_is_slow_what_the_host_has_needs_no_thread(
    path: Path, runtime: CountingRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(step=0.1)
    monkeypatch.setattr("minixfs.hw.blockdev.patience.time.monotonic", lambda: next(clock))
    path.write_bytes(bytes(1 << 20))  # now the host has it in memory
    device = ImageDevice(path, runtime=runtime)
    if os.preadv(device.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT) != 1:
        pytest.skip("the host's file system here has no RWF_NOWAIT")
    for size in (1 << 20, 1 << 20, 10):
        assert run(device.read(0, [bytearray(size)])) == size
    assert runtime.offloaded == []
    device.close()


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What is fetched around small reads, as offset and length."""
    advised: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, offset, length, advice: advised.append((offset, length)))
    return advised


@pytest.mark.usefixtures("uncached")
def test_a_small_read_that_waits_fetches_what_is_around(device: ImageDevice, fetched: list[tuple[int, int]]) -> None:
    device.size = 10 * WINDOW
    os.truncate(device.fileno(), device.size)
    for offset, size in ((0, 1), (WINDOW + 5, SMALL), (3 * WINDOW - 1, 2), (4 * WINDOW, SMALL + 1)):
        assert run(device.read(offset, [bytearray(size)])) == size
    assert fetched == [(0, WINDOW), (WINDOW, WINDOW), (2 * WINDOW, 2 * WINDOW)]


@pytest.mark.usefixtures("uncached")
def test_what_does_not_pay_is_given_up(
    device: ImageDevice, fetched: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(CREDIT + 5):
        run(device.read(0, [bytearray(1)]))
    assert len(fetched) == CREDIT
    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", lambda fd, buffers, offset, flags=0: 1)
        for _ in range(3):
            run(device.read(0, [bytearray(1)]))
    for _ in range(5):
        run(device.read(0, [bytearray(1)]))
    assert len(fetched) == CREDIT + 3


def test_partly_cached_data_is_not_at_hand(device: ImageDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first page is at hand, the rest is not: no part of it counts as read."""
    real = os.preadv

    def half_cached(fd: int, buffers: Any, offset: int, flags: int = 0) -> int:
        if not flags & os.RWF_NOWAIT:
            return real(fd, buffers, offset, flags)
        if offset >= 4096:
            raise BlockingIOError(errno.EAGAIN, "not now")
        return real(fd, [memoryview(buffers[0])[: 4096 - offset]], offset)

    monkeypatch.setattr(os, "preadv", half_cached)
    buffer = bytearray(8192)
    assert run(device.read(0, [buffer])) == 8192
    assert bytes(buffer) == CONTENT[:8192]


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_host_without_nowait_is_asked_once(device: ImageDevice, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    real = os.preadv
    asked = []

    def unsupported(fd: int, buffers: Any, offset: int, flags: int = 0) -> int:
        if flags & os.RWF_NOWAIT:
            asked.append(offset)
            raise OSError(number, os.strerror(number))
        return real(fd, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", unsupported)
    for _ in range(3):
        buffer = bytearray(10)
        assert run(device.read(0, [buffer])) == 10
        assert bytes(buffer) == CONTENT[:10]
    assert len(asked) == 1


@pytest.mark.parametrize("step", [1, 7, 100])
def test_short_transfers_of_the_host_are_continued(
    device: ImageDevice, path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    real_read, real_write = os.preadv, os.pwritev

    def short_read(fd: int, buffers: Any, offset: int, flags: int = 0) -> int:
        return real_read(fd, [memoryview(buffers[0])[:step]], offset, flags)

    def short_write(fd: int, buffers: Any, offset: int, flags: int = 0) -> int:
        return real_write(fd, [memoryview(buffers[0])[:step]], offset, flags)

    monkeypatch.setattr(os, "preadv", short_read)
    monkeypatch.setattr(os, "pwritev", short_write)
    data = os.urandom(300)
    assert run(device.write(11, [data[:90], data[90:91], data[91:]])) == 300
    buffers = [bytearray(10), bytearray(190), bytearray(100)]
    assert run(device.read(11, buffers)) == 300
    assert b"".join(buffers) == data


def test_more_buffers_than_one_system_call_takes(device: ImageDevice) -> None:
    pieces = [bytes([i % 251]) * 3 for i in range(image_module.IOV_MAX * 2 + 5)]
    total = 3 * len(pieces)
    assert run(device.write(1, pieces)) == total
    buffers = [bytearray(3) for _ in pieces]
    assert run(device.read(1, buffers)) == total
    assert b"".join(buffers) == b"".join(pieces)


def test_an_image_cut_below_us_gives_eio(device: ImageDevice, path: Path) -> None:
    os.truncate(path, 1000)
    buffer = bytearray(100)
    assert run(device.read(900, [buffer])) == 100
    with pytest.raises(DeviceError, match=r"disk\.img: read of 100 bytes at 950: .*shorter") as caught:
        run(device.read(950, [buffer]))
    assert caught.value.errno == errno.EIO


def test_errors_of_the_host_keep_their_number(device: ImageDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwritev", failing(errno.ENOSPC))
    with pytest.raises(DeviceError, match=r"disk\.img: write of 4 bytes at 8: No space") as caught:
        run(device.write(8, [b"data"]))
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.setattr(os, "preadv", failing(errno.EIO))
    for size in (1, len(CONTENT)):
        with pytest.raises(DeviceError) as caught:
            run(device.read(0, [bytearray(size)]))
        assert caught.value.errno == errno.EIO


def test_a_full_host_after_a_part_is_an_error(device: ImageDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwritev", lambda *_: 0)
    with pytest.raises(DeviceError, match="only a part"):
        run(device.write(0, [b"data"]))


@pytest.fixture
def flush_times(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the next flushes will seem to take."""
    seconds: list[float] = []
    clock = [0.0]

    def fdatasync(descriptor: int) -> None:
        clock[0] += seconds.pop(0)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    monkeypatch.setattr("minixfs.hw.blockdev.patience.time.monotonic", lambda: clock[0])
    return seconds


def test_a_small_flush_is_an_fdatasync_in_place(
    device: ImageDevice, runtime: CountingRuntime, flush_times: list[float]
) -> None:
    flush_times += [0.0, 0.0]
    for _ in range(2):
        run(device.write(0, [b"data"]))
        run(device.flush())
    assert flush_times == []
    assert runtime.offloaded == []


def test_a_large_flush_is_offloaded(
    device: ImageDevice, runtime: CountingRuntime, flush_times: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_module, "SMALL_FLUSH", 10)
    flush_times += [0.0] * 3
    for _ in range(11):
        run(device.write(0, [b"x"]))
    run(device.flush())
    assert runtime.offloaded == [os.fdatasync]
    run(device.write(0, [b"x"]))
    run(device.flush())
    assert runtime.offloaded == [os.fdatasync]


def test_once_the_disk_is_slow_flushes_are_offloaded(
    device: ImageDevice, runtime: CountingRuntime, flush_times: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "WARY", 2)
    flush_times += [0.015] * 2 + [0.0] * 2 + [0.015] * 2
    for offloaded in (0, 0, 1, 2, 2, 2):
        run(device.flush())
        assert len(runtime.offloaded) == offloaded


@pytest.mark.trio
async def test_flushes_take_turns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host tells one of them alone that it lost something: who comes next must know of it."""

    class Held(TrioRuntime):
        def __init__(self) -> None:
            self.begun, self.go_on = trio.Event(), trio.Event()

        async def offload(self, function: Callable[..., Any], *args: Any) -> Any:
            self.begun.set()
            await self.go_on.wait()
            return function(*args)

    failures = [OSError(errno.EIO, "lost")]

    def fdatasync(descriptor: int) -> None:
        if failures:
            raise failures.pop()

    async def flush() -> None:
        with pytest.raises(DeviceError):
            await device.flush()

    monkeypatch.setattr(image_module, "SMALL_FLUSH", 100)
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    runtime = Held()
    device = ImageDevice(path, runtime=runtime)
    await device.write(0, [bytes(101)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flush)
        await runtime.begun.wait()
        nursery.start_soon(flush)
        await trio.testing.wait_all_tasks_blocked()
        runtime.go_on.set()
    assert not failures
    device.close()


def test_a_failed_flush_stays_failed(device: ImageDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host reports a lost write once; a later flush must not claim that it is stored."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing(errno.EIO))
        with pytest.raises(DeviceError, match="flush"):
            run(device.flush())
    with pytest.raises(DeviceError) as caught:
        run(device.flush())
    assert caught.value.errno == errno.EIO


def test_read_only(path: Path) -> None:
    device = ImageDevice(path, read_only=True)
    with pytest.raises(ReadOnly):
        run(device.write(0, [b"x"]))
    with pytest.raises(ReadOnly):
        run(device.discard(0, 1))
    run(device.flush())
    assert run(device.read(0, [bytearray(4)])) == 4
    device.close()
    assert path.read_bytes() == CONTENT


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """By call: what sync_file_range was told to do."""
    calls: list[int] = []

    def sync_file_range(fd: int, offset: int, length: int, flags: int) -> int:
        calls.append(flags)
        return 0

    monkeypatch.setattr(libc, "_sync_file_range", lambda: sync_file_range)
    monkeypatch.setattr(image_module, "START", 3000)
    return calls


def test_where_much_is_written_the_host_begins_to_store_it(device: ImageDevice, started: list[int]) -> None:
    for _ in range(4):
        run(device.write(0, [bytes(1000)]))
    assert started == [2]  # SYNC_FILE_RANGE_WRITE: and no waiting
    run(device.flush())
    run(device.write(0, [bytes(2000)]))
    assert started == [2]  # a flush stores all there is


def test_a_slow_disk_is_told_to_begin_from_a_thread(
    device: ImageDevice, runtime: CountingRuntime, started: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(step=0.1)
    monkeypatch.setattr("minixfs.hw.blockdev.patience.time.monotonic", lambda: next(clock))
    for _ in range(2):
        run(device.write(0, [bytes(3000)]))
    assert len(started) == 2
    assert len(runtime.offloaded) == 1


def test_a_host_that_cannot_begin_is_asked_once(device: ImageDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def unsupported(*arguments: int) -> int:
        asked.append(arguments)
        return errno.ESPIPE

    monkeypatch.setattr(libc, "_sync_file_range", lambda: unsupported)
    monkeypatch.setattr(image_module, "START", 1000)
    for _ in range(3):
        assert run(device.write(0, [bytes(1000)])) == 1000
    assert len(asked) == 1


def test_the_kernel_begins_to_write(path: Path) -> None:
    with path.open("r+b") as file:
        libc.start_writing(file.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        libc.start_writing(-1)


def test_discard_makes_a_hole_and_keeps_the_size(tmp_path: Path) -> None:
    path = tmp_path / "big.img"
    path.write_bytes(b"x" * (1 << 20))
    device = ImageDevice(path)
    run(device.flush())
    before = os.stat(path).st_blocks
    run(device.discard(1 << 19, 1 << 30))
    assert os.stat(path).st_size == 1 << 20
    assert os.stat(path).st_blocks < before
    buffer = bytearray(b"." * 8)
    run(device.read((1 << 19) - 4, [buffer]))
    assert bytes(buffer) == b"xxxx\0\0\0\0"
    device.close()


def test_a_host_without_holes_ignores_discard(device: ImageDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def unsupported(*args: int) -> int:
        calls.append(args)
        return errno.EOPNOTSUPP

    monkeypatch.setattr(libc, "_fallocate", lambda: unsupported)
    run(device.discard(0, 4096))
    run(device.discard(0, 4096))
    assert len(calls) == 1


def test_a_failed_discard_is_an_error(device: ImageDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([errno.EINTR, errno.EIO])
    monkeypatch.setattr(libc, "_fallocate", lambda: lambda *_: next(answers))
    with pytest.raises(DeviceError, match="discard of 4096 bytes at 0") as caught:
        run(device.discard(0, 4096))
    assert caught.value.errno == errno.EIO  # an interruption is not a failure


def test_closing_twice_is_allowed(device: ImageDevice) -> None:
    fd = device.fileno()
    device.close()
    device.close()
    with pytest.raises(OSError):
        os.fstat(fd)


@pytest.mark.parametrize(
    ("make", "number"), [("missing", errno.ENOENT), ("dir", errno.EISDIR), ("fifo", errno.ENOTBLK)]
)
def test_what_cannot_be_opened(tmp_path: Path, make: str, number: int) -> None:
    path = tmp_path / "x"
    if make == "dir":
        path.mkdir()
    elif make == "fifo":
        os.mkfifo(path)
    with pytest.raises(DeviceError) as caught:
        ImageDevice(path)
    assert caught.value.errno == number
