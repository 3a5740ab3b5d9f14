"""A directory of the host as a source of entries.

`entries(top)` walks the tree below `top`, symbolic links as links, without ever holding more than the names of the
directories on the way; `entry` is for one file; `take_content` gives any entry the content of a host file. What they
say of a file was true when they met it; a file that vanishes, or that is shorter when its content is read, is an
OSError that names it. Access times of what may be read so are left as they are.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence

from minixfs.trees.entry import PIECE, Entry

_PATH_MAX = 4096
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
"""A file may have become something else since it was met: then nothing waits."""

_NAMES = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
_KEPT = ("user.", "trusted.", "security.", "system.posix_acl_")
"""Extended attributes that belong to a file wherever it is."""

OnError = Callable[[OSError], object]


def entries(
    top: str | bytes,
    *,
    one_file_system: bool = False,
    follow: bool = False,
    xattrs: bool = False,
    on_error: OnError | None = None,
) -> Iterator[Entry]:
    """All files of the directory `top`, itself included, as `minixfs.trees.entry` has it.

    `one_file_system`: directories on which something else is mounted are taken as empty. `follow`: symbolic links are
    what they lead to. `xattrs`: with extended attributes. Raises OSError; with `on_error` that is told of what cannot
    be read below the top, and the walk goes on.
    """
    base = os.fsencode(top)
    found = os.stat(base)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), base)
    device = found.st_dev
    first = _entry(b"", base, found, True)
    if xattrs:
        first.xattrs = _xattrs(base, True)
    yield first
    prefix = base if base.endswith(b"/") else base + b"/"
    walk = [(b"", iter(_names(base)), (found.st_dev, found.st_ino))]
    while walk:
        directory, names, _ = walk[-1]
        try:
            for name in names:
                path = directory + name
                full = prefix + path
                found = _status(full, follow)
                entry = _entry(path, full, found, follow)
                if xattrs:
                    entry.xattrs = _xattrs(full, follow)
                if not stat.S_ISDIR(found.st_mode):
                    yield entry
                    continue
                identity = (found.st_dev, found.st_ino)
                if follow and any(identity == above for _, _, above in walk):
                    raise OSError(errno.ELOOP, "a symbolic link leads back to a directory above it", full)
                yield entry
                if found.st_dev == device or not one_file_system:
                    walk.append((path + b"/", iter(_names(full)), identity))
                    break
            else:
                walk.pop()
        except OSError as error:
            if on_error is None:
                raise
            on_error(error)


def entry(path: str | bytes, *, follow: bool = False, xattrs: bool = False) -> Entry:
    """One file of any kind, as a top. Raises OSError."""
    full = os.fsencode(path)
    found = _entry(b"", full, _status(full, follow), follow)
    if xattrs:
        found.xattrs = _xattrs(full, follow)
    return found


class _Content:
    """The data of one host file, read when it is asked for: its first `size` bytes, or `runs` of them."""

    __slots__ = ("flags", "path", "runs", "size")

    def __init__(self, path: bytes, flags: int, size: int, runs: Sequence[tuple[int, int]] | None) -> None:
        self.path = path
        self.flags = flags
        self.size = size
        self.runs = runs

    def __call__(self) -> Iterator[tuple[int, bytes]]:
        descriptor = _open(self.path, self.flags)
        try:
            for offset, length in ((0, self.size),) if self.runs is None else self.runs:
                end = offset + length
                while offset < end:
                    data = os.pread(descriptor, min(end - offset, PIECE), offset)
                    if not data:
                        raise OSError(errno.EIO, "the file became shorter while it was read")
                    yield offset, data
                    offset += len(data)
        except OSError as error:
            error.filename = self.path  # which the calls on descriptors do not know
            raise
        finally:
            os.close(descriptor)


def _entry(path: bytes, full: bytes, found: os.stat_result, follow: bool) -> Entry:
    mode = found.st_mode
    entry = Entry(
        path,
        mode,
        found.st_uid,
        found.st_gid,
        found.st_mtime_ns,
        found.st_atime_ns,
        found.st_ctime_ns,
        origin=full.decode(*_NAMES),
    )
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFREG:
        take_content(entry, full, found, follow=follow)
    elif kind == stat.S_IFLNK:
        entry.target = _readlink(full)
    elif kind != stat.S_IFDIR:
        entry.rdev = found.st_rdev
    if found.st_nlink > 1 and kind != stat.S_IFDIR:
        entry.link = (found.st_dev, found.st_ino)
    return entry


def take_content(entry: Entry, path: bytes, found: os.stat_result, *, follow: bool = False) -> None:
    """Let the regular file `path` with attributes `found` be the content of `entry`. Raises OSError."""
    size = found.st_size
    if size:
        flags = _READ if follow else _READ | os.O_NOFOLLOW
        entry.size = size
        entry.runs = _runs(path, flags, size) if found.st_blocks * 512 < size else None
        entry.content = _Content(path, flags, size, entry.runs)


def _runs(path: bytes, flags: int, size: int) -> list[tuple[int, int]] | None:
    """Where the file has data; None when it has no holes, or the host cannot tell."""
    runs: list[tuple[int, int]] = []
    descriptor = _open(path, flags)
    try:
        end = 0
        while end < size:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
            if start >= size:
                break
            end = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
            runs.append((start, end - start))
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        if error.errno != errno.ENXIO:  # no more data
            raise
    finally:
        os.close(descriptor)
    return None if runs == [(0, size)] else runs


def _xattrs(path: bytes, follow: bool) -> dict[bytes, bytes] | None:
    """The extended attributes; None if there are none, also on hosts that have no such thing."""
    try:
        names = _listxattr(path, follow)
        if not names:
            return None
        found = {os.fsencode(name): _getxattr(path, name, follow) for name in names if name.startswith(_KEPT)}
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return None
        raise
    return found or None


# ---- paths, also those that are too long for one system call ---------------------------------------------------------


def _open(path: bytes, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:  # O_NOATIME is for owners
        return os.open(path, flags)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
    parent = _parent(path)
    try:
        return os.open(os.path.basename(path), flags, dir_fd=parent)
    finally:
        os.close(parent)


def _names(path: bytes) -> list[bytes]:
    """The names in a directory, in the order of their bytes."""
    if len(path) < _PATH_MAX:
        return sorted(os.listdir(path))
    descriptor = _open(path, _READ | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        return sorted(map(os.fsencode, os.listdir(descriptor)))
    finally:
        os.close(descriptor)


def _status(path: bytes, follow: bool) -> os.stat_result:
    if len(path) < _PATH_MAX:
        return os.stat(path, follow_symlinks=follow)
    parent = _parent(path)
    try:
        return os.stat(os.path.basename(path), dir_fd=parent, follow_symlinks=follow)
    finally:
        os.close(parent)


def _readlink(path: bytes) -> bytes:
    if len(path) < _PATH_MAX:
        return os.readlink(path)
    parent = _parent(path)
    try:
        return os.readlink(os.path.basename(path), dir_fd=parent)
    finally:
        os.close(parent)


def _listxattr(path: bytes, follow: bool) -> list[str]:
    if len(path) < _PATH_MAX:
        return os.listxattr(path, follow_symlinks=follow)
    parent = _parent(path)
    try:
        return os.listxattr(_through(parent, path), follow_symlinks=follow)
    finally:
        os.close(parent)


def _getxattr(path: bytes, name: str, follow: bool) -> bytes:
    if len(path) < _PATH_MAX:
        return os.getxattr(path, name, follow_symlinks=follow)
    parent = _parent(path)
    try:
        return os.getxattr(_through(parent, path), name, follow_symlinks=follow)
    finally:
        os.close(parent)


def _through(parent: int, path: bytes) -> bytes:
    """A short name of `path` for calls that take no directory, by that of its open parent."""
    return b"/proc/self/fd/%d/%b" % (parent, os.path.basename(path))


def _parent(path: bytes) -> int:
    """The directory that holds `path`, opened step by step."""
    flags = os.O_PATH | os.O_DIRECTORY
    head, *parts = os.path.dirname(path).split(b"/")
    descriptor = os.open(head or b"/", flags)
    for part in parts:
        if part:
            outer = descriptor
            try:
                descriptor = os.open(part, flags | os.O_NOFOLLOW, dir_fd=outer)
            finally:
                os.close(outer)
    return descriptor
