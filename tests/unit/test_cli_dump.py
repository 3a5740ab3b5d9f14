"""`minixfs dump`: structures field by field, also of what is damaged."""

from __future__ import annotations

import json
import random
import stat
from pathlib import Path
from typing import Any

import pytest

from minixfs.fs.mfs.layout import VARIANTS, Variant
from minixfs.mkfs.mfs import Options, choose_variant
from tests.support.command import command
from tests.support.mfs_image import populated

from .test_cli_info import disk as disk
from .test_cli_info import store

STRUCTURES = (
    "superblock", "boot", "imap", "zmap", "inode 1", "inode /a/big", "inodes 1-9", "directory /", "directory /many",
    "zone 60", "block 3", "indirect 60", "mbr", "partitions",
)  # fmt: skip


def dumped(image: Path | str, *what: str) -> list[dict[str, Any]]:
    answer = command("dump", "--json", image, *what)
    assert (answer.code, answer.err) == (0, "")
    found: list[dict[str, Any]] = json.loads(answer.out)
    return found


def values(section: dict[str, Any]) -> dict[str, Any]:
    return {field["name"]: field["value"] for field in section["fields"]}


@pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_every_field_of_a_record_is_shown_where_it_lies(tmp_path: Path, variant: Variant, big_endian: bool) -> None:
    if big_endian and not variant.swappable:
        pytest.skip("always little-endian")
    volume = populated(Options(variant, big_endian=big_endian))
    image = store(tmp_path / "image", volume)
    inode = volume.inode(volume.entry(b"/a/big")[1])
    sections = [*dumped(image, "superblock"), *dumped(image, "inode", "/a/big"), *dumped(image, "inodes", "1-3")]
    order = "big" if big_endian else "little"
    for field in (field for section in sections for field in section["fields"]):
        raw = bytes.fromhex(field["raw"])
        assert volume.data[field["offset"] : field["offset"] + len(raw)] == raw
        assert int.from_bytes(raw, order) == field["value"]
    shown = values(sections[1])
    assert [shown[f"i_zone[{index}]"] for index in range(len(inode.zones))] == inode.zones
    assert {name: shown[name] for name in inode.fields} == inode.fields
    assert values(sections[0])["s_ninodes"] == volume.superblock.inodes


def test_meanings_are_in_words(tmp_path: Path) -> None:
    volume = populated(Options(mtime=1_000_000_000))
    image = store(tmp_path / "image", volume)
    text = command("dump", image, "inode", "/device").out.decode()
    assert "020600, crw-------" in text
    assert "device 4, 3" in text
    assert "drwxr-xr-x" in command("dump", image, "inode", "1").out.decode()
    assert "2001-09-0" in command("dump", image, "inode", "1").out.decode()
    assert "clean" in next(line for line in command("dump", image, "superblock").lines if "s_flags" in line)


def test_free_slots_of_a_directory_are_shown(tmp_path: Path) -> None:
    volume = populated(Options())
    at, number = volume.entry(b"/a/file2")
    volume.data[at : at + 4] = bytes(4)
    image = store(tmp_path / "image", volume)
    fields = dumped(image, "directory", "/a")[0]["fields"]
    index = next(index for index, field in enumerate(fields) if field["offset"] == at)
    assert (fields[index]["value"], fields[index]["meaning"]) == (0, "free")
    assert fields[index + 1]["value"] == "file2"
    assert number not in [field["value"] for field in fields]


def test_maps_are_runs_of_used_and_free(tmp_path: Path) -> None:
    volume = populated(Options(choose_variant(2), big_endian=True))
    image = store(tmp_path / "image", volume)
    bits = volume.superblock.zone_bits
    shown: list[bool] = []
    for field in dumped(image, "zmap")[0]["fields"][1:]:
        shown += [field["value"] == "used"] * int(field["meaning"])
    assert shown == [volume.bit("zone", number) for number in range(1, bits)]


def test_blocks_are_shown_with_their_owner(tmp_path: Path) -> None:
    volume = populated(Options())
    image = store(tmp_path / "image", volume)
    size = volume.superblock.block_size
    big = volume.inode(volume.entry(b"/a/big")[1])
    section = dumped(image, "zone", str(big.zones[2]))[0]
    assert bytes.fromhex(section["data"]) == volume.data[big.zones[2] * size : (big.zones[2] + 1) * size]
    assert f"block 2 of inode {big.number}, /a/big" in section["title"]
    section = dumped(image, "indirect", str(big.zones[7]))[0]
    assert section["title"].endswith("3 of 1024 zone numbers are not 0")
    assert [field["value"] for field in section["fields"]] == [volume.zone_at(big, index) for index in (7, 8, 9)]
    assert "inode map" in dumped(image, "block", "2")[0]["title"]
    text = command("dump", image, "zone", str(volume.inode(1).zones[0]))
    assert "directory, its block 0 of inode 1, /; looks like the beginning of a directory" in text.lines[0]
    assert text.lines[1].endswith("|................|")


