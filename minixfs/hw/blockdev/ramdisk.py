"""A disk in memory, for tests and scratch file systems. It is lost with its object; nothing about it ever
waits."""

from __future__ import annotations

from collections.abc import Sequence

from minixfs.errors import InvalidArgument
from minixfs.hw.blockdev.device import BlockDevice, Buffer, Data, clip_buffers


class RamDisk(BlockDevice):
    """A disk of so many zero bytes, or one that starts as a copy of the given bytes.

    Raises InvalidArgument when the size is not a multiple of `sector_size`.
    """

    name = "ram disk"

    def __init__(self, content: int | Data, sector_size: int = 1) -> None:
        self._bytes = memoryview(bytearray(content))
        self.size = len(self._bytes)
        self.sector_size = sector_size
        if self.size % sector_size:
            raise InvalidArgument(message=f"a disk of {self.size} bytes has no whole sectors of {sector_size}")

    async def read(self, offset: int, buffers: Sequence[Buffer]) -> int:
        length = self.clip(offset, sum(map(len, buffers)))
        position = offset
        for view in clip_buffers(buffers, length):
            view[:] = self._bytes[position : position + len(view)]
            position += len(view)
        return length

    async def write(self, offset: int, buffers: Sequence[Data]) -> int:
        self.check_writable()
        length = self.clip(offset, sum(map(len, buffers)))
        position = offset
        for view in clip_buffers(buffers, length):
            self._bytes[position : position + len(view)] = view
            position += len(view)
        return length

    async def flush(self) -> None:
        """Memory is as stable as this disk gets."""

    def snapshot(self) -> bytes:
        """A copy of the whole disk."""
        return bytes(self._bytes)
