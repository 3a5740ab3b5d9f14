"""`minixfs chmod`: modes of files of an image. Options and messages are coreutils'; see `modes` for the modes."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

import click

from minixfs.cli import modes
from minixfs.cli.images import Target
from minixfs.cli.job import Job, Verb, job, usage
from minixfs.cli.quoting import quoted, quoted_if_needed
from minixfs.cli.walk import Visit, walk
from minixfs.image.image import Image


@click.command(cls=Verb, context_settings={"ignore_unknown_options": True})  # ``chmod -w FILE`` takes a mode
@click.argument("arguments", nargs=-1, required=True, metavar="MODE {IMAGE PATH... | IMAGE:/PATH...}")
@click.option("-R", "--recursive", is_flag=True, help="Also change all that is in directories.")
@click.option("-v", "--verbose", "say", flag_value="all", help="Say what was done to every file.")
@click.option("-c", "--changes", "say", flag_value="changes", help="Say what was changed.")
@click.option("-f", "--silent", "--quiet", is_flag=True, help="Say nothing about what went wrong.")
@click.option("--reference", metavar="FILE", help="Make the mode that of FILE, and name none.")
def chmod(arguments: tuple[str, ...], reference: str | None, say: str | None, **options: bool) -> int:
    """Change the mode of files of an image. MODE is octal (0755) or symbolic (u+rwX,g=u,o-w).

    Symbolic links are followed, but those met on the way with -R are left alone.

    \b
    minixfs chmod -R u+rwX,go-w disk.img:/etc
    """
    text = ""
    if reference is None:
        text, *rest = arguments
        arguments = tuple(rest)
        if not arguments:
            raise usage(f"missing operand after {quoted(text)}")
    with job(write=True) as work:
        targets = work.images.targets(arguments)
        if reference is None:
            try:
                change = modes.parse(text)
            except ValueError:
                raise usage(f"invalid mode: {quoted(text)}") from None
        else:
            model = work.images.target(reference, targets[0].image)
            with work.attempt(f"failed to get attributes of {model.quoted}"):
                change = modes.set_to(work.image(model).attributes(model.path).mode)
            if work.status:
                return work.status
        umask = host_umask()
        changing = _Change(work, change, umask, warn=text.startswith("-"), say=say, **options)
        for image, target in work.opened(targets):
            changing.apply(image, target)
        return work.status


def host_umask() -> int:
    """The mask that the user works with. Python can only read it by setting it."""
    umask = os.umask(0)
    os.umask(umask)
    return umask


@dataclass(frozen=True)
class _Change:
    """The change, file by file. `warn`: the mode looks like an option, so the umask may surprise."""

    work: Job
    change: modes.Change
    umask: int
    warn: bool
    recursive: bool
    say: str | None
    silent: bool

    def apply(self, image: Image, target: Target) -> None:
        try:
            linked = stat.S_ISLNK(image.attributes(target.path, follow_symlinks=False).mode)
        except OSError as error:
            self._failed(f"cannot access {target.quoted}: {error.strerror}", target.name)
            return
        if self.recursive and not linked:
            for visit in walk(image, target.path):
                self.work.check()
                self._visit(image, visit, visit.under(target.name))
            return
        try:
            mode = image.attributes(target.path).mode
        except OSError as error:
            self._failed(
                f"cannot operate on dangling symlink {target.quoted}"
                if isinstance(error, FileNotFoundError)
                else f"cannot access {target.quoted}: {error.strerror}",
                target.name,
            )
            return
        self._one(image, target.path, target.name, mode)

    def _visit(self, image: Image, visit: Visit, name: bytes) -> None:
        if visit.error is not None:
            what = "access" if visit.found is None else "read directory"
            self._failed(f"cannot {what} {quoted(name)}: {visit.error.strerror}", name)
        elif visit.found is None or visit.leaving:
            return
        elif not stat.S_ISLNK(visit.found.mode):
            several = visit.found.nlink > 1 and not visit.is_directory  # it may have been changed by another name
            mode = image.attributes(visit.full).mode if several else visit.found.mode
            self._one(image, visit.full, name, mode)
        elif self.say == "all":
            self.work.say(f"neither symbolic link {quoted(name)} nor referent has been changed")

    def _one(self, image: Image, path: bytes, name: bytes, mode: int) -> None:
        directory = stat.S_ISDIR(mode)
        old, new = stat.S_IMODE(mode), self.change(mode, directory=directory, umask=self.umask)
        try:
            image.chmod(path, new)
        except OSError as error:
            self._failed(f"changing permissions of {quoted(name)}: {error.strerror}", name)
            return
        if new != old and self.say:
            before = f"{old:04o} ({modes.text(old)})"
            self.work.say(f"mode of {quoted(name)} changed from {before} to {new:04o} ({modes.text(new)})")
        elif self.say == "all":
            self.work.say(f"mode of {quoted(name)} retained as {new:04o} ({modes.text(new)})")
        if self.warn:
            wished = self.change(mode, directory=directory, umask=0)
            if new & ~wished:
                self.work.complain(
                    f"{quoted_if_needed(name)}: new permissions are {modes.text(new)}, not {modes.text(wished)}"
                )

    def _failed(self, message: str, name: bytes) -> None:
        if self.silent:
            self.work.status = 1
        else:
            self.work.complain(message)
        if self.say == "all":
            self.work.say(f"{quoted(name)} could not be accessed")
