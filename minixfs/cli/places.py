"""Where files are carried from and to: on the host or in an image, named the same way and asked the same questions.

place = place_of(argument)               ``IMG[:part]:/path`` is in an image, everything else on the host
place.open(images, write=False)          opens the image, where there is one
place.find(), place.entry(), place.entries(), place.sink(...)
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from minixfs.cli.images import Images
from minixfs.cli.offline import split
from minixfs.image import tree_sink, tree_source
from minixfs.image.image import Image
from minixfs.image.paths import absolute, join
from minixfs.trees import host
from minixfs.trees.entry import PIECE, Entry
from minixfs.trees.sink import Found, Keep, Sink
from minixfs.trees.unpack import HostSink

OnError = Callable[[OSError], object]
Step = Callable[[int], object]


@dataclass
class Place(ABC):
    """A file: its `path`, and the `name` that messages call it by; an empty path on the host is the working directory.

    Everything that asks raises OSError.
    """

    path: bytes
    image: Image | None = field(default=None, init=False)

    @property
    @abstractmethod
    def name(self) -> str: ...

    @abstractmethod
    def at(self, path: bytes) -> Place:
        """Another one of the same kind, opened."""

    @abstractmethod
    def open(self, images: Images, *, write: bool) -> None:
        """Open the image, where there is one. Raises MinixFsError."""

    @abstractmethod
    def find(self, *, follow: bool = True) -> Found | None:
        """What is there; None if nothing is."""

    @abstractmethod
    def entry(self, *, follow: bool, xattrs: bool = False) -> Entry:
        """`xattrs`: with extended attributes."""

    @abstractmethod
    def entries(self, *, follow: bool, xattrs: bool = False, on_error: OnError) -> Iterator[Entry]: ...

    @abstractmethod
    def sink(self, keep: Keep, step: Step) -> Sink:
        """The directory as a sink."""

    @property
    def parent(self) -> Place:
        """The directory that it is in."""
        stripped = self.path.rstrip(b"/")
        directory, slash, _ = stripped.rpartition(b"/")
        return self.at(directory or slash)

    @property
    def last(self) -> bytes:
        """Its name in that directory; empty for the root, and for a directory that is called ``.`` or ``..``."""
        last = self.path.rstrip(b"/").rpartition(b"/")[2]
        return b"" if last in (b".", b"..") else last


class HostPlace(Place):
    """On the host."""

    @property
    def name(self) -> str:
        return os.fsdecode(self.path)

    def at(self, path: bytes) -> Place:
        return HostPlace(path)

    def open(self, images: Images, *, write: bool) -> None:
        pass

    def find(self, *, follow: bool = True) -> Found | None:
        try:
            found = os.stat(self.path, follow_symlinks=follow)
        except FileNotFoundError:
            return None
        return Found(found.st_mode, (found.st_dev, found.st_ino), found.st_nlink, found.st_mtime_ns)

    def entry(self, *, follow: bool, xattrs: bool = False) -> Entry:
        return host.entry(self.path, follow=follow, xattrs=xattrs)

    def entries(self, *, follow: bool, xattrs: bool = False, on_error: OnError) -> Iterator[Entry]:
        return host.entries(self.path, follow=follow, xattrs=xattrs, on_error=on_error)

    def sink(self, keep: Keep, step: Step) -> Sink:
        return HostSink(self.path, keep, step)

    def stream(self, entry: Entry) -> Entry:
        """A device or FIFO as the regular file that reading it gives. The data comes once."""

        def content() -> Iterator[tuple[int, bytes]]:
            with open(self.path, "rb", 0) as file:
                while data := file.read(PIECE):
                    yield entry.size, data
                    entry.size += len(data)

        entry.mode = stat.S_IFREG | stat.S_IMODE(entry.mode)
        entry.rdev = 0
        entry.link = None
        entry.content = content
        return entry


class ImagePlace(Place):
    """In an image, which has to be opened first."""

    def __init__(self, spec: str, path: bytes, image: Image | None = None) -> None:
        super().__init__(path)
        self.spec = spec
        self.image = image

    @property
    def name(self) -> str:
        return f"{self.spec}:{os.fsdecode(absolute(self.path))}"

    def at(self, path: bytes) -> Place:
        return ImagePlace(self.spec, path, self.image)

    def open(self, images: Images, *, write: bool) -> None:
        self.image = images.open(self.spec, write=write)

    def find(self, *, follow: bool = True) -> Found | None:
        try:
            found = self._opened.stat(self.path, follow_symlinks=follow)
        except FileNotFoundError:
            return None
        return Found(found.st_mode, (id(self.image), found.st_ino), found.st_nlink, found.st_mtime_ns)

    def entry(self, *, follow: bool, xattrs: bool = False) -> Entry:
        return tree_source.entry(self._opened, self.path, follow=follow, xattrs=xattrs)

    def entries(self, *, follow: bool, xattrs: bool = False, on_error: OnError) -> Iterator[Entry]:
        return tree_source.entries(self._opened, self.path, follow=follow, xattrs=xattrs, on_error=on_error)

    def sink(self, keep: Keep, step: Step) -> Sink:
        return tree_sink.ImageSink(self._opened, self.path, keep, step)

    def is_below(self, other: Found) -> bool:
        """Whether this directory is `other` or in it."""
        path = self.path
        while found := self.at(path).find():
            if found == other or found.identity == other.identity:
                return True
            above = self.at(join(path, b"..")).find()
            if above is None or above.identity == found.identity:
                return False
            path = join(path, b"..")
        return False

    @property
    def _opened(self) -> Image:
        if self.image is None:
            raise ValueError(f"{self.spec} is not open")
        return self.image


def place_of(argument: str, images: Images) -> Place:
    """What an argument names. In a session of the shell that is a file of its image."""
    if images.fixed is not None:
        target = images.targets([argument])[0]
        return ImagePlace(target.image, target.path)
    image, path = split(os.fsencode(argument))
    return HostPlace(image) if path is None else ImagePlace(os.fsdecode(image), path)
