"""Which requests VFS sends next to each other, and under which locks (specification: vfs 2.6, 10).

The fake server holds every request against the rules by itself; `check` fails on what it noted.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from minixfs.daemon.path import ByPath
from minixfs.daemon.process import Process
from minixfs.daemon.tll import Mode
from minixfs.daemon.vfs import Limits, Vfs
from minixfs.errors import BadDescriptor, CrossDevice, IsDirectory, MinixFsError, NotFound
from minixfs.fs.protocol import Credentials
from tests.support.fakefs import FakeFs, check, mount, mounted
from tests.support.schedules import Run, explore

Job = Callable[[Process], Awaitable[object]]
TREE = {
    "d": {"f": b"text", "g": b"more", "sub": {}, "empty": {}, "link": "f"},
    "e": {"h": b"elsewhere"},
    "home": {},
    "f": b"one",
    "g": b"two",
}


async def start(*, home: bool = False, limits: Limits | None = None) -> tuple[Vfs, FakeFs, FakeFs]:
    fs, other = FakeFs(TREE), FakeFs({"x": b"X"})
    vfs = await mounted(fs, limits=limits)
    if home:
        process = Process(vfs)
        await mount(vfs, other, ByPath(process, b"/home"))
        await process.exit()
    return vfs, fs, other


def descriptor(path: bytes, flags: int, job: Callable[[Process, int], Awaitable[object]]) -> Job:
    """A job on a file that the process has opened before."""

    async def run(process: Process) -> object:
        return await job(process, process.opened[path, flags])  # type: ignore[attr-defined]

    run.opens = (path, flags)  # type: ignore[attr-defined]
    return run


async def prepare(vfs: Vfs, jobs: list[Job]) -> list[Process]:
    """A process for each job, with what it needs open."""
    processes = []
    for job in jobs:
        process = Process(vfs)
        process.opened = {}  # type: ignore[attr-defined]
        if hasattr(job, "opens"):
            process.opened[job.opens] = await process.open(*job.opens)  # type: ignore[attr-defined]
        processes.append(process)
    return processes


async def held_up(first: str, one: Job, two: Job) -> FakeFs:
    """Hold the `first` request of job `one` and start job `two`; the server tells what happened meanwhile."""
    vfs, fs, _ = await start()
    processes = await prepare(vfs, [one, two])
    fs.requests.clear()

    async def finish(job: Job, process: Process) -> None:
        with suppress(MinixFsError):
            await job(process)

    async with trio.open_nursery() as nursery:
        with fs.hold(first) as gate:
            nursery.start_soon(finish, one, processes[0])
            await gate.arrived()
            nursery.start_soon(finish, two, processes[1])
            await wait_all_tasks_blocked()
            fs.meanwhile = {request.name for request in fs.requests} - {first}  # type: ignore[attr-defined]
            gate.open()
    for process in processes:
        await process.exit()
    check(vfs, fs)
    return fs


# ---- directories -----------------------------------------------------------------------------------------------------

CHANGES: dict[str, Job] = {
    "create": lambda p: p.open(b"/d/new", os.O_CREAT | os.O_WRONLY),
    "mkdir": lambda p: p.mkdir(b"/d/dir"),
    "mknod": lambda p: p.mknod(b"/d/fifo", 0o010644),
    "symlink": lambda p: p.symlink(b"f", b"/d/other"),
    "link": lambda p: p.link(b"/f", b"/d/hard"),
    "unlink": lambda p: p.unlink(b"/d/f"),
    "rmdir": lambda p: p.rmdir(b"/d/empty"),
    "rename": lambda p: p.rename(b"/d/g", b"/e/g"),
}
LOOKS: dict[str, Job] = {
    "getdents": descriptor(b"/d", os.O_RDONLY, lambda p, fd: p.getdents(fd)),
    "stat": descriptor(b"/d", os.O_RDONLY, lambda p, fd: p.fstat(fd)),
}


@pytest.mark.trio
@pytest.mark.parametrize("second", [*CHANGES, *LOOKS])
@pytest.mark.parametrize("first", CHANGES)
async def test_changes_of_a_directory_are_alone_in_it(first: str, second: str) -> None:
    """VFS-45, VFS-39."""
    again = {"unlink": lambda p: p.unlink(b"/d/link"), "rename": lambda p: p.rename(b"/e/h", b"/d/h")}
    fs = await held_up(first, CHANGES[first], (CHANGES | LOOKS | again)[second])
    assert second not in fs.meanwhile or first == second
    assert len(fs.asked(first)) >= 1
    assert not fs.overlapped(first, second)
    assert fs.asked(second)


@pytest.mark.trio
@pytest.mark.parametrize("look", LOOKS)
async def test_both_directories_of_a_rename_are_locked(look: str) -> None:
    """VFS-45."""
    requests = {"getdents": lambda p, fd: p.getdents(fd), "stat": lambda p, fd: p.fstat(fd)}
    for directory in (b"/d", b"/e"):
        job = descriptor(directory, os.O_RDONLY, requests[look])
        fs = await held_up("rename", CHANGES["rename"], job)
        assert look not in fs.meanwhile
        assert {fs.find_path(b"d").num, fs.find_path(b"e").num} <= {
            ino for ino, mode in fs.asked("rename")[0].locked.items() if mode is Mode.WRITE
        }


@pytest.mark.trio
async def test_create_has_the_mount_to_itself() -> None:
    """VFS-39."""
    vfs, fs, _ = await start()
    process = Process(vfs)
    await process.open(b"/d/new", os.O_CREAT | os.O_WRONLY)
    (request,) = fs.asked("create")
    assert (request.mount, request.locked[fs.find_path(b"d").num]) == (Mode.WRITE, Mode.WRITE)
    await process.exit()
    check(vfs, fs)


@pytest.mark.trio
async def test_rename_within_a_directory_locks_it_once() -> None:
    """VFS-47."""
    vfs, fs, _ = await start()
    process = Process(vfs)
    await process.rename(b"/d/f", b"/d/renamed")
    assert b"renamed" in fs.find_path(b"d").names
    await process.exit()
    check(vfs, fs)


# ---- files -----------------------------------------------------------------------------------------------------------

ATTRIBUTES: dict[str, Callable[[bytes], Job]] = {
    "chmod": lambda path: lambda p: p.chmod(path, 0o600),
    "chown": lambda path: lambda p: p.chown(path, 5, 6),
    "truncate": lambda path: lambda p: p.truncate(path, 1),
}


@pytest.mark.trio
@pytest.mark.parametrize("second", ATTRIBUTES)
@pytest.mark.parametrize("first", ATTRIBUTES)
async def test_attribute_changes_overlap_on_different_files_only(first: str, second: str) -> None:
    """VFS-46."""
    fs = await held_up(first, ATTRIBUTES[first](b"/d/f"), ATTRIBUTES[second](b"/d/g"))
    assert fs.overlapped(first, second) or first == second
    assert len([request for request in fs.requests if request.name in (first, second)]) == 2
    assert all(request.mount is Mode.READ for request in fs.asked("chmod", "chown", "truncate"))
    fs = await held_up(first, ATTRIBUTES[first](b"/d/f"), ATTRIBUTES[second](b"/d/f"))
    assert not fs.overlapped(first, second)


@pytest.mark.trio
async def test_utime_overlaps_stat_of_the_same_file() -> None:
    """VFS-43."""
    fs = await held_up("utime", lambda p: p.utimens(b"/d/f"), lambda p: p.stat(b"/d/f"))
    assert fs.overlapped("utime", "stat")
    assert fs.asked("utime")[0].mount is Mode.READ


@pytest.mark.trio
async def test_opening_with_truncation_has_the_file_to_itself() -> None:
    """VFS-42."""
    read = descriptor(b"/d/f", os.O_RDONLY, lambda p, fd: p.read(fd, 10))
    fs = await held_up("truncate", lambda p: p.open(b"/d/f", os.O_WRONLY | os.O_TRUNC), read)
    assert "read" not in fs.meanwhile
    assert fs.asked("read")
    (request,) = fs.asked("truncate")
    assert request.locked[fs.find_path(b"d/f").num] is Mode.WRITE
    fs = await held_up("truncate", lambda p: p.open(b"/d/f", os.O_WRONLY | os.O_TRUNC | os.O_CREAT), read)
    assert "read" not in fs.meanwhile


@pytest.mark.trio
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_CREAT])
async def test_open_and_close_do_not_hold_up_a_read_of_the_same_file(flags: int) -> None:
    async def open_and_close(process: Process) -> None:
        await process.close(await process.open(b"/d/f", flags))

    vfs, fs, _ = await start()
    reader, other = Process(vfs), Process(vfs)
    fd = await reader.open(b"/d/f", os.O_RDONLY)
    async with trio.open_nursery() as nursery:
        with fs.hold("read") as gate:
            nursery.start_soon(reader.read, fd, 10)
            await gate.arrived()
            await open_and_close(other)
            assert len(await other.getdents(await other.open(b"/d", os.O_RDONLY))) > 2
    await reader.exit()
    await other.exit()
    check(vfs, fs)


# ---- the whole mount -------------------------------------------------------------------------------------------------


@pytest.mark.trio
async def test_sync_and_fsync_run_beside_readers_of_the_mount() -> None:
    """VFS-36, VFS-37."""
    vfs, fs, _ = await start()
    processes = [Process(vfs) for _ in range(3)]
    fd = await processes[2].open(b"/d/g", os.O_RDWR)
    async with trio.open_nursery() as nursery:
        with fs.hold("stat") as gate:
            nursery.start_soon(processes[0].stat, b"/d/f")
            await gate.arrived()
            assert vfs.root.lock.readers == 1
            await processes[1].sync()
            await processes[2].fsync(fd)
    one, two = fs.asked("sync")
    assert one.mount is two.mount is Mode.READ
    assert fs.find_path(b"d/g").num not in two.locked
    for process in processes:
        await process.exit()
    check(vfs, fs)


@pytest.mark.trio
async def test_only_a_sync_that_waits_for_a_mount_going_away_skips_it() -> None:
    """VFS-38."""
    vfs, fs, other = await start(home=True)
    process = Process(vfs)
    async with trio.open_nursery() as nursery:
        with other.hold("unmount") as gate:
            nursery.start_soon(vfs.unmount, other.vmnt)
            await gate.arrived()
            nursery.start_soon(process.sync)
            await wait_all_tasks_blocked()
            assert len(fs.asked("sync")) == 1
            assert not other.asked("sync")
    assert not other.asked("sync")
    await process.exit()
    check(vfs, fs, other)


CREATING = [os.O_WRONLY, os.O_RDWR, os.O_RDONLY, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND]


@pytest.mark.trio
@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("flags", CREATING)
@pytest.mark.parametrize("path", [b"home", b"/home", b"home/", b"./home", b"home/.", b"d/../home", b"home/..", b"."])
async def test_creating_what_is_a_mount_point(path: bytes, flags: int, exclusive: bool) -> None:
    """VFS-35: ``echo foo > home``."""
    vfs, fs, other = await start(home=True)
    process = Process(vfs)
    with pytest.raises(MinixFsError) as caught:
        await process.open(path, flags | os.O_CREAT | (os.O_EXCL if exclusive else 0))
    assert caught.type.__name__ == ("Exists" if exclusive else "IsDirectory")
    await process.exit()
    check(vfs, fs, other)


@pytest.mark.trio
@pytest.mark.parametrize("target", ["home", "/home", "d/../home", "home/.."])
async def test_creating_through_a_link_to_a_mount_point(target: str) -> None:
    """VFS-35."""
    fs, other = FakeFs(TREE | {"link": target}), FakeFs()
    vfs = await mounted(fs)
    process = Process(vfs)
    await mount(vfs, other, ByPath(process, b"/home"))
    with pytest.raises(IsDirectory):
        await process.open(b"/link", os.O_CREAT | os.O_WRONLY)
    await process.exit()
    check(vfs, fs, other)


@pytest.mark.trio
async def test_a_device_number_from_create_is_ignored() -> None:
    """VFS-34."""
    vfs, fs, _ = await start()
    fs.create_rdev = 0x0403
    process = Process(vfs)
    fd = await process.open(b"/new", os.O_CREAT | os.O_RDWR)
    vnode = vfs.vnodes.find(vfs.root.key_of(fs.find_path(b"new").num))
    assert vnode is not None
    assert vnode.rdev is None
    assert await process.write(fd, b"data") == 4
    assert await process.pread(fd, 4, 0) == b"data"
    await process.exit()
    check(vfs, fs)


# ---- many calls ------------------------------------------------------------------------------------------------------


@pytest.mark.trio
async def test_everybody_gets_his_own_results() -> None:
    """VFS-27, VFS-28: processes seek and open at once, with a switch of tasks inside of every request."""
    vfs, fs, _ = await start()

    async def switch(request: object) -> None:
        await trio.lowlevel.checkpoint()

    fs.pause = switch

    async def seek(number: int) -> None:
        process = Process(vfs)
        fd = await process.open(b"/f", os.O_RDONLY)
        for step in range(1000):
            assert await process.lseek(fd, number * 10_000 + step) == number * 10_000 + step
        await process.exit()

    async def open_all(number: int) -> None:
        process = Process(vfs)
        for step in range(100):
            assert await process.open(b"/new%d-%d" % (number, step), os.O_CREAT | os.O_RDWR) == step
            await process.write(step, b"%d-%d" % (number, step))
        for step in range(100):
            assert await process.pread(step, 20, 0) == b"%d-%d" % (number, step)
        await process.exit()

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(seek, number)
            nursery.start_soon(open_all, number)
    check(vfs, fs)


@pytest.mark.trio
async def test_opens_of_one_process_at_once_get_different_descriptors() -> None:
    """VFS-28."""
    vfs, fs, _ = await start()
    process = Process(vfs)
    descriptors: list[int] = []

    async def open_one() -> None:
        descriptors.append(await process.open(b"/d/f", os.O_RDONLY))

    async with trio.open_nursery() as nursery:
        with fs.hold("lookup") as gate:
            for _ in range(3):
                nursery.start_soon(open_one)
            await gate.arrived()
            await wait_all_tasks_blocked()
    assert sorted(descriptors) == [0, 1, 2]
    await process.exit()
    check(vfs, fs)


@pytest.mark.trio
async def test_calls_of_a_process_run_in_order() -> None:
    """VFS-26: a later message never overtakes a queued one, here with a single worker."""
    vfs, fs, _ = await start(limits=Limits(workers=1))
    process = Process(vfs)
    done: list[int] = []

    async def step(number: int) -> None:
        await process.stat(b"/d/f")
        done.append(number)

    async with trio.open_nursery() as nursery:
        with fs.hold("stat") as gate:
            for number in range(5):
                nursery.start_soon(step, number)
                await wait_all_tasks_blocked()
            for _ in range(5):
                await gate.arrived()
                gate.step()
    assert done == list(range(5))
    await process.exit()
    check(vfs, fs)


@pytest.mark.trio
async def test_a_descriptor_that_is_closed_while_a_call_waits_for_its_turn() -> None:
    """Of the kind of VFS-13."""
    vfs, fs, _ = await start()
    process = Process(vfs)
    fd = await process.open(b"/f", os.O_RDONLY)
    results: list[object] = []

    async def read() -> None:
        try:
            results.append(bytes(await process.read(fd, 1)))
        except BadDescriptor as error:
            results.append(type(error))

    async with trio.open_nursery() as nursery:
        with fs.hold("read") as gate:
            nursery.start_soon(read)
            await gate.arrived()
            nursery.start_soon(process.close, fd)
            await wait_all_tasks_blocked()
            nursery.start_soon(read)
            await wait_all_tasks_blocked()
    assert results == [b"o", BadDescriptor]
    await process.exit()
    check(vfs, fs)


# ---- all schedules ---------------------------------------------------------------------------------------------------


def all_schedules(*jobs: Job, limit: int = 300) -> int:
    async def scenario(run: Run) -> None:
        vfs, fs, other = await start(home=True)
        processes = await prepare(vfs, list(jobs))
        await run.execute([lambda j=j, p=p: j(p) for j, p in zip(jobs, processes, strict=True)], [fs, other])
        for process in processes:
            await process.exit()
        check(vfs, fs, other)

    return explore(scenario, limit=limit)


def test_create_beside_chdir() -> None:
    """VFS-44."""
    assert all_schedules(CHANGES["create"], lambda p: p.chdir(b"/d")) > 3


MIX: dict[str, Job] = {
    "open directory": lambda p: p.open(b"/d", os.O_RDONLY),
    "stat directory": lambda p: p.stat(b"/d"),
    "fchmod directory": descriptor(b"/d", os.O_RDONLY, lambda p, fd: p.fchmod(fd, 0o700)),
    "getdents": LOOKS["getdents"],
    "unlink": CHANGES["unlink"],
    "create": CHANGES["create"],
    "link": CHANGES["link"],
    "rename": CHANGES["rename"],
    "rename back": lambda p: p.rename(b"/e/h", b"/d/h"),
    "rename away": lambda p: p.rename(b"/d/f", b"/home/f"),
    "open created": lambda p: p.open(b"/d/f", os.O_CREAT | os.O_WRONLY | os.O_TRUNC),
    "up and down": lambda p: p.stat(b"/home/../d/../home/x"),
    "sync": lambda p: p.sync(),
}


@pytest.mark.parametrize("pair", list(itertools.combinations(MIX, 2)), ids="-".join)
def test_two_calls_under_all_schedules(pair: tuple[str, str]) -> None:
    all_schedules(*(MIX[name] for name in pair), limit=25)


def test_directory_open_beside_removal_and_change() -> None:
    """An open that waits for a directory must not keep the mount from the one who has the directory."""
    all_schedules(MIX["fchmod directory"], MIX["open directory"], MIX["unlink"])
    all_schedules(MIX["getdents"], MIX["unlink"], MIX["link"])
    all_schedules(MIX["rename"], MIX["rename back"], MIX["getdents"])


@pytest.mark.trio
async def test_rename_to_another_mount_beside_a_removal_there() -> None:
    """While the rename waits for its source it must not keep the target's mount from the one who has the target."""
    vfs, fs, other = await start(home=True)
    looker, mover, remover = (Process(vfs) for _ in range(3))
    fd = await looker.open(b"/d", os.O_RDONLY)
    await remover.chdir(b"/home")
    errors: list[type[MinixFsError]] = []

    async def move() -> None:
        try:
            await mover.rename(b"/d/f", b"/home/f")
        except MinixFsError as error:
            errors.append(type(error))

    async with trio.open_nursery() as nursery:
        with fs.hold("getdents") as gate:
            nursery.start_soon(looker.getdents, fd)
            await gate.arrived()
            nursery.start_soon(move)
            await wait_all_tasks_blocked()
            nursery.start_soon(remover.unlink, b"x")
            await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert errors == [CrossDevice]
    assert b"x" not in other.find_path(b"").names
    for process in (looker, mover, remover):
        await process.exit()
    check(vfs, fs, other)


