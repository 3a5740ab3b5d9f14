"""libminixfs: the block cache on VM's pages."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import minixfs.fs.mfs
from minixfs.errors import DeviceError, NoSpace
from minixfs.fs.libminixfs import heuristic
from minixfs.fs.libminixfs.buffer import Buf
from minixfs.fs.libminixfs.cache import BlockCache
from minixfs.fs.libminixfs.write_order import Order
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.blockdev.fault import FaultDevice
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.blockdev.recorder import Recorder, Write
from minixfs.hw.runtime import run
from minixfs.vm.pagecache import PageCache
from minixfs.vm.pool import PAGE_SIZE, PagePool
from tests.support.trio_runtime import Gated

DEV = 0x301
ORDERS = [Order.DATA, Order.MAP, Order.INDIRECT, Order.INODE, Order.DIRECTORY]
SIZES = [1024, 1536, 2048, 4096, 8192, 12288, 32768, 65024]


def pattern(block: int, size: int) -> bytes:
    return block.to_bytes(4, "little") * (size // 4)


def disk_of(blocks: int, size: int) -> RamDisk:
    return RamDisk(b"".join(pattern(block, size) for block in range(blocks)))


def cache_on(
    device: BlockDevice, size: int = 4096, *, buffers: int = 10, frames: int = 600, vm_cache: bool = True
) -> BlockCache:
    cache = BlockCache(device, DEV, PageCache(PagePool(frames)), size, vm_cache=vm_cache)
    cache.resize(buffers)
    return cache


def get(cache: BlockCache, block: int, ino: int = 0, file_offset: int = 0, *, read: bool = True) -> Buf:
    return run(cache.get(block, ino, file_offset, read=read))


def read(cache: BlockCache, block: int) -> bytes:
    with get(cache, block) as buf:
        return bytes(buf.data)


def change(cache: BlockCache, block: int, fill: int, order: int = Order.DATA) -> None:
    with get(cache, block) as buf:
        buf.data[:] = bytes([fill]) * cache.block_size
        cache.mark_dirty(buf, order)


def pages_of(cache: BlockCache) -> PageCache:
    return cache._pages


# ---- reading and writing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vm_cache", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_blocks_are_what_the_device_holds(size: int, vm_cache: bool, rng: random.Random) -> None:
    """FS-11, VM-45, VM-48: any access pattern, cache smaller and larger than the set, never wrong data."""
    blocks = 60
    for buffers in (10, 20, 45, 90):
        expected = {block: pattern(block, size) for block in range(blocks)}
        disk = disk_of(blocks, size)
        frames = 200 + 120 * -(-size // PAGE_SIZE)
        cache = cache_on(disk, size, buffers=buffers, frames=frames, vm_cache=vm_cache)
        orders = [list(range(blocks)), rng.sample(range(blocks), blocks), rng.choices(range(blocks), k=2 * blocks)]
        for order in orders:
            for block in order:
                if rng.random() < 0.4:
                    fill = rng.randrange(256)
                    change(cache, block, fill, rng.choice(ORDERS))
                    expected[block] = bytes([fill]) * size
                else:
                    assert read(cache, block) == expected[block]
                if rng.random() < 0.05:
                    run(cache.flush())
            cache.check()
        run(cache.flush())
        assert disk.snapshot() == b"".join(expected.values())
        cache.close()
        assert pages_of(cache).pool.free_frames == frames - 1
        assert (pages_of(cache).statistics.hits > 0) == (vm_cache and size % PAGE_SIZE == 0 and buffers < blocks)


def test_a_dirty_block_is_written_at_flush_and_not_at_put() -> None:
    """FS-02."""
    disk = disk_of(4, 4096)
    before = disk.snapshot()
    cache = cache_on(disk)
    change(cache, 2, 0xAA)
    assert disk.snapshot() == before
    assert run(cache.flush()) == 1
    assert disk.snapshot()[2 * 4096] == 0xAA
    assert run(cache.flush()) == 0
    cache.check()


def test_a_miss_without_room_writes_data_and_maps_but_nothing_that_has_an_order() -> None:
    """FS-02, FS-03: all of them at once, sorted, in runs."""
    recorder = Recorder(disk_of(40, 4096))
    cache = cache_on(recorder)
    for block in (7, 3, 5, 6, 4):
        change(cache, block, block)
    for block, order in ((20, Order.DIRECTORY), (21, Order.INODE), (22, Order.INDIRECT), (23, Order.MAP)):
        change(cache, block, block, order)
    change(cache, 9, 9)
    assert not recorder.log
    read(cache, 30)
    assert [(entry.offset // 4096, len(entry.data) // 4096) for entry in recorder.log if isinstance(entry, Write)] == [
        (3, 5),
        (9, 1),
        (23, 1),
    ]
    assert sorted(cache.dirty) == [20, 21, 22]
    cache.check()


def test_the_cache_grows_rather_than_break_the_order() -> None:
    recorder = Recorder(disk_of(40, 4096))
    cache = cache_on(recorder)
    for block in range(15):
        change(cache, block, block, Order.DIRECTORY)
    assert not recorder.log
    assert read(cache, 30) == pattern(30, 4096)
    assert cache.statistics.buffers == 15
    cache.check()
    run(cache.flush())
    cache.check()
    assert cache.statistics.buffers == 10


def test_new_blocks_are_blank_on_the_disk_before_anything_else_is_written() -> None:
    """And those that were freed in between are not touched."""
    recorder = Recorder(disk_of(40, 4096))
    cache = cache_on(recorder)
    cache.blank(range(20, 24), b"\xee" * 4096)
    change(cache, 20, 1, Order.DIRECTORY)
    change(cache, 5, 5)
    cache.forget([22])
    run(cache.flush())
    written = [(entry.offset // 4096, bytes(entry.data)) for entry in recorder.log if isinstance(entry, Write)]
    assert written == [
        (20, b"\xee" * 8192),
        (23, b"\xee" * 4096),
        (5, b"\x05" * 4096),
        (20, b"\x01" * 4096),
    ]
    run(cache.flush())
    assert len(recorder.log) == len(written), "once is enough"
    cache.check()


@pytest.mark.parametrize(("size", "longest"), [(4096, 63), (8192, 31), (1024, 63)])
def test_runs_have_a_longest_length(size: int, longest: int) -> None:
    """FS-03: 63 blocks of 4K, 31 of 8K."""
    recorder = Recorder(disk_of(200, size))
    cache = cache_on(recorder, size, buffers=150, frames=1000)
    for block in range(100):
        change(cache, block, block)
    run(cache.flush())
    lengths = [len(entry.data) // size for entry in recorder.log if isinstance(entry, Write)]
    assert lengths == [longest] * (100 // longest) + [100 % longest]


def test_flush_writes_in_order() -> None:
    """Data, maps, indirect blocks from the leaves up, inodes, directories; each sorted."""
    recorder = Recorder(disk_of(40, 4096))
    cache = cache_on(recorder, buffers=30)
    classes = [Order.DIRECTORY, Order.INODE, Order.INDIRECT + 2, Order.INDIRECT, Order.MAP, Order.DATA]
    for index, order in enumerate(classes):
        for block in (20 + index * 2, 1 + index * 2):
            change(cache, block, 1, order)
    run(cache.flush())
    written = [entry.offset // 4096 for entry in recorder.log if isinstance(entry, Write)]
    assert written == [11, 30, 9, 28, 7, 26, 5, 24, 3, 22, 1, 20]


def test_constraints_among_directory_blocks_are_kept() -> None:
    recorder = Recorder(disk_of(40, 4096))
    cache = cache_on(recorder, buffers=30)
    for block in (1, 3, 5, 7, 9):
        change(cache, block, 1, Order.DIRECTORY)
    cache.write_order.bind(9, 3)
    cache.write_order.bind(3, 1)
    cache.write_order.bind(5, 5)
    assert cache.write_order.binds(9, 1)
    assert not cache.write_order.binds(1, 9)
    assert not cache.write_order.binds(5, 5)
    run(cache.flush())
    assert [entry.offset // 4096 for entry in recorder.log if isinstance(entry, Write)] == [9, 3, 1, 5, 7]
    assert not cache.write_order.binds(9, 1), "what is on the disk constrains nothing"


def test_constraints_keep_random_orders(rng: random.Random) -> None:
    recorder = Recorder(disk_of(120, 1024))
    cache = cache_on(recorder, 1024, buffers=200)
    pairs = []
    for block in range(0, 120, 2):
        change(cache, block, 1, Order.DIRECTORY)
    for _ in range(300):
        first, then = rng.sample(range(0, 120, 2), 2)
        if not cache.write_order.binds(then, first):
            cache.write_order.bind(first, then)
            pairs.append((first, then))
    run(cache.flush())
    place = {entry.offset // 1024: index for index, entry in enumerate(recorder.log) if isinstance(entry, Write)}
    assert len(place) == 60
    assert all(place[first] < place[then] for first, then in pairs)


def test_an_error_leaves_the_rest_dirty() -> None:
    device = FaultDevice(disk_of(40, 4096))
    cache = cache_on(device, buffers=30)
    for block in (1, 3, 5):
        change(cache, block, block)
    device.arm(2, kinds=["write"])
    with pytest.raises(DeviceError):
        run(cache.flush())
    assert sorted(cache.dirty) == [3, 5]
    cache.check()
    assert run(cache.flush()) == 2
    cache.check()


def test_a_failing_early_write_does_not_fail_the_reader() -> None:
    device = FaultDevice(disk_of(40, 4096))
    cache = cache_on(device)
    for block in range(10):
        change(cache, block, block)
    device.arm(1, kinds=["write"], lasting=True)
    assert read(cache, 30) == pattern(30, 4096)
    assert len(cache.dirty) == 10
    cache.check()


def test_a_read_error_goes_to_the_caller_and_leaves_nothing() -> None:
    """Defect D-03: no invalid buffer is handed out."""
    device = FaultDevice(disk_of(40, 4096))
    cache = cache_on(device)
    device.arm(1)
    with pytest.raises(DeviceError):
        get(cache, 5)
    assert cache.get_cached(5) is None
    assert read(cache, 5) == pattern(5, 4096)
    with pytest.raises(DeviceError, match="beyond the end"):
        get(cache, 40)
    cache.check()


# ---- which blocks stay ---------------------------------------------------------------------------------------------


def test_least_recently_used_goes_first() -> None:
    """FS-04."""
    cache = cache_on(disk_of(40, 1024), 1024)
    for block in range(11):
        read(cache, block)
    reads = cache.statistics.reads
    assert read(cache, 0) == pattern(0, 1024)
    assert cache.statistics.reads == reads + 1
    for block in range(2, 11):
        read(cache, block)
    assert cache.statistics.reads == reads + 1


def test_once_means_evicted_first() -> None:
    """FS-04."""
    cache = cache_on(disk_of(40, 1024), 1024)
    for block in range(9):
        read(cache, block)
    cache.put(get(cache, 20), once=True)
    read(cache, 21)
    assert cache.get_cached(20) is None
    for block in range(9):
        buf = cache.get_cached(block)
        assert buf is not None
        cache.put(buf)


def test_get_cached_neither_reads_nor_evicts() -> None:
    cache = cache_on(disk_of(40, 4096))
    read(cache, 1)
    before = cache.statistics
    assert cache.get_cached(2) is None
    assert cache.statistics == before


def test_no_read_gives_a_buffer_without_io() -> None:
    cache = cache_on(disk_of(40, 4096))
    with get(cache, 7, read=False) as buf:
        assert cache.get_cached(7) is buf
        cache.put(buf)
    assert cache.statistics.reads == 0


def test_buffers_in_use_stay_and_the_cache_grows() -> None:
    cache = cache_on(disk_of(40, 4096))
    held = [get(cache, block) for block in range(14)]
    assert [bytes(buf.data) for buf in held] == [pattern(block, 4096) for block in range(14)]
    cache.check()
    for buf in held:
        cache.put(buf)
    cache.check()
    assert cache.statistics.buffers == 10


def test_no_memory_is_an_error_of_one_request() -> None:
    for size in (1024, 4096):
        cache = cache_on(disk_of(60, size), size, frames=5)
        held = [get(cache, block) for block in range(4 * PAGE_SIZE // size)]
        with pytest.raises(NoSpace):
            get(cache, 50)
        cache.put(held.pop())
        assert read(cache, 50) == pattern(50, size)
        for buf in held:
            cache.put(buf)
        cache.check()


def test_idle_buffers_make_room_when_the_pool_is_exhausted() -> None:
    """VM-70, for blocks smaller than a page too: another mount took the memory."""
    for size in (1024, 1536, 4096, 8192):
        pages = PageCache(PagePool(12))
        cache = BlockCache(disk_of(60, size), DEV, pages, size)
        for block in range(6):
            read(cache, block)
        while pages.pool.allocate() is not None:
            pass
        for block in range(20, 50):
            assert read(cache, block) == pattern(block, size)
        cache.check()


# ---- read-ahead ----------------------------------------------------------------------------------------------------


def test_prefetch_reads_one_run_at_once() -> None:
    cache = cache_on(disk_of(60, 4096), buffers=40)
    run(cache.prefetch([(block, 9, block * 4096) for block in (10, 11, 12, 14, 15)]))
    assert (cache.statistics.reads, cache.statistics.blocks_read) == (1, 3)
    assert read(cache, 11) == pattern(11, 4096)
    assert cache.statistics.reads == 1
    assert pages_of(cache).find_file_page((DEV, 9, 11 * 4096)) is not None
    cache.check()


def test_prefetch_stops_at_what_is_cached() -> None:
    cache = cache_on(disk_of(60, 4096), buffers=40)
    change(cache, 12, 0x55)
    run(cache.prefetch([(block, 0, 0) for block in range(10, 20)]))
    assert cache.statistics.blocks_read == 3
    assert read(cache, 12) == b"\x55" * 4096
    assert cache.get_cached(13) is None


def test_prefetch_never_reads_what_vm_still_has() -> None:
    """FS-15, VM-35."""
    cache = cache_on(disk_of(60, 4096), buffers=40)
    for block in range(10, 14):
        read(cache, block)
    cache.invalidate()
    reads = cache.statistics.reads
    run(cache.prefetch([(block, 0, 0) for block in range(10, 14)]))
    for block in range(10, 14):
        assert read(cache, block) == pattern(block, 4096)
    assert cache.statistics.reads == reads


def test_prefetch_leaves_room_and_the_first_blocks_in_a_small_cache() -> None:
    cache = cache_on(disk_of(60, 4096))
    for block in range(10):
        read(cache, block)
    reads = cache.statistics.reads
    run(cache.prefetch([(block, 0, 0) for block in range(20, 50)]))
    assert read(cache, 20) == pattern(20, 4096)
    assert cache.statistics.reads == reads + 1
    assert cache.statistics.buffers == 10
    cache.check()


def test_prefetch_is_a_hint() -> None:
    device = FaultDevice(disk_of(20, 4096))
    cache = cache_on(device, buffers=40)
    device.arm(1)
    run(cache.prefetch([(1, 0, 0), (2, 0, 0)]))
    cache.check()
    run(cache.prefetch([(18, 0, 0), (19, 0, 0), (20, 0, 0), (21, 0, 0)]))
    assert cache.get_cached(20) is None
    assert read(cache, 19) == pattern(19, 4096)
    cache.check()
    held = [get(cache, block, read=False) for block in range(40)]
    run(cache.prefetch([(50, 0, 0)]))
    for buf in held:
        cache.put(buf)
    cache.check()


# ---- VM ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4096, 8192, 12288])
def test_vm_knows_every_filled_buffer_by_both_keys(size: int) -> None:
    """FS-14, FS-17, FS-26, VM-32, VM-34: the same frame, while it is still in the primary cache."""
    cache = cache_on(disk_of(40, size), size)
    with get(cache, 3, ino=7, file_offset=2 * size) as buf:
        frame = buf.frame
    with get(cache, 4) as meta:
        pass
    pages = pages_of(cache)
    for page in range(size // PAGE_SIZE):
        at = page * PAGE_SIZE
        assert pages.find_device_page((DEV, 3 * size + at)) == frame + page
        assert pages.find_file_page((DEV, 7, 2 * size + at)) == frame + page
        assert pages.find_device_page((DEV, 4 * size + at)) == meta.frame + page
    cache.check()


def test_an_unfinished_buffer_is_not_registered() -> None:
    cache = cache_on(disk_of(40, 4096))
    buf = get(cache, 3, read=False)
    assert pages_of(cache).find_device_page((DEV, 3 * 4096)) is None
    cache.put(buf)
    assert pages_of(cache).find_device_page((DEV, 3 * 4096)) is not None


def test_blocks_that_are_no_pages_stay_private() -> None:
    """Defect D-04."""
    for size in (1024, 1536, 65024):
        cache = cache_on(disk_of(20, size), size, frames=400)
        read(cache, 3)
        assert pages_of(cache).cached_pages == 0


def test_an_evicted_block_comes_back_from_vm() -> None:
    """FS-15, VM-35."""
    cache = cache_on(disk_of(40, 4096))
    frame = get(cache, 1, ino=5, file_offset=0).frame
    buf = cache.get_cached(1)
    assert buf is not None
    cache.put(buf)
    cache.put(buf)
    for block in range(20, 32):
        read(cache, block)
    assert cache.get_cached(1) is None
    assert cache.holds_any(range(1, 2))
    reads = cache.statistics.reads
    with get(cache, 1) as again:
        assert again.frame == frame
    assert cache.statistics.reads == reads
    assert pages_of(cache).find_file_page((DEV, 5, 0)) == frame, "a use without a file keeps what is known"


def test_freed_blocks_are_forgotten_everywhere() -> None:
    """FS-19, VM-33: dirty, idle, in use, or only with VM."""
    recorder = Recorder(disk_of(60, 4096))
    cache = cache_on(recorder)
    for block in (1, 2, 3, 4):
        cache.put(get(cache, block, ino=5, file_offset=block * 4096))
    for block in range(30, 42):
        read(cache, block)  # 1..4 are with VM alone now
    cache.put(get(cache, 2))
    change(cache, 3, 0xEE)
    held = get(cache, 4)
    cache.forget([1, 2, 3, 4])
    for block in (1, 2, 3, 4):
        assert pages_of(cache).find_file_page((DEV, 5, block * 4096)) is None
        assert pages_of(cache).find_device_page((DEV, block * 4096)) is None
    cache.put(held)
    assert pages_of(cache).find_device_page((DEV, 4 * 4096)) is None
    run(cache.flush())
    assert not recorder.log
    assert read(cache, 3) == pattern(3, 4096)
    cache.check()


def test_another_part_of_a_file_is_annotated_anew() -> None:
    """VM-33."""
    cache = cache_on(disk_of(60, 4096))
    cache.put(get(cache, 1, ino=5, file_offset=0))
    cache.put(get(cache, 1, ino=6, file_offset=8192))
    pages = pages_of(cache)
    assert pages.find_file_page((DEV, 5, 0)) is None
    assert pages.find_file_page((DEV, 6, 8192)) is not None


def test_invalidate_keeps_vm_from_unwritten_data() -> None:
    """VM-40: never serve as clean what the disk does not hold."""
    cache = cache_on(disk_of(60, 4096))
    read(cache, 1)
    change(cache, 2, 0xEE)
    cache.invalidate()
    assert cache.statistics.buffers == 0
    assert pages_of(cache).find_device_page((DEV, 4096)) is not None
    assert pages_of(cache).find_device_page((DEV, 8192)) is None
    assert read(cache, 2) == pattern(2, 4096)


# ---- size ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "free", "size", "pages", "buffers"),
    [
        (1000, 1000, 4096, 100_000, 10),  # empty: the minimum
        (100_000, 50_000, 4096, 1_000_000, 40 * 447 // 4),  # 40 * isqrt(200000 kB)
        (100_000, 50_000, 1024, 1_000_000, 40 * 223),
        (100, 0, 4096, 1_000_000, 50),  # half of the file system
        (100_000, 50_000, 4096, 2_000, 200),  # a tenth of the memory
        (2**32, 0, 4096, 10**9, 40 * 131072 // 4),  # no 32-bit overflow (defect D-26)
        (10, 0, 65024, 100, 10),
    ],
)
def test_the_size_heuristic(total: int, free: int, size: int, pages: int, buffers: int) -> None:
    """FS-05, VM-24."""
    assert heuristic.buffers_for(total, free, size, pages) == buffers


def test_a_new_size_must_be_worth_it() -> None:
    assert not heuristic.worth_resizing(100, 110)
    assert heuristic.worth_resizing(100, 111)
    assert heuristic.worth_resizing(100, 89)


def test_size_follows_usage_beyond_ten_megabytes() -> None:
    """FS-07, FS-08, VM-24: VM's cached pages count as available."""
    cache = cache_on(disk_of(400, 4096), frames=3000)
    assert not any(cache.usage_changed(2560) or cache.usage_changed(-2560) for _ in range(50))
    assert cache.usage_changed(2561)
    assert cache.fit_to_usage(100_000, 97_439)
    grown = cache.capacity
    assert grown > 10
    assert not cache.usage_changed(2560), "counting begins anew"
    for block in range(300):
        read(cache, block)
    free, cached = pages_of(cache).pool.free_frames, pages_of(cache).cached_pages
    assert free + cached == 2999
    assert not cache.fit_to_usage(100_000, 97_439)
    assert cache.fit_to_usage(100_000, 99_999)
    assert cache.capacity < grown
    cache.check()
    assert cache.statistics.buffers <= cache.capacity


