"""The switch itself: its tables, its mounts, and what concerns all of them (specification: vfs 9).

    vfs = Vfs(runtime)
    await vfs.mount(server, dev, label)              the root
    await vfs.mount(server, dev, label, on=place)    another one, on a directory
    ... calls ...
    await vfs.unmount_all()

A mount's slot number is part of the key of all its vnodes; slot 0 is the root.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from minixfs.daemon.call import NORMAL_WORKERS, Call, LockChecker, Workers
from minixfs.daemon.objects import Vmnt, Vnode, VnodeTable, dup
from minixfs.daemon.path import Place
from minixfs.daemon.tll import READ, WRITE, Rank, ThreeLevelLock
from minixfs.errors import Busy, InvalidArgument, MinixFsError, NotDirectory, TooManyOpen
from minixfs.fs.protocol import SUPER_USER, Credentials, FileServer
from minixfs.hw.runtime import INLINE, Runtime

log = logging.getLogger(__name__)

MAX_MOUNTS = 16
PEEK_SIZE = 4096


class Limits(NamedTuple):
    """Sizes of the tables; 0 means no bound. MINIX has 8 workers, 1024 vnodes and 255 descriptors a process."""

    workers: int = NORMAL_WORKERS
    vnodes: int = 0
    descriptors: int = 255


class Vfs:
    """All state of the switch. `mounts` is by slot, in the order of mounting.

    `lock_checker` proves the lock order; it is set in tests and by ``-o check_locks``.
    """

    def __init__(
        self, runtime: Runtime = INLINE, limits: Limits | None = None, lock_checker: LockChecker | None = None
    ) -> None:
        self.runtime = runtime
        self.limits = limits or Limits()
        self.lock_checker = lock_checker
        self.workers = Workers(self.limits.workers, runtime)
        self.vnodes = VnodeTable(runtime, self.limits.vnodes)
        self.two_path = ThreeLevelLock(Rank.TWO_PATH, runtime)
        self.mounts: dict[int, Vmnt] = {}

    def call(self, credentials: Credentials = SUPER_USER, umask: int = 0, owner: Credentials | None = None) -> Call:
        """A request to run: ``async with vfs.call() as call``."""
        return Call(self, credentials, umask, owner)

    @property
    def root(self) -> Vmnt:
        return self.mounts[0]

    def is_mounted(self, vmnt: Vmnt) -> bool:
        """Whether a mount is still there: to be asked again after every wait for its lock."""
        return self.mounts.get(vmnt.slot) is vmnt

    def mounted_on(self, vmnt: Vmnt, ino: int) -> Vmnt | None:
        """The mount that covers inode `ino` of `vmnt`."""
        for mount in self.mounts.values():
            if mount.mounted_on is not None and mount.mounted_on.key == vmnt.key_of(ino):
                return mount
        return None

    async def mount(
        self,
        fs: FileServer,
        dev: int,
        label: str,
        *,
        on: Place | None = None,
        path: bytes = b"/",
        read_only: bool = False,
    ) -> tuple[Vmnt, list[str]]:
        """Mount what `fs` serves, as the root or on a directory that nobody uses; also returns its warnings."""
        async with self.call() as call:
            if any(mount.dev == dev for mount in self.mounts.values()):
                raise Busy(message=f"{label} is mounted already")
            slot = next((n for n in range(MAX_MOUNTS) if n not in self.mounts), None)
            if slot is None:
                raise TooManyOpen(message=f"no more than {MAX_MOUNTS} file systems can be mounted")
            vmnt = Vmnt(fs, dev, slot, path, label, self.runtime)
            self.mounts[slot] = vmnt  # the slot and the device are taken from here on
            try:
                if on is not None:
                    vmnt.mounted_on = await self._cover(call, on, path)
                await vmnt.lock.acquire(WRITE, call)  # a walk that arrives before the root does waits for it
                try:
                    warnings = await self._start(vmnt, read_only)
                finally:
                    vmnt.lock.release(call)
            except BaseException:
                self._remove(vmnt)
                raise
        return vmnt, warnings

    async def _cover(self, call: Call, on: Place, path: bytes) -> Vnode:
        """Mark a directory that nobody uses as a mount point; the reference goes to the mount."""
        async with on.object(call, WRITE, WRITE) as held:
            if not held.vnode.is_directory:
                raise NotDirectory
            if held.vnode.ref_count > 1:
                raise Busy(message=f"{path.decode(errors='replace')} is in use")
            await held.vnode.fs.mountpoint(held.vnode.ino)
            return dup(held.vnode)

    async def _start(self, vmnt: Vmnt, read_only: bool) -> list[str]:
        """Have the server read its superblock; returns its warnings."""
        answer = await vmnt.fs.readsuper(read_only=read_only, is_root=vmnt.mounted_on is None)
        try:
            vmnt.root = self.vnodes.adopt(vmnt, answer.root)
            vmnt.read_only = answer.read_only
            vmnt.has_peek = await self._probe_peek(vmnt)
        except BaseException:
            self.vnodes.forget(vmnt)
            vmnt.fs.abandon()
            raise
        return answer.warnings

    def _remove(self, vmnt: Vmnt) -> None:
        del self.mounts[vmnt.slot]
        if vmnt.mounted_on is not None:
            self.vnodes.release(vmnt.mounted_on)

    async def _probe_peek(self, vmnt: Vmnt) -> bool:
        """Whether the server can bring files and its device into the page cache: what mapping files takes."""
        try:
            await vmnt.fs.peek(vmnt.root.ino, 0, PEEK_SIZE)
            await vmnt.fs.bpeek(0, PEEK_SIZE)
        except MinixFsError:
            return False
        return True

    async def unmount(self, vmnt: Vmnt) -> None:
        """Unmount a file system that nobody uses: Busy otherwise. Raises DeviceError if it could not be written."""
        async with self.call() as call:
            await vmnt.lock.acquire(WRITE, call)
            try:
                if not self.is_mounted(vmnt):
                    raise InvalidArgument(message=f"{vmnt.label} is not mounted")
                await self.vnodes.settle()
                users = sum(vnode.ref_count for vnode in self.vnodes.on_mount(vmnt))
                if users > 1 or vmnt.lock.has_waiters:
                    raise Busy(message=f"{vmnt.label} is in use")
                root = vmnt.root
                if root.fs_count > 1:
                    await vmnt.fs.putnode(root.ino, root.fs_count - 1)
                    root.fs_count = 1
                await vmnt.fs.unmount()
                self.vnodes.forget(vmnt)
                self._remove(vmnt)
            finally:
                vmnt.lock.release(call)

    async def unmount_all(self) -> None:
        """Unmount everything, the innermost first. The first error is raised when all have been tried."""
        first_error: MinixFsError | None = None
        for vmnt in reversed(list(self.mounts.values())):
            try:
                await self.unmount(vmnt)
            except MinixFsError as error:
                first_error = first_error or error
        if first_error is not None:
            raise first_error

    async def sync(self, *, durable: bool = True) -> None:
        """Bring all changes of all mounts to their devices, and with `durable` to stable storage.

        The first error is raised when all have been tried.
        """
        first_error: MinixFsError | None = None
        await self.vnodes.settle()
        for vmnt in list(self.mounts.values()):
            async with self.call() as call:
                await vmnt.lock.acquire(READ, call)
                try:
                    if self.is_mounted(vmnt):  # it may have gone while we waited
                        await (vmnt.fs.sync() if durable else vmnt.fs.write_back())
                except MinixFsError as error:
                    first_error = first_error or error
                finally:
                    vmnt.lock.release(call)
        if first_error is not None:
            raise first_error
