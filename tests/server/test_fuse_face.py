"""The FUSE face without a kernel: what it asks the file server for, and what it keeps of the answers."""

from __future__ import annotations

import os
import stat
from types import SimpleNamespace
from typing import Any

import pyfuse3
import pytest
import trio
import trio.testing
from pyfuse3 import FUSEError

from minixfs.daemon.fuse import FuseFace
from minixfs.daemon.path import ByPath
from minixfs.daemon.process import Process
from minixfs.daemon.vfs import Vfs
from minixfs.daemon.view import View
from tests.support.fakefs import FakeFs, check, mount, mounted

ROOT = 1
CTX: Any = SimpleNamespace(uid=1, gid=2, pid=3, umask=0)


def asked(fs: FakeFs) -> list[str]:
    """The requests since the last time."""
    names = [request.name for request in fs.requests]
    fs.requests.clear()
    return names


async def finish(face: FuseFace, vfs: Vfs, *servers: FakeFs) -> None:
    await face.close()
    for fs in servers:
        fs.violations = [what for what in fs.violations if "stat" not in what]  # the face asks that without a lock
    check(vfs, *servers)


@pytest.mark.trio
async def test_a_lookup_is_one_request() -> None:
    fs = FakeFs({"f": b"text"})
    vfs = await mounted(fs)
    face = FuseFace(vfs, View())
    asked(fs)
    entry = await face.lookup(ROOT, b"f", CTX)
    assert (entry.st_size, stat.S_IFMT(entry.st_mode)) == (4, stat.S_IFREG)
    assert (await face.lookup(ROOT, b"f", CTX)).st_ino == entry.st_ino
    assert (await face.lookup(ROOT, b"absent", CTX)).st_ino == 0
    assert asked(fs) == ["lookup_stat"] * 3
    await face.forget([(entry.st_ino, 2)])
    assert asked(fs) == ["putnode"]
    await finish(face, vfs, fs)


@pytest.mark.trio
async def test_a_lookup_of_a_mount_point_finds_what_is_mounted_there() -> None:
    fs, below = FakeFs({"home": {}}), FakeFs({"x": b"X"}, mode=0o700)
    vfs = await mounted(fs)
    process = Process(vfs)
    await mount(vfs, below, ByPath(process, b"/home"))
    await process.exit()
    face = FuseFace(vfs, View())
    home = await face.lookup(ROOT, b"home", CTX)
    assert (home.st_ino >> 32, stat.S_IMODE(home.st_mode)) == (1, 0o700)
    assert (await face.lookup(home.st_ino, b"x", CTX)).st_size == 1
    await finish(face, vfs, fs, below)


@pytest.mark.trio
async def test_a_new_file_is_not_looked_up_again() -> None:
    fs = FakeFs({"old": b"text"})
    vfs = await mounted(fs)
    face = FuseFace(vfs, View())
    asked(fs)
    info, entry = await face.create(ROOT, b"new", stat.S_IFREG | 0o640, os.O_RDWR | os.O_EXCL, CTX)
    assert asked(fs) == ["create", "stat"]
    assert (entry.st_uid, entry.st_gid, entry.st_mode) == (1, 2, stat.S_IFREG | 0o640)
    await face.release(info.fh)
    info, entry = await face.create(ROOT, b"old", stat.S_IFREG | 0o640, os.O_RDWR, CTX)
    assert entry.st_size == 4
    await face.release(info.fh)
    with pytest.raises(FUSEError):
        await face.create(ROOT, b"old", stat.S_IFREG | 0o640, os.O_RDWR | os.O_EXCL, CTX)
    await finish(face, vfs, fs)


@pytest.mark.trio
async def test_listing_asks_for_about_what_the_kernel_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    fs = FakeFs({f"f{number:03}": b"" for number in range(200)})
    vfs = await mounted(fs)
    face = FuseFace(vfs, View())
    room, told = 0, []

    def reply(token: object, name: bytes, attributes: object, position: int) -> bool:
        nonlocal room
        room -= 1
        if room >= 0:
            told.append((name, position))
        return room >= 0

    monkeypatch.setattr(pyfuse3, "readdir_reply", reply)
    handle = await face.opendir(ROOT, CTX)
    fs.requests.clear()
    replies, position, before = 0, 0, -1
    while len(told) > before:
        before, room = len(told), 50
        await face.readdir(handle, position, Any)
        replies, position = replies + 1, told[-1][1]
    assert [name for name, _ in told] == sorted({name for name, _ in told})
    assert len(told) == 200 + 2
    looked_up = sum(len(request.args[0]) for request in fs.requests if request.name == "getnodes")
    assert looked_up < len(told) + 8 * replies + 50
    await face.releasedir(handle)
    await face.forget([(vnode.key, 1) for vnode in list(vfs.vnodes.on_mount(vfs.root)) if vnode.ino != fs.root_inode])
    await finish(face, vfs, fs)


