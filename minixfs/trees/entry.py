"""One file of any kind on its way from one tree to another.

A source is an iterable of `Entry`: the top first, with an empty path; every directory before what is in it; names of
one directory in the order of their bytes. Two entries with the same `link` (not None) are names of one file: the first
carries the content, a sink makes the others hard links to it.

`Entry.content` yields the data of a regular file piece by piece and leaves out holes. It opens what it reads when the
iteration begins and closes it when that ends, and can be called again unless the source says otherwise.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from minixfs.hw.blockdev.device import Data

PIECE = 1 << 20
"""Most bytes of data that come in one piece."""

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
"""What programs are told of the type of a file."""

Content = Callable[[], Iterator[tuple[int, Data]]]
"""Pieces of a file: offset in bytes, ascending, and what is there. What no piece covers is zero, up to the size."""


@dataclass(slots=True)
class Entry:
    """`path` is relative to the top, without a leading slash; `mode` has the type; times are nanoseconds since 1970.

    `size` is that of a regular file, 0 for all others; `rdev` the device number (Linux's encoding) of a device node;
    `target` the text of a symbolic link. `origin` names the file for messages: what the user would call it. `runs`
    says where a regular file has data, as (offset, bytes), ascending and apart; None when nothing is known of holes.
    `xattrs` are the extended attributes by full name, ACLs as the kernel hands them out; None when there are none or
    the source was not asked. `implied`: nothing but the path of another file says that this directory exists, its
    attributes are made up.
    """

    path: bytes
    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    atime: int = 0
    ctime: int = 0
    size: int = 0
    rdev: int = 0
    target: bytes = b""
    link: Hashable | None = None
    content: Content | None = None
    runs: Sequence[tuple[int, int]] | None = None
    origin: str = ""
    implied: bool = False
    xattrs: dict[bytes, bytes] | None = None

    @property
    def name(self) -> bytes:
        return self.path.rpartition(b"/")[2]

    @property
    def parent(self) -> bytes:
        return self.path.rpartition(b"/")[0]

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_symlink(self) -> bool:
        return stat.S_ISLNK(self.mode)

    @property
    def is_device(self) -> bool:
        return stat.S_ISCHR(self.mode) or stat.S_ISBLK(self.mode)
