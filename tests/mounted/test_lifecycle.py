"""From mount to a final image: going into the background, unmounting, signals, two mounts of one image."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from minixfs.daemon import mountpoint
from tests.support import mounts
from tests.support.mounts import Mount, minixfs
from tests.support.users import start

DATA = b"what must be in the image\n" * 1000


def test_mount_goes_into_the_background_when_it_answers(image: Path, directory: Path) -> None:
    done = minixfs("mount", image, directory)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert os.listdir(directory) == []  # it answers at once
    (directory / "file").write_bytes(DATA)

    gone = minixfs("umount", directory)
    assert gone.returncode == 0, gone.stderr
    assert gone.stdout.startswith(f"{image}: unmounted")
    mounts.check_image(image)
    with Mount(image) as mount:
        assert (mount.path / "file").read_bytes() == DATA


def test_unmounting_waits_until_the_image_is_final(image: Path, directory: Path) -> None:
    """The clean mark is the last thing that is written: with it everything is there."""
    for number in range(3):
        assert minixfs("mount", "-o", "commit=3600", image, directory).returncode == 0
        for name in range(30):
            (directory / f"{number}-{name}").write_bytes(DATA)
        assert minixfs("umount", "-q", directory).returncode == 0
        mounts.check_image(image)


def test_images_are_clean_only_while_nobody_changes_them(image: Path) -> None:
    with Mount(image, "commit=0.01") as mount:
        assert list(mount.path.iterdir()) == []
        assert mounts.superblock_of(image).clean  # looking changes nothing
        (mount.path / "file").touch()
        sync(mount.path)
        assert not mounts.superblock_of(image).clean
    assert mounts.superblock_of(image).clean


def test_unmounting_by_the_system_ends_the_mount_process(image: Path) -> None:
    with Mount(image) as mount:
        (mount.path / "file").write_bytes(DATA)
        mount.unmount()
        mounts.check_image(image)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_unmount_cleanly(image: Path, number: signal.Signals) -> None:
    with Mount(image, "commit=3600") as mount:
        (mount.path / "file").write_bytes(DATA)  # still in the kernel's cache
        mount.signal(number)
        assert mount.wait() == 0
        assert not mount.is_mounted
    mounts.check_image(image)
    with Mount(image) as mount:
        assert (mount.path / "file").read_bytes() == DATA


def test_a_signal_ends_a_mount_that_is_in_use(image: Path) -> None:
    with Mount(image) as mount:
        descriptor = os.open(mount.path / "file", os.O_RDWR | os.O_CREAT)
        try:
            os.write(descriptor, DATA)
            mount.signal(signal.SIGTERM)
            assert mount.wait() == 0
            assert not mount.is_mounted
            with pytest.raises(OSError, match="not connected"):
                os.fsync(descriptor)
        finally:
            with suppress(OSError):
                os.close(descriptor)
        assert "fail" not in mount.log
    mounts.check_image(image)
    with Mount(image) as mount:
        assert (mount.path / "file").read_bytes() == DATA


def test_a_mount_in_use_is_not_unmounted(image: Path) -> None:
    with Mount(image) as mount:
        with open(mount.path / "file", "wb"):
            refused = minixfs("umount", mount.path)
            assert refused.returncode == 32
            assert "busy" in refused.stderr
            assert mount.is_mounted
        assert minixfs("umount", mount.path).returncode == 0
        assert mount.wait() == 0
    mounts.check_image(image)


def test_a_lazy_unmount_ends_when_the_last_file_is_closed(image: Path) -> None:
    with Mount(image) as mount:
        with open(mount.path / "file", "wb") as file:
            assert minixfs("umount", "--lazy", mount.path).returncode == 0
            assert not mount.is_mounted
            file.write(DATA)
        assert mount.wait() == 0
    mounts.check_image(image)


def test_an_image_is_mounted_once(image: Path, directory: Path) -> None:
    with Mount(image) as mount:
        for words in (["rw"], ["ro"]):
            refused = minixfs("mount", "-o", *words, image, directory)
            assert refused.returncode == 32
            assert f"in use by pid {mount.pid}" in refused.stderr
            assert len(refused.stderr.splitlines()) == 1
        assert mountpoint.find(str(directory)) is None


def test_readers_share_an_image(image: Path, directory: Path) -> None:
    with Mount(image, "ro") as one, Mount(image, "ro") as other:
        assert os.listdir(one.path) == os.listdir(other.path) == []
        refused = minixfs("mount", image, directory)
        assert refused.returncode == 32
        assert "in use by pid" in refused.stderr


def test_changes_reach_the_image_in_time(image: Path) -> None:
    """Without fsync, within the commit interval after the kernel has handed the data over."""
    with Mount(image, "commit=0.05") as mount:
        (mount.path / "file").mkdir()
        before = os.stat(image).st_mtime_ns
        child = start(wait_for_change, image, before)
        assert child.result()
        mount.kill()
    assert minixfs("fsck", "-p", image).returncode in (0, 1)
    with Mount(image) as mount:
        assert os.listdir(mount.path) == ["file"]


def test_a_mount_on_a_mount_is_unmounted_first(image: Path, tmp_path: Path) -> None:
    other = mounts.make_image(tmp_path / "other")
    with Mount(image) as below:
        (below.path / "below").touch()
        assert minixfs("mount", other, below.path).returncode == 0
        assert os.listdir(below.path) == []
        assert minixfs("umount", "-q", below.path).returncode == 0
        assert os.listdir(below.path) == ["below"]
    mounts.check_image(image)
    mounts.check_image(other)


def test_the_mount_table_names_the_image(image: Path) -> None:
    with Mount(image) as mount:
        found = mountpoint.find(str(mount.path))
        assert found is not None
        assert (found.fstype, found.source) == ("fuse.minixfs", str(image))


@pytest.mark.parametrize("name", ["a, b", "a\\b", "a\tb\nc", "image:p9", "image@@512"])
def test_odd_file_names(tmp_path: Path, name: str) -> None:
    image = mounts.make_image(tmp_path / name)
    with Mount(image) as mount:
        found = mountpoint.find(str(mount.path))
        assert found is not None
        assert found.source == str(image)
        mount.signal(signal.SIGTERM)
        assert mount.wait() == 0
        assert not mount.is_mounted
    mounts.check_image(image)


def test_file_names_outside_ascii(tmp_path: Path) -> None:
    image = mounts.make_image(tmp_path / "f\udcfcr ü")
    with Mount(image) as mount:
        (mount.path / "file").touch()
    mounts.check_image(image)


def test_a_mount_whose_image_is_gone_from_the_host_goes_on(image: Path) -> None:
    with Mount(image) as mount:
        image.rename(image.with_name("elsewhere"))
        (mount.path / "file").write_bytes(DATA)
    mounts.check_image(image.with_name("elsewhere"))


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def wait_for_change(image: Path, before: int) -> bool:
    """Poll the host's time stamp; the child that runs this has a deadline."""
    while os.stat(image).st_mtime_ns == before:
        os.sched_yield()
    return True
