"""`Image`: the files of one image as plain synchronous Python.

    with Image("disk.img:p0s1") as image:             for reading;  Image(spec, "r+") to change it
        for directory, directories, files in image.walk("/"):
            ...
        with image.open("/etc/passwd") as file:
            print(file.read())

Everything is named after its twin in `os`, takes paths as text or bytes and answers in kind, and raises the OSErrors
that a mounted file system would (their `filename` is ``IMAGE:/path``). Paths are absolute; one without a leading slash
begins at the root too. The caller acts as the super-user. Opening raises `minixfs.errors.MinixFsError` instead, with a
message that says what to do.

Changes are on stable storage after `sync` or `close`. The image is locked while it is open: shared for reading,
exclusively for changing.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, AnyStr, Self

from minixfs.daemon.assemble import Assembly
from minixfs.daemon.options import MountOptions
from minixfs.daemon.process import Process, Synchronous
from minixfs.daemon.vfs import Vfs
from minixfs.errors import MinixFsError, UsageError
from minixfs.fs.protocol import DirEntry, Stat, TimeUpdate
from minixfs.fs.server import PATH_MAX
from minixfs.hw.runtime import run
from minixfs.image.file import as_os_error, open_file

CACHE_SIZE = 8 << 20
"""Bytes. File data does not go through the cache; this holds bitmaps, inodes and directories."""
BATCH = 1024
"""Directory entries read at a time."""

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""Where a file is in the image."""


