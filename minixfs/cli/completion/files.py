"""The names of files that may stand for what is being typed: on the host, and in images. What cannot be read has none.

Images are looked into only after ``IMAGE:/``, or when an image was named before: opening one costs more than all the
rest. Names with control characters are left out, since no shell could show them safely.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from minixfs.errors import MinixFsError

MARK = ":/"
"""What separates an image from a path in it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """The whole word as it would be, without quotes; `ends`: nothing more belongs to it."""

    value: str
    help: str = ""
    ends: bool = True


def anywhere(text: str, *, only_directories: bool = False) -> list[Candidate]:
    """A file of the host or ``IMAGE[:part]:/path``."""
    if MARK in text:
        from minixfs.cli.offline import split

        real = _expanded(text)
        image, path = split(os.fsencode(real))
        if path is not None:
            start = os.fsdecode(path)
            found = _in_image(os.fsdecode(image), start, only_directories)
            head = text[: len(text) - len(start)]
            return [Candidate(head + value, ends=ends) for value, ends in found]
    return on_host(text, only_directories=only_directories, marked=True, partitions=True)


def in_image(image: str, text: str, *, only_directories: bool = False) -> list[Candidate]:
    """A path in `image`, or ``IMAGE:/path`` again."""
    if MARK in text:
        return anywhere(text, only_directories=only_directories)
    found = _in_image(_expanded(image), text, only_directories)
    return [Candidate(value, ends=ends) for value, ends in found]


def on_host(
    text: str, *, only_directories: bool = False, marked: bool = False, partitions: bool = False
) -> list[Candidate]:
    """A file of the host. `marked`: when it is an image, a path in it may follow; `partitions`: or ``:p0s1``."""
    real = _expanded(text)
    directory, start = os.path.split(real)
    found = [
        (name, Candidate(_as_typed(text, os.path.join(directory, name)) + "/" * is_directory, ends=not is_directory))
        for name, is_directory in _matching(start, _on_host(directory), only_directories and not marked)
    ]
    if len(found) == 1 and marked and found[0][1].ends:
        name, candidate = found[0]
        return [candidate, *_inside(os.path.join(directory, name), candidate.value, marked=True)]
    image, colon, _ = text.rpartition(":")
    if not found and colon and partitions:
        inside = _inside(_expanded(image), image, marked=marked)
        return [candidate for candidate in inside if candidate.value.startswith(text)]
    return [candidate for _, candidate in found]


def mounts() -> list[str]:
    """Where volumes are mounted by us."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            before, _, after = line.partition(" - ")
            if after.startswith("fuse.minixfs "):
                octal = before.split()[4].encode("utf-8", "surrogateescape")
                found.append(os.fsdecode(octal.decode("unicode_escape").encode("latin-1")))
    return found


def _expanded(text: str) -> str:
    return os.path.expanduser(text) if text.startswith("~") else text


def _as_typed(text: str, value: str) -> str:
    """`value`, which goes on where the expanded `text` ends, with the tilde that the user typed."""
    home = text.partition("/")[0]
    return home + value[len(_expanded(home)) :] if home.startswith("~") else value


def _inside(image: str, shown: str, *, marked: bool) -> Iterator[Candidate]:
    """How paths in an image begin, for each file system in it."""
    from minixfs.hw.blockdev.open import open_device
    from minixfs.hw.blockdev.partition import choices, scan
    from minixfs.hw.runtime import run
    from minixfs.mkfs.occupant import occupant

    if not os.path.isfile(image):
        return
    try:
        with closing(run(open_device(image, read_only=True))) as device:
            partitions = choices(run(scan(device)))
            known = bool(partitions) or run(occupant(device)) is not None
    except (MinixFsError, OSError):
        return
    if marked and known:
        yield Candidate(f"{shown}{MARK}", ends=False)
    for partition in partitions:
        yield Candidate(f"{shown}:{partition.name}{MARK if marked else ''}", str(partition), ends=not marked)


def _in_image(image: str, text: str, only_directories: bool) -> list[tuple[str, bool]]:
    """Paths, and whether they are complete."""
    from minixfs.image.image import Image

    directory, slash, start = text.rpartition("/")
    above = os.fsencode(directory + slash) or b"/"
    try:
        with Image(image) as opened:
            entries = [(os.fsdecode(entry.name), entry.is_dir()) for entry in opened.scandir(above)]
    except (MinixFsError, OSError):
        return []
    matching = _matching(start, entries, only_directories)
    return [(directory + slash + name + "/" * is_directory, not is_directory) for name, is_directory in matching]


def _on_host(directory: str) -> list[tuple[str, bool]]:
    try:
        with os.scandir(directory or ".") as entries:
            return [(entry.name, entry.is_dir()) for entry in entries]
    except OSError:
        return []


def _matching(start: str, entries: Iterable[tuple[str, bool]], only_directories: bool) -> list[tuple[str, bool]]:
    return [
        (name, is_directory)
        for name, is_directory in sorted(entries)
        if name.startswith(start)
        and (start or not name.startswith("."))
        and (is_directory or not only_directories)
        and all(character.isprintable() or "\udc80" <= character <= "\udcff" for character in name)
    ]
