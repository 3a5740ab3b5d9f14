"""Reading an image in place, for commands that need no mount: no event loop, no FUSE, one read-only file system.

    for image, paths in sources(arguments):      what the user typed: IMAGE PATH..., or IMAGE:/path ...
        with opened(image) as process:
            process.lstat(paths[0])

`opened` gives a `Process` of the super-user whose calls return their results. `complain` reports what went wrong
with one file, so that a command can go on with the next; its exit code is the command's own matter.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from minixfs.daemon.assemble import Assembly
from minixfs.daemon.options import MountOptions
from minixfs.daemon.process import Process, Synchronous
from minixfs.daemon.vfs import Vfs
from minixfs.errors import BadSuperblock, Corrupt, MinixFsError, Unsupported, UsageError
from minixfs.hw.runtime import run

CACHE_SIZE = 8 << 20
"""Bytes. File data does not go through the cache; this holds bitmaps, inodes and directories."""

MARK = b":/"
"""What separates an image from a path in it."""


def split(argument: bytes) -> tuple[bytes, bytes | None]:
    """``disk.img:p0s1:/etc`` -> image and path. The image is the shortest beginning whose file exists, a file that
    really has the whole name comes first; the path is None without one."""
    if os.path.lexists(argument) or MARK not in argument:
        return argument, None
    ends = [at for at in range(len(argument)) if argument.startswith(MARK, at)]
    end = next((at for at in ends if _is_image(argument[:at])), ends[0])
    return argument[:end], argument[end + 1 :]


def _is_image(spec: bytes) -> bool:
    return any(os.path.exists(name) for name in (spec, spec.rpartition(b":")[0], spec.rpartition(b"@@")[0]) if name)


def sources(arguments: Sequence[str], default: bytes | None = None) -> list[tuple[str, list[bytes]]]:
    """Images with the paths wanted of each, in the order given. Two ways to write them:

    ``IMAGE PATH...``, or ``IMAGE:/path ...``, where every argument names its own image. `default` stands for the
    path that is not there; without a default that is a UsageError.
    """
    first, *others = (os.fsencode(argument) for argument in arguments)
    image, path = split(first)
    if path is None:
        return [(os.fsdecode(image), others or [_required(default, arguments[0])])]
    found: list[tuple[str, list[bytes]]] = []
    for argument in (first, *others):
        image, path = split(argument)
        name = os.fsdecode(image)
        if not found or found[-1][0] != name:
            found.append((name, []))
        found[-1][1].append(path if path is not None else _required(default, name))
    return found


def _required(default: bytes | None, image: str) -> bytes:
    if default is None:
        raise UsageError(f"{image}: name a file in the image, like {image}:/etc/fstab")
    return default


@contextmanager
def opened(image: str) -> Iterator[Any]:
    """The file system in `image` (everything that ``minixfs mount`` takes), as a `Synchronous` process.

    Raises MinixFsError with a message that names the image.
    """
    logging.getLogger("minixfs").addHandler(logging.NullHandler())  # what is found on the way arrives as an error
    assembly = Assembly(Vfs(), MountOptions(ro=True, cache_size=CACHE_SIZE))
    try:
        try:
            run(assembly.mount_root(image))
        except (BadSuperblock, Corrupt, Unsupported) as error:
            raise UsageError(f"{image}: {error}") from error
        process = Process(assembly.vfs)
        try:
            yield Synchronous(process)
        finally:
            run(process.exit())
    finally:
        run(assembly.close())


def complain(error: MinixFsError, image: str | None = None, path: bytes = b"") -> None:
    """One line on standard error: the command, the file if the error does not name it itself, what is wrong."""
    where = f"{image}:{os.fsdecode(path)}: " if image is not None else ""
    line = "".join(c if c.isprintable() else "?" for c in f"{where}{error}")
    click.echo(f"{click.get_current_context().command_path}: {line}", err=True)
