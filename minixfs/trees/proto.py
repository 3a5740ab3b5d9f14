"""MINIX prototype files: a tree described in text, with the contents of its files on the host (specification: file
systems, 7.2).

    boot                        a boot block, which nobody reads any more
    1440 200                    blocks and inodes; 0 0: as many as it takes
    d--755 0 0                  mode, user and group of the root
        etc d--755 0 0
            rc ---644 0 0 build/rc
        $                       end of etc
        tty c--666 0 0 4 0
        sh s--777 0 0 bin/ash
    $                           end of the root

`read` takes one apart; the result is a source of entries, and says what its second line wants. A mode is type
(``-dbcs``, also ``l`` for ``s``), ``u`` for set-uid, ``g`` for set-gid, and three octal digits. Sources of files are
found from the working directory. A size in blocks may follow the numbers of a device; nothing reads it any more. A line
has less than 200 bytes and at most 10 words. Whatever is wrong is a UsageError that names file and line; a source that
cannot be read is one too, where MINIX leaves an empty file.

With `extensions` there are also FIFOs (``p``), sockets (``S``) and further names of a file (``L``, followed by its
path in the tree, which must be above); a fourth octal digit in front of the three, 1 for the sticky bit; ``#`` before
a comment; ``\\ooo`` for a byte that could not be written otherwise; and lines of any length.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from minixfs.errors import UsageError
from minixfs.trees.entry import Entry
from minixfs.trees.host import take_content

LINE_MAX = 199
"""Bytes in a line, without its end."""
WORDS_MAX = 10

_SYNTAX = re.compile(rb"([-dbcsl])([-u])([-g])([0-7]{3})")
_EXTENDED_SYNTAX = re.compile(rb"([-dbcslpSL])([-u])([-g])([01]?[0-7]{3})")
_TYPES = {
    b"-": stat.S_IFREG,
    b"d": stat.S_IFDIR,
    b"b": stat.S_IFBLK,
    b"c": stat.S_IFCHR,
    b"s": stat.S_IFLNK,
    b"l": stat.S_IFLNK,
    b"p": stat.S_IFIFO,
    b"S": stat.S_IFSOCK,
}
_HARD_LINK = b"L"
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")
_HEAD = re.compile(rb"[^\n\0]*\n[ \t]*[0-9]+[ \t]+[0-9]+[ \t\r]*\n")
_HEAD_MAX = 4096
_ID_MAX = 0xFFFFFFFF
_DEVICE_MAX = 0xFF
"""Of major and of minor numbers."""


@dataclass(slots=True)
class Node:
    """An entry, and what is in it if it is a directory."""

    entry: Entry
    children: dict[bytes, Node] = field(default_factory=dict)


@dataclass(slots=True)
class Prototype:
    """What a prototype file says; iterating gives the entries. `blocks` and `inodes` are 0 where the maker chooses."""

    blocks: int
    inodes: int
    root: Node

    def __iter__(self) -> Iterator[Entry]:
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            yield node.entry
            waiting += [node.children[name] for name in sorted(node.children, reverse=True)]


def read(path: str, *, time: int = 0, keep_mtime: bool = False, extensions: bool = False) -> Prototype:
    """The prototype in the file `path`.

    `time`, in nanoseconds since 1970, is that of everything; with `keep_mtime` files are as old as their source.
    Raises UsageError, or OSError when the prototype itself cannot be read.
    """
    with open(path, "rb") as file:
        return _Reader(path, file.read().split(b"\n"), time, keep_mtime, extensions).prototype()


def is_prototype(path: str) -> bool:
    """Whether the file begins as a prototype does. Raises OSError."""
    with open(path, "rb") as file:
        return _HEAD.match(file.read(_HEAD_MAX)) is not None


class _Reader:
    """The way through one file. `number` counts the lines that were read."""

    def __init__(self, path: str, lines: list[bytes], time: int, keep_mtime: bool, extensions: bool) -> None:
        self.path = path
        self.lines = lines
        self.number = 1  # the boot block
        self.time = time
        self.keep_mtime = keep_mtime
        self.extensions = extensions

    def prototype(self) -> Prototype:
        size = self.needed("the numbers of blocks and inodes")
        if len(size) != 2:
            raise self.error("write the numbers of blocks and inodes here, or 0 0 for as many as it takes")
        blocks, inodes = map(self.numeral, size)
        root = self.node(b"", self.needed("mode, user and group of the root"))
        if not root.entry.is_directory:
            raise self.error("the root must be a directory")
        self.fill(root)
        if self.words() is not None:
            raise self.error("there is more after the $ that ends the root")
        return Prototype(blocks, inodes, root)

    def fill(self, root: Node) -> None:
        """Read what is in the root, to the ``$`` that closes it."""
        open_directories = [root]
        while open_directories:
            directory = open_directories[-1]
            words = self.needed(f"the $ that ends {_shown(directory.entry.path)}")
            if words == [b"$"]:
                open_directories.pop()
                continue
            name = self.name(words[0])
            if name in directory.children:
                raise self.error(f"{_shown(directory.entry.path)} has two files called {os.fsdecode(name)}")
            path = directory.entry.path + b"/" + name if directory.entry.path else name
            node = self.node(path, words[1:], root)
            directory.children[name] = node
            if node.entry.is_directory:
                open_directories.append(node)

    def node(self, path: bytes, words: list[bytes], root: Node | None = None) -> Node:
        """The file that `words` describe: mode, user, group, and what its type needs. Links are looked up in `root`."""
        if len(words) < 3:
            raise self.error(f"{_shown(path)} needs mode, user and group, like ---644 0 0")
        syntax = _EXTENDED_SYNTAX if self.extensions else _SYNTAX
        match = syntax.fullmatch(words[0])
        if match is None:
            hint = "" if self.extensions or not _EXTENDED_SYNTAX.fullmatch(words[0]) else " without the extensions"
            raise self.error(f"{os.fsdecode(words[0])} is no mode{hint}: write type, u or -, g or -, and three digits")
        kind, set_uid, set_gid, digits = match.groups()
        uid, gid = map(self.numeral, words[1:3])
        rest = words[3:]
        if kind == _HARD_LINK:
            return Node(self.another_name(path, self.one(rest, "the path of the file it is a name of"), root))
        mode = _TYPES[kind] | stat.S_ISUID * (set_uid == b"u") | stat.S_ISGID * (set_gid == b"g")
        permissions = int(digits, 8)
        entry = Entry(
            path,
            mode | permissions & 0o777 | stat.S_ISVTX * bool(permissions & 0o1000),
            uid,
            gid,
            mtime=self.time,
            atime=self.time,
            ctime=self.time,
            origin=f"{self.path}:{self.number}: {_shown(path)}",
        )
        if entry.is_file:
            self.take_source(entry, self.one(rest, "the file with its contents"))
        elif entry.is_symlink:
            entry.target = self.one(rest, "the text of the link")
        elif entry.is_device:
            if len(rest) not in (2, 3):
                raise self.error(f"{_shown(path)} needs major and minor number, and at most its size in blocks")
            major, minor = (self.numeral(word, _DEVICE_MAX) for word in rest[:2])
            if rest[2:]:
                self.numeral(rest[2])
            entry.rdev = os.makedev(major, minor)
        elif rest:
            raise self.error(f"{_shown(path)}: there is nothing to say after mode, user and group")
        return Node(entry)

    def take_source(self, entry: Entry, source: bytes) -> None:
        try:
            path = os.path.realpath(source) if os.path.islink(source) else source
            found = os.stat(path)
            if not stat.S_ISREG(found.st_mode) and path != os.devnull.encode():
                raise self.error(f"{os.fsdecode(source)} is not a regular file")
            if not os.access(path, os.R_OK):  # found before anything is made
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            take_content(entry, path, found)
        except OSError as error:
            raise self.error(f"{os.fsdecode(source)}: {error.strerror}") from error
        if self.keep_mtime:
            entry.mtime = found.st_mtime_ns

    def another_name(self, path: bytes, of: bytes, root: Node | None) -> Entry:
        node = root
        for name in of.strip(b"/").split(b"/"):
            node = node and node.children.get(name)
        if node is None or node.entry.is_directory:
            raise self.error(f"there is no file {_shown(of)} above this line")
        node.entry.link = node.entry.link or node.entry.path
        return replace(node.entry, path=path, origin=f"{self.path}:{self.number}: {_shown(path)}")

    # ---- words -----------------------------------------------------------------------------------------------------

    def words(self) -> list[bytes] | None:
        """The words of the next line that is not blank; None after the last."""
        while self.number < len(self.lines):
            line = self.lines[self.number]
            self.number += 1
            words = line.split()
            if self.extensions:
                comment = next((at for at, word in enumerate(words) if word.startswith(b"#")), len(words))
                words = words[:comment]
            elif len(line) > LINE_MAX:
                raise self.error(f"this line has {len(line)} bytes; {LINE_MAX} are the most")
            elif len(words) > WORDS_MAX:
                raise self.error(f"this line has {len(words)} words; {WORDS_MAX} are the most")
            if words:
                return words
        return None

    def needed(self, what: str) -> list[bytes]:
        words = self.words()
        if words is None:
            raise self.error(f"the file ends before {what}")
        return words

    def one(self, words: list[bytes], what: str) -> bytes:
        if len(words) != 1:
            raise self.error(f"after mode, user and group comes {what}, as one word")
        return self.plain(words[0])

    def name(self, word: bytes) -> bytes:
        name = self.plain(word)
        if word.startswith(b"$") or name in (b".", b"..") or b"/" in name:
            raise self.error(f"{os.fsdecode(word)} cannot be the name of a file")
        return name

    def plain(self, word: bytes) -> bytes:
        """What a word stands for."""
        plain = _ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), word) if self.extensions else word
        if b"\0" in plain:
            raise self.error("there is no byte 0 in names")
        return plain

    def numeral(self, word: bytes, most: int = _ID_MAX) -> int:
        if not word.isdigit() or len(word) > 10 or int(word) > most:
            raise self.error(f"{os.fsdecode(word)} is not a number from 0 to {most}")
        return int(word)

    def error(self, message: str) -> UsageError:
        return UsageError(f"{self.path}:{self.number}: {message}")


def _shown(path: bytes) -> str:
    return "/" + os.fsdecode(path)
