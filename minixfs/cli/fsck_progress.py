"""How far a check has come, for a terminal or for a program: what `minixfs fsck -C` shows.

    with shown(image, fd) as show:
        check(..., tick=show)

A program reads lines ``pass done total image`` from a descriptor, as from e2fsck: five passes, `done` from 0 to
`total`. A terminal gets a bar, at once when it is asked for (descriptor 0) and else for checks that last; the library
that draws it is not loaded before.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from minixfs.cli.progress import PATIENCE
from minixfs.errors import UsageError

if TYPE_CHECKING:
    from minixfs.fsck.blocks import Progress

Show = Callable[["Progress"], None]
_PASSES = 5
_PARTS = 100


@contextmanager
def shown(image: str, fd: int | None, quiet: bool, usage_code: int) -> Iterator[Show]:
    """Yields what takes the progress. `fd`: where lines go; 0: a bar; None: a bar if it takes long and not `quiet`.

    Raises UsageError with `usage_code` when nobody can write to `fd`.
    """
    if fd:
        try:
            os.fstat(fd)
        except OSError as error:
            raise UsageError(f"-C {fd}: {error.strerror}; open the descriptor first: {fd}>FILE", usage_code) from error
        yield _Lines(image, fd)
        return
    if not sys.stderr.isatty() or (quiet and fd is None):
        yield _nothing
        return
    with ExitStack() as stack:
        yield _Bar(stack, 0.0 if fd == 0 else PATIENCE)


def _nothing(progress: Progress) -> None:
    """Where nobody watches."""


class _Lines:
    """One line for each hundredth of a pass. A reader that is gone is nothing to stop a check for."""

    def __init__(self, image: str, fd: int) -> None:
        self._image = os.fsencode(image)
        self._fd = fd
        self._last = (0, 0)

    def __call__(self, progress: Progress) -> None:
        number = min(progress.number, _PASSES)
        total = max(progress.total, 1)
        done = progress.done if progress.number <= _PASSES else total
        if self._fd >= 0 and (part := (number, done * _PARTS // total)) != self._last:
            self._last = part
            try:
                os.write(self._fd, b"%d %d %d %s\n" % (number, done, total, self._image))
            except OSError:
                self._fd = -1


class _Bar:
    """A bar that appears after some seconds."""

    def __init__(self, stack: ExitStack, patience: float) -> None:
        self._stack = stack
        self._since = time.monotonic() + patience
        self._update: Callable[[str, float], None] | None = None

    def __call__(self, progress: Progress) -> None:
        if self._update is None and time.monotonic() >= self._since:
            self._update = self._stack.enter_context(_drawn())
        if self._update is not None:
            part = progress.done / progress.total if progress.total else 0.0
            self._update(progress.stage, min(progress.number, _PASSES) - 1 + part)


@contextmanager
def _drawn() -> Iterator[Callable[[str, float], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.description:12}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=_PASSES)
        yield lambda stage, done: bar.update(task, description=stage, completed=done)
