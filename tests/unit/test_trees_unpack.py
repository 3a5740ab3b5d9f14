"""The sink into a host directory: nothing leads out of it, and what it is asked for is what there is."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from minixfs.trees.entry import Entry
from minixfs.trees.sink import CarryError, Keep
from minixfs.trees.unpack import HostSink

FILE, LINK, DIRECTORY = stat.S_IFREG | 0o640, stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o555
NS = 10**9


def file(path: bytes, data: bytes = b"data", **fields: int) -> Entry:
    return Entry(path, FILE, size=len(data), content=lambda: iter([(0, data)]), **fields)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "top").mkdir()
    return tmp_path / "top"


@pytest.fixture
def sink(top: Path) -> Iterator[HostSink]:
    sink = HostSink(os.fsencode(top), Keep(owner=False))
    yield sink
    sink.close()


@pytest.mark.parametrize("path", [b"../x", b"a/../../x", b"..", b"a//x", b"./x", b"a/.", b"n\0l"])
def test_bad_paths(top: Path, sink: HostSink, path: bytes) -> None:
    sink.put(Entry(b"a", DIRECTORY | 0o700))
    with pytest.raises(CarryError) as caught:
        sink.put(file(path))
    assert caught.value.errno == errno.EINVAL
    assert [item.name for item in top.parent.iterdir()] == ["top"]


def test_links_that_came_along_are_not_followed(top: Path, sink: HostSink) -> None:
    (top.parent / "victim").write_bytes(b"precious")
    (top.parent / "away").mkdir()
    sink.put(Entry(b"l", LINK, target=b"../victim"))
    sink.put(Entry(b"d", LINK, target=b"../away"))
    for path in (b"l", b"d/x"):
        with pytest.raises(CarryError):
            sink.put(file(path))
    assert (top.parent / "victim").read_bytes() == b"precious"
    assert not list((top.parent / "away").iterdir())


def test_a_directory_gets_its_attributes_last(top: Path, sink: HostSink) -> None:
    sink.put(Entry(b"d", DIRECTORY, mtime=5 * NS))
    sink.put(file(b"d/f", mtime=7 * NS + 7))
    sink.finish()
    status = (top / "d").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o555, 5 * NS)
    assert (top / "d" / "f").stat().st_mtime_ns == 7 * NS + 7


def test_holes_links_and_what_was_there(top: Path, sink: HostSink) -> None:
    (top / "f").write_bytes(b"x" * 100_000)
    entry = Entry(b"f", FILE, size=1 << 20, content=lambda: iter([(1 << 19, b"middle")]), link="k")
    sink.put(entry)
    sink.put(Entry(b"g", FILE, link="k"))
    assert (top / "g").samefile(top / "f")
    assert (top / "f").read_bytes() == bytes(1 << 19) + b"middle" + bytes((1 << 19) - 6)
    assert (top / "f").stat().st_blocks * 512 < 100_000


def test_a_source_that_cannot_be_opened_leaves_nothing(top: Path, sink: HostSink) -> None:
    def refused() -> Iterator[tuple[int, bytes]]:
        raise PermissionError(errno.EACCES, "no", "source")
        yield

    with pytest.raises(PermissionError):
        sink.put(Entry(b"f", FILE, size=1, content=refused))
    assert not list(top.iterdir())
