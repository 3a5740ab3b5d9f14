"""The mount process is killed in the middle of work: what was fsynced is there, and a checker can repair the rest.

A worker makes, overwrites, renames and removes files, and reports through a pipe what it has fsynced; then the mount
is killed. Files that were fsynced and not touched since must be there byte for byte after a repair, whoever repairs.
"""

from __future__ import annotations

import os
import pickle
import random
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from minixfs.fsck.mfs import check
from minixfs.fsck.report import REPAIR
from minixfs.hw.blockdev.open import open_device
from minixfs.hw.runtime import run
from tests.support import mounts, peers
from tests.support.mounts import Mount
from tests.support.users import start

FILES = 40  # names that a worker uses
STEPS = 100_000  # more than it gets to

Shape = dict[str, Any]
SHAPES: dict[str, Shape] = {
    "V3-4K": {"version": 3, "block_size": 4096},
    "V3-1K": {"version": 3, "block_size": 1024},
    "V2-30": {"version": 2, "name_max": 30},
    "V1-14": {"version": 1, "name_max": 14},
    "ext2-4K": {"ext2": "-b 4096"},
    "ext2-1K": {"ext2": "-b 1024 -I 128"},
}
BOTH = ["V3-4K", "ext2-4K"]


def work(root: Path, seed: int, report: int) -> None:
    """Change files below `root` until the mount is gone, telling of every file before and after it is changed.

    A message is (name, data): None for a file that may be anything from now on, else what fsync has confirmed.
    """
    rng = random.Random(seed)
    here: list[str] = []
    for step in range(STEPS):
        try:
            match rng.choice(("make", "make", "overwrite", "append", "rename", "unlink", "mkdir")):
                case "make":
                    name = f"f{step}"
                    if len(here) >= FILES:
                        continue
                    here.append(name)
                    store(root, name, "wb", rng.randbytes(rng.choice((10, 5000, 200_000))), report)
                case "overwrite" | "append" as how if here:
                    mode = "wb" if how == "overwrite" else "ab"
                    store(root, rng.choice(here), mode, rng.randbytes(rng.randrange(20_000)), report)
                case "rename" if here:
                    old, new = rng.choice(here), f"r{step}"
                    tell(report, old, None)
                    data = (root / old).read_bytes()
                    os.rename(root / old, root / new)
                    here.remove(old)
                    here.append(new)
                    sync(root)
                    tell(report, new, data)
                case "unlink" if here:
                    name = here.pop(rng.randrange(len(here)))
                    tell(report, name, None)
                    os.unlink(root / name)
                case "mkdir":
                    os.mkdir(root / f"d{step}")
                    os.rmdir(root / f"d{step - 1}") if (root / f"d{step - 1}").exists() else None
        except OSError:
            return  # the mount is gone


def store(root: Path, name: str, mode: str, data: bytes, report: int) -> None:
    tell(report, name, None)
    with open(root / name, mode) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    tell(report, name, (root / name).read_bytes())


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def tell(report: int, name: str, data: bytes | None) -> None:
    message = pickle.dumps((name, data))
    message = len(message).to_bytes(4, "little") + message
    while message:
        message = message[os.write(report, message) :]


def messages(source: int, until: Callable[[int], bool]) -> dict[str, bytes]:
    """Files that are confirmed; `until` is called with the number of confirmations so far."""
    confirmed: dict[str, bytes] = {}
    count, ended = 0, False
    with os.fdopen(source, "rb", closefd=False) as stream:
        while header := stream.read(4):
            name, data = pickle.loads(stream.read(int.from_bytes(header, "little")))
            confirmed.pop(name, None)
            if data is not None:
                confirmed[name] = data
                count += 1
                ended = ended or until(count)
    return confirmed


def crash(image: Path, seed: int, confirmations: int, *words: str) -> dict[str, bytes]:
    """Work on a mount of `image`, kill it after so many confirmations, and return what was confirmed in the end."""
    source, report = os.pipe()
    try:
        with Mount(image, *words) as mount:
            child = start(work, mount.path, seed, report, seconds=60)
            os.close(report)
            report = -1

            def until(count: int) -> bool:
                if count == confirmations:
                    mount.die()
                return count == confirmations

            confirmed = messages(source, until)
            child.result()
            mount.detach()  # not before: whoever still works there would go on in the directory below
    finally:
        os.close(source)
        if report >= 0:
            os.close(report)
    return confirmed


def repair(image: Path) -> None:
    """By our checker; e2fsck repairs ext2."""
    if mounts.is_ext2(image):
        peers.repair_ext2(image)
        return
    device = run(open_device(image))
    try:
        assert run(check(device, REPAIR)).is_clean
    finally:
        device.close()


