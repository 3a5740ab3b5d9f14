"""Where a volume ends: no space, no inodes, no more links, files and names that get too big."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.mounted.conftest import Mounted
from tests.posix.env import fails
from tests.support import mounts
from tests.support.mounts import Mount

SMALL = 1 << 20  # bytes of a volume that is filled


def store(path: Path, data: bytes) -> None:
    """All or an error, which comes at close at the latest."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)


def until_full(make: Callable[[int], None]) -> int:
    """Call `make` with 0, 1, ... until there is no space for one; its number."""
    for number in range(10_000):
        try:
            make(number)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return number
    raise AssertionError("the disk does not get full")


@pytest.mark.parametrize("words", [[], ["sync"]])
def test_a_full_disk_is_enospc_and_loses_nothing_else(mounted: Mounted, words: list[str]) -> None:
    mount = mounted(*words, size=SMALL, block_size=1024)
    stored = until_full(lambda number: store(mount.path / f"f{number}", bytes([number % 251]) * 50_000))
    assert stored > 10
    assert os.statvfs(mount.path).f_bfree < 50
    for number in range(stored):
        assert (mount.path / f"f{number}").read_bytes() == bytes([number % 251]) * 50_000
    for number in range(stored + 1):
        (mount.path / f"f{number}").unlink()
    store(mount.path / "again", b"x" * 500_000)
    assert (mount.path / "again").read_bytes() == b"x" * 500_000


def test_a_write_that_fits_in_part_is_an_error_at_close(mounted: Mounted) -> None:
    """The kernel's write-back does not look at short counts: the rest would be lost without a word."""
    mount = mounted(size=SMALL, block_size=1024)
    free = os.statvfs(mount.path).f_bfree * 1024
    store(mount.path / "first", b"1" * (free - 100_000))
    descriptor = os.open(mount.path / "second", os.O_WRONLY | os.O_CREAT)
    assert os.write(descriptor, b"2" * 130_000) == 130_000
    fails(errno.ENOSPC, os.close, descriptor)
    (mount.path / "second").unlink()
    assert (mount.path / "first").stat().st_size == free - 100_000


def test_fsync_tells_of_a_full_disk(mounted: Mounted) -> None:
    mount = mounted(size=SMALL, block_size=1024)
    descriptor = os.open(mount.path / "file", os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, b"x" * 2 * SMALL)
    fails(errno.ENOSPC, os.fsync, descriptor)
    with suppress(OSError):
        os.close(descriptor)


@pytest.mark.parametrize("make", [os.mkdir, lambda path: os.symlink("x" * 900, path)])
def test_no_space_for_directories_and_links(mounted: Mounted, make: Callable[[Path], None]) -> None:
    mount = mounted(size=SMALL, block_size=1024, inodes=2000)
    with suppress(OSError):
        store(mount.path / "ballast", b"x" * SMALL)
    made = until_full(lambda number: make(mount.path / f"n{number}"))
    assert not (mount.path / f"n{made}").is_symlink()
    assert not (mount.path / f"n{made}").exists()
    assert len(os.listdir(mount.path)) == made + 1


def test_no_inodes_left(mounted: Mounted) -> None:
    mount = mounted(size=SMALL, block_size=1024, inodes=64)
    usage = os.statvfs(mount.path)
    assert (usage.f_files, usage.f_ffree) == (64, 63)
    for number in range(63):
        (mount.path / f"f{number}").touch()
    assert os.statvfs(mount.path).f_ffree == 0
    for make in (Path.touch, Path.mkdir, lambda path: path.symlink_to("x"), os.mkfifo):
        fails(errno.ENOSPC, make, mount.path / "more")
    (mount.path / "f7").unlink()
    (mount.path / "more").touch()


@pytest.mark.parametrize(("version", "name_max"), [(1, 14), (1, 30), (2, 14), (2, 30), (3, 60)])
def test_names(mounted: Mounted, version: int, name_max: int) -> None:
    mount = mounted(version=version, name_max=name_max, size=SMALL)
    longest = mount.path / ("n" * name_max)
    longest.touch()
    for call in (Path.touch, Path.mkdir, Path.stat, Path.unlink, os.mkfifo):
        fails(errno.ENAMETOOLONG, call, mount.path / ("n" * (name_max + 1)))
    fails(errno.ENAMETOOLONG, os.rename, longest, mount.path / ("m" * (name_max + 1)))
    fails(errno.ENAMETOOLONG, os.link, longest, mount.path / ("m" * (name_max + 1)))
    assert os.listdir(mount.path) == [longest.name]
    assert os.statvfs(mount.path).f_namemax == name_max


def test_names_are_cut_where_that_is_wanted(mounted: Mounted) -> None:
    mount = mounted("truncate_names", version=2, name_max=14, size=SMALL)
    (mount.path / "123456789012345").write_bytes(b"data")
    assert os.listdir(mount.path) == ["12345678901234"]
    assert (mount.path / "1234567890123456789").read_bytes() == b"data"
    (mount.path / "12345678901234xyz").unlink()
    assert os.listdir(mount.path) == []
    assert not (mount.path / "123456789012345").exists()


