"""Manners that all commands share: errors of one line with the next step, nothing on standard output but answers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from minixfs.cli.main import COMMANDS, SECTIONS, cli
from minixfs.hw.blockdev.image import ImageDevice
from tests.support.command import command

CALLS = {
    "mount": "{} directory", "umount": "{}", "mkfs": "{}/image 1M", "mkdisk": "{}/image 100M", "mkproto": "{}",
    "fsck": "-n {}", "undo": "{} {}", "info": "{}", "map": "{}", "dump": "{} superblock", "ls": "{}", "cat": "{}:/a",
    "cp": "{}:/a copy", "tar": "-cf copy.tar {}", "diff": "{} {}:/a", "rm": "{}:/a", "rmdir": "{}:/a",
    "mv": "{}:/a {}:/b", "mkdir": "{}:/a", "mknod": "{}:/a p", "ln": "-s a {}:/b", "chmod": "644 {}:/a",
    "chown": "1 {}:/a", "chgrp": "1 {}:/a", "touch": "{}:/a", "truncate": "-s 1 {}:/a", "stat": "{}:/a", "find": "{}",
    "du": "{}", "df": "{}", "tree": "{}", "shell": "-c ls {}", "completion": "{}",
}  # fmt: skip
"""A call of every command, with a place for an image."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "directory").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no image\n")
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 400)
    return tmp_path


def test_every_command_is_in_the_help() -> None:
    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(COMMANDS) == sorted(CALLS)
    answer = command("--help")
    assert answer.code == 0
    assert all(f"\n  {name} ".encode() in answer.out for name in COMMANDS)


def test_minixfs_alone_shows_the_help_and_fails() -> None:
    answer = command()
    assert answer.code == 2
    assert answer.err.startswith("Usage: minixfs")
    assert not answer.out


@pytest.mark.parametrize("image", ["missing", "missing/image", "empty", "text", "noise", "/dev/null"])
@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_no_image_is_one_line_that_names_the_command(place: Path, name: str, image: str) -> None:
    answer = command(name, *CALLS[name].format(image, image).split())
    assert answer.code != 0, answer
    assert len(answer.err.splitlines()) == 1, answer.err
    assert answer.err.startswith(f"minixfs {name}: ")
    assert "internal error" not in answer.err
    left = {path.name for path in place.iterdir()} - {"directory", "empty", "text", "noise"}
    assert not left, "nothing is left behind"


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("find", "chmod", "mount")])
def test_wrong_options_say_where_the_right_ones_are(name: str) -> None:
    answer = command(name, "--no-such-option")
    assert answer.code
    assert len(answer.err.splitlines()) == 1
    assert f"minixfs {name} --help" in answer.err or "Did you mean" in answer.err


def test_a_mistyped_command_or_option_is_recognised() -> None:
    assert command("lss").err == "minixfs: No such command 'lss'. Did you mean 'ls'?\n"
    assert command("xyzzy").err == "minixfs: No such command 'xyzzy'; see minixfs --help\n"
    assert "Did you mean '--json'?" in command("info", "--jsno", "image").err


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_there_and_complete(name: str) -> None:
    answer = command(name, "--help")
    assert answer.code == 0
    assert answer.out.startswith(b"Usage: minixfs " + name.encode())
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    assert found.help
    assert all(option.help for option in found.params if isinstance(option, click.Option))


@pytest.mark.parametrize(
    "words", ["ls -lR big.img", "find big.img", "info big.img", "dump big.img zone 9", "cat big.img:/file", "--help"]
)
def test_a_reader_that_goes_away_is_no_error(place: Path, words: str) -> None:
    (place / "directory" / "file").write_bytes(b"x" * 400_000)
    assert command("mkfs", "-q", "-d", "directory", "big.img", "1M").code == 0
    reading, writing = os.pipe()
    os.close(reading)
    program = "from minixfs.cli.main import main; main()"
    arguments = [sys.executable, "-c", program, *words.split()]
    try:
        run = subprocess.run(arguments, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    finally:
        os.close(writing)
    assert run.returncode == 141
    assert not run.stderr


@pytest.mark.parametrize(("word", "code"), [("--version", 0), ("nonsense", 2)])
def test_the_program_ends_in_order(word: str, code: int) -> None:
    """It does not wait for Python to take itself apart, but what wants to be done at the end is done."""
    program = "import atexit\nfrom minixfs.cli.main import program\natexit.register(print, 'the end')\nprogram()"
    run = subprocess.run([sys.executable, "-c", program, word], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == code
    assert (run.stderr or run.stdout).startswith("minixfs")
    assert run.stdout.endswith("the end\n")


def test_closed_standard_output_is_an_error_and_no_image_gets_its_place(place: Path) -> None:
    assert command("mkfs", "-q", "disk.img", "1M").code == 0
    before = (place / "disk.img").read_bytes()
    program = f"{sys.executable} -c 'from minixfs.cli.main import main; main()'"
    run = subprocess.run(f"{program} info disk.img >&-", shell=True, capture_output=True, timeout=60, check=False)
    assert (run.returncode, run.stderr) == (1, b"minixfs info: Bad file descriptor\n")
    assert subprocess.run(f"{program} rm disk.img:/a >&- 2>&- <&-", shell=True, timeout=60, check=False).returncode == 1
    assert (place / "disk.img").read_bytes()[4096:] == before[4096:]


@pytest.mark.parametrize(("name", "code"), [("fsck", 8), ("mkfs", 8), ("ls", 1)])
def test_a_defect_of_ours_is_one_line_and_no_success(
    place: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    """For fsck, 1 would say that all was repaired."""
    made = command("mkfs", "image", "1M")
    assert made.code == 0

    def broken(*_: object, **__: object) -> None:
        raise IndexError("list index out of range")

    monkeypatch.setattr(ImageDevice, "read", broken)
    monkeypatch.setattr(ImageDevice, "write", broken)
    answer = command(name, *(["image", "1M", "-f"] if name == "mkfs" else ["image"]))
    assert answer.code == code
    assert answer.err == (
        f"minixfs {name}: internal error (IndexError: list index out of range); set MINIXFS_TRACEBACK=1 to see where\n"
    )
