"""What is known of a file of an image, in the forms of `os`: stat_result, statvfs_result, DirEntry."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, AnyStr, Generic

from minixfs.fs.protocol import Stat, StatVfs

if TYPE_CHECKING:
    from minixfs.image.image import Image


def stat_result(found: Stat) -> os.stat_result:
    """Attributes as os.stat gives them. `st_dev` is 0."""
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
            "st_rdev": found.rdev,
        },
    )


def statvfs_result(found: StatVfs) -> os.statvfs_result:
    """Usage as os.statvfs gives it."""
    return os.statvfs_result((
        found.bsize, found.frsize, found.blocks, found.bfree, found.bavail,
        found.files, found.ffree, found.ffree, os.ST_RDONLY if found.read_only else 0, found.namemax,
    ))  # fmt: skip


class DirEntry(Generic[AnyStr]):
    """As os.DirEntry: one name in a directory, with the attributes that the file had when the directory was read.

    `attributes` are these as the file server has them, or None if they could not be read: `stat` then says why.
    """

    __slots__ = ("_image", "_ino", "attributes", "name", "path")

    name: AnyStr
    path: AnyStr

    def __init__(self, image: Image, name: AnyStr, path: AnyStr, ino: int, attributes: Stat | None) -> None:
        self._image = image
        self._ino = ino
        self.name = name
        self.path = path
        self.attributes = attributes

    def __fspath__(self) -> AnyStr:
        return self.path

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"

    def inode(self) -> int:
        return self._ino

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Raises OSError."""
        if self.attributes is None or (follow_symlinks and stat.S_ISLNK(self.attributes.mode)):
            return self._image.stat(self.path, follow_symlinks=follow_symlinks)
        return stat_result(self.attributes)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return stat.S_ISDIR(self._mode(follow_symlinks))

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return stat.S_ISREG(self._mode(follow_symlinks))

    def is_symlink(self) -> bool:
        return stat.S_ISLNK(self._mode(False))

    def _mode(self, follow_symlinks: bool) -> int:
        """Raises OSError; 0 for a link that leads nowhere, or a file that is gone."""
        found = self.attributes
        if found is not None and not (follow_symlinks and stat.S_ISLNK(found.mode)):
            return found.mode
        try:
            return self.stat(follow_symlinks=follow_symlinks).st_mode
        except FileNotFoundError:
            return 0
