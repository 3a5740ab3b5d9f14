"""How a mount shows what is on the volume: the attributes that the kernel is told, and how long they are good for."""

from __future__ import annotations

from typing import NamedTuple

from minixfs.daemon.fuse.wire import ATTRIBUTES, ENTRY_OUT, GETATTR_OUT
from minixfs.fs.protocol import Stat
from minixfs.hw.clock import NS

CACHE_SECONDS = 86400
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

    def mode(self, mode: int) -> int:
        return mode if self.umask is None else mode & ~self.umask

    def status(self, key: int, status: Stat) -> bytes:
        """The reply that tells the kernel the attributes of node `key`."""
        return _STATUS_HEAD + self._attributes(key, status)

    def entry(self, key: int, status: Stat) -> bytes:
        """The reply that tells the kernel that a name leads to node `key`, and its attributes."""
        seconds = CACHE_SECONDS if self.cache_names else 0
        return ENTRY_OUT.pack(key, 0, seconds, CACHE_SECONDS, 0, 0) + self._attributes(key, status)

    def absence(self) -> bytes:
        """The reply that lets the kernel remember that there is no such name."""
        return ENTRY_OUT.pack(0, 0, CACHE_SECONDS if self.cache_names else 0, 0, 0, 0) + bytes(ATTRIBUTES.size)

    def _attributes(self, key: int, status: Stat) -> bytes:
        atime, atime_ns = divmod(status.atime, NS)
        mtime, mtime_ns = divmod(status.mtime, NS)
        ctime, ctime_ns = divmod(status.ctime, NS)
        return ATTRIBUTES.pack(
            key,
            status.size,
            status.blocks,
            atime,
            mtime,
            ctime,
            atime_ns,
            mtime_ns,
            ctime_ns,
            self.mode(status.mode),
            status.nlink,
            status.uid if self.uid is None else self.uid,
            status.gid if self.gid is None else self.gid,
            status.rdev & 0xFFFFFFFF,
            status.blksize,
            0,
        )


_STATUS_HEAD = GETATTR_OUT.pack(CACHE_SECONDS, 0, 0)
