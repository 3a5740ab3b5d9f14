"""`minixfs diff`: what it compares, how it says so, and its exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from minixfs.image.image import Image
from tests.support.command import command
from tests.support.images import disk, new_image


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """An image and a directory with the same files."""
    image, top = new_image(tmp_path / "image"), tmp_path / "top"
    (top / "sub").mkdir(parents=True)
    (top / "sub" / "file\n").write_bytes(b"hello")
    os.symlink("file", top / "link")
    assert command("cp", "-a", f"{top}/.", f"{image}:/").code == 0
    return image, top


def test_no_difference(pair: tuple[Path, Path]) -> None:
    image, top = pair
    assert command("diff", image, top) == (0, b"", "")
    assert command("diff", f"{image}:/sub", top / "sub") == (0, b"", "")
    assert command("diff", image, image) == (0, b"", "")
    assert command("diff", image, top, "--json") == (0, b"[]\n", "")


def test_partitions(pair: tuple[Path, Path], tmp_path: Path) -> None:
    image, top = pair
    whole = disk(tmp_path / "disk", image.read_bytes())
    assert command("diff", f"{whole}:p0", top) == (0, b"", "")


def test_differences_are_lines_and_objects(pair: tuple[Path, Path]) -> None:
    image, top = pair
    with Image(image, "r+") as opened:
        opened.chmod("/sub/file\n", 0o4711)
        opened.write_bytes("/extra", b"")
        opened.unlink("/link")
        opened.symlink("other", "/link")
    (top / "sub" / "file\n").write_bytes(b"help!")
    words = ("--ignore", "times,owner", image, top)
    answer = command("diff", *words)
    assert (answer.code, answer.err) == (1, "")
    assert answer.lines == [
        f"only in {image}: extra (file)",
        "link: target 'other' != 'file'",
        r"sub/file\n: mode 4711 != 0644",
        r"sub/file\n: content differs at byte 3",
    ]
    objects = json.loads(command("diff", "--json", *words).out)
    assert objects[1] == {"path": "link", "what": "target", "first": "other", "second": "file"}
    assert objects[2] == {"path": "sub/file\n", "what": "mode", "first": 0o4711, "second": 0o644}
    assert command("diff", "-q", *words) == (1, b"", "")
    assert command("diff", "--ignore=times,owner,mode,content,target", image, top).lines == answer.lines[:1]


def test_a_tar_file_is_a_tree(pair: tuple[Path, Path], tmp_path: Path) -> None:
    image, _ = pair
    archive = tmp_path / "a.tar.gz"
    assert command("tar", "-cf", archive, image).code == 0
    assert command("diff", image, archive) == (0, b"", "")


@pytest.mark.parametrize("words", [
    ["nowhere", "{top}"], ["{top}", "{image}:/nowhere"], ["--ignore=x", "{top}", "{top}"], ["{top}"],
])  # fmt: skip
def test_trouble(pair: tuple[Path, Path], words: list[str]) -> None:
    image, top = pair
    answer = command("diff", *(word.format(image=image, top=top) for word in words))
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (2, b"", 1), answer
