"""Locks on the bytes of an image: any number of readers, or one writer, of each byte.

`lock_range` takes an advisory lock on a range of an open file, so that two partitions of one disk may be in
use at once. The lock belongs to the open file description ("OFD" in fcntl(2)): it lasts until that is closed,
survives the fork of a program that goes into the background, and keeps apart two users inside one process
too.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from minixfs.errors import Busy, DeviceError

_FLOCK = struct.Struct("hhqqi0q")  # struct flock of fcntl(2): type, whence, start, length, pid


def lock_range(fd: int, start: int, length: int, *, exclusive: bool, name: str) -> None:
    """Lock `length` bytes at `start` of file `fd` without waiting; length 0: to the end, wherever that is.

    An exclusive lock needs a descriptor open for writing. `name` is for messages. Raises Busy, saying who
    holds the lock when that can be found out; DeviceError when the host's file system has no locks.
    """
    request = _FLOCK.pack(fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK, os.SEEK_SET, start, length, 0)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, request)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise DeviceError(error.errno, f"{name} cannot be locked: {error.strerror}") from error
        holder = _holder(fd, start, length, exclusive)
        user = "another process" if holder is None else _describe(holder)
        raise Busy(message=f"{name} is in use by {user}; unmount it first, or wait for that to end") from None


def _holder(fd: int, start: int, length: int, exclusive: bool) -> int | None:
    """The process whose lock is in the way of this one; None when it does not show us its files."""
    ours = os.fstat(fd)
    for pid in filter(str.isdigit, _names("/proc")):
        for number in _names(f"/proc/{pid}/fd"):
            try:
                # stat finds the file: the device in a lock line is another one on btrfs or overlayfs
                if os.path.samestat(os.stat(f"/proc/{pid}/fd/{number}"), ours) and any(
                    _conflicts(line, start, length, exclusive) for line in _lock_lines(pid, number)
                ):
                    return int(pid)
            except OSError:  # that process or file is gone by now
                continue
    return None


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _lock_lines(pid: str, number: str) -> list[str]:
    with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii", errors="replace") as info:
        return [line for line in info if line.startswith("lock:")]


def _conflicts(line: str, start: int, length: int, exclusive: bool) -> bool:
    """Whether the lock in `line` of fdinfo, ``lock: 1: OFDLCK ADVISORY WRITE -1 08:01:77 0 EOF``, forbids
    ours."""
    kind, _, access, _, _, first, last = line.split()[2:9]
    return (
        kind in ("OFDLCK", "POSIX")
        and (exclusive or access == "WRITE")
        and (length == 0 or int(first) < start + length)
        and (last == "EOF" or int(last) >= start)
    )


def _describe(pid: int) -> str:
    if pid == os.getpid():
        return "this process"
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().decode(errors="replace").split("\0")[:-1]
    except OSError:
        words = []
    if len(words) > 1 and os.path.basename(words[0]).startswith("python") and not words[1].startswith("-"):
        del words[0]  # a script: its own name says more than the interpreter's
    if not words:
        return f"pid {pid}"
    command = " ".join([os.path.basename(words[0]), *words[1:]])
    return f"pid {pid} ({''.join(c if c.isprintable() else '?' for c in command)})"
