"""How the stack waits inside a mount: trio's events, and its threads for blocking work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import trio

from minixfs.hw.runtime import Event

T = TypeVar("T")


class TrioRuntime:
    """A `minixfs.hw.runtime.Runtime` made of trio."""

    def event(self) -> Event:
        return trio.Event()

    async def offload(self, function: Callable[..., T], *args: Any) -> T:
        return await trio.to_thread.run_sync(function, *args)
