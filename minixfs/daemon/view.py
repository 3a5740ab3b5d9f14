"""How a mount shows what is on the volume: the attributes that the kernel is told, and how long they are good for."""

from __future__ import annotations

from typing import NamedTuple

import pyfuse3
from pyfuse3 import EntryAttributes

from minixfs.fs.protocol import Stat

CACHE_SECONDS = 86400.0
"""How long names and attributes are good for: nobody but us changes the volume."""


class View(NamedTuple):
    """How the mount shows what is on the volume. None shows it as it is.

    `uid`, `gid`: every object belongs to them. `umask`: these permission bits are taken away. `fakeroot`: the user of
    the mount may do everything, and what is made belongs to root. `xattrs`: extended attributes are shown, if there are
    any. `cache_names`: the kernel may remember names, since each object in a directory has one only.
    `kernel_checks`: the kernel judges permissions; else whoever gets in may do everything.
    """

    uid: int | None = None
    gid: int | None = None
    umask: int | None = None
    fakeroot: bool = False
    writeback: bool = True
    xattrs: bool = True
    cache_names: bool = True
    kernel_checks: bool = True

    @property
    def _entry_seconds(self) -> float:
        return CACHE_SECONDS if self.cache_names else 0.0

    def mode(self, mode: int) -> int:
        return mode if self.umask is None else mode & ~self.umask

    def absence(self) -> EntryAttributes:
        """The reply that lets the kernel remember that there is no such name."""
        entry = EntryAttributes()
        entry.st_ino = pyfuse3.InodeT(0)
        entry.entry_timeout = self._entry_seconds
        return entry

    def attributes(self, key: int, status: Stat) -> EntryAttributes:
        """What the kernel is told of node `key`."""
        entry = EntryAttributes()
        entry.st_ino = pyfuse3.InodeT(key)
        entry.entry_timeout = self._entry_seconds
        entry.attr_timeout = CACHE_SECONDS
        entry.st_mode = pyfuse3.ModeT(self.mode(status.mode))
        entry.st_nlink = status.nlink
        entry.st_uid = status.uid if self.uid is None else self.uid
        entry.st_gid = status.gid if self.gid is None else self.gid
        if status.rdev:
            entry.st_rdev = status.rdev
        entry.st_size = status.size
        entry.st_blksize = status.blksize
        entry.st_blocks = status.blocks
        entry.st_atime_ns = status.atime
        entry.st_mtime_ns = status.mtime
        entry.st_ctime_ns = status.ctime
        return entry