def test_partition_tables(disk: Path) -> None:
    tables = dumped(disk, "partitions")
    assert [table["title"] for table in tables] == ["partition table at sector 0", "table of p0 at sector 10"]
    assert values(tables[1])["0: first"] == 20
    assert dumped(disk, "mbr") == tables[:1]
    fields = dumped(f"{disk}:p0s0", "superblock")[0]["fields"]
    assert fields[0]["offset"] == 20 * 512 + 1024, "offsets are those of the image, not of the partition"
    assert "choose one" in command("dump", disk, "superblock").err


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("inode 99999", "the volume has inodes 1 to"),
        ("inode x", "not the number of an inode"),
        ("inode /none", "No such file"),
        ("inodes 9-1", "backwards"),
        ("zone 99999", "the volume has zones 0 to"),
        ("block -1", "there is no block"),
        ("directory /a/big", "no directory"),
        ("inode", "takes the number or path"),
        ("superblock 1", "takes nothing more"),
        ("nonsense", "there are superblock, boot,"),
    ],
)
def test_what_is_not_there_is_an_error(tmp_path: Path, what: str, words: str) -> None:
    image = store(tmp_path / "image", populated(Options()))
    answer = command("dump", image, "--", *what.split())
    assert answer.code == 1
    assert answer.err.startswith(f"minixfs dump: {image}: ")
    assert words in answer.err


def test_a_volume_that_cannot_be_mounted_is_dumped(tmp_path: Path) -> None:
    volume = populated(Options())
    volume.superblock.flags |= 0x4000
    volume.superblock.zones = 0xFFFFFFFF
    volume.store_superblock()
    root = volume.inode(1)
    root.fields["i_mode"] = 0
    volume.put_inode(root)
    image = store(tmp_path / "image", volume)
    assert "unknown 0x4000" in command("dump", image, "superblock").out.decode()
    assert values(dumped(image, "inode", "1")[0])["i_mode"] == 0
    assert "whose is not known" in dumped(image, "zone", "60")[0]["title"]


def test_a_lost_magic_number_can_be_assumed(tmp_path: Path) -> None:
    volume = populated(Options(choose_variant(2)))
    volume.data[1024 + 16 : 1024 + 18] = b"\0\0"
    image = store(tmp_path / "image", volume)
    assert "no file system was found" in command("dump", image, "superblock").err
    section = dumped(image, "--as", "V2L", "superblock")[0]
    magic = next(field for field in section["fields"] if field["name"] == "s_magic")
    assert (magic["value"], magic["meaning"]) == (0, "0x0000, unknown")
    assert values(dumped(image, "--as", "V2L", "inode", "/a/big")[0])["i_size"] == 9 * 1024 + 17
    assert "there are ext2, V3, hybrid, V1," in command("dump", image, "--as", "V9", "superblock").err


@pytest.mark.parametrize("seed", range(12))
def test_damage_never_ends_in_a_traceback(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIXFS_TRACEBACK", "1")  # an internal error is raised
    rng = random.Random(seed)
    variant = rng.choice(VARIANTS)
    volume = populated(Options(variant, big_endian=variant.swappable and rng.random() < 0.5))
    end = volume.superblock.inode_table_end * volume.superblock.block_size
    for _ in range(rng.randrange(1, 30)):
        volume.data[rng.randrange(1024, rng.choice([1060, end, end + 40_000]))] = rng.randrange(256)
    image = tmp_path / "image"
    image.write_bytes(volume.data[: rng.choice([len(volume.data), end + 9999])])
    for what in STRUCTURES:
        answer = command("dump", image, *what.split())
        assert (answer.code, bool(answer.out)) in ((0, True), (1, False)), (seed, what)
    for arguments in (("info", image), ("map", image), ("info", f"{image}:/a/big"), ("map", f"{image}:/holes")):
        assert command(*arguments).code in (0, 1), (seed, arguments)


def test_types_are_told_apart(tmp_path: Path) -> None:
    volume = populated(Options())
    odd = volume.inode(volume.entry(b"/fifo")[1])
    odd.fields["i_mode"] = 0o150644
    volume.put_inode(odd)
    image = store(tmp_path / "image", volume)
    assert "of no known type" in command("dump", image, "inode", "/fifo").out.decode()
    assert stat.filemode(0o100644) in command("dump", image, "inode", "/a/big").out.decode()
