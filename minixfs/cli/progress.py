"""A bar for work that takes long, on a terminal only.

    with progress("writing", total, show) as advance:
        advance(amount)                         as often as there is something to tell

Nothing is shown for work that is done within a second, and the library that draws is not loaded for it either.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

PATIENCE = 1.0
"""Seconds that nobody minds."""


@contextmanager
def progress(what: str, total: int | None, show: bool = True) -> Iterator[Callable[[int], None]]:
    """`total` is the number of bytes that make the whole, None if nobody knows; `show` False is for those who want to
    hear nothing."""
    if not (show and sys.stderr.isatty()):
        yield lambda amount: None
        return
    started = time.monotonic()
    done = 0
    draw: Callable[[int], None] | None = None
    with ExitStack() as stack:

        def advance(amount: int) -> None:
            nonlocal done, draw
            done += amount
            if draw is None and time.monotonic() - started > PATIENCE:
                draw = stack.enter_context(_bar(what, total))
            if draw is not None:
                draw(done)

        yield advance


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
