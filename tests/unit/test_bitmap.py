"""The bitmaps: allocation in runs, frees that wait, every bit order."""

from __future__ import annotations

import random

import pytest

from minixfs.errors import Corrupt, DeviceError
from minixfs.fs.disk.bitmap import Bitmap
from minixfs.fs.libminixfs.cache import BlockCache
from minixfs.fs.mfs.bitorder import BitOrder, byte_index
from minixfs.hw.blockdev.fault import FaultDevice
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from minixfs.vm.pagecache import PageCache
from minixfs.vm.pool import PagePool

SIZE = 1024
PER_BLOCK = 8 * SIZE
START = 2


def make(bits: int, used: set[int], order: BitOrder = BitOrder.LE, padding: bool = True) -> tuple[Bitmap, RamDisk]:
    blocks = -(-bits // PER_BLOCK)
    image = bytearray((START + blocks) * SIZE)
    for bit in used | (set(range(bits, blocks * PER_BLOCK)) if padding else set()):
        image[START * SIZE + byte_index(order, bit)] |= 1 << bit % 8
    disk = RamDisk(image)
    cache = BlockCache(disk, 1, PageCache(PagePool(100)), SIZE)
    return Bitmap(cache, "zone", START, bits, lowest=1, width=order.width), disk


def freed(bitmap: Bitmap) -> list[tuple[int, int]]:
    """The runs that clearing what is pending frees."""
    runs: list[tuple[int, int]] = []
    run(bitmap.apply_frees(lambda bit, count: runs.append((bit, count))))
    return runs


def on_disk(bitmap: Bitmap, disk: RamDisk, order: BitOrder) -> set[int]:
    run(bitmap._cache.flush())
    image = disk.snapshot()
    return {bit for bit in range(bitmap.bits) if image[START * SIZE + byte_index(order, bit)] >> bit % 8 & 1}


@pytest.mark.parametrize("order", BitOrder)
@pytest.mark.parametrize("bits", [9, 500, PER_BLOCK, PER_BLOCK + 1, 3 * PER_BLOCK - 5])
def test_random_use_against_a_set(bits: int, order: BitOrder, rng: random.Random) -> None:
    used = {0, 1} | {rng.randrange(bits) for _ in range(bits // 3)}
    bitmap, disk = make(bits, used, order)
    pending: set[int] = set()
    assert run(bitmap.count_free()) == bits - len(used)
    for _ in range(300):
        action = rng.random()
        if action < 0.2:
            bit = rng.randrange(-1, bits + 2)
            if bitmap.claim(bit):
                assert 0 < bit < bits
                assert bit not in used | pending, "a bit was claimed that somebody has"
                used.add(bit)
        elif action < 0.6:
            origin, wanted = rng.randrange(-1, bits + 2), rng.choice([1, 1, 5, 300])
            found = run(bitmap.allocate(origin, wanted))
            if found is None:
                assert len(used | pending) == bits
                continue
            first, count = found
            run_of_bits = set(range(first, first + count))
            assert 1 <= count <= wanted
            assert first > 0
            assert first + count <= bits
            assert not run_of_bits & (used | pending), "a bit was handed out twice, or before its free was applied"
            used |= run_of_bits
        elif action < 0.9 and len(used) > 1:
            bit = rng.choice(sorted(used - {0}))
            count = next(n for n in range(1, bits) if bit + n not in used or n == 40)
            bitmap.free(bit, count)
            gone = set(range(bit, bit + count))
            used -= gone
            pending |= gone
        else:
            runs = freed(bitmap)
            assert {bit for first, count in runs for bit in range(first, first + count)} == pending
            pending = set()
        assert bitmap.free_bits == bits - len(used)
    assert on_disk(bitmap, disk, order) == used | pending
    bitmap.free_bits = None
    assert run(bitmap.count_free()) == bits - len(used)


def test_the_search_begins_at_the_origin_and_wraps() -> None:
    bitmap, _ = make(100, {0, 1, 50, 51, 52})
    assert run(bitmap.allocate(50, 10)) == (53, 10)
    assert run(bitmap.allocate(98, 10)) == (98, 2)
    assert run(bitmap.allocate(98, 10)) == (2, 10)


def test_runs_end_at_used_bits_and_at_the_end_of_a_map_block() -> None:
    bitmap, _ = make(PER_BLOCK + 100, {0, 1, 10})
    assert run(bitmap.allocate(2, 100)) == (2, 8)
    assert run(bitmap.allocate(PER_BLOCK - 3, 100)) == (PER_BLOCK - 3, 3)


def test_a_full_map_says_so_and_finds_what_is_freed() -> None:
    bitmap, _ = make(2 * PER_BLOCK, set(range(2 * PER_BLOCK)))
    assert run(bitmap.allocate(5)) is None
    assert run(bitmap.allocate(0)) is None
    bitmap.free(PER_BLOCK - 1, 2)  # across two map blocks
    assert run(bitmap.allocate(5)) is None, "not before the free is safe"
    run(bitmap.apply_frees())
    assert run(bitmap.allocate(5)) == (PER_BLOCK - 1, 1)
    assert run(bitmap.allocate(5)) == (PER_BLOCK, 1)
    assert run(bitmap.allocate(5)) is None


@pytest.mark.parametrize("padding", [False, True])
def test_padding_is_never_handed_out(padding: bool) -> None:
    """Specification: file systems, 1.5."""
    bitmap, _ = make(13, {0, 1}, padding=padding)
    assert run(bitmap.count_free()) == 11
    assert run(bitmap.allocate(2, 100)) == (2, 11)
    assert run(bitmap.allocate(2, 100)) is None


@pytest.mark.parametrize("order", BitOrder)
def test_the_reserved_bit_is_never_handed_out(order: BitOrder) -> None:
    """It stands for inode 0, or for the last zone of the inode table."""
    bitmap, _ = make(10, set(), order)
    assert run(bitmap.count_free()) == 9
    assert run(bitmap.allocate(0, 100)) == (1, 9)
    assert run(bitmap.allocate(0)) is None
    bitmap, _ = make(1, set(), order)
    assert run(bitmap.allocate(0)) is None


def test_freeing_what_is_free_is_corruption_and_is_dropped() -> None:
    bitmap, _ = make(100, {0, 1, 5, 6})
    bitmap.free(5)
    bitmap.free(20)
    with pytest.raises(Corrupt, match="freeing a free zone"):
        run(bitmap.apply_frees())
    assert freed(bitmap) == [(5, 1)]
    assert not bitmap.pending


def test_frees_survive_a_device_error() -> None:
    bitmap, disk = make(100, {0, 1, 5, 6})
    device = FaultDevice(disk)
    bitmap._cache.device = device
    bitmap.free(5)
    device.arm(1)
    with pytest.raises(DeviceError):
        run(bitmap.apply_frees())
    assert bitmap.pending == [(5, 1)]
    assert freed(bitmap) == [(5, 1)]


def test_a_bit_is_claimed_without_waiting() -> None:
    bitmap, _ = make(500, {0, 7})
    assert not bitmap.claim(8), "the map block is not in memory yet"
    assert run(bitmap.count_free()) == 498
    assert [bitmap.claim(bit) for bit in (-1, 0, 7, 8, 8, 499, 500)] == [False, False, False, True, False, True, False]
    assert bitmap.free_bits == 496
    assert run(bitmap.allocate(8)) == (9, 1)
