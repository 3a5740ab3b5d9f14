"""The one error tree of minixfs.

An error is raised where it is found, as one of these classes, and is turned into an errno (FUSE, ``Process``) or
an exit code (command line) once, at the edge. Four families, as the reader of a message needs them apart:

* `PosixError` and its children: the caller's mistake or a limit (no such file, disk full, read-only, ...);
* `Corrupt`: the image contradicts itself; carries the block and inode where that showed;
* `Unsupported`: the image is well formed but uses a feature that we do not have;
* `DeviceError`: the layer below failed (EIO, ENOSPC of the host).

`UsageError` is for the command line alone: a wrong option, a missing file; it says what to do next.
"""

from __future__ import annotations

import errno
import os


class MinixFsError(Exception):
    """Root of the tree. `errno` is what a system call returns, `exit_code` what a command ends with."""

    errno: int = errno.EIO
    exit_code: int = 1


class UsageError(MinixFsError):
    """The command line cannot be carried out as written; the message is one line and says what to do."""

    errno = errno.EINVAL

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class PosixError(MinixFsError):
    """A result that POSIX gives a number to. `PosixError(errno.EXDEV)`, or a named child for the common ones."""

    def __init__(self, number: int | None = None, message: str | None = None) -> None:
        if number is not None:
            self.errno = number
        self.message = message

    def __str__(self) -> str:
        return self.message or os.strerror(self.errno)


class NotFound(PosixError):
    errno = errno.ENOENT


class Exists(PosixError):
    errno = errno.EEXIST


class NotDirectory(PosixError):
    errno = errno.ENOTDIR


class IsDirectory(PosixError):
    errno = errno.EISDIR


class NotEmpty(PosixError):
    errno = errno.ENOTEMPTY


class NameTooLong(PosixError):
    errno = errno.ENAMETOOLONG


class NoSpace(PosixError):
    errno = errno.ENOSPC


class ReadOnly(PosixError):
    errno = errno.EROFS


class TooManyLinks(PosixError):
    errno = errno.EMLINK


class FileTooBig(PosixError):
    errno = errno.EFBIG


class Busy(PosixError):
    errno = errno.EBUSY


class AccessDenied(PosixError):
    errno = errno.EACCES


class NotPermitted(PosixError):
    errno = errno.EPERM


class InvalidArgument(PosixError):
    errno = errno.EINVAL


class BadDescriptor(PosixError):
    errno = errno.EBADF


class CrossDevice(PosixError):
    errno = errno.EXDEV


class TooManySymlinks(PosixError):
    errno = errno.ELOOP


class TooManyOpen(PosixError):
    """A table of the stack is full: vnodes, file descriptions, in-core inodes (ENFILE)."""

    errno = errno.ENFILE


class IdOverflow(PosixError):
    """A uid, gid, time or device number that the format cannot hold (EOVERFLOW); it is never cut."""

    errno = errno.EOVERFLOW


class NotImplementedBy(PosixError):
    """A request that this file server does not have (ENOSYS)."""

    errno = errno.ENOSYS


class DeviceError(PosixError):
    """The device below failed. `errno` is EIO unless the host gave a better one (ENOSPC, EROFS, ENXIO)."""

    errno = errno.EIO


class Unsupported(MinixFsError):
    """The image needs a feature that we do not have. `feature` is in words; the message says what helps."""

    errno = errno.EINVAL
    exit_code = 32

    def __init__(self, feature: str, advice: str = "") -> None:
        super().__init__(f"{feature}; {advice}" if advice else feature)
        self.feature = feature


class BadSuperblock(MinixFsError):
    """What should be a superblock is none, or its fields contradict each other (EINVAL at mount)."""

    errno = errno.EINVAL
    exit_code = 32


class Corrupt(MinixFsError):
    """The image contradicts itself (EUCLEAN). `block` and `inode` say where, when known."""

    errno = errno.EUCLEAN

    def __init__(self, what: str, *, block: int | None = None, inode: int | None = None) -> None:
        where = [f"block {block}"] * (block is not None) + [f"inode {inode}"] * (inode is not None)
        super().__init__(f"{what} ({', '.join(where)})" if where else what)
        self.what = what
        self.block = block
        self.inode = inode
