"""VM's page cache."""

from __future__ import annotations

import random

import pytest

from minixfs.vm.pagecache import PageCache
from minixfs.vm.pool import PAGE_SIZE, PagePool

DEV, OTHER = 0x301, 0x302


def filled(cache: PageCache, pages: int, fill: int) -> int:
    frame = cache.allocate(pages)
    assert frame is not None
    cache.pool.view(frame, pages * PAGE_SIZE)[:] = bytes([fill]) * pages * PAGE_SIZE
    return frame


def add(cache: PageCache, offset: int, pages: int = 1, fill: int = 1, ino: int = 0, ino_offset: int = 0) -> int:
    """Register a block that nobody else uses."""
    frame = filled(cache, pages, fill)
    cache.set_block(frame, pages, (DEV, offset), (DEV, ino, ino_offset) if ino else None)
    cache.pool.release(frame, pages)
    return frame


def test_a_block_is_found_by_device_and_by_file_offset() -> None:
    """VM-32."""
    cache = PageCache(PagePool(16))
    frame = add(cache, 8192, ino=5, ino_offset=4096)
    meta = add(cache, 4096)
    assert cache.find_device_page((DEV, 8192)) == cache.find_file_page((DEV, 5, 4096)) == frame
    assert cache.find_device_page((DEV, 4096)) == meta
    assert cache.find_file_page((DEV, 5, 0)) is None
    assert cache.find_device_page((OTHER, 8192)) is None
    cache.check()


def test_the_frame_of_the_owner_is_the_cached_frame() -> None:
    """VM-34: no copy is made."""
    cache = PageCache(PagePool(16))
    frame = filled(cache, 1, 1)
    cache.set_block(frame, 1, (DEV, 0), None)
    assert cache.cached_pages == 1
    assert cache.map_block(1, (DEV, 0), None) == frame
    assert cache.pool.users(frame) == 3
    cache.check()


def test_each_page_of_a_longer_block_has_its_own_offsets() -> None:
    """FS-26, VM-12."""
    cache = PageCache(PagePool(16))
    frame = add(cache, 16384, 2, ino=9, ino_offset=8192)
    for page in range(2):
        assert cache.find_device_page((DEV, 16384 + page * PAGE_SIZE)) == frame + page
        assert cache.find_file_page((DEV, 9, 8192 + page * PAGE_SIZE)) == frame + page
    assert cache.find_device_page((DEV, 16384 + 2 * PAGE_SIZE)) is None
    cache.check()
    cache.forget((DEV, 16384 + PAGE_SIZE))
    assert cache.find_device_page((DEV, 16384)) is None
    cache.check()


def test_a_block_is_mapped_whole_or_not_at_all() -> None:
    """VM-38."""
    cache = PageCache(PagePool(16))
    add(cache, 0, 2)
    assert cache.map_block(1, (DEV, 0), None) is None
    assert cache.map_block(4, (DEV, 0), None) is None
    assert cache.map_block(2, (DEV, PAGE_SIZE), None) is None
    assert cache.map_block(2, (DEV, 0), None) is not None
    statistics = cache.statistics
    assert (statistics.hits, statistics.misses) == (1, 3)
    cache.check()


def test_a_new_frame_replaces_the_old_one_whose_users_keep_it() -> None:
    """VM-37."""
    cache = PageCache(PagePool(16))
    add(cache, 0, fill=1, ino=3)
    mapped = cache.map_block(1, (DEV, 0), None)
    assert mapped is not None
    add(cache, 0, fill=2, ino=3)
    assert cache.pool.view(mapped, 1)[0] == 1
    found = cache.find_file_page((DEV, 3, 0))
    assert found is not None
    assert cache.pool.view(found, 1)[0] == 2
    assert cache.cached_pages == 1
    cache.pool.release(mapped)
    cache.check()


def test_blocks_of_another_size_replace_those_that_they_overlap() -> None:
    cache = PageCache(PagePool(16))
    add(cache, 0, 2)
    add(cache, PAGE_SIZE, 1)
    assert cache.find_device_page((DEV, 0)) is None
    add(cache, 0, 4)
    assert cache.cached_pages == 4
    cache.check()


