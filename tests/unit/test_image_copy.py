"""Copies of files and trees into an image, out of it and within it."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import minixfs
from minixfs.image.image import Image
from tests.support.images import new_image, verify_image

TIME = 1_234_567_890


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    path = new_image(tmp_path / "image")
    with minixfs.open(path, "r+") as image:
        yield image
    verify_image(path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "sub" / "deep").mkdir(parents=True)
    (top / "file").write_bytes(b"data" * 1000)
    (top / "file").chmod(0o640)
    os.link(top / "file", top / "sub" / "second")
    os.symlink("../file", top / "sub" / "link")
    with open(top / "sparse", "wb") as sparse:
        sparse.seek(500_000)
        sparse.write(b"end")
    for path in (top / "file", top / "sub" / "deep"):
        os.utime(path, (TIME, TIME))
    return top


def shape(top: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for directory, directories, files in os.walk(top):
        for name in directories + files:
            path = Path(directory, name)
            status = path.lstat()
            what: object = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            time = int(status.st_mtime) if not path.is_symlink() else 0
            found[str(path.relative_to(top))] = (stat.filemode(status.st_mode), status.st_nlink, time, what)
    return found


def test_a_tree_goes_in_and_comes_out_as_it_was(image: Image, tree: Path, tmp_path: Path) -> None:
    image.copy_in(tree, "/copy")
    assert image.stat("/copy/file").st_mtime == TIME
    assert image.stat("/copy/file").st_ino == image.stat("/copy/sub/second").st_ino
    assert image.stat("/copy/sparse").st_blocks * 512 < 20_000
    assert image.stat("/copy/file").st_uid == 0
    image.copy("/copy", "/again")
    image.copy_out("/again", tmp_path / "out")
    assert shape(tmp_path / "out") == shape(tree)


def test_a_file_gets_the_name_it_is_given(image: Image, tree: Path, tmp_path: Path) -> None:
    image.copy_in(tree / "file", "/one")
    image.copy("/one", "two")
    image.copy_out("/two", tmp_path / "three")
    assert (tmp_path / "three").read_bytes() == b"data" * 1000
    assert stat.S_IMODE((tmp_path / "three").stat().st_mode) == 0o640
    image.write_bytes("/one", b"longer" * 5000)
    image.copy("/one", "/two")
    assert image.read_bytes("/two") == b"longer" * 5000
    image.symlink("two", "/link")
    image.copy_out(b"/link", os.fsencode(tmp_path / "four"))
    assert (tmp_path / "four").read_bytes() == b"longer" * 5000


def test_a_tree_is_merged_with_what_is_there(image: Image, tree: Path) -> None:
    image.makedirs("/copy/sub")
    image.write_bytes("/copy/sub/other", b"kept")
    image.write_bytes("/copy/file", b"replaced")
    image.copy_in(tree, "/copy", owner=True)
    assert image.listdir("/copy/sub") == ["deep", "link", "other", "second"]
    assert image.read_bytes("/copy/file") == b"data" * 1000


def test_what_cannot_be_copied_is_said_of_the_file(image: Image, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        image.copy_in(tree / "none", "/x")
    assert os.fsdecode(caught.value.filename) == str(tree / "none")
    with pytest.raises(FileNotFoundError):
        image.copy_in(tree / "file", "/none/x")
    with pytest.raises(FileNotFoundError):
        image.copy_out("/none", tmp_path / "x")
    (tree / ("n" * 61)).touch()
    with pytest.raises(OSError, match="name too long") as long:
        image.copy_in(tree, "/x")
    assert long.value.errno == errno.ENAMETOOLONG
    assert long.value.filename == image.name_of("/x/" + "n" * 61)


def test_nothing_is_copied_into_itself(image: Image) -> None:
    image.makedirs("/a/b")
    image.symlink("/a/b", "/way")
    for target in ("/a/b/c", "/way/c", "/a"):
        with pytest.raises(OSError, match="into itself"):
            image.copy("/a", target)
    image.write_bytes("/f", b"kept")
    image.link("/f", "/g")
    with pytest.raises(shutil.SameFileError):
        image.copy("/f", "/g")
    assert image.read_bytes("/f") == b"kept"
