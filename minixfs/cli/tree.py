"""`minixfs tree`: a drawing of the files of an image. Options and forms are those of tree(1)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

import click

from minixfs.cli.images import Target
from minixfs.cli.job import Job, Verb, job
from minixfs.cli.kinds import kind
from minixfs.cli.show import json_text
from minixfs.fs.protocol import Stat
from minixfs.image.attributes import DirEntry
from minixfs.image.image import Image

_BRANCH, _LAST, _PASSING, _PAST = "├── ", "└── ", "│   ", "    "


@click.command(cls=Verb)
@click.argument("arguments", nargs=-1, metavar="IMAGE [DIRECTORY...] | IMAGE:/DIRECTORY...")
@click.option("-a", "every", is_flag=True, help="Show names that begin with a dot.")
@click.option("-d", "directories_only", is_flag=True, help="Show directories only.")
@click.option("-L", "levels", type=click.IntRange(min=1), metavar="N", help="Go no more than N levels down.")
@click.option("-f", "full", is_flag=True, help="Show whole paths.")
@click.option("-s", "sizes", is_flag=True, help="Show sizes in bytes.")
@click.option("-p", "permissions", is_flag=True, help="Show modes.")
@click.option("--json", "-J", "as_json", is_flag=True, help="One JSON array, nested like the tree, for programs.")
def tree(arguments: tuple[str, ...], levels: int | None, as_json: bool, **options: bool) -> int:
    """Draw the tree of directories and files of an image.

    \b
    minixfs tree -L 2 disk.img:/usr
    """
    with job() as work:
        drawing = (_Json if as_json else _Drawing)(work, levels or 0, **options)
        drawing.begin()
        for image, target in work.files(arguments, b"/"):
            drawing.add(image, target)
        drawing.end()
        return work.status


@dataclass(slots=True)
class _Item:
    """A file in the tree. `inside` is what is in it if it is a directory that is shown with its contents."""

    name: bytes
    path: bytes
    found: Stat | None
    target: bytes | None = None
    inside: list[DirEntry[bytes]] = field(default_factory=list)
    error: str | None = None

    @property
    def is_directory(self) -> bool:
        return self.found is not None and stat.S_ISDIR(self.found.mode)


@dataclass
class _Tree:
    """Walks, and leaves it to its children how that looks."""

    work: Job
    levels: int
    every: bool
    directories_only: bool
    full: bool
    sizes: bool
    permissions: bool
    directories: int = field(default=0, init=False)
    files: int = field(default=0, init=False)
    _seen: set[tuple[str, int]] = field(default_factory=set, init=False)

    def begin(self) -> None: ...

    def end(self) -> None: ...

    def enter(self, item: _Item, last: list[bool]) -> None:
        """`item` comes next; `last` says of it and of each directory above whether it is the last one there."""

    def leave(self, item: _Item, more: bool) -> None:
        """All in `item` has been shown; `more` is to follow beside it."""

    def add(self, image: Image, target: Target) -> None:
        try:
            found = image.attributes(target.path)
        except OSError as error:
            self.work.complain(f"{target.quoted}: {error.strerror}")
            return
        top = self._item(image, target.shown, target.path, found, 0)
        stack: list[tuple[_Item, Iterator[DirEntry[bytes]]]] = []
        self.enter(top, [])
        stack.append((top, iter(top.inside)))
        left = [len(top.inside)]
        while stack:
            self.work.check()
            item, rest = stack[-1]
            entry = next(rest, None)
            if entry is None:
                stack.pop()
                left.pop()
                self.leave(item, bool(left and left[-1]))
                continue
            left[-1] -= 1
            name = item.name.rstrip(b"/") + b"/" + entry.name if self.full else entry.name
            below = self._item(image, name, entry.path, entry.attributes, len(stack))
            self.directories += below.is_directory
            self.files += not below.is_directory
            self.enter(below, [not count for count in left])
            stack.append((below, iter(below.inside)))
            left.append(len(below.inside))

    def _item(self, image: Image, name: bytes, path: bytes, found: Stat | None, depth: int) -> _Item:
        item = _Item(name, path, found)
        try:
            if found is None:
                image.attributes(path, follow_symlinks=False)
            elif stat.S_ISLNK(found.mode):
                item.target = image.readlink(path)
            elif item.is_directory and not (self.levels and depth >= self.levels):
                if (image.spec, found.ino) in self._seen:
                    item.error = "recursive, not followed"
                    self.work.status = 1
                else:
                    self._seen.add((image.spec, found.ino))
                    item.inside = [entry for entry in image.scandir(path) if self._wanted(entry)]
        except OSError as error:
            item.error = f"error opening: {error.strerror}"
            self.work.status = 1
        return item

    def _wanted(self, entry: DirEntry[bytes]) -> bool:
        if entry.name.startswith(b".") and not self.every:
            return False
        known = entry.attributes
        return not self.directories_only or (known is not None and stat.S_ISDIR(known.mode))


class _Drawing(_Tree):
    """Lines for people, and a count at the end."""

    def enter(self, item: _Item, last: list[bool]) -> None:
        lines = (
            "".join(_PAST if at else _PASSING for at in last[:-1]) + (_LAST if last[-1] else _BRANCH) if last else ""
        )
        facts = []
        if item.found is not None and self.permissions:
            facts.append(stat.filemode(item.found.mode))
        if item.found is not None and self.sizes:
            facts.append(f"{item.found.size:11}")
        arrow = b"" if item.target is None else b" -> " + self.work.safe(item.target)
        error = f"  [{item.error}]" if item.error else ""
        start = lines + (f"[{' '.join(facts)}]  " if facts else "")
        self.work.out.write(start.encode() + self.work.safe(item.name) + arrow + error.encode() + b"\n")

    def end(self) -> None:
        directories = f"{self.directories} director{'y' if self.directories == 1 else 'ies'}"
        files = "" if self.directories_only else f", {self.files} file{'s' * (self.files != 1)}"
        self.work.say(f"\n{directories}{files}")


class _Json(_Tree):
    """As ``tree -J`` writes it, object by object, so that no tree is too deep."""

    _first = True

    def begin(self) -> None:
        self.work.out.write(b"[")

    def enter(self, item: _Item, last: list[bool]) -> None:
        facts: dict[str, object] = {"type": "unknown" if item.found is None else kind(item.found.mode)}
        facts["name"] = os.fsdecode(item.name)
        if item.target is not None:
            facts["target"] = os.fsdecode(item.target)
        if item.found is not None and self.permissions:
            facts |= {"mode": f"{stat.S_IMODE(item.found.mode):04o}", "prot": stat.filemode(item.found.mode)}
        if item.found is not None and self.sizes:
            facts["size"] = item.found.size
        if item.error:
            facts["error"] = item.error
        text = json_text(facts)[:-1] + (', "contents": [' if item.is_directory else "")
        self.work.out.write((("\n" if self._first else ",\n") + "  " * len(last) + text).encode())
        self._first = item.is_directory

    def leave(self, item: _Item, more: bool) -> None:
        self.work.out.write(b"]}" if item.is_directory else b"}")
        self._first = False

    def end(self) -> None:
        report: dict[str, object] = {"type": "report", "directories": self.directories}
        if not self.directories_only:
            report["files"] = self.files
        self.work.out.write((("\n" if self._first else ",\n") + json_text(report) + "\n]\n").encode())
