"""A mount from beginning to end: assemble, attach to the kernel, serve, commit in time, and leave a final image.

`serve` runs in the process that is the mount. It returns when the file system was unmounted, by whatever means:
umount, the signals SIGTERM and SIGINT, or the kernel. A failure to write the image at the end is an error of the
whole mount.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import stat
from collections.abc import Callable

import pyfuse3
import trio

from minixfs.daemon import mountpoint
from minixfs.daemon.assemble import Assembly
from minixfs.daemon.call import LockChecker
from minixfs.daemon.control import Final
from minixfs.daemon.control_server import ControlServer
from minixfs.daemon.fuse.face import FuseFace
from minixfs.daemon.fuse.known import BYTES_A_NODE
from minixfs.daemon.fuse.session import Session
from minixfs.daemon.fuse.view import View
from minixfs.daemon.options import MountOptions, MountRequest
from minixfs.daemon.runtime import TrioRuntime
from minixfs.daemon.vfs import Limits, Vfs
from minixfs.errors import MinixFsError, UsageError
from minixfs.hw.blockdev.open import root_of

log = logging.getLogger(__name__)

SPARE_TASKS = 2
"""Tasks that read requests beyond those that can be served at once, so that a forget never waits for a worker."""
Ready = Callable[[list[str]], None]
"""Called once, with the warnings of the mount, when the mount answers."""


def serve(request: MountRequest, ready: Ready) -> None:
    """Mount and serve until unmounted. Raises MinixFsError when it cannot mount, or could not finish the image."""
    try:
        trio.run(_serve, request, ready)
    except BaseExceptionGroup as group:
        if group.subgroup(SystemExit) is None:
            raise
        raise UsageError(
            f"{request.image} is corrupt, and errors=abort ended the mount; run minixfs fsck", 32
        ) from None


async def _serve(request: MountRequest, ready: Ready) -> None:
    options = request.options
    checker = LockChecker() if options.check_locks else None
    vfs = Vfs(TrioRuntime(), Limits(workers=options.workers), checker)
    assembly = Assembly(vfs, options, request.directory)
    error: MinixFsError | None = None
    control: ControlServer | None = None
    try:
        partition = request.partition
        if request.tree and partition is None and options.offset is None:
            partition = await root_of(request.image, vfs.runtime)
        warnings = await assembly.mount_root(request.image, partition)
        if request.tree:
            warnings += await assembly.mount_fstab()
        for partition, path in request.also:
            warnings += await assembly.mount_on(partition, os.fsencode(path))
        session = Session(_attach(request, read_only=vfs.root.read_only), options.workers + SPARE_TASKS)
        face = FuseFace(vfs, _view(options), options.cache_size // BYTES_A_NODE, session.attributes_changed)
        try:
            control = await _run(request, vfs, session, face, warnings, ready)
        finally:
            pyfuse3.close(unmount=_is_mounted(request))
            await face.close()
    finally:
        written = assembly.bytes_written
        try:
            await assembly.close()
        except MinixFsError as failure:
            error = failure
        if control is not None:
            control.finish(Final(assembly.bytes_written - written, str(error) if error else None))
    if error is not None:
        raise UsageError(f"{request.image}: the last changes could not be written: {error}; run minixfs fsck", 32)


def _view(options: MountOptions) -> View:
    return View(
        options.uid,
        options.gid,
        options.umask,
        options.fakeroot,
        writeback=not options.sync,
        xattrs=not options.noxattr,
        cache_names=not options.truncate_names,
        kernel_checks=_kernel_checks(options),
    )


def _kernel_checks(options: MountOptions) -> bool:
    """Whether the kernel is to judge permissions. Where nobody gets in who may not do everything there is nothing to
    judge, and the kernel would fetch a directory's attributes anew for it before each change in the directory."""
    only_root = os.geteuid() == 0 and not options.allow_other
    return not options.fakeroot and not only_root


