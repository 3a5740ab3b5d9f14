"""The parts of the ext2 checker, and `minixfs fsck` on ext2 images as a user meets it."""

from __future__ import annotations

import json
import random
import resource
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minixfs.errors import Unsupported
from minixfs.fs.ext2.superblock import Superblock
from minixfs.fsck.ext2 import HARMLESS, Kind, check
from minixfs.fsck.ext2.dirhash import CHUNK, HALF_MD4, LEGACY, TEA, hash_names
from minixfs.fsck.ext2.xattr import entry_hash
from minixfs.fsck.report import REPAIR, Finding, Policy
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from tests.support import peers
from tests.support.command import command
from tests.support.ext2_damage import KINDS, Ext2Image, e2fsck, populated

SEED = bytes(range(16))


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    peers.require("mke2fs", "e2fsck")
    path = tmp_path / "volume"
    path.write_bytes(populated("1K-groups")[0])
    return path


def harm(volume: Path, *kinds: str) -> bytes:
    image = Ext2Image(volume.read_bytes())
    for kind in kinds:
        KINDS[kind](image, random.Random(kind))
    volume.write_bytes(image.data)
    return bytes(image.data)


def hashes(names: list[bytes], version: int, signed: bool = True, seed: bytes = SEED) -> list[int]:
    width = -(-max(map(len, names)) // CHUNK) * CHUNK
    text = np.frombuffer(b"".join(name.ljust(width, b"\0") for name in names), np.uint8).reshape(len(names), -1)
    lengths = np.array([len(name) for name in names])
    return [int(value) for value in hash_names(text, lengths, version, signed, seed)]


# ---- hashes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "word"), [(LEGACY, "legacy"), (HALF_MD4, "half_md4"), (TEA, "tea")])
def test_hashes_of_names_are_those_of_e2fsprogs(version: int, word: str) -> None:
    peers.require("debugfs")
    names = ["a", "abc", "lost+found", "x" * 31, "y" * 32, "z" * 33, "n" * 255, "a b"]
    seed = "00010203-0405-0607-0809-0a0b0c0d0e0f"
    script = "".join(f'dx_hash -h {word} -s {seed} "{name}"\n' for name in names)
    done = subprocess.run(
        ["/usr/sbin/debugfs", "-f", "/dev/stdin"], input=script, capture_output=True, text=True, timeout=30
    )
    theirs = [int(line.split(" is ")[1].split()[0], 16) for line in done.stdout.splitlines() if " is 0x" in line]
    assert len(theirs) == len(names)
    assert hashes([name.encode() for name in names], version) == theirs


def test_hashes_tell_signed_characters_from_unsigned_ones() -> None:
    names = [b"plain", "käse".encode()]
    for version in (LEGACY, HALF_MD4, TEA):
        signed, unsigned = hashes(names, version, signed=True), hashes(names, version, signed=False)
        assert signed[0] == unsigned[0]
        assert signed[1] != unsigned[1]


def test_hash_of_an_attribute_covers_name_and_padded_value() -> None:
    assert entry_hash(b"", b"") == 0
    assert entry_hash(b"a", b"") == 0x61
    assert entry_hash(b"a", b"x") == (0x61 << 16 ^ 0x78)
    assert entry_hash(b"a", b"x") == entry_hash(b"a", b"x\0\0\0") != entry_hash(b"b", b"x")


# ---- rules of a check ------------------------------------------------------------------------------------------------


def test_a_check_that_only_reports_writes_nothing(volume: Path) -> None:
    data = harm(volume, "block_in_two_files", "directory_block_rubbish", "inode_bitmap")
    disk = RamDisk(bytearray(data))
    report = run(check(disk))
    assert report.exit_code == 4
    assert report.left == len(report.findings) > 3
    assert bytes(disk.snapshot()) == data


def test_declined_repairs_are_asked_once_and_leave_the_volume_marked(volume: Path) -> None:
    data = harm(volume, "block_outside", "links_too_many", "block_bitmap")
    asked: list[str] = []

    def no(finding: Finding) -> bool:
        asked.append(finding.message)
        return False

    disk = RamDisk(bytearray(data))
    report = run(check(disk, Policy(write=True, ask=no)))
    assert len(set(asked)) == len(asked) == report.left
    after = Superblock.parse(bytes(disk.snapshot()[1024:2048]))
    assert not after.clean
    assert disk.snapshot()[2048:] == data[2048:]


def test_a_repaired_volume_is_clean_and_checked_now(volume: Path) -> None:
    image = Ext2Image(harm(volume, "links_too_many", "state"))
    image.write(1024 + 0x34, struct.pack("<H", 9))
    disk = RamDisk(image.data)
    report = run(check(disk, REPAIR))
    assert report.exit_code == 1
    after = Superblock.parse(bytes(disk.snapshot()[1024:2048]))
    assert after.clean
    assert after.mount_count == 0
    assert after.last_check >= image.superblock.last_check
    assert after.error_count == 0


def test_whoever_stops_a_check_finds_the_volume_as_it_was(volume: Path) -> None:
    data = harm(volume, "links_too_many", "block_in_two_files")
    stages: list[str] = []

    def stop(progress: object) -> None:
        stages.append(progress.stage)  # type: ignore[attr-defined]
        if progress.stage == "bitmaps":  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    disk = RamDisk(bytearray(data))
    with pytest.raises(KeyboardInterrupt):
        run(check(disk, REPAIR, tick=stop))
    assert bytes(disk.snapshot()) == data
    assert {"inode tables", "directories", "tree"} <= set(stages)


def test_memory_is_bounded(volume: Path) -> None:
    with pytest.raises(Unsupported, match="more than 0 MiB"):
        run(check(RamDisk(bytearray(volume.read_bytes())), memory_limit=1 << 15))


def test_every_harmless_kind_is_a_kind() -> None:
    assert set(Kind) > HARMLESS


# ---- features --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["-O", "extents"], "extents"),
        (["-O", "extents,64bit"], "64bit"),
        (["-O", "quota"], "quota"),
        (["-O", "huge_file"], "huge_file"),
    ],
)
def test_unknown_features_are_named(options: list[str], word: str, tmp_path: Path) -> None:
    peers.require("mke2fs")
    image = tmp_path / "image"
    peers.mke2fs(image, 4 << 20, options=options)
    answer = command("fsck", "-n", str(image))
    assert answer.code == 8
    assert word in answer.err


