"""The FUSE face without a kernel: what it asks the file server for, what it keeps of the answers, what it replies."""

from __future__ import annotations

import errno
import os
import stat
import struct
from typing import Any

import pytest
import trio
import trio.testing

from minixfs.daemon.fuse import listing
from minixfs.daemon.fuse.face import CREDIT, SETTLED_AT_ONCE, FuseFace
from minixfs.daemon.fuse.view import View
from minixfs.daemon.fuse.wire import OPEN_IN, SETATTR_IN, Feature, Opcode, Valid
from minixfs.daemon.path import ByPath
from minixfs.daemon.process import Process
from minixfs.daemon.vfs import Vfs
from minixfs.errors import MinixFsError, NoSpace
from minixfs.fs.protocol import DirEntry, DirTable
from tests.support.fakefs import FakeFs, check, mount, mounted
from tests.support.kernel import ROOT, Kernel

ALL = 0xFFFFFFFF


def asked(fs: FakeFs) -> list[str]:
    """The requests since the last time."""
    names = [request.name for request in fs.requests]
    fs.requests.clear()
    return names


async def tidy(face: FuseFace) -> None:
    """All that is to be done between requests."""
    while face.has_chores:
        await face.tidy(lambda: False)


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
    kernel = Kernel(face)
    asked(fs)
    entry = await kernel.lookup(ROOT, b"f")
    assert (entry.size, stat.S_IFMT(entry.mode)) == (4, stat.S_IFREG)
    assert (await kernel.lookup(ROOT, b"f")).node == entry.node
    assert (await kernel.lookup(ROOT, b"absent")).node == 0
    assert asked(fs) == ["lookup_stat"] * 3
    await kernel.forget(entry.node, count=2)
    assert asked(fs) == []  # whoever asks next is not kept waiting by this
    await tidy(face)
    assert asked(fs) == ["putnode"]
    await finish(face, vfs, fs)


@pytest.mark.trio
async def test_what_is_forgotten_is_given_back_soon_and_before_it_could_be_missed() -> None:
    names = [f"f{number}" for number in range(CREDIT + 2)]
    fs = FakeFs(dict.fromkeys(names, b""))
    vfs = await mounted(fs)
    face = FuseFace(vfs, View())
    kernel = Kernel(face)
    nodes = [(await kernel.lookup(ROOT, name.encode())).node for name in names]
    asked(fs)
    for node in nodes[:CREDIT]:
        await kernel.forget(node)
    assert asked(fs) == []
    await face.tidy(lambda: False)
    assert asked(fs) == ["putnode"] * SETTLED_AT_ONCE
    await kernel.forget(*nodes[-2:])
    await kernel.unlink(ROOT, b"f1")
    assert asked(fs) == ["unlink"]
    await vfs.sync(durable=False)
    assert asked(fs) == ["putnode"] * CREDIT + ["write_back"]
    node = (await kernel.lookup(ROOT, b"f2")).node
    await kernel.forget(node)
    asked(fs)
    await kernel.ask(Opcode.STATFS, ROOT)
    assert asked(fs) == ["putnode", "statvfs"]
    await finish(face, vfs, fs)


@pytest.mark.trio
async def test_a_full_volume_gets_back_what_was_forgotten() -> None:
    fs = FakeFs({"old": b""})
    vfs = await mounted(fs)
    face = FuseFace(vfs, View())
    kernel = Kernel(face)
    create = fs.create

    async def create_if_there_is_room(*arguments: Any) -> Any:
        if any(not fs.inodes[number].nlinks for number in fs.references()):
            raise NoSpace
        return await create(*arguments)

    node = (await kernel.lookup(ROOT, b"old")).node
    await kernel.unlink(ROOT, b"old")
    await kernel.forget(node)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fs, "create", create_if_there_is_room)
        assert (await kernel.create(ROOT, b"new", stat.S_IFREG | 0o644, os.O_CREAT)).node
    await finish(face, vfs, fs)


@pytest.mark.trio
async def test_a_lookup_of_a_mount_point_finds_what_is_mounted_there() -> None:
    fs, below = FakeFs({"home": {}}), FakeFs({"x": b"X"}, mode=0o700)
    vfs = await mounted(fs)
    process = Process(vfs)
    await mount(vfs, below, ByPath(process, b"/home"))
    await process.exit()
    face = FuseFace(vfs, View())
    kernel = Kernel(face)
    home = await kernel.lookup(ROOT, b"home")
    assert (home.node >> 32, stat.S_IMODE(home.mode)) == (1, 0o700)
    assert (await kernel.lookup(home.node, b"x")).size == 1
    listed = {entry.name: entry for entry in await kernel.list(ROOT, plus=True)}
    assert listed[b"home"].entry == home
    assert listed[b"home"].kind == stat.S_IFDIR >> 12
    await finish(face, vfs, fs, below)