def _attach(request: MountRequest, *, read_only: bool) -> int:
    """Mount on the directory; return the descriptor on which the kernel will ask. Raises UsageError with what to do."""
    options = request.options
    source = request.source.replace("\\", "\\\\").replace(",", "\\,")
    words = {f"fsname={source}", "subtype=minixfs"}
    if _kernel_checks(options):
        words.add("default_permissions")
    if options.allow_other:
        words.add("allow_other")
    if read_only:
        words.add("ro")
    if os.geteuid() == 0:
        words |= {"suid", "dev"}
        words = {word for word in words if f"no{word}" not in options.kernel} | (options.kernel - {"exec"})
    try:
        pyfuse3.init(pyfuse3.Operations(), request.directory, words)
    except RuntimeError:
        advice = "is /dev/fuse there, and fusermount3 (package fuse3) installed?"
        if options.allow_other and os.geteuid():
            advice = "for allow_other, an ordinary user needs user_allow_other in /etc/fuse.conf"
        raise UsageError(f"{request.directory}: the kernel refused the mount; {advice}", 32) from None
    return next(number for number in map(int, os.listdir("/proc/self/fd")) if _is_fuse(number))


def _is_fuse(descriptor: int) -> bool:
    """Whether this is a descriptor of /dev/fuse, whose number the kernel has fixed."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False  # that of the listing itself
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(10, 229)


async def _run(
    request: MountRequest, vfs: Vfs, session: Session, face: FuseFace, warnings: list[str], ready: Ready
) -> ControlServer | None:
    """Serve the kernel until the mount is gone."""
    control: ControlServer | None = None
    async with trio.open_nursery() as nursery:

        async def requests() -> None:
            await session.serve(face)
            nursery.cancel_scope.cancel()

        nursery.start_soon(requests)
        nursery.start_soon(_commit_in_time, vfs, request.options.commit)
        nursery.start_soon(_obey_signals, request, session)
        await trio.to_thread.run_sync(os.stat, request.directory, abandon_on_cancel=True)
        mounted = mountpoint.find(request.directory)
        if mounted is not None:
            mountpoint.raise_read_ahead(mounted.device)
            try:
                control = ControlServer(mounted.device)
                await nursery.start(control.serve)
            except OSError as problem:
                log.warning("minixfs umount will not be able to wait for the image: no control socket (%s)", problem)
        log.info("mounted on %s", request.directory)
        gc.freeze()  # what is there now stays: going through it costs a full collection 60 ms
        ready(warnings)
    return control


async def _commit_in_time(vfs: Vfs, interval: float) -> None:
    """Bring changes to the image every `interval` seconds."""
    while True:
        await trio.sleep(interval)
        try:
            await vfs.sync(durable=False)
        except MinixFsError as error:
            log.error("changes could not be written, will try again: %s", str(error))


async def _obey_signals(request: MountRequest, session: Session) -> None:
    """On SIGTERM or SIGINT: have the kernel give us its dirty data, unmount, and end; busy or not."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("signal %d: unmounting %s", number, request.directory)
            await trio.to_thread.run_sync(_leave, request, abandon_on_cancel=True)
            session.stop()
            return


def _leave(request: MountRequest) -> None:
    """Unmount from the kernel's side while the requests are still served. Files in use are cut off."""
    if not _is_mounted(request):
        return  # it was detached before, and only files in use keep it
    directory = request.directory
    try:
        mountpoint.sync(directory)
        mountpoint.unmount(directory)
    except (OSError, UsageError):
        try:
            mountpoint.unmount(directory, lazy=True)
        except UsageError as error:
            log.error("%s", str(error))


def _is_mounted(request: MountRequest) -> bool:
    """Whether the kernel shows this mount on the directory; something else may have been mounted there since."""
    mounted = mountpoint.find(request.directory)
    return mounted is not None and (mounted.fstype, mounted.source) == (mountpoint.FSTYPE, request.source)
