"""`ImageSink`: entries become files below a directory of an image.

It makes requests of the file server itself, as the super-user, without VFS; no file that it changes may be open. What
the format cannot hold (a name, an owner, a time, a device number) is an error for that file.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Coroutine, Hashable
from typing import Any

from minixfs.errors import Exists, MinixFsError, NotDirectory, PosixError
from minixfs.fs.protocol import DirEntry, FileServer, Node
from minixfs.hw.blockdev.device import Data
from minixfs.image.image import Image
from minixfs.image.paths import absolute, join
from minixfs.trees.chain import Chain, checked
from minixfs.trees.entry import Entry
from minixfs.trees.sink import CarryError, Found, Keep, started

_XATTR_NAME_MAX = 255


class ImageSink:
    """Below `top`, an existing directory; `step` is called between two pieces of data, with their size in bytes.

    Raises OSError when `top` is no directory.
    """

    def __init__(self, image: Image, top: bytes, keep: Keep, step: Callable[[int], object] = lambda size: None) -> None:
        self.image = image
        self.top = absolute(top)
        self._keep = keep
        self._step = step
        self._fs: FileServer = image.system.vfs.root.fs
        self._first: dict[Hashable, bytes] = {}
        self._symlinks: set[bytes] = set()
        self._directories: list[Entry] = []
        name = self.name_of(b"")
        self._top = image.ask(name, image.reader.hold, self.top)
        if not stat.S_ISDIR(self._top.mode):
            image.reader.release(self._top.ino)
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
        self._chain = Chain(
            self._top.ino,
            lambda number, name: self._ask(self._enter, number, name),
            lambda number: self._ask(self._fs.putnode, number, 1),
        )

    def name_of(self, path: bytes) -> str:
        return self.image.name_of(join(self.top, path) if path else self.top)

    def find(self, path: bytes, *, follow: bool = False) -> Found | None:
        """Raises CarryError, but not for a missing directory above it."""
        try:
            found = self._ask(self.image.reader.stat, join(self.top, path), follow)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CarryError("cannot stat {}", self.name_of(path), error) from error
        return Found(found.mode, (id(self.image), found.ino), found.nlink, found.mtime)

    def put(self, entry: Entry, *, data: bool = True) -> None:
        first = None if entry.link is None else self._first.get(entry.link)
        if first is not None:
            self.link(first, entry.path)
            return
        if self._keep.times and not self._fs.time_min <= entry.mtime < self._fs.time_max + self._fs.granularity:
            raise CarryError("cannot keep the time of {}", self.name_of(entry.path), errno.EOVERFLOW)
        if entry.is_file:
            self._put_file(entry, data)
        elif entry.is_directory:
            self._put_directory(entry)
        else:
            self._put_other(entry)
        if entry.link is not None:
            self._first[entry.link] = entry.path

    def knows(self, entry: Entry) -> bool:
        return entry.link in self._first

    def link(self, existing: bytes, path: bytes) -> None:
        with _Doing("cannot create hard link {}", self, path):
            found = self._ask(self._fs.lookup_entry, *self._place(existing))
            try:
                self._ask(self._fs.link, found.ino, *self._place(path))
            finally:
                self._ask(self._fs.putnode, found.ino, 1)

    def remove(self, path: bytes) -> None:
        with _Doing("cannot remove {}", self, path):
            self._ask(self._fs.unlink, *self._place(path))

    def finish(self) -> None:
        """Raises the first CarryError, after all directories had their turn."""
        failed: CarryError | None = None
        while self._directories:
            entry = self._directories.pop()
            try:
                with _Doing("preserving attributes of {}", self, entry.path):
                    if entry.path:
                        self._ask(self._finish_directory, self._chain.at(entry.path), entry)
                    else:
                        self._finish_top(entry)
            except CarryError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def _finish_top(self, entry: Entry) -> None:
        """By VFS, which has the root directory in use and must know."""
        if self._keep.owner:
            self.image.chown(self.top, entry.uid, entry.gid)
        if self._keep.mode:
            self.image.chmod(self.top, stat.S_IMODE(entry.mode))
        for name, value in self._xattrs(entry).items():
            self.image.setxattr(self.top, name, value)
        if self._keep.times:
            self.image.utime(self.top, ns=(entry.atime, entry.mtime))

    def close(self) -> None:
        self._chain.close()
        self.image.reader.release(self._top.ino)

    # ---- the kinds of files ----------------------------------------------------------------------------------------

    def _put_directory(self, entry: Entry) -> None:
        if entry.path:
            directory, name = self._place(entry.path)
            mode = stat.S_IFDIR | self._keep.mode_of(entry)
            with _Doing("cannot create directory {}", self, entry.path):
                self._ask(self._make_directory, directory, name, mode, *self._owner(entry))
        if self._keep.any:
            self._directories.append(entry)

    def _put_file(self, entry: Entry, data: bool) -> None:
        pieces = started(entry) if data else iter(())
        directory, name = self._place(entry.path)
        with _Doing("cannot create regular file {}", self, entry.path):
            number, made = self._ask(self._create, directory, name, entry, data)
        try:
            end = 0
            for at, piece in pieces:
                with _Doing("error writing {}", self, entry.path):
                    self._ask(self._write, number, at, piece)
                end = at + len(piece)
                self._step(len(piece))
            if data and end < entry.size:
                with _Doing("error writing {}", self, entry.path):
                    self._ask(self._fs.truncate, number, entry.size)
            with _Doing("preserving attributes of {}", self, entry.path):
                self._ask(self._finish_file, number, entry, made)
        finally:
            self._ask(self._fs.putnode, number, 1)

    def _put_other(self, entry: Entry) -> None:
        directory, name = self._place(entry.path)
        doing = "cannot create symbolic link {}" if entry.is_symlink else "cannot create special file {}"
        with _Doing(doing, self, entry.path):
            self._ask(self._make_other, directory, name, entry)
        if self._keep.times or entry.xattrs:
            with _Doing("preserving attributes of {}", self, entry.path):
                self._ask(self._finish_other, directory, name, entry)

    def _owner(self, entry: Entry) -> tuple[int, int]:
        return (entry.uid, entry.gid) if self._keep.owner else (0, 0)

    def _place(self, path: bytes) -> tuple[int, bytes]:
        """The directory and the name in it. Raises CarryError."""
        parent, _, name = path.rpartition(b"/")
        with _Doing("cannot reach {}", self, path):
            return self._chain.at(parent), checked(name)

    def _ask(self, request: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
        return self.image.ask(self.image.spec, request, *arguments)

    # ---- what is made of several requests --------------------------------------------------------------------------

    async def _enter(self, directory: int, name: bytes) -> int:
        node = await self._fs.lookup_entry(directory, name)
        if not stat.S_ISDIR(node.mode):
            await self._fs.putnode(node.ino, 1)
            raise NotDirectory
        return node.ino

    async def _make_directory(self, directory: int, name: bytes, mode: int, uid: int, gid: int) -> None:
        try:
            await self._fs.mkdir(directory, name, mode, uid, gid)
        except Exists:
            try:
                await self._fs.putnode(await self._enter(directory, name), 1)
            except NotDirectory:
                raise Exists from None

    async def _create(self, directory: int, name: bytes, entry: Entry, data: bool) -> tuple[int, bool]:
        """A regular file, in use, empty if it is to get data, and whether it is new."""
        mode = stat.S_IFREG | self._keep.mode_of(entry)
        try:
            node: Node = await self._fs.create(directory, name, mode, *self._owner(entry))
        except Exists:
            node = await self._fs.lookup_entry(directory, name)
            try:
                if stat.S_ISLNK(node.mode) and entry.path not in self._symlinks:
                    node = await self._followed(node, join(self.top, entry.path))
                if not stat.S_ISREG(node.mode):
                    raise
                if data:
                    await self._fs.truncate(node.ino, 0)
            except BaseException:
                await self._fs.putnode(node.ino, 1)
                raise
            return node.ino, False
        return node.ino, True

    async def _followed(self, link: Node, path: bytes) -> Node:
        """What a symbolic link leads to, in exchange for the link."""
        found = await self.image.reader.hold(path)
        try:
            await self._fs.getnodes([DirEntry(found.ino, 0, b"")])
        finally:
            self.image.reader.release(found.ino)
        await self._fs.putnode(link.ino, 1)
        return found

    async def _write(self, number: int, at: int, data: Data) -> None:
        written = await self._fs.write(number, at, data)
        while written < len(data):  # the disk is full: asked for the rest, it says so
            written += await self._fs.write(number, at + written, memoryview(data)[written:])

    async def _finish_file(self, number: int, entry: Entry, made: bool) -> None:
        keep = self._keep
        if keep.owner and not made:
            await self._fs.chown(number, entry.uid, entry.gid)
        if keep.mode and (not made or entry.mode & 0o6000):  # writing takes set-id bits away
            await self._fs.chmod(number, stat.S_IMODE(entry.mode))
        await self._set_xattrs(number, entry)
        if keep.times:
            await self._fs.utime(number, entry.atime, entry.mtime)

    async def _finish_directory(self, number: int, entry: Entry) -> None:
        if self._keep.owner:
            await self._fs.chown(number, entry.uid, entry.gid)
        if self._keep.mode:
            await self._fs.chmod(number, stat.S_IMODE(entry.mode))
        await self._set_xattrs(number, entry)
        if self._keep.times:
            await self._fs.utime(number, entry.atime, entry.mtime)

    async def _make_other(self, directory: int, name: bytes, entry: Entry) -> None:
        owner = self._owner(entry)
        if entry.is_symlink:
            await self._fs.symlink(directory, name, entry.target, *owner)
            self._symlinks.add(entry.path)
            return
        mode = stat.S_IFMT(entry.mode) | self._keep.mode_of(entry)
        await self._fs.mknod(directory, name, mode, *owner, entry.rdev if entry.is_device else 0)

    async def _finish_other(self, directory: int, name: bytes, entry: Entry) -> None:
        node = await self._fs.lookup_entry(directory, name)
        try:
            await self._set_xattrs(node.ino, entry)
            if self._keep.times:
                await self._fs.utime(node.ino, entry.atime, entry.mtime)
        finally:
            await self._fs.putnode(node.ino, 1)

    async def _set_xattrs(self, number: int, entry: Entry) -> None:
        for name, value in self._xattrs(entry).items():
            try:
                await self._fs.setxattr(number, name, value)
            except PosixError as error:
                if error.errno != errno.EOPNOTSUPP:  # the format has no place for names of this kind
                    raise

    def _xattrs(self, entry: Entry) -> dict[bytes, bytes]:
        """The extended attributes that the file is to have and can have."""
        if not self._fs.has_xattrs or not entry.xattrs:
            return {}
        found = self._keep.xattrs_of(entry)
        if any(len(name) > _XATTR_NAME_MAX for name in found):
            raise PosixError(errno.ERANGE)
        plain = entry.is_file or entry.is_directory
        return {name: value for name, value in found.items() if plain or not name.startswith(b"user.")}


class _Doing:
    """Errors of the image in this block are CarryErrors about `path`; `doing` is their beginning."""

    __slots__ = ("_doing", "_path", "_sink")

    def __init__(self, doing: str, sink: ImageSink, path: bytes) -> None:
        self._doing = doing
        self._sink = sink
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | MinixFsError) and not isinstance(error, CarryError):
            raise CarryError(self._doing, self._sink.name_of(self._path), error) from error
