"""Tar files as sources of entries and as what becomes of them, against Python's tarfile and GNU tar."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from minixfs.errors import UsageError
from minixfs.trees import host, tar
from minixfs.trees.entry import Entry
from minixfs.trees.untar import TarSource
from tests.support import peers, tree

Seen = tuple[object, ...]


def seen(entries: Iterable[Entry]) -> list[Seen]:
    """What can be compared of the entries of a source, read while it is open."""
    found: list[Seen] = []
    for entry in entries:
        data = bytearray(entry.size)
        for offset, piece in entry.content() if entry.content else ():
            data[offset : offset + len(piece)] = piece
        runs = None if entry.runs is None else list(entry.runs)
        found.append(
            (
                entry.path,
                entry.mode,
                entry.uid,
                entry.gid,
                entry.mtime,
                entry.size,
                entry.rdev,
                entry.target,
                runs,
                data,
            )
        )
    return found


def archive(*members: tuple[str, dict[str, object]], data: bytes = b"data") -> bytes:
    """A tar file of `members`: name, and fields of TarInfo."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, fields in members:
            member = tarfile.TarInfo(name)
            for field, value in fields.items():
                setattr(member, field, value)
            member.size = len(data) if member.isreg() else 0
            file.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def written(entries: Iterable[Entry]) -> bytes:
    parts: list[bytes] = []
    tar.write(entries, lambda data: parts.append(bytes(data)))
    return b"".join(parts)


