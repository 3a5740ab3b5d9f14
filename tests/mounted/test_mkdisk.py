"""Disks by `minixfs mkdisk`: full, sound in every part, and one tree when they are mounted."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from tests.support.mounts import Mount, minixfs

PROTO = "boot\n0 0\nd--755 0 0\nlib d--755 0 0\nfrom ---640 3 4 text\n$\n$\n"


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "rc").write_bytes(b"#!/bin/sh\n")
    (root / "big").write_bytes(os.urandom(3 << 20))
    (tmp_path / "text").write_bytes(b"by prototype")
    (tmp_path / "proto").write_text(PROTO.replace(" text", f" {tmp_path}/text"))
    with tarfile.open(tmp_path / "home.tar", "w") as archive:
        archive.add(tmp_path / "text", "user/notes")
    return {"root": root, "home": tmp_path / "home.tar", "usr": tmp_path / "proto"}


def check_parts(disk: Path, count: int) -> None:
    parts = [part for part in ("p0s0", "p0s1", "p0s2") if count == 3 or part != "p0s1"]
    for part in parts:
        done = minixfs("fsck", "-n", "-f", f"{disk}:{part}")
        assert done.returncode == 0, done.stdout


def test_an_installed_disk_from_a_directory_a_tar_file_and_a_prototype(
    tmp_path: Path, sources: dict[str, Path]
) -> None:
    disk = tmp_path / "disk"
    words = [word for name, source in sources.items() for word in (f"--{name}", source)]
    done = minixfs("mkdisk", disk, "32M", "--root-size", "8M", "--fstab", *words)
    assert (done.returncode, done.stderr) == (0, "")
    with Mount(disk, arguments=["--tree"]) as mount:
        assert sorted(os.listdir(mount.path)) == ["big", "etc", "home", "usr"]
        assert (mount.path / "big").read_bytes() == (sources["root"] / "big").read_bytes()
        assert (mount.path / "home" / "user" / "notes").read_bytes() == b"by prototype"
        found = mount.path / "usr" / "lib" / "from"
        assert found.read_bytes() == b"by prototype"
        assert (found.stat().st_mode, found.stat().st_uid, found.stat().st_gid) == (0o100640, 3, 4)
        (mount.path / "home" / "new").write_bytes(b"new")
    assert minixfs("cat", f"{disk}:p0s1:/new").stdout == "new"
    check_parts(disk, 3)


def test_a_release_disk_is_as_large_as_its_contents(tmp_path: Path, sources: dict[str, Path]) -> None:
    disk = tmp_path / "disk"
    words = ["--root", sources["root"], "--usr", sources["usr"], "--fstab", "--layout", "release"]
    done = minixfs("mkdisk", disk, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert disk.stat().st_size % (64 * 32 * 512) == 0
    assert disk.stat().st_size < 6 << 20
    with Mount(disk, "ro", arguments=["--tree"]) as mount:
        assert (mount.path / "usr" / "lib" / "from").read_bytes() == b"by prototype"
        assert (mount.path / "etc" / "rc").read_bytes() == b"#!/bin/sh\n"
        assert "p0s1" not in (mount.path / "etc" / "fstab").read_text()
    check_parts(disk, 2)


def test_an_empty_disk_is_a_tree_at_once(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    assert minixfs("mkdisk", disk, "128M").returncode == 0
    with Mount(disk, arguments=["--tree"]) as mount:
        assert sorted(os.listdir(mount.path)) == ["etc", "home", "usr"]
        (mount.path / "usr" / "file").write_bytes(bytes(40 << 20))
        (mount.path / "file").write_bytes(bytes(60 << 20))
    check_parts(disk, 3)
