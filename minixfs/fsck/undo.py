"""Undo files: what a repair is about to overwrite, put by so that it can be taken back exactly.

`write_undo(path, device, writes, guarded)` is called before the first of the writes; `Undo(path)` reads such a file and
`restore`s. Rules:

* The file is complete and on stable storage before the image changes. One that is cut off belongs to a repair that
  never began.
* Each piece of the image is as before, as the repair makes it, or otherwise. Only the first two are accepted, in any
  mixture, so that a repair that was killed half-way can be taken back too.
* The metadata that the repair leaves alone must be as it was. Whoever used the file system in between has changed it.
* Restoring checks everything before it writes anything, and may be repeated.

The file is a header, the pieces, and a digest of all that; integers are little-endian.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import AsyncIterator, Iterator
from typing import BinaryIO, NamedTuple

from minixfs.errors import InvalidArgument
from minixfs.hw.blockdev.device import BlockDevice

_MAGIC = b"minixfs undo 1\n\0"
_DIGEST = 16
_HEADER = struct.Struct(f"<16sQQQ{_DIGEST}s")
"""Magic, size of the device, size of the guarded metadata from byte 0 on, number of pieces, digest of the metadata."""
_PIECE = struct.Struct("<QLL")
"""Offset and length on the device, number of digests; the digests and the old bytes follow."""
_STEP = 1 << 20

Write = tuple[int, bytes | bytearray]


class Outcome(NamedTuple):
    """What `Undo.restore` did: pieces in all, and how many of them differed and were put back, with their bytes."""

    pieces: int
    restored: int
    size: int


async def write_undo(path: str, device: BlockDevice, writes: AsyncIterator[Write], guarded: int) -> None:
    """Make the new file `path`. `writes` are (offset, data) in their order; one place may be written several times.

    `guarded` is how many bytes of metadata the device begins with. Raises OSError (EEXIST, ENOSPC, ...), DeviceError.
    """
    states: dict[tuple[int, int], set[bytes]] = {}
    async for offset, data in writes:
        states.setdefault((offset, len(data)), set()).add(_digest(data))
    places = sorted(states)
    metadata = await _guard(device, guarded, places)
    with open(path, "xb") as file:
        digest = hashlib.blake2b(digest_size=_DIGEST)

        def put(data: bytes | bytearray) -> None:
            file.write(data)
            digest.update(data)

        try:
            put(_HEADER.pack(_MAGIC, device.size, guarded, len(places), metadata))
            for offset, length in places:
                after = states[offset, length]
                put(_PIECE.pack(offset, length, len(after)) + b"".join(sorted(after)))
                put(await _read(device, offset, length))
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            os.unlink(path)
            raise
    _sync_directory(os.path.dirname(path) or ".")


class Undo:
    """An undo file, open for reading. Raises OSError, and InvalidArgument for what is no whole undo file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file: BinaryIO = open(path, "rb")  # noqa: SIM115 - closed by close
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()

    async def restore(self, device: BlockDevice, *, dry_run: bool = False) -> Outcome:
        """Make the image what it was. With `dry_run` only check that this is possible.

        Raises InvalidArgument when the image is another one or has changed since, and then writes nothing; ReadOnly,
        DeviceError.
        """
        if device.size != self._size:
            raise InvalidArgument(
                message=f"{device.name} has {device.size} bytes, {self.path} is for an image of {self._size}"
            )
        changed = 0
        size = 0
        places = []
        for offset, length, after, old in self._pieces():
            places.append((offset, length))
            now = await _read(device, offset, length)
            if now == old:
                continue
            if _digest(now) not in after:
                raise InvalidArgument(
                    message=f"{device.name} has changed since at byte {offset}, or is not what {self.path} belongs to"
                )
            changed += 1
            size += length
        if await _guard(device, self._guarded, places) != self._metadata:
            raise InvalidArgument(message=f"{device.name} has been used since, or is not what {self.path} belongs to")
        if changed and not dry_run:
            for offset, _, _, old in self._pieces():
                await device.write(offset, [old])
            await device.flush()
        return Outcome(len(places), changed, size)

    def _check(self) -> None:
        """Read the header, and the whole file once for its digest."""
        head = self._file.read(_HEADER.size)
        if len(head) < _HEADER.size or not head.startswith(_MAGIC):
            raise InvalidArgument(message=f"{self.path} is no undo file of minixfs")
        _, self._size, self._guarded, self._count, self._metadata = _HEADER.unpack(head)
        digest = hashlib.blake2b(head, digest_size=_DIGEST)
        left = os.fstat(self._file.fileno()).st_size - _HEADER.size - _DIGEST
        while left > 0 and (data := self._file.read(min(left, _STEP))):
            digest.update(data)
            left -= len(data)
        if left or self._file.read() != digest.digest():
            raise InvalidArgument(message=f"{self.path} is not complete, or damaged; the repair may not have begun")

    def _pieces(self) -> Iterator[tuple[int, int, list[bytes], bytes]]:
        """Offset, length, digests of the repaired states, and the old bytes of each piece."""
        self._file.seek(_HEADER.size)
        for _ in range(self._count):
            offset, length, states = _PIECE.unpack(self._file.read(_PIECE.size))
            after = [self._file.read(_DIGEST) for _ in range(states)]
            yield offset, length, after, self._file.read(length)


def _digest(data: bytes | bytearray) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()


async def _guard(device: BlockDevice, end: int, places: list[tuple[int, int]]) -> bytes:
    """Digest of the bytes before `end` that lie in none of the ascending `places`."""
    digest = hashlib.blake2b(digest_size=_DIGEST)
    position = 0
    for start, length in [*places, (end, 0)]:
        while position < min(start, end):
            step = min(_STEP, min(start, end) - position)
            digest.update(await _read(device, position, step))
            position += step
        position = max(position, start + length)
    return digest.digest()


async def _read(device: BlockDevice, offset: int, length: int) -> bytes:
    data = bytearray(length)
    await device.read(offset, [data])
    return bytes(data)


def _sync_directory(path: str) -> None:
    """Make the name of a new file durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
