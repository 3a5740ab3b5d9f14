"""`minixfs rm` and `minixfs rmdir`: remove files and directories of an image. Options and messages are coreutils'."""

from __future__ import annotations

import errno
import stat

import click

from minixfs.cli.images import Target
from minixfs.cli.job import Job, Verb, job, usage
from minixfs.cli.kinds import kind
from minixfs.cli.quoting import quoted
from minixfs.cli.walk import Visit, walk
from minixfs.fs.protocol import Stat
from minixfs.image.image import Image

MANY = 3
"""With -I: more arguments than this are asked about."""


@click.command(cls=Verb)
@click.argument("arguments", nargs=-1, metavar="IMAGE PATH... | IMAGE:/PATH...")
@click.option("-f", "--force", is_flag=True, help="Never ask, and say nothing about files that do not exist.")
@click.option("-i", "each", is_flag=True, help="Ask before every removal.")
@click.option("-I", "once", is_flag=True, help="Ask once before removing more than three files, or directories.")
@click.option("-r", "-R", "--recursive", is_flag=True, help="Remove directories and all that is in them.")
@click.option("-d", "--dir", "empty", is_flag=True, help="Remove empty directories too.")
@click.option("--no-preserve-root", is_flag=True, help="Let -r empty the root directory.")
@click.option("-v", "--verbose", is_flag=True, help="Say what is removed.")
def rm(arguments: tuple[str, ...], force: bool, each: bool, once: bool, **options: bool) -> int:
    """Remove files of an image. Symbolic links are removed, not followed.

    \b
    minixfs rm -r disk.img:/tmp/build
    """
    if not arguments and not force:
        raise usage("missing operand")
    with job(write=True) as work:
        targets = work.images.targets(arguments) if arguments else []
        if once and not each and (options["recursive"] or len(targets) > MANY):
            number = f"{len(targets)} argument{'s' * (len(targets) != 1)}"
            if not work.ask(f"remove {number}{' recursively' * options['recursive']}? "):
                return work.status
        removal = _Removal(work, force=force, ask=each and not force, **options)
        for image, target in work.opened(targets):
            removal.remove(image, target)
        return work.status


class _Removal:
    """What `rm` was asked for."""

    def __init__(
        self, work: Job, *, force: bool, ask: bool, recursive: bool, empty: bool, no_preserve_root: bool, verbose: bool
    ) -> None:
        self._work = work
        self._force = force
        self._ask = ask
        self._recursive = recursive
        self._empty = empty
        self._keep_root = not no_preserve_root
        self._verbose = verbose

    def remove(self, image: Image, target: Target) -> None:
        if target.path.rstrip(b"/").rpartition(b"/")[2] in (b".", b"..") and (self._recursive or self._empty):
            self._work.complain(f"refusing to remove '.' or '..' directory: skipping {target.quoted}")
            return
        try:
            found = image.attributes(target.path, follow_symlinks=False)
        except OSError as error:
            if not (self._force and isinstance(error, FileNotFoundError | NotADirectoryError)):
                self._work.complain(f"cannot remove {target.quoted}: {error.strerror}")
            return
        if stat.S_ISDIR(found.mode) and self._recursive:
            if self._keep_root and found.ino == image.attributes(b"/").ino:
                self._work.complain(
                    f"it is dangerous to operate recursively on {target.quoted}; "
                    "use --no-preserve-root to override this failsafe"
                )
                return
            self._tree(image, target)
        elif stat.S_ISDIR(found.mode) and not self._empty:
            self._work.complain(f"cannot remove {target.quoted}: Is a directory")
        else:
            self._one(image, target.path, target.name, found)

    def _tree(self, image: Image, target: Target) -> None:
        """Depth first. What could not be removed keeps the directories above it, without further complaints."""
        kept: set[bytes] = set()
        for visit in walk(image, target.path):
            self._work.check()
            if not self._visit(image, visit, visit.under(target.name), visit.path in kept):
                kept.add(visit.path.rpartition(b"/")[0])

    def _visit(self, image: Image, visit: Visit, name: bytes, kept: bool) -> bool:
        """Whether nothing of this file is left, or will be."""
        if visit.error is not None:
            self._work.complain(f"cannot remove {quoted(name)}: {visit.error}")
            return False
        if kept or visit.found is None:
            return False
        if visit.is_directory and not visit.leaving:
            return self._descends(image, visit, name)
        return self._one(image, visit.full, name, visit.found)

    def _descends(self, image: Image, visit: Visit, name: bytes) -> bool:
        if not self._ask or not image.listdir(visit.full):
            return True
        if self._work.ask(f"descend into directory {quoted(name)}? "):
            return True
        visit.prune = True
        return False

    def _one(self, image: Image, path: bytes, name: bytes, found: Stat) -> bool:
        """Remove one file or empty directory; whether it is gone."""
        if self._ask and not self._work.ask(f"remove {kind(found.mode, found.size)} {quoted(name)}? "):
            return False
        is_directory = stat.S_ISDIR(found.mode)
        try:
            (image.rmdir if is_directory else image.remove)(path)
        except OSError as error:
            self._work.complain(f"cannot remove {quoted(name)}: {error.strerror}")
            return False
        if self._verbose:
            self._work.say(f"removed {'directory ' * is_directory}{quoted(name)}")
        return True


@click.command(cls=Verb)
@click.argument("arguments", nargs=-1, required=True, metavar="IMAGE DIRECTORY... | IMAGE:/DIRECTORY...")
@click.option("-p", "--parents", is_flag=True, help="Remove the directories above as well: a/b/c, a/b and a.")
@click.option("--ignore-fail-on-non-empty", is_flag=True, help="Be silent about directories that are not empty.")
@click.option("-v", "--verbose", is_flag=True, help="Say what is removed.")
def rmdir(arguments: tuple[str, ...], parents: bool, ignore_fail_on_non_empty: bool, verbose: bool) -> int:
    """Remove empty directories of an image."""
    with job(write=True) as work:
        for image, target in work.files(arguments):
            what = "failed to remove"
            while True:
                if verbose:
                    work.tell(f"removing directory, {target.quoted}")
                try:
                    image.rmdir(target.path)
                except OSError as error:
                    if not (ignore_fail_on_non_empty and error.errno == errno.ENOTEMPTY):
                        work.complain(f"{what} {target.quoted}: {error.strerror}")
                    break
                above = target.parent
                if not parents or above is None:
                    break
                target, what = above, "failed to remove directory"
        return work.status
