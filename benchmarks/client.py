"""The timed bodies that are plain system calls: a fresh process for each, the same for all contenders.

    python -m benchmarks.client ACTION DIR COUNT

prints the seconds that the body alone took. Start-up, buffers and name lists are made before the clock
starts. A name in `ACTIONS` is a function of (folder, count); `count` is files, entries, 4 KiB records or
MiB, as `workloads` says.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

MIB = 1 << 20
RECORD = 4096
RANDOM_SPAN = 64 * MIB  # the size of the file in which random records lie

Body = Callable[[], None]


def names(folder: str, prefix: str, count: int) -> list[str]:
    return [f"{folder}/{prefix}{number:05}" for number in range(count)]


def create(folder: str, count: int) -> Body:
    Path(folder).mkdir(exist_ok=True)
    paths = names(folder, "f", count)

    def body() -> None:
        for path in paths:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))

    return body


def stat(folder: str, count: int) -> Body:
    paths = names(folder, "f", count)

    def body() -> None:
        for path in paths:
            os.stat(path)

    return body


def absent(folder: str, count: int) -> Body:
    """Ask for `count` names that do not exist, then for all of them again."""
    paths = names(folder, "absent", count)

    def body() -> None:
        for path in [*paths, *paths]:
            try:
                os.stat(path)
            except FileNotFoundError:
                continue
            raise FileExistsError(path)

    return body


def open_close(folder: str, count: int) -> Body:
    paths = names(folder, "f", count)

    def body() -> None:
        for path in paths:
            os.close(os.open(path, os.O_RDONLY))

    return body


def rename(folder: str, count: int) -> Body:
    pairs = list(zip(names(folder, "f", count), names(folder, "g", count), strict=True))

    def body() -> None:
        for old, new in pairs:
            os.rename(old, new)

    return body


def unlink(folder: str, count: int) -> Body:
    """Remove the files that `rename` left."""
    paths = names(folder, "g", count)

    def body() -> None:
        for path in paths:
            os.unlink(path)

    return body


def mkdir_rmdir(folder: str, count: int) -> Body:
    paths = names(folder, "d", count)

    def body() -> None:
        for path in paths:
            os.mkdir(path)
        for path in paths:
            os.rmdir(path)

    return body


def readdir(folder: str, count: int) -> Body:
    def body() -> None:
        found = len(os.listdir(folder))
        if found != count:
            raise ValueError(f"{found} entries, not {count}")

    return body


def readdir_stat(folder: str, count: int) -> Body:
    """What ``ls -l`` does: every name with its attributes."""

    def body() -> None:
        with os.scandir(folder) as entries:
            found = sum(1 for entry in entries if entry.stat(follow_symlinks=False).st_nlink)
        if found != count:
            raise ValueError(f"{found} entries, not {count}")

    return body


def write_file(folder: str, count: int) -> Body:
    """Write `count` MiB one after another, and fsync."""
    block = random.Random(count).randbytes(MIB)

    def body() -> None:
        descriptor = os.open(f"{folder}/big", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
        for _ in range(count):
            os.write(descriptor, block)
        os.fsync(descriptor)
        os.close(descriptor)

    return body


def read_file(folder: str, count: int) -> Body:
    buffer = bytearray(MIB)

    def body() -> None:
        descriptor = os.open(f"{folder}/big", os.O_RDONLY)
        for _ in range(count):
            if os.readv(descriptor, [buffer]) != MIB:
                raise ValueError("the file is too short")
        os.close(descriptor)

    return body


def random_offsets(count: int) -> list[int]:
    return [number * RECORD for number in random.Random(count).choices(range(RANDOM_SPAN // RECORD), k=count)]


def random_read(folder: str, count: int) -> Body:
    offsets = random_offsets(count)
    buffer = bytearray(RECORD)

    def body() -> None:
        descriptor = os.open(f"{folder}/big", os.O_RDONLY)
        for offset in offsets:
            os.preadv(descriptor, [buffer], offset)
        os.close(descriptor)

    return body


def random_write(folder: str, count: int) -> Body:
    """Write `count` records at random places, and one fsync at the end."""
    offsets = random_offsets(count)
    record = random.Random(count).randbytes(RECORD)

    def body() -> None:
        descriptor = os.open(f"{folder}/big", os.O_WRONLY)
        for offset in offsets:
            os.pwrite(descriptor, record, offset)
        os.fsync(descriptor)
        os.close(descriptor)

    return body


def write_fsync(folder: str, count: int) -> Body:
    """Append `count` records, each with an fsync of its own, as a journal or a mail store does."""
    record = random.Random(count).randbytes(RECORD)

    def body() -> None:
        descriptor = os.open(f"{folder}/journal", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
        for _ in range(count):
            os.write(descriptor, record)
            os.fsync(descriptor)
        os.close(descriptor)

    return body


ACTIONS: dict[str, Callable[[str, int], Body]] = {
    action.__name__: action
    for action in (
        create, stat, absent, open_close, rename, unlink, mkdir_rmdir, readdir, readdir_stat,
        write_file, read_file, random_read, random_write, write_fsync,
    )
}  # fmt: skip


def main() -> None:
    action, folder, count = sys.argv[1:]
    body = ACTIONS[action](folder, int(count))
    begin = time.perf_counter()
    body()
    print(time.perf_counter() - begin)


if __name__ == "__main__":
    main()
