"""What cp decides for every file: whether it may be copied, what happens to what is in its place, what is said of it.

    copier = Copier(work, choices, sink, into)
    copier.copy(source, name)                 any number of times
    copier.finish()

The rules and the words are those of coreutils' cp.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from minixfs.cli.job import Job
from minixfs.cli.places import HostPlace, ImagePlace, Place
from minixfs.cli.quoting import quoted
from minixfs.trees.entry import Entry
from minixfs.trees.sink import CarryError, Found, Keep, Sink, dense, sparse

_NOT_OPENED = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ELOOP, errno.ENXIO)


@dataclass(frozen=True, slots=True)
class Choices:
    """The options. `follow` is "always", "top" or "never"; `existing` what to do with a file that is there: None to
    overwrite it, "ask" or "never"; `holes` is "auto", "always" or "never"."""

    recursive: bool = False
    follow: str = "always"
    keep: Keep = field(default_factory=Keep)
    keep_links: bool = False
    existing: str | None = None
    force: bool = False
    update: bool = False
    hard_links: bool = False
    attributes_only: bool = False
    holes: str = "auto"
    verbose: bool = False


class Copier:
    """Copies into directory `into`, which `sink` stands for. `several`: of all operands, no one may undo another."""

    def __init__(self, work: Job, choices: Choices, sink: Sink, into: Place, *, several: bool = False) -> None:
        self._work = work
        self._choices = choices
        self._sink = sink
        self._into = into
        self._several = several
        self._new: set[bytes] = set()
        self._made: set[bytes] = set()
        self._given: set[str] = set()
        self._skipped: set[bytes] = set()
        self._silent: list[str] = []

    def copy(self, source: Place, name: bytes, *, slashed: str = "") -> None:
        """Copy one operand to `name` in the directory, or with an empty name what is in it into the directory.

        `slashed` is the name as the user wrote it, if that was with a slash at its end.
        """
        top = looked_at(self._work, self._choices, source)
        if top is None or self._is_repeated(source, top):
            return
        if top.is_directory:
            if self._leads_into_itself(source, name):
                return
            follow = self._choices.follow == "always"
            entries: Iterable[Entry] = source.entries(
                follow=follow, xattrs=_asked(self._choices), on_error=self._unreadable_below
            )
        else:
            if slashed:  # there is nothing of that name, or we would be asked to copy into it
                refuse(self._work, top, slashed, os.strerror(errno.ENOENT if top.is_symlink else errno.ENOTDIR))
                return
            entries = (top,)
        self._skipped.clear()
        self._silent.clear()
        for entry in self._readable(entries):
            self._work.check()
            self._one(entry, source, b"/".join(part for part in (name, entry.path) if part))

    def finish(self) -> None:
        """Give directories what they are to have."""
        try:
            self._sink.finish()
        except CarryError as error:
            self._failed(error)

    # ---- one file --------------------------------------------------------------------------------------------------

    def _one(self, entry: Entry, source: Place, path: bytes) -> None:
        relative = entry.path  # _put gives the entry the path of the copy
        if relative and relative.rpartition(b"/")[0] in self._skipped:
            copied = False
        else:
            try:
                copied = self._put(entry, source, path)
            except CarryError as error:
                copied = self._failed(error)
            except OSError as error:
                copied = self._unreadable(error, entry.origin)
        if not copied and entry.is_directory:
            self._skipped.add(relative)
            self._silent.append(entry.origin.rstrip("/") + "/")

    def _put(self, entry: Entry, source: Place, path: bytes) -> bool:
        """Whether the copy is there now, or need not be."""
        choices, sink = self._choices, self._sink
        if not choices.keep_links:
            entry.link = None
        found = None
        looked = not path or path.rpartition(b"/")[0] not in self._new
        if looked:
            found = sink.find(path, follow=entry.is_file)
            if found is not None and path in self._made and not entry.is_directory:
                shown = quoted(sink.name_of(path)), quoted(entry.origin)
                self._work.complain(f"will not overwrite just-created {shown[0]} with {shown[1]}")
                return False
        if found is not None and not entry.is_directory and not self._make_way(entry, source, path, found):
            return False
        if found is not None and entry.is_directory and not found.is_directory:
            shown = quoted(sink.name_of(path)), quoted(entry.origin)
            self._work.complain(f"cannot overwrite non-directory {shown[0]} with directory {shown[1]}")
            return False
        if choices.verbose and not (entry.is_directory and found):
            self._work.say(f"{quoted(entry.origin)} -> {quoted(sink.name_of(path))}")
        if looked and found is None and entry.is_file and not choices.hard_links and sink.find(path) is not None:
            self._work.complain(f"not writing through dangling symlink {quoted(sink.name_of(path))}")
            return False
        self._carry(entry, source, path)
        if entry.is_directory and found is None:
            self._new.add(path)
        elif self._several:
            self._made.add(path)
        return True

    def _carry(self, entry: Entry, source: Place, path: bytes) -> None:
        choices = self._choices
        if choices.hard_links and not entry.is_directory:
            self._link(entry, source, path)
            return
        content = entry.content
        if content is not None and choices.holes != "auto":
            entry.content = (
                (lambda: sparse(content())) if choices.holes == "always" else (lambda: dense(content(), entry.size))
            )
        elif content is None and entry.size and choices.holes == "never":
            entry.content = partial(dense, (), entry.size)
        entry.path = path
        self._sink.put(entry, data=not choices.attributes_only)

    def _link(self, entry: Entry, source: Place, path: bytes) -> None:
        image = self._into.image
        name = self._sink.name_of(path)
        if image is None or source.image is not image:
            raise CarryError("cannot create hard link {} to " + quoted(entry.origin), name, errno.EXDEV)
        try:
            image.link(b"/".join((source.path, entry.path)) if entry.path else source.path, _path_in(self._into, path))
        except OSError as error:
            raise CarryError("cannot create hard link {} to " + quoted(entry.origin), name, error) from error

    def _make_way(self, entry: Entry, source: Place, path: bytes, found: Found) -> bool:
        """Whether a file may be put where `found` is; what would be in the way is gone then."""
        choices = self._choices
        shown = quoted(self._sink.name_of(path))
        if choices.existing == "never":
            return False
        if self._is_same(entry, source, found):
            if not choices.hard_links:
                self._work.complain(f"{quoted(entry.origin)} and {shown} are the same file")
            return False
        if choices.update and self._is_current(entry, found):
            return False
        if choices.existing == "ask" and not self._work.ask(f"overwrite {shown}? "):
            return False
        if found.is_directory:
            self._work.complain(f"cannot overwrite directory {shown} with non-directory")
            return False
        known_elsewhere = choices.keep_links and (found.links > 1 or self._sink.knows(entry))
        shut = choices.force if choices.hard_links else self._is_shut(path, found)
        if shut or (not choices.hard_links and (known_elsewhere or not entry.is_file)):
            self._sink.remove(path)
            if choices.verbose:
                self._work.say(f"removed {shown}")
        return True

    def _is_shut(self, path: bytes, found: Found) -> bool:
        """Whether -f has to take away a file that could not be opened; in an image we may open all."""
        if not self._choices.force or self._into.image is not None or not stat.S_ISREG(found.mode):
            return False
        return not os.access(_path_in(self._into, path), os.W_OK)

    def _is_current(self, entry: Entry, found: Found) -> bool:
        """Whether the file there is not older, as far as its times are kept."""
        unit = 1 if self._into.image is None else self._into.image.granularity
        return found.mtime // unit >= entry.mtime // unit

    def _is_same(self, entry: Entry, source: Place, found: Found) -> bool:
        if source.image is not self._into.image or source.image is None:
            return False
        path = b"/".join((source.path, entry.path)) if entry.path else source.path
        mine = source.at(path).find(follow=not entry.is_symlink)
        return mine is not None and mine.identity == found.identity

    def _is_repeated(self, source: Place, top: Entry) -> bool:
        """Whether the same operand came before, which is worth a warning."""
        if not self._several or source.name not in self._given:
            self._given.add(source.name)
            return False
        status = self._work.status
        kind = "directory" if top.is_directory else "file"
        self._work.complain(f"warning: source {kind} {quoted(source.name)} specified more than once")
        self._work.status = status
        return True

    def _leads_into_itself(self, source: Place, name: bytes) -> bool:
        """Whether a directory is to be copied to where it is, or below that."""
        into = self._into
        if not isinstance(into, ImagePlace) or source.image is not into.image:
            return False
        directory, there = source.find(), self._sink.find(name)
        if directory is not None and there is not None and there.identity == directory.identity:
            shown = quoted(source.name), quoted(self._sink.name_of(name))
            self._work.complain(f"{shown[0]} and {shown[1]} are the same file")
            return True
        if directory is None or not into.is_below(directory) or not (there is None or there.is_directory):
            return False
        shown = quoted(source.name), quoted(self._sink.name_of(name))
        self._work.complain(f"cannot copy a directory, {shown[0]}, into itself, {shown[1]}")
        return True

    # ---- what goes wrong -------------------------------------------------------------------------------------------

    def _readable(self, entries: Iterable[Entry]) -> Iterable[Entry]:
        """The entries, up to an error that ends them."""
        try:
            yield from entries
        except OSError as error:
            self._unreadable(error)

    def _unreadable_below(self, error: OSError) -> None:
        """What cannot be read in a directory that is not copied is of no interest."""
        if not os.fsdecode(error.filename or "").startswith(tuple(self._silent)):
            self._unreadable(error, looking=True)

    def _unreadable(self, error: OSError, name: str = "", *, looking: bool = False) -> bool:
        if isinstance(error, BrokenPipeError):
            raise error
        doing = "cannot open {} for reading" if error.errno in _NOT_OPENED else "error reading {}"
        if looking and error.errno == errno.ENOENT:  # a link that leads nowhere
            doing = "cannot stat {}"
        self._work.complain(f"{doing.format(quoted(name or error.filename or '?'))}: {error.strerror}")
        return False

    def _failed(self, error: CarryError) -> bool:
        self._work.complain(f"{error.doing.format(quoted(error.name))}: {error.reason}")
        return False


def _asked(choices: Choices) -> bool:
    """Whether extended attributes are of interest; access lists are."""
    return choices.keep.xattrs or choices.keep.mode


def looked_at(work: Job, choices: Choices, source: Place) -> Entry | None:
    """One operand, or None when the user has been told why it is not copied."""
    try:
        entry = source.entry(follow=choices.follow != "never", xattrs=_asked(choices))
    except OSError as error:
        work.complain(f"cannot stat {quoted(source.name)}: {error.strerror}")
        return None
    if choices.recursive or entry.is_file or entry.is_symlink:
        return entry
    if entry.is_directory:
        work.complain(f"-r not specified; omitting directory {quoted(source.name)}")
        return None
    if isinstance(source, HostPlace):
        return source.stream(entry)
    work.complain(f"cannot open {quoted(source.name)} for reading: it is a special file; with -r it is copied as such")
    return None


def refuse(work: Job, entry: Entry, name: str, why: str) -> None:
    """Say that the copy of `entry` cannot be made."""
    kind = "regular file" if entry.is_file else "directory" if entry.is_directory else "special file"
    kind = "symbolic link" if entry.is_symlink else kind
    work.complain(f"cannot create {kind} {quoted(name)}: {why}")


def _path_in(directory: Place, path: bytes) -> bytes:
    return os.path.join(directory.path, path)