def test_size_is_bounded_by_the_pool() -> None:
    cache = cache_on(disk_of(40, 8192), 8192, frames=101)
    cache.resize(10_000)
    assert cache.capacity == 50 * 3 // 4
    cache = cache_on(disk_of(40, 1024), 1024, frames=101)
    cache.resize(10_000)
    assert cache.capacity == 300


def test_closing_gives_all_memory_back() -> None:
    for size in SIZES:
        cache = cache_on(disk_of(40, size), size, frames=400)
        for block in range(20):
            read(cache, block)
        cache.close()
        pages = pages_of(cache)
        assert pages.cached_pages == 0
        assert pages.pool.free_frames == pages.pool.frames - 1
        pages.check()


# ---- concurrency ---------------------------------------------------------------------------------------------------


@pytest.mark.trio
async def test_two_readers_that_miss_the_same_block_read_it_once() -> None:
    device = Gated(disk_of(40, 4096))
    cache = cache_on(device)
    device.close_gate()
    found: list[bytes] = []

    async def reader() -> None:
        with await cache.get(7) as buf:
            found.append(bytes(buf.data))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        nursery.start_soon(reader)
        nursery.start_soon(reader)
        await wait_all_tasks_blocked()
        assert cache.get_cached(7) is None, "a block that is being read is nobody's"
        device.open_gate()
    assert found == [pattern(7, 4096)] * 3
    assert device.reads == [(7 * 4096, 4096)]
    cache.check()


