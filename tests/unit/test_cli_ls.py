"""`minixfs ls`: what is listed, in which order and form, and what happens with a damaged image."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from minixfs.fs.mfs.layout import VARIANTS, Variant
from minixfs.mkfs.mfs import Options
from tests.support.command import command
from tests.support.mfs_image import Image, populated
from tests.support.mounts import COMMAND, environment

MTIME = 1_000_000_000


@pytest.fixture
def volume() -> Image:
    return populated(Options(mtime=MTIME))


@pytest.fixture
def image(tmp_path: Path, volume: Image) -> Path:
    path = tmp_path / "image"
    path.write_bytes(volume.data)
    return path


@pytest.mark.parametrize(
    ("variant", "big_endian"),
    [
        *(pytest.param(variant, False, id=variant.name) for variant in VARIANTS),
        *(pytest.param(variant, True, id=f"{variant.name}-big") for variant in VARIANTS if variant.swappable),
    ],
)
def test_every_variant_lists_all_that_is_there(tmp_path: Path, variant: Variant, big_endian: bool) -> None:
    volume = populated(Options(variant, big_endian=big_endian))
    path = tmp_path / "image"
    path.write_bytes(volume.data)
    answer = command("ls", "-RA", "--json", path)
    assert (answer.code, answer.err) == (0, "")
    listed = {os.fsencode(item["path"]): item for item in json.loads(answer.out)}
    contents = volume.contents()
    assert listed.keys() == contents.keys()
    for name, (kind, *what) in contents.items():
        item = listed[name]
        number = volume.entry(name)[1]
        assert item["inode"] == number
        assert item["links"] == volume.inode(number).fields["i_nlinks"]
        if kind == stat.S_IFREG:
            assert item["size"] == volume.inode(number).fields["i_size"]
        elif kind == stat.S_IFLNK:
            assert item["target"].encode() == what[0]
        elif kind == stat.S_IFCHR:
            assert (item["type"], item["major"], item["minor"]) == ("character device", 4, 3)


def test_names_alone_in_order_one_a_line_when_not_on_a_terminal(image: Path) -> None:
    assert command("ls", image).lines == ["a", "b", "device", "fifo", "holes", "many"]
    assert command("ls", "-r", image, "/").lines == ["many", "holes", "fifo", "device", "b", "a"]
    assert command("ls", image, "/a/deep").lines == ["empty", *(f"small{n}" for n in range(6))]
    assert command("ls", f"{image}:/a/deep/empty").lines == []
    assert command("ls", "-a", f"{image}:/a/deep/empty").lines == [".", ".."]


def test_hidden_names_take_a_or_almost_all(tmp_path: Path, volume: Image) -> None:
    number = volume.create(stat.S_IFREG | 0o644, b"x").number
    volume.link(volume.inode(1), number, b".profile")
    path = tmp_path / "image"
    path.write_bytes(volume.data)
    assert ".profile" not in command("ls", path).lines
    assert command("ls", "-A", path).lines[0] == ".profile"
    assert command("ls", "-a", path).lines[:3] == [".", "..", ".profile"]


def test_long_lines_show_what_ls_shows(image: Path, volume: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    number = volume.entry(b"/holes")[1]
    inode = volume.inode(number)
    inode.fields |= {"i_uid": 500, "i_gid": 60, "i_mtime": MTIME, "i_mode": stat.S_IFREG | 0o4750}
    volume.put_inode(inode)
    image.write_bytes(volume.data)
    size = inode.fields["i_size"]
    assert command("ls", "-l", image, "/holes").lines == [f"-rwsr-x--- 1 500 60 {size} 2001-09-09 01:46 /holes"]
    assert command("ls", "-lhi", image, "/holes").lines[0].startswith(f"{number} -rwsr-x--- 1 500 60 4.1M 2001")
    lines = command("ls", "-l", image).lines
    assert lines[0].startswith("total ")
    assert any(line.startswith("crw-------") and " 4, 3 " in line for line in lines)
    assert command("ls", "-l", image, "/a/link").lines[0].endswith("/a/link -> ../a/file1")


def test_order_by_size_and_time(image: Path) -> None:
    items = json.loads(command("ls", "--json", "-S", image, "/a").out)
    assert [item["size"] for item in items] == sorted((item["size"] for item in items), reverse=True)
    items = json.loads(command("ls", "--json", "-t", image, "/").out)
    assert [item["modified"] for item in items] == sorted((item["modified"] for item in items), reverse=True)


def test_files_come_first_then_directories_with_titles(image: Path) -> None:
    answer = command("ls", image, "b/deep", "a/deep/empty", "/fifo")
    assert answer.lines == ["/fifo", "", "a/deep/empty:", "", "b/deep:", "empty", *(f"small{n}" for n in range(6))]
    assert command("ls", "-d", image, "/a", "/fifo").lines == ["/a", "/fifo"]


def test_recursion_goes_depth_first(image: Path) -> None:
    titles = [line for line in command("ls", "-R", image).lines if line.endswith(":")]
    assert titles[:5] == ["/:", "/a:", "/a/deep:", "/a/deep/empty:", "/b:"]


def test_several_images_are_told_apart(image: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(populated(Options(), seed=1).data)
    titles = [line for line in command("ls", f"{image}:/a/deep/empty", f"{other}:/a/deep/empty").lines if line]
    assert titles == [f"{image}:/a/deep/empty:", f"{other}:/a/deep/empty:"]


def test_deeper_than_any_path_can_be(tmp_path: Path) -> None:
    volume = populated(Options(inodes=512), 4 << 20)
    directory = volume.inode(1)
    for _ in range(60):
        directory = volume.mkdir(directory, b"d" * 50)
    path = tmp_path / "image"
    path.write_bytes(volume.data)
    answer = command("ls", "-R", path)
    assert answer.code == 0
    assert max(map(len, answer.lines)) == 60 * 51 + 1  # the last title: names, slashes, colon


def test_a_missing_argument_is_told_and_the_others_are_listed(image: Path) -> None:
    answer = command("ls", image, "/nope", "/fifo", "/fifo/x")
    assert answer.lines == ["/fifo"]
    assert answer.err.splitlines() == [
        f"minixfs ls: {image}:/nope: No such file or directory",
        f"minixfs ls: {image}:/fifo/x: Not a directory",
    ]
    assert answer.code == 2


def test_no_image_and_no_file_system(tmp_path: Path) -> None:
    answer = command("ls", tmp_path / "none")
    assert (answer.code, answer.out) == (2, b"")
    assert answer.err == f"minixfs ls: there is no {tmp_path}/none; check the name\n"
    noise = tmp_path / "noise"
    noise.write_bytes(bytes(range(256)) * 1024)
    answer = command("ls", noise)
    assert answer.code == 2
    assert answer.err.startswith(f"minixfs ls: {noise}: no MINIX file system found")
    assert answer.err.count("\n") == 1


@pytest.mark.logs("not a file in use")
def test_a_damaged_entry_costs_its_attributes_only(image: Path, volume: Image) -> None:
    inode = volume.inode(volume.entry(b"/fifo")[1])
    inode.fields = dict.fromkeys(inode.fields, 0)
    volume.put_inode(inode)
    image.write_bytes(volume.data)
    assert "fifo" in command("ls", image).lines
    answer = command("ls", "-l", image)
    assert answer.code == 1
    assert next(line for line in answer.lines if line.endswith(" fifo")).startswith("?????????")
    assert answer.err.startswith(f"minixfs ls: {image}:/fifo: ")


def test_a_loop_of_directories_ends(image: Path, volume: Image) -> None:
    at, _ = volume.entry(b"/a/deep/empty")
    volume.put_slot(at, volume.entry(b"/a")[1], b"empty")
    image.write_bytes(volume.data)
    answer = command("ls", "-R", image)
    assert answer.code == 1
    assert "/a/deep/empty: this directory is listed already" in answer.err
    assert "/b/deep/empty:" in answer.lines


def test_on_a_terminal_names_stand_in_columns_and_are_harmless(tmp_path: Path) -> None:
    volume = populated(Options())
    volume.link(volume.inode(1), volume.entry(b"/fifo")[1], b"red\x1b[31m\xff")
    path = tmp_path / "image"
    path.write_bytes(volume.data)
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [*COMMAND, "ls", str(path)], env=environment() | {"COLUMNS": "40"}, stdin=subprocess.DEVNULL, stdout=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # EIO: nobody writes any more
            pass
        assert process.wait(60) == 0
    os.close(ours)
    assert shown.split(b"\r\n") == [rb"a  device  holes  red\033[31m\377", b"b  fifo    many", b""]
