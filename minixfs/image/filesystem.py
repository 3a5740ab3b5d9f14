"""Images for fsspec, and so for pandas, dask, universal-pathlib and all that take its URLs.

    pandas.read_csv("minixfs://data/table.csv::file:///srv/disk.img:p0s1")
    fsspec.open("minixfs://etc/fstab::https://example.org/disk.img", minixfs={"part": "p0s1"})
    fs = fsspec.filesystem("minixfs", fo="disk.img", writable=True)

An image that is a local file may be changed; from everywhere else it is read in place, piece by piece. File systems of
one program on one local image share it while any of them lives, and it is closed with the last one: until then it is
locked as any open image is, and changes are on stable storage only after `MinixFileSystem.sync`.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
from datetime import UTC, datetime
from typing import IO, Any
from weakref import WeakValueDictionary

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from minixfs.daemon.detect import probe
from minixfs.errors import MinixFsError
from minixfs.hw.blockdev.remote import RemoteFile, open_remote
from minixfs.hw.runtime import run
from minixfs.image.attributes import DirEntry
from minixfs.image.image import UMASK, Image

REMOTE_CACHE_SIZE = 32 << 20
"""Bytes of a remote image that are kept."""
REMOTE_BLOCK_SIZE = 1 << 18
"""Bytes that are fetched at a time at least: structures that are needed together mostly lie together."""


class MinixFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec is not typed
    """The files of the image `fo`: what the ``minixfs`` command takes, a URL of any kind, or a binary file object.

    `part` (``p0s1``) or `offset` (bytes) choose a part of a disk. `writable`: change it; it must be a local file.
    `target_protocol` and `target_options` belong to the file system that `fo` is on. `auto_mkdir`: writing a file makes
    the directories above it. Raises OSError for what cannot be opened.
    """

    protocol = "minixfs"
    root_marker = "/"
    cachable = False  # an instance that nobody uses any more must not keep its image locked

    def __init__(
        self,
        fo: str | os.PathLike[str] | RemoteFile = "",
        part: str | None = None,
        offset: int | None = None,
        writable: bool = False,
        target_protocol: str | None = None,
        target_options: dict[str, Any] | None = None,
        auto_mkdir: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not fo:
            raise ValueError("name the image: minixfs://path/in/image::file:///path/of/image, or fo=...")
        self.writable = writable
        self.auto_mkdir = auto_mkdir
        options = dict(target_options or {})
        if target_protocol is not None:
            options["protocol"] = target_protocol
        try:
            self._image: Image | None = _open(fo, part, offset, writable, options)
        except MinixFsError as error:
            cause = error.__cause__ if isinstance(error.__cause__, MinixFsError) else error
            raise OSError(cause.errno, str(error)) from error

    @property
    def image(self) -> Image:
        """The image itself. ValueError after `close`."""
        if self._image is None:
            raise ValueError("the file system is closed")
        return self._image

    @property
    def _changeable(self) -> Image:
        if not self.writable:
            raise OSError(errno.EROFS, "opened for reading alone; writable=True lets you change it", self.image.spec)
        return self.image

    def close(self) -> None:
        """Write all changes and let the image go. Raises OSError."""
        image, self._image = self._image, None
        if image is not None and self.writable:
            image.sync()

    # ---- looking ---------------------------------------------------------------------------------------------------

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        return "/" + super()._strip_protocol(path).lstrip("/")

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        path = self._strip_protocol(path)
        if self.image.isdir(path):
            entries = self.image.scandir(path)
            return [self._info(entry) for entry in entries] if detail else [entry.path for entry in entries]
        found = self.info(path)
        return [found] if detail else [found["name"]]

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        known = self.image.attributes(path, follow_symlinks=False)
        return self._info(DirEntry(self.image, path.rpartition("/")[2], path, known.ino, known))

    def _info(self, entry: DirEntry[str]) -> dict[str, Any]:
        """A symbolic link to a file counts as that file, and other ones as "link", so that no walk follows them."""
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:
            return {"name": entry.path, "size": None, "type": "other", "ino": entry.inode()}
        kind = {stat.S_IFDIR: "directory", stat.S_IFREG: "file"}.get(stat.S_IFMT(found.st_mode), "other")
        size = found.st_size
        link: dict[str, Any] = {"islink": stat.S_ISLNK(found.st_mode)}
        if link["islink"]:
            link["destination"] = self.image.readlink(entry.path)
            kind = "file" if self.image.isfile(entry.path) else "link"
            size = entry.stat().st_size if kind == "file" else size
        names = ("mode", "uid", "gid", "mtime", "ino", "nlink")
        more = {name: getattr(found, f"st_{name}") for name in names}
        return {"name": entry.path, "size": size, "type": kind, "created": found.st_ctime, **more, **link}

    def isdir(self, path: str) -> bool:
        return self.image.isdir(self._strip_protocol(path))

    def isfile(self, path: str) -> bool:
        return self.image.isfile(self._strip_protocol(path))

    def exists(self, path: str, **kwargs: Any) -> bool:
        return self.image.exists(self._strip_protocol(path))

    def lexists(self, path: str, **kwargs: Any) -> bool:
        return self.image.lexists(self._strip_protocol(path))

    def created(self, path: str) -> datetime:
        """When the attributes changed last: the format has no time of creation."""
        return datetime.fromtimestamp(self.image.stat(self._strip_protocol(path)).st_ctime, UTC)

    def modified(self, path: str) -> datetime:
        return datetime.fromtimestamp(self.image.stat(self._strip_protocol(path)).st_mtime, UTC)

    # ---- contents --------------------------------------------------------------------------------------------------

    def _open(
        self, path: str, mode: str = "rb", block_size: int | None = None, autocommit: bool = True, **kwargs: Any
    ) -> IO[Any]:
        if not autocommit:
            raise NotImplementedError("files in an image cannot be written as one transaction")
        path = self._strip_protocol(path)
        if mode == "rb":
            return self.image.open(path, mode)
        self._make_parents(path)
        return self._changeable.open(path, mode)

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        self._make_parents(target)
        if self.image.isdir(source):
            self._changeable.makedirs(target, exist_ok=True)
            return
        with self.image.open(source, "rb") as reading, self._changeable.open(target, "wb") as writing:
            shutil.copyfileobj(reading, writing)

    def touch(self, path: str, truncate: bool = True, **kwargs: Any) -> None:
        path = self._strip_protocol(path)
        if truncate or not self.image.exists(path):
            self._make_parents(path)
            self._changeable.write_bytes(path, b"")
        else:
            self._changeable.utime(path)

    # ---- names -----------------------------------------------------------------------------------------------------

    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        path = self._strip_protocol(path)
        if create_parents:
            self._changeable.makedirs(path)
        else:
            self._changeable.mkdir(path)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self._changeable.makedirs(self._strip_protocol(path), exist_ok=exist_ok)

    def rmdir(self, path: str) -> None:
        self._changeable.rmdir(self._strip_protocol(path))

    def rm_file(self, path: str) -> None:
        self._changeable.remove(self._strip_protocol(path))

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        for each in reversed(self.expand_path(path, recursive=recursive, maxdepth=maxdepth)):
            if self.image.isdir(each) and not self.image.islink(each):
                self._changeable.rmdir(each)
            else:
                self._changeable.remove(each)

    def mv(self, path1: str, path2: str, recursive: bool = False, maxdepth: int | None = None, **kwargs: Any) -> None:
        """A file or a whole directory; into `path2` if that is a directory."""
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        self._make_parents(target)
        if self.image.isdir(target):
            target = f"{target.rstrip('/')}/{source.rpartition('/')[2]}"
        self._changeable.rename(source, target)

    def chmod(self, path: str, mode: int) -> None:
        self._changeable.chmod(self._strip_protocol(path), mode)

    def symlink(self, src: str, dst: str, **kwargs: Any) -> None:
        """`src` is stored as it is."""
        self._changeable.symlink(src, self._strip_protocol(dst))

    def islink(self, path: str) -> bool:
        return self.image.islink(self._strip_protocol(path))

    def sync(self) -> None:
        """Return when all changes are on stable storage."""
        self.image.sync()

    def _make_parents(self, path: str) -> None:
        if self.auto_mkdir and path != "/":
            self._changeable.makedirs(self._parent(path), exist_ok=True)


class _Shared(Image):
    """An image that nobody owns: it is closed when the last file system or file that uses it is gone."""

    def __del__(self) -> None:
        self.close()


_IMAGES: WeakValueDictionary[tuple[str, str | None, int | None], _Shared] = WeakValueDictionary()
_IMAGES_LOCK = threading.Lock()


def _open(
    fo: str | os.PathLike[str] | RemoteFile,
    part: str | None,
    offset: int | None,
    writable: bool,
    options: dict[str, Any],
) -> Image:
    """Raises MinixFsError, and what the file system of `fo` raises."""
    if isinstance(fo, (str, os.PathLike)):
        fs, path = url_to_fs(os.fspath(fo), **options)
        if isinstance(fs, LocalFileSystem):
            return _local(path, part, offset, writable)
    if writable:
        raise ValueError("only an image that is a local file can be writable")
    if isinstance(fo, (str, os.PathLike)):
        blocks = {"maxblocks": REMOTE_CACHE_SIZE // REMOTE_BLOCK_SIZE}
        file = fs.open(path, "rb", block_size=REMOTE_BLOCK_SIZE, cache_type="blockcache", cache_options=blocks)
        name = os.fspath(fo)
    else:
        file, name = fo, str(getattr(fo, "name", "image"))
    device = run(open_remote(file, name, partition=part, offset=offset, probe=probe))
    return _Shared(name, device=device, cache_size=REMOTE_CACHE_SIZE)


def _local(path: str, part: str | None, offset: int | None, writable: bool) -> Image:
    key = (os.path.realpath(path), part, offset)
    with _IMAGES_LOCK:
        image = _IMAGES.get(key)
        if image is None or image.closed or (writable and not image.writable):
            mode = "r+" if writable else "r"
            image = _IMAGES[key] = _Shared(path, mode, partition=part, offset=offset, umask=UMASK)
        return image
