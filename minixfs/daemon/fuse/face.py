"""The handlers together: one for each request of the kernel, which turns it into a call of VFS and the result into a
reply.

The kernel checks permissions (``default_permissions``), unless nobody gets in but who may do everything. It keeps
caches of names, attributes and data that are valid for a long time, since nobody but us changes the volume. What it
cannot know it is told: that set-id bits went with a write. With its write-back cache it owns size and modification
time of open files.

All data are moved by node. So there is nothing to keep of an open file, and an open is told to us only for the sake of
the access time: what is cached is read without our knowing. Directories are opened without a message.
"""

from __future__ import annotations

from collections.abc import Callable

from minixfs.daemon.fuse.contents import ContentRequests
from minixfs.daemon.fuse.names import NameRequests
from minixfs.daemon.fuse.nodes import NodeRequests
from minixfs.daemon.fuse.session import Handler
from minixfs.daemon.fuse.view import View
from minixfs.daemon.fuse.wire import (
    Feature,
    Opcode,
)
from minixfs.daemon.vfs import Vfs

FEATURES = (
    Feature.ASYNC_READ
    | Feature.BIG_WRITES
    | Feature.DONT_MASK
    | Feature.DO_READDIRPLUS
    | Feature.READDIRPLUS_AUTO
    | Feature.ASYNC_DIO
    | Feature.PARALLEL_DIROPS
    | Feature.MAX_PAGES
    | Feature.CACHE_SYMLINKS
    | Feature.NO_OPENDIR_SUPPORT
    | Feature.HANDLE_KILLPRIV_V2
)
"""What is used of any kernel that has it; further ones by how the volume is shown."""

CREDIT = 512
"""So many inodes may wait to be freed, in the pauses between requests, before a request has to do it."""
SETTLED_AT_ONCE = 2
"""So many of them are freed in one pause: about as long as it takes whoever got a reply to wake up."""


class FuseFace(NodeRequests, NameRequests, ContentRequests):
    """Answers whatever the kernel asks of the file systems that `vfs` has; see `Shown`."""

    def __init__(
        self, vfs: Vfs, view: View, held_nodes: int = 0, attributes_changed: Callable[[int], None] = lambda _: None
    ) -> None:
        super().__init__(vfs, view, held_nodes, attributes_changed)
        vfs.vnodes.credit = CREDIT
        self.granularity = min(vmnt.fs.granularity for vmnt in vfs.mounts.values())
        self.handlers: dict[int, Handler] = {
            Opcode.LOOKUP: self._lookup,
            Opcode.FORGET: self._forget,
            Opcode.BATCH_FORGET: self._batch_forget,
            Opcode.GETATTR: self._getattr,
            Opcode.SETATTR: self._setattr,
            Opcode.ACCESS: self._access,
            Opcode.READLINK: self._readlink,
            Opcode.STATFS: self._statfs,
            Opcode.MKNOD: self._mknod,
            Opcode.MKDIR: self._mkdir,
            Opcode.SYMLINK: self._symlink,
            Opcode.LINK: self._link,
            Opcode.UNLINK: self._unlink,
            Opcode.RMDIR: self._rmdir,
            Opcode.RENAME: self._rename,
            Opcode.RENAME2: self._rename2,
            Opcode.CREATE: self._create,
            Opcode.OPEN: self._open,
            Opcode.RELEASE: self._release,
            Opcode.READ: self._read,
            Opcode.WRITE: self._write,
            Opcode.FSYNC: self._fsync,
            Opcode.OPENDIR: self._opendir,
            Opcode.RELEASEDIR: self._release,
            Opcode.READDIR: self._readdir,
            Opcode.READDIRPLUS: self._readdirplus,
            Opcode.FSYNCDIR: self._fsync,
            Opcode.GETXATTR: self._getxattr,
            Opcode.SETXATTR: self._setxattr,
            Opcode.LISTXATTR: self._listxattr,
            Opcode.REMOVEXATTR: self._removexattr,
        }

    def choose(self, offered: int) -> int:
        """Which of the `offered` features of the kernel are to be used; from now on they are."""
        wanted = FEATURES
        if self.view.writeback:
            wanted |= Feature.WRITEBACK_CACHE
        if self.view.kernel_checks and self.has_xattrs:
            wanted |= Feature.POSIX_ACL
        # a kernel that does not tell of opens must say by a request of its own that a file is to be emptied
        wanted |= Feature.ATOMIC_O_TRUNC if self.stamps_access else Feature.NO_OPEN_SUPPORT
        self.features = offered & wanted
        return self.features

    @property
    def has_chores(self) -> bool:
        """Whether `tidy` has anything to do."""
        return self.vfs.vnodes.owes or self.known.crowded

    async def tidy(self, busy: Callable[[], bool]) -> None:
        """Between requests: free what was forgotten, hold fewer nodes. Stops when a request comes (`busy`)."""
        await self.vfs.vnodes.settle(SETTLED_AT_ONCE)
        if self.known.crowded:
            await self.known.park(busy)

    async def close(self) -> None:
        """Drop what the kernel holds: it need not say good-bye when a mount ends."""
        await self.known.close()
