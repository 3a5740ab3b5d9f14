"""What all disk file servers share: admission of requests, the read-only and error policy, and the path walk.

A server derives from `DiskServer` and marks its requests: `reader` ones run together, a `modifier` one runs alone,
and before it the server makes sure that it may write and that the volume is marked as being in use. What a request
finds corrupt is handled once, here, by the mount's ``errors=`` policy.

The path walk (`DiskServer.lookup`) needs four things from the server: loading an inode, finding a name in a
directory, the text of a symbolic link, and putting an inode back.
"""

from __future__ import annotations

import functools
import logging
import stat
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from minixfs.errors import (
    AccessDenied,
    Corrupt,
    NameTooLong,
    NotDirectory,
    NotFound,
    ReadOnly,
    TooManySymlinks,
)
from minixfs.fs.gate import Gate
from minixfs.fs.protocol import (
    AbsoluteSymlink,
    Credentials,
    EnterMount,
    FileServer,
    LeaveMount,
    LookupResult,
    Node,
    granted,
)
from minixfs.hw.runtime import Runtime

log = logging.getLogger(__name__)

PATH_MAX = 1024
SYMLOOP_MAX = 16

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="DiskServer")
Request = Callable[Concatenate[S, P], Awaitable[R]]
Admitted = Callable[Concatenate[S, P], Coroutine[Any, Any, R]]


class AnyInode(Protocol):
    """What the walk needs to know of an inode."""

    num: int
    mode: int
    uid: int
    gid: int
    nlinks: int
    mountpoint: bool