@pytest.mark.trio
@pytest.mark.parametrize("size", [1024, 4096, 8192])
async def test_a_cancelled_read_leaves_nothing_and_the_next_waiter_reads(size: int) -> None:
    device = Gated(disk_of(40, size))
    cache = cache_on(device, size)
    device.close_gate()
    found: list[bytes] = []
    scope = trio.CancelScope()

    async def first() -> None:
        with scope:
            await cache.get(7)

    async def second() -> None:
        with await cache.get(7) as buf:
            found.append(bytes(buf.data))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await wait_all_tasks_blocked()
        nursery.start_soon(second)
        await wait_all_tasks_blocked()
        assert len(device.reads) == 1
        scope.cancel()
        await wait_all_tasks_blocked()
        assert len(device.reads) == 2
        device.open_gate()
    assert found == [pattern(7, size)]
    cache.check()
    cache.close()
    assert pages_of(cache).pool.free_frames == pages_of(cache).pool.frames - 1


@pytest.mark.trio
async def test_a_cancelled_prefetch_leaves_nothing() -> None:
    device = Gated(disk_of(40, 4096))
    cache = cache_on(device)
    device.close_gate()
    with trio.move_on_after(0):
        await cache.prefetch([(block, 3, block * 4096) for block in range(4)])
    device.open_gate()
    assert cache.statistics.buffers == 0
    cache.check()
    with await cache.get(1) as buf:
        assert bytes(buf.data) == pattern(1, 4096)


