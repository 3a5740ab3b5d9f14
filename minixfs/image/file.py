"""Files of an image as Python's own file objects.

`open_file` takes the modes of the builtin ``open`` and returns the same kinds of object, on top of `ImageFile`,
which is the raw, unbuffered one.
"""

from __future__ import annotations

import errno
import io
import os
from typing import IO, TYPE_CHECKING, Any

from minixfs.errors import MinixFsError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

BUFFER_SIZE = 1 << 17
"""Bytes that a buffered file reads and writes at a time."""
_FLAGS = {
    "r": os.O_RDONLY,
    "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
}


def as_os_error(error: MinixFsError, name: str) -> OSError:
    """What Python raises for such an error, with the right child of OSError and `name` as its file name."""
    return OSError(error.errno, str(error), name)


class ImageFile(io.RawIOBase):
    """An open file of an image, unbuffered. `process` is the synchronous process that `descriptor` belongs to."""

    def __init__(self, process: Any, descriptor: int, name: str, flags: int) -> None:
        super().__init__()
        self.name = name
        self._process = process
        self._descriptor = descriptor
        self._access = flags & os.O_ACCMODE

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._do("close")

    def readable(self) -> bool:
        return self._access != os.O_WRONLY

    def writable(self) -> bool:
        return self._access != os.O_RDONLY

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._do("read", len(view))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        rest = max(self._do("fstat").size - self.tell(), 0)
        return bytes(self._do("read", rest)) if rest else b""

    def write(self, data: ReadableBuffer) -> int:
        written: int = self._do("write", memoryview(data).cast("B"))
        return written

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        position: int = self._do("lseek", offset, whence)
        return position

    def truncate(self, size: int | None = None) -> int:
        size = self.tell() if size is None else size
        self._do("ftruncate", size)
        return size

    def sync(self) -> None:
        """Return when what was written is on stable storage."""
        self._do("fsync")

    def stat(self) -> Any:
        """The attributes of the file, as the file server has them."""
        return self._do("fstat")

    def _do(self, call: str, *arguments: Any) -> Any:
        try:
            return getattr(self._process, call)(self._descriptor, *arguments)
        except MinixFsError as error:
            raise as_os_error(error, self.name) from error


def open_file(
    process: Any,
    path: bytes,
    name: str,
    mode: str,
    buffering: int,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
) -> IO[Any]:
    """Open `path` as the builtin ``open`` does; `name` is what errors call it. Raises OSError, ValueError."""
    flags, updating, text = parse_mode(mode)
    if not text and (encoding or errors or newline):
        raise ValueError("a binary file takes no encoding, errors or newline")
    if text and buffering == 0:
        raise ValueError("a text file cannot be unbuffered")
    try:
        descriptor = process.open(path, flags)
    except MinixFsError as error:
        raise as_os_error(error, name) from error
    raw = ImageFile(process, descriptor, name, flags)
    try:
        if raw.stat().mode & 0o170000 == 0o040000:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        return _wrapped(raw, updating, text, buffering, encoding, errors, newline)
    except BaseException:
        raw.close()
        raise


def parse_mode(mode: str) -> tuple[int, bool, bool]:
    """The flags of open(2), whether it is for reading and writing, whether it is text. Raises ValueError."""
    kinds = [letter for letter in mode if letter in _FLAGS]
    if len(kinds) != 1 or set(mode) - set("rwaxbt+") or len(set(mode)) != len(mode) or {"b", "t"} <= set(mode):
        raise ValueError(f"invalid mode: {mode!r}")
    flags, updating = _FLAGS[kinds[0]], "+" in mode
    if updating:
        flags = flags & ~os.O_ACCMODE | os.O_RDWR
    return flags, updating, "b" not in mode


def _wrapped(
    raw: ImageFile,
    updating: bool,
    text: bool,
    buffering: int,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
) -> IO[Any]:
    if buffering == 0:
        return raw  # type: ignore[return-value]  # typeshed has no RawIOBase among the IOs
    size = buffering if buffering > 1 else BUFFER_SIZE
    buffered: Any
    if updating:
        buffered = io.BufferedRandom(raw, size)
    else:
        buffered = io.BufferedWriter(raw, size) if raw.writable() else io.BufferedReader(raw, size)
    if not text:
        return buffered  # type: ignore[no-any-return]
    return io.TextIOWrapper(buffered, encoding, errors, newline, line_buffering=buffering == 1)
