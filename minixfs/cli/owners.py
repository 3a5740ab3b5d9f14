"""`minixfs chown` and `minixfs chgrp`: owners of files of an image, as numbers.

The names of this host's users say nothing about an image. Options and messages are coreutils'.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import click

from minixfs.cli.destination import is_there
from minixfs.cli.images import Target
from minixfs.cli.job import Job, Verb, job, usage
from minixfs.cli.quoting import quoted
from minixfs.cli.walk import walk
from minixfs.image.image import Image

KEEP = -1
"""An id that stays as it is."""

_OPTIONS = (
    click.option("-R", "--recursive", is_flag=True, help="Also change all that is in directories."),
    click.option("-h", "--no-dereference", "links", is_flag=True, help="Change links, not what they lead to."),
    click.option("-v", "--verbose", "say", flag_value="all", help="Say what was done to every file."),
    click.option("-c", "--changes", "say", flag_value="changes", help="Say what was changed."),
    click.option("-f", "--silent", "--quiet", is_flag=True, help="Say nothing about what went wrong."),
    click.option("--reference", metavar="FILE", help="Make the owner that of FILE, and name none."),
)


def _options(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(cls=Verb)
@click.argument("arguments", nargs=-1, required=True, metavar="OWNER[:GROUP] {IMAGE PATH... | IMAGE:/PATH...}")
@_options
def chown(arguments: tuple[str, ...], reference: str | None, say: str | None, **options: bool) -> int:
    """Change the owner, the group (:GROUP) or both of files of an image. Both are numbers.

    With -R symbolic links themselves are changed, without it what they lead to.

    \b
    minixfs chown -R 8:1 disk.img:/home/ast
    """
    return _run(arguments, reference, _owner, "ownership", say, **options)


@click.command(cls=Verb)
@click.argument("arguments", nargs=-1, required=True, metavar="GROUP {IMAGE PATH... | IMAGE:/PATH...}")
@_options
def chgrp(arguments: tuple[str, ...], reference: str | None, say: str | None, **options: bool) -> int:
    """Change the group of files of an image, a number."""
    return _run(arguments, reference, lambda text: (KEEP, _number(text, "group")), "group", say, **options)


def _run(
    arguments: tuple[str, ...], reference: str | None, parse: Any, verb: str, say: str | None, **options: bool
) -> int:
    ids = (KEEP, KEEP)
    if reference is None:
        ids, arguments = parse(arguments[0]), arguments[1:]
    if not arguments:
        raise usage("missing operand")
    with job(write=True) as work:
        targets = work.images.targets(arguments)
        if reference is not None:
            model = work.images.target(reference, targets[0].image)
            with work.attempt(f"failed to get attributes of {model.quoted}"):
                found = work.image(model).attributes(model.path)
                ids = (found.uid if verb == "ownership" else KEEP, found.gid)
            if work.status:
                return work.status
        change = _Ownership(work, *ids, verb=verb, say=say, **options)
        for image, target in work.opened(targets):
            change.apply(image, target)
        return work.status


def _owner(text: str) -> tuple[int, int]:
    owner, colon, group = text.partition(":")
    if colon and owner and not group:
        raise usage(f"invalid spec: {quoted(text)}: name the group as well")
    return (_number(owner, "user") if owner else KEEP), (_number(group, "group") if group else KEEP)


def _number(text: str, what: str) -> int:
    if not re.fullmatch(r"\+?[0-9]+", text) or int(text) >= 0xFFFFFFFF:
        raise usage(f"invalid {what}: {quoted(text)}: owners of files in an image are numbers")
    return int(text)


@dataclass(frozen=True)
class _Ownership:
    """The change, file by file. `KEEP` leaves an id as it is."""

    work: Job
    uid: int
    gid: int
    verb: str
    recursive: bool
    links: bool
    say: str | None
    silent: bool

    def apply(self, image: Image, target: Target) -> None:
        if not self.recursive:
            self._one(image, target.path, target.name, follow=not self.links)
            return
        for visit in walk(image, target.path):
            self.work.check()
            name = visit.under(target.name)
            if visit.error is not None:
                self._failed(f"cannot {'access' if visit.found is None else 'read directory'}", name, visit.error)
            elif visit.leaving or not visit.is_directory:
                self._one(image, visit.full, name, follow=False)

    def _one(self, image: Image, path: bytes, name: bytes, *, follow: bool) -> None:
        try:
            old = image.attributes(path, follow_symlinks=follow)
        except OSError as error:
            self._failed("cannot dereference" if follow and is_there(image, path) else "cannot access", name, error)
            return
        try:
            image.chown(path, self.uid, self.gid, follow_symlinks=follow)
        except OSError as error:
            self._failed(f"changing {self.verb} of", name, error)
            return
        before, after = self._shown(old.uid, old.gid), self._shown(self.uid, self.gid)
        changed = self.uid not in (KEEP, old.uid) or self.gid not in (KEEP, old.gid)
        verb = self.verb if self.uid != KEEP or self.gid == KEEP else "group"
        if changed and self.say:
            self.work.say(f"changed {verb} of {quoted(name)} from {before} to {after}")
        elif self.say == "all":
            self.work.say(f"{verb} of {quoted(name)} retained{f' as {before}' if before else ''}")

    def _shown(self, uid: int, gid: int) -> str:
        """The ids that are being changed."""
        shown = [str(uid)] * (self.uid != KEEP) + [str(gid)] * (self.gid != KEEP)
        return ":".join(shown)

    def _failed(self, what: str, name: bytes, error: OSError) -> None:
        if self.silent:
            self.work.status = 1
        else:
            self.work.complain(f"{what} {quoted(name)}: {error.strerror}")
