"""Mounting and unmounting while others walk, sync and fail (specification: vfs 3.3, 9)."""

from __future__ import annotations

import os

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from minixfs.daemon.path import ByPath
from minixfs.daemon.process import Process
from minixfs.daemon.vfs import MAX_MOUNTS, Limits, Vfs
from minixfs.errors import Busy, DeviceError, InvalidArgument, MinixFsError, NotDirectory, NotFound, TooManyOpen
from minixfs.fs.protocol import AbsoluteSymlink, LeaveMount, Node
from tests.support.fakefs import FakeFs, check, mount, mounted

ROOT = {"home": {}, "usr": {"local": {}}, "f": b"file", "d": {"below": b"under"}}


async def start(limits: Limits | None = None) -> tuple[Vfs, FakeFs, Process]:
    fs = FakeFs(ROOT)
    vfs = await mounted(fs, limits=limits)
    return vfs, fs, Process(vfs)


async def failure(job: object) -> type[MinixFsError]:
    with pytest.raises(MinixFsError) as caught:
        await job  # type: ignore[misc]
    return caught.type


# ---- what can be mounted where ---------------------------------------------------------------------------------------


@pytest.mark.trio
async def test_what_cannot_be_mounted_on() -> None:
    vfs, fs, process = await start()
    await process.chdir(b"/usr")
    fd = await process.open(b"/home", os.O_RDONLY)
    for path, error in [
        (b"/usr", Busy),
        (b"/home", Busy),
        (b"/", Busy),
        (b"/f", NotDirectory),
        (b"/none", NotFound),
    ]:
        assert await failure(mount(vfs, FakeFs(), ByPath(process, path))) is error
    await process.chdir(b"/")
    await process.close(fd)
    other = FakeFs()
    vmnt = await mount(vfs, other, ByPath(process, b"/home"), dev=7)
    assert await failure(mount(vfs, FakeFs(), ByPath(process, b"/home"))) is Busy
    assert await failure(mount(vfs, FakeFs(), ByPath(process, b"/usr"), dev=7)) is Busy
    assert len(vfs.mounts) == 2
    await vfs.unmount(vmnt)
    await process.exit()
    check(vfs, fs)


@pytest.mark.trio
async def test_the_table_of_mounts_has_an_end() -> None:
    fs = FakeFs({f"d{number}": {} for number in range(MAX_MOUNTS)})
    vfs = await mounted(fs)
    process = Process(vfs)
    servers = [FakeFs() for _ in range(MAX_MOUNTS)]
    for number in range(MAX_MOUNTS - 1):
        await mount(vfs, servers[number], ByPath(process, b"/d%d" % number))
    assert await failure(mount(vfs, servers[-1], ByPath(process, b"/d15"))) is TooManyOpen
    await process.exit()
    check(vfs, fs, *servers)
    await vfs.unmount_all()
    assert not vfs.mounts
    assert len(vfs.vnodes) == 0


@pytest.mark.trio
async def test_a_mount_that_fails_leaves_nothing() -> None:
    vfs, fs, process = await start()
    other = FakeFs({"x": b""})
    for request in ("readsuper", "mountpoint"):
        (other if request == "readsuper" else fs).failures[request] = DeviceError()
        assert await failure(mount(vfs, other, ByPath(process, b"/home"))) is DeviceError
        check_but_process(vfs, fs, process)
        fs.failures.clear()
        other.failures.clear()
    await mount(vfs, other, ByPath(process, b"/home"))
    await process.stat(b"/home/x")
    await process.exit()
    check(vfs, fs, other)


def check_but_process(vfs: Vfs, fs: FakeFs, process: Process) -> None:
    assert list(vfs.mounts) == [0]
    assert len(vfs.vnodes) == 1
    assert vfs.root.root.ref_count == 3  # the mount's own, root and working directory of the process
    assert fs.references() == {1: vfs.root.root.fs_count}
    assert not fs.violations


@pytest.mark.trio
async def test_no_room_for_the_root_of_a_mount() -> None:
    vfs, fs, process = await start(Limits(vnodes=2))
    other = FakeFs()
    assert await failure(mount(vfs, other, ByPath(process, b"/home"))) is TooManyOpen
    assert not other.mounted
    await process.exit()
    check(vfs, fs)


