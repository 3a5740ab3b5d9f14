"""Waiting for the FUSE descriptor without going to sleep for it, and without a task switch for each request.

pyfuse3 has several tasks that take turns at reading requests. Left to trio, every request costs a hand-over of the
read lock to the next task and a parked wait for the descriptor, which is more than most small requests take. Here

* the task that has just answered may read on at once; the next one gets its turn when this one suspends;
* the descriptor is polled for some microseconds before the task parks: under load the next request is there;
* then, while no request is being served, the whole loop waits for the descriptor for a moment: nobody misses it;
* every so many requests the scheduler gets its turn, so that timers and threads are not starved.

pyfuse3 takes its event loop from its module attribute ``trio`` (its asyncio mode replaces it there); `install` puts a
stand-in there that differs in these things and hands out everything else of the real trio. It also is where the first
request passes, with which features of the kernel are agreed on (see `negotiation`).
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from types import SimpleNamespace, TracebackType

import pyfuse3
import trio

from minixfs.daemon.negotiation import Exchange

POLLS = 50 if len(os.sched_getaffinity(0)) > 1 else 1
"""Polls of the descriptor, of about a microsecond each, before the task parks.

Several times as many spare a park now and then, but lose more when others want the processors: who polls while the
other side waits for its turn is himself without one when the request comes. On a single processor polling is in vain.
"""
PAUSE = 2
"""Milliseconds that the loop may wait for nothing but the descriptor. A signal or a commit can wait as long."""
REQUESTS_PER_TURN = 128
"""Requests that may be taken in a row before other tasks get to run."""


class _ReadTurn:
    """Whose turn it is to read the descriptor: a lock that whoever released it may take again before those who wait.

    A waiter is told to look again, which it does when the present task suspends; mostly it finds the turn taken.
    """

    def __init__(self) -> None:
        self._taken = False
        self._waiting = trio.lowlevel.ParkingLot()

    async def __aenter__(self) -> None:
        while self._taken:
            await self._waiting.park()
        self._taken = True

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._taken = False
        if self._waiting:
            self._waiting.unpark()


class _Waiter:
    """The stand-in for ``trio.lowlevel.wait_readable``. `busy` says whether a request is being served."""

    def __init__(self, busy: Callable[[], bool]) -> None:
        self._busy = busy
        self._poll = select.poll()
        self._descriptor = -1
        self._in_a_row = 0

    async def wait_readable(self, descriptor: int) -> None:
        if self._descriptor != descriptor:
            self._poll.register(descriptor, select.POLLIN)
            self._descriptor = descriptor
        self._in_a_row += 1
        if self._in_a_row < REQUESTS_PER_TURN:
            poll = self._poll.poll
            for _ in range(POLLS):
                if poll(0):
                    return
            if not self._busy() and poll(PAUSE):
                return
        self._in_a_row = 0
        await trio.lowlevel.wait_readable(descriptor)


def install(wishes: int, agreed: Callable[[int], None], busy: Callable[[], bool]) -> None:
    """Give pyfuse3 the stand-in. Before `pyfuse3.main`, once a process. `busy` says whether a request is being served.

    The features `wishes` are asked for, and `agreed` is told which of them the kernel has.
    """
    lowlevel = SimpleNamespace(**vars(trio.lowlevel))
    waiter = _Waiter(busy)

    async def wait_for_first(descriptor: int) -> None:
        await trio.lowlevel.wait_readable(descriptor)
        exchange = Exchange(descriptor)

        async def wait_for_second(descriptor: int) -> None:
            agreed(exchange.finish(wishes))
            lowlevel.wait_readable = waiter.wait_readable
            await waiter.wait_readable(descriptor)

        lowlevel.wait_readable = wait_for_second

    lowlevel.wait_readable = wait_for_first
    stand_in = SimpleNamespace(**vars(trio))
    stand_in.lowlevel = lowlevel
    stand_in.Lock = _ReadTurn
    pyfuse3.trio = stand_in  # type: ignore[attr-defined]
