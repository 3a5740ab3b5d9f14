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

Changes are on stable storage after `sync` or `close`; a program that ends without them closes its images on the way
out. The image is locked while it is open: shared for reading, exclusively for changing. Threads may share an image: one
call runs at a time. After a fork the child may go on reading an image that was opened for reading; one that can be
changed stays with the parent and is closed in the child. Ctrl-C arrives between two calls, not in one
(`minixfs.image.guard`). Using what is closed is a ValueError.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import IO, Any, AnyStr

from minixfs.errors import MinixFsError
from minixfs.fs.protocol import DirEntry as RawEntry
from minixfs.fs.protocol import Stat, TimeUpdate
from minixfs.fs.server import PATH_MAX
from minixfs.image.attributes import DirEntry, stat_result, statvfs_result
from minixfs.image.file import as_os_error, open_file
from minixfs.image.paths import Path, absolute, join, like
from minixfs.image.session import CACHE_SIZE, Session

UMASK = 0o022
"""What new files do not grant, whoever runs the program: the same script makes the same image."""


class Image(Session):
    """The files of an open image; see `Session` for how it is opened, and for its attributes."""

    @property
    def granularity(self) -> int:
        """Times of files are multiples of so many nanoseconds."""
        return self.system.vfs.root.fs.granularity

    @property
    def type(self) -> str:
        """The type of the file system, as mount(8) calls it: minix, ext2."""
        kind = self.system.vfs.root.fs.kind
        return "minix" if kind == "mfs" else kind

    @property
    def has_xattrs(self) -> bool:
        """Whether files have extended attributes."""
        return self.system.vfs.root.fs.has_xattrs

    # ---- looking ---------------------------------------------------------------------------------------------------

    def stat(self, path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        return stat_result(self.attributes(path, follow_symlinks=follow_symlinks))

    def lstat(self, path: Path) -> os.stat_result:
        return self.stat(path, follow_symlinks=False)

    def attributes(self, path: Path, *, follow_symlinks: bool = True) -> Stat:
        """What `stat` is made of, as the file server has it."""
        found: Stat = self._look(path, self.reader.stat, follow_symlinks)
        return found

    def statvfs(self, path: Path = "/") -> os.statvfs_result:
        return statvfs_result(self._look(path, self.reader.statvfs))

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
        return like(path, self._look(path, self.reader.readlink))

    def listdir(self, path: AnyStr = "/") -> list[AnyStr]:  # type: ignore[assignment]  # as os.listdir has it
        """The names in a directory, in the order of their bytes, without ``.`` and ``..``."""
        return [like(path, entry.name) for entry in self.entries(path)]

    def entries(self, path: Path) -> list[RawEntry]:
        """The raw entries of a directory (inode number and name), in the order of their names."""
        found: list[RawEntry] = self._look(path, self.reader.entries)
        return found

    def scandir(self, path: AnyStr = "/") -> list[DirEntry[AnyStr]]:  # type: ignore[assignment]  # as os.scandir has it
        """What is in a directory with all its attributes, in the order of the names: much quicker than asking for each.
        It is a list, read at once: there is nothing to close."""
        return [
            DirEntry(self, name := like(path, raw), join(path, name), ino, known)
            for raw, ino, known in self._look(path, self.reader.scan)
        ]

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
                number = self.attributes(directory).ino
                if number in seen:
                    raise OSError(errno.ELOOP, f"directory inode {number} is met again", self.name_of(directory))
                seen.add(number)
                for entry in self.scandir(directory):
                    known = entry.attributes  # what cannot be read is listed as a file: who opens it will learn why
                    (directories if known and stat.S_ISDIR(known.mode) else files).append(entry.name)
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
        """As the builtin ``open``. Files that are still open when the image is closed are closed with it."""
        return open_file(self, absolute(path), self.name_of(path), mode, buffering, encoding, errors, newline)

    def read_bytes(self, path: Path) -> bytes:
        return bytes(self._look(path, self.reader.read))

    def write_bytes(self, path: Path, data: bytes) -> int:
        """Make the file hold `data` and nothing else; returns the number of bytes."""

        async def write(path: bytes) -> int:
            descriptor = await self.system.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            try:
                done = 0
                while done < len(data):  # less than all is written when the disk is full: asked again, it says so
                    done += await self.system.pwrite(descriptor, memoryview(data)[done:], done)
                return done
            finally:
                await self.system.close(descriptor)

        written: int = self._change(path, write)
        return written

    def read_text(self, path: Path, encoding: str = "utf-8") -> str:
        return self.read_bytes(path).decode(encoding)

    def write_text(self, path: Path, text: str, encoding: str = "utf-8") -> int:
        """Returns the number of bytes."""
        return self.write_bytes(path, text.encode(encoding))

    def truncate(self, path: Path, size: int) -> None:
        self._change(path, self.system.truncate, size)

    # ---- names -----------------------------------------------------------------------------------------------------

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        self._change(path, self.system.mkdir, mode)

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
        self._change(path, self.system.rmdir)

    def remove(self, path: Path) -> None:
        self._change(path, self.system.unlink)

    unlink = remove

    def rename(self, old: Path, new: Path) -> None:
        """Move within the image; what was at `new` is replaced."""
        self._change_two(old, new, self.system.rename)

    def link(self, existing: Path, new: Path) -> None:
        self._change_two(existing, new, self.system.link)

    def symlink(self, target: str | bytes, path: Path) -> None:
        self._change(path, lambda path: self.system.symlink(os.fsencode(target), path))

    def mknod(self, path: Path, mode: int, device: int = 0) -> None:
        """`device` is a number as os.makedev makes it. Raises OSError (EOVERFLOW) for one the format cannot hold."""
        self._change(path, self.system.mknod, mode, device)

    # ---- copies ----------------------------------------------------------------------------------------------------

    def copy_in(self, source: Path, path: Path, *, owner: bool = False) -> None:
        """Copy a file or a directory tree of this host to `path`, with modes, times, links and holes.

        The copy is called `path`; a directory is merged with one that is there, a file replaces one. `owner` keeps
        owners, else all belongs to the super-user. Raises OSError about the first file that cannot be copied.
        """
        from minixfs.image.copying import copy_in

        copy_in(self, source, path, owner)

    def copy_out(self, path: Path, target: Path, *, owner: bool = False) -> None:
        """Copy a file or a directory tree to `target` on this host; see `copy_in`."""
        from minixfs.image.copying import copy_out

        copy_out(self, path, target, owner)

    def copy(self, path: Path, new: Path, *, owner: bool = False) -> None:
        """Copy a file or a directory tree within the image; see `copy_in`."""
        from minixfs.image.copying import copy_within

        copy_within(self, path, new, owner)

    # ---- attributes ------------------------------------------------------------------------------------------------

    def chmod(self, path: Path, mode: int) -> None:
        self._change(path, self.system.chmod, mode)

    def chown(self, path: Path, uid: int, gid: int, *, follow_symlinks: bool = True) -> None:
        """-1 keeps an id."""
        self._change(path, self.system.chown, uid, gid, follow=follow_symlinks)

    def utime(
        self, path: Path, times: tuple[float, float] | None = None, *, ns: tuple[int, int] | None = None,
        follow_symlinks: bool = True,
    ) -> None:  # fmt: skip
        """Access and modification time: now, `times` in seconds, or `ns` in nanoseconds since 1970."""
        if ns is None and times is not None:
            ns = round(times[0] * 10**9), round(times[1] * 10**9)
        atime, mtime = ns or (TimeUpdate.NOW, TimeUpdate.NOW)
        self._change(path, self.system.utimens, atime, mtime, follow=follow_symlinks)

    def getxattr(self, path: Path, attribute: str | bytes, *, follow_symlinks: bool = True) -> bytes:
        """An extended attribute by its full name, such as ``user.mime_type``; OSError (ENODATA) if it is not there.
        On formats that have none all four of these raise OSError (EOPNOTSUPP)."""
        value: bytes = self._change(path, self._xattr_call("getxattr"), os.fsencode(attribute), follow=follow_symlinks)
        return value

    def listxattr(self, path: Path = "/", *, follow_symlinks: bool = True) -> list[str]:
        """The full names of all extended attributes."""
        names: list[bytes] = self._change(path, self._xattr_call("listxattr"), follow=follow_symlinks)
        return [os.fsdecode(name) for name in names]

    def setxattr(
        self, path: Path, attribute: str | bytes, value: bytes, flags: int = 0, *, follow_symlinks: bool = True
    ) -> None:
        """`flags`: os.XATTR_CREATE (EEXIST if it is there) or os.XATTR_REPLACE (ENODATA if it is not)."""
        name = os.fsencode(attribute)
        self._change(path, self._xattr_call("setxattr"), name, bytes(value), flags, follow=follow_symlinks)

    def removexattr(self, path: Path, attribute: str | bytes, *, follow_symlinks: bool = True) -> None:
        self._change(path, self._xattr_call("removexattr"), os.fsencode(attribute), follow=follow_symlinks)

    def _xattr_call(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        if not self.has_xattrs:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), self.spec)
        call: Callable[..., Coroutine[Any, Any, Any]] = getattr(self.system, name)
        return call

    # ---- paths -----------------------------------------------------------------------------------------------------

    def name_of(self, path: Path) -> str:
        """What a message calls a file of this image."""
        return f"{self.spec}:/{os.fsdecode(os.fspath(path)).lstrip('/')}"

    def _mode(self, path: Path, *, follow_symlinks: bool = True) -> int | None:
        try:
            return self.stat(path, follow_symlinks=follow_symlinks).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None

    # ---- calls -----------------------------------------------------------------------------------------------------

    def _look(self, path: Path, question: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
        try:
            return self._guard.run(question(absolute(path), *arguments))
        except MinixFsError as error:
            raise as_os_error(error, self.name_of(path)) from error

    def _change(
        self, path: Path, call: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any, **options: Any
    ) -> Any:
        return self.change(absolute(path), self.name_of(path), call, *arguments, **options)

    def _change_two(self, old: Path, new: Path, call: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        """Both paths are of any length, but if both are long, what follows their last common directory has to fit one
        call."""
        first, second = absolute(old), absolute(new)
        if max(len(first), len(second)) < PATH_MAX:
            self.ask(self.name_of(old), call, first, second)
            return

        async def near() -> None:
            if len(second) < PATH_MAX:
                await call(await self.approach(first), second)
                return
            if len(first) < PATH_MAX:
                await call(first, await self.approach(second))
                return
            common = os.path.commonpath([os.path.dirname(first), os.path.dirname(second)])
            await self.approach(common + b"/.")
            await call(os.path.relpath(first, common), os.path.relpath(second, common))

        self.ask(self.name_of(old), near)


def open_image(
    spec: str | os.PathLike[str],
    mode: str = "r",
    *,
    partition: str | None = None,
    offset: int | None = None,
    cache_size: int = CACHE_SIZE,
    umask: int = UMASK,
) -> Image:
    """Open an image: ``disk.img``, ``disk.img:p0s1`` (a partition), ``disk.img@@1M`` (an offset), ``/dev/sdb1``.

    `mode` is "r", or "r+" to change it. `partition` or `offset` (bytes) choose a part where `spec` does not.
    `cache_size` is bytes; `umask` what new files and directories do not grant.

    Raises MinixFsError, with a message that says what to do, when that cannot be opened or holds no file system.
    """
    return Image(spec, mode, partition=partition, offset=offset, cache_size=cache_size, umask=umask)