@pytest.mark.trio
async def test_a_new_file_is_not_looked_up_again() -> None:
    fs = FakeFs({"old": b"text"})
    vfs = await mounted(fs)
    face = FuseFace(vfs, View())
    kernel = Kernel(face)
    asked(fs)
    entry = await kernel.create(ROOT, b"new", stat.S_IFREG | 0o640, os.O_RDWR | os.O_EXCL)
    assert asked(fs) == ["create", "stat"]
    assert (entry.uid, entry.gid, entry.mode) == (1, 2, stat.S_IFREG | 0o640)
    entry = await kernel.create(ROOT, b"old", stat.S_IFREG | 0o640, os.O_RDWR)
    assert entry.size == 4
    with pytest.raises(MinixFsError):
        await kernel.create(ROOT, b"old", stat.S_IFREG | 0o640, os.O_RDWR | os.O_EXCL)
    await finish(face, vfs, fs)


@pytest.mark.trio
@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize("room", [1000, 4096, 30_000])
async def test_a_listing_has_what_there_is_room_for(room: int, plus: bool) -> None:
    fs = FakeFs({f"{number:03}" * (1 + number % 40): b"" for number in range(200)})
    vfs = await mounted(fs)
    face = FuseFace(vfs, View())
    kernel = Kernel(face)
    told = await kernel.list(ROOT, room=room, plus=plus)
    while more := await kernel.list(ROOT, told[-1].next, room, plus=plus):
        told += more
    assert [entry.name for entry in told[:2]] == [b".", b".."]
    assert len({entry.name for entry in told}) == len(told) == 200 + 2
    looked_up = sum(len(request.args[0]) for request in fs.requests if request.name == "getnodes")
    assert looked_up == (200 if plus else 0)
    nodes = [entry.entry.node for entry in told if entry.entry]
    assert nodes == ([entry.node for entry in told[2:]] if plus else [])
    if nodes:
        await kernel.forget(*nodes)
    await finish(face, vfs, fs)


@pytest.mark.trio
async def test_where_permissions_are_left_to_us_all_is_allowed_but_to_execute_what_nobody_may() -> None:
    fs = FakeFs({"f": b"text"})
    vfs = await mounted(fs)
    face = FuseFace(vfs, View(kernel_checks=False))
    kernel = Kernel(face)
    entry = await kernel.lookup(ROOT, b"f")
    await kernel.access(entry.node, os.R_OK | os.W_OK)
    with pytest.raises(MinixFsError):
        await kernel.access(entry.node, os.X_OK)
    await kernel.access(ROOT, os.X_OK)
    await finish(face, vfs, fs)


@pytest.mark.trio
async def test_opens_are_told_of_only_where_reading_changes_access_times() -> None:
    fs = FakeFs({"f": b"text"})
    vfs = await mounted(fs)
    for stamps, wanted, not_wanted in (
        (True, Feature.ATOMIC_O_TRUNC, Feature.NO_OPEN_SUPPORT),
        (False, Feature.NO_OPEN_SUPPORT, Feature.ATOMIC_O_TRUNC),
    ):
        fs.stamps_access = stamps
        face = FuseFace(vfs, View())
        kernel = Kernel(face)
        chosen = face.choose(ALL)
        assert chosen & wanted
        assert not chosen & not_wanted
        node = (await kernel.lookup(ROOT, b"f")).node
        if stamps:
            await kernel.ask(Opcode.OPEN, node, OPEN_IN.pack(os.O_RDONLY, 0))
        else:
            with pytest.raises(MinixFsError) as refused:
                await kernel.ask(Opcode.OPEN, node, OPEN_IN.pack(os.O_RDONLY, 0))
            assert refused.value.errno == errno.ENOSYS
        with pytest.raises(MinixFsError):
            await kernel.ask(Opcode.OPENDIR, ROOT, OPEN_IN.pack(os.O_RDONLY, 0))
        await finish(face, vfs, fs)


@pytest.mark.trio
async def test_a_kernel_that_can_do_nothing_special_is_served_all_the_same() -> None:
    fs = FakeFs({"f": b"text"})
    fs.stamps_access = False
    vfs = await mounted(fs)
    changed: list[int] = []
    face = FuseFace(vfs, View(), attributes_changed=changed.append)
    kernel = Kernel(face)
    assert not face.choose(0)
    node = (await kernel.lookup(ROOT, b"f")).node
    await kernel.ask(Opcode.OPEN, node, OPEN_IN.pack(os.O_RDWR, 0))
    await kernel.ask(Opcode.OPENDIR, ROOT, OPEN_IN.pack(os.O_RDONLY, 0))
    assert await kernel.read(node) == b"text"
    await kernel.ask(Opcode.SETATTR, node, SETATTR_IN.pack(Valid.MODE, *[0] * 10, 0o6755, *[0] * 4))
    assert await kernel.write(node, 0, b"T") == 1
    assert changed == [node]  # the set-id bits went, as nobody but us could know
    assert stat.S_IMODE((await kernel.getattr(node)).mode) == 0o755
    await finish(face, vfs, fs)


