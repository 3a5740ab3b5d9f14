"""What Linux offers for files and Python's ``os`` does not, through the C library. That is loaded when first wanted:
it is slow to load, and few programs want it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import cache
from typing import Any

_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01  # <linux/falloc.h>
_SYNC_FILE_RANGE_WRITE = 2  # <fcntl.h>


def punch_hole(descriptor: int, offset: int, length: int) -> None:
    """Make a range of a file a hole. Raises OSError."""
    while number := _fallocate()(descriptor, _PUNCH_HOLE_KEEP_SIZE, offset, length):
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))


def start_writing(descriptor: int) -> None:
    """Have the kernel begin to write what is dirty of a file. Errors of the disk are for fdatasync(2) to report.

    Raises OSError where there is no such thing.
    """
    if number := _sync_file_range()(descriptor, 0, 0, _SYNC_FILE_RANGE_WRITE):
        raise OSError(number, os.strerror(number))


@cache
def _fallocate() -> Callable[..., int]:
    # glibc has the 64-bit offsets under a name of their own, musl has no others
    return _function(("fallocate64", "fallocate"), "iiqq")


@cache
def _sync_file_range() -> Callable[..., int]:
    return _function(("sync_file_range",), "iqqI")


def _function(names: tuple[str, ...], types: str) -> Callable[..., int]:
    """The function of one of these names, with arguments of these `types` (as ``struct`` calls them).

    It returns 0 or the number of an error.
    """
    import ctypes

    kinds = {"i": ctypes.c_int, "I": ctypes.c_uint, "q": ctypes.c_int64}
    libc = ctypes.CDLL(None, use_errno=True)
    function: Any = next(getattr(libc, name) for name in names if hasattr(libc, name))
    function.argtypes = [kinds[one] for one in types]
    return lambda *arguments: ctypes.get_errno() if function(*arguments) else 0
