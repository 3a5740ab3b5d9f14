"""`minixfs info`: volumes, disks, and what cannot be mounted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from minixfs.fs.mfs.layout import VARIANTS, Variant
from minixfs.mkfs.mfs import Options, choose_variant
from tests.support.command import command
from tests.support.mfs_image import Image, populated
from tests.support.peers import require
from tests.support.volumes import KINDS

from .test_partition import table


def store(path: Path, volume: Image) -> Path:
    path.write_bytes(volume.data)
    return path


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_a_volume_is_described(tmp_path: Path, variant: Variant) -> None:
    volume = populated(Options(variant, mtime=1_000_000_000))
    image = store(tmp_path / "image", volume)
    superblock = volume.superblock
    facts = json.loads(command("info", "--json", image).out)
    used_inodes = sum(volume.bit("inode", number) for number in range(1, superblock.inodes + 1))
    free_zones = sum(not volume.bit("zone", number) for number in range(1, superblock.zone_bits))
    assert facts["variant"] == superblock.variant.name
    assert facts["inodes"] - facts["inodes_free"] == used_inodes
    assert facts["free"] == free_zones * superblock.zone_size
    assert facts["size"] == facts["device_size"] == 1 << 20
    assert facts["root_modified"] == 1_000_000_000
    assert facts["clean"] is True
    assert facts["mountable"] is True
    text = command("info", image)
    assert (text.code, text.err) == (0, "")
    assert f"names of up to {superblock.variant.name_max} bytes" in text.lines[0]
    assert f"{used_inodes} of {superblock.inodes} used" in text.out.decode()


def test_byte_order_and_state_are_told(tmp_path: Path) -> None:
    volume = populated(Options(choose_variant(2), big_endian=True))
    volume.superblock.mark(clean=False)
    volume.store_superblock()
    lines = command("info", store(tmp_path / "image", volume)).lines
    assert "MINIX V2L, big-endian" in lines[0]
    assert "not marked clean" in lines[1]


def test_a_volume_that_cannot_be_mounted_is_described_and_the_reason_told(tmp_path: Path) -> None:
    volume = populated(Options())
    volume.superblock.flags |= 0x4000
    volume.store_superblock()
    image = store(tmp_path / "image", volume)
    answer = command("info", image)
    assert answer.code == 1
    assert "MINIX V3" in answer.lines[0]
    assert answer.err.startswith(f"minixfs info: {image}: unknown mandatory feature flags 0x4000")
    answer = command("info", "--json", image)
    assert json.loads(answer.out)["mountable"] is False


def test_impossible_zones_do_not_stop_the_description(tmp_path: Path) -> None:
    volume = populated(Options())
    volume.superblock.zone_shift = 0xFFFF
    volume.store_superblock()
    answer = command("info", store(tmp_path / "image", volume))
    assert answer.code == 1
    assert "impossible" in answer.out.decode()
    assert "zone size shift 65535 is too large" in answer.err


def test_a_volume_that_was_cut_short_is_described(tmp_path: Path) -> None:
    volume = populated(Options())
    image = tmp_path / "image"
    image.write_bytes(volume.data[: len(volume.data) // 2])
    answer = command("info", image)
    assert answer.code == 0
    assert "which cuts it short" in answer.out.decode()


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """p0 (MINIX) with a volume in p0s0, and p1."""
    volume = populated(Options(choose_variant(1))).data
    sectors = len(volume) // 512
    content = bytearray((sectors + 200) * 512)
    content[:512] = table((0x81, 10, sectors + 20, 0x80), (0x83, sectors + 30, 50))
    content[5120:5632] = table((0x81, 20, sectors, 0x80))
    content[20 * 512 : 20 * 512 + len(volume)] = volume
    path = tmp_path / "disk"
    path.write_bytes(content)
    return path


def test_a_disk_is_shown_as_a_tree(disk: Path) -> None:
    answer = command("info", disk)
    assert (answer.code, answer.err) == (0, "")
    assert answer.lines[0].startswith("Disk of ")
    assert [line.split()[0] for line in answer.lines[1:]] == ["p0", "p0s0", "p1"]
    assert answer.lines[2].startswith("  p0s0 ")
    assert answer.lines[2].endswith(": MINIX V1L, clean")
    parts = json.loads(command("info", "--json", disk).out)["partitions"]
    assert [(part["name"], "volume" in part) for part in parts] == [("p0", False), ("p0s0", True), ("p1", False)]
    assert parts[1]["start"] == 20 * 512


def test_a_partition_is_described_and_listed(disk: Path) -> None:
    assert "MINIX V1L" in command("info", f"{disk}:p0s0").lines[0]
    assert "fifo" in command("ls", f"{disk}:p0s0").lines
    assert "choose one" in command("ls", disk).err


def test_what_is_neither_is_an_error(disk: Path, tmp_path: Path) -> None:
    for name, word in (
        (f"{disk}:p1", "neither a MINIX or ext2 file system nor a partition table"),
        (f"{disk}:p7", "p7"),
    ):
        answer = command("info", name)
        assert answer.code == 1
        assert word in answer.err
        assert answer.err.count("\n") == 1
    empty = tmp_path / "empty"
    empty.touch()
    assert "is empty" in command("info", empty).err


# ---- for programs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["V1", "V2", "V2-big", "V3-1K", "V3-4K", "V3-1536", "V1L-big"])
def test_tags_are_those_of_blkid(tmp_path: Path, name: str) -> None:
    require("blkid")
    image = store(tmp_path / "an image", populated(KINDS[name].options, KINDS[name].size))
    for options in ((), ("-s", "TYPE"), ("-s", "VERSION", "-s", "BLOCK_SIZE"), ("-s", "UUID")):
        for output in ("export", "value"):
            answer = command("info", "-o", output, *options, image)
            assert (answer.code, answer.out.decode()) == (0, blkid("-o", output, *options, str(image)))


def test_tags_of_a_disk_are_those_of_blkid(disk: Path) -> None:
    require("blkid")
    for identifier in (bytes(4), b"\x78\x56\x34\x12"):
        content = bytearray(disk.read_bytes())
        content[440:444] = identifier
        disk.write_bytes(content)
        assert command("info", "-o", "export", disk).out.decode() == blkid("-o", "export", str(disk))


def blkid(*arguments: str) -> str:
    program = shutil.which("blkid", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert program is not None
    return subprocess.run([program, "-p", *arguments], stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout


def test_nothing_known_has_blkids_exit_code(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 16))
    assert command("info", "-o", "export", image).code == 2
    assert command("info", image).code == 1
    assert "leave them out" in command("info", "-o", "export", "--json", image).err


# ---- how things lie ------------------------------------------------------------------------------------------------


def test_a_file_is_shown_run_by_run(tmp_path: Path) -> None:
    volume = populated(KINDS["V3-1K-zones-of-8"].options)
    image = store(tmp_path / "image", volume)
    inode = volume.inode(volume.entry(b"/holes")[1])
    first = volume.zone_at(inode, 0) * 8
    last_place = 7 + volume.superblock.pointers_per_block + 3
    last = volume.zone_at(inode, last_place) * 8
    answer = command("info", f"{image}:/holes")
    assert (answer.code, answer.err) == (0, "")
    assert "16 blocks of 1024 bytes and 2 indirect blocks, 2 runs" in answer.lines[0]
    assert answer.lines[2].split() == ["0", "0-7", f"{first}-{first + 7}", "8"]
    assert answer.lines[3].split() == ["1", f"{last_place * 8}-{last_place * 8 + 7}", f"{last}-{last + 7}", "8"]
    facts = json.loads(command("info", "--json", f"{image}:/holes").out)
    assert facts["runs"][0] == {"logical": 0, "physical": first, "length": 8}
    assert "0 blocks" in command("info", f"{image}:/device").out.decode()
    assert "No such file" in command("info", f"{image}:/none").err


def test_links_on_the_way_are_followed_and_at_the_end_are_not(tmp_path: Path) -> None:
    volume = populated(Options())
    for name, target in ((b"up", b"a/deep/.."), (b"round", b"round/x"), (b"top", b"/b")):
        link = volume.create(0o120777, target)
        volume.link(volume.inode(1), link.number, name)
    image = store(tmp_path / "image", volume)
    inode = volume.entry(b"/a/big")[1]
    assert json.loads(command("info", "--json", f"{image}:/up/big").out)["inode"] == inode
    assert json.loads(command("info", "--json", f"{image}:/top/../up/./big").out)["inode"] == inode
    assert json.loads(command("info", "--json", f"{image}:/up").out)["inode"] == volume.entry(b"/up")[1]
    assert "Too many levels" in command("info", f"{image}:/round/x").err
    assert "Not a directory" in command("info", f"{image}:/fifo/x").err


def test_free_space_is_told_in_pieces(tmp_path: Path) -> None:
    volume = populated(Options())
    before = json.loads(command("info", "--json", store(tmp_path / "image", volume)).out)
    taken = volume.superblock.zones - 5
    volume.set_bit("zone", volume.zone_bit(taken), True)
    after = json.loads(command("info", "--json", store(tmp_path / "image", volume)).out)
    size = volume.superblock.zone_size
    assert before["fragmentation"]["free_runs"] == 1
    assert before["fragmentation"]["free_run_largest"] == before["free"]
    assert after["fragmentation"]["free_runs"] == 2
    assert after["fragmentation"]["free_run_largest"] == before["free"] - 5 * size
