"""The three-level lock: the compatibility matrix, its queues, upgrade and downgrade, and cancellation everywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from minixfs.daemon.runtime import TrioRuntime
from minixfs.daemon.tll import Mode, Rank, ThreeLevelLock
from minixfs.hw.runtime import INLINE, run

READ, SERIAL, WRITE = Mode


class Client:
    """What the lock sees of a call."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.checker = None
        self.held: list[ThreeLevelLock] = []

    def __repr__(self) -> str:
        return self.name


class Script:
    """Clients of one lock under trio. `await ask("a", READ)` starts a request and lets it get as far as it can."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.lock = ThreeLevelLock(Rank.VNODE, TrioRuntime())
        self.nursery = nursery
        self.clients: dict[str, Client] = {}
        self.waits: dict[str, trio.CancelScope] = {}
        self.granted: list[str] = []
        self.answers: dict[str, bool] = {}

    def client(self, name: str) -> Client:
        return self.clients.setdefault(name, Client(name))

    async def ask(self, name: str, mode: Mode | None) -> bool:
        """Request a mode (None: an upgrade); True when it was granted at once."""

        async def request() -> None:
            with trio.CancelScope() as self.waits[name]:
                if mode is None:
                    await self.lock.upgrade(self.client(name))
                else:
                    self.answers[name] = await self.lock.acquire(mode, self.client(name))
                self.granted.append(name)

        before = len(self.granted)
        self.nursery.start_soon(request)
        await wait_all_tasks_blocked()
        return self.granted[before:] == [name]

    async def release(self, *names: str) -> list[str]:
        """Release; returns who was let in."""
        before = len(self.granted)
        for name in names:
            self.lock.release(self.client(name))
        await wait_all_tasks_blocked()
        return sorted(self.granted[before:])

    async def cancel(self, name: str) -> list[str]:
        before = len(self.granted)
        self.waits[name].cancel()
        await wait_all_tasks_blocked()
        return sorted(self.granted[before:])

    def free(self) -> bool:
        return not self.lock.is_locked and not self.lock.has_waiters and not any(c.held for c in self.clients.values())


@asynccontextmanager
async def script() -> AsyncIterator[Script]:
    async with trio.open_nursery() as nursery:
        yield Script(nursery)
        nursery.cancel_scope.cancel()


# ---- the matrix (2.1) ------------------------------------------------------------------------------------------------


@pytest.mark.trio
@pytest.mark.parametrize("requested", Mode)
@pytest.mark.parametrize("readers", [0, 1, 2])
@pytest.mark.parametrize("owner", [None, SERIAL, WRITE])
async def test_compatibility(owner: Mode | None, readers: int, requested: Mode) -> None:
    if owner is WRITE and readers:
        return
    async with script() as s:
        for number in range(readers):
            assert await s.ask(f"reader{number}", READ)
        if owner is not None:
            assert await s.ask("owner", owner)
        compatible = {
            READ: owner is not WRITE,
            SERIAL: owner is None,
            WRITE: owner is None and not readers,
        }[requested]
        assert await s.ask("new", requested) is compatible
        everybody = [f"reader{number}" for number in range(readers)] + ["owner"] * (owner is not None)
        if not compatible:
            assert await s.release(*everybody) == ["new"]
            everybody = []
        await s.release("new", *everybody)
        assert s.free()


@pytest.mark.trio
@pytest.mark.parametrize("requested", Mode)
@pytest.mark.parametrize("owned", [SERIAL, WRITE])
async def test_owner_is_busy_and_one_release_frees(owned: Mode, requested: Mode) -> None:
    """Vector 5."""
    async with script() as s:
        await s.ask("a", owned)
        await s.ask("a", requested)
        assert s.answers["a"] is False
        assert s.client("a").held == [s.lock]
        await s.release("a")
        assert s.free()


# ---- the vectors of 2.2 ----------------------------------------------------------------------------------------------


@pytest.mark.trio
async def test_vector_1_writer_bias() -> None:
    async with script() as s:
        assert await s.ask("r1", READ)
        assert await s.ask("r2", READ)
        assert not await s.ask("w", WRITE)
        assert not await s.ask("r3", READ)
        assert await s.release("r1") == []
        assert await s.release("r2") == ["w"]
        assert await s.release("w") == ["r3"]
        await s.release("r3")
        assert s.free()


@pytest.mark.trio
async def test_vector_2_upgrade_waits_for_readers_and_holds_up_new_ones() -> None:
    async with script() as s:
        assert await s.ask("owner", SERIAL)
        assert await s.ask("r1", READ)
        assert not await s.ask("other", SERIAL)
        assert not await s.ask("owner", None)
        assert not await s.ask("r2", READ)
        assert await s.release("r1") == ["owner"]
        assert s.lock.exclusive
        assert await s.release("owner") == ["other", "r2"]
        await s.release("other", "r2")
        assert s.free()


@pytest.mark.trio
async def test_vector_3_downgrade_to_read_lets_the_serial_waiter_in() -> None:
    async with script() as s:
        assert await s.ask("a", SERIAL)
        assert not await s.ask("b", SERIAL)
        s.lock.downgrade(s.client("a"))
        await wait_all_tasks_blocked()
        assert s.granted[-1] == "b"
        assert (s.lock.owner, s.lock.readers, s.lock.exclusive) == (s.client("b"), 1, False)
        assert not await s.ask("b", None)
        assert await s.release("a") == ["b"]
        await s.release("b")
        assert s.free()


@pytest.mark.trio
async def test_vector_4_downgrade_from_write_wakes_nobody() -> None:
    async with script() as s:
        assert await s.ask("a", WRITE)
        assert not await s.ask("r", READ)
        s.lock.downgrade(s.client("a"))
        await wait_all_tasks_blocked()
        assert s.granted == ["a"]
        assert await s.release("a") == ["r"]
        await s.release("r")
        assert s.free()


def test_a_lock_is_tried_without_waiting() -> None:
    lock = ThreeLevelLock(Rank.VNODE, INLINE)
    a, b = Client("a"), Client("b")
    assert lock.try_acquire(SERIAL, a)
    assert not lock.try_acquire(WRITE, a), "the owner is told busy by acquire"
    assert not lock.try_acquire(WRITE, b)
    assert lock.try_acquire(READ, b)
    assert (a.held, b.held) == ([lock], [lock])
    lock.release(a)
    lock.release(b)
    assert (a.held, b.held, lock.is_locked) == ([], [], False)


@pytest.mark.trio
async def test_vector_6_a_waiting_writer_goes_before_a_serial_request() -> None:
    async with script() as s:
        assert await s.ask("owner", SERIAL)
        assert await s.ask("r", READ)
        assert not await s.ask("w", WRITE)
        assert not await s.ask("s", SERIAL)
        assert await s.release("owner") == []
        assert await s.release("r") == ["w"]
        assert await s.release("w") == ["s"]
        await s.release("s")
        assert s.free()


# ---- fairness --------------------------------------------------------------------------------------------------------


@pytest.mark.trio
async def test_the_leading_readers_are_let_in_together_with_one_serial() -> None:
    """D1, and the rule that a granted READ brings the first SERIAL along."""
    async with script() as s:
        await s.ask("w1", WRITE)
        for name, mode in [("s1", SERIAL), ("r1", READ), ("r2", READ), ("w2", WRITE), ("r3", READ), ("s2", SERIAL)]:
            assert not await s.ask(name, mode)
        assert await s.release("w1") == ["r1", "r2", "s1"]
        assert await s.release("r1", "r2") == []
        assert await s.release("s1") == ["w2"]
        assert await s.release("w2") == ["r3", "s2"]
        await s.release("r3", "s2")
        assert s.free()


@pytest.mark.trio
async def test_writers_are_served_in_order_and_readers_cannot_starve_them() -> None:
    async with script() as s:
        await s.ask("r0", READ)
        for number in range(5):
            assert not await s.ask(f"w{number}", WRITE)
            assert not await s.ask(f"r{number + 1}", READ)
        assert await s.release("r0") == ["w0"]
        for number in range(5):
            assert await s.release(f"w{number}") == [f"r{number + 1}"]
            assert await s.release(f"r{number + 1}") == ([f"w{number + 1}"] if number < 4 else [])
        assert s.free()


@pytest.mark.trio
async def test_serial_waiters_are_served_in_order() -> None:
    async with script() as s:
        await s.ask("s0", SERIAL)
        for number in range(1, 5):
            assert not await s.ask(f"s{number}", SERIAL)
        for number in range(4):
            assert await s.release(f"s{number}") == [f"s{number + 1}"]


# ---- upgrade and downgrade -------------------------------------------------------------------------------------------


@pytest.mark.trio
async def test_upgrade_without_readers_is_immediate_in_spite_of_waiters() -> None:
    async with script() as s:
        await s.ask("a", SERIAL)
        assert not await s.ask("w", WRITE)
        assert await s.ask("a", None)
        assert s.lock.exclusive
        assert await s.ask("a", None)  # WRITE stays WRITE
        assert await s.release("a") == ["w"]


@pytest.mark.trio
async def test_nobody_gets_in_while_an_upgrade_waits() -> None:
    async with script() as s:
        await s.ask("owner", SERIAL)
        await s.ask("r1", READ)
        await s.ask("r2", READ)
        assert not await s.ask("owner", None)
        assert not await s.ask("r3", READ)
        assert not await s.ask("r4", READ)
        assert await s.release("r1") == []
        assert await s.cancel("r3") == []
        assert await s.release("r2") == ["owner"]


@pytest.mark.trio
async def test_downgrade_to_read_leaves_a_waiting_writer_first() -> None:
    async with script() as s:
        await s.ask("a", SERIAL)
        assert not await s.ask("w", WRITE)
        assert not await s.ask("s", SERIAL)
        s.lock.downgrade(s.client("a"))
        await wait_all_tasks_blocked()
        assert s.granted == ["a"]
        assert await s.release("a") == ["w"]
        assert await s.release("w") == ["s"]


def test_only_the_owner_may_change_the_level() -> None:
    lock = ThreeLevelLock(Rank.VNODE, INLINE)
    reader = Client()
    run(lock.acquire(READ, reader))
    with pytest.raises(RuntimeError):
        run(lock.upgrade(reader))
    with pytest.raises(RuntimeError):
        lock.downgrade(reader)
    with pytest.raises(ValueError):
        lock.release(Client())


def test_uncontended_operations_do_not_suspend() -> None:
    lock = ThreeLevelLock(Rank.VNODE, INLINE)
    a, b = Client("a"), Client("b")
    for mode in Mode:
        assert run(lock.acquire(mode, a))
        lock.release(a)
    run(lock.acquire(SERIAL, a))
    run(lock.acquire(READ, b))
    lock.release(b)
    run(lock.upgrade(a))
    lock.downgrade(a)
    lock.downgrade(a)
    run(lock.acquire(READ, b))
    assert lock.readers == 2
    lock.release(a)
    lock.release(b)
    assert not lock.is_locked


def test_without_an_event_loop_a_conflict_is_an_error_and_changes_nothing() -> None:
    lock = ThreeLevelLock(Rank.VNODE, INLINE)
    a, b = Client("a"), Client("b")
    run(lock.acquire(READ, a))
    run(lock.acquire(SERIAL, b))
    for waiting in (lock.acquire(WRITE, Client()), lock.acquire(SERIAL, Client()), lock.upgrade(b)):
        with pytest.raises(RuntimeError, match="wait for ever"):
            run(waiting)
    assert not lock.has_waiters
    assert run(lock.acquire(READ, Client()))


# ---- cancellation ----------------------------------------------------------------------------------------------------


@pytest.mark.trio
@pytest.mark.parametrize("mode", Mode)
async def test_a_cancelled_waiter_is_forgotten(mode: Mode) -> None:
    async with script() as s:
        await s.ask("a", WRITE)
        assert not await s.ask("b", mode)
        assert await s.cancel("b") == []
        assert not s.lock.has_waiters
        await s.release("a")
        assert s.free()


@pytest.mark.trio
async def test_who_was_stuck_behind_a_cancelled_writer_gets_in() -> None:
    async with script() as s:
        await s.ask("r0", READ)
        assert not await s.ask("w", WRITE)
        assert not await s.ask("r1", READ)
        assert not await s.ask("s", SERIAL)
        assert await s.cancel("w") == ["r1", "s"]


@pytest.mark.trio
async def test_a_cancelled_upgrader_keeps_serial_and_lets_readers_in() -> None:
    async with script() as s:
        await s.ask("owner", SERIAL)
        await s.ask("r0", READ)
        assert not await s.ask("owner", None)
        assert not await s.ask("r1", READ)
        assert not await s.ask("s", SERIAL)
        assert await s.cancel("owner") == ["r1"]
        assert (s.lock.owner, s.lock.exclusive, s.lock.readers) == (s.client("owner"), False, 2)
        assert await s.release("owner") == ["s"]


@pytest.mark.trio
@pytest.mark.parametrize("mode", Mode)
async def test_granted_and_cancelled_at_once(mode: Mode) -> None:
    """The waiter is cancelled, and before it runs the lock is handed to it: it must pass it on."""
    async with script() as s:
        await s.ask("a", WRITE)
        assert not await s.ask("b", mode)
        assert not await s.ask("c", WRITE)
        if mode is SERIAL:  # it is behind everybody in the first line
            s.waits["c"].cancel()
            await wait_all_tasks_blocked()
            assert not await s.ask("d", SERIAL)
        s.waits["b"].cancel()
        assert await s.release("a") == (["d"] if mode is SERIAL else ["c"])
        await s.release("d" if mode is SERIAL else "c")
        assert s.free()


@pytest.mark.trio
async def test_upgraded_and_cancelled_at_once() -> None:
    async with script() as s:
        await s.ask("owner", SERIAL)
        await s.ask("r", READ)
        assert not await s.ask("owner", None)
        assert not await s.ask("r1", READ)
        s.waits["owner"].cancel()
        assert await s.release("r") == ["r1"]
        assert (s.lock.owner, s.lock.exclusive) == (s.client("owner"), False)
        await s.release("owner", "r1")
        assert s.free()


# ---- random schedules ------------------------------------------------------------------------------------------------


class Cancelled(BaseException):
    """What a cancelled task is told."""


class StepEvent:
    """An event whose waiters are driven by hand."""

    def __init__(self) -> None:
        self.ready = False

    def set(self) -> None:
        self.ready = True

    def wait(self) -> StepEvent:
        return self

    def __await__(self) -> Any:
        while not self.ready:
            yield self


class StepRuntime:
    def event(self) -> StepEvent:
        return StepEvent()


class Simulation:
    """Clients that ask, upgrade, downgrade, release and are cancelled in any order, and what must always be true.

    A client that waits is resumed only when the schedule says so: a granted one may linger, and be cancelled then.
    """

    def __init__(self) -> None:
        self.lock = ThreeLevelLock(Rank.VNODE, StepRuntime())  # type: ignore[arg-type]
        self.clients = [Client(f"c{n}") for n in range(6)]
        self.level: dict[Client, Mode] = {}
        self.waiting: dict[Client, tuple[Coroutine[Any, Any, Any], Mode, StepEvent]] = {}
        self.arrival: list[Client] = []  # of the first line, in order

    def step(self, who: int, action: int) -> None:
        client = self.clients[who % len(self.clients)]
        if client in self.waiting:
            self.resume(client, cancel=action % 4 == 0)
        elif client not in self.level:
            self.drive(client, self.lock.acquire(Mode(action % 3 + 1), client), Mode(action % 3 + 1))
        elif action % 3 == 0 or self.level[client] is READ:
            del self.level[client]
            self.lock.release(client)
        elif action % 3 == 1:
            self.drive(client, self.lock.upgrade(client), WRITE)
        else:
            self.lock.downgrade(client)
            self.level[client] = Mode(self.level[client] - 1)
        self.check()

    def drive(self, client: Client, coroutine: Coroutine[Any, Any, Any], mode: Mode) -> None:
        try:
            event = coroutine.send(None)
        except StopIteration:
            self.level[client] = mode
        else:
            self.waiting[client] = (coroutine, mode, event)
            if client not in self.level and mode is not SERIAL:
                self.arrival.append(client)

    def resume(self, client: Client, *, cancel: bool) -> None:
        coroutine, mode, event = self.waiting[client]
        if not cancel and not event.ready:
            return
        del self.waiting[client]
        if client in self.arrival:
            self.arrival.remove(client)
        try:
            coroutine.throw(Cancelled()) if cancel else coroutine.send(None)
        except StopIteration:
            self.level[client] = mode
        except Cancelled:
            pass

    def check(self) -> None:
        """The lock agrees with what its clients were told, and nobody waits for nothing."""
        lock = self.lock
        granted = {client: mode for client, (_, mode, event) in self.waiting.items() if event.ready}
        holders = self.level | granted
        owners = [client for client, mode in holders.items() if mode is not READ]
        assert len(owners) <= 1
        assert lock.owner is (owners[0] if owners else None)
        assert lock.exclusive == (bool(owners) and holders[owners[0]] is WRITE)
        assert lock.readers == sum(mode is READ for mode in holders.values())
        assert not (lock.exclusive and lock.readers)
        stuck = [client for client in self.waiting if client not in granted]
        if stuck:
            assert lock.is_locked
        in_line = [client for client in self.arrival if client not in granted]
        ahead = [client for client in self.arrival if client in granted]
        assert self.arrival == ahead + in_line  # the first line is served in order

    def finish(self) -> None:
        """Everybody who waits gets in when the others leave."""
        for _ in range(100):
            for client in self.clients:
                if client in self.waiting:
                    self.resume(client, cancel=False)
                if client in self.level and client not in self.waiting:
                    del self.level[client]
                    self.lock.release(client)
                self.check()
            if not self.waiting and not self.level:
                break
        assert not self.waiting
        assert not self.lock.is_locked
        assert not self.lock.has_waiters
        assert not any(client.held for client in self.clients)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 11)), max_size=80))
def test_random_schedules(schedule: list[tuple[int, int]]) -> None:
    simulation = Simulation()
    for who, action in schedule:
        simulation.step(who, action)
    simulation.finish()