@pytest.mark.trio
@pytest.mark.parametrize("request_name", ["mountpoint", "readsuper", "peek", "bpeek"])
async def test_a_mount_that_is_cancelled_leaves_nothing(request_name: str) -> None:
    vfs, fs, process = await start()
    other = FakeFs()
    async with trio.open_nursery() as nursery:
        with (fs if request_name == "mountpoint" else other).hold(request_name) as gate:
            nursery.start_soon(mount, vfs, other, ByPath(process, b"/home"))
            await gate.arrived()
            nursery.cancel_scope.cancel()
    check_but_process(vfs, fs, process)
    assert not other.mounted
    await mount(vfs, other, ByPath(process, b"/home"))
    await process.exit()
    check(vfs, fs, other)


@pytest.mark.trio
async def test_what_a_server_without_peek_means() -> None:
    vfs, fs, process = await start()
    assert vfs.root.has_peek
    other = FakeFs()
    other.failures["bpeek"] = InvalidArgument()
    assert not (await mount(vfs, other, ByPath(process, b"/home"))).has_peek
    assert [request.args[0] for request in other.asked("peek")] == [1]
    await process.exit()
    check(vfs, fs, other)


# ---- walks while mounts come and go ----------------------------------------------------------------------------------


@pytest.mark.trio
@pytest.mark.parametrize("fails", [False, True])
async def test_a_walk_waits_for_a_mount_that_is_being_made(fails: bool) -> None:
    vfs, fs, process = await start()
    other, walker = FakeFs({"x": b"X"}), Process(vfs)
    results: list[object] = []

    async def walk() -> None:
        try:
            results.append((await walker.stat(b"/home/x")).size)
        except MinixFsError as error:
            results.append(type(error))

    async def make() -> None:
        try:
            await mount(vfs, other, ByPath(process, b"/home"))
        except DeviceError:
            assert fails

    async with trio.open_nursery() as nursery:
        with other.hold("readsuper") as gate:
            nursery.start_soon(make)
            await gate.arrived()
            nursery.start_soon(walk)
            await wait_all_tasks_blocked()
            assert results == []
            if fails:
                other.failures["readsuper"] = DeviceError()
    assert results == ([NotFound] if fails else [1])
    await process.exit()
    await walker.exit()
    check(vfs, fs, *[other] * (not fails))


@pytest.mark.trio
@pytest.mark.parametrize("call", ["stat", "create"])
async def test_a_walk_into_a_mount_that_goes_away_sees_what_was_covered(call: str) -> None:
    fs, other = FakeFs({"home": {"x": b"covered"}}), FakeFs({"x": b"X"})
    vfs = await mounted(fs)
    process, walker = Process(vfs), Process(vfs)
    vmnt = await mount(vfs, other, ByPath(process, b"/home"))
    sizes: list[int] = []

    async def walk() -> None:
        if call == "create":
            await walker.open(b"/home/x", os.O_CREAT | os.O_RDONLY)
        sizes.append((await walker.stat(b"/home/x")).size)

    async with trio.open_nursery() as nursery:
        with other.hold("unmount") as gate:
            nursery.start_soon(vfs.unmount, vmnt)
            await gate.arrived()
            nursery.start_soon(walk)
            await wait_all_tasks_blocked()
            assert sizes == []
    assert sizes == [len(b"covered")]
    await process.exit()
    await walker.exit()
    check(vfs, fs, other)


@pytest.mark.trio
async def test_creating_a_mount_point_that_is_uncovered_meanwhile() -> None:
    """The final component is a mount point when it is looked at, and a plain directory when the lock is there."""
    vfs, fs, process = await start()
    other, walker = FakeFs(), Process(vfs)
    vmnt = await mount(vfs, other, ByPath(process, b"/home"))
    async with trio.open_nursery() as nursery:
        with other.hold("unmount") as gate:
            nursery.start_soon(vfs.unmount, vmnt)
            await gate.arrived()
            nursery.start_soon(walker.rmdir, b"/home")
            await wait_all_tasks_blocked()
            assert not fs.asked("rmdir")
    assert b"home" not in fs.find_path(b"").names
    await process.exit()
    await walker.exit()
    check(vfs, fs, other)


