"""Counts the requests that the kernel sends to a FUSE mount, by its own tracepoints: the mount knows nothing of it.

    with RequestCounter("0:57") as counter:
        counter.count(work)        {"CREATE": 1, "LOOKUP": 1, ...} of what `work()` made the kernel ask

Takes root and Linux 6.9 or newer; `why_not` says what is missing. Forgets are not traced, nor would they be the same in
each run: the kernel sends them when it likes, many in one.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

TRACEFS = Path("/sys/kernel/tracing")
BUFFER_KIB = 1024  # for each processor
QUIET_SECONDS = 0.05
PATIENCE = 20.0

_SENT = re.compile(r"fuse_request_send: .*\(FUSE_(\w+)\)")
_ENDED = re.compile(r"fuse_request_end: ")
_WRITTEN = re.compile(r"entries-in-buffer/entries-written: (\d+)/(\d+)")


def why_not() -> str | None:
    """The reason why nothing can be counted here, or None if it can."""
    if os.geteuid():
        return "needs root, to trace the kernel"
    try:
        with RequestCounter("0:0"):
            return None
    except (OSError, subprocess.CalledProcessError) as error:
        return f"this kernel does not trace FUSE requests: {error}"


class RequestCounter:
    """Traces one mount, by its device number in /proc/self/mountinfo, in a buffer of its own."""

    def __init__(self, device: str) -> None:
        self._minor = int(device.partition(":")[2])
        self._stack = ExitStack()

    def __enter__(self) -> RequestCounter:
        with ExitStack() as stack:
            buffers = _tracefs(stack) / "instances"
            self._trace = Path(tempfile.mkdtemp(prefix="minixfs-", dir=buffers))
            stack.callback(self._trace.rmdir)
            self._write("buffer_size_kb", BUFFER_KIB)
            for event in ("fuse_request_send", "fuse_request_end"):
                self._write(f"events/fuse/{event}/filter", f"connection == {self._minor}")
                self._write(f"events/fuse/{event}/enable", 1)
                stack.callback(self._write, f"events/fuse/{event}/enable", 0)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def count(self, work: Callable[[], object]) -> dict[str, int]:
        """By opcode, what the kernel asked during `work` and asks because of it soon after, such as RELEASE."""
        self._write("trace", "")
        work()
        deadline = time.monotonic() + PATIENCE
        before = ""
        while (text := (self._trace / "trace").read_text()) != before or not _all_ended(text):
            if time.monotonic() > deadline:
                raise TimeoutError(f"requests still come, or are not answered:\n{text[-2000:]}")
            before = text
            time.sleep(QUIET_SECONDS)
        written = _WRITTEN.search(text)
        if written is None or written[1] != written[2]:
            raise OverflowError("more requests than the trace buffer holds")
        return dict(sorted(Counter(_SENT.findall(text)).items()))

    def _write(self, name: str, value: object) -> None:
        (self._trace / name).write_text(f"{value}")


def _all_ended(text: str) -> bool:
    return len(_SENT.findall(text)) == len(_ENDED.findall(text))


def _tracefs(stack: ExitStack) -> Path:
    """Where the kernel's tracing is mounted; if nowhere, until `stack` is closed."""
    if (TRACEFS / "instances").is_dir():
        return TRACEFS
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="minixfs-tracefs-"))
    subprocess.run(["mount", "-t", "tracefs", "tracefs", directory], check=True, capture_output=True)
    stack.callback(subprocess.run, ["umount", directory], check=True)
    return Path(directory)
