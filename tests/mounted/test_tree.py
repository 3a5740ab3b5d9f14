"""A whole MINIX disk as one tree: sub-partitions on directories of the root, by its own fstab or by --also."""

from __future__ import annotations

import errno
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.posix.env import fails
from tests.support import mounts
from tests.support.mounts import Mount, MountFailedError, minixfs

SECTOR = 512
MINIX = 0x81  # partition type
VOLUME = 4 << 20  # bytes of a sub-partition
START = 64  # sector where the partition begins
FSTAB = """\
# what MINIX's installer writes
/dev/c0d0p0s0\t/\tmfs\trw\t0\t1
/dev/c0d0p0s1\t/home\tmfs\trw\t0\t2
/dev/c0d0p0s2\t/usr\tmfs\tro\t0\t2
none\t/sys\tdevman\trw,rslabel=devman\t0\t0
"""


def table(entries: list[tuple[int, int]]) -> bytes:
    """A partition table sector for (first sector, sectors)."""
    sector = bytearray(SECTOR)
    for slot, (first, count) in enumerate(entries):
        struct.pack_into("<B3xB3xII", sector, 446 + 16 * slot, 0, MINIX, first, count)
    sector[510:] = b"\x55\xaa"
    return bytes(sector)


def sub_partitions() -> list[tuple[int, int]]:
    return [(START + 1 + number * VOLUME // SECTOR, VOLUME // SECTOR) for number in range(3)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one partition with three sub-partitions, all sound when the test is over."""
    parts = sub_partitions()
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate((parts[-1][0] + parts[-1][1]) * SECTOR)
        file.write(table([(START, parts[-1][0] + parts[-1][1] - START)]))
        file.seek(START * SECTOR)
        file.write(table(parts))
        for first, _ in parts:
            file.seek(first * SECTOR)
            file.write(mounts.make_image(tmp_path / "part", size=VOLUME).read_bytes())
    with Mount(path, arguments=["-p", "p0s0"]) as mount:
        for name in ("etc", "home", "usr"):
            (mount.path / name).mkdir()
        (mount.path / "etc" / "fstab").write_text(FSTAB)
        (mount.path / "usr" / "hidden").touch()
    with Mount(f"{path}:p0s2") as mount:
        (mount.path / "bin").mkdir()
        (mount.path / "bin" / "program").write_bytes(b"program")
    yield path
    for first, count in parts:
        with path.open("rb") as file:
            file.seek(first * SECTOR)
            (tmp_path / "part").write_bytes(file.read(count * SECTOR))
        mounts.check_image(tmp_path / "part")


def test_the_fstab_of_the_disk_makes_one_tree(disk: Path) -> None:
    with Mount(disk, arguments=["--tree", "-p", "p0s0"], allow=["not a partition"]) as mount:
        root, home, usr = mount.path, mount.path / "home", mount.path / "usr"
        assert sorted(os.listdir(root)) == ["etc", "home", "usr"]
        assert (usr / "bin" / "program").read_bytes() == b"program"
        assert not (usr / "hidden").exists()
        (home / "file").write_bytes(b"at home")
        (home / "d" / "e").mkdir(parents=True)
        assert sorted(os.listdir(home)) == ["d", "file"]
        fails(errno.EROFS, (usr / "new").touch)  # as its entry says
        for move in (os.rename, os.link):
            fails(errno.EXDEV, move, home / "file", root / "file")
        fails(errno.EXDEV, os.link, usr / "bin" / "program", home / "program")
        shutil.move(home / "file", root / "moved")  # copies where it cannot rename
        assert (root / "moved").read_bytes() == b"at home"
        for name in ("home", "usr"):
            fails(errno.EBUSY, os.rmdir, root / name)
            fails(errno.EXDEV, os.rename, root / name, root / "other")  # MINIX's answer; Linux's would be EBUSY
        assert os.path.realpath(home / "d" / "e" / ".." / ".." / ".." / "moved") == str(root / "moved")
        inodes = {os.lstat(path).st_ino for path in (root, home, usr)}
        assert len(inodes) == 3
        mount.remount()
        assert sorted(os.listdir(home)) == ["d"]
    with Mount(f"{disk}:p0s1") as mount:
        assert os.listdir(mount.path) == ["d"]


def test_also_mounts_what_it_is_told(disk: Path) -> None:
    with Mount(f"{disk}:p0s1") as mount:
        (mount.path / "deep").mkdir()
    arguments = ["--also", "p0s1:/home", "--also", "p0s2:/home/deep"]
    with Mount(f"{disk}:p0s0", arguments=arguments) as mount:
        assert (mount.path / "home" / "deep" / "bin" / "program").read_bytes() == b"program"
        (mount.path / "home" / "deep" / "new").touch()
    with Mount(f"{disk}:p0s2") as mount:
        assert sorted(os.listdir(mount.path)) == ["bin", "new"]


def test_wrong_places_are_one_line(disk: Path) -> None:
    for words in (["p0s3:/home"], ["p0s1:/nowhere"], ["p0s1:/etc/fstab"], ["p0s0:/home"]):
        arguments = [word for pair in words for word in ("--also", pair)]
        with pytest.raises(MountFailedError) as failure, Mount(f"{disk}:p0s0", arguments=arguments):
            pass
        assert failure.value.code == 32
        assert len(failure.value.output.splitlines()) == 1, failure.value.output


def test_a_disk_is_not_mounted_without_choosing(disk: Path, directory: Path) -> None:
    refused = minixfs("mount", disk, directory)
    assert refused.returncode == 32
    assert f"{disk}:p0s1" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_sub_partitions_are_mounted_side_by_side(disk: Path) -> None:
    with Mount(f"{disk}:p0s0") as one, Mount(f"{disk}:p0s1") as other:
        (one.path / "one").touch()
        (other.path / "other").touch()
    offset = sub_partitions()[1][0] * SECTOR
    for words in ((f"offset={offset}",), (f"img_offset={offset}", f"img_size={VOLUME}")):
        with Mount(disk, *words) as mount:
            assert os.listdir(mount.path) == ["other"]