def test_ext3_with_an_empty_journal_is_checked_and_one_in_use_refused(tmp_path: Path) -> None:
    peers.require("mke2fs", "e2fsck")
    path = tmp_path / "image"
    peers.mke2fs(path, 8 << 20, options=["-j"])
    assert command("fsck", "-n", str(path)).code == 0
    image = Ext2Image(path.read_bytes())
    journal = image.pointer(8, 0) * image.block_size
    image.write(journal + 0x1C, struct.pack(">L", 1))
    with pytest.raises(Unsupported, match=r"journal .* is not empty.*e2fsck -p"):
        run(check(RamDisk(bytearray(image.data))))
    image.write(journal, bytes(1024))
    disk = RamDisk(image.data)
    assert run(check(disk, REPAIR)).exit_code == 1
    assert e2fsck(disk.snapshot(), "-n")[0] == 0
    image.write(1024 + 0x60, struct.pack("<L", 6))
    with pytest.raises(Unsupported, match=r"needs_recovery.*e2fsck -p"):
        run(check(RamDisk(image.data)))


@pytest.mark.parametrize("block_size", [2048, 65536])
def test_other_block_sizes(block_size: int, tmp_path: Path) -> None:
    peers.require("mke2fs", "e2fsck")
    path = tmp_path / "image"
    peers.mke2fs(path, 64 << 20, block_size=block_size, options=["-N", "64"])
    assert run(check(RamDisk(bytearray(path.read_bytes())))).exit_code == 0


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_type_is_found_and_the_volume_described(volume: Path) -> None:
    answer = command("fsck", "-n", "-v", str(volume))
    assert answer.code == 0
    assert b"no faults; 97/200 inodes" in answer.out
    answer = command("fsck", "-n", "--json", str(volume))
    assert json.loads(answer.out)["totals"]["zone_size"] == 1024


