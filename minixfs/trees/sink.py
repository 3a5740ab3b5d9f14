"""What takes entries: the interface of a sink, and what is common to those for a host directory and for an image.

    sink.find(path)            what is there now, or None
    sink.put(entry)            make it; a directory may be there already, a file is overwritten
    sink.remove(path)          take away what is no directory
    sink.finish()              the attributes of directories, which what is put into them would change

Paths are relative to the sink's top, an existing directory, and nothing below it is reached through a symbolic link.
An entry with the `link` of one that was put before becomes a further name of that. What fails is a `CarryError`; the
sink can be used further. `close` lets go of everything and belongs into a ``finally``.
"""

from __future__ import annotations

import errno
import itertools
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from minixfs.errors import PosixError
from minixfs.hw.blockdev.device import Data
from minixfs.trees.entry import PIECE, Entry

_ACLS = (b"system.posix_acl_access", b"system.posix_acl_default")
ZEROES_CHECKED = 4096
"""Bytes, aligned, that must be zero to become a hole."""


class CarryError(PosixError):
    """A file could not be carried. `doing` says at what, with ``{}`` for `name`, the file's; `reason` says why."""

    def __init__(self, doing: str, name: str, error: Exception | int) -> None:
        if isinstance(error, int):
            self.reason = str(PosixError(error))
        else:
            self.reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        super().__init__(error if isinstance(error, int) else getattr(error, "errno", None) or errno.EIO)
        self.doing = doing
        self.name = name
        self.message = f"{doing.format(name)}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Keep:
    """What of an entry's attributes is given to its copy. Of a mode that is not kept a new file has the rwx bits, as
    far as `umask` lets it, or with `plain` those that any new file has; an owner that is not kept is whoever the sink
    works for. Access lists go with the mode; `xattrs` are all other extended attributes. Where there cannot be any,
    they are left out without a word."""

    mode: bool = True
    owner: bool = True
    times: bool = True
    umask: int = 0
    plain: bool = False
    xattrs: bool = True

    @property
    def any(self) -> bool:
        return self.mode or self.owner or self.times or self.xattrs

    def xattrs_of(self, entry: Entry) -> dict[bytes, bytes]:
        """The extended attributes that the copy is to have."""
        found = entry.xattrs or {}
        return {name: value for name, value in found.items() if (self.mode if name in _ACLS else self.xattrs)}

    def mode_of(self, entry: Entry) -> int:
        """Permission bits of a new file."""
        if self.mode:
            return stat.S_IMODE(entry.mode)
        rwx = (0o777 if entry.is_directory else 0o666) if self.plain else entry.mode & 0o777
        return rwx & ~self.umask


@dataclass(frozen=True, slots=True)
class Found:
    """What is at a path: `identity` tells files of one sink apart, `links` is how many names it has, `mtime` is
    nanoseconds since 1970."""

    mode: int
    identity: tuple[int, int]
    links: int
    mtime: int

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


class Sink(Protocol):
    """See the top of this module."""

    def name_of(self, path: bytes) -> str:
        """What the user would call it."""
        ...

    def find(self, path: bytes, *, follow: bool = False) -> Found | None: ...

    def put(self, entry: Entry, *, data: bool = True) -> None:
        """Without `data` a regular file's contents stay as they are, or empty. Errors of the source come as they are;
        where it cannot even be opened, nothing is made."""
        ...

    def knows(self, entry: Entry) -> bool:
        """Whether the file was put before, under another name."""
        ...

    def link(self, existing: bytes, path: bytes) -> None:
        """One more name for a file of this sink."""
        ...

    def remove(self, path: bytes) -> None: ...

    def finish(self) -> None: ...

    def close(self) -> None: ...


def started(entry: Entry) -> Iterator[tuple[int, Data]]:
    """The pieces of a regular file, whose first one has been read already. Raises what the source raises."""
    pieces = iter(()) if entry.content is None else entry.content()
    first = next(pieces, None)
    return iter(()) if first is None else itertools.chain((first,), pieces)


def dense(pieces: Iterable[tuple[int, Data]], size: int) -> Iterator[tuple[int, Data]]:
    """The same data without holes, up to `size`."""
    position = 0
    for at, data in pieces:
        yield from _zeroes(position, at)
        yield at, data
        position = at + len(data)
    yield from _zeroes(position, size)


def sparse(pieces: Iterable[tuple[int, Data]]) -> Iterator[tuple[int, Data]]:
    """The same data with a hole wherever a whole piece of `ZEROES_CHECKED` bytes is zero."""
    zeroes = bytes(ZEROES_CHECKED)
    for at, data in pieces:
        view = memoryview(data)
        start = done = 0
        while done < len(view):
            end = min(len(view), done + ZEROES_CHECKED - (at + done) % ZEROES_CHECKED)
            if view[done:end] == zeroes[: end - done]:
                if start < done:
                    yield at + start, view[start:done]
                start = end
            done = end
        if start < done:
            yield at + start, view[start:done]


def _zeroes(start: int, end: int) -> Iterator[tuple[int, Data]]:
    while start < end:
        length = min(PIECE, end - start)
        yield start, bytes(length)
        start += length