@pytest.mark.parametrize("pages", [1, 2])
def test_the_annotation_made_last_wins(pages: int) -> None:
    """VM defect D-11: a part of a file is in one place."""
    cache = PageCache(PagePool(16))
    add(cache, 0, pages, fill=1, ino=3)
    second = add(cache, 65536, pages, fill=2, ino=3)
    assert cache.find_file_page((DEV, 3, 0)) == second
    cache.forget((DEV, 65536))
    assert cache.find_file_page((DEV, 3, 0)) is None
    cache.check()


def test_the_same_frame_again_is_only_annotated_anew() -> None:
    """VM-33: a block that moves to another file is not found under the old one."""
    cache = PageCache(PagePool(16))
    frame = add(cache, 0, ino=3)
    cache.set_block(frame, 1, (DEV, 0), (DEV, 4, 8192))
    assert cache.find_file_page((DEV, 3, 0)) is None
    assert cache.find_file_page((DEV, 4, 8192)) == frame
    cache.set_block(frame, 1, (DEV, 0), None)
    assert cache.find_file_page((DEV, 4, 8192)) is None
    assert cache.pool.users(frame) == 1
    cache.check()


def test_forgotten_pages_live_on_for_who_maps_them() -> None:
    cache = PageCache(PagePool(4))
    add(cache, 0, fill=7, ino=2)
    frame = cache.map_block(1, (DEV, 0), None)
    assert frame is not None
    cache.forget((DEV, 0))
    cache.forget((DEV, 0))
    assert cache.find_device_page((DEV, 0)) is None
    assert cache.pool.view(frame, 1)[0] == 7
    assert cache.pool.free_frames == 2
    cache.pool.release(frame)
    assert cache.pool.free_frames == 3


def test_clear_drops_one_device_only() -> None:
    """VM-41."""
    cache = PageCache(PagePool(16))
    add(cache, 0)
    frame = filled(cache, 1, 2)
    cache.set_block(frame, 1, (OTHER, 0), None)
    cache.pool.release(frame)
    cache.clear(DEV)
    assert cache.find_device_page((DEV, 0)) is None
    assert cache.find_device_page((OTHER, 0)) == frame
    cache.check()


def test_under_pressure_the_oldest_unused_pages_go_first() -> None:
    """VM-70: mapped ones never."""
    cache = PageCache(PagePool(5))
    for block in range(4):
        add(cache, block * PAGE_SIZE, fill=block)
    mapped = cache.map_block(1, (DEV, PAGE_SIZE), None)
    found = cache.map_block(1, (DEV, 0), None)  # touched: now the newest
    assert mapped is not None
    assert found is not None
    cache.pool.release(found)
    cache.evict(1)
    assert cache.find_device_page((DEV, 2 * PAGE_SIZE)) is None
    assert cache.find_device_page((DEV, 0)) is not None
    assert cache.evict(100) == 2
    assert cache.find_device_page((DEV, PAGE_SIZE)) == mapped
    assert cache.allocate(4) is None
    cache.check()


def test_a_page_of_a_block_in_use_keeps_the_block() -> None:
    cache = PageCache(PagePool(8))
    frame = add(cache, 0, 2)
    cache.pool.retain(frame + 1)
    assert cache.evict(8) == 0
    cache.pool.release(frame + 1)
    assert cache.evict(8) == 2
    cache.check()


@pytest.mark.parametrize("pages", [1, 2, 3])
@pytest.mark.parametrize("frames", [40, 400])
def test_contents_are_right_or_gone(pages: int, frames: int, rng: random.Random) -> None:
    """FS-13, VM-49, VM-50: never the contents of another block."""
    cache = PageCache(PagePool(frames))
    seen: dict[int, int] = {}
    gone = 0
    for step in range(3000):
        block = rng.randrange(100)
        offset = block * pages * PAGE_SIZE
        frame = cache.map_block(pages, (DEV, offset), None)
        if frame is None:
            gone += block in seen
            seen[block] = step % 251
            add(cache, offset, pages, fill=seen[block], ino=1 + block % 7, ino_offset=offset)
        else:
            assert bytes(cache.pool.view(frame, pages * PAGE_SIZE)) == bytes([seen[block]]) * pages * PAGE_SIZE
            cache.pool.release(frame, pages)
        if rng.random() < 0.02:
            cache.forget((DEV, offset))
    cache.check()
    assert gone
    assert (cache.statistics.evictions > 0) == (frames < 100 * pages)