@pytest.mark.trio
async def test_the_mount_point_stays_while_a_walk_comes_up_from_a_mount_that_goes_away() -> None:
    """The walk has left the mount but not yet locked the one above when the mount disappears."""
    vfs, fs, process = await start()
    other, blocker = FakeFs({"x": b"X"}), Process(vfs)
    vmnt = await mount(vfs, other, ByPath(process, b"/home"))
    walker = Process(vfs)
    # The start on the mount is not referenced by a process: the walk goes down into it first.
    sizes: list[int] = []

    async def walk() -> None:
        sizes.append((await walker.stat(b"/home/../f")).size)

    async def walk_and_unmount() -> None:
        await vfs.unmount(vmnt)

    async with trio.open_nursery() as nursery:
        with other.hold("lookup") as below:
            nursery.start_soon(walk)
            await below.arrived()
            with fs.hold("lookup") as above:
                nursery.start_soon(blocker.stat, b"/f")  # holds the mount above
                await above.arrived()
                below.open()
                await wait_all_tasks_blocked()
                nursery.start_soon(walk_and_unmount)
                await wait_all_tasks_blocked()
                assert not vfs.is_mounted(vmnt)
    assert sizes == [len(b"file")]
    for each in (process, walker, blocker):
        await each.exit()
    check(vfs, fs, other)


# ---- unmounting ------------------------------------------------------------------------------------------------------


@pytest.mark.trio
async def test_what_keeps_a_mount_busy() -> None:
    vfs, fs, process = await start()
    other, third = FakeFs({"x": b"X", "sub": {}}), FakeFs()
    vmnt = await mount(vfs, other, ByPath(process, b"/home"))
    fd = await process.open(b"/home/x", os.O_RDONLY)
    assert await failure(vfs.unmount(vmnt)) is Busy
    await process.close(fd)
    await process.chdir(b"/home/sub")
    assert await failure(vfs.unmount(vmnt)) is Busy
    await process.chdir(b"/home")
    assert await failure(vfs.unmount(vmnt)) is Busy
    await process.chdir(b"/")
    inner = await mount(vfs, third, ByPath(process, b"/home/sub"))
    assert await failure(vfs.unmount(vmnt)) is Busy
    assert await failure(vfs.unmount(vfs.root)) is Busy
    await vfs.unmount(inner)
    await vfs.unmount(vmnt)
    assert not fs.find_path(b"home").mountpoint
    await process.exit()
    check(vfs, fs, other, third)


@pytest.mark.trio
async def test_references_that_are_still_owed_do_not_keep_a_mount_busy() -> None:
    vfs, fs, process = await start()
    other, leaver = FakeFs({"x": b"X"}), Process(vfs)
    vmnt = await mount(vfs, other, ByPath(process, b"/home"))
    await leaver.open(b"/home/x", os.O_RDONLY)
    await leaver.open(b"/f", os.O_RDONLY)  # is closed, and given back, first
    async with trio.open_nursery() as nursery:
        with fs.hold("putnode") as gate:
            nursery.start_soon(leaver.exit)
            await gate.arrived()
            assert other.references() == {1: 1, other.find_path(b"x").num: 1}
            nursery.start_soon(vfs.unmount, vmnt)
            await wait_all_tasks_blocked()
            assert not vfs.is_mounted(vmnt)
    await process.exit()
    check(vfs, fs, other)


@pytest.mark.trio
async def test_unmounting_twice_at_once() -> None:
    vfs, fs, process = await start()
    other = FakeFs()
    vmnt = await mount(vfs, other, ByPath(process, b"/home"))
    errors: list[type[MinixFsError]] = []

    async def unmount() -> None:
        try:
            await vfs.unmount(vmnt)
        except MinixFsError as error:
            errors.append(type(error))

    async with trio.open_nursery() as nursery:
        with other.hold("unmount") as gate:
            nursery.start_soon(unmount)
            await gate.arrived()
            nursery.start_soon(unmount)
            await wait_all_tasks_blocked()
    assert errors == [InvalidArgument]
    await process.exit()
    check(vfs, fs, other)


