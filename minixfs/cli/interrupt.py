"""Ctrl-C and the like, for commands that change an image: never in the middle of a file-system call.

    with interruptible() as interrupt, Image(spec, "r+") as image:
        for path in paths:
            interrupt.check()                    between two calls; raises Interrupted once a signal has come
            image.remove(path)

SIGINT, SIGTERM and SIGHUP only set a flag inside the block, so that the call that is under way ends, the image is
closed as always and is clean; further signals change nothing. `Interrupted` ends the command with 128 + the signal's
number; handlers of single files, which catch OSError and MinixFsError, let it pass. It is raised at the end of the
block too. What may wait for long and touches no image (a pipe, a terminal) goes into ``interrupt.at_once()``, where a
signal raises immediately.

A signal that is ignored (nohup, background jobs) stays ignored. Outside the main thread, where Python delivers no
signals, the block does nothing.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click
from click.exceptions import Exit

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exit):
    """Somebody asked the command to stop."""


class Interrupt:
    """What has arrived so far: `signal` is the first one's number or None."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._at_once = False

    def check(self) -> None:
        """Raise Interrupted if a signal has come."""
        if self.signal is not None:
            raise Interrupted(128 + self.signal)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """While this lasts a signal raises Interrupted wherever the program is. Not around anything that changes."""
        self._at_once = True  # before the check, so that no signal slips between
        try:
            self.check()
            yield
        finally:
            self._at_once = False

    def arrived(self, number: int, frame: object) -> None:
        """The signal handler."""
        if self.signal is None:
            self.signal = number
        if self._at_once:
            self._at_once = False
            self.check()


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """See the top of this module."""
    interrupt = Interrupt()
    with ExitStack() as handlers:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                previous = signal.getsignal(number)
                if previous not in (signal.SIG_IGN, None):  # None: installed by C code, which we could not restore
                    signal.signal(number, interrupt.arrived)
                    handlers.callback(signal.signal, number, previous)
        try:
            yield interrupt
            interrupt.check()
        except Interrupted:
            context = click.get_current_context(silent=True)
            click.echo(f"{context.command_path if context else 'minixfs'}: interrupted", err=True)
            raise
