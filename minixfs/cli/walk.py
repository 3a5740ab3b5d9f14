"""Trees of an image, file by file, however deep they are and however wrong.

    for visit in walk(image, b"/usr"):
        image.chmod(visit.full, 0o644)
        visit.prune = True                   do not go into this directory

A directory is visited on the way in, and once more on the way out if it was entered. In a bad image a directory may
have several names: it is entered once, its other names are visits with an error.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from minixfs.fs.protocol import Stat
from minixfs.image.attributes import DirEntry
from minixfs.image.image import Image


@dataclass(slots=True)
class Visit:
    """One file. `path` is relative to the top of the walk (empty there), `full` from the root of the image.

    `found` are its attributes, None if they cannot be read; `error` is why that or the directory cannot be read.
    """

    path: bytes
    full: bytes
    depth: int
    found: Stat | None
    error: OSError | None = None
    leaving: bool = False
    prune: bool = False

    @property
    def is_directory(self) -> bool:
        return self.found is not None and stat.S_ISDIR(self.found.mode)

    def under(self, top: bytes) -> bytes:
        """What the file is called where the top of the walk is called `top`."""
        if not self.path:
            return top
        return top + self.path if not top or top.endswith(b"/") else top + b"/" + self.path


@dataclass(slots=True)
class _Level:
    """A directory on the way down: its own visit, and what in it is still to come (last first)."""

    visit: Visit
    entries: list[DirEntry[bytes]] = field(default_factory=list)


def walk(image: Image, top: bytes, *, follow: bool = False) -> Iterator[Visit]:
    """Everything at and below the path `top`, names in the order of their bytes; `follow` a link at the top."""
    seen: set[int] = set()
    levels: list[_Level] = []
    visit = _look(image, Visit(b"", top, 0, None), follow)
    while True:
        entered = _entered(visit, seen)
        yield visit
        if entered and not visit.prune:
            levels.append(_level(image, visit))
        while levels and not levels[-1].entries:
            visit = levels.pop().visit
            visit.leaving = True
            yield visit
        if not levels:
            return
        above, entry = levels[-1].visit, levels[-1].entries.pop()
        path = above.path + b"/" + entry.name if above.path else entry.name
        visit = Visit(path, entry.path, above.depth + 1, entry.attributes)
        if visit.found is None:
            visit = _look(image, visit, False)


def _look(image: Image, visit: Visit, follow: bool) -> Visit:
    try:
        visit.found = image.attributes(visit.full, follow_symlinks=follow)
    except OSError as error:
        visit.error = error
    return visit


def _entered(visit: Visit, seen: set[int]) -> bool:
    """Whether `visit` is a directory to go into. One that was met before is an error: no good image has that."""
    if visit.found is None or not visit.is_directory:
        return False
    if visit.found.ino in seen:
        visit.error = OSError(errno.ELOOP, "this directory is met again: the tree has a loop; run minixfs fsck")
        return False
    seen.add(visit.found.ino)
    return True


def _level(image: Image, visit: Visit) -> _Level:
    try:
        return _Level(visit, image.scandir(visit.full)[::-1])
    except OSError as error:
        visit.error = error
        return _Level(visit)
