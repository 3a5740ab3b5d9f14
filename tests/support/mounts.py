"""Real mounts of images by `minixfs mount`, for tests, and the checks that an image must pass afterwards.

    make_image(image, version=3)        a fresh MFS volume; with ext2="-b 1024" one of mke2fs
    with Mount(image) as mount:         a process of its own, with check_locks on; mount.path is the directory
        ...
    check_image(image)                  our checker, and fsck.minix where it knows the format

What a test can rely on: when the block begins the mount answers; when it ends the mount process has ended by itself,
the directory is gone, and the log held no warning, error or traceback but those that the test allows. Whatever goes
wrong, nothing is left: the mount process has an alarm clock of the kernel's (then all that waits for the mount
fails with ENOTCONN instead of waiting for ever), dies with the process that started it, and is killed at the end of
the block if it is still there; a mount that stays is detached.
"""

from __future__ import annotations

import ctypes
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from minixfs.cli.mount import EXIT_FAILED
from minixfs.daemon import mountpoint
from minixfs.errors import UsageError
from minixfs.fs.ext2 import superblock as ext2_superblock
from minixfs.fs.ext2.layout import LINK_MAX
from minixfs.fs.mfs.superblock import Superblock
from minixfs.fsck.mfs import check
from minixfs.fsck.report import Report
from minixfs.hw.blockdev.open import open_device
from minixfs.hw.runtime import run
from minixfs.mkfs.mfs import Options, choose_variant, make
from tests.posix.env import Limits
from tests.support import peers
from tests.support.users import PR_SET_PDEATHSIG, User, start

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-c", "from minixfs.cli.main import main; main()")
"""The `minixfs` command of this source tree."""
FORGETFUL = (*COMMAND[:2], f"from minixfs.daemon.fuse import known; known.BYTES_A_NODE = 1 << 24; {COMMAND[2]}")
"""The same, with room for no more than four of the nodes that the kernel knows."""
SECONDS = 100  # that a mount process may live
PATIENCE = 20.0  # seconds for a mount to answer, and for its process to end after an unmount
POLL_MILLISECONDS = 5
READY = "info: mounted on "
TROUBLE = re.compile(r"warning: |error: |critical: |Traceback|internal error")

_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str | None:
    """The reason why nothing can be mounted here, or None if it can."""
    if not os.path.exists("/dev/fuse"):
        return "no /dev/fuse"
    if os.geteuid() and not (os.access("/dev/fuse", os.R_OK | os.W_OK) and shutil.which("fusermount3")):
        return "no fusermount3, or /dev/fuse is not for ordinary users"
    return None