@pytest.mark.trio
async def test_an_unmount_that_fails_can_be_repeated() -> None:
    vfs, fs, process = await start()
    other = FakeFs({"x": b"X"})
    vmnt = await mount(vfs, other, ByPath(process, b"/home"))
    other.failures["unmount"] = DeviceError()
    assert await failure(vfs.unmount(vmnt)) is DeviceError
    await process.stat(b"/home/x")
    other.failures.clear()
    await vfs.unmount(vmnt)
    await process.exit()
    check(vfs, fs, other)


@pytest.mark.trio
async def test_unmounting_all_goes_from_the_inside_out() -> None:
    """Also where an inner mount has taken over a lower slot."""
    vfs, fs, process = await start()
    first, home, inner = FakeFs(), FakeFs({"sub": {}}), FakeFs()
    gone = await mount(vfs, first, ByPath(process, b"/usr"))
    await mount(vfs, home, ByPath(process, b"/home"))
    await vfs.unmount(gone)
    assert (await mount(vfs, inner, ByPath(process, b"/home/sub"))).slot == gone.slot
    await process.exit()
    await vfs.unmount_all()
    assert not vfs.mounts
    assert len(vfs.vnodes) == 0
    assert not fs.violations + home.violations + inner.violations


@pytest.mark.trio
async def test_one_failure_keeps_nobody_else_from_being_unmounted_or_synced() -> None:
    vfs, fs, process = await start()
    bad, good = FakeFs(), FakeFs()
    await mount(vfs, good, ByPath(process, b"/usr"))
    await mount(vfs, bad, ByPath(process, b"/home"))
    bad.failures["sync"] = fs.failures["sync"] = DeviceError()
    assert await failure(process.sync()) is DeviceError
    assert len(good.asked("sync")) == 1
    assert await failure(vfs.sync(durable=True)) is DeviceError
    await vfs.sync(durable=False)
    assert len(good.asked("write_back")) == 1
    await process.exit()
    bad.failures["unmount"] = DeviceError()
    assert await failure(vfs.unmount_all()) is DeviceError
    assert not good.mounted
    assert bad.mounted
    check(vfs, fs, bad, good)


@pytest.mark.trio
@pytest.mark.logs("releasing inode")
async def test_an_inode_that_cannot_be_released_fails_nobody() -> None:
    vfs, fs, process = await start()
    fs.failures["putnode"] = DeviceError()
    assert (await process.stat(b"/f")).size == 4
    fs.failures.clear()
    await process.exit()
    check(vfs, fs)


# ---- servers that misbehave ------------------------------------------------------------------------------------------


@pytest.mark.trio
@pytest.mark.parametrize("rest", [b"", b"x", b"...", b"..x/f", b"x/.."])
async def test_a_server_may_send_a_walk_up_only_with_dots(rest: bytes) -> None:
    vfs, fs, process = await start()

    class Odd(FakeFs):
        async def lookup(self, *args: object, **kwargs: object) -> LeaveMount:  # type: ignore[override]
            return LeaveMount(rest, 0)

    await mount(vfs, Odd(), ByPath(process, b"/home"))
    assert await failure(process.stat(b"/home/x")) is NotFound
    await process.exit()
    check(vfs, fs)


@pytest.mark.trio
async def test_links_are_counted_over_all_servers() -> None:
    vfs, fs, process = await start()

    class Endless(FakeFs):
        walks = 0

        async def lookup(self, *args: object, **kwargs: object) -> AbsoluteSymlink | Node:  # type: ignore[override]
            self.walks += 1
            return AbsoluteSymlink(b"/home/x", 1)

    other = Endless()
    await mount(vfs, other, ByPath(process, b"/home"))
    with pytest.raises(MinixFsError, match="Too many levels"):
        await process.stat(b"/home/x")
    assert other.walks == 17
    await process.exit()
    check(vfs, fs)
