"""What the makers fill their volumes with: a directory or a tar file, with the owners and times that were asked for.

adjust = adjusting(owner, mtime)            from the words of --owner and --mtime
with source(spec) as entries:
    tree = gather(adjust(entries), limits)
    ...                                     the contents can be read until the block ends
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from minixfs.cli.failures import USAGE
from minixfs.errors import UsageError
from minixfs.mkfs.populate import adjusted
from minixfs.trees.entry import Entry

NS = 10**9
STDIN = "-"


@contextmanager
def source(spec: str, *, one_file_system: bool = False, xattrs: bool = False) -> Iterator[Iterable[Entry]]:
    """The files of the directory or tar file `spec`; ``-`` is a tar file on standard input. `xattrs`: with extended
    attributes, which tar files tell unasked.

    Raises UsageError, OSError.
    """
    if os.path.isdir(spec):
        from minixfs.trees import host

        yield host.entries(spec, one_file_system=one_file_system, xattrs=xattrs)
    else:
        from minixfs.trees.untar import TarSource

        with TarSource(None if spec == STDIN else spec) as entries:
            yield entries


def adjusting(owner: str | None, mtime: str | None) -> Callable[[Iterable[Entry]], Iterator[Entry]]:
    """What gives entries the wanted owner and times. Without --mtime, SOURCE_DATE_EPOCH is the latest time of all.

    Raises UsageError.
    """
    pair = None if owner is None else parse_owner(owner)
    seconds = None if mtime is None else parse_time(mtime)
    latest = source_date_epoch()

    def adjust(entries: Iterable[Entry]) -> Iterator[Entry]:
        return adjusted(entries, owner=pair, mtime=seconds, latest=latest)

    return adjust


def fixed_time(mtime: str | None) -> int | None:
    """The time that a maker shall take for now: that of --mtime or SOURCE_DATE_EPOCH; None for the real one."""
    return source_date_epoch() if mtime is None else parse_time(mtime)


def parse_owner(text: str) -> tuple[int, int]:
    match = re.fullmatch("([0-9]+):([0-9]+)", text)
    if match is None:
        raise UsageError(f"'{text}' is no owner: write two numbers, like 1000:100", USAGE)
    return int(match[1]), int(match[2])


def parse_time(text: str) -> int:
    """Seconds since 1970: a number of them, or what ``touch -d`` takes."""
    from minixfs.cli.dates import parse

    try:
        return int(text) if re.fullmatch("[0-9]+", text) else parse(text, time.time_ns()) // NS
    except ValueError:
        raise UsageError(f"'{text}' is no time: write it like 2024-01-31T12:00Z or @1706702400", USAGE) from None


def source_date_epoch() -> int | None:
    """The environment variable of that name, in seconds since 1970; None if it is not set."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if not re.fullmatch("[0-9]+", text):
        raise UsageError(f"SOURCE_DATE_EPOCH is '{text}', which is no number of seconds since 1970", USAGE)
    return int(text)
