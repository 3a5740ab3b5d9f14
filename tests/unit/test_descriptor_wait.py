"""Waiting for requests."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from minixfs.daemon import descriptor_wait
from minixfs.daemon.descriptor_wait import _Waiter

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    there, end = os.pipe()
    yield there, end
    os.close(there)
    os.close(end)


@pytest.mark.trio
@pytest.mark.parametrize("busy", [True, False])
async def test_a_request_that_is_there_does_not_suspend(pipe: Pipe, busy: bool) -> None:
    os.write(pipe[1], b"request")
    with pytest.raises(StopIteration):
        _Waiter(lambda: busy).wait_readable(pipe[0]).send(None)


@pytest.mark.trio
async def test_while_nothing_is_served_a_request_is_waited_for_in_place(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptor_wait, "PAUSE", 20_000)
    timer = threading.Timer(0.01, os.write, (pipe[1], b"request"))
    timer.start()
    with pytest.raises(StopIteration):
        _Waiter(lambda: False).wait_readable(pipe[0]).send(None)
    timer.join()


@pytest.mark.trio
@pytest.mark.parametrize("busy", [True, False])
async def test_other_tasks_run_when_no_request_comes(pipe: Pipe, busy: bool) -> None:
    waiting = _Waiter(lambda: busy).wait_readable(pipe[0])
    waiting.send(None)
    waiting.close()
