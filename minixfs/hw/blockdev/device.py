"""The block-device interface that every backend implements.

A device is a row of bytes, read and written by *scattered* transfers: one offset, several buffers. Rules:

* `offset` and the total length are multiples of `sector_size` (1: any), else `InvalidArgument` and nothing is moved.
* A transfer that starts at or past the end moves 0 bytes; one that crosses the end moves the part before it. The byte
  count is returned; the rest of the buffers is untouched.
* Errors are `DeviceError` with the host's errno. After one, how much was moved is unknown.
* `write` on a read-only device raises `ReadOnly`.
* `flush` returns when everything written before it is on stable storage.

A device is used by one event loop or none; its `runtime` says how it waits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from minixfs.errors import DeviceError, InvalidArgument, ReadOnly
from minixfs.hw.runtime import INLINE, Runtime

Buffer = memoryview | bytearray
Data = memoryview | bytes | bytearray


class BlockDevice(ABC):
    """One open block device. Attributes, fixed after construction unless said:

    * `size`: bytes;
    * `sector_size`: unit of offsets and lengths in bytes;
    * `read_only`;
    * `host_cached`: the layer below keeps recently used data in memory anyway, so that file data may go to and
      from it directly instead of being cached twice;
    * `runtime`: how the device waits; the mount sets it before the first transfer;
    * `name`: for messages.
    """

    size: int
    sector_size: int = 1
    read_only: bool = False
    host_cached: bool = False
    runtime: Runtime = INLINE
    name: str = "device"

    @abstractmethod
    async def read(self, offset: int, buffers: Sequence[Buffer]) -> int:
        """Fill `buffers` with the bytes from `offset` on; return how many were moved."""

    @abstractmethod
    async def write(self, offset: int, buffers: Sequence[Data]) -> int:
        """Store `buffers` one after another from `offset` on; return how many bytes were moved."""

    async def gather(self, offsets: Sequence[int], lengths: Sequence[int]) -> bytes | bytearray:
        """So many bytes at each of `offsets`, one after another: many small pieces in one call.

        Raises DeviceError when a piece is not wholly on the device.
        """
        pieces = bytearray(sum(lengths))
        view = memoryview(pieces)
        for offset, length in zip(offsets, lengths, strict=True):
            if await self.read(offset, [view[:length]]) != length:
                raise DeviceError(message=f"{self.name}: read past the end at byte {offset}")
            view = view[length:]
        return pieces

    @abstractmethod
    async def flush(self) -> None:
        """Durability barrier."""

    async def discard(self, offset: int, length: int) -> None:  # noqa: B027 - a hint may be ignored
        """Hint: the bytes in the range are no longer needed. They may read as anything afterwards."""

    def close(self) -> None:  # noqa: B027 - most devices hold nothing
        """Release what the device holds. Using it afterwards is an error. Closing twice is allowed."""

    def clip(self, offset: int, length: int) -> int:
        """Check a transfer of `length` bytes at `offset`; return how many of them lie on the device."""
        if offset < 0 or offset % self.sector_size or length % self.sector_size:
            raise InvalidArgument(
                message=f"{self.name}: transfer of {length} bytes at {offset} is not in sectors of {self.sector_size}"
            )
        return max(0, min(length, self.size - offset))

    def check_writable(self) -> None:
        if self.read_only:
            raise ReadOnly(message=f"{self.name} is read-only")


def clip_buffers(buffers: Sequence[Data], length: int) -> list[memoryview]:
    """The first `length` bytes of `buffers`, as views."""
    views = []
    for buffer in buffers:
        if length <= 0:
            break
        views.append(memoryview(buffer)[:length])
        length -= len(buffer)
    return views
