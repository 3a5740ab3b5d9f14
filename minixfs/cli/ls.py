"""`minixfs ls`: the files of an image, without a mount. Options, order and exit codes are those of coreutils' ls.

Owners are numbers and times are ISO: the names of this host's users say nothing about an image.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from minixfs.cli.offline import complain, opened, sources
from minixfs.cli.show import columns, for_terminal, human, json_text
from minixfs.errors import MinixFsError
from minixfs.image.image import Image
from minixfs.image.paths import join
from minixfs.trees.entry import KINDS

if TYPE_CHECKING:
    from minixfs.fs.protocol import Stat

EXIT_MINOR, EXIT_SERIOUS = 1, 2
"""Something below an argument could not be listed; an argument itself could not."""
DOTS = (b".", b"..")


@click.command()
@click.argument("arguments", nargs=-1, required=True, metavar="IMAGE [PATH...] | IMAGE:/PATH...")
@click.option("-a", "--all", "every", is_flag=True, help="Show names that begin with a dot.")
@click.option("-A", "--almost-all", is_flag=True, help="As -a, but not . and ..")
@click.option("-d", "--directory", is_flag=True, help="Show directories themselves, not what is in them.")
@click.option("-h", "--human-readable", is_flag=True, help="With -l, show sizes like 1.5K or 10M.")
@click.option("-i", "--inode", is_flag=True, help="Show inode numbers.")
@click.option("-l", "--long", is_flag=True, help="Show mode, links, uid, gid, size and time of change.")
@click.option("-r", "--reverse", is_flag=True, help="Turn the order around.")
@click.option("-R", "--recursive", is_flag=True, help="List directories below as well.")
@click.option("-S", "--by-size", is_flag=True, help="Largest first.")
@click.option("-t", "--by-time", is_flag=True, help="Newest first.")
@click.option("-1", "--one", is_flag=True, help="One name on a line, on a terminal too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array of objects, for programs.")
def ls(arguments: tuple[str, ...], **options: bool) -> int:
    """List files of an image.

    IMAGE may name a partition (disk.img:p0s1). Without PATH the root directory is listed. Owners are numbers. The
    exit code is 2 when an argument could not be listed, 1 when something below one could not.

    \b
    minixfs ls -l disk.img:/etc
    minixfs ls -R disk.img /etc /usr
    """
    wanted = sources(arguments, b"/")
    listing = Listing(Options(**options), several_images=len(wanted) > 1)
    for image, paths in wanted:
        try:
            with opened(image) as files:
                listing.show(files, paths)
        except MinixFsError as error:
            complain(error)
            listing.status = EXIT_SERIOUS
    listing.end()
    return listing.status


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for; the names are those of the options."""

    every: bool = False
    almost_all: bool = False
    directory: bool = False
    human_readable: bool = False
    inode: bool = False
    long: bool = False
    reverse: bool = False
    recursive: bool = False
    by_size: bool = False
    by_time: bool = False
    one: bool = False
    as_json: bool = False

    @property
    def needs_attributes(self) -> bool:
        return self.long or self.recursive or self.by_size or self.by_time or self.as_json


@dataclass(slots=True)
class Entry:
    """One line: a name with its inode. `attributes` is None where names are enough, `target` is a link's text."""

    name: bytes
    ino: int
    attributes: Stat | None = None
    target: bytes | None = None

    @property
    def is_directory(self) -> bool:
        return self.attributes is not None and stat.S_ISDIR(self.attributes.mode)


