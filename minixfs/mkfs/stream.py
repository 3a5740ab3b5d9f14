"""Writing a device from some place on, ascending, in few and large requests.

    stream = Stream(device, offset, progress)
    stream.put(position, data)                  gaps between what is put become zero
    if stream.is_full: await stream.drain()     as often as convenient
    stream.pad(end); await stream.drain()
    await stream.seek(position)                 go on elsewhere; what is between stays as it is

What is put must stay as it is until the next `drain`. A position before the end of what was put already is a
ValueError. `zero` and `write` are for the little that is not in a row.
"""

from __future__ import annotations

from collections.abc import Callable

from minixfs.errors import DeviceError
from minixfs.hw.blockdev.device import BlockDevice, Data

Progress = Callable[[int], object]
"""Is told now and then how many bytes have been written since it was told last."""

_CHUNK = 4 << 20
"""Bytes that make a full load."""
_ZEROES = bytes(1 << 16)
_VIEW = memoryview(_ZEROES)


class Stream:
    """`position` is the offset in bytes behind what was put last. The start is on a sector of the device."""

    def __init__(self, device: BlockDevice, offset: int, progress: Progress | None = None) -> None:
        self.position = offset
        self._device = device
        self._progress = progress
        self._written = offset
        self._waiting: list[Data] = []

    @property
    def is_full(self) -> bool:
        return self.position - self._written >= _CHUNK

    def put(self, position: int, data: Data) -> None:
        if position != self.position:
            self.pad(position)
        self._waiting.append(data)
        self.position += len(data)

    def pad(self, end: int) -> None:
        """Put zeroes up to the offset `end`."""
        gap = end - self.position
        if gap < 0:
            raise ValueError(f"position {end} is behind {self.position}")
        self.position = end
        while gap > len(_ZEROES):
            self._waiting.append(_ZEROES)
            gap -= len(_ZEROES)
        if gap:
            self._waiting.append(_VIEW[:gap])

    async def seek(self, position: int) -> None:
        """Go on at a sector elsewhere. Raises DeviceError."""
        if position != self.position:
            if self.position != self._written:
                await self.drain()
            self.position = self._written = position

    async def drain(self) -> None:
        """Write what was put; all of it ends on a sector. Raises DeviceError."""
        length = self.position - self._written
        if await self._device.write(self._written, self._waiting) != length:
            raise DeviceError(message=f"{self._device.name}: write at byte {self._written} was cut short")
        self._written = self.position
        self._waiting.clear()
        if self._progress is not None:
            self._progress(length)


async def zero(device: BlockDevice, start: int, end: int) -> bool:
    """Make the range zero; what is zero already is not written, so that sparse image files stay sparse.

    Returns whether anything was written.
    """
    written = False
    zeroes = bytes(min(end - start, _CHUNK))
    found = bytearray(len(zeroes))
    for offset in range(start, end, _CHUNK):
        length = min(_CHUNK, end - offset)
        await device.read(offset, [memoryview(found)[:length]])
        if found != zeroes:
            await write(device, offset, memoryview(zeroes)[:length])
            written = True
    return written


async def write(device: BlockDevice, offset: int, data: Data) -> None:
    """Write whole sectors: everything that is written here starts a block whose rest is zero."""
    filler = bytes(-len(data) % device.sector_size)
    if await device.write(offset, [data, filler]) != len(data) + len(filler):
        raise DeviceError(message=f"{device.name}: write at byte {offset} was cut short")
