"""The page pool."""

from __future__ import annotations

import mmap
import os
import random

import pytest

from minixfs.errors import InvalidArgument
from minixfs.vm.pool import PAGE_SIZE, PagePool


def test_frames_are_pages_of_one_memory() -> None:
    pool = PagePool(8)
    frame = pool.allocate(2)
    assert frame is not None
    pool.view(frame, 2 * PAGE_SIZE)[:] = b"\7" * 2 * PAGE_SIZE
    assert (pool.array[frame : frame + 2] == 7).all()
    with mmap.mmap(pool.fd, 8 * PAGE_SIZE) as other:  # as another process would map it
        assert other[frame * PAGE_SIZE] == 7
        other[frame * PAGE_SIZE] = 9
    assert pool.view(frame, 1)[0] == 9
    pool.check()


def test_frame_0_is_never_handed_out_and_exhaustion_is_none() -> None:
    """VM-76."""
    pool = PagePool(4)
    assert sorted(pool.allocate() or 0 for _ in range(3)) == [1, 2, 3]
    assert pool.allocate() is None
    assert pool.free_frames == 0
    pool.check()


def test_a_frame_is_free_when_the_last_user_is_gone() -> None:
    pool = PagePool(4)
    frame = pool.allocate(2)
    assert frame is not None
    pool.retain(frame, 2)
    pool.release(frame, 2)
    assert pool.users(frame, 2) == 1
    assert pool.free_frames == 1
    pool.release(frame, 2)
    assert pool.free_frames == 3
    pool.check()


def test_the_count_of_users_is_unbounded() -> None:
    """VM defect D-17."""
    pool = PagePool(2)
    frame = pool.allocate()
    assert frame is not None
    for _ in range(1000):
        pool.retain(frame)
    assert pool.users(frame) == 1001
    for _ in range(1001):
        pool.release(frame)
    pool.check()
    assert pool.free_frames == 1


def test_a_page_of_a_block_may_outlive_the_others() -> None:
    """Somebody maps the middle page of a block of three: it alone stays."""
    pool = PagePool(4)
    frame = pool.allocate(3)
    assert frame is not None
    pool.retain(frame + 1)
    assert pool.users(frame, 3) == 2
    pool.release(frame, 3)
    pool.check()
    assert [pool.users(frame + page) for page in range(3)] == [0, 1, 0]
    assert pool.free_frames == 2
    pool.release(frame + 1)
    assert pool.allocate(3) == frame
    pool.check()


def test_free_runs_are_joined_when_a_longer_one_is_wanted() -> None:
    pool = PagePool(9)
    frames = [pool.allocate() for _ in range(8)]
    assert None not in frames
    for frame in frames[:6]:
        pool.release(frame or 0)
    assert pool.allocate(4) is not None
    assert pool.allocate(2) is not None
    assert pool.allocate() is None
    pool.check()


def test_random_use_keeps_the_books(rng: random.Random) -> None:
    pool = PagePool(64)
    held: list[tuple[int, int]] = []
    for _ in range(3000):
        if rng.random() < 0.55:
            count = rng.choice([1, 1, 2, 3, 16])
            frame = pool.allocate(count)
            if frame is not None:
                assert not any(frame < start + length and start < frame + count for start, length in held)
                held.append((frame, count))
        elif held:
            pool.release(*held.pop(rng.randrange(len(held))))
    pool.check()
    for run in held:
        pool.release(*run)
    assert pool.allocate(63) == 1
    pool.check()


def test_a_pool_needs_a_page_to_give() -> None:
    with pytest.raises(InvalidArgument):
        PagePool(1)


def test_closing_twice_is_allowed() -> None:
    pool = PagePool(2)
    pool.close()
    pool.close()


def test_a_pool_that_nobody_has_any_more_holds_no_descriptor() -> None:
    pool = PagePool(4)
    descriptor = pool.fd
    os.fstat(descriptor)
    del pool
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
