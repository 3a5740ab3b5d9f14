"""`minixfs cat`: files of an image on standard output, without a mount."""

from __future__ import annotations

import sys
from typing import BinaryIO

import click

from minixfs.cli.offline import complain, opened, sources
from minixfs.errors import MinixFsError
from minixfs.image.image import Image

CHUNK = 1 << 20
"""Bytes read at a time."""


@click.command()
@click.argument("arguments", nargs=-1, required=True, metavar="IMAGE PATH... | IMAGE:/PATH...")
def cat(arguments: tuple[str, ...]) -> int:
    """Write files of an image to standard output, one after another.

    IMAGE may name a partition (disk.img:p0s1). The exit code is 1 when a file could not be read.

    \b
    minixfs cat disk.img:/etc/fstab
    """
    output = sys.stdout.buffer
    failures = 0
    for image, paths in sources(arguments):
        try:
            with opened(image) as files:
                for path in paths:
                    failures += not _copy(files, path, output)
        except MinixFsError as error:
            complain(error)
            failures += 1
    output.flush()
    return 1 if failures else 0


def _copy(image: Image, path: bytes, output: BinaryIO) -> bool:
    """Whether all of the file was written; if not, the user was told why."""
    try:
        file = image.open(path, "rb", 0)
    except OSError as error:
        return _failed(error, output)
    with file:
        while True:
            try:
                data = file.read(CHUNK)
            except OSError as error:
                return _failed(error, output)
            if not data:
                return True
            output.write(data)


def _failed(error: OSError, output: BinaryIO) -> bool:
    output.flush()
    complain(error)
    return False
