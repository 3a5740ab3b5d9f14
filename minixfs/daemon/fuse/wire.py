"""The messages of the FUSE protocol, version 7, as <linux/fuse.h> lays them out.

A request is a header and a body, a reply likewise; all numbers are in the machine's byte order. Names end in a null
byte. Times are seconds and nanoseconds; a device number has the layout of os.makedev's low 32 bits.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

MAJOR, MINOR = 7, 38
"""The version that we speak. A newer kernel keeps to it, an older one knows less of what we offer."""
MINOR_MIN = 23
"""The oldest that has the same messages (Linux 3.15)."""
ROOT_NODE = 1


class Opcode:
    """What the kernel can ask for, as far as we answer."""

    LOOKUP: Final = 1
    FORGET: Final = 2
    GETATTR: Final = 3
    SETATTR: Final = 4
    READLINK: Final = 5
    SYMLINK: Final = 6
    MKNOD: Final = 8
    MKDIR: Final = 9
    UNLINK: Final = 10
    RMDIR: Final = 11
    RENAME: Final = 12
    LINK: Final = 13
    OPEN: Final = 14
    READ: Final = 15
    WRITE: Final = 16
    STATFS: Final = 17
    RELEASE: Final = 18
    FSYNC: Final = 20
    SETXATTR: Final = 21
    GETXATTR: Final = 22
    LISTXATTR: Final = 23
    REMOVEXATTR: Final = 24
    INIT: Final = 26
    OPENDIR: Final = 27
    READDIR: Final = 28
    RELEASEDIR: Final = 29
    FSYNCDIR: Final = 30
    ACCESS: Final = 34
    CREATE: Final = 35
    INTERRUPT: Final = 36
    DESTROY: Final = 38
    BATCH_FORGET: Final = 42
    READDIRPLUS: Final = 44
    RENAME2: Final = 45


class Feature:
    """What INIT settles: bits."""

    ASYNC_READ: Final = 1 << 0
    ATOMIC_O_TRUNC: Final = 1 << 3
    """An open that empties a file is one request."""
    BIG_WRITES: Final = 1 << 5
    DONT_MASK: Final = 1 << 6
    """The umask of who makes something comes with the request, and is not applied before: an access list may replace
    it."""
    DO_READDIRPLUS: Final = 1 << 13
    READDIRPLUS_AUTO: Final = 1 << 14
    """A listing tells of the nodes as well, as long as somebody looks at them."""
    ASYNC_DIO: Final = 1 << 15
    WRITEBACK_CACHE: Final = 1 << 16
    NO_OPEN_SUPPORT: Final = 1 << 17
    """An open of a file need not be told of: ENOSYS says that we do not care."""
    PARALLEL_DIROPS: Final = 1 << 18
    POSIX_ACL: Final = 1 << 20
    MAX_PAGES: Final = 1 << 22
    CACHE_SYMLINKS: Final = 1 << 23
    """The text of a symbolic link is asked for once."""
    NO_OPENDIR_SUPPORT: Final = 1 << 24
    """As NO_OPEN_SUPPORT for directories; their entries are then cached until the directory changes."""
    HANDLE_KILLPRIV_V2: Final = 1 << 28
    """The kernel says when set-id bits are to go, and does not search a file without them before each write."""


class Valid:
    """Which attributes a SETATTR sets: bits."""

    MODE: Final = 1 << 0
    UID: Final = 1 << 1
    GID: Final = 1 << 2
    SIZE: Final = 1 << 3
    ATIME: Final = 1 << 4
    MTIME: Final = 1 << 5
    ATIME_NOW: Final = 1 << 7
    MTIME_NOW: Final = 1 << 8
    CTIME: Final = 1 << 10
    KILL_SUIDGID: Final = 1 << 11


OPEN_KILL_SUIDGID = 1 << 0
WRITE_KILL_SUIDGID = 1 << 2
FOPEN_KEEP_CACHE = 1 << 1
NOTIFY_INVAL_INODE = 2

REQUEST = struct.Struct("=IIQQIIIHH")
"""Length, opcode, unique, node, uid, gid, pid, length of extensions, padding."""
REPLY = struct.Struct("=IiQ")
"""Length, error (0 or a negative errno), unique."""

INIT_IN = struct.Struct("=IIII")
"""Major, minor, most bytes to read ahead, features."""
INIT_OUT = struct.Struct("=IIIIHHIIHH8I")
"""The same, then: background requests, congestion threshold, most bytes to write, time granularity (ns), most pages."""
FORGET_IN = struct.Struct("=Q")
BATCH_FORGET_IN = struct.Struct("=II")
FORGET_ONE = struct.Struct("=QQ")
SETATTR_IN = struct.Struct("=IIQQQqqqIIIIIIII")
"""Valid, padding, handle, size, lock owner, atime, mtime, ctime, their nanoseconds, mode, unused, uid, gid, unused."""
MKNOD_IN = struct.Struct("=IIII")
"""Mode, device number, umask, padding."""
MKDIR_IN = struct.Struct("=II")
RENAME_IN = struct.Struct("=Q")
RENAME2_IN = struct.Struct("=QII")
LINK_IN = struct.Struct("=Q")
OPEN_IN = struct.Struct("=II")
CREATE_IN = struct.Struct("=IIII")
"""Flags, mode, umask, open flags."""
OPEN_OUT = struct.Struct("=QII")
READ_IN = struct.Struct("=QQIIQII")
"""Handle, offset, size, read flags, lock owner, flags, padding. Of READDIR too."""
WRITE_IN = READ_IN
"""With write flags in place of the read flags; the data follow."""
WRITE_OUT = struct.Struct("=II")
SETXATTR_IN = struct.Struct("=II")
GETXATTR_IN = struct.Struct("=II")
GETXATTR_OUT = struct.Struct("=II")
ACCESS_IN = struct.Struct("=II")
STATFS_OUT = struct.Struct("=QQQQQIIII24x")
"""Blocks, free, available, files, free files, block size, longest name, fragment size, padding."""

ATTRIBUTES = struct.Struct("=QQQqqqIIIIIIIIII")
"""Node, size, blocks, atime, mtime, ctime, their nanoseconds, mode, links, uid, gid, device, block size, flags."""
GETATTR_OUT = struct.Struct("=QII")
"""Seconds and nanoseconds that the attributes are good for, padding; the attributes follow."""
ENTRY_OUT = struct.Struct("=QQQQII")
"""Node, generation, seconds that name and attributes are good for, their nanoseconds; the attributes follow."""
DIRENT = struct.Struct("=QQII")
"""Node, offset of the next one, length of the name, type; the name follows, and null bytes to a multiple of 8."""
NOTIFY_INVAL_INODE_OUT = struct.Struct("=Qqq")
"""Node, offset (negative: attributes only), length."""

ENTRY_SIZE = ENTRY_OUT.size + ATTRIBUTES.size
NAMELESS_ENTRY = bytes(ENTRY_SIZE)
"""In a listing: an entry of whose node the kernel is told nothing."""


class Request(NamedTuple):
    """A request without its header. `body` is lent until the request was answered."""

    node: int
    uid: int
    gid: int
    body: memoryview

    def name(self, start: int = 0) -> bytes:
        """The name that ends the body and begins at `start`."""
        return self.body[start:-1].tobytes()

    def names(self, start: int = 0) -> tuple[bytes, bytes]:
        """The two names that end the body."""
        first, _, second = self.name(start).partition(b"\0")
        return first, second
