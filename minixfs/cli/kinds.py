"""What kinds of file there are, in the words and letters of coreutils and findutils."""

from __future__ import annotations

import stat

_WORDS = {
    stat.S_IFREG: "regular file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symbolic link",
    stat.S_IFCHR: "character special file",
    stat.S_IFBLK: "block special file",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
LETTERS = {
    "f": stat.S_IFREG,
    "d": stat.S_IFDIR,
    "l": stat.S_IFLNK,
    "c": stat.S_IFCHR,
    "b": stat.S_IFBLK,
    "p": stat.S_IFIFO,
    "s": stat.S_IFSOCK,
}
"""What ``find -type`` calls them."""


def kind(mode: int, size: int = 1) -> str:
    """``regular empty file``, ``symbolic link``: as rm and stat say it."""
    if stat.S_ISREG(mode) and not size:
        return "regular empty file"
    return _WORDS.get(stat.S_IFMT(mode), "weird file")


def letter(mode: int) -> str:
    """``f`` or ``d``: as find prints it, ``U`` for what does not exist."""
    return next((letter for letter, bits in LETTERS.items() if bits == stat.S_IFMT(mode)), "U")


def is_device(mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
