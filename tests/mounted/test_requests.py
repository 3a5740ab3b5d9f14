"""How many requests of the kernel everyday work costs: exactly as many, by opcode, as were recorded.

A request is a switch to the mount and back, which costs more than most of what is done in it, so one more for each
file is a loss that no timing on a busy machine shows. When a change of the numbers is meant, and for another kernel,
they are recorded anew:

    MINIXFS_RECORD=1 pytest -m long tests/mounted/test_requests.py

New files are written in the tick of the clock that they were made in: later the kernel has new times to tell.
All is done `TIMES` times, so that what the kernel asks once only can be told from what it asks each time. What it has
to write back is written back before each count: left alone, that comes when the kernel thinks fit.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minixfs.daemon import mountpoint
from minixfs.hw.clock import coarse_clock
from tests.mounted.conftest import Mounted
from tests.support import requests
from tests.support.mounts import Mount
from tests.support.requests import RequestCounter

RECORDED = Path(__file__).with_name("requests.json")
TIMES = 10
ENTRIES = 1000
MIB = 1 << 20
SHAPES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "MFS V3": ([], {"block_size": 4096}),
    "MFS V3, noatime": (["noatime"], {"block_size": 4096}),
    "ext2": ([], {"ext2": "-b 4096 -N 2048"}),
}
"""Words of the mount, and what the image is made with."""

pytestmark = pytest.mark.long


def await_tick() -> None:
    """Until the clock moves from which the times of files are taken: some milliseconds at most."""
    now = coarse_clock()
    while coarse_clock() == now:
        pass


def create(top: Path) -> None:
    for number in range(TIMES):
        os.close(os.open(top / f"file{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))


def stat_twice(top: Path) -> None:
    for number in range(2 * TIMES):
        os.stat(top / f"file{number % TIMES}")


def failed_lookup_twice(top: Path) -> None:
    for number in range(2 * TIMES):
        assert not (top / f"absent{number % TIMES}").exists()


def open_close(top: Path) -> None:
    for number in range(TIMES):
        os.close(os.open(top / f"file{number}", os.O_RDONLY))


def rename(top: Path) -> None:
    for number in range(TIMES):
        os.rename(top / f"file{number}", top / f"renamed{number}")


def unlink(top: Path) -> None:
    for number in range(TIMES):
        os.unlink(top / f"renamed{number}")


def mkdir_rmdir(top: Path) -> None:
    for _ in range(TIMES):
        os.mkdir(top / "directory")
        os.rmdir(top / "directory")


def unpack(top: Path) -> None:
    """What tar does with files: not tar itself, of which each version asks a little otherwise."""
    tree = top / "tree"
    tree.mkdir(0o700)
    for number in range(TIMES):
        await_tick()
        descriptor = os.open(tree / f"file{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        os.write(descriptor, bytes(5000))
        os.utime(descriptor, (1, 1))
        os.fchown(descriptor, 1, 1)
        os.fchmod(descriptor, 0o644)
        os.close(descriptor)
    tree.chmod(0o755)
    os.utime(tree, (1, 1))


def readdir(top: Path) -> None:
    assert len(os.listdir(top / "many")) == ENTRIES


def write_fsync(top: Path) -> None:
    """So much that it is not one request, so little that the kernel does not begin to write before the fsync."""
    await_tick()
    descriptor = os.open(top / "data", os.O_CREAT | os.O_WRONLY)
    for _ in range(TIMES):
        os.write(descriptor, bytes(MIB // TIMES))
    os.fsync(descriptor)
    os.close(descriptor)


def make_cold(top: Path) -> None:
    """Only the mount has the data. Its access time is so old that reading changes it, whatever the second is."""
    os.utime(top / "data", (0, 0))
    descriptor = os.open(top / "data", os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def read(top: Path) -> None:
    descriptor = os.open(top / "data", os.O_RDONLY)
    for _ in range(TIMES):
        assert len(os.read(descriptor, MIB // TIMES)) == MIB // TIMES
    os.close(descriptor)


def make_many(top: Path) -> None:
    (top / "many").mkdir()
    for number in range(ENTRIES):
        os.close(os.open(top / "many" / f"entry{number}", os.O_CREAT))


@pytest.fixture(params=SHAPES)
def mount(request: pytest.FixtureRequest, mounted: Mounted) -> tuple[str, Mount]:
    if reason := requests.why_not():
        pytest.skip(reason)
    words, image = SHAPES[request.param]
    return request.param, mounted(*words, **image)


def counts_of(mount: Mount) -> dict[str, dict[str, int]]:
    """By work, then by opcode."""
    top = mount.path
    kernel_mount = mountpoint.find(str(top))
    assert kernel_mount is not None
    counts: dict[str, dict[str, int]] = {}

    def count(name: str, work: Callable[[Path], object]) -> None:
        mountpoint.sync(str(top))
        counts[name] = counter.count(lambda: work(top))

    with RequestCounter(kernel_mount.device) as counter:
        count("create and close", create)
        count("stat, twice", stat_twice)
        count("failed lookup, twice", failed_lookup_twice)
        count("open and close", open_close)
        count("rename", rename)
        count("unlink", unlink)
        count("mkdir and rmdir", mkdir_rmdir)
        count("unpack a tree", unpack)
        make_many(top)
        count("readdir of 1,000 entries", readdir)
        count("write of 1 MB and fsync", write_fsync)
        make_cold(top)
        count("read of 1 MB", read)
    return counts


def kernel_version() -> str:
    return ".".join(platform.release().split(".")[:2])


def test_as_many_requests_as_recorded(mount: tuple[str, Mount]) -> None:
    kind, its_mount = mount
    counts = counts_of(its_mount)
    recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    if os.environ.get("MINIXFS_RECORD"):
        RECORDED.write_text(json.dumps(recorded | {"Linux": kernel_version(), kind: counts}, indent=1) + "\n")
        return
    if recorded["Linux"] != kernel_version():
        pytest.skip(f"recorded on Linux {recorded['Linux']}, which may ask otherwise than this one")
    wrong = [
        f"{work}: {counted}, recorded {recorded[kind].get(work)}"
        for work, counted in counts.items()
        if counted != recorded[kind].get(work)
    ]
    assert not wrong, "\n".join(wrong)
