"""What can be asked of the files of an image without changing it, by path, answered by the file server itself.

An image has one mount, one user and nobody else in it, so none of the locks and rights of VFS matter for looking; the
way around them makes `Reader` twice as fast as a system call, and a directory with the attributes of all that is in
it is one question. Changes go through VFS (`Process`), beside which this may be used at any time.

References: `hold` answers with one, which `release` gives back; that may be called at any moment, even by the garbage
collector within another call, as it only makes a note. The next question pays, and `end` what is held then.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from minixfs.errors import InvalidArgument, IsDirectory, NotDirectory, TooManySymlinks
from minixfs.fs.protocol import SUPER_USER, AbsoluteSymlink, DirEntry, FileServer, Node, Stat, StatVfs
from minixfs.fs.server import PATH_MAX, SYMLOOP_MAX
from minixfs.hw.blockdev.device import Buffer

T = TypeVar("T")

BATCH = 1024
"""Directory entries read at a time."""
_DIRECTORY, _SYMLINK, _FORMAT = 0o040000, 0o120000, 0o170000


class Reader:
    """`fs` serves the image, `root` is the inode of its root directory. Paths are bytes, from the root."""

    def __init__(self, fs: FileServer, root: int) -> None:
        self._fs = fs
        self._root = root
        self._owed: deque[int] = deque()
        self._held: Counter[int] = Counter()

    async def hold(self, path: bytes) -> Node:
        """What is at `path`, to be used until `release`, even if its names go."""
        node = await self._node(path)
        self._held[node.ino] += 1
        return node

    def release(self, ino: int) -> None:
        """End what `hold` began."""
        self._owed.append(ino)

    async def end(self) -> None:
        """End all of it."""
        await self._settle()
        for ino in list(self._held.elements()):
            await self._put_held(ino)

    async def _settle(self) -> None:
        while self._owed:
            await self._put_held(self._owed.popleft())

    async def _put_held(self, ino: int) -> None:
        self._held[ino] -= 1
        await self._fs.putnode(ino, 1)

    async def _node(self, path: bytes, *, follow: bool = True) -> Node:
        """What is at `path`, of any length; it carries a reference."""
        await self._settle()
        start, symlinks = None, 0
        while True:
            piece, rest = _split(path)
            try:
                found = await self._fs.lookup(
                    self._root if start is None else start, self._root, piece, SUPER_USER, follow=follow or bool(rest)
                )
            finally:
                if start is not None:
                    await self._fs.putnode(start, 1)
            if isinstance(found, Node):
                if not rest:
                    return found
                start, path = found.ino, rest
            elif isinstance(found, AbsoluteSymlink):
                symlinks += found.symlinks
                if symlinks > SYMLOOP_MAX:
                    raise TooManySymlinks
                start, path = None, found.rest + b"/" + rest if rest else found.rest
            else:
                raise InvalidArgument(message="a mount inside an image")

    async def stat(self, path: bytes, follow: bool = True) -> Stat:
        return await self._at(path, follow, lambda node: self._fs.stat(node.ino))

    async def stat_node(self, ino: int) -> Stat:
        """Attributes of a file that the caller holds."""
        return await self._fs.stat(ino)

    async def statvfs(self, path: bytes) -> StatVfs:
        return await self._at(path, True, lambda node: self._fs.statvfs())

    async def readlink(self, path: bytes) -> bytes:
        async def read(node: Node) -> bytes:
            if node.mode & _FORMAT != _SYMLINK:
                raise InvalidArgument
            return await self._fs.readlink(node.ino)

        return await self._at(path, False, read)

    async def entries(self, path: bytes) -> list[DirEntry]:
        """What is in a directory, dots excepted, in the order of the bytes of the names."""
        return await self._at(path, True, self._entries)

    async def scan(self, path: bytes) -> list[tuple[bytes, int, Stat | None]]:
        """As `entries`, with attributes: name, inode number, and the attributes or None where they cannot be read."""

        async def read(node: Node) -> list[tuple[bytes, int, Stat | None]]:
            found: list[tuple[bytes, int, Stat | None]] = []
            entries = await self._entries(node)
            for first in range(0, len(entries), BATCH):
                batch = entries[first : first + BATCH]
                for entry, known in zip(batch, await self._fs.getnodes(batch), strict=True):
                    if known is not None:
                        await self._fs.putnode(entry.ino, 1)
                    found.append((entry.name, entry.ino, known and known[1]))
            return found

        return await self._at(path, True, read)

    async def read(self, path: bytes) -> Buffer:
        """All of a file."""

        async def read(node: Node) -> Buffer:
            if node.mode & _FORMAT == _DIRECTORY:
                raise IsDirectory
            return await self._fs.read(node.ino, 0, node.size)

        return await self._at(path, True, read)

    async def read_node(self, ino: int, position: int, size: int) -> Buffer:
        """Up to `size` bytes of a file that the caller holds."""
        return await self._fs.read(ino, position, size)

    async def _at(self, path: bytes, follow: bool, ask: Callable[[Node], Awaitable[T]]) -> T:
        node = await self._node(path, follow=follow)
        try:
            return await ask(node)
        finally:
            await self._fs.putnode(node.ino, 1)

    async def _entries(self, directory: Node) -> list[DirEntry]:
        if directory.mode & _FORMAT != _DIRECTORY:
            raise NotDirectory
        found: list[DirEntry] = []
        position = 0
        while batch := await self._fs.getdents(directory.ino, position, BATCH):
            found += batch
            position = batch[-1].next
        return sorted((entry for entry in found if entry.name not in (b".", b"..")), key=lambda entry: entry.name)


def _split(path: bytes) -> tuple[bytes, bytes]:
    """As much of a path as one lookup takes, and the rest. A long one goes name by name: links make it longer still."""
    if len(path) < PATH_MAX:
        return path, b""
    name, _, rest = path.lstrip(b"/").partition(b"/")
    return name, rest
