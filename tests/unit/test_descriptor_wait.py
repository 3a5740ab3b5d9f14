"""Waiting for requests."""

from __future__ import annotations

import os

import pytest

from minixfs.daemon.descriptor_wait import _Waiter


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
