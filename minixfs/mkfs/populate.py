"""The part of making a full volume that knows no format: from entries to numbered files.

`gather(entries, limits)` takes a source of entries, asks of each whether the format can hold it, and notes what the
maker needs: `Tree` numbers the files in the order in which they come, which makes them ascend in their directories
too, and holds attributes as arrays. Contents are not read yet, so whatever does not fit is said before anything is
written. `adjusted` gives entries other owners and times on their way.
"""

from __future__ import annotations

import os
import stat
from array import array
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from minixfs.errors import UsageError
from minixfs.trees.entry import Content, Entry

_NANO = 10**9
_DEVICES = (stat.S_IFCHR, stat.S_IFBLK)
_GIVE = "; --owner gives all files to one"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a format, called `name` in messages, can hold: lengths and sizes in bytes, times in seconds since 1970.

    `is_fine`: it keeps nanoseconds too. `has_xattrs`: it keeps extended attributes; others leave them out.
    """

    name: str
    name_max: int
    symlink_max: int
    file_max: int
    link_max: int
    uid_max: int
    gid_max: int
    time_min: int = 0
    time_max: int = 0xFFFFFFFF
    is_fine: bool = False
    major_max: int = 0xFF
    minor_max: int = 0xFF
    has_xattrs: bool = False


@dataclass(slots=True)
class Directory:
    """What is in a directory, in order: names, and the files that they name."""

    parent: int
    files: array[int] = field(default_factory=lambda: array("I"))
    names: list[bytes] = field(default_factory=list)
    known: set[bytes] | None = None  # the names again, once they do not come in order


class Tree:
    """Numbered files: file 0 is the root, and every array has one element for each file.

    `sizes` are those of regular files and symbolic links, in bytes; `data` is the content of a file, the text of a
    symbolic link, or None. `directories`, `devices` (device numbers), `runs` and `xattrs` (those of `Entry`) have only
    the files that are concerned. Times are in seconds; if the format keeps them, `fine` has three times nanoseconds for
    each file, in the same order. `left_out` counts files whose extended attributes the format does not keep.
    """

    def __init__(self) -> None:
        self.modes = array("H")
        self.links = array("I")
        self.uids = array("I")
        self.gids = array("I")
        self.sizes = array("Q")
        self.mtimes = array("q")
        self.atimes = array("q")
        self.ctimes = array("q")
        self.fine = array("I")
        self.devices: dict[int, int] = {}
        self.data: list[Content | bytes | None] = []
        self.directories: dict[int, Directory] = {}
        self.runs: dict[int, Sequence[tuple[int, int]]] = {}
        self.xattrs: dict[int, dict[bytes, bytes]] = {}
        self.left_out = 0

    def __len__(self) -> int:
        return len(self.modes)

    def path(self, number: int) -> bytes:
        """The first path of a file, for messages."""
        names: list[bytes] = []
        while number:
            for above, directory in self.directories.items():
                if number in directory.files:
                    names.append(directory.names[directory.files.index(number)])
                    number = above
                    break
        return b"/" + b"/".join(reversed(names))


def gather(entries: Iterable[Entry], limits: Limits) -> Tree:
    """Number the files of a source. Raises UsageError that names the first file which the format cannot hold."""
    tree = Tree()
    by_path: dict[bytes, int] = {}
    by_link: dict[Hashable, int] = {}
    for entry in entries:
        path = entry.path
        link = entry.link
        number = by_link.get(link) if link is not None else None
        if number is None:
            number = len(tree.modes)
            _add(tree, entry, limits)
            if link is not None:
                by_link[link] = number
        else:
            _count_link(tree, number, entry, limits)
        above = 0
        if path:
            parent, _, name = path.rpartition(b"/")
            if parent not in by_path:
                raise UsageError(f"{_named(entry)}: there is no directory that holds it")
            above = by_path[parent]
            if len(name) > limits.name_max:
                raise _too_long(entry, "name", len(name), limits.name_max, limits)
            _enter(tree.directories[above], name, number, entry)
        elif number or not entry.is_directory:
            raise UsageError(f"{_named(entry)}: a tree has one top, which is a directory")
        if stat.S_ISDIR(entry.mode):
            by_path[path] = number
            tree.directories[number] = Directory(above)
            if path:
                _count_link(tree, above, entry, limits)
    if not tree:
        raise UsageError("there is nothing to make a file system of, not even a top directory")
    return tree


def adjusted(
    entries: Iterable[Entry],
    *,
    owner: tuple[int, int] | None = None,
    mtime: int | None = None,
    latest: int | None = None,
) -> Iterator[Entry]:
    """The entries, all with user and group `owner`, with all times `mtime`, or with no time after `latest` (seconds).

    With `latest`, all times of a file are that of its last change: the others tell of the host, not of the file.
    """
    for entry in entries:
        if owner is not None:
            entry.uid, entry.gid = owner
        if mtime is not None:
            entry.mtime = entry.atime = entry.ctime = mtime * _NANO
        elif latest is not None:
            entry.mtime = entry.atime = entry.ctime = min(entry.mtime, latest * _NANO)
        yield entry


def _add(tree: Tree, entry: Entry, limits: Limits) -> None:
    mode = entry.mode
    mtime, atime, ctime = entry.mtime // _NANO, entry.atime // _NANO, entry.ctime // _NANO
    earliest, latest = limits.time_min, limits.time_max
    if entry.uid > limits.uid_max:
        raise _too_large(entry, "user id", entry.uid, limits.uid_max, limits, _GIVE)
    if entry.gid > limits.gid_max:
        raise _too_large(entry, "group id", entry.gid, limits.gid_max, limits, _GIVE)
    if not (earliest <= mtime <= latest and earliest <= atime <= latest and earliest <= ctime <= latest):
        years = f"{_year(earliest)} to {_year(latest)}"
        raise UsageError(f"{_named(entry)}: {limits.name} cannot hold its times, only those from {years}")
    size = entry.size
    data: Content | bytes | None = entry.content
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFREG:
        if size > limits.file_max:
            raise _too_large(entry, "size", size, limits.file_max, limits)
        if entry.runs is not None:
            tree.runs[len(tree.modes)] = entry.runs
    elif kind == stat.S_IFLNK:
        data = entry.target
        size = len(data)
        if not 0 < size <= limits.symlink_max:
            raise _too_long(entry, "text of the link", size, limits.symlink_max, limits)
    elif kind in _DEVICES:
        major, minor = os.major(entry.rdev), os.minor(entry.rdev)
        if major > limits.major_max or minor > limits.minor_max:
            most = f"{limits.major_max}:{limits.minor_max}"
            raise UsageError(f"{_named(entry)}: device number {major}:{minor} is above {most} of {limits.name}")
        tree.devices[len(tree.modes)] = entry.rdev
    if entry.xattrs:
        if limits.has_xattrs:
            tree.xattrs[len(tree.modes)] = entry.xattrs
        else:
            tree.left_out += 1
    if limits.is_fine:
        tree.fine.extend((entry.mtime % _NANO, entry.atime % _NANO, entry.ctime % _NANO))
    tree.modes.append(mode)
    tree.links.append(2 if kind == stat.S_IFDIR else 1)
    tree.uids.append(entry.uid)
    tree.gids.append(entry.gid)
    tree.sizes.append(size)
    tree.mtimes.append(mtime)
    tree.atimes.append(atime)
    tree.ctimes.append(ctime)
    tree.data.append(data)


def _count_link(tree: Tree, number: int, entry: Entry, limits: Limits) -> None:
    tree.links[number] += 1
    if tree.links[number] > limits.link_max:
        what = "its directory has too many subdirectories" if entry.is_directory else "the file has too many names"
        raise UsageError(f"{_named(entry)}: {what}; {limits.name} counts {limits.link_max} links")


def _enter(directory: Directory, name: bytes, number: int, entry: Entry) -> None:
    if directory.known is None and directory.names and name <= directory.names[-1]:
        directory.known = set(directory.names)
    if directory.known is not None:
        if name in directory.known:
            raise UsageError(f"{_named(entry)}: comes twice")
        directory.known.add(name)
    directory.names.append(name)
    directory.files.append(number)


def _too_long(entry: Entry, what: str, length: int, most: int, limits: Limits) -> UsageError:
    return UsageError(f"{_named(entry)}: the {what} has {length} bytes; {limits.name} holds 1 to {most}")


def _too_large(entry: Entry, what: str, value: int, most: int, limits: Limits, advice: str = "") -> UsageError:
    return UsageError(f"{_named(entry)}: {what} {value} is too large; {limits.name} holds at most {most}{advice}")


def _year(time: int) -> int:
    return int(1970 + time / (365.2425 * 86400))


def _named(entry: Entry) -> str:
    return entry.origin or "/" + os.fsdecode(entry.path)