class Mount:
    """One mount. `words` go to -o, `arguments` to the command line; `allow` are patterns of log lines that may be.

    `user` mounts instead of the caller (who must be root); `command` is run instead of `COMMAND`. `path` is the
    directory, `pid` the mount process.
    """

    def __init__(
        self,
        image: Path | str,
        *words: str,
        arguments: Sequence[str] = (),
        allow: Sequence[str] = (),
        user: User | None = None,
        seconds: int = SECONDS,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._command = command
        self.image = str(image)
        self.path = Path(tempfile.mkdtemp(prefix="minixfs-"))
        self.log_file = Path(f"{self.path}.log")
        self.log_file.touch()
        self._words = ["check_locks", *words]
        self._arguments = arguments
        self._allow = [re.compile(pattern) for pattern in allow]
        self._user = user
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    @property
    def is_mounted(self) -> bool:
        return mountpoint.find(str(self.path)) is not None

    def resident(self) -> int:
        """Memory of the mount process, in bytes."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def __enter__(self) -> Mount:
        self.path.chmod(0o755)
        if self._user is not None:
            os.chown(self.path, self._user.uid, self._user.gid)
        try:
            self._start()
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.is_mounted:
                self.unmount()
            elif self._process is not None:
                self.wait()
            trouble = self.trouble()
        except BaseException as end:
            if error is None:
                raise
            error.add_note(f"and the mount did not end well: {end}")
            trouble = []
        finally:
            if error is not None:
                error.add_note(f"log of the mount:\n{self.log[-4000:]}")
            self._clean_up()
        if error is None and trouble:
            raise AssertionError("the mount complained:\n" + "\n".join(trouble))

    def unmount(self) -> None:
        """Unmount and wait until the image is final and the mount process gone, with exit code 0."""
        mountpoint.unmount(str(self.path))
        code = self.wait()
        assert code == 0, f"the mount process ended with {code}: {self.log[-2000:]}"

    def unmount_somehow(self) -> None:
        """Unmount a bad image: the mount process must end by itself, but may say that it could not write it all."""
        mountpoint.unmount(str(self.path))
        assert self.wait() in (0, EXIT_FAILED), self.log[-2000:]

    def wait(self, seconds: float = PATIENCE) -> int:
        """The exit code of the mount process, once it has ended."""
        assert self._process is not None
        return self._process.wait(seconds)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def die(self) -> None:
        """End the mount process as a crash would. The mount stays, and nothing works in it."""
        self.signal(signal.SIGKILL)
        self.wait()

    def kill(self) -> None:
        """End the mount process as a crash would, and take what is left of the mount away."""
        self.die()
        self.detach()

    def detach(self) -> None:
        """Take a dead mount away."""
        if self.is_mounted:
            mountpoint.unmount(str(self.path), lazy=True)

    def remount(self) -> None:
        """Unmount and mount again: what is seen then comes from the image."""
        self.unmount()
        self._start()

    def trouble(self) -> list[str]:
        """Lines of the log that tell of trouble and are not allowed."""
        return [
            line
            for line in self.log.splitlines()
            if TROUBLE.search(line) and not any(pattern.search(line) for pattern in self._allow)
        ]

    def _start(self) -> None:
        line = [
            *self._command,
            "mount",
            "-f",
            "-o",
            ",".join(self._words),
            *self._arguments,
            self.image,
            str(self.path),
        ]
        mounts_before = self.log.count(READY)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                as_user(line, self._user),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=environment(),
                preexec_fn=self._protect,
            )
        self._await_mount(mounts_before)
        start(os.stat, self.path, seconds=PATIENCE, user=self._user).result()

    def _protect(self) -> None:
        """In the mount process: an end for every case."""
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        signal.alarm(self._seconds)

    def _await_mount(self, mounts_before: int) -> None:
        """Wait until the mount process says that it is ready."""
        assert self._process is not None
        deadline = time.monotonic() + PATIENCE
        watch = os.pidfd_open(self.pid)
        try:
            poll = select.poll()
            poll.register(watch, select.POLLIN)
            while self.log.count(READY) == mounts_before:
                if poll.poll(POLL_MILLISECONDS):
                    raise MountFailedError(self._process.wait(), self.log)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no mount within {PATIENCE} s: {self.log}")
        finally:
            os.close(watch)

    def _clean_up(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE)
        for _ in range(8):  # a test may have mounted on it more than once
            if not self.is_mounted:
                break
            try:
                mountpoint.unmount(str(self.path), lazy=True)
            except UsageError:
                break
        self.path.rmdir()
        self.log_file.unlink()


class MountFailedError(Exception):
    """`minixfs mount` ended before it mounted: `code` is its exit code, `output` what it said."""

    def __init__(self, code: int, output: str) -> None:
        super().__init__(f"exit code {code}: {output}")
        self.code = code
        self.output = output


def environment() -> dict[str, str]:
    """For commands of this source tree."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}


def as_user(line: Sequence[str], user: User | None) -> list[str]:
    """The command line, carried out as `user`.

    The interpreter and this source tree may lie where that user cannot read: the right to read (nothing else) is then
    left to the process.
    """
    if user is None:
        return list(line)
    ids = [f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups"]
    if start(_unreachable, user=user).result():
        ids += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return ["setpriv", *ids, *line]


def _unreachable() -> bool:
    return not (os.access(sys.executable, os.X_OK) and os.access(__file__, os.R_OK))


def minixfs(*arguments: str | Path, user: User | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command and return what it said; nobody gets to see a traceback."""
    done = subprocess.run(
        as_user([*COMMAND, *map(str, arguments)], user),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(),
        cwd="/",
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


# ---- images ------------------------------------------------------------------------------------------------------


def make_image(
    image: Path,
    version: int = 3,
    name_max: int | None = None,
    *,
    size: int = 16 << 20,
    block_size: int | None = None,
    inodes: int | None = None,
    ext2: str | None = None,
) -> Path:
    """A fresh MFS volume of `size` bytes in the file `image`; or an ext2 volume that mke2fs makes so."""
    if ext2 is not None:
        peers.require("mke2fs", "e2fsck")
        peers.mke2fs(image, size, options=ext2.split())
        return image
    with image.open("wb") as file:
        file.truncate(size)
    device = run(open_device(image))
    try:
        options = Options(choose_variant(version, name_max), block_size=block_size, inodes=inodes, root_mode=0o755)
        run(make(device, options))
    finally:
        device.close()
    return image


def give(image: Path, user: User) -> None:
    """Let `user` reach and own the file, whose directory only root may enter otherwise."""
    os.chown(image, user.uid, user.gid)
    for parent in image.parents[:-1]:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/root"):
            parent.chmod(parent.stat().st_mode | 0o011)


def superblock_of(image: Path) -> Superblock | ext2_superblock.Superblock:
    with image.open("rb") as file:
        file.seek(1024)
        raw = file.read(1024)
    return ext2_superblock.Superblock.parse(raw) if is_ext2(image) else Superblock.parse(raw)


def is_ext2(image: Path) -> bool:
    with image.open("rb") as file:
        file.seek(1080)
        return file.read(2) == b"\x53\xef"


def limits_of(image: Path) -> Limits:
    """What the behaviours of `tests.posix` may expect of a volume."""
    superblock = superblock_of(image)
    if isinstance(superblock, ext2_superblock.Superblock):
        return Limits(
            symlink_max=min(superblock.block_size, 1024) - 1,
            link_max=LINK_MAX,
            file_size_max=superblock.max_file_size,
            time_resolution=1e-9 if superblock.inode_size > 128 else 1,
        )
    first = superblock.variant.version == 1
    return Limits(
        name_max=superblock.variant.name_max,
        symlink_max=min(superblock.block_size, 1024) - 1,
        link_max=superblock.variant.link_max,
        file_size_max=superblock.max_size,
        gid_max=0xFF if first else 0xFFFF,
        one_time=first,
        atime=not first,
    )


def check_report(image: Path) -> Report:
    """What our checker says about an unmounted volume."""
    device = run(open_device(image, read_only=True))
    try:
        return run(check(device))
    finally:
        device.close()


def check_image(image: Path, *, clean: bool = True) -> None:
    """Fail unless the unmounted volume is sound and, if `clean`, marked so."""
    if is_ext2(image):
        verdict = peers.e2fsck(image)
        assert verdict.clean, verdict.output
        assert superblock_of(image).clean or not clean, "not marked clean"
        return
    report = check_report(image)
    assert not report.findings, "\n".join(finding.message for finding in report.findings[:20])
    assert report.was_clean or not clean, "not marked clean"
    if fsck_minix_knows(image):
        verdict = peers.fsck_minix(image)
        assert verdict.clean, verdict.output


def fsck_minix_knows(image: Path) -> bool:
    """Whether fsck.minix is there and can judge a volume of this format."""
    superblock = superblock_of(image)
    if not isinstance(superblock, Superblock):
        return False
    known = superblock.block_size == 1024 and not superblock.zone_shift and superblock.variant.name != "hybrid"
    return known and shutil.which("fsck.minix", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None
