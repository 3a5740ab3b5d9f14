"""An image as a source of entries.

`entries(image, top)` walks a tree of an image as `minixfs.trees.entry` has it, without VFS: it asks the file server for
the attributes of many inodes at once and reads files by their inode numbers, without opening them. What it says of a
file was true when the file was met.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from minixfs.errors import Corrupt, MinixFsError
from minixfs.fs.protocol import DirEntry, FileServer, Stat
from minixfs.hw.blockdev.device import Data
from minixfs.image.file import as_os_error
from minixfs.image.image import Image
from minixfs.image.paths import Path, absolute
from minixfs.trees.entry import PIECE, Entry

BATCH = 256
"""Inodes looked at in one go: fewer than the file server keeps, so that reading their data finds them there."""
PERHAPS_INDIRECT = 4
"""Blocks; larger files may have indirect blocks, whose number makes up for holes."""

SMALL = 1 << 16
"""Bytes; files up to this size are read together with their neighbours."""

OnError = Callable[[OSError], object]


def entries(
    image: Image, top: Path = b"/", *, follow: bool = False, xattrs: bool = False, on_error: OnError | None = None
) -> Iterator[Entry]:
    """All files of the directory `top`, itself included. `follow`: symbolic links are what they lead to. `xattrs`: with
    extended attributes.

    Raises OSError; with `on_error` that is told of what cannot be read below the top, and the walk goes on.
    """
    source = _Source(image, os.fsencode(top), follow, xattrs)
    found, status = source.look(b"", True)
    if not stat.S_ISDIR(status.mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), found.origin)
    yield found
    above = {status.ino}
    walk = [(b"", status.ino, source.children(b"", status.ino))]
    while walk:
        prefix, number, children = walk[-1]
        try:
            for name, known in children:
                if isinstance(known, OSError):
                    raise known
                path = prefix + name
                if follow and stat.S_ISLNK(known.mode):
                    found, known = source.look(path, True)
                else:
                    found = source.entry(path, known)
                if found.is_directory and known.ino in above:
                    raise OSError(errno.ELOOP, f"directory inode {known.ino} is met again", found.origin)
                yield found
                if stat.S_ISDIR(known.mode):
                    above.add(known.ino)
                    walk.append((path + b"/", known.ino, source.children(path + b"/", known.ino)))
                    break
            else:
                walk.pop()
                if follow:  # links lead to a directory more than once; in a sound tree nothing else does
                    above.discard(number)
        except OSError as error:
            if on_error is None:
                raise
            on_error(error)


def entry(image: Image, path: Path, *, follow: bool = False, xattrs: bool = False) -> Entry:
    """One file of any kind, as a top. Raises OSError."""
    return _Source(image, os.fsencode(path), follow, xattrs).look(b"", follow)[0]


class _Known(NamedTuple):
    """A name in a directory and what it is, or why that is not known."""

    name: bytes
    status: Stat | OSError


class _Source:
    """The files below `top` of `image`."""

    def __init__(self, image: Image, top: bytes, follow: bool, xattrs: bool) -> None:
        self.image = image
        self.fs: FileServer = image.system.vfs.root.fs
        self.top = absolute(top)
        self.xattrs = xattrs and self.fs.has_xattrs
        self.prefix = self.top if self.top.endswith(b"/") else self.top + b"/"

        self.ahead = _Ahead(self, [])

    def name_of(self, path: bytes) -> str:
        return self.image.name_of(self.prefix + path if path else self.top)

    def look(self, path: bytes, follow: bool) -> tuple[Entry, Stat]:
        """One file, by its path."""
        reader = self.image.reader
        full = self.prefix + path if path else self.top
        status: Stat = self.image.ask(self.name_of(path), reader.stat, full, follow)
        return self.entry(path, status), status

    def children(self, prefix: bytes, number: int) -> Iterator[_Known]:
        """What is in a directory, in the order of the names."""
        name = self.name_of(prefix)
        listed: list[DirEntry] = self.image.ask(name, self._list, number)
        for first in range(0, len(listed), BATCH):
            batch: list[_Known] = self.image.ask(name, self._attributes, number, prefix, listed[first : first + BATCH])
            self.ahead = _Ahead(self, [known for _, known in batch if isinstance(known, Stat)])
            yield from batch

    def entry(self, path: bytes, status: Stat) -> Entry:
        mode = status.mode
        made = Entry(path, mode, status.uid, status.gid, status.mtime, status.atime, status.ctime)
        made.origin = self.name_of(path)
        kind = mode & 0o170000
        if kind == stat.S_IFREG:
            if status.size:
                made.size = status.size
                made.runs = self._runs(status, made.origin)
                made.content = _Content(self, status.ino, made, self.ahead)
        elif kind == stat.S_IFLNK:
            made.target = self.image.ask(made.origin, self.held, status.ino, self.fs.readlink)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            made.rdev = status.rdev
        if status.nlink > 1 and kind != stat.S_IFDIR:
            made.link = (id(self.image), status.ino)
        if self.xattrs:
            made.xattrs = self.image.ask(made.origin, self.held, status.ino, self._xattrs_of) or None
        return made

    def _runs(self, status: Stat, name: str) -> Sequence[tuple[int, int]] | None:
        if status.blocks * 512 >= status.size <= PERHAPS_INDIRECT * status.blksize:
            return None
        runs: list[tuple[int, int]] = self.image.ask(name, self.held, status.ino, self.fs.data_runs, 0, status.size)
        return None if runs == [(0, status.size)] else runs

    async def _xattrs_of(self, number: int) -> dict[bytes, bytes]:
        return {name: await self.fs.getxattr(number, name) for name in await self.fs.listxattr(number)}

    async def _list(self, number: int) -> list[DirEntry]:
        found: list[DirEntry] = []
        position = 0
        await self.hold(number)
        try:
            while batch := await self.fs.getdents(number, position, BATCH):
                found += batch
                position = batch[-1].next
        finally:
            await self.fs.putnode(number, 1)
        return sorted((one for one in found if one.name not in (b".", b"..")), key=lambda one: one.name)

    async def _attributes(self, directory: int, prefix: bytes, batch: Sequence[DirEntry]) -> list[_Known]:
        found: list[_Known] = []
        for one, known in zip(batch, await self.fs.getnodes(batch), strict=True):
            if known is None:
                found.append(_Known(one.name, await self._why(directory, prefix, one)))
            else:
                await self.fs.putnode(one.ino, 1)
                if b"/" in one.name:
                    bad = OSError(errno.EUCLEAN, "a name with a slash in it", self.name_of(prefix + one.name))
                    found.append(_Known(one.name, bad))
                else:
                    found.append(_Known(one.name, known[1]))
        return found

    async def _why(self, directory: int, prefix: bytes, one: DirEntry) -> OSError:
        """Why a name leads to nothing."""
        name = self.name_of(prefix + one.name)
        try:
            await self.hold(directory)
            try:
                node = await self.fs.lookup_entry(directory, one.name)
                await self.fs.putnode(node.ino, 1)
            finally:
                await self.fs.putnode(directory, 1)
        except MinixFsError as error:
            return as_os_error(error, name)
        return OSError(errno.EUCLEAN, os.strerror(errno.EUCLEAN), name)

    async def hold(self, number: int) -> None:
        """Take a reference to an inode, by its number."""
        if (await self.fs.getnodes([DirEntry(number, 0, b"")]))[0] is None:
            raise Corrupt("the inode cannot be read", inode=number)

    async def held(self, number: int, request: Callable[..., object], *arguments: object) -> object:
        """The result of one request about an inode, which is in use meanwhile."""
        await self.hold(number)
        try:
            return await request(number, *arguments)  # type: ignore[misc]  # one of the file server's
        finally:
            await self.fs.putnode(number, 1)


class _Ahead:
    """The small files among some neighbours: with the first one that is asked for, those that follow are read too."""

    def __init__(self, source: _Source, neighbours: Sequence[Stat]) -> None:
        self._source = source
        self._sizes = {
            status.ino: status.size
            for status in neighbours
            if stat.S_ISREG(status.mode) and status.size <= SMALL and status.blocks * 512 >= status.size
        }
        self._data: dict[int, Data] = {}

    def take(self, number: int, name: str) -> Data | None:
        """All of a file, once; None for one that is to be read by itself."""
        if number in self._sizes:
            self._data.clear()
            chosen: list[int] = []
            size = 0
            for one in itertools.dropwhile(lambda one: one != number, list(self._sizes)):
                size += self._sizes[one]
                if size > PIECE:
                    break
                chosen.append(one)
                del self._sizes[one]
            try:
                found = self._source.image.ask(name, self._source.fs.read_files, chosen)
            except OSError:  # one by one, they will say which of them is to blame
                return None
            self._data.update(zip(chosen, found, strict=True))
        return self._data.pop(number, None)


class _Content:
    """The data of one file, read when it is asked for."""

    __slots__ = ("_ahead", "_entry", "_number", "_source")

    def __init__(self, source: _Source, number: int, entry: Entry, ahead: _Ahead) -> None:
        self._source = source
        self._number = number
        self._entry = entry
        self._ahead = ahead

    def __call__(self) -> Iterator[tuple[int, Data]]:
        source, number, size, name = self._source, self._number, self._entry.size, self._entry.origin
        whole = self._ahead.take(number, name) if self._entry.runs is None else None
        if whole is not None and len(whole) == size:
            yield 0, whole
            return
        for offset, length in self._entry.runs if self._entry.runs is not None else ((0, size),):
            end = offset + length
            while offset < end:
                part = min(end - offset, PIECE)
                data = source.image.ask(name, source.held, number, source.fs.read, offset, part)
                if len(data) < part:
                    raise OSError(errno.EIO, "the file became shorter while it was read", name)
                yield offset, data
                offset += part