def read(path: Path, content: bytes | None = None) -> list[Entry]:
    if content is not None:
        path.write_bytes(content)
    with TarSource(str(path)) as source:
        return list(source)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A tree with one of everything but sockets."""
    top = tmp_path / "source"
    top.mkdir()
    tree.populate(top, 3, 60, big=1 << 20)
    for path, found in tree.snapshot(top).items():
        if found.kind == "socket":
            full = os.path.join(os.fsencode(top), path)
            os.unlink(full)
            os.utime(os.path.dirname(full), (1, 1))
    return top


def test_what_is_written_is_read_again_and_twice_the_same(source: Path, tmp_path: Path) -> None:
    os.utime(source / "-rf", ns=(0, 123_456_789_123_456_789))
    os.symlink("x" * 1023, source / "long")
    for name in ("one", "two"):
        with open(tmp_path / name, "wb") as file:
            assert tar.write(host.entries(os.fspath(source)), file.write) == []
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").stat().st_size % tarfile.RECORDSIZE == 0
    with TarSource(str(tmp_path / "one")) as again:
        entries = list(again)
        assert seen(entries) == seen(host.entries(os.fspath(source)))
    names: dict[object, list[bytes]] = {}
    for entry in entries:
        names.setdefault(entry.link, []).append(entry.path)
    linked = {}
    for entry in host.entries(os.fspath(source)):
        linked.setdefault(entry.link, []).append(entry.path)
    assert sorted(names.values()) == sorted(linked.values())


def test_gnu_tar_unpacks_what_we_write(source: Path, tmp_path: Path) -> None:
    peers.require("tar")
    with open(tmp_path / "tar", "wb") as file:
        tar.write(host.entries(os.fspath(source)), file.write)
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    command = ["tar", "-C", unpacked, "--numeric-owner", "-xpf", tmp_path / "tar", "--warning=no-timestamp"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert tree.diff(tree.snapshot(source), tree.snapshot(unpacked), ignore=["dir_size"]) == []
    assert seen(host.entries(os.fspath(source))) == seen(host.entries(os.fspath(unpacked)))


GNU_TAR = ["--format=gnu", "--format=pax", "--format=gnu --sparse"]
GNU_TAR += [f"--format=pax --sparse-version={version} --sparse" for version in ("0.0", "0.1", "1.0")]


@pytest.mark.parametrize("options", GNU_TAR)
def test_we_read_what_gnu_tar_writes(options: str, source: Path, tmp_path: Path) -> None:
    peers.require("tar")
    command = ["tar", "-C", source, *options.split(), "--numeric-owner", "-cf", tmp_path / "tar", "."]
    subprocess.run(command, check=True, timeout=60)
    with TarSource(str(tmp_path / "tar")) as found:
        ours = seen(found)
    theirs = seen(host.entries(os.fspath(source)))
    if "--sparse" not in options:
        ours, theirs = [entry[:8] + entry[9:] for entry in ours], [entry[:8] + entry[9:] for entry in theirs]
    assert ours == theirs


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_archives(pack: object, tmp_path: Path) -> None:
    assert callable(pack)
    plain = archive(("file", {}))
    (tmp_path / "tar").write_bytes(pack(plain))
    with TarSource(str(tmp_path / "tar")) as source:
        assert [entry[-1] for entry in seen(source)] == [b"", b"data"]
    with pytest.raises(UsageError, match=r"tar: this is a damaged compressed file"):
        read(tmp_path / "tar", pack(plain)[:-12])


def test_an_archive_from_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.write(writer, archive(("file", {})))
    os.close(writer)
    saved = os.dup(0)
    try:
        os.dup2(reader, 0)
        with TarSource(None) as source:
            assert [entry[-1] for entry in seen(source)] == [b"", b"data"]
            assert [entry.origin for entry in source] == ["standard input: .", "standard input: file"]
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(reader)


def test_parents_first_whatever_the_order_and_implied_directories(tmp_path: Path) -> None:
    found = read(
        tmp_path / "tar",
        archive(("/b/c/file", {"mtime": 5}), ("./a", {}), ("b", {"type": tarfile.DIRTYPE, "mode": 0o700, "mtime": 7})),
    )
    assert [entry.path for entry in found] == [b"", b"a", b"b", b"b/c", b"b/c/file"]
    assert [(stat.S_IMODE(entry.mode), entry.mtime // 10**9) for entry in found[2:4]] == [(0o700, 7), (0o755, 5)]


def test_the_last_of_one_name_counts_and_links_are_to_what_was_there_then(tmp_path: Path) -> None:
    old, new = {"mtime": 1}, {"mtime": 2}
    link = {"type": tarfile.LNKTYPE, "linkname": "./file"}
    found = {e.path: e for e in read(tmp_path / "tar", archive(("file", old), ("link", link), ("file", new)))}
    assert (found[b"link"].mtime, found[b"file"].mtime) == (1 * 10**9, 2 * 10**9)
    assert found[b"link"].link != found[b"file"].link


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("../file", {})], r"tar: ../file: the name leads out"),
        ([("a/../../file", {})], r"the name leads out"),
        ([("file", {}), ("file/inner", {})], r"file/inner: what should be a directory above it is none"),
        ([("dir/inner", {}), ("dir", {})], r"tar: dir: there are files below that name already"),
        ([("link", {"type": tarfile.LNKTYPE, "linkname": "none"})], r"tar: link: it is a link to none"),
        ([("file", {"type": b"V"})], r"tar: file: type 'V' of a file is unknown"),
        ([("s", {"type": tarfile.SYMTYPE, "linkname": "/"}), ("s/etc", {})], r"s/etc: what should be a directory"),
        ([(".", {})], r"the top of a tree is a directory"),
    ],
)
def test_names_that_cannot_be(members: list[tuple[str, dict[str, object]]], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path / "tar", archive(*members))


@pytest.mark.parametrize("content", [b"nonsense" * 1000, b"", b"short"])
def test_what_is_no_tar_file(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"tar: this is no tar file"):
        read(tmp_path / "tar", content)
    with pytest.raises(FileNotFoundError):
        TarSource(str(tmp_path / "missing"))


def test_an_archive_that_ends_too_early(tmp_path: Path) -> None:
    (tmp_path / "tar").write_bytes(archive(("file", {}), data=bytes(5000))[:2048])
    with TarSource(str(tmp_path / "tar")) as source:
        with pytest.raises((UsageError, OSError), match=r"tar"):
            seen(source)


def test_sockets_are_left_out_and_told(tmp_path: Path) -> None:
    parts: list[bytes] = []
    top = Entry(b"", stat.S_IFDIR)
    left_out = tar.write([top, Entry(b"s", stat.S_IFSOCK)], lambda data: parts.append(bytes(data)))
    assert [entry.path for entry in left_out] == [b"s"]
    assert [entry.path for entry in read(tmp_path / "tar", b"".join(parts))] == [b""]


@pytest.mark.parametrize("pieces", [[(0, b"abc"), (5, b"x")], [(2, b"abc")], [(0, b"a")], [(0, b"abcd")], []])
@pytest.mark.parametrize("runs", [None, [(0, 3), (10, 4)]])
def test_content_that_is_not_what_was_promised(
    pieces: list[tuple[int, bytes]], runs: list[tuple[int, int]] | None, tmp_path: Path
) -> None:
    """Missing data is zero, as `Content` has it; data where there is none spoils the archive."""
    entry = Entry(b"f", stat.S_IFREG, size=20 if runs else 4, runs=runs, content=lambda: iter(pieces))
    outside = any(not any(o <= at and at + len(d) <= o + n for o, n in runs or [(0, 4)]) for at, d in pieces)
    if outside:
        with pytest.raises(OSError, match=r"changed"):
            written([Entry(b"", stat.S_IFDIR), entry])
        return
    (tmp_path / "tar").write_bytes(written([Entry(b"", stat.S_IFDIR), entry]))
    with TarSource(str(tmp_path / "tar")) as source:
        wanted = bytearray(entry.size)
        for at, data in pieces:
            wanted[at : at + len(data)] = data
        assert seen(source)[1][-1] == wanted


def test_large_numbers(tmp_path: Path) -> None:
    entries = [
        Entry(b"", stat.S_IFDIR, uid=1 << 31, gid=0xFFFFFFFE, mtime=-1_500_000_000),
        Entry(b"f" * 255, stat.S_IFREG, mtime=(1 << 40) * 10**9),
    ]
    found = read(tmp_path / "tar", written(entries))
    assert [(e.path, e.uid, e.gid, e.mtime) for e in found] == [(e.path, e.uid, e.gid, e.mtime) for e in entries]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python knows zstd")
def test_what_this_python_cannot_unpack_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read what zstd has compressed; unpack it first"):
        read(tmp_path / "tar", b"\x28\xb5\x2f\xfd" + bytes(100))
