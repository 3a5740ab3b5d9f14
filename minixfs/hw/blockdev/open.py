"""From what a user typed to an open, locked device.

`open_device` understands

* ``disk.img`` or ``/dev/sdb1``: all of it;
* ``disk.img:p0s1``: a partition by its MINIX name;
* ``disk.img@@1M``: from a byte offset to the end (see `parse_size`);

a file that really has such a name comes first. What is wrong is said in one line, with what to do about it.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Awaitable, Callable

from minixfs.errors import DeviceError, UsageError
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.blockdev.image import ImageDevice
from minixfs.hw.blockdev.lock import lock_range
from minixfs.hw.blockdev.partition import SECTOR, Partition, Slice, boot_partition, choices, listing, scan
from minixfs.hw.runtime import INLINE, Runtime

Probe = Callable[[BlockDevice], Awaitable[bool]]

_UNITS = {"": 1, "s": SECTOR, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def parse_size(text: str) -> int:
    """Bytes, written as a plain number, with K, M or G (1024 each), or with s for sectors of 512.

    Raises UsageError.
    """
    match = re.fullmatch(r"([0-9]+)([KMGkmgs]?)", text)
    if match is None:
        raise UsageError(f"'{text}' is not a number of bytes: write it like 1048576, 1024K, 1M or 2048s")
    return int(match[1]) * _UNITS[match[2].lower()]


async def open_device(
    spec: str | os.PathLike[str],
    *,
    partition: str | None = None,
    offset: int | None = None,
    size_limit: int | None = None,
    read_only: bool = False,
    runtime: Runtime = INLINE,
    probe: Probe | None = None,
) -> BlockDevice:
    """Open `spec` and lock the bytes it names: shared for reading, else exclusively.

    `partition` (``p0``, ``p0s1``) or `offset` choose a part where `spec` does not; `size_limit` shortens
    whatever was chosen. Both in bytes. `probe` says whether a device starts with a known file system: a whole
    disk that does not, but holds partitions, is refused with a list of them; without a probe it is taken as
    it is.

    Raises UsageError, and Busy when somebody else uses the same bytes.
    """
    path, spec_partition, spec_offset = _parse(os.fspath(spec))
    given = [choice for choice in (spec_partition, partition, spec_offset, offset) if choice is not None]
    if len(given) > 1:
        raise UsageError(f"{path}: a partition or an offset is given more than once; give only one")
    partition = spec_partition if partition is None else partition
    offset = spec_offset if offset is None else offset
    if size_limit is not None and size_limit <= 0:
        raise UsageError(f"{path}: a size limit of {size_limit} leaves nothing; give a positive number")

    image = _open_image(path, read_only, runtime)
    try:
        start, size = await window(image, partition, offset, probe)
        size = size if size_limit is None else min(size, size_limit)
        whole = start == 0 and size == image.size
        # All of a file is more than its present bytes: it may grow.
        lock_range(image.fileno(), start, 0 if whole else size, exclusive=not read_only, name=path)
    except BaseException:
        image.close()
        raise
    if whole:
        return image
    return Slice(image, start, size, name=f"{path}:{partition}" if partition else None, owns_parent=True)


async def root_of(spec: str, runtime: Runtime = INLINE) -> str | None:
    """The partition that holds the root when `spec` is a whole disk that says so; else None. Raises UsageError."""
    path, partition, offset = _parse(spec)
    if partition is not None or offset is not None:
        return None
    image = _open_image(path, read_only=True, runtime=runtime)
    try:
        return boot_partition(await scan(image))
    finally:
        image.close()


def _parse(spec: str) -> tuple[str, str | None, int | None]:
    """Path, partition, offset."""
    if not os.path.lexists(spec):
        path, mark, rest = spec.rpartition("@@")
        if mark and path:
            return path, None, parse_size(rest)
        path, mark, rest = spec.rpartition(":")
        # A name with a colon that is neither a file nor a choice is most likely a mistyped file.
        if mark and (os.path.exists(path) or re.fullmatch("p[0-9]+(s[0-9]+)?", rest)):
            return path, rest, None
    return spec, None, None


def _open_image(path: str, read_only: bool, runtime: Runtime) -> ImageDevice:
    try:
        image = ImageDevice(path, read_only, runtime)
    except DeviceError as error:
        raise UsageError(_advice(path, error.errno, read_only)) from error
    if image.size == 0:
        image.close()
        raise UsageError(f"{path} is empty; give it a size first, for example: truncate -s 64M {path}")
    return image


def _advice(path: str, number: int, read_only: bool) -> str:
    match number:
        case errno.ENOENT | errno.ENOTDIR:
            return f"there is no {path}; check the name"
        case errno.EISDIR:
            return f"{path} is a directory; name an image file or a block device"
        case errno.ENOTBLK:
            return f"{path} is neither a file nor a block device; name one of these"
        case errno.EBUSY:
            return f"{path} is mounted or in use by another program; unmount it first"
        case errno.EACCES | errno.EPERM | errno.EROFS if not read_only and os.access(path, os.R_OK):
            return f"{path} cannot be opened for writing ({os.strerror(number)}); only read it (mount: -o ro)"
        case errno.EACCES | errno.EPERM:
            return f"{path} cannot be opened ({os.strerror(number)}); check its permissions"
    return f"{path} cannot be opened: {os.strerror(number)}"


async def window(image: BlockDevice, partition: str | None, offset: int | None, probe: Probe | None) -> tuple[int, int]:
    """Start and size, in bytes, of the chosen part of `image`; see `open_device`. Raises UsageError."""
    if partition is not None:
        table = await scan(image)
        for candidate in table:
            if candidate.name == partition:
                return candidate.start, candidate.size
        raise UsageError(f"{image.name} has no partition {partition}; {_contents(image.name, table)}")
    if offset is not None:
        if not 0 <= offset < image.size:
            raise UsageError(
                f"offset {offset} is outside {image.name}, which has {image.size} bytes; give a smaller one"
            )
        return offset, image.size - offset
    if probe is not None and not await probe(image):
        table = await scan(image)
        if choices(table):
            raise UsageError(f"{image.name} holds partitions, choose one: {listing(image.name, table)}")
    return 0, image.size


def _contents(path: str, table: list[Partition]) -> str:
    if choices(table):
        return f"choose one of {listing(path, table)}"
    return f"it holds none that can be used; use {path} alone"
