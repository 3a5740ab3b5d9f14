"""An image as long as it is open: how it is opened and closed, and how calls are made of its file system.

`Session` is the lower half of `minixfs.image.image.Image`. `ask` makes one call of `system` (what VFS does for a
process: all that changes something) or of `reader` (questions, answered without VFS); its errors become OSErrors.

Invariants: between two calls the file server waits for nothing and holds nothing but what open files hold; an open file
that may change something is in `_files`, so that it outlives whatever its user forgets and is written at the end.
"""

from __future__ import annotations

import atexit
import logging
import os
import warnings
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import IO, Any, Self, TypeVar
from weakref import WeakSet

from minixfs.daemon.assemble import Assembly
from minixfs.daemon.options import MountOptions
from minixfs.daemon.process import Process, Synchronous
from minixfs.daemon.vfs import Limits, Vfs
from minixfs.errors import MinixFsError, UsageError
from minixfs.fs.server import PATH_MAX
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.image.file import ImageFile, as_os_error
from minixfs.image.guard import Guard
from minixfs.image.reader import Reader

T = TypeVar("T")

CACHE_SIZE = 8 << 20
"""Bytes. File data does not go through the cache; this holds bitmaps, inodes and directories."""
LIMITS = Limits(descriptors=1 << 16)

_NOT_LOGGED = logging.NullHandler()
_OPEN: WeakSet[Session] = WeakSet()


class Session:
    """One open image. `spec` is what it was opened by, `writable` whether it can be changed, `closed` whether it is.

    `process` gives the system calls themselves, for what has no method here (descriptors; their errors are
    MinixFsErrors).
    """

    def __init__(
        self,
        spec: str | os.PathLike[str],
        mode: str = "r",
        *,
        partition: str | None = None,
        offset: int | None = None,
        cache_size: int = CACHE_SIZE,
        umask: int = 0,
        device: BlockDevice | None = None,
    ) -> None:
        """Open everything that ``minixfs mount`` takes; `mode` is "r" or "r+".

        `partition` (``p0s1``) or `offset` (bytes) choose a part of a disk where `spec` does not. `cache_size` is bytes,
        `umask` what new files and directories do not grant. A `device` stands for the file `spec`, which is then only
        a name; it is closed with the image.

        Raises MinixFsError; ValueError for another mode.
        """
        self.closed = True
        if mode not in ("r", "r+"):
            raise ValueError(f"an image is opened with 'r' or 'r+', not {mode!r}")
        logging.getLogger("minixfs").addHandler(_NOT_LOGGED)  # what is found on the way arrives as an error
        self.spec = os.fspath(spec)
        self.writable = mode == "r+"
        self._files: dict[ImageFile, IO[Any]] = {}
        options = MountOptions(ro=not self.writable, cache_size=cache_size, offset=offset)
        self._assembly = Assembly(Vfs(limits=LIMITS), options)
        self._guard = Guard()
        self.closed = False
        try:
            self._mount(partition, device, umask)
        except BaseException:
            self._end()
            raise
        _OPEN.add(self)

    def _mount(self, partition: str | None, device: BlockDevice | None, umask: int) -> None:
        found = self._guard.run(self._assembly.mount_root(self.spec, partition, device))
        vfs = self._assembly.vfs
        self.system = Process(vfs, umask=umask)
        self.process: Any = Synchronous(self.system, self._guard.run)
        self.reader = Reader(vfs.root.fs, vfs.root.root.ino)
        if self.writable and vfs.root.read_only:
            raise UsageError(next(iter(found), f"{self.spec}: cannot be changed"))

    def close(self) -> None:
        """Close all files, write all changes and let the image go: the last in any case. Raises OSError for the first
        that failed."""
        if self.closed:
            return
        failure: Exception | None = None
        for file in list(self._files.values()):
            try:
                file.close()
            except (OSError, ValueError) as error:
                failure = failure or error
        try:
            self._end()
        except MinixFsError as error:
            failure = failure or as_os_error(error, self.spec)
        if failure is not None:
            raise failure

    def _end(self) -> None:
        self.closed = True
        _OPEN.discard(self)
        self._guard.close(self._finish(), f"the image is closed: {self.spec}")

    def _forsake(self) -> None:
        """After a fork, in the child: the image is the parent's, and nothing may be written twice."""
        self.closed = True
        self._guard.forsake(f"the image belongs to the process that opened it: {self.spec}")
        for device in self._assembly.devices:
            device.close()

    async def _finish(self) -> None:
        try:
            if hasattr(self, "reader"):
                await self.reader.end()
                await self.system.exit()
        finally:
            await self._assembly.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self.closed:
            warnings.warn(f"unclosed image {self.spec}", ResourceWarning, stacklevel=2, source=self)
            self.close()

    def __repr__(self) -> str:
        return f"<Image {self.spec}{', writable' if self.writable else ''}{', closed' if self.closed else ''}>"

    def sync(self) -> None:
        """Return when all changes are on stable storage, also those that open files hold in their buffers."""
        for file in list(self._files.values()):
            file.flush()
        self.ask(self.spec, self.system.sync)

    # ---- calls -----------------------------------------------------------------------------------------------------

    def ask(self, name: str, call: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any, **options: Any) -> Any:
        """The result of one call of `system` or `reader`. Its errors become OSErrors about `name`."""
        try:
            return self._guard.run(call(*arguments, **options))
        except MinixFsError as error:
            raise as_os_error(error, name) from error

    def change(
        self, path: bytes, name: str, call: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any, **options: Any
    ) -> Any:
        """As `ask` for a call of `system` on a path from the root, of any length."""
        if len(path) < PATH_MAX:
            return self.ask(name, call, path, *arguments, **options)

        async def near() -> Any:
            return await call(await self.approach(path), *arguments, **options)

        return self.ask(name, near)

    def undivided(self, function: Callable[..., T], *arguments: Any) -> T:
        """The result of a function that makes several calls, which Ctrl-C is not to come between."""
        return self._guard.undivided(function, *arguments)

    def remember(self, raw: ImageFile, file: IO[Any]) -> None:
        """`file`, which writes through `raw`, is to be closed before the image is."""
        self._files[raw] = file

    def forget(self, raw: ImageFile, descriptor: int) -> None:
        """A file that `remember` was told of has been closed."""
        self._files.pop(raw, None)
        if not self.closed:
            self.ask(raw.name, self.system.close, descriptor)

    async def approach(self, path: bytes) -> bytes:
        """`path` as one call takes it: deep trees have longer paths, for these the working directory goes along."""
        *parents, name = [part for part in path.split(b"/") if part]
        await self.system.chdir(b"/")
        for part in parents:
            await self.system.chdir(part)
        return name


@atexit.register
def _close_all() -> None:
    for image in list(_OPEN):
        image.close()


def _forsake_writable() -> None:
    for image in list(_OPEN):
        if image.writable:
            image._forsake()


os.register_at_fork(after_in_child=_forsake_writable)
