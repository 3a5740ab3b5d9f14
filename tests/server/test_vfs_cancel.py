"""Every call, cancelled at every request that it makes and at every lock that it waits for: nothing is lost."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from minixfs.daemon.path import ByPath
from minixfs.daemon.process import Process
from minixfs.daemon.tll import Mode
from minixfs.errors import MinixFsError
from tests.support.fakefs import FakeFs, check, mount, mounted
from tests.support.recorder import Request

ROOT = {"d": {"f": b"text", "g": b"more", "empty": {}, "link": "../home/x", "up": "/d/f"}, "home": {}, "e": {}}

CALLS: dict[str, Callable[[Process], Awaitable[object]]] = {
    "open": lambda p: p.open(b"/d/f", os.O_RDONLY),
    "open through links": lambda p: p.open(b"/d/link", os.O_RDONLY),
    "open with truncation": lambda p: p.open(b"/d/up", os.O_WRONLY | os.O_TRUNC),
    "create": lambda p: p.open(b"/home/../d/new", os.O_CREAT | os.O_WRONLY),
    "create what exists": lambda p: p.open(b"/d/link", os.O_CREAT | os.O_WRONLY | os.O_TRUNC),
    "read": lambda p: p.read(0, 10),
    "write": lambda p: p.write(0, b"data"),
    "lseek": lambda p: p.lseek(0, 3),
    "getdents": lambda p: p.getdents(1),
    "close": lambda p: p.close(0),
    "dup": lambda p: p.dup(0),
    "truncate": lambda p: p.truncate(b"/d/f", 1),
    "ftruncate": lambda p: p.ftruncate(0, 1),
    "link": lambda p: p.link(b"/d/f", b"/e/hard"),
    "unlink": lambda p: p.unlink(b"/d/f"),
    "rmdir": lambda p: p.rmdir(b"/d/empty"),
    "rename": lambda p: p.rename(b"/d/f", b"/e/f"),
    "rename across": lambda p: p.rename(b"/home/x", b"/e/f"),
    "mkdir": lambda p: p.mkdir(b"/d/dir"),
    "symlink": lambda p: p.symlink(b"x", b"/d/symlink"),
    "readlink": lambda p: p.readlink(b"/d/link"),
    "stat": lambda p: p.stat(b"/d/link"),
    "statvfs": lambda p: p.statvfs(b"/home"),
    "chmod": lambda p: p.chmod(b"/d/f", 0o600),
    "chown": lambda p: p.chown(b"/d/f", 1, 1),
    "utimens": lambda p: p.utimens(b"/d/f"),
    "chdir": lambda p: p.chdir(b"/home"),
    "fchdir": lambda p: p.fchdir(1),
    "chroot": lambda p: p.chroot(b"/d"),
    "fsync": lambda p: p.fsync(0),
    "sync": lambda p: p.sync(),
    "exit": lambda p: p.child.exit(),  # type: ignore[attr-defined]
    "mount": lambda p: mount(p.vfs, FakeFs(), ByPath(p, b"/e"), dev=99),
}


class World:
    """A root, a mount on /home, and a process with /d/f and /d open."""

    async def start(self) -> None:
        self.fs, self.home = FakeFs(ROOT), FakeFs({"x": b"X"})
        self.vfs = await mounted(self.fs)
        self.process = Process(self.vfs)
        await mount(self.vfs, self.home, ByPath(self.process, b"/home"))
        await self.process.open(b"/d/f", os.O_RDWR)
        await self.process.open(b"/d", os.O_RDONLY)
        child = self.process.child = self.process.fork()  # type: ignore[attr-defined]
        await child.open(b"/d/g", os.O_RDONLY)
        await child.chdir(b"/d")

    async def run(self, name: str) -> None:
        with suppress(MinixFsError):
            await CALLS[name](self.process)

    async def finish(self) -> None:
        await self.process.child.exit()  # type: ignore[attr-defined]
        await self.process.exit()
        for vmnt in list(self.vfs.mounts.values()):
            if vmnt.fs not in (self.fs, self.home):
                await self.vfs.unmount(vmnt)
        check(self.vfs, self.fs, self.home)
        await self.vfs.unmount_all()
        assert not self.fs.references() | self.home.references()


@pytest.mark.trio
@pytest.mark.parametrize("name", CALLS)
async def test_cancelled_at_every_request(name: str) -> None:
    point = 0
    while True:
        world = World()
        await world.start()
        count = 0
        with trio.CancelScope() as scope:

            async def pause(request: Request, scope: trio.CancelScope = scope, point: int = point) -> None:
                nonlocal count
                if count == point:
                    scope.cancel()
                count += 1
                await trio.lowlevel.checkpoint()

            world.fs.pause = world.home.pause = pause
            await world.run(name)
        world.fs.pause = world.home.pause = None
        await world.finish()
        if count <= point:
            break
        point += 1
    assert point or name in ("dup", "close", "fchdir")


@pytest.mark.trio
@pytest.mark.parametrize("mode", [Mode.SERIAL, Mode.WRITE])
@pytest.mark.parametrize("locked", ["/", "/home", "/d", "/d/f", "worker", "process"])
@pytest.mark.parametrize("name", CALLS)
async def test_cancelled_while_it_waits(name: str, locked: str, mode: Mode) -> None:
    world = World()
    await world.start()
    vfs, process = world.vfs, world.process
    locks = {
        "/": vfs.root.lock,
        "/home": world.home.vmnt.lock,
        "/d": process._filps[1].vnode.lock,
        "/d/f": process._filps[0].vnode.lock,
        "process": process.lock,
    }
    async with trio.open_nursery() as nursery:
        async with vfs.call() as call:
            if locked == "worker":
                while vfs.workers.idle:
                    await vfs.workers.enter()
            else:
                await locks[locked].acquire(mode, call)
            nursery.start_soon(world.run, name)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await wait_all_tasks_blocked()
            if locked == "worker":
                while vfs.workers.idle < vfs.workers.total - 1:
                    vfs.workers.leave()
            else:
                locks[locked].release(call)
    await world.finish()
