"""Much of everything: names in a directory, depth, data, handles, memory."""

from __future__ import annotations

import hashlib
import os
import random
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mounted.conftest import Mounted

NAMES = 20_000
REMOVED = 2_000
CHUNK = 1 << 20


def test_many_entries(mounted: Mounted) -> None:
    """Made, found, listed whole, removed in another order; places and space are used again."""
    mount = mounted(size=48 << 20, inodes=NAMES + 100)
    wide = mount.path / "wide"
    wide.mkdir()
    names = [f"{number:05}-with-a-name-of-some-length" for number in range(NAMES)]
    for name in names:
        os.close(os.open(wide / name, os.O_CREAT | os.O_EXCL))
    mount.remount()
    assert sorted(os.listdir(wide)) == names
    assert (wide / names[-1]).exists()
    assert not (wide / "absent").exists()
    used, size = os.statvfs(mount.path), wide.stat().st_size
    random.Random(1).shuffle(names)
    for name in names[:REMOVED]:
        os.unlink(wide / name)
    assert set(os.listdir(wide)) == set(names[REMOVED:])
    for number in range(REMOVED):
        (wide / f"again{number}").symlink_to("x")
    after = os.statvfs(mount.path)
    assert (after.f_ffree, wide.stat().st_size) == (used.f_ffree, size)


def chunks(seed: int, count: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    for _ in range(count):
        yield rng.randbytes(CHUNK)


@pytest.mark.parametrize("block_size", [1024, 4096])
def test_much_data_in_a_small_cache(mounted: Mounted, block_size: int) -> None:
    """More than any cache of ours holds goes through it unharmed, and memory stays where it is."""
    mount = mounted("cache_size=1M", size=80 << 20, block_size=block_size)
    before = mount.resident()
    digest = hashlib.sha256()
    with (mount.path / "file").open("wb") as file:
        for chunk in chunks(7, 60):
            file.write(chunk)
            digest.update(chunk)
    mount.remount()
    with (mount.path / "file").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == digest.digest()
    assert mount.resident() < before + (32 << 20)


def test_deep_directories(mounted: Mounted) -> None:
    mount = mounted(inodes=2000)
    here = os.open(mount.path, os.O_RDONLY)
    try:
        for _ in range(1000):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        for _ in range(1000):
            above = os.open("..", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = above
            os.rmdir("d", dir_fd=here)
    finally:
        os.close(here)
    assert os.listdir(mount.path) == []


def test_many_open_files(mounted: Mounted) -> None:
    """Also unlinked ones; each keeps its own data, and the last close frees it."""
    limit = min(1000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100)
    mount = mounted(inodes=2000)
    free = os.statvfs(mount.path).f_ffree
    descriptors = []
    try:
        for number in range(limit):
            descriptors.append(os.open(mount.path / f"f{number}", os.O_RDWR | os.O_CREAT))
            os.write(descriptors[-1], b"%d" % number)
            os.unlink(mount.path / f"f{number}")
        assert os.statvfs(mount.path).f_ffree == free - limit
        for number, descriptor in enumerate(descriptors):
            assert os.pread(descriptor, 10, 0) == b"%d" % number
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    assert not os.listdir(mount.path)


def test_memory_stays_bounded_over_many_files(mounted: Mounted) -> None:
    """What the kernel has forgotten we forget too."""
    mount = mounted("cache_size=4M", size=32 << 20, inodes=9000)
    sizes = []
    for turn in range(4):
        for number in range(800):
            (mount.path / f"{turn}-{number}").write_bytes(b"x")
        for number in range(800):
            os.unlink(mount.path / f"{turn}-{number}")
        sizes.append(mount.resident())
    assert sizes[-1] < sizes[0] + (8 << 20), sizes


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_file_of_two_gigabytes(mounted: Mounted, tmp_path: Path) -> None:
    if os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize < 3 << 30:
        pytest.skip("needs 3 GiB of disk space")
    mount = mounted(size=2200 << 20)
    digest = hashlib.sha256()
    with (mount.path / "file").open("wb") as file:
        for chunk in chunks(3, 2047):
            file.write(chunk)
            digest.update(chunk)
    mount.remount()
    with (mount.path / "file").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == digest.digest()
