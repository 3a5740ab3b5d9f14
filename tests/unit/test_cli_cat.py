"""`minixfs cat`: bytes come out as they are in the image, and what cannot be read is told."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from minixfs.mkfs.mfs import Options
from tests.support.command import command
from tests.support.mfs_image import Image, populated


@pytest.fixture
def volume() -> Image:
    return populated(Options())


@pytest.fixture
def image(tmp_path: Path, volume: Image) -> Path:
    path = tmp_path / "image"
    path.write_bytes(volume.data)
    return path


def test_every_file_comes_out_byte_for_byte(image: Path, volume: Image) -> None:
    for path, (kind, *what) in volume.contents().items():
        if kind == stat.S_IFREG and isinstance(what[0], bytes):
            answer = command("cat", image, path.decode())
            assert (answer.code, answer.out, answer.err) == (0, what[0], "")


def test_holes_are_zeroes(image: Path, volume: Image) -> None:
    size = volume.inode(volume.entry(b"/holes")[1]).fields["i_size"]
    data = command("cat", f"{image}:/holes").out
    assert len(data) == size
    assert data.startswith(b"head\0")
    assert data.endswith(b"\0" + b"tail" * 20)


def test_links_are_followed_and_files_joined(image: Path, volume: Image) -> None:
    contents = volume.contents()
    one, two = (contents[path][1] for path in (b"/a/file1", b"/b/file2"))
    assert command("cat", image, "a/link", "/b/file2").out == one + two  # type: ignore[operator]
    assert command("cat", f"{image}:/b/file2", f"{image}:/a/file1").out == two + one  # type: ignore[operator]


def test_what_cannot_be_read_is_told_and_the_rest_comes_out(image: Path, volume: Image) -> None:
    answer = command("cat", image, "/nope", "/a", "/many/entry1")
    assert answer.code == 1
    assert answer.out == b"text 1"
    assert answer.err.splitlines() == [
        f"minixfs cat: {image}:/nope: No such file or directory",
        f"minixfs cat: {image}:/a: Is a directory",
    ]


def test_an_image_alone_names_no_file(image: Path) -> None:
    answer = command("cat", image)
    assert answer.code == 1
    assert f"{image}: name a file in the image" in answer.err


@pytest.mark.logs("zone number 9999999 is out of range")
def test_a_bad_zone_pointer_ends_the_file_with_an_error(image: Path, volume: Image) -> None:
    inode = volume.inode(volume.entry(b"/a/big")[1])
    inode.zones[2] = 9_999_999
    volume.put_inode(inode)
    image.write_bytes(volume.data)
    answer = command("cat", image, "/a/big")
    assert answer.code == 1
    assert answer.err.startswith(f"minixfs cat: {image}:/a/big: zone number 9999999 is out of range")
    assert answer.err.count("\n") == 1
