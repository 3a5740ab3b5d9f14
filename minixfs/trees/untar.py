"""A tar file as a source of entries.

    with TarSource("tree.tar.gz") as entries:       None: standard input
        for entry in entries: ...                   contents can be read until the block ends

It understands what Python's tarfile does: ustar, GNU and pax, with holes of all kinds, and compressed by gzip, bzip2 or
xz (zstd where Python has it). What is compressed, or comes through a pipe, is unpacked into a temporary file first. The
result is what unpacking into an empty directory would give: the last of several files of one name counts, directories
that are only implied belong to the super-user with mode 0755 and are as old as what first implied them. Names are taken
relative to the top; one that would lead out of it is an error.
"""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import stat
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from types import TracebackType
from typing import IO, Any

from minixfs.errors import UsageError
from minixfs.trees.entry import PIECE, Entry
from minixfs.trees.tar import XATTR

_NANO = 10**9
_TYPES = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}
_OTHER_FILES = (tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE)
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\0": "lzma", b"\x28\xb5\x2f\xfd": "compression.zstd"}
"""How a compressed file begins, and the module of Python's that unpacks it."""


@dataclass(slots=True)
class _Node:
    """One file of the archive. `children` is None for all but directories, `data` the offset of the content."""

    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    atime: int = 0
    ctime: int = 0
    size: int = 0
    rdev: int = 0
    target: bytes = b""
    data: int = 0
    runs: list[tuple[int, int]] | None = None
    xattrs: dict[bytes, bytes] | None = None
    is_linked: bool = False
    implied: bool = False
    children: dict[bytes, _Node] | None = None


