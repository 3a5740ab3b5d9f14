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

NS = 10**9
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
    """Copies into directory `into`, which `sink` stands for."""

    def __init__(self, work: Job, choices: Choices, sink: Sink, into: Place) -> None:
        self._work = work
        self._choices = choices
        self._sink = sink
        self._into = into
        self._new: set[bytes] = set()
        self._skipped: set[bytes] = set()

    def copy(self, source: Place, name: bytes) -> None:
        """Copy one operand to `name` in the directory, or with an empty name what is in it into the directory."""
        choices = self._choices
        try:
            top = source.entry(follow=choices.follow != "never")
        except OSError as error:
            self._work.complain(f"cannot stat {quoted(source.name)}: {error.strerror}")
            return
        if top.is_directory:
            if not choices.recursive:
                self._work.complain(f"-r not specified; omitting directory {quoted(source.name)}")
                return
            if self._leads_into_itself(source, name):
                return
            entries: Iterable[Entry] = source.entries(follow=choices.follow == "always", on_error=self._unreadable)
        else:
            if not (choices.recursive or top.is_file or top.is_symlink):
                if not isinstance(source, HostPlace):
                    self._work.complain(
                        f"cannot open {quoted(source.name)} for reading: it is a device; use -r to copy that"
                    )
                    return
                top = source.stream(top)
            entries = (top,)
        self._skipped.clear()
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

    def _put(self, entry: Entry, source: Place, path: bytes) -> bool:
        """Whether the copy is there now, or need not be."""
        choices, sink = self._choices, self._sink
        if not choices.keep_links:
            entry.link = None
        found = None
        if not path or path.rpartition(b"/")[0] not in self._new:
            found = sink.find(path, follow=entry.is_file)
            if found is None and entry.is_file and sink.find(path) is not None:
                self._work.complain(f"not writing through dangling symlink {quoted(sink.name_of(path))}")
                return False
        if found is not None and not entry.is_directory and not self._make_way(entry, source, path, found):
            return False
        if found is not None and entry.is_directory and not found.is_directory:
            shown = quoted(sink.name_of(path)), quoted(entry.origin)
            self._work.complain(f"cannot overwrite non-directory {shown[0]} with directory {shown[1]}")
            return False
        if choices.verbose and not (entry.is_directory and found):
            self._work.say(f"{quoted(entry.origin)} -> {quoted(sink.name_of(path))}")
        self._carry(entry, source, path)
        if entry.is_directory and found is None:
            self._new.add(path)
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
        if found.is_directory:
            self._work.complain(f"cannot overwrite directory {shown} with non-directory")
            return False
        if self._is_same(entry, source, found):
            self._work.complain(f"{quoted(entry.origin)} and {shown} are the same file")
            return False
        if choices.existing == "never" or (choices.update and self._is_current(entry, found)):
            return False
        if choices.existing == "ask" and not self._work.ask(f"overwrite {shown}? "):
            return False
        known_elsewhere = choices.keep_links and (entry.link is not None or found.links > 1)
        if not entry.is_file or known_elsewhere or choices.hard_links or self._is_shut(path, found):
            self._sink.remove(path)
        return True

    def _is_shut(self, path: bytes, found: Found) -> bool:
        """Whether -f has to take away a file that could not be opened; in an image we may open all."""
        if not self._choices.force or self._into.image is not None or not stat.S_ISREG(found.mode):
            return False
        return not os.access(_path_in(self._into, path), os.W_OK)

    def _is_current(self, entry: Entry, found: Found) -> bool:
        """Whether the file there is not older, as far as its times are kept."""
        unit = 1 if self._into.image is None else NS
        return found.mtime // unit >= entry.mtime // unit

    def _is_same(self, entry: Entry, source: Place, found: Found) -> bool:
        if source.image is not self._into.image or source.image is None:
            return False
        path = b"/".join((source.path, entry.path)) if entry.path else source.path
        mine = source.at(path).find(follow=not entry.is_symlink)
        return mine is not None and mine.identity == found.identity

    def _leads_into_itself(self, source: Place, name: bytes) -> bool:
        into = self._into
        if not isinstance(into, ImagePlace) or source.image is not into.image:
            return False
        directory = source.find()
        if directory is None or not into.is_below(directory):
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

    def _unreadable(self, error: OSError, name: str = "") -> bool:
        if isinstance(error, BrokenPipeError):
            raise error
        doing = "cannot open {} for reading" if error.errno in _NOT_OPENED else "error reading {}"
        self._work.complain(f"{doing.format(quoted(name or error.filename or ''))}: {error.strerror}")
        return False

    def _failed(self, error: CarryError) -> bool:
        self._work.complain(f"{error.doing.format(quoted(error.name))}: {error.reason}")
        return False


def _path_in(directory: Place, path: bytes) -> bytes:
    return os.path.join(directory.path, path)
