"""info, map and dump of ext2 images, held against what e2fsprogs and blkid say of the same images."""

from __future__ import annotations

import json
import logging
import os
import random
import re
import stat
from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from minixfs.fs.ext2 import layout
from minixfs.image.image import Image
from tests.support import peers
from tests.support.command import command
from tests.support.volumes import MEMORY

from .test_cli_dump import dumped, values
from .test_cli_info import blkid

SHAPES = {
    "1K": (1024, "-I 256 -g 1024"),
    "2K-128": (2048, "-I 128 -g 1024 -O ^sparse_super,^resize_inode"),
    "4K": (4096, "-I 256 -O ^resize_inode"),
    "revision 0": (1024, "-r 0"),
    "ext3": (1024, "-I 256 -O has_journal -J size=1"),
}
STRUCTURES = (
    "superblock", "boot", "journal", "group 0", "group 1", "bitmaps 0", "copy 1", "inode 2", "inode /big",
    "inode /link", "inodes 1-13", "directory /", "directory /many", "block 200", "indirect 300", "attributes 300",
)  # fmt: skip


@pytest.fixture(params=SHAPES)
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Files of all kinds, some with holes and in pieces, on volumes of several shapes."""
    peers.require("mke2fs", "debugfs", "e2fsck")
    return populated(tmp_path / "image", request.param)


def populated(path: Path, shape: str) -> Path:
    path.write_bytes(_content(shape))
    return path


@cache
def _content(shape: str) -> bytes:
    block_size, options = SHAPES[shape]
    with TemporaryDirectory(dir=MEMORY) as directory:
        return _populate(Path(directory, "image"), block_size, options).read_bytes()


def _populate(path: Path, block_size: int, options: str) -> Path:
    peers.mke2fs(path, 6 << 20, block_size=block_size, options=["-L", "some label", *options.split()])
    with Image(path, "r+") as image:
        image.mkdir("/many")
        image.write_bytes("/first", b"1" * 100_000)
        for number in range(80):
            image.write_bytes(f"/many/file{number}", b"x" * (number * 50))
        with image.open("/first", "ab") as first, image.open("/second", "ab") as second:
            for _ in range(9):
                for file in (first, second):
                    file.write(b"2" * 20_000)
                    file.flush()
                    image.sync()
        image.write_bytes("/big", random.Random(1).randbytes(1_200_000))
        with image.open("/sparse", "wb") as file:
            for position in (0, 50_000, 700_000, 90_000_000):
                file.seek(position)
                file.write(b"y" * 3000)
        image.symlink("many/file1", "/link")
        image.symlink("l" * 200, "/long")
        image.mknod("/device", stat.S_IFBLK | 0o600, os.makedev(300, 70_000))
        if image.has_xattrs:
            image.setxattr("/big", "user.note", b"small")
            image.setxattr("/many", "user.large", b"l" * 700)
    assert peers.e2fsck(path).clean
    return path


def numbers(told: str) -> list[int]:
    """Those in the last line of what debugfs says; none if that is its own name."""
    line = told.strip("\n").rpartition("\n")[2]
    return [] if line.startswith("debugfs") else [int(word) for word in re.findall(r"\b\d+\b", line)]


# ---- info ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", ["", "-j", "-O extents,64bit", "-O dir_nlink,^large_file", "-r 0 -L x"])
def test_tags_are_those_of_blkid(tmp_path: Path, features: str) -> None:
    peers.require("mke2fs", "blkid")
    image = tmp_path / "an image"
    for label in (b"some $label", b"a\x1bb\xff \xc3\xa9`"):
        peers.mke2fs(image, 4 << 20, options=features.split())
        at = layout.SUPERBLOCK_OFFSET + layout.SUPERBLOCK.offsets["s_volume_name"]
        data = bytearray(image.read_bytes())
        data[at : at + 16] = label.ljust(16, b"\0")
        image.write_bytes(data)
        for options in ((), ("-s", "TYPE"), ("-s", "UUID", "-s", "LABEL")):
            answer = command("info", "-o", "export", *options, image)
            assert (answer.code, answer.out.decode()) == (0, blkid("-o", "export", *options, str(image)))
    assert command("info", "-o", "value", "-s", "LABEL", image).lines == ["a^[bM-^? é`"]


def test_a_volume_is_described(image: Path) -> None:
    facts = json.loads(command("info", "--json", "-v", image).out)
    told = peers.debugfs(image, "stats -h")
    free = {name: int(count) for name, count in re.findall(r"Free (blocks|inodes): +(\d+)", told)}
    assert facts["free"] == free["blocks"] * facts["block_size"]
    assert facts["inodes_free"] == free["inodes"]
    assert facts["uuid"] in told
    assert facts["label"] == "some label"
    assert (facts["mountable"], facts["clean"]) == (True, True)
    rows = facts["group_table"]
    assert len(rows) == facts["groups"]
    assert facts["fragmentation"]["files"] > facts["fragmentation"]["files_in_one_piece"] > 80
    text = command("info", "-v", image)
    assert (text.code, text.err) == (0, "")
    assert [line.split()[0] for line in text.lines[-len(rows) :]] == [str(group) for group in range(len(rows))]


def test_runs_are_where_the_blocks_are(image: Path) -> None:
    for path in ("/first", "/second", "/big", "/sparse", "/many", "/many/file3", "/long"):
        facts = json.loads(command("info", "--json", f"{image}:{path}").out)
        shown = [run["physical"] + index for run in facts["runs"] for index in range(run["length"])]
        assert sorted(shown + facts["indirect"]) == sorted(numbers(peers.debugfs(image, f"blocks {path}"))), path
        for run in facts["runs"][:3]:
            assert numbers(peers.debugfs(image, f"bmap {path} {run['logical']}"))[-1] == run["physical"]


# ---- map -----------------------------------------------------------------------------------------------------------


def test_every_block_is_accounted_for(image: Path) -> None:
    found = json.loads(command("map", "--json", image).out)
    told = peers.debugfs(image, "stats -h")
    free = re.search(r"Free blocks: +(\d+)", told)
    assert free is not None
    assert found["counts"]["free"] == int(free[1])
    assert "in use by nothing" not in found["counts"]
    assert sum(found["counts"].values()) == found["blocks"]
    owned = Counter({row["inode"]: 0 for row in found["rows"] if "inode" in row})
    for row in found["rows"]:
        if "inode" in row:
            owned[row["inode"]] += row["length"]
    for number, length in owned.most_common(12):
        assert len(numbers(peers.debugfs(image, f"blocks <{number}>"))) == length, number
    with Image(image) as volume:
        assert ("extended attributes" in found["counts"]) == volume.has_xattrs
    assert ("journal" in found["counts"]) == ("Journal inode" in told)


def test_pictures_are_drawn(image: Path, tmp_path: Path) -> None:
    answer = command("map", "--color", "never", image)
    assert "inode table" in answer.out.decode()
    assert "group descriptors" in answer.out.decode()
    assert command("map", "-o", tmp_path / "map.svg", image).code == 0
    assert "/many" in (tmp_path / "map.svg").read_text()
    assert command("map", f"{image}:/first").code == 0


# ---- dump ----------------------------------------------------------------------------------------------------------


def test_every_field_of_a_record_is_shown_where_it_lies(image: Path) -> None:
    data = image.read_bytes()
    sections = [
        section for what in ("superblock", "group 0", "inodes 1-13", "inode /sparse", "directory /many")
        for section in dumped(image, *what.split())
    ]  # fmt: skip
    for field in (field for section in sections for field in section["fields"]):
        raw = bytes.fromhex(field["raw"])
        assert data[field["offset"] : field["offset"] + len(raw)] == raw
        if isinstance(field["value"], int):
            assert int.from_bytes(raw, "little") == field["value"]
    names = [field["value"] for field in sections[-1]["fields"] if field["name"].endswith(": name")]
    assert {f"file{number}" for number in range(80)} <= set(names)
    offset = peers.debugfs(image, "imap /sparse")
    block, start = (int(number, 0) for number in re.findall(r"block (\d+), offset (0x[0-9a-f]+)", offset)[0])
    section = dumped(image, "inode", "/sparse")[0]
    size = json.loads(command("info", "--json", image).out)["block_size"]
    assert section["fields"][0]["offset"] == block * size + start


def test_meanings_are_in_words(image: Path) -> None:
    def text(*what: str) -> str:
        return command("dump", image, *what).out.decode()

    assert "device 300, 70000" in text("inode", "/device")
    assert "text of the link" in text("inode", "/link")
    assert "clean" in text("superblock")
    assert "used" in text("bitmaps", "0")
    assert "drwxr-xr-x" in text("inode", "2")


def test_attributes_are_shown_wherever_they_are(tmp_path: Path) -> None:
    peers.require("mke2fs", "debugfs", "e2fsck")
    image = populated(tmp_path / "image", "1K")
    for path, name, value in (("/big", "note", "small"), ("/many", "large", "l" * 700)):
        sections = dumped(image, "inode", path)
        shown: dict[str, Any] = {}
        for section in sections:
            shown |= values(section) if section["title"].startswith("extended") else {}
        assert (shown["0: name"], shown["0: value"]) == (name, value)


def test_a_journal_is_shown(tmp_path: Path) -> None:
    peers.require("mke2fs", "debugfs", "e2fsck")
    image = populated(tmp_path / "image", "ext3")
    shown = values(dumped(image, "journal")[0])
    assert (shown["h_magic"], shown["s_blocksize"], shown["s_maxlen"]) == (0xC03B3998, 1024, 1024)
    assert "no journal" in command("dump", populated(tmp_path / "other", "4K"), "journal").err


def test_a_lost_magic_number_can_be_assumed(tmp_path: Path) -> None:
    peers.require("mke2fs", "debugfs", "e2fsck")
    image = populated(tmp_path / "image", "1K")
    data = bytearray(image.read_bytes())
    data[1080:1082] = b"\0\0"
    image.write_bytes(data)
    assert "no file system was found" in command("dump", image, "superblock").err
    assert values(dumped(image, "--as", "ext2", "superblock")[0])["s_magic"] == 0
    assert values(dumped(image, "--as", "ext2", "inode", "/big")[0])["i_size"] == 1_200_000


# ---- damage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(4, 200))])
def test_damaged_images_end_in_words(tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int) -> None:
    """Superblock, descriptors, inodes, directories, block numbers: whatever is in them, an answer or one line."""
    peers.require("mke2fs", "debugfs", "e2fsck")
    caplog.set_level(logging.CRITICAL, "minixfs")  # what is corrupt may be logged, or may not be met
    rng = random.Random(seed)
    image = populated(tmp_path / "image", rng.choice(list(SHAPES)))
    sound = image.read_bytes()
    places = [offset for offset in range(1024, len(sound) // 4, 4) if sound[offset : offset + 4] != bytes(4)]
    for _ in range(5):
        data = bytearray(sound)
        for _ in range(rng.choice((1, 3, 20))):
            at = rng.choice(places if rng.random() < 0.8 else places[:60])
            data[at : at + 4] = rng.choice(
                (b"\xff" * 4, bytes(4), rng.randbytes(4), rng.randbytes(1) + data[at + 1 : at + 4])
            )
        image.write_bytes(data[: rng.randrange(len(data))] if rng.random() < 0.1 else data)
        asked = [("info", "-v", image), ("info", "-o", "export", image), ("map", "--json", image)]
        asked += [("info", f"{image}:/{name}") for name in ("big", "sparse", "many/file3")]
        asked += [("dump", image, *what.split()) for what in rng.sample(STRUCTURES, 6)]
        for words in asked:
            answer = command(*words)
            assert "internal error" not in answer.err, (seed, words)
