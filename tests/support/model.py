"""A file system in a few dictionaries: what a file server must look like from outside.

Every operation either changes the model or raises the error of `minixfs.errors` that a server must raise, checked in
the order of the specification (file systems, 2.6). Times, space and permissions are not modelled.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from minixfs.errors import (
    Exists,
    InvalidArgument,
    IsDirectory,
    NameTooLong,
    NotDirectory,
    NotEmpty,
    NotFound,
    NotPermitted,
    TooManyLinks,
)

DOTS = (b".", b"..")


@dataclass(eq=False)
class Thing:
    """One inode. `names` are a directory's entries without the dots; `held` counts references that a test keeps."""

    mode: int
    uid: int = 0
    gid: int = 0
    rdev: int = 0
    data: bytearray = field(default_factory=bytearray)
    target: bytes = b""
    names: dict[bytes, Thing] = field(default_factory=dict)
    parent: Thing | None = None
    links: int = 1
    held: int = 0
    ino: int = 0

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)


class Model:
    """The tree below `root`."""

    def __init__(self, name_max: int, link_max: int) -> None:
        self.name_max = name_max
        self.link_max = link_max
        self.root = Thing(stat.S_IFDIR | 0o755, links=2)

    # ---- looking ---------------------------------------------------------------------------------------------------

    def walk(self) -> Iterator[tuple[bytes, Thing]]:
        """Every name with its path, parents first."""
        stack = [(b"", self.root)]
        while stack:
            prefix, directory = stack.pop()
            for name, thing in directory.names.items():
                yield prefix + b"/" + name, thing
                if thing.is_directory:
                    stack.append((prefix + b"/" + name, thing))

    def directories(self) -> list[Thing]:
        return [self.root, *(thing for _, thing in self.walk() if thing.is_directory)]

    def files(self) -> list[Thing]:
        """The regular files, each once."""
        return list(dict.fromkeys(thing for _, thing in self.walk() if thing.is_file))

    def others(self) -> list[Thing]:
        """All that may have several names, each once."""
        return list(dict.fromkeys(thing for _, thing in self.walk() if not thing.is_directory))

    def contents(self) -> dict[bytes, bytes | None]:
        """As `Served.tree`."""
        return {path: bytes(thing.data) if thing.is_file else thing.target or None for path, thing in self.walk()}

    def find(self, directory: Thing, name: bytes) -> Thing:
        if name == b".":
            return directory
        if name == b"..":
            return directory.parent or self.root
        if name not in directory.names:
            raise NameTooLong if len(name) > self.name_max else NotFound
        return directory.names[name]

    # ---- changing --------------------------------------------------------------------------------------------------

    def make(self, directory: Thing, name: bytes, thing: Thing) -> None:
        if thing.is_directory and directory.links >= self.link_max:
            raise TooManyLinks
        self._must_be_new(directory, name)
        directory.names[name] = thing
        if thing.is_directory:
            thing.parent, thing.links = directory, 2
            directory.links += 1

    def link(self, thing: Thing, directory: Thing, name: bytes) -> None:
        if thing.is_directory:
            raise NotPermitted
        if not thing.links:
            raise NotFound
        if thing.links >= self.link_max:
            raise TooManyLinks
        self._must_be_new(directory, name)
        directory.names[name] = thing
        thing.links += 1

    def unlink(self, directory: Thing, name: bytes) -> None:
        thing = self.find(directory, name)
        if thing.is_directory:
            raise NotPermitted
        del directory.names[name]
        thing.links -= 1

    def rmdir(self, directory: Thing, name: bytes) -> None:
        if name in DOTS:
            raise InvalidArgument if name == b"." else NotEmpty
        thing = self.find(directory, name)
        if not thing.is_directory:
            raise NotDirectory
        if thing.names:
            raise NotEmpty
        del directory.names[name]
        thing.links = 0
        directory.links -= 1

    def rename(self, old_directory: Thing, old: bytes, new_directory: Thing, new: bytes) -> None:
        thing = self.find(old_directory, old)
        if thing.is_directory:
            self._must_be_outside(thing, new_directory)
        if old in DOTS or new in DOTS:
            raise InvalidArgument
        if len(new) > self.name_max:
            raise NameTooLong
        target = new_directory.names.get(new)
        if target is thing:
            return
        if target is not None:
            if target.is_directory and not thing.is_directory:
                raise IsDirectory
            if target.is_directory and target.names:
                raise NotEmpty
            if thing.is_directory and not target.is_directory:
                raise NotDirectory
        elif thing.is_directory and new_directory is not old_directory and new_directory.links >= self.link_max:
            raise TooManyLinks
        if target is not None and target.is_directory:
            target.links = 0
            new_directory.links -= 1
        elif target is not None:
            target.links -= 1
        new_directory.names[new] = thing
        del old_directory.names[old]
        self._moved(thing, old_directory, new_directory)

    def exchange(self, first_directory: Thing, first: bytes, second_directory: Thing, second: bytes) -> None:
        if first in DOTS or second in DOTS:
            raise InvalidArgument
        one, two = self.find(first_directory, first), self.find(second_directory, second)
        if one is two:
            return
        if first_directory is not second_directory:
            for thing, directory in ((one, second_directory), (two, first_directory)):
                if thing.is_directory:
                    self._must_be_outside(thing, directory)
        first_directory.names[first], second_directory.names[second] = two, one
        self._moved(one, first_directory, second_directory)
        self._moved(two, second_directory, first_directory)

    def write(self, thing: Thing, position: int, data: bytes) -> None:
        thing.data.extend(bytes(max(0, position + len(data) - len(thing.data))))
        thing.data[position : position + len(data)] = data

    def truncate(self, thing: Thing, size: int) -> None:
        del thing.data[size:]
        thing.data.extend(bytes(size - len(thing.data)))

    def free_range(self, thing: Thing, start: int, end: int) -> None:
        end = min(end, len(thing.data))
        if start >= end:
            raise InvalidArgument
        thing.data[start:end] = bytes(end - start)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _must_be_new(self, directory: Thing, name: bytes) -> None:
        if not directory.links:
            raise NotFound
        if name in DOTS or name in directory.names:
            raise Exists
        if len(name) > self.name_max:
            raise NameTooLong

    def _must_be_outside(self, thing: Thing, directory: Thing) -> None:
        current: Thing | None = directory
        while current is not None:
            if current is thing:
                raise InvalidArgument
            current = current.parent

    def _moved(self, thing: Thing, old: Thing, new: Thing) -> None:
        if thing.is_directory and old is not new:
            thing.parent = new
            old.links -= 1
            new.links += 1