def test_too_many_links_in_v1(mounted: Mounted) -> None:
    mount = mounted(version=1, size=4 << 20)
    file = mount.path / "file"
    file.touch()
    for number in range(249):
        os.link(file, mount.path / f"l{number}")
    fails(errno.EMLINK, os.link, file, mount.path / "more")
    assert file.stat().st_nlink == 250
    for number in range(248):
        (mount.path / f"d{number}").mkdir()
    fails(errno.EMLINK, os.mkdir, mount.path / "more")
    assert mount.path.stat().st_nlink == 250


@pytest.mark.long
def test_too_many_links_in_v3(mounted: Mounted) -> None:
    mount = mounted()
    file = mount.path / "file"
    file.touch()
    for number in range(32766):
        os.link(file, mount.path / f"l{number}")
    fails(errno.EMLINK, os.link, file, mount.path / "more")
    assert file.stat().st_nlink == 32767


SPARSE = [(3, None, 4096), (3, None, 1024), (2, 30, 1024), (1, 14, 1024)]


@pytest.mark.parametrize(("version", "name_max", "block_size"), SPARSE)
def test_largest_file(mounted: Mounted, version: int, name_max: int | None, block_size: int) -> None:
    """With write-back the size is ours to refuse only when the data reaches us: at fsync or close."""
    mount = mounted(version=version, name_max=name_max, block_size=block_size)
    largest = mounts.limits_of(Path(mount.image)).file_size_max
    assert largest is not None
    file = mount.path / "file"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT)
    assert os.pwrite(descriptor, b"end", largest - 3) == 3
    os.fsync(descriptor)
    fails(errno.EFBIG, os.ftruncate, descriptor, largest + 1)
    assert os.fstat(descriptor).st_size == largest
    assert os.pwrite(descriptor, b"END and more", largest - 3) == 12
    fails(errno.EFBIG, os.fsync, descriptor)
    with suppress(OSError):
        os.close(descriptor)
    mount.remount()
    assert file.stat().st_size == largest
    with file.open("rb") as stream:
        stream.seek(-6, os.SEEK_END)
        assert stream.read() == b"\0\0\0END"
    assert file.stat().st_blocks * 512 <= 16 * block_size


def test_largest_file_without_write_back(mounted: Mounted) -> None:
    mount = mounted("sync", version=2, name_max=14)
    largest = mounts.limits_of(Path(mount.image)).file_size_max
    assert largest is not None
    descriptor = os.open(mount.path / "file", os.O_RDWR | os.O_CREAT)
    try:
        assert os.pwrite(descriptor, b"x" * 10, largest - 4) == 4
        fails(errno.EFBIG, os.pwrite, descriptor, b"x", largest)
    finally:
        os.close(descriptor)


def test_files_above_the_first_indirect_blocks(mounted: Mounted) -> None:
    """Data on both sides of every change in the mapping, and holes between."""
    mount = mounted(block_size=1024)
    edges = [7, 7 + 256, 7 + 256 + 256, 7 + 256 + 65280]
    descriptor = os.open(mount.path / "file", os.O_RDWR | os.O_CREAT)
    try:
        for edge in edges:
            os.pwrite(descriptor, b"ab", edge * 1024 - 1)
    finally:
        os.close(descriptor)
    mount.remount()
    with (mount.path / "file").open("rb") as file:
        for edge in edges:
            file.seek(edge * 1024 - 2)
            assert file.read(4) == (b"\0ab" if edge == edges[-1] else b"\0ab\0")
    assert (mount.path / "file").stat().st_blocks < 60


def test_ids_that_do_not_fit(mounted: Mounted) -> None:
    if os.geteuid():
        pytest.skip("needs root")
    old, new = mounted(version=1), mounted()
    for mount, gid in ((old, 256), (new, 65536)):
        file = mount.path / "file"
        file.touch()
        fails(errno.EOVERFLOW, os.chown, file, 1, gid)
        fails(errno.EOVERFLOW, os.chown, file, 65536, 1)
        os.chown(file, 65535, gid - 1)
        assert (file.stat().st_uid, file.stat().st_gid) == (65535, gid - 1)


def test_read_only(image: Path) -> None:
    with Mount(image) as mount:
        (mount.path / "file").write_bytes(b"data")
        (mount.path / "d").mkdir()
    before = image.read_bytes()
    with Mount(image, "ro") as mount:
        file, new = mount.path / "file", mount.path / "new"
        assert file.read_bytes() == b"data"
        assert os.listdir(mount.path / "d") == []
        attempts: list[Callable[[], object]] = [
            lambda: file.open("r+b"),
            lambda: os.truncate(file, 0),
            lambda: os.chmod(file, 0o600),
            lambda: os.chown(file, 0, 0),
            lambda: os.utime(file),
            lambda: file.unlink(),
            lambda: file.rename(new),
            lambda: os.link(file, new),
            lambda: new.touch(),
            lambda: new.mkdir(),
            lambda: new.symlink_to("x"),
            lambda: os.mkfifo(new),
            lambda: (mount.path / "d").rmdir(),
        ]
        for attempt in attempts:
            fails(errno.EROFS, attempt)
        assert os.statvfs(mount.path).f_flag & os.ST_RDONLY
    assert image.read_bytes() == before


def test_a_read_only_image_can_be_read(image: Path) -> None:
    image.chmod(0o444)
    with Mount(image, "ro") as mount:
        assert os.listdir(mount.path) == []
