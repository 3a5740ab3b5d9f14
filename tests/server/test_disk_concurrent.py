"""Many requests at once, on a device that answers when the test says so; and requests that are cancelled."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from minixfs.daemon.detect import server_for
from minixfs.errors import Exists, NotFound
from minixfs.fs.protocol import SUPER_USER, Node, Stat
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from minixfs.vm.pagecache import PageCache
from minixfs.vm.pool import PagePool
from tests.support.trio_runtime import Gated, TrioRuntime
from tests.support.volumes import DISKS, Served, copy, fresh, verify

FILES = 8
SIZE = 20_000


def content(index: int) -> bytes:
    return bytes([index + 1]) * SIZE


def prepared(kind: str = "V3-1K") -> RamDisk:
    disk = fresh(DISKS[kind])
    fs = Served(disk)
    fs.make_directory(b"d")
    for index in range(FILES):
        fs.make_file(b"d/%d" % index, content(index))
    fs.unmount()
    return disk


class Concurrent:
    """A mounted volume whose device can be stopped. Requests are awaited on `server`."""

    def __init__(self, disk: RamDisk, capacity: int | None = None) -> None:
        self.disk = disk
        self.device = Gated(disk)
        self.pages = PageCache(PagePool(600))
        self.server = run(server_for(disk))(self.device, 1, self.pages)
        self._capacity = capacity

    async def mount(self) -> None:
        await self.server.readsuper(read_only=False, is_root=True)
        if self._capacity:
            self.server.volume.cache.resize(self._capacity)

    async def find(self, path: bytes) -> int:
        node = await self.server.lookup(self.root, self.root, path, SUPER_USER, follow=False)
        assert isinstance(node, Node)
        return node.ino

    @property
    def root(self) -> int:
        return self.server.root_inode

    async def forget_caches(self) -> None:
        await self.server.sync()
        self.server.volume.cache.invalidate()
        self.pages.clear(1)

    def check(self) -> None:
        self.server.gate.check()
        self.server.inodes.check()
        self.server.volume.cache.check()
        assert self.server.volume.cache.statistics.in_use == 0

    async def finish(self) -> None:
        self.check()
        assert self.server.inodes.in_use == 1, "references were lost"
        await self.server.unmount()
        assert self.pages.pool.free_frames == self.pages.pool.frames - 1
        verify(self.disk)


async def mounted(kind: str = "V3-1K", capacity: int | None = None) -> Concurrent:
    fs = Concurrent(prepared(kind), capacity)
    await fs.mount()
    return fs


@pytest.mark.trio
async def test_readers_run_together_and_read_a_block_once() -> None:
    fs = await mounted()
    inos = [await fs.find(b"d/%d" % index) for index in range(3)]
    await fs.forget_caches()
    fs.device.close_gate()
    found: list[bytes] = []

    async def read(ino: int) -> None:
        found.append(bytes(await fs.server.read(ino, 0, 1024)))

    async with trio.open_nursery() as nursery:
        for ino in inos * 2:
            nursery.start_soon(read, ino)
        await wait_all_tasks_blocked()
        assert len(fs.device.reads) == 3, "each of them waits for the device, none for another"
        fs.device.open_gate()
    assert sorted(found) == sorted(content(index)[:1024] for index in range(3) for _ in range(2))
    for ino in inos:
        await fs.server.putnode(ino, 1)
    await fs.finish()


@pytest.mark.trio
async def test_a_modifier_waits_for_readers_and_later_readers_for_it() -> None:
    fs = await mounted()
    ino = await fs.find(b"d/0")
    await fs.forget_caches()
    fs.device.close_gate()
    log: list[str] = []

    async def read(name: str) -> None:
        data = await fs.server.read(ino, 0, SIZE)
        log.append(f"{name} {data[0]} {len(data)}")

    async def change() -> None:
        await fs.server.truncate(ino, 5)
        log.append("truncated")

    async with trio.open_nursery() as nursery:
        for task in (lambda: read("first"), change, lambda: read("second")):
            nursery.start_soon(task)
            await wait_all_tasks_blocked()
        assert not log
        fs.device.open_gate()
    assert log == [f"first 1 {SIZE}", "truncated", "second 1 5"], "nobody sees it half done (FS-30)"
    await fs.server.putnode(ino, 1)
    await fs.finish()


@pytest.mark.trio
async def test_what_is_in_memory_is_told_while_readers_wait_but_not_of_a_change_under_way() -> None:
    fs = await mounted()
    directory, ino = await fs.find(b"d"), await fs.find(b"d/0")
    run(fs.server.lookup_stat(directory, b"0"))
    await fs.forget_caches()
    fs.device.close_gate()
    sizes: list[int] = []

    async def ask() -> None:
        sizes.append((await fs.server.stat(ino)).size)
        sizes.append((await fs.server.lookup_stat(directory, b"0"))[1].size)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fs.server.read, ino, 0, 1024)
        await wait_all_tasks_blocked()
        assert run(fs.server.stat(ino)).size == SIZE, "a reader that waits for the device is in nobody's way"
        assert run(fs.server.lookup_stat(directory, b"0"))[1].size == SIZE
        with pytest.raises(NotFound):
            run(fs.server.lookup_stat(directory, b"missing"))
        nursery.start_soon(fs.server.truncate, ino, 5)
        await wait_all_tasks_blocked()
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        assert not sizes
        fs.device.open_gate()
    assert sizes == [5, 5]
    await fs.server.putnode(ino, 4)
    await fs.server.putnode(directory, 1)
    await fs.finish()


@pytest.mark.trio
async def test_two_walks_load_an_inode_once() -> None:
    fs = await mounted()
    await fs.server.unmount()
    fs = Concurrent(fs.disk)
    await fs.mount()
    fs.device.close_gate()
    found: list[int] = []

    async def walk() -> None:
        found.append(await fs.find(b"d/3"))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(walk)
        await wait_all_tasks_blocked()
        fs.device.open_gate()
    assert len(set(found)) == 1
    assert fs.server.inodes.open(found[0]).count == 4
    assert len(fs.device.reads) == len(set(fs.device.reads))
    await fs.server.putnode(found[0], 4)
    await fs.finish()


@pytest.mark.trio
async def test_the_last_reference_of_a_nameless_file_does_not_wait() -> None:
    """The file is freed when somebody is alone with the volume next."""
    fs = await mounted()
    ino, other = await fs.find(b"d/0"), await fs.find(b"d/1")
    parent = await fs.find(b"d")
    free = (await fs.server.statvfs()).bfree
    await fs.server.unlink(parent, b"0")
    await fs.forget_caches()
    fs.device.close_gate()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fs.server.read, other, 0, SIZE)
        await wait_all_tasks_blocked()
        await fs.server.putnode(ino, 1)
        assert len(fs.server.inodes.nameless()) == 1
        fs.device.open_gate()
    await fs.server.sync()
    assert not fs.server.inodes.nameless()
    assert (await fs.server.statvfs()).bfree > free
    await fs.server.putnode(other, 1)
    await fs.server.putnode(parent, 1)
    await fs.finish()


Request = Callable[[Concurrent, dict[bytes, int]], Awaitable[object]]


async def _keep(fs: Concurrent, node: Awaitable[object]) -> None:
    """A request that hands out a reference, which is given back at once."""
    found = await node
    assert isinstance(found, Node)
    await fs.server.putnode(found.ino, 1)


async def _keep_pair(fs: Concurrent, pair: Awaitable[tuple[Node, Stat]]) -> None:
    await fs.server.putnode((await pair)[0].ino, 1)


async def _keep_all(fs: Concurrent, directory: int) -> None:
    entries = await fs.server.getdents(directory, 0, 100)
    for found in await fs.server.getnodes(entries[2:]):
        if found is not None:
            await fs.server.putnode(found[0].ino, 1)


REQUESTS: dict[str, Request] = {
    "read": lambda fs, at: fs.server.read(at[b"d/0"], 0, SIZE),
    "peek": lambda fs, at: fs.server.peek(at[b"d/0"], 0, SIZE),
    "bread": lambda fs, at: fs.server.bread(5000, 9000),
    "lookup": lambda fs, at: _keep(fs, fs.server.lookup(fs.root, fs.root, b"d/5", SUPER_USER, follow=True)),
    "lookup_entry": lambda fs, at: _keep(fs, fs.server.lookup_entry(at[b"d"], b"6")),
    "lookup_stat": lambda fs, at: _keep_pair(fs, fs.server.lookup_stat(at[b"d"], b"6")),
    "getnodes": lambda fs, at: _keep_all(fs, at[b"d"]),
    "stat": lambda fs, at: fs.server.stat(at[b"d/1"]),
    "write": lambda fs, at: fs.server.write(at[b"d/0"], 500, b"new" * 5000),
    "append": lambda fs, at: fs.server.write(at[b"d/0"], SIZE, b"new" * 5000),
    "truncate": lambda fs, at: fs.server.truncate(at[b"d/0"], 700),
    "free_range": lambda fs, at: fs.server.free_range(at[b"d/0"], 3000, 9000),
    "create": lambda fs, at: _keep(fs, fs.server.create(at[b"d"], b"new", 0o644, 0, 0)),
    "mkdir": lambda fs, at: fs.server.mkdir(at[b"d"], b"new", 0o755, 0, 0),
    "symlink": lambda fs, at: fs.server.symlink(at[b"d"], b"new", b"text", 0, 0),
    "link": lambda fs, at: fs.server.link(at[b"d/0"], fs.root, b"new"),
    "unlink": lambda fs, at: fs.server.unlink(at[b"d"], b"2"),
    "rename": lambda fs, at: fs.server.rename(at[b"d"], b"2", fs.root, b"new"),
    "rename over": lambda fs, at: fs.server.rename(at[b"d"], b"2", at[b"d"], b"3"),
    "exchange": lambda fs, at: fs.server.exchange(at[b"d"], b"2", fs.root, b"other"),
    "sync": lambda fs, at: fs.server.sync(),
}


@pytest.mark.trio
@pytest.mark.parametrize("kind", ["V3-1K", "V3-1K-direct", "V3-4K", "ext2-1K-groups"])
@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_cancelled_at_any_wait(name: str, kind: str) -> None:
    """After n steps of the device it is cancelled, for every n: nothing is lost, and it can be done again."""
    disk = prepared(kind)
    fs = Served(disk)
    fs.make_file(b"other", b"other")
    fs.unmount()
    for steps in range(200):
        fs2 = Concurrent(copy(disk))
        await fs2.mount()
        at = {path: await fs2.find(path) for path in (b"d", b"d/0", b"d/1")}
        await fs2.server.chmod(at[b"d/1"], 0o600)
        await fs2.forget_caches()
        await fs2.server.chmod(at[b"d/1"], 0o640)
        device, done = Stepping(fs2), False
        with trio.CancelScope() as scope:
            device.cancel_after(steps, scope)
            await REQUESTS[name](fs2, at)
            done = True
        device.stop()
        fs2.check()
        if not done:
            with suppress(Exists, NotFound):  # if it had done its work before the cancellation
                await REQUESTS[name](fs2, at)
        for ino in at.values():
            await fs2.server.putnode(ino, 1)
        await fs2.finish()
        if done:
            return
    pytest.fail("never came to an end")


class Stepping:
    """Lets the device do a number of transfers, then cancels at the next one."""

    def __init__(self, fs: Concurrent) -> None:
        self._device = fs.device
        self._read, self._write, self._flush = fs.device.read, fs.device.write, fs.device.flush

    def cancel_after(self, steps: int, scope: trio.CancelScope) -> None:
        left = steps

        async def step() -> None:
            nonlocal left
            if left == 0:
                scope.cancel()
            left -= 1
            await trio.lowlevel.checkpoint()

        async def read(offset: int, buffers: object) -> int:
            await step()
            return await self._read(offset, buffers)  # type: ignore[arg-type]

        async def write(offset: int, buffers: object) -> int:
            await step()
            return await self._write(offset, buffers)  # type: ignore[arg-type]

        async def flush() -> None:
            await step()
            await self._flush()

        self._device.read, self._device.write = read, write  # type: ignore[method-assign]
        self._device.flush = flush  # type: ignore[method-assign]

    def stop(self) -> None:
        self._device.read, self._device.write = self._read, self._write  # type: ignore[method-assign]
        self._device.flush = self._flush  # type: ignore[method-assign]


class Lazy(Gated):
    """Every transfer lets the others run first."""

    async def read(self, offset: int, buffers: object) -> int:  # type: ignore[override]
        for _ in range(offset // 1024 % 3 + 1):
            await trio.lowlevel.checkpoint()
        return await self.inner.read(offset, buffers)  # type: ignore[arg-type]

    async def write(self, offset: int, buffers: object) -> int:  # type: ignore[override]
        for _ in range(offset // 1024 % 3 + 1):
            await trio.lowlevel.checkpoint()
        return await self.inner.write(offset, buffers)  # type: ignore[arg-type]


@pytest.mark.trio
@pytest.mark.parametrize("kind", ["V3-1K", "V3-1K-direct", "V3-4K", "V1", "ext2-1K-groups", "ext2-4K-direct"])
@pytest.mark.parametrize("capacity", [10, 200])
async def test_many_tasks_at_once(kind: str, capacity: int, rng: random.Random) -> None:
    """Each task works on a file of its own, with cancellations now and then; every read is right."""
    disk = prepared(kind)
    fs = Concurrent(disk, capacity)
    fs.device = Lazy(disk)
    fs.device.runtime = TrioRuntime()
    fs.server = run(server_for(disk))(fs.device, 1, fs.pages)
    await fs.mount()
    seeds = [rng.getrandbits(32) for _ in range(FILES)]

    async def work(index: int) -> None:
        mine = random.Random(seeds[index])
        expected = bytearray(content(index))
        path = b"d/%d" % index
        ino = await fs.find(path)
        for step in range(40):
            with trio.CancelScope() as scope:
                action = mine.random()
                start = mine.randrange(SIZE)
                if action < 0.5:
                    assert await fs.server.read(ino, start, 3000) == expected[start : start + 3000]
                elif action < 0.8:
                    data = mine.randbytes(mine.randrange(1, 3000))
                    assert await fs.server.write(ino, start, data) == len(data)
                    expected[len(expected) : start] = bytes(max(0, start - len(expected)))
                    expected[start : start + len(data)] = data
                elif action < 0.85:
                    await fs.server.sync()
                elif action < 0.9:
                    await fs.server.truncate(ino, start)
                    del expected[start:]
                    expected[len(expected) :] = bytes(start - len(expected))
                elif action < 0.95:
                    scope.cancel()
                    await fs.server.read(ino, 0, SIZE)
                else:
                    node = await fs.server.create(fs.root, b"%d-%d" % (index, step), 0o600, 0, 0)
                    await fs.server.unlink(fs.root, b"%d-%d" % (index, step))
                    await fs.server.putnode(node.ino, 1)
            if scope.cancelled_caught:
                await trio.lowlevel.checkpoint()
        assert await fs.server.read(ino, 0, 2 * SIZE) == expected
        await fs.server.putnode(ino, 1)

    async with trio.open_nursery() as nursery:
        for index in range(FILES):
            nursery.start_soon(work, index)
    await fs.finish()
