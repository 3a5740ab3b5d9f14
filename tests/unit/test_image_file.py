"""Files of an image as file objects: every mode, buffering and text, compared with those of the host."""

from __future__ import annotations

import errno
import io
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import minixfs
from minixfs.image.file import ImageFile
from minixfs.image.image import Image
from tests.support.images import new_image, verify_image


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    path = new_image(tmp_path / "image")
    with minixfs.open(path, "r+") as image:
        yield image
    verify_image(path)


@pytest.mark.parametrize("mode", ["r", "rb", "rt", "w", "a", "x", "r+", "w+b", "ab", "a+", "xb+"])
def test_modes_make_the_same_kinds_of_file_as_on_the_host(image: Image, tmp_path: Path, mode: str) -> None:
    for name in ("/f", "/g"):
        if "x" not in mode:
            image.write_bytes(name, b"old")
    host = tmp_path / "f"
    if "x" not in mode:
        host.write_bytes(b"old")
    with image.open("/f", mode) as ours, open(host, mode) as theirs:
        assert type(ours) is type(theirs)
        assert (ours.readable(), ours.writable(), ours.seekable()) == (theirs.readable(), theirs.writable(), True)
        assert ours.tell() == theirs.tell()
        if ours.writable():
            new = "new" if "b" not in mode else b"new"
            assert ours.write(new) == theirs.write(new)
            assert ours.tell() == theirs.tell()
    assert image.read_bytes("/f") == host.read_bytes()


@pytest.mark.parametrize("mode", ["", "rw", "rr", "r+w", "bt", "rbt", "q", "U"])
def test_bad_modes_are_refused(image: Image, mode: str) -> None:
    with pytest.raises(ValueError, match="mode"):
        image.open("/f", mode)


def test_text_and_buffers(image: Image) -> None:
    with image.open("/f", "w", encoding="utf-16", newline="\r\n") as file:
        file.write("größe\n")
    assert image.read_bytes("/f").decode("utf-16") == "größe\r\n"
    with image.open("/f", encoding="utf-16") as file:
        assert list(file) == ["größe\n"]
    with image.open("/f", "wb", buffering=0) as raw:
        assert isinstance(raw, ImageFile)
        raw.write(b"1")
        assert image.read_bytes("/f") == b"1"
    with pytest.raises(ValueError, match="encoding"):
        image.open("/f", "rb", encoding="ascii")
    with pytest.raises(ValueError, match="unbuffered"):
        image.open("/f", "r", buffering=0)


def test_what_is_not_allowed(image: Image) -> None:
    image.write_bytes("/f", b"data")
    with image.open("/f", "rb", 0) as file:
        with pytest.raises(io.UnsupportedOperation):
            file.write(b"x")
        with pytest.raises(io.UnsupportedOperation):
            file.fileno()
        with pytest.raises(OSError) as caught:
            file.seek(-1)
        assert caught.value.errno == errno.EINVAL
        with pytest.raises(ValueError, match="whence"):
            file.seek(0, 9)
    for call in (file.read, file.tell, lambda: file.seek(0)):
        with pytest.raises(ValueError, match="closed"):
            call()
    with image.open("/f", "wb", 0) as file, pytest.raises(io.UnsupportedOperation):
        file.read()


def test_appends_meet_at_the_end(image: Image) -> None:
    with image.open("/f", "ab", 0) as one, image.open("/f", "ab", 0) as two:
        one.write(b"1")
        two.write(b"2")
        one.seek(0)
        one.write(b"3")
        assert one.tell() == 3
    assert image.read_bytes("/f") == b"123"


def test_truncate_sync_and_holes(image: Image) -> None:
    with image.open("/f", "w+b") as file:
        file.seek(100_000)
        file.write(b"end")
        file.flush()
        file.raw.sync()  # type: ignore[attr-defined]
        file.seek(0)
        assert file.read() == bytes(100_000) + b"end"
        assert file.truncate(10) == 10
    image.truncate("/f", 20)
    assert image.read_bytes("/f") == bytes(20)
    assert image.stat("/f").st_blocks < 10


def test_random_work_ends_as_on_the_host(image: Image, tmp_path: Path, rng: random.Random) -> None:
    with image.open("/f", "w+b", 64) as ours, open(tmp_path / "f", "w+b", 64) as theirs:
        for _ in range(500):
            kind = rng.randrange(5)
            if kind == 0:
                data = rng.randbytes(rng.randrange(3000))
                assert ours.write(data) == theirs.write(data)
            elif kind == 1:
                size = rng.randrange(3000)
                assert ours.read(size) == theirs.read(size)
            elif kind == 2:
                offset = rng.randrange(200_000)
                assert ours.seek(offset) == theirs.seek(offset)
            elif kind == 3:
                assert ours.seek(0, 2) == theirs.seek(0, 2)
            else:
                size = rng.randrange(200_000)
                assert ours.truncate(size) == theirs.truncate(size)
            assert ours.tell() == theirs.tell()
    assert image.read_bytes("/f") == (tmp_path / "f").read_bytes()
