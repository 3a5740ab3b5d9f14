"""A device that forwards everything to another one: the base of those that change only a part of that."""

from __future__ import annotations

from collections.abc import Sequence

from minixfs.hw.blockdev.device import BlockDevice, Buffer, Data
from minixfs.hw.runtime import Runtime


class Wrapper(BlockDevice):
    """Looks and behaves like `inner`, shares its runtime in both directions, and closes it."""

    def __init__(self, inner: BlockDevice) -> None:
        self.inner = inner
        self.size = inner.size
        self.sector_size = inner.sector_size
        self.read_only = inner.read_only
        self.host_cached = inner.host_cached
        self.name = inner.name

    @property
    def runtime(self) -> Runtime:
        return self.inner.runtime

    @runtime.setter
    def runtime(self, runtime: Runtime) -> None:
        self.inner.runtime = runtime

    async def read(self, offset: int, buffers: Sequence[Buffer]) -> int:
        return await self.inner.read(offset, buffers)

    async def write(self, offset: int, buffers: Sequence[Data]) -> int:
        return await self.inner.write(offset, buffers)

    async def flush(self) -> None:
        await self.inner.flush()

    async def discard(self, offset: int, length: int) -> None:
        await self.inner.discard(offset, length)

    def close(self) -> None:
        self.inner.close()
