"""The timed bodies that are plain system calls: a fresh process for each, the same for all contenders.

    python -m benchmarks.client ACTION DIR COUNT

prints the seconds that the body alone took. Start-up, buffers and name lists are made before the clock
starts. A name in `ACTIONS` is a function of (folder, count); `count` is files, entries, records or MiB, as
`workloads` says. `build`, `database` and `workers` do what programs do; the others repeat one system call.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from pathlib import Path

MIB = 1 << 20
RECORD = 4096
BUILD_LOOKS = 4  # how often `build` asks for the attributes of every file
BUILD_FILES_AN_OUTPUT = 10
ROWS_A_TRANSACTION = 10
WORKERS = 4

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


def random_offsets(folder: str, count: int) -> list[int]:
    """Where `count` records lie in the file that `write_file` made; now and then in the same place."""
    records = os.stat(f"{folder}/big").st_size // RECORD
    return [number * RECORD for number in random.Random(count).choices(range(records), k=count)]


def random_read(folder: str, count: int) -> Body:
    offsets = random_offsets(folder, count)
    buffer = bytearray(RECORD)

    def body() -> None:
        descriptor = os.open(f"{folder}/big", os.O_RDONLY)
        for offset in offsets:
            os.preadv(descriptor, [buffer], offset)
        os.close(descriptor)

    return body


def random_write(folder: str, count: int) -> Body:
    """Write `count` records at random places, and one fsync at the end."""
    offsets = random_offsets(folder, count)
    record = random.Random(count).randbytes(RECORD)

    def body() -> None:
        descriptor = os.open(f"{folder}/big", os.O_WRONLY)
        for offset in offsets:
            os.pwrite(descriptor, record, offset)
        os.fsync(descriptor)
        os.close(descriptor)

    return body


def random_write_fsync(folder: str, count: int) -> Body:
    """Write `count` records at random places, each with an fsync of its own, as a database does."""
    offsets = random_offsets(folder, count)
    record = random.Random(count).randbytes(RECORD)

    def body() -> None:
        descriptor = os.open(f"{folder}/big", os.O_WRONLY)
        for offset in offsets:
            os.pwrite(descriptor, record, offset)
            os.fsync(descriptor)
        os.close(descriptor)

    return body


def append(folder: str, count: int) -> Body:
    """Write `count` records behind the end of the big file, and one fsync."""
    record = random.Random(count).randbytes(RECORD)

    def body() -> None:
        descriptor = os.open(f"{folder}/big", os.O_WRONLY | os.O_APPEND)
        for _ in range(count):
            os.write(descriptor, record)
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


def build(folder: str, count: int) -> Body:
    """What make does with a tree of `count` files: looks at all of them again and again, reads some, writes outputs."""

    def body() -> None:
        sources: list[str] = []
        for _ in range(BUILD_LOOKS):
            sources = [f"{top}/{name}" for top, _, names in os.walk(folder) for name in names]
            for path in sources:
                os.stat(path)
        if len(sources) != count:
            raise ValueError(f"{len(sources)} files, not {count}")
        for path in sources[::BUILD_FILES_AN_OUTPUT]:
            compiled = Path(path).read_bytes()
            Path(f"{path}.tmp").write_bytes(compiled)
            os.rename(f"{path}.tmp", f"{path}.o")

    return body


def database(folder: str, count: int) -> Body:
    """`count` small transactions of sqlite, with its own journal and flushes."""
    return _inserts(f"{folder}/small", count * ROWS_A_TRANSACTION, ROWS_A_TRANSACTION)


def database_at_once(folder: str, count: int) -> Body:
    """One transaction of sqlite that inserts `count` rows."""
    return _inserts(f"{folder}/large", count, count)


def _inserts(path: str, count: int, rows_a_transaction: int) -> Body:
    rng = random.Random(count)
    rows = [(rng.getrandbits(40), rng.randbytes(100)) for _ in range(count)]

    def body() -> None:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE item (key INTEGER, value BLOB)")
        connection.execute("CREATE INDEX by_key ON item (key)")
        for first in range(0, count, rows_a_transaction):
            with connection:
                connection.executemany("INSERT INTO item VALUES (?, ?)", rows[first : first + rows_a_transaction])
        connection.close()

    return body


def workers(folder: str, count: int) -> Body:
    """`WORKERS` processes at once, each in a directory of its own: make, write, read, remove `count` files in all."""
    content = random.Random(count).randbytes(RECORD)
    fork = get_context("fork")

    def body() -> None:
        children = [
            fork.Process(target=_own_files, args=(f"{folder}/worker{number}", count // WORKERS, content))
            for number in range(WORKERS)
        ]
        for child in children:
            child.start()
        for child in children:
            child.join()
        if any(child.exitcode for child in children):
            raise RuntimeError("a worker failed")

    return body


def _own_files(folder: str, count: int, content: bytes) -> None:
    Path(folder).mkdir()
    paths = [Path(path) for path in names(folder, "f", count)]
    for path in paths:
        path.write_bytes(content)
    for path in paths:
        if path.read_bytes() != content:
            raise ValueError(f"{path} holds something else")
    for path in paths:
        path.unlink()
    Path(folder).rmdir()


ACTIONS: dict[str, Callable[[str, int], Body]] = {
    action.__name__: action
    for action in (
        create, stat, absent, open_close, rename, unlink, mkdir_rmdir, readdir, readdir_stat,
        write_file, read_file, random_read, random_write, random_write_fsync, append, write_fsync,
        build, database, database_at_once, workers,
    )
}  # fmt: skip


def main(actions: Mapping[str, Callable[..., Body]]) -> None:
    action, folder, *numbers = sys.argv[1:]
    body = actions[action](folder, *map(int, numbers))
    begin = time.perf_counter()
    body()
    print(time.perf_counter() - begin)


if __name__ == "__main__":
    main(ACTIONS)
