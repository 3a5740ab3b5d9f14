"""Writes MINIX prototype files: the counterpart of `proto.read`, which explains what is in one.

`lines` describes the entries of a host directory. What a prototype cannot say is a UsageError that names the file, or
a warning where MINIX's mkproto warns as well; with `Style.extensions` it can say everything but times.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass

from minixfs.errors import UsageError
from minixfs.trees.entry import Entry
from minixfs.trees.proto import LINE_MAX

Warn = Callable[[str], object]

_LETTERS = {
    stat.S_IFREG: b"-",
    stat.S_IFDIR: b"d",
    stat.S_IFBLK: b"b",
    stat.S_IFCHR: b"c",
    stat.S_IFLNK: b"s",
    stat.S_IFIFO: b"p",
    stat.S_IFSOCK: b"S",
}
_SPECIAL = (stat.S_IFIFO, stat.S_IFSOCK)
_PLAIN = re.compile(rb"[^\x00-\x20\x7f$][^\x00-\x20\x7f]*")
"""What a word can hold as it is."""
_UNPLAIN = re.compile(rb"[\x00-\x20\x7f\\#$]")
"""What is escaped where escapes are understood."""


@dataclass(frozen=True, slots=True)
class Style:
    """`blocks` and `inodes` go to the second line; `prefix` and a slash before the path of each source. Owner and
    `permissions` are those of everything, unless `keep` takes them from the files."""

    prefix: bytes
    blocks: int = 360
    inodes: int = 63
    indent: bytes = b"\t"
    uid: int = 2
    gid: int = 1
    permissions: int = 0o555
    keep: bool = False
    extensions: bool = False


def lines(entries: Iterable[Entry], style: Style, warn: Warn) -> Iterator[bytes]:
    """The lines of a prototype, with their ends. Raises UsageError."""
    yield b"boot\n"
    yield b"%d %d\n" % (style.blocks, style.inodes)
    inside: list[bytes] = []
    names: dict[Hashable, bytes] = {}
    for entry in entries:
        while inside and entry.parent != inside[-1]:
            inside.pop()
            yield style.indent * len(inside) + b"$\n"
        words = _words(entry, names, style, warn)
        line = style.indent * len(inside) + b" ".join(words)
        if len(line) > LINE_MAX and not style.extensions:
            raise UsageError(
                f"{entry.origin}: its line has {len(line)} bytes, {LINE_MAX} are the most; use --extensions"
            )
        yield line + b"\n"
        if entry.is_directory:
            inside.append(entry.path)
    while inside:
        inside.pop()
        yield style.indent * len(inside) + b"$\n"


def _words(entry: Entry, names: dict[Hashable, bytes], style: Style, warn: Warn) -> list[bytes]:
    """What the line of `entry` says. `names` remembers files that have several."""

    def word(raw: bytes) -> bytes:
        if style.extensions:
            return _UNPLAIN.sub(lambda match: b"\\%03o" % match[0][0], raw)
        if not _PLAIN.fullmatch(raw):
            raise UsageError(f"{entry.origin}: a prototype has no blanks in names; use --extensions")
        return raw

    kind = stat.S_IFMT(entry.mode)
    letter = _LETTERS[kind]
    rest: list[bytes] = []
    first = names.setdefault(entry.link, entry.path) if entry.link is not None else entry.path
    if style.extensions and first != entry.path:
        letter, rest = b"L", [word(first)]
    elif entry.is_file:
        rest = [word(style.prefix + b"/" + entry.path)]
    elif entry.is_symlink:
        rest = [word(entry.target)]
    elif entry.is_device:
        rest = [b"%d" % os.major(entry.rdev), b"%d" % os.minor(entry.rdev)]
    elif kind in _SPECIAL and not style.extensions:
        warn(f"{entry.origin}: no way to write a FIFO or socket; an empty file takes its place")
        letter, rest = b"-", [b"/dev/null"]
    name = [word(entry.name)] if entry.path else []
    return [*name, letter + _permissions(entry, style, warn), *_owner(entry, style), *rest]


def _permissions(entry: Entry, style: Style, warn: Warn) -> bytes:
    """The mode without its type."""
    mode = stat.S_IMODE(entry.mode) if style.keep else style.permissions
    sticky = b""
    if mode & stat.S_ISVTX:
        if style.extensions:
            sticky = b"1"
        else:
            warn(f"{entry.origin}: no way to write the sticky bit; it is left out")
    set_ids = (b"u" if mode & stat.S_ISUID else b"-") + (b"g" if mode & stat.S_ISGID else b"-")
    return set_ids + sticky + b"%03o" % (mode & 0o777)


def _owner(entry: Entry, style: Style) -> list[bytes]:
    uid, gid = (entry.uid, entry.gid) if style.keep else (style.uid, style.gid)
    return [b"%d" % uid, b"%d" % gid]
