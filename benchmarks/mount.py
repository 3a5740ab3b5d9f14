"""A mount under test: a server that we started, on a directory that we made, and its end whatever happens.

    with Mount(contender, folder) as mount:  # makes the image, does not mount yet
        seconds = mount.start()              # to the first answered `ls`
        mount.chill()                        # what clients read next comes from no cache
        mount.cpu_seconds(), mount.memory()

Rules: this process never touches the mounted tree itself (a hung server would hang it too); whatever must
touch it is a child with a deadline. A server is only ever ended by its own pid. `stop` is orderly, and
`__exit__` leaves no process and no mount even when that fails: the server is killed and the directory
detached.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn

from benchmarks.contenders import IMAGE_BYTES, Contender, program

PATIENCE = 60.0  # seconds until a mount answers, a server has flushed and gone
MAKING_PATIENCE = 600.0  # seconds until an image is made
POLL_SECONDS = 0.002
QUIET_SECONDS = 0.05
DROP_CACHES = Path("/proc/sys/vm/drop_caches")
CPUCLOCK_SCHED = 2  # Linux: the clock id of process `pid`'s CPU time is (~pid << 3) | 2


class BenchmarkError(Exception):
    """A contender could not do what was asked; the message says what, in one line."""


@dataclass(frozen=True)
class Memory:
    """Resident and proportional size of a server, and the largest resident size it had, in bytes."""

    rss: int
    pss: int
    peak: int


def command(line: list[str]) -> list[str]:
    """`line` with its program looked up."""
    return [program(line[0]) or line[0], *line[1:]]


def is_mounted(directory: Path) -> bool:
    """Whether something is mounted on `directory`, found out without touching it."""
    escaped = str(directory).replace("\\", "\\134").replace(" ", "\\040").encode()
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    return any(line.split(b" ")[4] == escaped for line in lines)


def unmount(as_root: str, as_user: str, directory: Path) -> list[str]:
    """The command that unmounts, with a flag for either way of doing so. No file system's helper has a part in it."""
    line = ["umount", "-i", as_root] if os.geteuid() == 0 else ["fusermount3", "-u", as_user]
    return [*(word for word in line if word), str(directory)]


def end_in_order() -> None:
    """From now on signals are exceptions, so that every mount is undone on the way out."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _exit)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


class Mount:
    def __init__(self, contender: Contender, folder: Path, image_bytes: int = IMAGE_BYTES) -> None:
        self.contender = contender
        self.image_bytes = image_bytes
        self.image = folder / "image"
        self.directory = folder / "mnt"
        self.log = folder / "server.log"
        self.server: subprocess.Popen[bytes] | None = None
        self.ended_cpu_seconds = 0.0  # of servers before the present one

    def __enter__(self) -> Mount:
        self.directory.mkdir()
        if self.contender.has_image:
            with self.image.open("wb") as image:
                image.truncate(self.image_bytes)
        if line := self.contender.make(self.image):
            self._helper(line, MAKING_PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if is_mounted(self.directory):
            with suppress(BenchmarkError):
                self._helper(unmount("-l", "-z", self.directory))

    def start(self) -> float:
        """Mount; returns the seconds from the start of the server to the first `ls` of the root."""
        begin = time.perf_counter()
        with self.log.open("wb") as log:
            self.server = subprocess.Popen(
                command(self.contender.serve(self.image, self.directory)),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        while not is_mounted(self.directory):
            if self._ended(block=False):
                raise BenchmarkError(f"server ended before it mounted: {self._last_words()}")
            if time.perf_counter() - begin > PATIENCE:
                raise BenchmarkError(f"not mounted within {PATIENCE:.0f} s")
            time.sleep(POLL_SECONDS)
        self._helper(["ls", str(self.directory)])
        return time.perf_counter() - begin

    def stop(self) -> float:
        """Unmount and wait for the server's end; returns the seconds until all was in the image."""
        begin = time.perf_counter()
        self._helper(unmount("", "", self.directory))
        while not self._ended(block=False):
            if time.perf_counter() - begin > PATIENCE:
                raise BenchmarkError(f"server still there {PATIENCE:.0f} s after unmount")
            time.sleep(POLL_SECONDS)
        return time.perf_counter() - begin

    def kill(self) -> None:
        """End the server at once; every request that waits for it then fails."""
        if self.server is not None and self.server.returncode is None:
            self.server.kill()
            self._ended(block=True)

    def can_chill(self) -> bool:
        return self.contender.has_image or os.access(DROP_CACHES, os.W_OK)

    def chill(self) -> None:
        """Empty the caches: of kernel, server and host for an image, of the kernel where there is none."""
        if not self.contender.has_image:
            self._helper(["sync", "-f", str(self.directory)])
            DROP_CACHES.write_text("3")
            return
        self.stop()
        self.chill_image()
        self.start()

    def chill_image(self) -> None:
        """Empty the host's cache of the image alone, so that neither clients nor the rest of the machine run cold."""
        descriptor = os.open(self.image, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)

    def forget_names(self) -> None:
        """Have the kernel drop names and inodes, so that it asks a server that knows them; returns when that is quiet.

        Raises OSError for who is not root.
        """
        DROP_CACHES.write_text("2")
        before = self.cpu_seconds()
        while True:
            time.sleep(QUIET_SECONDS)
            now = self.cpu_seconds()
            if now - before < QUIET_SECONDS / 10:
                return
            before = now

    def cpu_seconds(self) -> float:
        """CPU time (user and system) that the servers of this mount have used so far."""
        if self.server is None or self.server.returncode is not None:
            return self.ended_cpu_seconds
        return self.ended_cpu_seconds + time.clock_gettime((~self.server.pid << 3) | CPUCLOCK_SCHED)

    def memory(self) -> Memory:
        assert self.server is not None
        process = Path(f"/proc/{self.server.pid}")
        sizes = {}
        for name in ("status", "smaps_rollup"):
            for line in (process / name).read_text().splitlines():
                word, _, size = line.partition(":")
                if size.endswith(" kB"):
                    sizes[word] = int(size.removesuffix(" kB")) * 1024
        return Memory(sizes["Rss"], sizes["Pss"], sizes["VmHWM"])

    def _ended(self, *, block: bool) -> bool:
        """Reap the server if it has ended (or wait until it has), and book its CPU time."""
        assert self.server is not None
        if self.server.returncode is None:
            pid, status, usage = os.wait4(self.server.pid, 0 if block else os.WNOHANG)
            if pid:
                self.server.returncode = os.waitstatus_to_exitcode(status)
                self.ended_cpu_seconds += usage.ru_utime + usage.ru_stime
        return self.server.returncode is not None

    def _helper(self, line: list[str], patience: float = PATIENCE) -> None:
        """Run a short command to its end."""
        try:
            subprocess.run(command(line), stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=patience)
        except subprocess.CalledProcessError as error:
            words = error.stderr.decode(errors="replace").strip().splitlines()
            raise BenchmarkError(f"{line[0]} failed: {words[-1] if words else error.returncode}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BenchmarkError(f"{line[0]} failed: {error}") from error

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"
