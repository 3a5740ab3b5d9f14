"""Locks on byte ranges of an image, and who is named as their holder."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minixfs.errors import Busy, DeviceError
from minixfs.hw.blockdev import lock as lock_module
from minixfs.hw.blockdev.lock import lock_range

HOLD = """
import os, sys
from minixfs.hw.blockdev.lock import lock_range
path, start, length, exclusive = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "write"
fd = os.open(path, os.O_RDWR if exclusive else os.O_RDONLY)
lock_range(fd, start, length, exclusive=exclusive, name=path)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(4096))
    return path


@contextmanager
def holder(path: Path, start: int, length: int, mode: str) -> Iterator[int]:
    """Another process that holds a lock; yields its pid."""
    script = path.parent / "minixfs"
    script.write_text(HOLD)
    command = [sys.executable, str(script), str(path), str(start), str(length), mode]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"locked\n"
            yield process.pid
        finally:
            process.stdin.close()


@contextmanager
def opened(path: Path, mode: int = os.O_RDWR) -> Iterator[int]:
    fd = os.open(path, mode)
    try:
        yield fd
    finally:
        os.close(fd)


def test_a_second_writer_is_told_who_the_first_is(path: Path) -> None:
    with holder(path, 0, 0, "write") as pid, opened(path) as fd:
        with pytest.raises(Busy) as caught:
            lock_range(fd, 0, 0, exclusive=True, name="disk.img")
    command = f"minixfs {path} 0 0 write"
    assert str(caught.value).startswith(f"disk.img is in use by pid {pid} ({command}); unmount it first")
    assert caught.value.errno == errno.EBUSY


def test_a_reader_of_what_is_written_is_refused(path: Path) -> None:
    with holder(path, 0, 0, "write") as pid, opened(path, os.O_RDONLY) as fd:
        with pytest.raises(Busy, match=f"pid {pid} "):
            lock_range(fd, 0, 0, exclusive=False, name="disk.img")


def test_a_writer_of_what_is_read_is_refused(path: Path) -> None:
    with holder(path, 0, 0, "read") as pid, opened(path) as fd:
        with pytest.raises(Busy, match=f"pid {pid} "):
            lock_range(fd, 0, 0, exclusive=True, name="disk.img")


def test_readers_share(path: Path) -> None:
    with holder(path, 0, 0, "read"), opened(path, os.O_RDONLY) as fd:
        lock_range(fd, 0, 0, exclusive=False, name="disk.img")


def test_two_partitions_may_be_in_use_at_once(path: Path) -> None:
    with holder(path, 512, 1024, "write"), opened(path) as fd:
        lock_range(fd, 1536, 512, exclusive=True, name="disk.img")
        lock_range(fd, 0, 512, exclusive=True, name="disk.img")
        for start, length in ((0, 0), (1535, 1), (0, 513), (600, 10)):
            with pytest.raises(Busy):
                lock_range(fd, start, length, exclusive=True, name="disk.img")


def test_the_holder_named_is_the_one_in_the_way(path: Path) -> None:
    with holder(path, 0, 512, "write"), holder(path, 512, 512, "write") as second, opened(path) as fd:
        with pytest.raises(Busy, match=f"pid {second} "):
            lock_range(fd, 600, 10, exclusive=False, name="disk.img")


def test_holders_of_other_files_are_not_named(path: Path) -> None:
    other = path.with_name("other.img")
    other.write_bytes(bytes(4096))
    with holder(other, 0, 0, "write"), opened(path) as first, opened(path) as second:
        lock_range(first, 0, 0, exclusive=True, name="disk.img")
        with pytest.raises(Busy, match="by this process"):
            lock_range(second, 0, 0, exclusive=True, name="disk.img")
    with opened(other) as first, opened(path) as second, holder(path, 0, 0, "write") as pid:
        lock_range(first, 0, 0, exclusive=True, name="other.img")
        with pytest.raises(Busy, match=f"pid {pid} "):
            lock_range(second, 0, 0, exclusive=True, name="disk.img")


def test_one_process_cannot_open_an_image_twice(path: Path) -> None:
    with opened(path) as first, opened(path) as second:
        lock_range(first, 0, 0, exclusive=True, name="disk.img")
        with pytest.raises(Busy, match="in use by this process"):
            lock_range(second, 0, 0, exclusive=True, name="disk.img")


def test_a_lock_ends_with_its_file(path: Path) -> None:
    with opened(path) as first:
        lock_range(first, 0, 0, exclusive=True, name="disk.img")
    with opened(path) as second:
        lock_range(second, 0, 0, exclusive=True, name="disk.img")


def test_an_unknown_holder_still_gives_a_clear_message(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it belongs to another user."""
    monkeypatch.setattr(lock_module, "_names", lambda _: [])
    with opened(path) as first, opened(path) as second:
        lock_range(first, 0, 0, exclusive=True, name="disk.img")
        with pytest.raises(Busy, match=r"^disk\.img is in use by another process; unmount it first"):
            lock_range(second, 0, 0, exclusive=True, name="disk.img")


def test_a_host_without_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "fcntl", no_locks)
    with opened(path) as fd:
        with pytest.raises(DeviceError, match=r"disk\.img cannot be locked: No locks available"):
            lock_range(fd, 0, 0, exclusive=True, name="disk.img")


@pytest.mark.parametrize(
    ("line", "exclusive", "conflict"),
    [
        ("lock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:77 100 199", False, True),
        ("lock:\t1: OFDLCK ADVISORY  READ -1 fe:00:77 100 199", False, False),
        ("lock:\t1: OFDLCK ADVISORY  READ -1 fe:00:77 100 199", True, True),
        ("lock:\t1: POSIX  ADVISORY  WRITE 12 fe:00:77 0 EOF", True, True),
        ("lock:\t1: FLOCK  ADVISORY  WRITE 12 fe:00:77 0 EOF", True, False),
        ("lock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:77 0 149", True, False),
        ("lock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:77 0 150", True, True),
        ("lock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:77 160 EOF", True, False),
    ],
)
def test_which_lock_lines_conflict_with_bytes_150_to_159(line: str, exclusive: bool, conflict: bool) -> None:
    assert lock_module._conflicts(line, 150, 10, exclusive) is conflict
