"""System calls that Python does not offer: renameat2, getdents64, fallocate, utimensat in full."""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import dataclass

AT_FDCWD = -100
RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
FALLOC_FL_KEEP_SIZE = 1
FALLOC_FL_PUNCH_HOLE = 2
UTIME_NOW = (1 << 30) - 1  # in the place of nanoseconds
UTIME_OMIT = (1 << 30) - 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.getdents64.restype = ctypes.c_ssize_t
_libc.getdents64.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]

_HEADER = struct.Struct("=QqHB")


@dataclass(frozen=True)
class Entry:
    """One directory entry as the kernel gives it; `next` is the seek position just behind it."""

    inode: int
    next: int
    type: int
    name: bytes


def renameat2(old: bytes, new: bytes, flags: int) -> None:
    if _libc.renameat2(AT_FDCWD, old, AT_FDCWD, new, ctypes.c_uint(flags)) < 0:
        raise _error()


def fallocate(fd: int, mode: int, offset: int, size: int) -> None:
    if _libc.fallocate(fd, mode, offset, size) < 0:
        raise _error()


def utimensat(path: bytes, access: tuple[int, int], modification: tuple[int, int]) -> None:
    """Set both times, each (seconds, nanoseconds or UTIME_NOW or UTIME_OMIT)."""
    if _libc.utimensat(AT_FDCWD, path, (ctypes.c_long * 4)(*access, *modification), 0) < 0:
        raise _error()


def entries(fd: int, size: int = 32768) -> list[Entry]:
    """The next directory entries that fit into `size` bytes; empty at the end."""
    buffer = ctypes.create_string_buffer(size)
    used = _libc.getdents64(fd, buffer, size)
    if used < 0:
        raise _error()
    found = []
    at = 0
    while at < used:
        inode, position, length, kind = _HEADER.unpack_from(buffer, at)
        name = buffer.raw[at + _HEADER.size : at + length].split(b"\0", 1)[0]
        found.append(Entry(inode, position, kind, name))
        at += length
    return found


def all_entries(fd: int, size: int = 32768) -> list[Entry]:
    """Every entry from the current position on, fetched `size` bytes at a time."""
    found = []
    while batch := entries(fd, size):
        found += batch
    return found


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
