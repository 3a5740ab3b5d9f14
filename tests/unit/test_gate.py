"""The gate: any number of readers or one modifier, first come first served."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from minixfs.fs.gate import Gate
from minixfs.hw.runtime import INLINE, run
from tests.support.trio_runtime import TrioRuntime


def test_an_open_gate_does_not_suspend() -> None:
    gate = Gate(INLINE)
    run(gate.enter(False))
    run(gate.enter(False))
    gate.check()
    gate.leave(False)
    gate.leave(False)
    run(gate.enter(True))
    assert gate.exclusive
    gate.leave(True)
    assert not gate.exclusive
    assert gate.try_modify()
    assert not gate.try_modify()
    gate.leave(True)
    run(gate.enter(False))
    assert not gate.try_modify()


def test_waiting_without_an_event_loop_is_an_error_and_not_a_hang() -> None:
    gate = Gate(INLINE)
    run(gate.enter(True))
    with pytest.raises(RuntimeError):
        run(gate.enter(False))
    gate.leave(True)
    run(gate.enter(True))
    gate.check()


@pytest.mark.trio
async def test_readers_share_and_a_modifier_waits_for_them() -> None:
    gate = Gate(TrioRuntime())
    log: list[str] = []

    async def visit(name: str, modifier: bool, done: trio.Event) -> None:
        await gate.enter(modifier)
        log.append(f"{name} in")
        await done.wait()
        log.append(f"{name} out")
        gate.leave(modifier)

    events = {name: trio.Event() for name in ("r1", "r2", "m", "r3", "r4")}
    async with trio.open_nursery() as nursery:
        for name in events:
            nursery.start_soon(visit, name, name == "m", events[name])
            await wait_all_tasks_blocked()
            gate.check()
        assert log == ["r1 in", "r2 in"]
        events["r1"].set()
        await wait_all_tasks_blocked()
        assert log[2:] == ["r1 out"]
        events["r2"].set()
        await wait_all_tasks_blocked()
        assert log[3:] == ["r2 out", "m in"], "a reader that came later must not pass the modifier"
        events["m"].set()
        await wait_all_tasks_blocked()
        assert log[5] == "m out"
        assert sorted(log[6:]) == ["r3 in", "r4 in"], "both at once, in whatever order they run"
        gate.check()
        events["r3"].set()
        events["r4"].set()
    assert gate.try_modify()


@pytest.mark.trio
async def test_a_cancelled_modifier_lets_the_readers_behind_it_pass() -> None:
    gate = Gate(TrioRuntime())
    await gate.enter(False)
    entered = trio.Event()

    async def reader() -> None:
        await gate.enter(False)
        entered.set()
        gate.leave(False)

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def modifier() -> None:
            with scope:
                await gate.enter(True)

        nursery.start_soon(modifier)
        await wait_all_tasks_blocked()
        nursery.start_soon(reader)
        await wait_all_tasks_blocked()
        assert not entered.is_set()
        scope.cancel()
        with trio.fail_after(5):
            await entered.wait()
    gate.check()
    gate.leave(False)
    assert gate.try_modify()


@pytest.mark.trio
async def test_cancelled_in_the_moment_of_admission() -> None:
    """The gate is given back when the cancellation overtakes the wake-up."""
    gate = Gate(TrioRuntime())
    await gate.enter(True)
    scope = trio.CancelScope()

    async def modifier() -> None:
        with scope:
            await gate.enter(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(modifier)
        await wait_all_tasks_blocked()
        scope.cancel()
        gate.leave(True)
    gate.check()
    assert gate.try_modify()