@pytest.mark.trio
async def test_memory_of_a_block_that_is_being_written_is_not_reused() -> None:
    """Two misses want room at the same time; neither may take what the other's write still reads."""
    disk = disk_of(60, 4096)
    device = Gated(disk)
    cache = cache_on(device)
    for block in range(10):
        with await cache.get(block, read=False) as buf:
            buf.data[:] = bytes([0xA0 + block]) * 4096
            cache.mark_dirty(buf, Order.DATA)
    device.close_gate()

    async def reader(block: int) -> None:
        with await cache.get(block) as buf:
            assert bytes(buf.data) == pattern(block, 4096)

    async with trio.open_nursery() as nursery:
        for block in range(30, 45):
            nursery.start_soon(reader, block)
        await wait_all_tasks_blocked()
        assert device.writes == [(0, 10 * 4096)], "one of them writes, the others do without"
        device.open_gate()
    cache.check()
    await cache.flush()
    assert disk.snapshot()[: 10 * 4096] == b"".join(bytes([0xA0 + block]) * 4096 for block in range(10))


@pytest.mark.trio
async def test_a_cancelled_flush_loses_nothing() -> None:
    disk = disk_of(60, 4096)
    device = Gated(disk)
    cache = cache_on(device)
    with await cache.get(3) as buf:
        buf.data[0] = 0xEE
        cache.mark_dirty(buf, Order.INODE)
    device.close_gate()
    with trio.move_on_after(0):
        await cache.flush()
    device.open_gate()
    cache.check()
    assert list(cache.dirty) == [3]
    assert await cache.flush() == 1
    assert disk.snapshot()[3 * 4096] == 0xEE


# ---- who may do what -----------------------------------------------------------------------------------------------


def test_file_servers_touch_only_the_data_of_a_buffer() -> None:
    """FS-01: `block` names a buffer and `ino` tells file data from metadata; all else is the cache's own."""
    private = set(Buf.__slots__) - {"data", "block", "ino"}
    folder = Path(minixfs.fs.mfs.__file__).parent
    for path in sorted(folder.glob("*.py")):
        text = path.read_text()
        for name in private:
            for buffer in ("buf", "leaf", "below", "entry.buf", "one.buf", "two.buf", "new.buf", "old.buf"):
                assert f"{buffer}.{name}" not in text, f"{path.name} uses {buffer}.{name}"
        assert "cache._" not in text, path.name