def test_preening_repairs_what_is_harmless_skips_what_is_clean_and_stops_at_the_rest(volume: Path) -> None:
    assert b"clean" in command("fsck", "-p", str(volume)).out
    harm(volume, "links_too_many")
    assert b"clean" in command("fsck", "-p", str(volume)).out
    assert command("fsck", "-p", "-f", str(volume)).code == 1
    assert e2fsck(volume.read_bytes(), "-n")[0] == 0
    before = harm(volume, "block_outside")
    answer = command("fsck", "-p", "-f", str(volume))
    assert answer.code == 4
    assert b"needs a decision" in answer.out
    assert volume.read_bytes() == before


def test_preening_checks_a_volume_that_is_due(volume: Path) -> None:
    image = Ext2Image(volume.read_bytes())
    for offset, data in ((0x3A, b"\0\0"), (0x34, b"\x05\0\x05\0"), (0x40, struct.pack("<LL", 1, 86400))):
        image.data[:] = image.original
        image.write(1024 + offset, data)
        volume.write_bytes(image.data)
        assert b"no faults" in command("fsck", "-p", str(volume)).out
        assert b"clean" in command("fsck", "-p", str(volume)).out


def test_a_copy_of_the_superblock_is_found_or_named(volume: Path) -> None:
    pristine = volume.read_bytes()
    assert command("fsck", "-n", "-b", "1025", "-B", "1024", str(volume)).code == 0
    assert command("fsck", "-n", "-b", "1025", str(volume)).code == 0
    assert command("fsck", "-n", "-b", "1026", str(volume)).code == 8
    assert command("fsck", "-n", "-B", "1024", str(volume)).code == 16
    wiped = bytearray(pristine)
    wiped[1024:4096] = bytes(3072)
    volume.write_bytes(wiped)
    assert command("fsck", "-y", "-b", "1025", str(volume)).code == 1
    assert e2fsck(volume.read_bytes(), "-n")[0] == 0


def test_padding_is_not_a_matter_of_choice(volume: Path) -> None:
    assert command("fsck", "-n", "--pad", "0", str(volume)).code == 16


def test_a_repair_can_be_taken_back(volume: Path, tmp_path: Path) -> None:
    before = harm(volume, "block_in_two_files", "links_too_many")
    undo = tmp_path / "undo"
    assert command("fsck", "-y", "-z", str(undo), str(volume)).code == 1
    assert volume.read_bytes() != before
    assert command("undo", str(undo), str(volume)).code == 0
    assert volume.read_bytes() == before


def test_a_large_empty_volume_takes_little_memory(tmp_path: Path) -> None:
    """64 GiB with four million inodes, in a process of its own whose address space is limited."""
    peers.require("mke2fs")
    image = tmp_path / "image"
    peers.mke2fs(image, 64 << 30, block_size=4096)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (700 << 20, 700 << 20))

    program = "from minixfs.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "fsck", "-n", str(image)],
        preexec_fn=limit,
        env={"OPENBLAS_NUM_THREADS": "1", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("path", "declined"),
    [(b"/many", Kind.DIRECTORY_HOLE), (b"/a/b", Kind.EMPTY_DIRECTORY), (b"/", Kind.EMPTY_DIRECTORY)],
)
def test_nothing_is_stored_in_the_first_block_of_a_directory_that_stays_without_it(
    volume: Path, path: bytes, declined: Kind
) -> None:
    image = Ext2Image(volume.read_bytes())
    image.put_pointer(2 if path == b"/" else image.number(path), 0, 0)
    disk = RamDisk(image.data)
    report = run(check(disk, Policy(write=True, ask=lambda finding: finding.kind != declined)))
    assert report.left
    assert not report.is_clean
    assert run(check(disk, REPAIR)).is_clean
    code, said = e2fsck(disk.snapshot(), "-n")
    assert code == 0, said