def reader(method: Request[S, P, R]) -> Admitted[S, P, R]:
    """A request that changes nothing but access times; any number run at once."""

    @functools.wraps(method)
    async def request(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if not self.gate.try_read():
            await self.gate.enter(False)
        try:
            return await method(self, *args, **kwargs)
        except Corrupt as error:
            self.found_corruption(error)
            raise
        finally:
            self.gate.leave(False)

    return request


def modifier(method: Request[S, P, R]) -> Admitted[S, P, R]:
    """A request that changes the volume: it runs alone, and not on a read-only one."""

    @functools.wraps(method)
    async def request(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if not self.gate.try_modify():
            await self.gate.enter(True)
        try:
            if self.read_only:
                raise ReadOnly
            if not self.ready_to_change:
                await self.before_change()
            result = await method(self, *args, **kwargs)
            if self.synchronous:
                try:
                    await self.after_synchronous_change()
                except BaseException:
                    if isinstance(result, Node):  # nobody will get to know of its reference
                        await self.put(self.opened(result.ino))
                    raise
            return result
        except Corrupt as error:
            self.found_corruption(error)
            raise
        finally:
            self.gate.leave(True)

    return request


class DiskServer(FileServer):
    """A file server on a block device. `read_only` may become true while mounted; `synchronous` is ``-o sync``.

    `corrupt` says that a defect was found, so that only a checker may mark the volume clean again.
    """

    def __init__(self, runtime: Runtime, errors: str, synchronous: bool = False) -> None:
        self.gate = Gate(runtime)
        self.read_only = True
        self.synchronous = synchronous
        self.is_root = True
        self.corrupt = False
        self._errors = errors
        self._reported: set[str] = set()

    @property
    def ready_to_change(self) -> bool:
        """Whether `before_change` would find nothing to do."""
        return False

    @abstractmethod
    async def before_change(self) -> None:
        """Called in front of a modifying request, unless `ready_to_change`."""

    @abstractmethod
    async def after_synchronous_change(self) -> None:
        """Make what was just done durable."""

    @abstractmethod
    async def load(self, number: int) -> Any:
        """An inode, in use."""

    @abstractmethod
    def opened(self, number: int) -> Any:
        """An inode that VFS holds a reference to; InvalidArgument otherwise."""

    @abstractmethod
    async def put(self, inode: Any) -> None:
        """End one use of an inode."""

    @abstractmethod
    async def find(self, directory: Any, name: bytes) -> int:
        """The inode number behind one name."""

    @abstractmethod
    async def link_text(self, inode: Any) -> bytes:
        """The text of a symbolic link."""

    @abstractmethod
    def node(self, inode: Any) -> Node:
        """What VFS is told about an inode."""

    def found_corruption(self, error: Corrupt) -> None:
        """Log a defect once and do what the mount's ``errors=`` says."""
        self.corrupt = True
        what = str(error)  # the error itself leads to all that was there when it was raised: no log should keep that
        if what not in self._reported:
            self._reported.add(what)
            log.error("corrupt image: %s; unmount and run minixfs fsck", what)
        if self._errors == "abort":
            raise SystemExit(1)
        if self._errors == "remount-ro" and not self.read_only:
            self.read_only = True
            log.error("the mount is read-only from now on")

    # ---- the walk (specification: file systems, 5.1) ---------------------------------------------------------------

    @reader
    async def lookup(
        self, start: int, root: int, path: bytes, credentials: Credentials, *, follow: bool
    ) -> LookupResult:
        """Walk `path`; see `FileServer.lookup`."""
        if len(path) >= PATH_MAX:
            raise NameTooLong
        inode = self.opened(start)
        if not inode.nlinks:
            raise NotFound
        inode = await self.load(start)
        arrived_from_above = inode.mountpoint  # back from the file system that covers the start directory
        symlinks = 0
        rest = path
        try:
            while True:
                name, rest = _split(rest)
                if not name:
                    if inode.mountpoint and not arrived_from_above:
                        return EnterMount(b"", symlinks, inode.num)
                    result = self.node(inode)
                    inode = None  # the reference goes to the caller
                    return result
                if inode.mountpoint and not arrived_from_above:
                    return EnterMount(_join(name, rest), symlinks, inode.num)
                if not stat.S_ISDIR(inode.mode):
                    raise NotDirectory
                if arrived_from_above:
                    name, arrived_from_above = b"..", False
                else:
                    require_search(inode, credentials)
                if name == b"..":
                    if inode.num == root:
                        continue
                    if inode.num == self.root_inode and not self.is_root:
                        return LeaveMount(_join(name, rest), symlinks)
                elif name == b".":
                    continue
                below = await self.load(await self.find(inode, name))
                if stat.S_ISLNK(below.mode) and (rest or follow):
                    try:
                        text = await self.link_text(below)
                    finally:
                        await self.put(below)
                    symlinks += 1
                    if symlinks > SYMLOOP_MAX:
                        raise TooManySymlinks
                    rest = _join(text, rest)
                    if len(rest) >= PATH_MAX:
                        raise NameTooLong
                    if text.startswith(b"/"):
                        return AbsoluteSymlink(rest, symlinks)
                    if not text:
                        raise NotFound
                    continue
                await self.put(inode)
                inode = below
        finally:
            if inode is not None:
                await self.put(inode)

    @reader
    async def lookup_entry(self, directory: int, name: bytes) -> Node:
        return self.node(await self.load(await self.find(self.linked(directory), name)))

    def linked(self, number: int) -> Any:
        """As `opened`, for a directory to look something up in: NotFound if it was removed."""
        inode = self.opened(number)
        if not inode.nlinks:
            raise NotFound
        return inode


def _split(path: bytes) -> tuple[bytes, bytes]:
    """The first component and what follows it; a trailing slash means the component ``.``."""
    stripped = path.lstrip(b"/")
    if not stripped:
        return b"", b""
    name, slash, rest = stripped.partition(b"/")
    if slash and not rest.strip(b"/"):
        rest = b"."
    return name, rest


def _join(name: bytes, rest: bytes) -> bytes:
    return name + b"/" + rest if rest else name


def require_search(inode: AnyInode, credentials: Credentials) -> None:
    """Raise AccessDenied unless `credentials` may search the directory."""
    if credentials.uid == 0:
        return
    if not granted(credentials, inode.mode, inode.uid, inode.gid) & 1:
        raise AccessDenied
