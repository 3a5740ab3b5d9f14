"""How the stack waits inside a mount: trio's events, and its threads for blocking work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import trio

from minixfs.hw.runtime import Event

T = TypeVar("T")


def _nobody() -> None:
    pass


class TrioRuntime:
    """A `minixfs.hw.runtime.Runtime` made of trio. `before_suspend` is called whenever a request is going to wait."""

    def __init__(self) -> None:
        self.before_suspend: Callable[[], None] = _nobody

    def event(self) -> Event:
        return _Event(self)

    async def offload(self, function: Callable[..., T], *args: Any) -> T:
        self.before_suspend()
        return await trio.to_thread.run_sync(function, *args)


class _Event:
    """A trio event that announces a wait."""

    __slots__ = ("_event", "_runtime")

    def __init__(self, runtime: TrioRuntime) -> None:
        self._runtime = runtime
        self._event = trio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        if not self._event.is_set():
            self._runtime.before_suspend()
            await self._event.wait()