class Image:
    """One open image. `spec` is what it was opened by, `writable` whether it can be changed, `process` the system calls
    themselves, for what has no method here (descriptors, their errors are MinixFsErrors)."""

    def __init__(self, spec: str | os.PathLike[str], mode: str = "r", *, cache_size: int = CACHE_SIZE) -> None:
        """Open everything that ``minixfs mount`` takes; `mode` is "r" or "r+"; `cache_size` in bytes.

        Raises MinixFsError; ValueError for another mode.
        """
        if mode not in ("r", "r+"):
            raise ValueError(f"an image is opened with 'r' or 'r+', not {mode!r}")
        logging.getLogger("minixfs").addHandler(logging.NullHandler())  # what is found on the way arrives as an error
        self.spec = os.fspath(spec)
        self.writable = mode == "r+"
        self._assembly = Assembly(Vfs(), MountOptions(ro=not self.writable, cache_size=cache_size))
        self._open = True
        try:
            warnings = run(self._assembly.mount_root(self.spec))
            self.process: Any = Synchronous(Process(self._assembly.vfs, umask=0))
            if self.writable and self.process.statvfs(b"/").read_only:
                raise UsageError(next(iter(warnings), f"{self.spec}: cannot be changed"))
        except BaseException:
            self._close()
            raise

    def close(self) -> None:
        """Write all changes and let the image go, the latter even if the former fails. Raises OSError."""
        if self._open:
            try:
                self._close()
            except MinixFsError as error:
                raise as_os_error(error, self.spec) from error

    def _close(self) -> None:
        self._open = False
        try:
            if hasattr(self, "process"):
                self.process.exit()
        finally:
            run(self._assembly.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Image {self.spec}{', writable' if self.writable else ''}{'' if self._open else ', closed'}>"

    def sync(self) -> None:
        """Return when all changes are on stable storage."""
        try:
            self.process.sync()
        except MinixFsError as error:
            raise as_os_error(error, self.spec) from error

    # ---- looking ---------------------------------------------------------------------------------------------------

    def stat(self, path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        call = self.process.stat if follow_symlinks else self.process.lstat
        return stat_result(self._do(path, call))

    def lstat(self, path: Path) -> os.stat_result:
        return self.stat(path, follow_symlinks=False)

    def statvfs(self, path: Path = "/") -> os.statvfs_result:
        found = self._do(path, self.process.statvfs)
        flags = os.ST_RDONLY if found.read_only else 0
        return os.statvfs_result((
            found.bsize, found.frsize, found.blocks, found.bfree, found.bavail,
            found.files, found.ffree, found.ffree, flags, found.namemax,
        ))  # fmt: skip

    def exists(self, path: Path) -> bool:
        return self._mode(path) is not None

    def lexists(self, path: Path) -> bool:
        return self._mode(path, follow_symlinks=False) is not None

    def isdir(self, path: Path) -> bool:
        return stat.S_ISDIR(self._mode(path) or 0)

    def isfile(self, path: Path) -> bool:
        return stat.S_ISREG(self._mode(path) or 0)

    def islink(self, path: Path) -> bool:
        return stat.S_ISLNK(self._mode(path, follow_symlinks=False) or 0)

    def readlink(self, path: AnyStr) -> AnyStr:
        return like(path, self._do(path, self.process.readlink))

    def listdir(self, path: AnyStr = "/") -> list[AnyStr]:  # type: ignore[assignment]  # as os.listdir has it
        """The names in a directory, in the order of their bytes, without ``.`` and ``..``."""
        return [like(path, entry.name) for entry in self.entries(path)]

    def entries(self, path: Path) -> list[DirEntry]:
        """The raw entries of a directory (inode number and name), in the order of their names."""

        def read(path: bytes) -> list[DirEntry]:
            descriptor = self.process.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                found: list[DirEntry] = []
                while batch := self.process.getdents(descriptor, BATCH):
                    found += batch
                return found
            finally:
                self.process.close(descriptor)

        found: list[DirEntry] = self._do(path, read)
        return sorted((entry for entry in found if entry.name not in (b".", b"..")), key=lambda entry: entry.name)

    def walk(
        self,
        top: AnyStr = "/",  # type: ignore[assignment]  # as os.walk has it
        onerror: Callable[[OSError], object] | None = None,
    ) -> Iterator[tuple[AnyStr, list[AnyStr], list[AnyStr]]]:
        """As os.walk from the top down: directory, directories in it, files in it; links are files. Changing the list
        of directories chooses where to go. A directory that is met again (a loop in a bad image) is an OSError."""
        waiting = [top]
        seen: set[int] = set()
        while waiting:
            directory = waiting.pop()
            directories: list[AnyStr] = []
            files: list[AnyStr] = []
            try:
                number = self.stat(directory).st_ino
                if number in seen:
                    raise OSError(errno.ELOOP, f"directory inode {number} is met again", self.name_of(directory))
                seen.add(number)
                for name in self.listdir(directory):
                    is_directory = stat.S_ISDIR(self.lstat(join(directory, name)).st_mode)
                    (directories if is_directory else files).append(name)
            except OSError as error:
                if onerror is not None:
                    onerror(error)
                continue
            yield directory, directories, files
            waiting += [join(directory, name) for name in reversed(directories)]

    # ---- file contents ---------------------------------------------------------------------------------------------

    def open(
        self,
        path: Path,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """As the builtin ``open``. Close the files before the image."""
        name = self.name_of(path)
        return open_file(self.process, self._reach(path), name, mode, buffering, encoding, errors, newline)

    def read_bytes(self, path: Path) -> bytes:
        with self.open(path, "rb", 0) as file:
            data: bytes = file.read()
            return data

    def write_bytes(self, path: Path, data: bytes) -> int:
        """Make the file hold `data` and nothing else; returns the number of bytes."""
        with self.open(path, "wb") as file:
            return file.write(data)

    def truncate(self, path: Path, size: int) -> None:
        self._do(path, self.process.truncate, size)

    # ---- names -----------------------------------------------------------------------------------------------------

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        self._do(path, self.process.mkdir, mode)

    def makedirs(self, path: AnyStr, mode: int = 0o777, exist_ok: bool = False) -> None:
        """As os.makedirs: also the directories above."""
        slash = like(path, b"/")
        parts = [part for part in path.split(slash) if part]
        for depth in range(1, len(parts)):
            with suppress(FileExistsError):
                self.mkdir(slash + slash.join(parts[:depth]), mode)
        try:
            self.mkdir(path, mode)
        except FileExistsError:
            if not exist_ok or not self.isdir(path):
                raise

    def rmdir(self, path: Path) -> None:
        self._do(path, self.process.rmdir)

    def remove(self, path: Path) -> None:
        self._do(path, self.process.unlink)

    unlink = remove

    def rename(self, old: Path, new: Path) -> None:
        """Move within the image; what was at `new` is replaced."""
        self._do(old, lambda source: self.process.rename(source, absolute(new)))

    def link(self, existing: Path, new: Path) -> None:
        self._do(new, lambda path: self.process.link(absolute(existing), path))

    def symlink(self, target: str | bytes, path: Path) -> None:
        self._do(path, lambda path: self.process.symlink(os.fsencode(target), path))

    def mknod(self, path: Path, mode: int, device: int = 0) -> None:
        """`device` is a number as os.makedev makes it. Raises OSError (EOVERFLOW) for one the format cannot hold."""
        major, minor = os.major(device), os.minor(device)
        if major > 0xFF or minor > 0xFF:
            raise OSError(errno.EOVERFLOW, f"device number {major}:{minor} does not fit", self.name_of(path))
        self._do(path, self.process.mknod, mode, major << 8 | minor)

    # ---- attributes ------------------------------------------------------------------------------------------------

    def chmod(self, path: Path, mode: int) -> None:
        self._do(path, self.process.chmod, mode)

    def chown(self, path: Path, uid: int, gid: int, *, follow_symlinks: bool = True) -> None:
        """-1 keeps an id."""
        self._do(path, self.process.chown, uid, gid, follow=follow_symlinks)

    def utime(
        self, path: Path, times: tuple[float, float] | None = None, *, ns: tuple[int, int] | None = None,
        follow_symlinks: bool = True,
    ) -> None:  # fmt: skip
        """Access and modification time: now, `times` in seconds, or `ns` in nanoseconds since 1970."""
        if ns is None and times is not None:
            ns = round(times[0] * 10**9), round(times[1] * 10**9)
        atime, mtime = ns or (TimeUpdate.NOW, TimeUpdate.NOW)
        self._do(path, self.process.utimens, atime, mtime, follow=follow_symlinks)

    # ---- paths -----------------------------------------------------------------------------------------------------

    def name_of(self, path: Path) -> str:
        """What a message calls a file of this image."""
        return f"{self.spec}:/{os.fsdecode(os.fspath(path)).lstrip('/')}"

    def _mode(self, path: Path, *, follow_symlinks: bool = True) -> int | None:
        try:
            return self.stat(path, follow_symlinks=follow_symlinks).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _do(self, path: Path, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return call(self._reach(path), *arguments, **options)
        except MinixFsError as error:
            raise as_os_error(error, self.name_of(path)) from error

    def _reach(self, path: Path) -> bytes:
        """`path` as one call takes it. Deep trees have longer paths; for these the working directory goes along."""
        raw = absolute(path)
        if len(raw) < PATH_MAX:
            return raw
        *parents, name = [part for part in raw.split(b"/") if part]
        self.process.chdir(b"/")
        for part in parents:
            self.process.chdir(part)
        return name


def absolute(path: Path) -> bytes:
    """A path of an image as bytes from the root."""
    return b"/" + os.fsencode(path).lstrip(b"/")


def join(directory: AnyStr, name: AnyStr) -> AnyStr:
    slash = like(directory, b"/")
    return directory.rstrip(slash) + slash + name


def like(path: AnyStr, raw: bytes) -> AnyStr:
    """`raw` as text if `path` is text."""
    return raw if isinstance(path, bytes) else os.fsdecode(raw)


def stat_result(found: Stat) -> os.stat_result:
    """Attributes as os.stat gives them."""
    seconds = tuple(time // 10**9 for time in (found.atime, found.mtime, found.ctime))
    return os.stat_result(
        (found.mode, found.ino, 0, found.nlink, found.uid, found.gid, found.size, *seconds),
        {
            "st_atime": found.atime / 10**9,
            "st_mtime": found.mtime / 10**9,
            "st_ctime": found.ctime / 10**9,
            "st_atime_ns": found.atime,
            "st_mtime_ns": found.mtime,
            "st_ctime_ns": found.ctime,
            "st_blksize": found.blksize,
            "st_blocks": found.blocks,
            "st_rdev": os.makedev(found.rdev >> 8, found.rdev & 0xFF),
        },
    )
