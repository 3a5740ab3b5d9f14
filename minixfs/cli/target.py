"""The image that a maker writes: created when it is missing, resized when asked to, never overwritten unasked.

    with target(image, length, force=force, check=check) as device:
        ...

A file that was created is removed again if the block fails; what was there before is left for the block to unmake.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import click

from minixfs.cli.failures import USAGE
from minixfs.errors import UsageError
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.blockdev.open import open_device
from minixfs.hw.runtime import run
from minixfs.mkfs.occupant import occupant


@contextmanager
def target(
    image: str, length: int | None, *, force: bool, exact: bool = False, check: Callable[[int], object] | None = None
) -> Iterator[BlockDevice]:
    """The device behind `image`, locked, which is anything that `open_device` takes.

    A missing image file gets `length` bytes; one that is there and is meant as a whole grows to them, and with
    `exact` also shrinks. `check` is told the size before anything is changed and raises what speaks against it.
    Unless `force`, whoever is at the terminal is asked before something that is known is overwritten. Raises
    UsageError.
    """
    if is_missing(image):
        if length is None:
            raise UsageError(f"there is no {image}; give a size to create it, such as 64M", USAGE)
        if check is not None:
            check(length)
        yield from _created(image, length)
        return
    device = run(open_device(image))
    try:
        is_file = os.path.isfile(image)  # a whole file, not a part of one
        resize = is_file and length is not None and (length != device.size if exact else length > device.size)
        size = length if resize and length is not None else device.size
        if check is not None:
            check(size)
        if not force:
            _confirm(image, run(occupant(device)))
        if resize:
            os.truncate(image, size)
            device.close()
            device = run(open_device(image))
        yield device
    finally:
        device.close()


def is_missing(image: str) -> bool:
    """Whether `image` names nothing that can be opened; an empty file is as good as none."""
    if os.path.isfile(image):
        return os.path.getsize(image) == 0
    path = image.rpartition("@@")[0] or image.rpartition(":")[0]
    return not os.path.lexists(image) and not (path and os.path.lexists(path))


def _created(image: str, length: int) -> Iterator[BlockDevice]:
    is_new = not os.path.lexists(image)
    try:
        with open(image, "ab"):
            os.truncate(image, length)
        device = run(open_device(image))
        try:
            yield device
        finally:
            device.close()
    except BaseException:
        with suppress(OSError):
            if is_new:
                os.unlink(image)
            else:
                os.truncate(image, 0)
        raise


def _confirm(image: str, contents: str | None) -> None:
    """Let nobody overwrite `contents` by accident. Raises UsageError."""
    if contents is None:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{image} holds {contents}; use -f to overwrite it")
    if not click.confirm(f"{image} holds {contents}. Overwrite it?", err=True):
        raise UsageError(f"{image} is left as it was")