@dataclass
class Listing:
    """The listing as it grows; `status` is what the command ends with."""

    options: Options
    several_images: bool = False
    status: int = 0
    _objects: list[dict[str, object]] = field(default_factory=list)
    _written: bool = False

    def __post_init__(self) -> None:
        self._out = sys.stdout.buffer
        self._terminal = self._out.isatty()
        self._name: Callable[[bytes], bytes] = for_terminal if self._terminal else bytes

    def show(self, image: Image, paths: Sequence[bytes]) -> None:
        """List `paths` of an image: files first, then what is in directories."""
        files: list[Entry] = []
        directories: list[Entry] = []
        for path in paths:
            try:
                entry = self._argument(image, path)
            except OSError as error:
                self._complain(error, EXIT_SERIOUS)
                continue
            (directories if entry.is_directory and not self.options.directory else files).append(entry)
        if files:
            self._put(image.spec, b"", self._sorted(files))
        titled = self.options.recursive or len(paths) > 1 or self.several_images
        for entry in self._sorted(directories):
            self._directory(image, entry, titled)

    def end(self) -> None:
        if self.options.as_json:
            self._out.write(json_text(self._objects, indent=1).encode() + b"\n")
        self._out.flush()

    # ---- collecting ------------------------------------------------------------------------------------------------

    def _argument(self, image: Image, path: bytes) -> Entry:
        """An argument; a link to a directory counts as that directory where its contents are wanted."""
        attributes = image.attributes(path, follow_symlinks=False)
        if stat.S_ISLNK(attributes.mode) and not self.options.long and not self.options.directory:
            with suppress(OSError):  # where it leads nowhere, the link itself is listed
                attributes = image.attributes(path)
        return _entry(image, path, path, attributes)

    def _directory(self, image: Image, start: Entry, titled: bool) -> None:
        """List a directory and, recursively, those below it. An image may have loops, so none is listed twice."""
        seen = set()
        waiting = [start]
        status = EXIT_SERIOUS
        while waiting:
            directory = waiting.pop()
            try:
                if directory.ino in seen:
                    text = f"this directory is listed already: the tree has a loop (inode {directory.ino})"
                    raise OSError(errno.ELOOP, text, image.name_of(directory.name))
                seen.add(directory.ino)
                entries = self._read(image, directory.name)
            except OSError as error:
                self._complain(error, status)
                continue
            finally:
                status = EXIT_MINOR
            self._put(image.spec, directory.name, entries, titled)
            if self.options.recursive:
                below = [entry for entry in entries if entry.is_directory and entry.name not in DOTS]
                for entry in reversed(below):
                    waiting.append(Entry(join(directory.name, entry.name), entry.ino, entry.attributes))

    def _read(self, image: Image, path: bytes) -> list[Entry]:
        """The entries of a directory that are to be shown, in order."""
        found: list[Entry] = []
        if self.options.every:
            dots = [(name, image.attributes(join(path, name))) for name in DOTS]
            found += [Entry(name, attributes.ino, attributes) for name, attributes in dots]
        if not self.options.needs_attributes:
            return self._sorted(
                found + [Entry(raw.name, raw.ino) for raw in image.entries(path) if self._wanted(raw.name)]
            )
        for item in image.scandir(path):
            if not self._wanted(item.name):
                continue
            try:
                attributes = item.attributes or image.attributes(item.path, follow_symlinks=False)
                found.append(_entry(image, item.name, item.path, attributes))
            except OSError as error:
                self._complain(error, EXIT_MINOR)
                found.append(Entry(item.name, item.inode()))
        return self._sorted(found)

    def _wanted(self, name: bytes) -> bool:
        return self.options.every or self.options.almost_all or not name.startswith(b".")

    def _sorted(self, entries: list[Entry]) -> list[Entry]:
        def key(entry: Entry) -> tuple[int, bytes]:
            found = entry.attributes
            if found is None or not (self.options.by_size or self.options.by_time):
                return 0, entry.name
            return -(found.mtime if self.options.by_time else found.size), entry.name

        return sorted(entries, key=key, reverse=self.options.reverse)

    def _complain(self, error: OSError, status: int) -> None:
        self._out.flush()
        complain(error)
        self.status = max(self.status, status)

    # ---- showing ---------------------------------------------------------------------------------------------------

    def _put(self, image: str, directory: bytes, entries: list[Entry], titled: bool = False) -> None:
        if self.options.as_json:
            self._objects += (_object(image, directory, entry) for entry in entries)
            return
        lines = [b""] if self._written else []
        if titled:
            where = os.fsencode(image) + b":" + directory if self.several_images else directory
            lines.append(self._name(where) + b":")
        if self.options.long:
            if directory:
                blocks = sum(entry.attributes.blocks for entry in entries if entry.attributes) * 512
                lines.append(f"total {human(blocks) if self.options.human_readable else blocks // 1024}".encode())
            lines += self._long(entries)
        else:
            width = max((len(str(entry.ino)) for entry in entries), default=0)
            names = [
                (f"{entry.ino:{width}} ".encode() if self.options.inode else b"") + self._name(entry.name)
                for entry in entries
            ]
            if self._in_columns:
                from shutil import get_terminal_size  # slow to load

                names = columns(names, get_terminal_size().columns)
            lines += names
        self._out.writelines(line + b"\n" for line in lines)
        self._written = True

    @property
    def _in_columns(self) -> bool:
        return self._terminal and not self.options.one

    def _long(self, entries: list[Entry]) -> list[bytes]:
        rows = [self._row(entry) for entry in entries]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for entry, row in zip(entries, rows, strict=True):
            cells = " ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            arrow = b"" if entry.target is None else b" -> " + self._name(entry.target)
            lines.append(cells.encode() + b" " + self._name(entry.name) + arrow)
        return lines

    def _row(self, entry: Entry) -> list[str]:
        """The cells before the name; question marks for what cannot be read."""
        cells = [str(entry.ino)] if self.options.inode else []
        found = entry.attributes
        if found is None:
            return [*cells, "?" * 10, "?", "?", "?", "?", "?"]
        size = human(found.size) if self.options.human_readable else str(found.size)
        if stat.S_ISCHR(found.mode) or stat.S_ISBLK(found.mode):
            size = f"{os.major(found.rdev)}, {os.minor(found.rdev)}"
        changed = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.mtime // 10**9))
        return [*cells, stat.filemode(found.mode), str(found.nlink), str(found.uid), str(found.gid), size, changed]


def _entry(image: Image, name: bytes, path: bytes, attributes: Stat) -> Entry:
    target = image.readlink(path) if stat.S_ISLNK(attributes.mode) else None
    return Entry(name, attributes.ino, attributes, target)


def _object(image: str, directory: bytes, entry: Entry) -> dict[str, object]:
    """An entry for programs. Bytes that are not UTF-8 are U+DC80..U+DCFF, as Python has them; times are seconds."""
    path = os.fsdecode(join(directory, entry.name) if directory else entry.name)
    found = entry.attributes
    if found is None:
        return {"image": image, "path": path, "inode": entry.ino}
    result: dict[str, object] = {
        "image": image,
        "path": path,
        "inode": found.ino,
        "type": KINDS.get(stat.S_IFMT(found.mode), "unknown"),
        "mode": f"{stat.S_IMODE(found.mode):04o}",
        "links": found.nlink,
        "uid": found.uid,
        "gid": found.gid,
        "size": found.size,
        "allocated": found.blocks * 512,
        "accessed": found.atime // 10**9,
        "modified": found.mtime // 10**9,
        "changed": found.ctime // 10**9,
    }
    if stat.S_ISCHR(found.mode) or stat.S_ISBLK(found.mode):
        result |= {"major": os.major(found.rdev), "minor": os.minor(found.rdev)}
    if entry.target is not None:
        result["target"] = os.fsdecode(entry.target)
    return result
