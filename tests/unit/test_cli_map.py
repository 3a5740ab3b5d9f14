"""`minixfs map`: the kind and the owner of every block, and pictures of them."""

from __future__ import annotations

import json
import stat
import struct
import zlib
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from minixfs.fs.mfs.layout import START_BLOCK
from minixfs.mkfs.mfs import Options
from tests.support.command import command
from tests.support.mfs_image import Image, Inode, populated
from tests.support.volumes import KINDS

from .test_cli_info import store

SOME = ("V1", "V2-big", "hybrid", "V3-1536", "V3-4K", "V3-1K-zones-of-8", "V3-65024")


def blocks_of(volume: Image, inode: Inode) -> tuple[list[int], set[int]]:
    """The blocks of a file's data in order, and those of its indirect zones, found one by one."""
    superblock = volume.superblock
    data, indirect = [], set()
    for index in range(superblock.mapped_zones):
        slot, *positions = volume.place(index)
        zone = inode.zones[slot]
        for position in positions:
            if zone:
                indirect.add(zone)
                zone = volume.pointer(zone, position)
        if zone:
            data.append(zone)
        if index * superblock.zone_size > inode.fields["i_size"]:
            break
    shift = superblock.zone_shift
    spread = [block for zone in data for block in range(zone << shift, zone + 1 << shift)]
    return spread, {block for zone in indirect for block in range(zone << shift, zone + 1 << shift)}


