"""A runtime made of trio, and a device that answers only when the test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import trio

from minixfs.hw.blockdev.device import BlockDevice, Buffer, Data
from minixfs.hw.blockdev.wrapper import Wrapper
from minixfs.hw.runtime import Event

T = TypeVar("T")


class TrioRuntime:
    """`minixfs.hw.runtime.Runtime` in a trio program; offloaded work runs in place, so that tests are deterministic."""

    def event(self) -> Event:
        return trio.Event()

    async def offload(self, function: Callable[..., T], *args: Any) -> T:
        await trio.lowlevel.checkpoint()
        return function(*args)


class Gated(Wrapper):
    """`inner`, whose transfers wait at a gate that the test closes.

    `reads` and `writes` list the (offset, length) that are waiting or were let through, in order.
    """

    def __init__(self, inner: BlockDevice) -> None:
        super().__init__(inner)
        self.runtime = TrioRuntime()
        self.reads: list[tuple[int, int]] = []
        self.writes: list[tuple[int, int]] = []
        self._open: trio.Event | None = None

    def close_gate(self) -> None:
        self._open = trio.Event()
        self.reads.clear()
        self.writes.clear()

    def open_gate(self) -> None:
        if self._open is not None:
            self._open.set()
        self._open = None

    async def read(self, offset: int, buffers: Sequence[Buffer]) -> int:
        self.reads.append((offset, sum(map(len, buffers))))
        if self._open is not None:
            await self._open.wait()
        return await super().read(offset, buffers)

    async def write(self, offset: int, buffers: Sequence[Data]) -> int:
        self.writes.append((offset, sum(map(len, buffers))))
        if self._open is not None:
            await self._open.wait()
        return await super().write(offset, buffers)
