"""Images in place, for commands that need no mount: no event loop, no FUSE.

    for spec, paths in sources(arguments):      what the user typed: IMAGE PATH..., or IMAGE:/path ...
        with opened(spec) as image:
            image.lstat(paths[0])

`opened` gives an `Image`, whose errors are OSErrors. `complain` reports what went wrong with a file, so that a command
can go on with the next; its exit code is the command's own matter.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import click

from minixfs.errors import MinixFsError, UsageError
from minixfs.image.image import Image

MARK = b":/"
"""What separates an image from a path in it."""


class Shared(ABC):
    """What the shell has in the context of the commands that it runs: they get its image, not another one."""

    @abstractmethod
    def sources(self, arguments: Sequence[str]) -> list[tuple[str, list[bytes]]]:
        """As the function of that name: all arguments are paths of the one image."""

    @abstractmethod
    def view(self) -> Any:
        """The image, which stays open; relative paths begin where the user is."""


def _shared() -> Shared | None:
    context = click.get_current_context(silent=True)
    return None if context is None else context.find_object(Shared)  # type: ignore[type-abstract]  # nothing is made


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
    shared = _shared()
    if shared is not None:
        return shared.sources(arguments)
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


def opened(image: str, write: bool = False) -> Image:
    """The file system in `image` (everything that ``minixfs mount`` takes), to be closed by ``with``.

    New files get exactly the mode they are made with. Raises MinixFsError with a message that names the image.
    """
    shared = _shared()
    if shared is not None:
        view: Image = shared.view()
        return view
    return Image(image, "r+" if write else "r")


def complain(error: MinixFsError | OSError) -> None:
    """One line on standard error: the command, the file, what is wrong."""
    text = str(error)
    if isinstance(error, OSError):
        text = f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename else error.strerror or text
    line = "".join(c if c.isprintable() else "?" for c in text)
    click.echo(f"{click.get_current_context().command_path}: {line}", err=True)
