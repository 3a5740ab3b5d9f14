"""Image files and real block devices of the host, through the host's page cache.

`ImageDevice(path)` opens one; it takes no lock (`open.open_device` does). The image is never mapped: a full
host disk or a truncated image must be an error of one request, not SIGBUS. Who waits where:

* a read has to wait for what the host does not have in memory: in place while the disk is quick, since the way to a
  thread and back takes longer than that; offloaded once it is not. Then, and for small pieces, it is first tried
  whether they are in memory (``RWF_NOWAIT``); small ones that are not bring with them what is around (`read_around`);
* a write goes to the host's page cache, in place, so that writes are stored in the order they were made in;
* where much is written, the host is told now and then to begin to store it, so that the disk is not idle meanwhile;
* a flush, the only slow part of writing, is offloaded, unless there is little to flush and the disk is quick.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

from minixfs.errors import DeviceError
from minixfs.hw.blockdev.device import BlockDevice, Buffer, Data, clip_buffers
from minixfs.hw.blockdev.libc import punch_hole, start_writing
from minixfs.hw.blockdev.patience import Patience
from minixfs.hw.blockdev.read_around import SMALL, ReadAround
from minixfs.hw.runtime import INLINE, Event, Runtime

IOV_MAX = os.sysconf("SC_IOV_MAX")
SMALL_FLUSH = 1 << 18
"""Bytes written since the last flush up to which the next one is expected to be quick."""
START = 8 << 20
"""Bytes written until the host is told to begin to store them."""

_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS)


class ImageDevice(BlockDevice):
    """An open image file or block device, with any offset and length (`sector_size` 1).

    Raises DeviceError with the host's errno when it cannot be opened: EISDIR, ENOTBLK for what is neither a
    file nor a block device, EBUSY for a block device that is mounted (only when opened for writing).
    """

    host_cached = True

    def __init__(self, path: str | os.PathLike[str], read_only: bool = False, runtime: Runtime = INLINE) -> None:
        self.name = os.fspath(path)
        self.read_only = read_only
        self.runtime = runtime
        self._fd = -1
        try:
            mode = os.stat(path).st_mode  # before the open, which waits for ever on a named pipe
            if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
                kind = errno.EISDIR if stat.S_ISDIR(mode) else errno.ENOTBLK
                raise OSError(kind, os.strerror(kind))
            exclusive = os.O_EXCL if stat.S_ISBLK(mode) and not read_only else 0
            self._fd = os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | exclusive)
            self.size = os.lseek(self._fd, 0, os.SEEK_END)
        except OSError as error:
            self.close()
            raise DeviceError(error.errno, f"{self.name}: {error.strerror}") from error
        self._reads, self._flushes, self._starts = Patience(), Patience(), Patience()
        self._around = ReadAround()
        self._unflushed = 0  # bytes written since the last flush
        self._unstarted = 0  # and since the host was last told to begin to store them
        self._has_starts = True  # until the host says otherwise
        self._flushing: Event | None = None  # set when the flush that is offloaded now has ended
        self._has_nowait = True  # until the host's file system says otherwise
        self._has_holes = stat.S_ISREG(mode)
        self._lost: OSError | None = None

    def fileno(self) -> int:
        """The open file, for locks and ioctls."""
        return self._fd

    async def read(self, offset: int, buffers: Sequence[Buffer]) -> int:
        wanted = sum(map(len, buffers))
        length = self.clip(offset, wanted)
        if length == 0:
            return 0
        views = buffers if length == wanted else clip_buffers(buffers, length)
        small, around = length <= SMALL, None
        try:
            if self._has_nowait and (small or self._reads.wary):
                if self._read_at_hand(offset, views, length):
                    if small:
                        self._around.hit()
                    return length
                if small:
                    around = self._around.miss(offset, length)
            if self._reads.lasts():
                with self._reads.waiting_for(length):
                    moved = _fetch(self._fd, views, offset, length, around)
            else:
                moved = await self.runtime.offload(_fetch, self._fd, views, offset, length, around)
            if moved < length:
                raise OSError(errno.EIO, "the image has become shorter than it was when it was opened")
        except OSError as error:
            raise self._failure("read", offset, length, error) from error
        return moved

    def _read_at_hand(self, offset: int, views: Sequence[Buffer], length: int) -> bool:
        """Fill `views` if the host has all of it in memory."""
        try:
            return _move(os.preadv, self._fd, views, offset, length, os.RWF_NOWAIT) == length
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                self._has_nowait = False
            elif error.errno != errno.EAGAIN:
                raise
            return False

    async def gather(self, offsets: Sequence[int], lengths: Sequence[int]) -> bytes:
        """As `BlockDevice.gather`, without a word of Python between two pieces."""
        pieces = map(os.pread, repeat(self._fd), lengths, offsets)
        try:
            data = await self.runtime.offload(b"".join, pieces)
        except OSError as error:
            raise self._failure("read", min(offsets), sum(lengths), error) from error
        if len(data) != sum(lengths):
            raise DeviceError(message=f"{self.name}: read past the end")
        return data

    async def write(self, offset: int, buffers: Sequence[Data]) -> int:
        self.check_writable()
        wanted = sum(map(len, buffers))
        length = self.clip(offset, wanted)
        if length == 0:
            return 0
        views = buffers if length == wanted else clip_buffers(buffers, length)
        try:
            self._unflushed += length
            moved = _move(os.pwritev, self._fd, views, offset, length, 0)
            if moved < length:
                raise OSError(errno.EIO, "the host stored only a part")
            self._unstarted += length
            if self._unstarted >= START:
                await self._start_writing()
        except OSError as error:
            raise self._failure("write", offset, length, error) from error
        return moved

    async def flush(self) -> None:
        """Durability barrier. Once it has failed it fails for good: the host drops what it could not store
        and reports that only once, so a later success would promise data that is lost. For the same reason there
        is one at a time."""
        if self.read_only:
            return
        while self._flushing is not None:
            await self._flushing.wait()
        if self._lost is None:
            try:
                await self._sync()
            except OSError as error:
                self._lost = error
        if self._lost is not None:
            lost = self._lost
            raise DeviceError(lost.errno, f"{self.name}: flush: {lost.strerror}") from lost

    async def _sync(self) -> None:
        little = self._unflushed <= SMALL_FLUSH
        self._unflushed = self._unstarted = 0
        if little and self._flushes.lasts():
            with self._flushes.waiting_for(0):
                os.fdatasync(self._fd)
            return
        ended = self._flushing = self.runtime.event()
        try:
            await self.runtime.offload(os.fdatasync, self._fd)
        finally:
            self._flushing = None
            ended.set()

    async def _start_writing(self) -> None:
        """Have the host begin to store what was written, so that a later flush has less to wait for."""
        self._unstarted = 0
        if not self._has_starts:
            return
        try:
            if self._starts.lasts():
                with self._starts.waiting_for(START):
                    start_writing(self._fd)
            else:
                await self.runtime.offload(start_writing, self._fd)
        except OSError:
            self._has_starts = False  # it was a hint; if something is wrong with the disk, a flush will tell

    async def discard(self, offset: int, length: int) -> None:
        """Give the range back to the host as a hole. Done in place: offloaded, it could hit a later write."""
        self.check_writable()
        length = self.clip(offset, length)
        if not self._has_holes or length == 0:
            return
        try:
            punch_hole(self._fd, offset, length)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise self._failure("discard", offset, length, error) from error
            self._has_holes = False

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _failure(self, action: str, offset: int, length: int, error: OSError) -> DeviceError:
        message = f"{self.name}: {action} of {length} bytes at {offset}: {error.strerror}"
        return DeviceError(error.errno, message)


def _move(
    call: Callable[[int, Any, int, int], int],
    fd: int,
    buffers: Sequence[Data],
    offset: int,
    length: int,
    flags: int,
) -> int:
    """Move `buffers`, `length` bytes in all, by preadv or pwritev; return less only where the file ends."""
    views, done = buffers, 0
    if len(views) > IOV_MAX:
        views = [view for view in views if len(view)]  # a row of empty ones would look like the end of the file
    while True:
        moved = call(fd, views if len(views) <= IOV_MAX else views[:IOV_MAX], offset + done, flags)
        done += moved
        if done == length or moved == 0:
            return done
        views = _after(views, moved)


def _fetch(fd: int, buffers: Sequence[Buffer], offset: int, length: int, around: tuple[int, int] | None) -> int:
    """Read from the disk, which is asked for what is `around` (offset and length) at the same time."""
    if around is not None:
        os.posix_fadvise(fd, *around, os.POSIX_FADV_WILLNEED)
    return _move(os.preadv, fd, buffers, offset, length, 0)


def _after(views: Sequence[Data], moved: int) -> Sequence[Data]:
    """`views` without their first `moved` bytes."""
    for index, view in enumerate(views):
        if moved < len(view):
            return [memoryview(view)[moved:], *views[index + 1 :]]
        moved -= len(view)
    return []
