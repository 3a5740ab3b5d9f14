"""Worker slots, calls, and the checker of the lock order."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from minixfs.daemon.call import NORMAL_WORKERS, Call, LockChecker, Workers
from minixfs.daemon.runtime import TrioRuntime
from minixfs.daemon.tll import Mode, Rank, ThreeLevelLock
from minixfs.daemon.vfs import Limits, Vfs
from minixfs.fs.protocol import Credentials
from minixfs.hw.runtime import INLINE, run


def test_a_free_slot_is_taken_without_suspending() -> None:
    workers = Workers(2, INLINE)
    run(workers.enter())
    run(workers.enter())
    assert workers.idle == 0
    workers.leave()
    workers.leave()
    assert workers.idle == 2


@pytest.mark.trio
async def test_the_ninth_call_waits_for_a_free_worker() -> None:
    """VFS-26."""
    vfs = Vfs(TrioRuntime(), lock_checker=LockChecker())
    finish = [trio.Event() for _ in range(NORMAL_WORKERS + 1)]
    running: list[int] = []

    async def request(number: int) -> None:
        async with vfs.call():
            running.append(number)
            await finish[number].wait()

    async with trio.open_nursery() as nursery:
        for number in range(NORMAL_WORKERS + 1):
            nursery.start_soon(request, number)
            await wait_all_tasks_blocked()
        assert running == list(range(NORMAL_WORKERS))
        assert (vfs.workers.idle, vfs.workers.waiting) == (0, 1)
        finish[3].set()
        await wait_all_tasks_blocked()
        assert running[-1] == NORMAL_WORKERS
        assert vfs.workers.waiting == 0
        for event in finish:
            event.set()
    assert vfs.workers.idle == NORMAL_WORKERS


@pytest.mark.trio
async def test_waiting_calls_are_served_in_order_and_a_cancelled_one_is_skipped() -> None:
    workers = Workers(1, TrioRuntime())
    await workers.enter()
    served: list[int] = []
    scopes = [trio.CancelScope() for _ in range(5)]

    async def request(number: int) -> None:
        with scopes[number]:
            await workers.enter()
            served.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(request, number)
            await wait_all_tasks_blocked()
        scopes[1].cancel()
        await wait_all_tasks_blocked()
        for _ in range(4):
            workers.leave()
            await wait_all_tasks_blocked()
        assert served == [0, 2, 3, 4]
        workers.leave()
    assert workers.idle == 1


@pytest.mark.trio
async def test_a_slot_that_is_handed_to_a_cancelled_call_is_passed_on() -> None:
    workers = Workers(1, TrioRuntime())
    await workers.enter()
    served: list[str] = []
    scope = trio.CancelScope()

    async def cancelled() -> None:
        with scope:
            await workers.enter()
            served.append("cancelled")

    async def next_one() -> None:
        await workers.enter()
        served.append("next")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancelled)
        await wait_all_tasks_blocked()
        nursery.start_soon(next_one)
        await wait_all_tasks_blocked()
        scope.cancel()
        workers.leave()
    assert served == ["next"]
    workers.leave()
    assert (workers.idle, workers.waiting) == (1, 0)


@pytest.mark.trio
async def test_a_failed_call_gives_its_slot_back() -> None:
    vfs = Vfs(TrioRuntime(), Limits(workers=1))
    with pytest.raises(ZeroDivisionError):
        async with vfs.call():
            raise ZeroDivisionError
    assert vfs.workers.idle == 1


def test_new_objects_belong_to_the_owner_of_the_call() -> None:
    vfs = Vfs()
    user = Credentials(uid=7, gid=8)
    assert vfs.call(user).owner is user
    call = vfs.call(owner=user)
    assert (call.credentials.uid, call.owner) == (0, user)


# ---- the checker -----------------------------------------------------------------------------------------------------


@pytest.fixture
def vfs() -> Vfs:
    return Vfs(lock_checker=LockChecker())


def locks(*ranks: Rank) -> list[ThreeLevelLock]:
    return [ThreeLevelLock(rank, INLINE) for rank in ranks]


def acquire_all(call: Call, wanted: list[ThreeLevelLock], mode: Mode = Mode.READ) -> None:
    for lock in wanted:
        run(lock.acquire(mode, call))


def test_the_order_of_the_ranks_is_accepted(vfs: Vfs) -> None:
    call = vfs.call()
    wanted = locks(Rank.PROCESS, Rank.TWO_PATH, Rank.VMNT, Rank.VMNT, Rank.VNODE, Rank.VNODE, Rank.FILP)
    acquire_all(call, wanted, Mode.WRITE)
    assert call.held == wanted
    assert run(wanted[2].acquire(Mode.READ, call)) is False  # busy is an answer, no acquisition


@pytest.mark.parametrize("first", Rank)
@pytest.mark.parametrize("second", Rank)
def test_going_to_the_left_is_caught(vfs: Vfs, first: Rank, second: Rank) -> None:
    wanted = locks(first, second)
    if second > first:
        acquire_all(vfs.call(), wanted)
        return
    with pytest.raises(AssertionError, match="order" if second < first else "without a common"):
        acquire_all(vfs.call(), wanted)
    assert not wanted[1].is_locked


def test_two_of_a_kind_need_a_common_lock_to_the_left(vfs: Vfs) -> None:
    acquire_all(vfs.call(), locks(Rank.VMNT, Rank.VNODE, Rank.VNODE))
    with pytest.raises(AssertionError, match="VNODE without a common"):
        acquire_all(vfs.call(), locks(Rank.VNODE, Rank.VNODE))


def test_a_reader_that_asks_again_is_caught(vfs: Vfs) -> None:
    """It may wait for a writer that waits for it."""
    call, (lock,) = vfs.call(), locks(Rank.VNODE)
    run(lock.acquire(Mode.READ, call))
    for mode in Mode:
        with pytest.raises(AssertionError, match="waits for itself"):
            run(lock.acquire(mode, call))


def test_a_call_that_ends_with_a_lock_is_caught(vfs: Vfs) -> None:
    (lock,) = locks(Rank.VNODE)

    async def leak() -> None:
        async with vfs.call() as call:
            await lock.acquire(Mode.READ, call)

    with pytest.raises(AssertionError, match=r"ended holding.*VNODE"):
        run(leak())
    assert vfs.workers.idle == vfs.workers.total
