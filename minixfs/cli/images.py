"""The images that one command, or one session of the shell, works on: each opened once, when it is first needed.

    with images_of(context) as images:
        for target in images.targets(arguments):    what the user typed: IMAGE PATH..., or IMAGE:/path ...
            image = images.open(target.image, write=True)

The shell puts its own `Images` into the context of the commands that it runs: these then work on the image that it
has open, with paths relative to where it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import click

from minixfs.cli.offline import sources, split
from minixfs.cli.quoting import quoted
from minixfs.errors import UsageError
from minixfs.image.image import Image


@dataclass(frozen=True, slots=True)
class Target:
    """A file that the user named: its `image`, its `path` from the root there, `shown` as it was written, and the
    `name` that messages call it by."""

    image: str
    path: bytes
    shown: bytes
    name: bytes

    @property
    def quoted(self) -> str:
        return quoted(self.name)

    def child(self, name: bytes) -> Target:
        """The file `name` in this directory."""
        return Target(self.image, *(_join(part, name) for part in (self.path, self.shown, self.name)))

    @property
    def parent(self) -> Target | None:
        """The directory above, as far as the user wrote it down."""
        stripped = self.shown.rstrip(b"/")
        above = stripped.rpartition(b"/")[0].rstrip(b"/")
        cut = len(self.shown) - len(above)
        return Target(self.image, self.path[:-cut], above, self.name[:-cut]) if above else None

    @property
    def last(self) -> bytes:
        """The last part of the path; empty for the root."""
        return self.path.rstrip(b"/").rpartition(b"/")[2]


class Images:
    """Every image that was asked for, open until `close`. `fixed` is the one that all paths are in, if there is one."""

    fixed: str | None = None

    def __init__(self) -> None:
        self._open: dict[str, Image] = {}

    def targets(self, arguments: Sequence[str], default: bytes | None = None) -> list[Target]:
        """All files of ``IMAGE PATH...`` or ``IMAGE:/path ...``; `default` stands for a path that is not there.

        Raises UsageError.
        """
        if not arguments:
            raise UsageError("missing operand")
        return [self._named(image, path) for image, paths in sources(arguments, default) for path in paths]

    def whole(self, arguments: Sequence[str]) -> list[Target]:
        """The root directories of images. Raises UsageError."""
        if not arguments:
            raise UsageError("missing operand")
        return [self._named(os.fsdecode(split(os.fsencode(argument))[0]), b"/") for argument in arguments]

    def target(self, argument: str, image: str) -> Target:
        """What an option names: ``IMAGE:/path``, or a path in `image`."""
        own, path = split(os.fsencode(argument))
        return self._named(image, own) if path is None else self._named(os.fsdecode(own), path)

    def _named(self, image: str, path: bytes) -> Target:
        return Target(image, b"/" + path.lstrip(b"/"), path, os.fsencode(image) + b":/" + path.lstrip(b"/"))

    def open(self, spec: str, *, write: bool = False) -> Image:
        """Raises MinixFsError with a message that names the image."""
        key = os.path.realpath(spec)
        image = self._open.get(key)
        if image is not None and (image.writable or not write):
            return image
        if image is not None:  # our own lock would be in the way
            del self._open[key]
            image.close()
        self._open[key] = Image(spec, "r+" if write else "r")
        return self._open[key]

    def close(self) -> None:
        """Write all changes and let go of everything. Raises OSError."""
        while self._open:
            self._open.popitem()[1].close()


@contextmanager
def images_of(context: click.Context) -> Iterator[Images]:
    """The shell's images when the command runs there; else new ones, closed at the end."""
    images = context.find_object(Images)
    if images is not None:
        yield images
        return
    images = Images()
    try:
        yield images
    finally:
        images.close()


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + name if not directory or directory.endswith(b"/") else directory + b"/" + name
