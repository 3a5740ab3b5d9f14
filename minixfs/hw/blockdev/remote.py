"""An image that is somewhere else, as a file object that reads and seeks (a web server, an object store, an archive).

`open_remote` makes a device of one, or of a part of it; it is read-only. Such a file is slow: what is read from it
stays in our own cache (`host_cached` is false), and small reads are collected by whatever cache the file object has.
"""

from __future__ import annotations

import errno
import io
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from minixfs.errors import DeviceError, UsageError
from minixfs.hw.blockdev.device import BlockDevice, Buffer, Data, clip_buffers
from minixfs.hw.blockdev.open import Probe, window
from minixfs.hw.blockdev.partition import Slice
from minixfs.hw.runtime import INLINE, Runtime

T = TypeVar("T")


class RemoteFile(Protocol):
    """What is needed of a file object."""

    def seek(self, offset: int, whence: int = ..., /) -> int: ...

    def read(self, size: int = ..., /) -> bytes: ...

    def close(self) -> None: ...


class RemoteDevice(BlockDevice):
    """All of `file`, which is closed with the device; `name` is for messages. Raises DeviceError."""

    read_only = True

    def __init__(self, file: RemoteFile, name: str, runtime: Runtime = INLINE) -> None:
        self.name = name
        self.runtime = runtime
        self._file = file
        self._lock = threading.Lock()  # a file has one position, and a runtime may read in several threads
        self.size = self._try(lambda: file.seek(0, io.SEEK_END), "finding the size")

    async def read(self, offset: int, buffers: Sequence[Buffer]) -> int:
        length = self.clip(offset, sum(map(len, buffers)))
        if not length:
            return 0
        data = await self.runtime.offload(self._fetch, offset, length)
        position = 0
        for view in clip_buffers(buffers, length):
            view[:] = data[position : position + len(view)]
            position += len(view)
        return length

    async def write(self, offset: int, buffers: Sequence[Data]) -> int:
        self.check_writable()
        return 0

    async def flush(self) -> None:
        """Nothing is ever written."""

    def close(self) -> None:
        self._file.close()

    def _fetch(self, offset: int, length: int) -> bytes:
        what = f"read of {length} bytes at {offset}"
        with self._lock:
            data = self._try(lambda: self._exactly(offset, length), what)
        if len(data) < length:
            raise DeviceError(message=f"{self.name}: {what}: only {len(data)} bytes came")
        return data

    def _exactly(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        data = self._file.read(length)
        while len(data) < length and (more := self._file.read(length - len(data))):
            data += more
        return data

    def _try(self, step: Callable[[], T], what: str) -> T:
        try:
            return step()
        except Exception as error:  # every kind of file has errors of its own
            number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
            raise DeviceError(number, f"{self.name}: {what}: {str(error) or type(error).__name__}") from error


async def open_remote(
    file: RemoteFile,
    name: str,
    *,
    partition: str | None = None,
    offset: int | None = None,
    probe: Probe | None = None,
) -> BlockDevice:
    """A device on `file` or on the chosen part of it, as `open_device` does for files of this host. It owns the file.

    Raises UsageError, DeviceError.
    """
    try:
        if partition is not None and offset is not None:
            raise UsageError(f"{name}: a partition and an offset are given; give only one")
        device = RemoteDevice(file, name)
        start, size = await window(device, partition, offset, probe)
    except BaseException:
        file.close()
        raise
    if start == 0 and size == device.size:
        return device
    return Slice(device, start, size, name=f"{name}:{partition}" if partition else None, owns_parent=True)