def repair_with_fsck_minix(image: Path) -> None:
    command = ["fsck.minix", "-f", "-a", str(image)]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)


def check_confirmed(image: Path, confirmed: dict[str, bytes]) -> None:
    with Mount(image, allow=["not cleanly unmounted"]) as mount:  # fsck.minix does not mark V3 clean
        for name, data in confirmed.items():
            assert (mount.path / name).read_bytes() == data, name


@pytest.mark.parametrize("shape", SHAPES)
def test_what_was_fsynced_survives_a_kill(tmp_path: Path, shape: str, rng: random.Random) -> None:
    image = mounts.make_image(tmp_path / "image", **SHAPES[shape])
    confirmed = crash(image, rng.getrandbits(32), 40, "commit=0.02")
    copy = tmp_path / "copy"
    shutil.copy(image, copy)
    repair(image)
    mounts.check_image(image)
    check_confirmed(image, confirmed)
    if mounts.fsck_minix_knows(copy):
        repair_with_fsck_minix(copy)
        assert peers.fsck_minix(copy).clean
        check_confirmed(copy, confirmed)


@pytest.mark.long
@pytest.mark.parametrize("shape", SHAPES)
def test_many_kills(tmp_path: Path, shape: str, rng: random.Random) -> None:
    for _ in range(15):
        image = mounts.make_image(tmp_path / "image", **SHAPES[shape])
        confirmed = crash(image, rng.getrandbits(32), rng.randrange(1, 200), f"commit={rng.choice((0.01, 0.1, 1))}")
        repair(image)
        mounts.check_image(image)
        check_confirmed(image, confirmed)


@pytest.mark.parametrize("shape", BOTH)
def test_with_sync_every_change_survives(tmp_path: Path, shape: str) -> None:
    image = mounts.make_image(tmp_path / "image", **SHAPES[shape])
    with Mount(image, "sync", "commit=3600") as mount:
        os.mkdir(mount.path / "d")
        (mount.path / "d" / "file").write_bytes(b"data" * 10_000)
        os.symlink("file", mount.path / "d" / "link")
        os.rename(mount.path / "d" / "file", mount.path / "renamed")
        mount.kill()
    repair(image)
    with Mount(image) as mount:
        assert (mount.path / "renamed").read_bytes() == b"data" * 10_000
        assert sorted(os.listdir(mount.path / "d")) == ["link"]


def test_a_v3_volume_that_crashed_is_read_only_until_it_is_checked(tmp_path: Path) -> None:
    image = mounts.make_image(tmp_path / "image")
    with Mount(image) as mount:
        (mount.path / "file").write_bytes(b"data")
        sync(mount.path)
        mount.kill()
    with Mount(image, allow=["not cleanly unmounted"]) as mount:
        assert "warning" in mount.log
        assert (mount.path / "file").read_bytes() == b"data"
        with pytest.raises(OSError, match="Read-only"):
            (mount.path / "other").touch()
        with pytest.raises(OSError, match="Read-only"):
            (mount.path / "file").write_bytes(b"other")
    with Mount(image, "force", allow=["not cleanly unmounted"]) as mount:
        (mount.path / "other").touch()
    repair(image)
    with Mount(image) as mount:
        assert sorted(os.listdir(mount.path)) == ["file", "other"]
    mounts.check_image(image)


@pytest.mark.parametrize("version", [1, 2])
def test_older_volumes_that_crashed_can_be_written_unless_strict(tmp_path: Path, version: int) -> None:
    """As Linux does it; `-o strict` is MINIX's way."""
    image = mounts.make_image(tmp_path / "image", version)
    with Mount(image) as mount:
        (mount.path / "file").touch()
        sync(mount.path)
        mount.kill()
    with Mount(image, "strict", allow=["not cleanly unmounted"]) as mount:
        with pytest.raises(OSError, match="Read-only"):
            (mount.path / "other").touch()
    with Mount(image, allow=["not cleanly unmounted"]) as mount:
        (mount.path / "other").touch()


@pytest.mark.parametrize("shape", BOTH)
def test_unlinked_open_files_leave_no_trace_after_a_crash(tmp_path: Path, shape: str) -> None:
    image = mounts.make_image(tmp_path / "image", **SHAPES[shape])
    with Mount(image) as mount:
        free = os.statvfs(mount.path).f_bfree
        descriptor = os.open(mount.path / "file", os.O_RDWR | os.O_CREAT)
        try:
            os.write(descriptor, b"x" * 1_000_000)
            os.unlink(mount.path / "file")
            os.fsync(descriptor)
            mount.kill()
        finally:
            with suppress(OSError):
                os.close(descriptor)
    repair(image)
    mounts.check_image(image)
    with Mount(image) as mount:
        assert os.statvfs(mount.path).f_bfree == free
