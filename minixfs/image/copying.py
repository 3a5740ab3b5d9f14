"""Files and whole trees copied into an image, out of one, and within one: what `Image.copy_in` and its sisters do.

A copy is called what the caller says (as shutil.copytree has it, not cp); a directory that is there already is merged
with, a file replaced. Modes, times, links, devices, holes and extended attributes are kept, owners if asked for; a
symbolic link is followed only if it is itself what is to be copied. Ctrl-C comes between two files, and leaves those
that are done.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress

from minixfs.image import tree_source
from minixfs.image.image import Image
from minixfs.image.paths import Path, absolute
from minixfs.image.tree_sink import ImageSink
from minixfs.trees import host
from minixfs.trees.entry import Entry
from minixfs.trees.sink import CarryError, Keep, Sink
from minixfs.trees.unpack import HostSink


def copy_in(image: Image, source: Path, path: Path, owner: bool) -> None:
    base, target = os.fsencode(source), absolute(path)
    if os.path.isdir(base):
        _tree_into(image, host.entries(base, xattrs=True), target, owner)
    else:
        _file_into(image, host.entry(base, follow=True, xattrs=True), target, owner)


def copy_out(image: Image, path: Path, target: Path, owner: bool) -> None:
    base = os.fsencode(target)
    if image.isdir(path):
        with suppress(FileExistsError):
            os.mkdir(base)
        _carry(image, tree_source.entries(image, path, xattrs=True), HostSink(base, Keep(owner=owner)))
    else:
        entry = tree_source.entry(image, path, follow=True, xattrs=True)
        directory, entry.path = os.path.split(base)
        _carry(image, [entry], HostSink(directory, Keep(owner=owner)))


def copy_within(image: Image, path: Path, new: Path, owner: bool) -> None:
    target = absolute(new)
    found = image.attributes(path)
    if not stat.S_ISDIR(found.mode):
        if image.exists(target) and image.attributes(target).ino == found.ino:
            raise shutil.SameFileError(f"{image.name_of(path)} and {image.name_of(new)} are the same file")
        _file_into(image, tree_source.entry(image, path, follow=True, xattrs=True), target, owner)
        return
    if found.ino in _way_up(image, target if image.isdir(target) else os.path.dirname(target.rstrip(b"/"))):
        raise OSError(errno.EINVAL, "a directory cannot be copied into itself", image.name_of(path))
    _tree_into(image, tree_source.entries(image, path, xattrs=True), target, owner)


def _way_up(image: Image, directory: bytes) -> set[int]:
    """The inodes from a directory up to the root, wherever links may have led."""
    seen: set[int] = set()
    while (number := image.attributes(directory).ino) not in seen:
        seen.add(number)
        directory += b"/.."
    return seen


def _file_into(image: Image, entry: Entry, target: bytes, owner: bool) -> None:
    directory, entry.path = os.path.split(target.rstrip(b"/"))
    _carry(image, [entry], ImageSink(image, directory, Keep(owner=owner)))


def _tree_into(image: Image, entries: Iterable[Entry], target: bytes, owner: bool) -> None:
    with suppress(FileExistsError):
        image.mkdir(target)
    _carry(image, entries, ImageSink(image, target, Keep(owner=owner)))


def _carry(image: Image, entries: Iterable[Entry], sink: Sink) -> None:
    """Raises OSError about the first file that failed."""
    try:
        try:
            for entry in entries:
                image.undivided(sink.put, entry)
            image.undivided(sink.finish)
        finally:
            sink.close()
    except CarryError as error:
        raise OSError(error.errno, error.reason, error.name) from error
