"""A shell on a terminal of its own, with keys pressed as a user presses them.

with Shell(["bash", "--norc"], directory, environment) as shell:
    shell.run("PS1=")
    shell.completed("minixfs cat disk.img:/et")         what the line is after the Tab key
"""

from __future__ import annotations

import os
import pty
import select
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SECONDS = 60
TAB, CLEAR = "\t", "\x15"


class Shell:
    """Lines are read back through the key `SHOW`, which the shell must bind to "append the line to the file $SHOWN"."""

    SHOW = "\x18\x18"

    def __init__(self, program: Sequence[str], directory: Path, environment: Mapping[str, str]) -> None:
        self.shown = directory / ".shown"
        os.mkfifo(self.shown)
        self.screen = b""
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(directory)
            os.execvpe(program[0], list(program), {**environment, "SHOWN": str(self.shown), "TERM": "dumb"})
        self._fifo = os.open(self.shown, os.O_RDWR | os.O_NONBLOCK)
        self._ready = select.poll()
        for descriptor in (self._fifo, self._terminal):
            self._ready.register(descriptor, select.POLLIN)

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._terminal)
        os.close(self._fifo)
        self.shown.unlink()

    def run(self, *lines: str) -> None:
        """Carry out lines; returns when they are done."""
        for line in lines:
            self._type(line + "\n")
        self._type('echo ready >"$SHOWN"\n')
        assert self._answer() == "ready"

    def completed(self, typed: str) -> str:
        """The line after `typed` and Tab."""
        self._type(typed + TAB + self.SHOW)
        line = self._answer()
        self._type(CLEAR)
        return line

    def _type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def _answer(self) -> str:
        answer, end = b"", time.monotonic() + SECONDS
        while not answer.endswith(b"\n"):
            left = end - time.monotonic()
            ready = [descriptor for descriptor, _ in self._ready.poll(max(0, left) * 1000)]
            assert ready, f"no answer within {SECONDS} seconds; on the screen: {self.screen!r}"
            if self._terminal in ready:
                self.screen += os.read(self._terminal, 65536)
            if self._fifo in ready:
                answer += os.read(self._fifo, 65536)
        return answer[:-1].decode()
