"""The VFS <-> file server protocol (specification: file systems 5, vfs 4): one method per request.

A file server owns inodes and answers requests about them. VFS holds *references*: each `Node` that a lookup, create
or mount returns carries one, to be given back with `putnode`. Errors are raised as `minixfs.errors`; a request that
a server does not have raises `NotImplementedBy` (ENOSYS). A server admits any number of readers or one modifier at
a time; it sees to that itself, so callers need no lock for its sake.

Buffers are lent for the length of one request. Positions and sizes are bytes, names are `bytes`, times are
nanoseconds since the epoch.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, NoReturn

from minixfs.errors import NotImplementedBy
from minixfs.hw.blockdev.device import Buffer, Data


@dataclass(slots=True)
class Credentials:
    """Who asks: effective ids and supplementary groups."""

    uid: int = 0
    gid: int = 0
    groups: frozenset[int] = frozenset()


SUPER_USER = Credentials()


def granted(credentials: Credentials, mode: int, uid: int, gid: int) -> int:
    """The rwx bits of `mode` that count for who asks: those of the owner, else of the group, else of others, alone."""
    if credentials.uid == uid:
        return mode >> 6 & 0o7
    if credentials.gid == gid or gid in credentials.groups:
        return mode >> 3 & 0o7
    return mode & 0o7


class TimeUpdate(Enum):
    """What `utime` does to a stamp besides setting it to a number."""

    NOW = "now"
    OMIT = "omit"


Time = int | TimeUpdate


@dataclass(slots=True)
class Node:
    """What VFS keeps of an inode. `rdev` is None except for device nodes that a lookup returned."""

    ino: int
    mode: int
    size: int
    uid: int
    gid: int
    rdev: int | None = None


@dataclass(slots=True)
class Crossing:
    """A walk that goes on elsewhere. `rest` is the path still to be walked, `symlinks` how many were followed."""

    rest: bytes
    symlinks: int


@dataclass(slots=True)
class EnterMount(Crossing):
    """The walk arrived at mount point `ino` (EENTERMOUNT)."""

    ino: int


class LeaveMount(Crossing):
    """``..`` at the root of a mounted file system; `rest` begins with that ``..`` (ELEAVEMOUNT)."""


class AbsoluteSymlink(Crossing):
    """A symbolic link to an absolute path; `rest` is that path and what followed the link (ESYMLINK)."""


LookupResult = Node | EnterMount | LeaveMount | AbsoluteSymlink


@dataclass(slots=True)
class Stat:
    """The attributes of an inode. `blocks` are units of 512 bytes; times are ns; `rdev` is as os.makedev makes it."""

    ino: int
    mode: int
    nlink: int
    uid: int
    gid: int
    rdev: int
    size: int
    blksize: int
    blocks: int
    atime: int
    mtime: int
    ctime: int


class StatVfs(NamedTuple):
    """Usage of a file system. `blocks`, `bfree` and `bavail` are in units of `frsize` bytes."""

    bsize: int
    frsize: int
    blocks: int
    bfree: int
    bavail: int
    files: int
    ffree: int
    namemax: int
    fsid: int
    read_only: bool


@dataclass(slots=True)
class DirEntry:
    """One directory entry. `next` is the position to go on from; it stays valid while entries come and go."""

    ino: int
    next: int
    name: bytes


class DirTable(NamedTuple):
    """Entries as columns, for large directories: without an object for each.

    `types`: of what type the inodes are, as ``stat.S_IFMT(mode) >> 12``, 0 for not known.
    """

    inos: Sequence[int]
    next: Sequence[int]
    types: Sequence[int]
    names: Sequence[bytes]

    @classmethod
    def of(cls, entries: Sequence[DirEntry]) -> DirTable:
        inos, positions = [entry.ino for entry in entries], [entry.next for entry in entries]
        return cls(inos, positions, [0] * len(entries), [entry.name for entry in entries])


class Mounted(NamedTuple):
    """The answer to `readsuper`: the root (one reference), and whether the server wants to be asked read-only."""

    root: Node
    read_only: bool
    warnings: list[str]


class FileServer(ABC):  # noqa: B024 - every request has a default answer: ENOSYS
    """The table of requests. Every method is one request; what a server does not override answers ENOSYS."""

    kind = "none"
    root_inode = 1
    """The inode number of the root directory."""
    has_xattrs = False
    """Whether files have extended attributes, and access lists among them."""
    stamps_access = True
    """Whether reading changes access times; known once the volume is mounted."""
    granularity = 10**9
    time_min, time_max = 0, 0xFFFFFFFF * 10**9
    """Times are multiples of `granularity` in this range, all in nanoseconds; known once the volume is mounted."""

    def _unknown(self) -> NoReturn:
        raise NotImplementedBy

    # ---- the mount -------------------------------------------------------------------------------------------------

    async def readsuper(self, *, read_only: bool, is_root: bool) -> Mounted:
        """Mount. Raises BadSuperblock, Unsupported or DeviceError."""
        self._unknown()

    async def unmount(self) -> None:
        """Finish: Busy while anything but one reference to the root is held; else sync, mark clean, let go."""
        self._unknown()

    def abandon(self) -> None:  # noqa: B027 - most servers hold nothing
        """Let go of everything at once and write nothing: the device is lost. The server is of no use afterwards."""

    async def sync(self) -> None:
        """Bring every change to the device and return when it is on stable storage. Raises DeviceError."""
        self._unknown()

    async def write_back(self) -> None:
        """Bring every change to the device, without waiting for stable storage. Raises DeviceError."""
        self._unknown()

    async def mountpoint(self, ino: int) -> None:
        """Mark a directory as covered by another mount: Busy if it is already, NotDirectory for a device."""
        self._unknown()

    async def statvfs(self) -> StatVfs:
        self._unknown()

    # ---- references and attributes ---------------------------------------------------------------------------------

    async def putnode(self, ino: int, count: int) -> None:
        """Give `count` references back; InvalidArgument if that many are not held."""
        self._unknown()

    async def stat(self, ino: int) -> Stat:
        self._unknown()

    async def chmod(self, ino: int, mode: int) -> int:
        """Replace the low 12 mode bits; return the whole new mode."""
        self._unknown()

    async def chown(self, ino: int, uid: int, gid: int) -> int:
        """Set both ids and clear the set-id bits of a non-directory; return the whole new mode."""
        self._unknown()

    async def utime(self, ino: int, atime: Time, mtime: Time, ctime: Time = TimeUpdate.NOW) -> None:
        """Set the stamps. `ctime` is given only by a kernel that keeps it for us."""
        self._unknown()

    # ---- extended attributes ---------------------------------------------------------------------------------------

    async def getxattr(self, ino: int, name: bytes) -> bytes:
        """The value of an attribute, by its full name (``user.mime_type``). ENODATA if there is none."""
        self._unknown()

    async def listxattr(self, ino: int) -> list[bytes]:
        self._unknown()

    async def setxattr(self, ino: int, name: bytes, value: bytes, flags: int = 0) -> int:
        """Set an attribute; `flags` are those of setxattr(2). Returns the mode, which an access list can change."""
        self._unknown()

    async def removexattr(self, ino: int, name: bytes) -> None:
        self._unknown()

    async def inherits_acl(self, directory: int) -> bool:
        """Whether new objects get an access list from the directory; then no umask applies to them."""
        return False

    # ---- names -----------------------------------------------------------------------------------------------------

    async def lookup(
        self, start: int, root: int, path: bytes, credentials: Credentials, *, follow: bool
    ) -> LookupResult:
        """Walk `path` from directory `start`; `root` is the inode that ``..`` must not leave (0: none here).

        `follow` says what to do with a symbolic link at the very end.
        """
        self._unknown()

    async def lookup_entry(self, directory: int, name: bytes) -> Node:
        """One name in one directory, links and mount points not followed: what a kernel asks for."""
        self._unknown()

    async def lookup_stat(self, directory: int, name: bytes) -> tuple[Node, Stat]:
        """`lookup_entry`, and the attributes of what was found, in one request."""
        self._unknown()

    async def readlink(self, ino: int) -> bytes:
        self._unknown()

    async def getdents(self, ino: int, position: int, count: int) -> list[DirEntry]:
        """Up to `count` entries from `position` on, ``.`` and ``..`` included; an empty list means the end."""
        self._unknown()

    async def getdents_table(self, ino: int, position: int, count: int) -> DirTable:
        """As `getdents`, as columns."""
        self._unknown()

    async def getnodes(self, entries: Sequence[DirEntry]) -> list[tuple[Node, Stat] | None]:
        """Node (one reference each) and attributes of directory entries; None for one that cannot be read."""
        self._unknown()

    async def create(self, directory: int, name: bytes, mode: int, uid: int, gid: int) -> Node:
        """Make a regular file; the node carries a reference and no device number."""
        self._unknown()

    async def mknod(self, directory: int, name: bytes, mode: int, uid: int, gid: int, rdev: int) -> None:
        self._unknown()

    async def mkdir(self, directory: int, name: bytes, mode: int, uid: int, gid: int) -> None:
        self._unknown()

    async def symlink(self, directory: int, name: bytes, target: bytes, uid: int, gid: int) -> None:
        self._unknown()

    async def link(self, ino: int, directory: int, name: bytes) -> None:
        self._unknown()

    async def unlink(self, directory: int, name: bytes) -> None:
        self._unknown()

    async def rmdir(self, directory: int, name: bytes) -> None:
        self._unknown()

    async def rename(self, old_directory: int, old_name: bytes, new_directory: int, new_name: bytes) -> None:
        self._unknown()

    async def exchange(self, old_directory: int, old_name: bytes, new_directory: int, new_name: bytes) -> None:
        """Swap two names in one step (Linux RENAME_EXCHANGE)."""
        self._unknown()

    # ---- data ------------------------------------------------------------------------------------------------------

    async def read(self, ino: int, position: int, size: int) -> Buffer:
        """Up to `size` bytes; fewer only at the end of the file."""
        self._unknown()

    async def read_files(self, inos: Sequence[int]) -> list[Buffer]:
        """The whole of each of these regular files, at most some megabytes together; no references are needed."""
        self._unknown()

    async def data_runs(self, ino: int, position: int, size: int) -> list[tuple[int, int]]:
        """Where that range of a regular file has data and no hole: (offset, bytes), ascending, up to the end."""
        self._unknown()

    async def accessed(self, ino: int) -> bool:
        """The caller will read what it has cached: stamp the access time as a read would; return whether it changed."""
        self._unknown()

    async def write(self, ino: int, position: int, data: Data) -> int:
        """Store `data`; return how many bytes, fewer than all only when the disk filled up on the way."""
        self._unknown()

    async def truncate(self, ino: int, size: int) -> None:
        """Set the file's size; growing makes a hole."""
        self._unknown()

    async def free_range(self, ino: int, start: int, end: int) -> None:
        """Make the bytes [start, end) of the file a hole; its size stays."""
        self._unknown()

    async def peek(self, ino: int, position: int, size: int) -> None:
        """Bring file data into the page cache, annotated with its place in the file; nothing is copied."""
        self._unknown()

    async def inhibit_readahead(self, ino: int) -> None:
        """Hint: the next read follows a seek."""
        self._unknown()

    # ---- the device as a whole -------------------------------------------------------------------------------------

    async def bread(self, position: int, size: int) -> Buffer:
        """Read the mounted device itself, through its cache."""
        self._unknown()

    async def bpeek(self, position: int, size: int) -> None:
        """As `peek` for the device; whole blocks around the range."""
        self._unknown()
