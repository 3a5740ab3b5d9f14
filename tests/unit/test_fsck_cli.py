"""`minixfs mkfs` and `minixfs fsck` as a user or a script meets them: exit codes, output, questions, JSON."""

from __future__ import annotations

import json
import os
import pty
import random
import subprocess
import sys
from pathlib import Path

import pytest

from minixfs.fs.mfs.layout import VARIANTS
from minixfs.mkfs.mfs import Options
from tests.support.command import command
from tests.support.damage import KINDS, Map
from tests.support.mfs_image import Image, populated

PROGRAM = [sys.executable, "-c", "from minixfs.cli.main import main; main()"]


def minixfs(*arguments: object, answers: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command, here or, with `answers`, as a process on a terminal that types them."""
    if answers is None:
        answer = command(*map(str, arguments))
        return subprocess.CompletedProcess([], answer.code, answer.out.decode(), answer.err)
    keyboard, terminal = pty.openpty()
    try:
        os.write(keyboard, answers.encode())
        process = [*PROGRAM, *map(str, arguments)]
        return subprocess.run(process, capture_output=True, text=True, stdin=terminal, timeout=60)
    finally:
        os.close(keyboard)
        os.close(terminal)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    path.write_bytes(populated(Options(block_size=1024, inodes=400), size=400 << 10).data)
    return path


def harm(volume: Path, *kinds: str) -> bytes:
    image = Image(bytearray(volume.read_bytes()))
    rng = random.Random(5)
    where = Map(image, rng)
    for kind in kinds:
        KINDS[kind](image, where, rng)
    volume.write_bytes(image.data)
    return bytes(image.data)


# ---- mkfs -------------------------------------------------------------------------------------------------


def test_mkfs_creates_a_sparse_file_of_the_size(tmp_path: Path) -> None:
    path = tmp_path / "new"
    done = minixfs("mkfs", path, "64M")
    assert (done.returncode, done.stderr) == (0, "")
    assert path.stat().st_size == 64 << 20
    assert path.stat().st_blocks * 512 < 1 << 20
    assert minixfs("fsck", "-n", path).returncode == 0


def test_mkfs_size_in_blocks_and_default_owner(tmp_path: Path) -> None:
    path = tmp_path / "new"
    assert minixfs("mkfs", "--version", 1, path, 500).returncode == 0
    assert path.stat().st_size == 500 << 10
    root = Image(bytearray(path.read_bytes())).inode(1)
    assert root.fields["i_mode"] == 0o040755
    assert root.fields["i_uid"] == (os.getuid() if os.getuid() <= 0xFFFF else 0)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ("", "V3"),
        ("--version 1 -n 14", "V1"),
        ("--version 2", "V2L"),
        ("--variant hybrid", "hybrid"),
        ("--version 2 -n 14 --big-endian --padding minix --root-owner 5:6 -z 1 -i 100", "V2"),
        ("-B 8K", "V3"),
    ],
)
def test_mkfs_json_describes_what_was_made(options: str, name: str, tmp_path: Path) -> None:
    done = minixfs("mkfs", "--json", *options.split(), tmp_path / "new", "4M")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["variant"] == name
    assert facts["big_endian"] == ("--big-endian" in options)
    assert facts["name_max"] == next(variant.name_max for variant in VARIANTS if variant.name == name)


def test_mkfs_does_not_overwrite_without_leave(volume: Path) -> None:
    before = volume.read_bytes()
    done = minixfs("mkfs", volume)
    assert done.returncode == 8
    assert "holds a MINIX V3 file system; use -f" in done.stderr
    assert minixfs("mkfs", volume, answers="n\n").returncode == 8
    assert volume.read_bytes() == before
    assert minixfs("mkfs", volume, answers="y\n").returncode == 0
    assert minixfs("mkfs", "-f", volume).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("{} 4M --version 4", 16),
        ("{} 4M --version 1 -n 20", 16),
        ("{} 4M -B 3000", 16),
        ("{} 4M --nonsense", 16),
        ("{} 4X", 16),
        ("{} 4M --root-owner root", 16),
        ("{} 70000 --version 1", 16),
        ("{}", 16),
        ("/dev/null", 8),
        ("/nowhere/file 4M", 8),
    ],
)
def test_mkfs_failures(arguments: str, code: int, tmp_path: Path) -> None:
    path = tmp_path / "new"
    done = minixfs("mkfs", *arguments.format(path).split())
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1
    assert not path.exists()


# ---- fsck -------------------------------------------------------------------------------------------------


def test_fsck_of_a_sound_volume(volume: Path) -> None:
    done = minixfs("fsck", volume)
    assert done.returncode == 0
    assert "no faults" in done.stdout


def test_fsck_codes_of_look_repair_and_look_again(volume: Path) -> None:
    before = harm(volume, "zone_in_two_files")
    look = minixfs("fsck", "-n", volume)
    assert look.returncode == 4
    assert "is in use twice" in look.stdout
    assert volume.read_bytes() == before
    assert minixfs("fsck", volume).returncode == 4
    assert volume.read_bytes() == before
    repair = minixfs("fsck", "-y", volume)
    assert repair.returncode == 1
    assert "; repaired" in repair.stdout
    assert minixfs("fsck", volume).returncode == 0


@pytest.mark.parametrize("option", ["-p", "-a"])
def test_fsck_preen_skips_what_is_marked_clean(option: str, volume: Path) -> None:
    harm(volume, "inode_map")
    done = minixfs("fsck", option, volume)
    assert (done.returncode, done.stdout) == (0, f"{volume}: clean\n")
    assert minixfs("fsck", option, "-f", volume).returncode == 1


def test_fsck_asks_on_a_terminal(volume: Path) -> None:
    before = harm(volume, "link_count", "symlink_without_text")
    quit_at_once = minixfs("fsck", volume, answers="q\n")
    assert quit_at_once.returncode == 32
    assert volume.read_bytes() == before
    assert minixfs("fsck", volume, answers="n\n" * 20).returncode == 4
    assert minixfs("fsck", volume, answers="y\na\n").returncode == 1
    assert minixfs("fsck", volume).returncode == 0


def test_fsck_json(volume: Path) -> None:
    harm(volume, "unknown_mode")
    done = minixfs("fsck", "-y", "--json", volume)
    report = json.loads(done.stdout)
    assert report["exit_code"] == done.returncode == 1
    assert report["findings"][0]["kind"] == "unknown-mode"
    assert report["findings"][0]["fixed"] is True
    assert json.loads(minixfs("fsck", "-p", "--json", volume).stdout)["skipped"] is True


def test_fsck_pads_on_request(volume: Path) -> None:
    assert minixfs("fsck", "-y", "--pad", 0, volume).returncode == 1
    assert minixfs("fsck", "-n", "--pad", 0, volume).returncode == 0
    assert minixfs("fsck", "-n", "--pad", 1, volume).returncode == 4


@pytest.mark.parametrize(
    ("arguments", "code"), [("-n -p {}", 16), ("--what {}", 16), ("{}.missing", 8), ("/dev/null", 8), ("", 16)]
)
def test_fsck_failures(arguments: str, code: int, volume: Path) -> None:
    done = minixfs("fsck", *arguments.format(volume).split())
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1


def test_fsck_of_what_is_no_volume(tmp_path: Path) -> None:
    path = tmp_path / "zeroes"
    path.write_bytes(bytes(1 << 20))
    done = minixfs("fsck", "-y", path)
    assert done.returncode == 8
    assert "no MINIX file system" in done.stderr
    assert path.read_bytes() == bytes(1 << 20)


def test_fsck_of_several_adds_up_the_codes_and_stops_at_none(volume: Path, tmp_path: Path) -> None:
    hurt, other = tmp_path / "hurt", tmp_path / "other"
    hurt.write_bytes(volume.read_bytes())
    harm(hurt, "link_count")
    other.write_bytes(bytes(1 << 20))
    done = minixfs("fsck", "-n", other, hurt, tmp_path / "missing", volume)
    assert done.returncode == 4 | 8
    assert len(done.stderr.splitlines()) == 2
    assert f"{volume}: no faults" in done.stdout
    lines = minixfs("fsck", "-n", "--json", other, hurt, volume).stdout.splitlines()
    assert [json.loads(line)["exit_code"] for line in lines] == [8, 4, 0]
    assert minixfs("fsck", "-y", hurt, volume).returncode == 1


def test_fsck_r_asks_on_a_terminal_only(volume: Path) -> None:
    before = harm(volume, "link_count")
    refused = minixfs("fsck", "-r", volume)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (8, 1)
    assert volume.read_bytes() == before
    assert minixfs("fsck", "-r", volume, answers="y\na\n").returncode == 1


def test_fsck_writes_progress_for_programs(volume: Path, tmp_path: Path) -> None:
    with (tmp_path / "progress").open("w+b") as file:
        process = [*PROGRAM, "fsck", "-n", f"-C{file.fileno()}", str(volume)]
        subprocess.run(process, pass_fds=[file.fileno()], check=True, capture_output=True, timeout=60)
        file.seek(0)
        lines = [line.split() for line in file.read().decode().splitlines()]
    assert [number for number, *_ in lines] == sorted(number for number, *_ in lines)
    assert {number for number, *_ in lines} == set("12345")
    assert all(int(done) <= int(total) and name == str(volume) for _, done, total, name in lines)
    refused = minixfs("fsck", "-n", "-C", 99_999, volume)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (16, 1)


def test_undo_takes_a_repair_back(volume: Path, tmp_path: Path) -> None:
    before = harm(volume, "zone_in_two_files", "maps_wiped", "superblock_magic")
    undo = tmp_path / "undo"
    done = minixfs("fsck", "-y", "-z", undo, volume)
    assert done.returncode == 1
    assert f"minixfs undo {undo} {volume}" in done.stdout
    after = volume.read_bytes()
    assert minixfs("undo", "--dry-run", undo, volume).returncode == 0
    assert volume.read_bytes() == after
    assert minixfs("undo", undo, volume).returncode == 0
    assert volume.read_bytes() == before
    assert "already" in minixfs("undo", undo, volume).stdout
    assert minixfs("fsck", "-y", "-z", undo, volume).returncode == 8, "an undo file is never overwritten"
    assert volume.read_bytes() == before


def test_undo_refuses_what_it_does_not_belong_to(volume: Path, tmp_path: Path) -> None:
    harm(volume, "maps_wiped")
    undo, copy = tmp_path / "undo", tmp_path / "copy"
    assert minixfs("fsck", "-y", "-z", undo, volume).returncode == 1
    repaired = volume.read_bytes()

    def refused(message: str, *arguments: object) -> None:
        done = minixfs("undo", *arguments)
        assert done.returncode == 8
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1

    changed = bytearray(repaired)
    changed[2 * 1024 + 5] ^= 1  # in the inode map, which was repaired
    copy.write_bytes(changed)
    refused("has changed since at byte 2048", undo, copy)
    changed = bytearray(repaired)
    changed[4 * 1024 + 64 * 20 + 12] ^= 1  # a time of inode 21, which the repair left alone
    copy.write_bytes(changed)
    refused("has been used since", undo, copy)
    assert copy.read_bytes() == changed
    copy.write_bytes(repaired + bytes(1024))
    refused("is for an image of", undo, copy)
    refused("no undo file", volume, volume)
    whole = undo.read_bytes()
    for broken in (whole[:-1], whole[:-40], whole[:100] + b"?" + whole[101:], whole + b"?"):
        undo.write_bytes(broken)
        refused("not complete, or damaged", undo, volume)
    refused("missing", tmp_path / "missing", volume)
    assert volume.read_bytes() == repaired


def test_no_undo_file_is_left_when_there_is_nothing_to_repair(volume: Path, tmp_path: Path) -> None:
    assert minixfs("fsck", "-y", "-z", tmp_path / "undo", volume).returncode == 0
    assert not (tmp_path / "undo").exists()
    for arguments in (["-n", "-z", tmp_path / "undo", volume], ["-y", "-z", tmp_path / "undo", volume, volume]):
        assert minixfs("fsck", *arguments).returncode == 16


def test_fsck_leaves_other_file_systems_alone(volume: Path) -> None:
    data = bytearray(volume.read_bytes())
    data[:4] = b"XFSB"
    data[1024:2048] = bytes(1024)
    volume.write_bytes(data)
    done = minixfs("fsck", "-y", volume)
    assert done.returncode == 8
    assert "holds an XFS file system" in done.stderr
    assert volume.read_bytes() == data


def test_fsck_without_standard_input_asks_nothing(volume: Path) -> None:
    """So fsck(8) runs the helpers of several file systems at once."""
    before = harm(volume, "link_count")
    process = ["sh", "-c", 'exec "$@" <&-', "sh", *PROGRAM, "fsck", str(volume)]
    done = subprocess.run(process, capture_output=True, text=True, timeout=60)
    assert done.returncode == 4, done.stderr
    assert volume.read_bytes() == before