@pytest.mark.trio
async def test_where_permissions_are_left_to_us_all_is_allowed_but_to_execute_what_nobody_may() -> None:
    fs = FakeFs({"f": b"text"})
    vfs = await mounted(fs)
    face = FuseFace(vfs, View(kernel_checks=False))
    entry = await face.lookup(ROOT, b"f", CTX)
    assert await face.access(entry.st_ino, os.R_OK | os.W_OK, CTX)
    assert not await face.access(entry.st_ino, os.X_OK, CTX)
    assert await face.access(ROOT, os.X_OK, CTX)
    await face.forget([(entry.st_ino, 1)])
    await finish(face, vfs, fs)


@pytest.mark.trio
async def test_few_of_the_known_nodes_are_held() -> None:
    names = [f"f{number}" for number in range(9)]
    fs = FakeFs(dict.fromkeys(names, b""))
    vfs = await mounted(fs)
    face = FuseFace(vfs, View(), held_nodes=3)
    nodes = {name: (await face.lookup(ROOT, name.encode(), CTX)).st_ino for name in names}
    assert len(fs.references()) == 3
    for name in names:
        assert (await face.getattr(nodes[name], CTX)).st_ino == nodes[name]
        assert (await face.lookup(ROOT, name.encode(), CTX)).st_ino == nodes[name]
        assert len(fs.references()) <= 4  # the root, and one that was just used
    info = await face.open(nodes["f0"], os.O_RDONLY, CTX)
    for name in names[1:]:
        await face.getattr(nodes[name], CTX)
    assert nodes["f0"] in fs.references()  # it is open
    await face.release(info.fh)
    await face.forget([(node, 1) for node in nodes.values()])
    assert (await face.getattr(nodes["f3"], CTX)).st_ino == nodes["f3"]
    await face.forget([(node, 1) for node in nodes.values()])
    with pytest.raises(FUSEError):
        await face.getattr(nodes["f3"], CTX)
    assert set(fs.references()) == {fs.root_inode}
    await finish(face, vfs, fs)


@pytest.mark.trio
@pytest.mark.parametrize("remover", ["unlink", "rename"])
async def test_what_lost_its_name_is_there_until_the_kernel_forgets_it(remover: str) -> None:
    names = [f"f{number}" for number in range(9)]
    fs = FakeFs({name: name.encode() for name in names})
    vfs = await mounted(fs)
    face = FuseFace(vfs, View(), held_nodes=3)
    nodes = {name: (await face.lookup(ROOT, name.encode(), CTX)).st_ino for name in names}
    assert nodes["f1"] not in fs.references()
    if remover == "unlink":
        await face.unlink(ROOT, b"f1", CTX)
    else:
        await face.rename(ROOT, b"f2", ROOT, b"f1", 0, CTX)
    for name in names[3:]:
        await face.getattr(nodes[name], CTX)
    assert nodes["f1"] in fs.references()
    assert (await face.getattr(nodes["f1"], CTX)).st_nlink == 0
    await face.forget([(nodes["f1"], 1)])
    assert nodes["f1"] not in fs.references()
    await finish(face, vfs, fs)


@pytest.mark.trio
async def test_a_node_that_is_forgotten_and_told_anew_while_it_is_being_parked() -> None:
    fs = FakeFs({"f": b"text"})
    vfs = await mounted(fs)
    face = FuseFace(vfs, View(), held_nodes=1)
    node = 0

    async def look_up() -> None:
        nonlocal node
        node = (await face.lookup(ROOT, b"f", CTX)).st_ino

    async with trio.open_nursery() as nursery:
        with fs.hold("stat"):
            nursery.start_soon(look_up)
            await trio.testing.wait_all_tasks_blocked()
            await face.forget([(fs.inodes[1].names[b"f"], 1)])
            nursery.start_soon(look_up)
            await trio.testing.wait_all_tasks_blocked()
    assert (await face.getattr(node, CTX)).st_size == 4
    await face.forget([(node, 1)])
    assert set(fs.references()) == {fs.root_inode}
    await finish(face, vfs, fs)
