"""Where mv and ln put things: under a new name, or under their own names in a directory.

The command line is one of ``SOURCE NAME``, ``SOURCE... DIRECTORY``, ``-t DIRECTORY SOURCE...`` and ``-T SOURCE NAME``,
with the image before it or in each of the arguments.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence

from minixfs.cli.images import Target
from minixfs.cli.job import Job, usage
from minixfs.cli.quoting import quoted
from minixfs.fs.protocol import Stat
from minixfs.image.image import Image


def pairs(
    work: Job, sources: Sequence[Target], last: Target | None, directory: Target | None, *, plain: bool, follow: bool
) -> list[tuple[Target, Target]]:
    """Each source with the place it goes to. `last` is the last operand, unless `directory` is where all go (-t).

    `plain`: the last operand is a name, even of a directory (-T). `follow`: a link to a directory is a directory.
    Raises UsageError.
    """
    if directory is not None:
        if not is_directory(work.image(directory), directory.path):
            raise usage(f"target directory {directory.quoted}: {_why(work, directory)}")
        return [(source, directory.child(source.last)) for source in sources]
    if last is None:
        raise usage("missing file operand")
    if plain:
        if len(sources) > 1:
            raise usage(f"extra operand {quoted(last.shown)}")
        return [(sources[0], last)]
    if is_directory(work.image(last), last.path, follow=follow):
        return [(source, last.child(source.last)) for source in sources]
    if len(sources) > 1:
        raise usage(f"target {last.quoted}: {_why(work, last)}")
    return [(sources[0], last)]


def attributes(image: Image, target: Target) -> Stat | None:
    """Of the file itself, a link too; None if there is none. Raises OSError for whatever else is in the way."""
    try:
        return image.attributes(target.path, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_same_entry(image: Image, one: Target, other: Target) -> bool:
    """Whether both are the same name in the same directory. Raises OSError."""
    if one.last != other.last:
        return False
    directories = [target.path.rstrip(b"/").rpartition(b"/")[0] + b"/." for target in (one, other)]
    first, second = (image.attributes(directory).ino for directory in directories)
    return first == second


def is_there(image: Image, path: bytes) -> bool:
    """Whether there is such a name; False for whatever is in the way of knowing."""
    try:
        image.attributes(path, follow_symlinks=False)
    except OSError:
        return False
    return True


def is_directory(image: Image, path: bytes, *, follow: bool = True) -> bool:
    """False for whatever is in the way of knowing."""
    try:
        return stat.S_ISDIR(image.attributes(path, follow_symlinks=follow).mode)
    except OSError:
        return False


def _why(work: Job, target: Target) -> str:
    """Why it is no directory."""
    try:
        image = work.image(target)
        image.attributes(target.path)
    except OSError as error:
        return error.strerror or str(error)
    return os.strerror(errno.ENOTDIR)
