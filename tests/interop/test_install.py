"""`make install` into a directory of the test's own, used from there, and taken away again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from minixfs.cli.helpers import HELPERS

ROOT = Path(__file__).parents[2]
SECONDS = 600


def make(*words: str) -> None:
    subprocess.run(["make", "-C", ROOT, *words], timeout=SECONDS, check=True)


def files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_symlink() or not path.is_dir()]


@pytest.mark.long
@pytest.mark.timeout(2 * SECONDS)
def test_what_is_installed_works_and_can_be_taken_away(tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    make("install", f"PREFIX={prefix}")

    def run(program: str, *words: str) -> str:
        return subprocess.run(
            [prefix / program, *words], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    run("bin/minixfs", "mkfs", "-q", "disk.img", "1M")
    assert "no faults" in run("sbin/fsck.minixfs", "-n", "disk.img")
    assert {path.name for path in (prefix / "sbin").iterdir()} == set(HELPERS)
    assert "disk.img:/" in run("bin/minixfs", "completion", "zsh", "--", "minixfs", "cat", "disk")
    pages = {"man1/minixfs.1", "man1/minixfs-cp.1", "man5/minixfs.5", "man8/mount.minixfs.8"}
    assert all((prefix / "share" / "man" / page).is_file() for page in pages)
    make("install", f"PREFIX={prefix}")  # over what is there
    make("uninstall", f"PREFIX={prefix}")
    assert not files(prefix)


@pytest.mark.long
@pytest.mark.timeout(SECONDS)
def test_packagers_install_below_another_root(tmp_path: Path) -> None:
    """Programs and links name the places where they will be, not where they are now."""
    make("install", "PREFIX=/usr", f"DESTDIR={tmp_path}")
    program = tmp_path / "usr" / "bin" / "minixfs"
    assert program.read_text().startswith("#!/usr/lib/minixfs/bin/python -I\n")
    assert all(os.readlink(tmp_path / "usr" / "sbin" / name) == "/usr/bin/minixfs" for name in HELPERS)
    assert str(tmp_path) not in (tmp_path / "usr/lib/minixfs/pyvenv.cfg").read_text()
    make("uninstall", "PREFIX=/usr", f"DESTDIR={tmp_path}")
    assert not files(tmp_path)
