"""`HostSink`: entries become files below a directory of this host.

What only root may do is left out without a word where cp(1) does so for other users: owners, and some extended
attributes; so are those that the host's file system does not know. Device nodes are an error.
Files that were made by the sink and turn out to be symbolic links are not written through, so nothing that is carried
can lead out of the directory; a symbolic link that the user had there before is followed for a regular file's data.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Hashable, Iterator
from functools import partial

from minixfs.hw.blockdev.device import Data
from minixfs.trees.chain import Chain, checked
from minixfs.trees.entry import Entry
from minixfs.trees.sink import CarryError, Found, Keep, dense, started

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class HostSink:
    """Below `top`, an existing directory; `step` is called between two pieces of data, with their size in bytes."""

    def __init__(self, top: bytes, keep: Keep, step: Callable[[int], object] = lambda size: None) -> None:
        self.top = top
        self._keep = keep
        self._step = step
        self._uid = os.geteuid()
        self._fd = os.open(top or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._chain = Chain(self._fd, lambda fd, name: os.open(name, _DIRECTORY, dir_fd=fd), os.close)
        self._first: dict[Hashable, bytes] = {}
        self._symlinks: set[bytes] = set()
        self._directories: list[tuple[Entry, bool]] = []  # and whether the sink made it

    def name_of(self, path: bytes) -> str:
        return os.fsdecode(os.path.join(self.top, path) if path else self.top or b".")

    def find(self, path: bytes, *, follow: bool = False) -> Found | None:
        """Raises CarryError, but not for a missing directory above it."""
        try:
            fd, name = self._place(path)
            status = os.stat(name, dir_fd=fd, follow_symlinks=follow) if name else os.stat(fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CarryError("cannot stat {}", self.name_of(path), error) from error
        return Found(status.st_mode, (status.st_dev, status.st_ino), status.st_nlink, status.st_mtime_ns)

    def put(self, entry: Entry, *, data: bool = True) -> None:
        first = None if entry.link is None else self._first.get(entry.link)
        if first is not None:
            self.link(first, entry.path)
            return
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
        try:
            fd, name = self._place(existing)
            fd = os.dup(fd)
            try:
                target_fd, target = self._place(path)
                os.link(name, target, src_dir_fd=fd, dst_dir_fd=target_fd, follow_symlinks=False)
            finally:
                os.close(fd)
        except OSError as error:
            raise CarryError("cannot create hard link {}", self.name_of(path), error) from error

    def remove(self, path: bytes) -> None:
        try:
            fd, name = self._place(path)
            os.unlink(name, dir_fd=fd)
        except OSError as error:
            raise CarryError("cannot remove {}", self.name_of(path), error) from error

    def finish(self) -> None:
        """Raises the first CarryError, after all directories had their turn."""
        failed: CarryError | None = None
        while self._directories:
            entry, made = self._directories.pop()
            try:
                self._finish_file(self._chain.at(entry.path) if entry.path else self._fd, entry, made)
            except OSError as error:
                failed = failed or CarryError("preserving attributes of {}", self.name_of(entry.path), error)
        if failed is not None:
            raise failed

    def close(self) -> None:
        self._chain.close()
        os.close(self._fd)

    def _place(self, path: bytes) -> tuple[int, bytes]:
        """The directory and the name in it; no name for the top itself."""
        if not path:
            return self._fd, b""
        parent, _, name = path.rpartition(b"/")
        return self._chain.at(parent) if parent else self._fd, checked(name)

    def _put_directory(self, entry: Entry) -> None:
        mode = self._keep.mode_of(entry)
        made = False
        if entry.path:
            try:
                fd, name = self._place(entry.path)
                try:
                    os.mkdir(name, 0o700 | (0 if self._keep.mode else mode), dir_fd=fd)
                    made = True
                except FileExistsError:
                    if not stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                        raise
            except OSError as error:
                raise CarryError("cannot create directory {}", self.name_of(entry.path), error) from error
        if self._keep.any or (made and mode & 0o700 != 0o700):
            self._directories.append((entry, made))

    def _put_file(self, entry: Entry, data: bool) -> None:
        pieces = started(entry) if data else iter(())
        try:
            fd, is_new = self._open(entry, data)
        except OSError as error:
            raise CarryError("cannot create regular file {}", self.name_of(entry.path), error) from error
        try:
            if data:
                self._fill(fd, entry, pieces, is_new or stat.S_ISREG(os.fstat(fd).st_mode))
            if self._keep.any:
                try:
                    self._finish_file(fd, entry, True)
                except OSError as error:
                    raise CarryError("preserving attributes of {}", self.name_of(entry.path), error) from error
        finally:
            os.close(fd)

    def _open(self, entry: Entry, data: bool) -> tuple[int, bool]:
        """The file, empty if it is to get data, and whether it is new."""
        directory, name = self._place(entry.path)
        try:  # with a mode that nobody else has a use for, until it is complete
            return os.open(name, _NEW, 0o600 if self._keep.mode else self._keep.mode_of(entry), dir_fd=directory), True
        except FileExistsError:
            if entry.path in self._symlinks:
                raise OSError(errno.ELOOP, "a symbolic link that was just made is in its place") from None
            flags = os.O_WRONLY | os.O_CLOEXEC | (os.O_TRUNC if data else 0)
            return os.open(name, flags, dir_fd=directory), False

    def _fill(self, fd: int, entry: Entry, pieces: Iterator[tuple[int, Data]], seekable: bool) -> None:
        """Store the data; what reads it raises errors of its own."""
        end = 0
        for at, data in pieces if seekable else dense(pieces, entry.size):
            end = at + len(data)
            try:
                _write(fd, data, at if seekable else None)
            except OSError as error:
                raise CarryError("error writing {}", self.name_of(entry.path), error) from error
            self._step(len(data))
        if seekable and end < entry.size:
            try:
                os.ftruncate(fd, entry.size)
            except OSError as error:
                raise CarryError("error writing {}", self.name_of(entry.path), error) from error

    def _put_other(self, entry: Entry) -> None:
        doing = "cannot create symbolic link {}" if entry.is_symlink else "cannot create special file {}"
        try:
            fd, name = self._place(entry.path)
            if entry.is_symlink:
                os.symlink(entry.target, name, dir_fd=fd)
                self._symlinks.add(entry.path)
            else:
                mode = 0o600 if self._keep.mode else self._keep.mode_of(entry)
                os.mknod(name, stat.S_IFMT(entry.mode) | mode, entry.rdev, dir_fd=fd)
            doing = "preserving attributes of {}"
            keep = self._keep
            chown = partial(os.chown, name, dir_fd=fd, follow_symlinks=False)
            chowned = not keep.owner or self._chown(entry, chown)
            if keep.mode and not entry.is_symlink:
                os.chmod(name, _mode(entry, chowned), dir_fd=fd)
            for attribute, value in keep.xattrs_of(entry).items():
                _set_xattr(b"/proc/self/fd/%d/%b" % (fd, name), attribute, value)
            if keep.times:
                os.utime(name, ns=(entry.atime, entry.mtime), dir_fd=fd, follow_symlinks=False)
        except OSError as error:
            raise CarryError(doing, self.name_of(entry.path), error) from error

    def _finish_file(self, fd: int, entry: Entry, made: bool) -> None:
        """Give an open file or directory the attributes that it is to have."""
        keep = self._keep
        chowned = not keep.owner or self._chown(entry, partial(os.fchown, fd))
        if keep.mode:
            os.fchmod(fd, _mode(entry, chowned))
        elif made and entry.is_directory:
            os.fchmod(fd, keep.mode_of(entry))
        for attribute, value in keep.xattrs_of(entry).items():
            _set_xattr(fd, attribute, value)
        if keep.times:
            os.utime(fd, ns=(entry.atime, entry.mtime))

    def _chown(self, entry: Entry, chown: Callable[[int, int], object]) -> bool:
        """Whether the file has the owner that it is to have. Only root gives files away, as with cp."""
        if self._uid == 0:
            chown(entry.uid, entry.gid)
            return True
        try:
            chown(-1, entry.gid)
        except PermissionError:
            return False
        return entry.uid == self._uid


def _mode(entry: Entry, chowned: bool) -> int:
    """Set-id bits belong to an owner."""
    return stat.S_IMODE(entry.mode) & (0o7777 if chowned else ~0o6000)


def _set_xattr(file: int | bytes, name: bytes, value: bytes) -> None:
    """Of an open file, or of the file at a path."""
    try:
        if isinstance(file, int):
            os.setxattr(file, name, value)
        else:
            os.setxattr(file, name, value, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EPERM):
            raise


def _write(fd: int, data: Data, at: int | None) -> None:
    """Store all of `data`; without an offset where the file stands."""
    view = memoryview(data)
    while view:
        if at is None:
            count = os.write(fd, view)
        else:
            count = os.pwrite(fd, view, at)
            at += count
        view = view[count:]
