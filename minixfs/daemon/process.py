"""A process: the path- and descriptor-based client of VFS (specification: vfs 1.1, appendix A).

    process = Process(vfs)
    fd = await process.open(b"/etc/fstab", os.O_RDONLY)
    data = await process.read(fd, 4096)

One call of a process runs at a time; others wait for it (`lock`). Results and errors are those of the MINIX system
calls; errors are `minixfs.errors`. Paths and data are bytes, sizes and positions bytes, times nanoseconds.

`Synchronous(process)` is the same object for programs without an event loop: every method runs to its end and
returns its result directly.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from minixfs.daemon.call import Call
from minixfs.daemon.calls import link, protect, readwrite, xattr
from minixfs.daemon.calls import open as opening
from minixfs.daemon.calls import stat as attributes
from minixfs.daemon.calls.protect import KEEP, X_BIT
from minixfs.daemon.objects import Filp, Vnode, dup
from minixfs.daemon.path import ByNode, ByPath, Place
from minixfs.daemon.tll import READ, WRITE, Rank, ThreeLevelLock
from minixfs.daemon.vfs import Vfs
from minixfs.errors import BadDescriptor, InvalidArgument, NotDirectory, NotPermitted, PosixError
from minixfs.fs.protocol import Credentials, DirEntry, Stat, StatVfs, Time, TimeUpdate
from minixfs.hw.blockdev.device import Buffer, Data
from minixfs.hw.runtime import run

SEEK_SET, SEEK_CUR, SEEK_END = os.SEEK_SET, os.SEEK_CUR, os.SEEK_END


class Process:
    """State: descriptors, `root` and `cwd` (counted references), `credentials`, `umask`. End it with `exit`."""

    def __init__(self, vfs: Vfs, credentials: Credentials | None = None, umask: int = 0o022) -> None:
        self.vfs = vfs
        self.credentials = credentials or Credentials()
        self.umask_bits = umask
        self.root: Vnode = dup(vfs.root.root)
        self.cwd: Vnode = dup(vfs.root.root)
        self.lock = ThreeLevelLock(Rank.PROCESS, vfs.runtime)
        self._filps: dict[int, Filp] = {}
        self._ended = False

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[Call]:
        async with self.vfs.call(self.credentials, self.umask_bits) as call:
            await self.lock.acquire(WRITE, call)
            try:
                yield call
            finally:
                self.lock.release(call)

    # ---- files ------------------------------------------------------------------------------------------------

    async def open(self, path: bytes, flags: int, mode: int = 0o666) -> int:
        """Open or create; returns the lowest free descriptor (EMFILE when there is none)."""
        async with self._call() as call:
            descriptor = self._free_descriptor()
            if flags & os.O_CREAT:
                place = ByPath(self, path, follow=not flags & (os.O_EXCL | os.O_NOFOLLOW))
                filp = await opening.create(call, place, flags, mode)
            else:
                place = ByPath(self, path, follow=not flags & os.O_NOFOLLOW)
                filp = await opening.open_file(call, place, flags)
            self._filps[descriptor] = filp
            return descriptor

    async def close(self, fd: int) -> None:
        async with self._call() as call:
            filp = self._filp(fd)
            del self._filps[fd]
            await opening.close(call, filp)

    async def read(self, fd: int, size: int) -> Buffer:
        async with self._call() as call:
            return await readwrite.read(call, self._filp(fd), None, size)

    async def write(self, fd: int, data: Data) -> int:
        async with self._call() as call:
            return await readwrite.write(call, self._filp(fd), None, data)

    async def pread(self, fd: int, size: int, position: int) -> Buffer:
        async with self._call() as call:
            return await readwrite.read(call, self._filp(fd), _position(position), size)

    async def pwrite(self, fd: int, data: Data, position: int) -> int:
        async with self._call() as call:
            return await readwrite.write(call, self._filp(fd), _position(position), data)

    async def lseek(self, fd: int, offset: int, whence: int = SEEK_SET) -> int:
        async with self._call() as call:
            return await readwrite.lseek(call, self._filp(fd), offset, whence)

    async def getdents(self, fd: int, count: int = 64) -> list[DirEntry]:
        """The next entries of an open directory; an empty list at its end."""
        async with self._call() as call:
            return await readwrite.getdents(call, self._filp(fd), None, count)

    async def ftruncate(self, fd: int, size: int) -> None:
        async with self._call() as call:
            await readwrite.ftruncate(call, self._filp(fd), size)

    async def truncate(self, path: bytes, size: int) -> None:
        async with self._call() as call:
            await readwrite.truncate(call, ByPath(self, path), size)

    async def dup(self, fd: int, lowest: int = 0) -> int:
        """Another descriptor, not below `lowest`, for the same open file."""
        async with self._call():
            filp = self._filp(fd)
            if not 0 <= lowest < self.vfs.limits.descriptors:
                raise InvalidArgument
            descriptor = self._free_descriptor(lowest)
            filp.count += 1
            self._filps[descriptor] = filp
            return descriptor

    async def fsync(self, fd: int) -> None:
        async with self._call() as call:
            await readwrite.fsync(call, self._filp(fd).vnode.vmnt)

    async def sync(self) -> None:
        await self.vfs.sync()

    # ---- names ------------------------------------------------------------------------------------------------

    async def link(self, existing: bytes, new: bytes) -> None:
        async with self._call() as call:
            await link.link(call, ByPath(self, existing, follow=False), ByPath(self, new, follow=False))

    async def unlink(self, path: bytes) -> None:
        async with self._call() as call:
            await link.unlink(call, ByPath(self, path, follow=False))

    async def rmdir(self, path: bytes) -> None:
        async with self._call() as call:
            await link.rmdir(call, ByPath(self, path, follow=False))

    async def rename(self, old: bytes, new: bytes) -> None:
        async with self._call() as call:
            await link.rename(call, ByPath(self, old, follow=False), ByPath(self, new, follow=False))

    async def mkdir(self, path: bytes, mode: int = 0o777) -> None:
        async with self._call() as call:
            await opening.mkdir(call, ByPath(self, path, follow=False), mode)

    async def mknod(self, path: bytes, mode: int, rdev: int = 0) -> None:
        async with self._call() as call:
            await opening.mknod(call, ByPath(self, path, follow=False), mode, rdev)

    async def symlink(self, target: bytes, path: bytes) -> None:
        async with self._call() as call:
            await link.symlink(call, target, ByPath(self, path, follow=False))

    async def readlink(self, path: bytes) -> bytes:
        async with self._call() as call:
            return await link.readlink(call, ByPath(self, path, follow=False))

    # ---- attributes -------------------------------------------------------------------------------------------

    async def stat(self, path: bytes) -> Stat:
        async with self._call() as call:
            return await attributes.stat(call, ByPath(self, path))

    async def lstat(self, path: bytes) -> Stat:
        async with self._call() as call:
            return await attributes.stat(call, ByPath(self, path, follow=False))

    async def fstat(self, fd: int) -> Stat:
        async with self._call() as call:
            return await attributes.stat(call, self._node(fd))

    async def statvfs(self, path: bytes) -> StatVfs:
        async with self._call() as call:
            return await attributes.statvfs(call, ByPath(self, path))

    async def access(self, path: bytes, wanted: int) -> None:
        async with self._call() as call:
            await protect.access(call, ByPath(self, path), wanted)

    async def chmod(self, path: bytes, mode: int) -> None:
        async with self._call() as call:
            await protect.chmod(call, ByPath(self, path), mode)

    async def fchmod(self, fd: int, mode: int) -> None:
        async with self._call() as call:
            await protect.chmod(call, self._node(fd), mode)

    async def chown(self, path: bytes, uid: int = KEEP, gid: int = KEEP, *, follow: bool = True) -> None:
        async with self._call() as call:
            await protect.chown(call, ByPath(self, path, follow=follow), uid, gid)

    async def fchown(self, fd: int, uid: int = KEEP, gid: int = KEEP) -> None:
        async with self._call() as call:
            await protect.chown(call, self._node(fd), uid, gid)

    async def utimens(
        self, path: bytes, atime: Time = TimeUpdate.NOW, mtime: Time = TimeUpdate.NOW, *, follow: bool = True
    ) -> None:
        async with self._call() as call:
            await attributes.utime(call, ByPath(self, path, follow=follow), atime, mtime)

    async def futimens(self, fd: int, atime: Time = TimeUpdate.NOW, mtime: Time = TimeUpdate.NOW) -> None:
        async with self._call() as call:
            await attributes.utime(call, self._node(fd), atime, mtime)

    async def getxattr(self, path: bytes, name: bytes, *, follow: bool = True) -> bytes:
        async with self._call() as call:
            return await xattr.getxattr(call, ByPath(self, path, follow=follow), name)

    async def listxattr(self, path: bytes, *, follow: bool = True) -> list[bytes]:
        async with self._call() as call:
            return await xattr.listxattr(call, ByPath(self, path, follow=follow))

    async def setxattr(self, path: bytes, name: bytes, value: bytes, flags: int = 0, *, follow: bool = True) -> None:
        async with self._call() as call:
            await xattr.setxattr(call, ByPath(self, path, follow=follow), name, value, flags)

    async def removexattr(self, path: bytes, name: bytes, *, follow: bool = True) -> None:
        async with self._call() as call:
            await xattr.removexattr(call, ByPath(self, path, follow=follow), name)

    # ---- the process itself -----------------------------------------------------------------------------------

    async def chdir(self, path: bytes) -> None:
        async with self._call() as call:
            old, self.cwd = self.cwd, await self._directory(call, ByPath(self, path))
            self.vfs.vnodes.release(old)

    async def fchdir(self, fd: int) -> None:
        async with self._call() as call:
            old, self.cwd = self.cwd, await self._directory(call, self._node(fd))
            self.vfs.vnodes.release(old)

    async def chroot(self, path: bytes) -> None:
        if self.credentials.uid:
            raise NotPermitted
        async with self._call() as call:
            old, self.root = self.root, await self._directory(call, ByPath(self, path))
            self.vfs.vnodes.release(old)

    def umask(self, bits: int) -> int:
        """Set the mask; returns the previous one. Only the rwx bits count."""
        previous, self.umask_bits = self.umask_bits, bits & 0o777
        return previous

    def fork(self) -> Process:
        """A child with the same open files, directories, credentials and mask."""
        child = Process(self.vfs, self.credentials, self.umask_bits)
        child.root.ref_count -= 1
        child.cwd.ref_count -= 1
        child.root, child.cwd = dup(self.root), dup(self.cwd)
        for descriptor, filp in self._filps.items():
            filp.count += 1
            child._filps[descriptor] = filp
        return child

    async def exit(self) -> None:
        """Close everything and let go of both directories. Once more does nothing."""
        async with self._call() as call:
            if self._ended:
                return
            self._ended = True
            while self._filps:
                await opening.close(call, self._filps.popitem()[1])
            self.vfs.vnodes.release(self.cwd)
            self.vfs.vnodes.release(self.root)

    async def _directory(self, call: Call, place: Place) -> Vnode:
        async with place.object(call, READ, READ) as held:
            if not held.vnode.is_directory:
                raise NotDirectory
            protect.require(call, held.vnode, X_BIT)
            return dup(held.vnode)

    def _filp(self, fd: int) -> Filp:
        filp = self._filps.get(fd)
        if filp is None:
            raise BadDescriptor
        return filp

    def _node(self, fd: int) -> ByNode:
        return ByNode(self._filp(fd).vnode)

    def _free_descriptor(self, lowest: int = 0) -> int:
        for descriptor in range(lowest, self.vfs.limits.descriptors):
            if descriptor not in self._filps:
                return descriptor
        raise PosixError(errno.EMFILE)


def _position(position: int) -> int:
    if not 0 <= position <= readwrite.MAX_POSITION:
        raise InvalidArgument
    return position


class Synchronous:
    """A process whose calls return their results instead of coroutines: ``Synchronous(p).read(fd, 100)``.

    `drive` takes a coroutine to its end.
    """

    def __init__(self, process: Process, drive: Callable[[Coroutine[Any, Any, Any]], Any] = run) -> None:
        self._process = process
        self._drive = drive

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._process, name)
        if not callable(method):
            return method
        drive = self._drive

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            return drive(result) if isinstance(result, Coroutine) else result

        self.__dict__[name] = call  # the next use of the name does not come here
        return call