@pytest.mark.parametrize("seed", range(4))
def test_many_calls_under_random_schedules(seed: int) -> None:
    async def scenario(run: Run) -> None:
        vfs, fs, other = await start(home=True)
        jobs = list(MIX.values())
        processes = await prepare(vfs, jobs)
        await run.execute([lambda j=j, p=p: j(p) for j, p in zip(jobs, processes, strict=True)], [fs, other])
        for process in processes:
            await process.exit()
        check(vfs, fs, other)

    explore(scenario, limit=15, seed=seed)


# ---- rights ----------------------------------------------------------------------------------------------------------


@pytest.mark.trio
async def test_supplementary_groups() -> None:
    """VFS-54: what a group may is lost with the group."""
    fs = FakeFs({"shared": (b"text", 0o040, 1, 50), "inside": ({"f": b"text"}, 0o710, 1, 50)})
    vfs = await mounted(fs)
    process = Process(vfs, Credentials(uid=7, gid=7, groups=frozenset({50})))
    assert await process.read(await process.open(b"/shared", os.O_RDONLY), 9) == b"text"
    await process.stat(b"/inside/f")
    process.credentials = Credentials(uid=7, gid=7)
    for attempt in (process.open(b"/shared", os.O_RDONLY), process.stat(b"/inside/f")):
        with pytest.raises(MinixFsError, match="Permission denied"):
            await attempt
    await process.exit()
    check(vfs, fs)


@pytest.mark.trio
async def test_a_server_without_the_read_ahead_hint() -> None:
    """D8: lseek succeeds."""
    vfs, fs, _ = await start()
    fs.failures["inhibit_readahead"] = NotFound()
    process = Process(vfs)
    fd = await process.open(b"/f", os.O_RDONLY)
    assert await process.lseek(fd, 2) == 2
    assert await process.read(fd, 1) == b"e"
    await process.exit()
    check(vfs, fs)
