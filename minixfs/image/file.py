"""Files of an image as Python's own file objects.

`open_file` takes the modes of the builtin ``open`` and returns the same kinds of object, on top of `ImageFile`, which
is the raw, unbuffered one.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from typing import IO, TYPE_CHECKING, Any

from minixfs.errors import MinixFsError
from minixfs.image.attributes import stat_result

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from minixfs.image.image import Image

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
    """An open file of an image, unbuffered.

    It holds inode `ino`: by a reference, or where it may change the file by a descriptor of the image's process. The
    position is kept here, so that a write which Ctrl-C interrupts and the buffer above repeats hits the same place.
    """

    def __init__(self, image: Image, name: str, ino: int, descriptor: int | None, flags: int) -> None:
        super().__init__()
        self.name = name
        self._image = image
        self._ino = ino
        self._descriptor = descriptor
        self._access = flags & os.O_ACCMODE
        self._append = bool(flags & os.O_APPEND)
        self._position = self.stat().st_size if self._append else 0

    def close(self) -> None:
        if not self.closed:
            super().close()
            image = self._image
            del self._image  # a file that is closed keeps no image alive
            if self._descriptor is None:
                image.reader.release(self._ino)
            else:
                image.forget(self, self._descriptor)

    def readable(self) -> bool:
        return self._access != os.O_WRONLY

    def writable(self) -> bool:
        return self._access != os.O_RDONLY

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._require(self.readable(), "readable")
        view = memoryview(buffer).cast("B")
        data = self._read(len(view))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        self._require(self.readable(), "readable")
        return bytes(self._read(max(self.stat().st_size - self._position, 0)))

    def write(self, data: ReadableBuffer) -> int:
        self._require(self.writable(), "writable")
        view = memoryview(data).cast("B")
        position = self.stat().st_size if self._append else self._position
        written: int = self._image.ask(self.name, self._image.system.pwrite, self._descriptor, view, position)
        self._position = position + written
        return written

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._require(True)
        if whence not in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END):
            raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
        base = (0, self._position, self.stat().st_size if whence == os.SEEK_END else 0)[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self.name)
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        self._require(True)
        return self._position

    def truncate(self, size: int | None = None) -> int:
        self._require(self.writable(), "writable")
        size = self._position if size is None else size
        self._image.ask(self.name, self._image.system.ftruncate, self._descriptor, size)
        return size

    def sync(self) -> None:
        """Return when what was written is on stable storage."""
        self._require(True)
        if self._descriptor is not None:
            self._image.ask(self.name, self._image.system.fsync, self._descriptor)

    def stat(self) -> os.stat_result:
        """The attributes of the file."""
        self._require(True)
        return stat_result(self._image.ask(self.name, self._image.reader.stat_node, self._ino))

    def _read(self, size: int) -> Any:
        data = self._image.ask(self.name, self._image.reader.read_node, self._ino, self._position, size)
        self._position += len(data)
        return data

    def _require(self, able: bool, what: str = "") -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if not able:
            raise io.UnsupportedOperation(f"not {what}")


def open_file(
    image: Image,
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
    raw = _open_raw(image, path, name, flags)
    file: IO[Any] | None = None
    try:
        file = _wrapped(raw, updating, text, buffering, encoding, errors, newline)
        return file
    finally:
        if file is None:
            raw.close()
        elif raw.writable():
            image.remember(raw, file)


def _open_raw(image: Image, path: bytes, name: str, flags: int) -> ImageFile:
    if flags == os.O_RDONLY:
        node = image.ask(name, image.reader.hold, path)
        if stat.S_ISDIR(node.mode):
            image.reader.release(node.ino)
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        return ImageFile(image, name, node.ino, None, flags)
    descriptor = image.change(path, name, image.system.open, flags)
    return ImageFile(image, name, image.ask(name, image.system.fstat, descriptor).ino, descriptor, flags)


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
