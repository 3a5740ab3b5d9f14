"""What values mean that several formats have, in words. Every function takes any value that a disk can hold."""

from __future__ import annotations

import stat
import time

_FILE_TYPES = (
    stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK,
)  # fmt: skip


def mode_words(mode: int) -> str:
    if not mode:
        return "free"
    return f"{mode:06o}, {stat.filemode(mode) if stat.S_IFMT(mode) in _FILE_TYPES else 'of no known type'}"


def moment(seconds: int) -> str:
    """A time stamp in local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(seconds))


def flag_words(value: int, names: dict[int, str]) -> str:
    """The names of the bits that are set; those without one together as a number."""
    known = [name for bit, name in names.items() if value & bit]
    rest = value & ~sum(names)
    return ", ".join([*known, *([f"unknown {rest:#06x}"] if rest else [])])
