"""A device that remembers what was written to it and in which order: what a power cut could have left behind.

Wrap a disk in `Recorder(disk)`, use it, then look at `log`, or rebuild the disk as it was after any entry
with `replay`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minixfs.hw.blockdev.device import BlockDevice, Data
from minixfs.hw.blockdev.wrapper import Wrapper


@dataclass(frozen=True, slots=True)
class Write:
    """`data` was stored at byte `offset`."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Discard:
    """The range, in bytes, was given up."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Flush:
    """All entries before this one are durable."""


class Recorder(Wrapper):
    """`inner`, with a `log` of the operations on it that succeeded, in the order in which they ended."""

    def __init__(self, inner: BlockDevice) -> None:
        super().__init__(inner)
        self.log: list[Write | Discard | Flush] = []

    async def write(self, offset: int, buffers: Sequence[Data]) -> int:
        data = b"".join(buffers)  # now: while the write waits, the caller may change them
        moved = await self.inner.write(offset, buffers)
        if moved:
            self.log.append(Write(offset, data[:moved]))
        return moved

    async def discard(self, offset: int, length: int) -> None:
        await self.inner.discard(offset, length)
        if length := self.clip(offset, length):
            self.log.append(Discard(offset, length))

    async def flush(self) -> None:
        await self.inner.flush()
        self.log.append(Flush())

    def replay(self, initial: Data, count: int) -> bytes:
        """The disk that was `initial` when recording began, after the first `count` entries. Discarded bytes
        are 0."""
        image = bytearray(initial)
        for entry in self.log[:count]:
            match entry:
                case Write(offset, data):
                    image[offset : offset + len(data)] = data
                case Discard(offset, length):
                    image[offset : offset + length] = bytes(length)
        return bytes(image)
