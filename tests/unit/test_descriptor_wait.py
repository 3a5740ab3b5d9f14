"""Waiting for requests: how long the descriptor is polled before the task parks."""

from __future__ import annotations

import os

import pytest

from minixfs.daemon.descriptor_wait import LEAST_POLLS, MOST_POLLS, SHORT_WAIT, _Waiter


def test_polling_follows_what_the_last_requests_were_like() -> None:
    waiter = _Waiter()
    assert waiter.polls == MOST_POLLS
    for _ in range(20):
        waiter.waited(10 * SHORT_WAIT)
    assert waiter.polls == LEAST_POLLS
    waiter.waited(SHORT_WAIT / 2)
    assert waiter.polls == min(2 * LEAST_POLLS, MOST_POLLS)
    for _ in range(20):
        waiter.waited(SHORT_WAIT / 2)
    assert waiter.polls == MOST_POLLS


@pytest.mark.trio
async def test_a_request_that_is_there_does_not_suspend() -> None:
    there, end = os.pipe()
    try:
        os.write(end, b"request")
        waiting = _Waiter().wait_readable(there)
        with pytest.raises(StopIteration):
            waiting.send(None)
    finally:
        os.close(there)
        os.close(end)