@pytest.mark.trio
async def test_few_of_the_known_nodes_are_held() -> None:
    names = [f"f{number}" for number in range(9)]
    fs = FakeFs(dict.fromkeys(names, b"text"))
    vfs = await mounted(fs)
    face = FuseFace(vfs, View(), held_nodes=3)
    kernel = Kernel(face)

    nodes = {}
    for name in names:
        nodes[name] = (await kernel.lookup(ROOT, name.encode())).node
        await tidy(face)
    assert len(fs.references()) == 3
    for name in names:
        assert (await kernel.getattr(nodes[name])).node == nodes[name]
        await tidy(face)
        assert (await kernel.lookup(ROOT, name.encode())).node == nodes[name]
        await tidy(face)
        assert await kernel.read(nodes[name]) == b"text"
        assert len(fs.references()) <= 4  # the root, and one that was just used
    await kernel.forget(*nodes.values())
    assert (await kernel.getattr(nodes["f3"])).node == nodes["f3"]
    await kernel.forget(*nodes.values())
    with pytest.raises(MinixFsError):
        await kernel.getattr(nodes["f3"])
    await tidy(face)
    assert set(fs.references()) == {fs.root_inode}
    await finish(face, vfs, fs)


@pytest.mark.trio
@pytest.mark.parametrize("remover", ["unlink", "rename"])
async def test_what_lost_its_name_is_there_until_the_kernel_forgets_it(remover: str) -> None:
    names = [f"f{number}" for number in range(9)]
    fs = FakeFs({name: name.encode() for name in names})
    vfs = await mounted(fs)
    face = FuseFace(vfs, View(), held_nodes=3)
    kernel = Kernel(face)
    nodes = {name: (await kernel.lookup(ROOT, name.encode())).node for name in names}
    await tidy(face)
    assert nodes["f1"] not in fs.references()
    if remover == "unlink":
        await kernel.unlink(ROOT, b"f1")
    else:
        await kernel.rename(ROOT, b"f2", ROOT, b"f1")
    for name in names[3:]:
        await kernel.getattr(nodes[name])
        await tidy(face)
    assert nodes["f1"] in fs.references()
    assert (await kernel.getattr(nodes["f1"])).nlink == 0
    await kernel.forget(nodes["f1"])
    await tidy(face)
    assert nodes["f1"] not in fs.references()
    await finish(face, vfs, fs)


@pytest.mark.trio
async def test_a_node_that_is_forgotten_and_told_anew_while_it_is_being_parked() -> None:
    fs = FakeFs({"f": b"text"})
    vfs = await mounted(fs)
    face = FuseFace(vfs, View(), held_nodes=1)
    kernel = Kernel(face)
    node = (await kernel.lookup(ROOT, b"f")).node
    async with trio.open_nursery() as nursery:
        with fs.hold("stat"):
            nursery.start_soon(face.tidy, lambda: False)
            await trio.testing.wait_all_tasks_blocked()
            await kernel.forget(node)
            nursery.start_soon(kernel.lookup, ROOT, b"f")
            await trio.testing.wait_all_tasks_blocked()
    assert (await kernel.getattr(node)).size == 4
    await kernel.forget(node)
    await tidy(face)
    assert set(fs.references()) == {fs.root_inode}
    await finish(face, vfs, fs)


def test_packed_entries() -> None:
    entries = [DirEntry(5, 1, b"a"), DirEntry(6, 2, b"12345678"), DirEntry(1 << 31, 3, b"n" * 255)]
    table = DirTable.of(entries)._replace(types=[4, 8, 0])
    keys = [ino + (7 << 32) for ino in table.inos]
    rows = [
        struct.pack("=QQII", key, entry.next, len(entry.name), kind) + entry.name.ljust(len(entry.name) + 7 & ~7, b"\0")
        for entry, key, kind in zip(entries, keys, (4, 8, 0), strict=True)
    ]
    assert listing.pack(table, keys, 4096) == b"".join(rows)
    assert listing.pack(table, keys, 64) == b"".join(rows[:2])
    assert listing.pack(table, keys, 63) == rows[0]
    assert listing.pack(table, keys, 31) == b""
    assert listing.pack(DirTable.of([]), [], 4096) == b""