def expected(volume: Image) -> tuple[list[str], list[int]]:
    """Kind and owner of every block."""
    superblock = volume.superblock
    blocks = superblock.zones << superblock.zone_shift
    data = superblock.first_data_zone << superblock.zone_shift
    kinds = ["unusable"] * data + ["free"] * (blocks - data)
    owners = [0] * blocks
    kinds[: -(-1024 // superblock.block_size)] = ["boot area"] * -(-1024 // superblock.block_size)
    for block in range(1024 // superblock.block_size, -(-2048 // superblock.block_size)):
        kinds[block] = "superblock"
    at = START_BLOCK
    table = superblock.inode_table_end - superblock.inode_table_block
    for kind, count in (
        ("inode map", superblock.imap_blocks), ("zone map", superblock.zmap_blocks), ("inode table", table)
    ):  # fmt: skip
        kinds[at : at + count] = [kind] * count
        at += count
    for number in range(1, superblock.inodes + 1):
        inode = volume.inode(number)
        if inode.type in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            contents, indirect = blocks_of(volume, inode)
            for block in contents:
                kinds[block], owners[block] = "directory" if inode.type == stat.S_IFDIR else "file", number
            for block in indirect:
                kinds[block], owners[block] = "indirect", number
    return kinds, owners


@pytest.mark.parametrize("name", SOME)
def test_every_block_has_its_kind_and_owner(tmp_path: Path, name: str) -> None:
    volume = populated(KINDS[name].options, KINDS[name].size)
    facts = json.loads(command("map", "--json", store(tmp_path / "image", volume)).out)
    kinds, owners = [], []
    for row in facts["rows"]:
        assert row["block"] == len(kinds)
        kinds += [row["kind"]] * row["length"]
        owners += [row.get("inode", 0)] * row["length"]
    assert (kinds, owners) == expected(volume)
    assert facts["counts"] == Counter(kinds)


def test_lost_and_bad_blocks(tmp_path: Path) -> None:
    volume = populated(Options())
    lost = volume.take_zone()
    bad = volume.inode(2)
    assert bad.type == stat.S_IFDIR, "the second inode of the sample"
    moved = volume.inode(volume.take("inode"))
    moved.fields |= bad.fields
    moved.zones[:] = bad.zones
    volume.put_inode(moved)
    at, _ = volume.entry(b"/a")
    volume.put_slot(at, moved.number, b"a")
    bad.fields |= {"i_mode": stat.S_IFREG, "i_size": 0}
    bad.zones[:] = [volume.take_zone(), *[0] * (len(bad.zones) - 1)]
    volume.put_inode(bad)
    facts = json.loads(command("map", "--json", store(tmp_path / "image", volume)).out)
    rows = {row["block"]: row["kind"] for row in facts["rows"]}
    assert rows[lost] == "in use by nothing"
    assert rows[bad.zones[0]] == "bad blocks"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return store(tmp_path / "image", populated(Options(block_size=1024)))


def test_the_terminal_shows_it_in_characters(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "40")
    facts = json.loads(command("map", "--json", image).out)
    lines = command("map", image).lines
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40
    title, *rows = lines
    assert "one character is a block" in title
    cells = "".join(row[5:] for row in rows[: -(-1024 // 75)])
    counts = Counter(cells.rstrip())
    assert len(cells) == facts["blocks"] == 1024
    assert counts["█"] == facts["counts"]["file"]
    assert counts["▒"] == facts["counts"]["indirect"]
    assert f"█ file {counts['█']}" in "\n".join(lines)
    assert any(line.startswith("Fragmentation: ") for line in lines)


def test_it_is_scaled_to_the_terminal(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "16")
    lines = command("map", image).lines
    assert "blocks" in lines[0].partition("one character is ")[2]
    assert len(lines) <= 20


def test_colours_are_wanted_or_not(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert b"\x1b" not in command("map", image).out, "no terminal"
    monkeypatch.setenv("NO_COLOR", "1")
    assert b"\x1b[38;5;" in command("map", "--color=always", image).out
    assert b"\x1b" not in command("map", "--color=never", image).out


def test_one_file_is_shown_in_its_order(image: Path) -> None:
    volume = Image(bytearray(image.read_bytes()))
    inode = volume.inode(volume.entry(b"/a/big")[1])
    blocks, indirect = blocks_of(volume, inode)
    facts = json.loads(command("map", "--json", f"{image}:/a/big").out)
    runs = [(run["physical"], run["length"]) for run in facts["runs"]]
    assert [block for start, length in runs for block in range(start, start + length)] == blocks
    assert facts["pieces"] == 1
    text = command("map", f"{image}:/a/big").out.decode()
    assert f"{len(blocks)} blocks, 2 runs in 1 piece: {blocks[0]}-{blocks[6]}, {blocks[7]}-{blocks[9]}" in text
    assert "0123456+789" in "".join(line[5:] for line in text.splitlines()[1:15]).replace("▒", "+")
    assert indirect == {blocks[6] + 1}


def test_scattered_files_are_counted_in_pieces(image: Path) -> None:
    volume = Image(bytearray(image.read_bytes()))
    before = json.loads(command("info", "--json", image).out)["fragmentation"]
    inode = volume.inode(volume.entry(b"/a/big")[1])
    inode.zones[1], inode.zones[4] = inode.zones[4], inode.zones[1]
    volume.put_inode(inode)
    image.write_bytes(volume.data)
    after = json.loads(command("info", "--json", image).out)["fragmentation"]
    one = json.loads(command("info", "--json", f"{image}:/a/big").out)
    assert after["files_in_one_piece"] == before["files_in_one_piece"] - 1
    assert after["pieces"] == before["pieces"] + one["pieces"] - 1
    assert one["pieces"] == 5
    assert [run["length"] for run in one["runs"]] == [1, 1, 2, 1, 2, 3]


def test_the_svg_says_what_each_row_is(image: Path, tmp_path: Path) -> None:
    output = tmp_path / "map.svg"
    assert command("map", image, "-o", output).code == 0
    root = ElementTree.parse(output).getroot()
    space = "{http://www.w3.org/2000/svg}"
    tips = [title.text or "" for title in root.iter(f"{space}title")]
    assert any(tip.endswith("/a/big, from its block 0 on") for tip in tips)
    assert any(tip.startswith("block 1 (1): 1 superblock") for tip in tips)
    texts = " ".join(text.text or "" for text in root.iter(f"{space}text"))
    assert "free: " in texts
    assert "Fragmentation: " in texts
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for rectangle in root.findall(f"{space}rect")[1:]:
        x, y, wide, high = (float(rectangle.attrib[name]) for name in ("x", "y", "width", "height"))
        assert x >= 0
        assert y >= 0
        assert x + wide <= width
        assert y + high <= height


def test_names_in_a_picture_are_text(tmp_path: Path) -> None:
    volume = populated(Options(block_size=1024))
    at, number = volume.entry(b"/a/big")
    volume.put_slot(at, number, b"<b>\x1b&'")
    image = store(tmp_path / "image", volume)
    assert command("map", image, "-o", tmp_path / "map.svg").code == 0
    drawn = (tmp_path / "map.svg").read_text()
    ElementTree.fromstring(drawn)
    assert "/a/&lt;b&gt;\\x1b&amp;&#39;" in drawn


def test_the_png_is_one(image: Path, tmp_path: Path) -> None:
    output = tmp_path / "map.png"
    assert command("map", image, "-o", output).code == 0
    data = output.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        chunks[kind] = data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(kind + chunks[kind])
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    pixels = zlib.decompress(chunks[b"IDAT"])
    assert len(pixels) == (width + 1) * height
    assert max(pixels) < len(chunks[b"PLTE"]) // 3


def test_wrong_use(image: Path, tmp_path: Path) -> None:
    for arguments, words in (
        ((image, "-o", tmp_path / "map.gif"), "FILE.svg or FILE.png"),
        ((image, "-o", tmp_path / "map.svg", "--json"), "use one of them"),
        ((f"{image}:/none",), "No such file"),
        ((image, "-o", tmp_path / "none" / "map.svg"), "No such file"),
    ):
        answer = command("map", *arguments)
        assert answer.code == 1
        assert words in answer.err
        assert answer.err.count("\n") == 1
