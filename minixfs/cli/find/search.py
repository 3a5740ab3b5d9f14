"""What an expression of find works on: the file that is being judged, and the search as a whole."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from sys import maxsize

from minixfs.cli.images import Target
from minixfs.cli.job import Job
from minixfs.cli.quoting import quoted
from minixfs.cli.walk import Visit
from minixfs.fs.protocol import Stat
from minixfs.image.image import Image

DAY = 86400


class Finished(Exception):
    """The expression says that the search is over, at once."""


@dataclass(slots=True)
class File:
    """A file: `image` holds it, `start` is the argument it was found under, `shown` what it is called."""

    image: Image
    target: Target
    visit: Visit
    start: bytes
    found: Stat

    @property
    def shown(self) -> bytes:
        return self.visit.under(self.start)

    @property
    def name(self) -> bytes:
        """The last part of what it is called."""
        stripped = self.shown.rstrip(b"/")
        return stripped.rpartition(b"/")[2] if stripped else self.shown[:1]

    @property
    def message_name(self) -> str:
        return quoted(self.visit.under(self.target.name))

    def link_text(self) -> bytes:
        """Empty for what is no link. Raises OSError."""
        return self.image.readlink(self.visit.full) if stat.S_ISLNK(self.found.mode) else b""


Predicate = Callable[[File], bool]


@dataclass
class Search:
    """Options of the whole search, which expressions set while they are parsed, and what they do to it while it runs.

    `now` is in nanoseconds; `origin` is the image that paths in the expression are in.
    """

    work: Job
    origin: str
    now: int = field(default_factory=time.time_ns)
    day_start: bool = False
    least_depth: int = 0
    most_depth: int = maxsize
    depth_first: bool = False
    acts: bool = False
    deletes: bool = False
    syntax: str = "findutils-default"

    @property
    def reference(self) -> float:
        """Seconds: the moment that whole days are counted back from, and a day before."""
        seconds = self.now / 1e9
        if self.day_start:
            today = time.localtime(seconds)
            return time.mktime((*today[:3], 0, 0, 0, 0, 0, -1))
        return seconds - DAY

    @property
    def moment(self) -> float:
        """Seconds: the moment that minutes are counted back from."""
        return self.reference + DAY if self.day_start else self.now / 1e9

    def image_of(self, argument: str) -> tuple[Image, Target]:
        """A file that the expression names. Raises OSError or MinixFsError."""
        target = self.work.images.target(argument, self.origin)
        return self.work.image(target), target

    def complain(self, file: File, what: str, error: OSError) -> None:
        self.work.complain(f"{what}{file.message_name}: {error.strerror or os.strerror(error.errno or 0)}")
