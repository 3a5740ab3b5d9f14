"""The device fails at its n-th operation, for every n of a scenario.

What must hold: the failing request, or the sync behind it, says so; done again it succeeds as if it had been done
once; nothing that was acknowledged is missing; after an unmount the checker finds nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from minixfs.errors import DeviceError
from minixfs.fs.disk.volume import Settings
from minixfs.hw.blockdev.fault import ALL_KINDS, FaultDevice
from minixfs.hw.blockdev.ramdisk import RamDisk
from tests.support.volumes import DISKS, Served, copy, fresh, verify

SIZE = 3 << 20
Step = Callable[[], object]


def prepared(kind: str) -> RamDisk:
    """A volume with something on it, so that the scenario begins with cold caches."""
    disk = fresh(DISKS[kind])
    fs = Served(disk)
    noise = random.Random(1)
    for name in (b"old", b"old/sub", b"other"):
        fs.make_directory(name)
    for index in range(40):
        fs.make_file(b"old/%02d" % index, noise.randbytes(index * 50))
    fs.make_file(b"big", noise.randbytes(600_000))
    fs.make_file(b"other/target", b"to be replaced")
    fs.unmount()
    return disk


def scenario(fs: Served) -> Iterator[Step]:
    """The requests, one by one. Whatever they need to know is looked up when they run."""
    noise = random.Random(2)
    kept: list[int] = []

    def at(directory: bytes, request: str, *arguments: object) -> Step:
        def step() -> None:
            with fs.at(directory) as ino:
                getattr(fs, request)(ino, *arguments)

        return step

    def pair(request: str, one: bytes, old: bytes, two: bytes, new: bytes) -> Step:
        def step() -> None:
            with fs.at(one) as first, fs.at(two) as second:
                getattr(fs, request)(first, old, second, new)

        return step

    def create(directory: bytes, name: bytes) -> Step:
        def step() -> None:
            with fs.at(directory) as ino:
                fs.putnode(fs.create(ino, name, 0o644, 0, 0).ino, 1)

        return step

    def write(path: bytes, position: int, data: bytes) -> Step:
        def step() -> None:
            with fs.at(path) as ino:
                assert fs.write(ino, position, data) == len(data)

        return step

    def link(path: bytes, directory: bytes, name: bytes) -> Step:
        def step() -> None:
            with fs.at(path) as ino, fs.at(directory) as parent:
                fs.link(ino, parent, name)

        return step

    yield at(b"", "mkdir", b"new", 0o755, 0, 0)
    yield create(b"new", b"small")
    yield write(b"new/small", 0, b"a few bytes")
    yield create(b"new", b"large")
    yield write(b"new/large", 0, noise.randbytes(40_000))
    yield write(b"new/large", 290_000, noise.randbytes(30_000))
    yield fs.sync
    yield fs.drop_caches
    yield write(b"new/large", 5_000, noise.randbytes(3_000))
    yield write(b"big", 10_500, noise.randbytes(700))
    yield pair("rename", b"old", b"07", b"old", b"seven")
    yield pair("rename", b"old", b"08", b"new", b"eight")
    yield pair("rename", b"old", b"09", b"other", b"target")
    yield pair("rename", b"old", b"sub", b"other", b"moved")
    yield fs.write_back
    yield pair("exchange", b"", b"big", b"other", b"moved")
    yield link(b"old/10", b"other", b"ten")
    yield at(b"other", "symlink", b"pointer", b"../old/11", 0, 0)
    yield at(b"other", "mknod", b"pipe", 0o010644, 0, 0, 0)
    yield lambda: kept.append(fs.find(b"new/large").ino)
    yield at(b"new", "unlink", b"large")
    yield lambda: fs.read(kept[0], 0, 400_000)
    yield fs.drop_caches
    yield lambda: fs.putnode(kept[0], 1)
    yield at(b"other/moved", "truncate", 20_100)
    yield at(b"other/moved", "free_range", 3_000, 9_000)
    yield at(b"old", "unlink", b"12")
    yield at(b"other", "mkdir", b"brief", 0o700, 0, 0)
    yield at(b"other", "rmdir", b"brief")
    yield fs.write_back
    yield at(b"new", "chmod", 0o711)
    yield fs.sync


def play(fs: Served, failed: Callable[[], None]) -> int:
    """The whole scenario and the unmount; a step that fails is done again. Returns how many failed."""
    failures = 0
    for step in scenario(fs):
        try:
            step()
        except DeviceError:
            failures += 1
            failed()
            fs.check()
            step()
        fs.check()
    return failures


def expected(disk: RamDisk) -> tuple[dict[bytes, bytes | None], int]:
    """The tree at the end, and how many operations the device had to do."""
    device = FaultDevice(copy(disk))
    fs = Served(device)
    assert play(fs, pytest.fail) == 0
    tree = fs.tree()
    fs.unmount()
    return tree, device.operations.total()


def end(fs: Served, failed: Callable[[], None]) -> int:
    try:
        fs.unmount()
    except DeviceError:
        failed()
        fs.check()
        fs.unmount()
        return 1
    return 0


def fail_everywhere(kind: str, lasting: bool) -> None:
    disk = prepared(kind)
    tree, operations = expected(disk)
    assert operations > 60
    for n in range(1, operations + 1):
        inner = copy(disk)
        device = FaultDevice(inner)
        device.arm(n, kinds=ALL_KINDS, lasting=lasting)
        try:
            fs = Served(device)
        except DeviceError:
            device.disarm()
            fs = Served(device)
        errors = play(fs, device.disarm) + end(fs, device.disarm)
        if device.failures["write"] or device.failures["flush"]:
            assert errors, f"operation {n}: a lost write went unnoticed"
        device.disarm()
        verify(inner)
        assert Served(inner).tree() == tree, f"operation {n}"


@pytest.mark.parametrize(("kind", "lasting"), [("V3-1K", False), ("V3-1K-direct", True), ("ext2-1K-groups", True)])
def test_every_operation_fails(kind: str, lasting: bool) -> None:
    """Operation n fails, and with `lasting` all later ones too until somebody is told."""
    fail_everywhere(kind, lasting)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "until noticed"])
@pytest.mark.parametrize("kind", DISKS)
def test_every_operation_fails_on_every_kind(kind: str, lasting: bool) -> None:
    fail_everywhere(kind, lasting)


def test_a_synchronous_create_that_is_not_durable_keeps_no_reference() -> None:
    device = FaultDevice(prepared("V3-1K"))
    fs = Served(device, Settings(synchronous=True))
    fs.make_file(b"first")
    device.arm(1, kinds=["flush"])
    with pytest.raises(DeviceError):
        fs.create(fs.root, b"second", 0o644, 0, 0)
    fs.check()
    fs.unmount()


def test_a_dead_device_can_be_abandoned() -> None:
    """FS-38: no request hangs or breaks the server, and its pages come back."""
    device = FaultDevice(prepared("V3-4K"))
    fs = Served(device)
    fs.make_file(b"dirty", b"data")
    device.arm(1, lasting=True)
    with pytest.raises(DeviceError):
        fs.sync()
    with pytest.raises(DeviceError):
        fs.unmount()
    assert fs.contents(b"dirty") == b"data"
    fs.check()
    fs.server.abandon()
    assert fs.pages.pool.free_frames == fs.pages.pool.frames - 1