class TarSource:
    """The files of the tar file at `path`, or on standard input if that is None. Iterating reads all headers.

    Raises UsageError for what is no tar file, or names files that cannot be; OSError.
    """

    def __init__(self, path: str | None) -> None:
        self.name = "standard input" if path is None else path
        self._file = _plain_file(path, self.name)

    def __enter__(self) -> TarSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Entry]:
        waiting = [(b"", self._read())]
        while waiting:
            path, node = waiting.pop()
            yield self._entry(path, node)
            if node.children:
                prefix = path + b"/" if path else b""
                waiting += [(prefix + name, node.children[name]) for name in sorted(node.children, reverse=True)]

    def _entry(self, path: bytes, node: _Node) -> Entry:
        entry = Entry(path, node.mode, node.uid, node.gid, node.mtime, node.atime, node.ctime, node.size, node.rdev)
        entry.target = node.target
        entry.origin = f"{self.name}: {os.fsdecode(path) or '.'}"
        entry.runs = node.runs
        entry.xattrs = node.xattrs
        entry.implied = node.implied
        if node.is_linked:
            entry.link = id(node)  # of an object that lives as long as the iteration
        if node.size:
            entry.content = _Content(self._file, node.data, node.size, node.runs, entry.origin)
        return entry

    def _read(self) -> _Node:
        """All files of the archive, below their top."""
        root = _Node(stat.S_IFDIR | 0o755, implied=True, children={})
        self._file.seek(0)
        try:
            with tarfile.open(fileobj=self._file, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
                while (member := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # or they would all stay in memory
                    self._take(root, member)
        except tarfile.TarError as error:
            raise UsageError(f"{self.name}: this is no tar file, or a damaged one ({error})") from error
        return root

    def _take(self, root: _Node, member: tarfile.TarInfo) -> None:
        names = self._names(member.pax_headers.get("GNU.sparse.name", member.name))
        if member.type == tarfile.LNKTYPE:
            node = self._find(root, member)
            node.is_linked = True
        else:
            node = self._node(member)
        if not names:
            if node.children is None:
                raise self._error(member, "the top of a tree is a directory")
            _renew(root, node)
            return
        *above, name = names
        directory = root
        for part in above:
            implied = _Node(stat.S_IFDIR | 0o755, mtime=node.mtime, implied=True, children={})
            implied.atime = implied.ctime = node.mtime
            directory = _children(directory).setdefault(part, implied)
            if directory.children is None:
                raise self._error(member, "what should be a directory above it is none")
        siblings = _children(directory)
        old = siblings.get(name)
        if old is None or not old.children:
            siblings[name] = node
        elif node.children is not None:
            _renew(old, node)
        else:
            raise self._error(member, "there are files below that name already")

    def _node(self, member: tarfile.TarInfo) -> _Node:
        kind = stat.S_IFREG if member.type in _OTHER_FILES else _TYPES.get(member.type)
        if kind is None:
            raise self._error(member, f"type {os.fsdecode(member.type)!r} of a file is unknown")
        mtime = _time(member, "mtime", int(member.mtime) * _NANO)
        node = _Node(kind | stat.S_IMODE(member.mode), member.uid, member.gid, mtime)
        node.atime, node.ctime = _time(member, "atime", mtime), _time(member, "ctime", mtime)
        node.xattrs = _xattrs(member)
        if kind == stat.S_IFREG:
            node.size = member.size
            node.data = member.offset_data
            sparse: Any = member.sparse  # pairs, whatever the type hints of tarfile say
            if sparse is not None:
                node.runs = [(offset, length) for offset, length in sparse if length]
        elif kind == stat.S_IFDIR:
            node.children = {}
        elif kind == stat.S_IFLNK:
            node.target = os.fsencode(member.linkname)
        elif kind != stat.S_IFIFO:
            node.rdev = os.makedev(member.devmajor, member.devminor)
        return node

    def _find(self, root: _Node, member: tarfile.TarInfo) -> _Node:
        """What a hard link is a name of."""
        node: _Node | None = root
        for name in self._names(member.linkname):
            node = (node.children or {}).get(name) if node is not None else None
        if node is None or node.children is not None:
            raise self._error(member, f"it is a link to {member.linkname}, and no such file comes before it")
        return node

    def _names(self, path: str) -> list[bytes]:
        names = [name for name in os.fsencode(path).split(b"/") if name not in (b"", b".")]
        if b".." in names:
            raise UsageError(f"{self.name}: {path}: the name leads out of the archive")
        return names

    def _error(self, member: tarfile.TarInfo, what: str) -> UsageError:
        return UsageError(f"{self.name}: {member.name}: {what}")


class _Content:
    """The data of one file of an archive."""

    __slots__ = ("data", "file", "origin", "runs", "size")

    def __init__(
        self, file: IO[bytes], data: int, size: int, runs: Sequence[tuple[int, int]] | None, origin: str
    ) -> None:
        self.file = file
        self.data = data
        self.size = size
        self.runs = runs
        self.origin = origin

    def __call__(self) -> Iterator[tuple[int, bytes]]:
        position = self.data
        for offset, length in ((0, self.size),) if self.runs is None else self.runs:
            end = offset + length
            while offset < end:
                data = os.pread(self.file.fileno(), min(end - offset, PIECE), position)
                if not data:
                    raise OSError(errno.EIO, "the tar file ends too early", self.origin)
                yield offset, data
                offset += len(data)
                position += len(data)


def _children(directory: _Node) -> dict[bytes, _Node]:
    return directory.children if directory.children is not None else {}


def _renew(directory: _Node, node: _Node) -> None:
    """Give a directory the attributes with which it came again."""
    directory.mode, directory.uid, directory.gid = node.mode, node.uid, node.gid
    directory.mtime, directory.atime, directory.ctime = node.mtime, node.atime, node.ctime
    directory.xattrs = node.xattrs
    directory.implied = False


def _time(member: tarfile.TarInfo, name: str, default: int) -> int:
    """Nanoseconds since 1970, from a pax header, which has more digits than a float."""
    text = member.pax_headers.get(name)
    with suppress(InvalidOperation, ValueError, OverflowError):
        return int(Decimal(text) * _NANO) if text is not None else default
    return default


def _xattrs(member: tarfile.TarInfo) -> dict[bytes, bytes] | None:
    found = {}
    for key, value in member.pax_headers.items():
        if key.startswith(XATTR):
            name = os.fsencode(key.removeprefix(XATTR)).replace(b"%3D", b"=").replace(b"%25", b"%")
            found[name] = value.encode("utf-8", "surrogateescape")
    return found or None


def _plain_file(path: str | None, name: str) -> IO[bytes]:
    """The archive, uncompressed, in a file that can be read anywhere."""
    raw = open(0 if path is None else path, "rb", closefd=path is not None)  # noqa: SIM115 - returned, or closed below
    head = raw.peek(8)
    module = next((module for magic, module in _COMPRESSED.items() if head.startswith(magic)), None)
    if module is None and path is not None and stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
        return raw
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - as above
    try:
        with raw:
            if module is None:
                shutil.copyfileobj(raw, spool, PIECE)
            else:
                _unpack(raw, spool, module, name)
        spool.flush()
    except BaseException:
        spool.close()
        raise
    return spool


def _unpack(raw: IO[bytes], spool: IO[bytes], module: str, name: str) -> None:
    try:
        library = importlib.import_module(module)
    except ImportError:
        kind = module.rpartition(".")[2]
        raise UsageError(f"{name}: this Python cannot read what {kind} has compressed; unpack it first") from None
    own = tuple(getattr(library, kind) for kind in ("LZMAError", "ZstdError") if hasattr(library, kind))
    try:
        with library.open(raw, "rb") as plain:
            shutil.copyfileobj(plain, spool, PIECE)
    except (EOFError, zlib.error, OSError, *own) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UsageError(f"{name}: this is a damaged compressed file ({error})") from error
