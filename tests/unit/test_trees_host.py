"""A directory of the host as a source of entries."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from minixfs.trees import host
from minixfs.trees.entry import PIECE, Entry


def entries(top: Path) -> dict[bytes, Entry]:
    return {entry.path: entry for entry in host.entries(os.fspath(top))}


def data(entry: Entry) -> list[tuple[int, bytes]]:
    assert entry.content is not None
    return [(offset, bytes(piece)) for offset, piece in entry.content()]


def test_parents_first_and_names_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    for name in (b"b/x", b"b/a/z", b"b-", b"\xff", b"B"):
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "wb").close()
    found = [entry.path for entry in host.entries(os.fsencode(tmp_path))]
    assert found == [b"", b"B", b"b", b"b/a", b"b/a/z", b"b/x", b"b-", b"\xff"]


def test_attributes_are_those_of_the_files(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    file.chmod(0o4711)
    os.utime(file, ns=(1_000_000_001, 2_000_000_002))
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    found = entries(tmp_path)
    entry = found[b"file"]
    assert (entry.mode, entry.size, entry.uid, entry.gid) == (stat.S_IFREG | 0o4711, 5, os.getuid(), os.getgid())
    assert (entry.atime, entry.mtime, entry.ctime) == (1_000_000_001, 2_000_000_002, file.stat().st_ctime_ns)
    assert (entry.link, entry.runs, data(entry)) == (None, None, [(0, b"12345")])
    assert entry.origin == f"{tmp_path}/file"
    assert found[b"link"].target == b"nowhere"
    assert stat.S_ISFIFO(found[b"fifo"].mode)
    assert file.stat().st_atime_ns == 1_000_000_001, "reading must not look like use"


def test_hard_links_are_known_as_such(tmp_path: Path) -> None:
    for name in ("a", "c", "other"):
        (tmp_path / name).write_bytes(b"x")
    os.link(tmp_path / "a", tmp_path / "b")
    os.link(tmp_path / "c", tmp_path / "d")
    found = entries(tmp_path)
    assert found[b"a"].link == found[b"b"].link is not None
    assert found[b"c"].link == found[b"d"].link != found[b"a"].link
    assert found[b"other"].link is None


def test_holes_stay_holes_and_large_files_come_in_pieces(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        os.pwrite(file.fileno(), b"x" * (PIECE + 4096), 8 << 20)
        file.truncate(20 << 20)
    with open(tmp_path / "hole", "wb") as file:
        file.truncate(1 << 20)
    found = entries(tmp_path)
    if found[b"sparse"].runs is None:
        pytest.skip("this host cannot tell where holes are")
    assert found[b"sparse"].runs == [(8 << 20, PIECE + 4096)]
    assert [(offset, len(piece)) for offset, piece in data(found[b"sparse"])] == [
        (8 << 20, PIECE),
        ((8 << 20) + PIECE, 4096),
    ]
    assert (found[b"hole"].runs, found[b"hole"].size, data(found[b"hole"])) == ([], 1 << 20, [])


def test_paths_longer_than_a_system_call_takes(tmp_path: Path) -> None:
    name = b"d" * 200
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(30):
        os.mkdir(name, dir_fd=descriptor)
        inner = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.symlink("target", "link", dir_fd=descriptor)
    with open(os.open("full", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor), "wb") as file:
        file.write(b"deep")
    os.close(descriptor)
    found = entries(tmp_path)
    deep = b"/".join([name] * 30)
    assert len(deep) > 4096
    assert data(found[deep + b"/full"]) == [(0, b"deep")]
    assert found[deep + b"/link"].target == b"target"
    assert len(found) == 34


def test_files_that_vanish_shrink_or_turn_into_others_are_named(tmp_path: Path) -> None:
    for name in ("gone", "less", "link", "pipe", "more"):
        (tmp_path / name).write_bytes(b"12345678")
    found = entries(tmp_path)
    for name in ("gone", "link", "pipe"):
        (tmp_path / name).unlink()
    os.truncate(tmp_path / "less", 3)
    (tmp_path / "link").symlink_to("more")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "more").write_bytes(b"123456789")
    for name in (b"gone", b"less", b"link", b"pipe"):
        with pytest.raises(OSError, match=r".") as raised:
            data(found[name])
        assert raised.value.filename == os.path.join(os.fsencode(tmp_path), name)
    assert data(found[b"more"]) == [(0, b"12345678")]


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        list(host.entries(os.fspath(tmp_path / "file")))
    with pytest.raises(FileNotFoundError):
        list(host.entries(os.fspath(tmp_path / "nothing")))
