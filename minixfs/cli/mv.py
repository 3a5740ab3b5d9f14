"""`minixfs mv`: rename and move files within an image. Options and messages are coreutils'."""

from __future__ import annotations

import errno
import stat

import click

from minixfs.cli.destination import attributes, pairs
from minixfs.cli.images import Target
from minixfs.cli.job import Job, Verb, job, usage
from minixfs.cli.quoting import quoted
from minixfs.fs.protocol import Stat
from minixfs.image.image import Image


@click.command(cls=Verb)
@click.argument("arguments", nargs=-1, required=True, metavar="{IMAGE PATH | IMAGE:/PATH}... DESTINATION")
@click.option("-f", "--force", "answer", flag_value="force", help="Replace what is there without asking (the default).")
@click.option("-i", "--interactive", "answer", flag_value="ask", help="Ask before something is replaced.")
@click.option("-n", "--no-clobber", "answer", flag_value="never", help="Replace nothing.")
@click.option("-t", "--target-directory", "into", metavar="DIRECTORY", help="Move everything into DIRECTORY.")
@click.option("-T", "--no-target-directory", "plain", is_flag=True, help="DESTINATION is a name, even of a directory.")
@click.option("-v", "--verbose", is_flag=True, help="Say what is moved.")
def mv(arguments: tuple[str, ...], answer: str | None, into: str | None, plain: bool, verbose: bool) -> int:
    """Rename a file of an image, or move files into a directory of the same image.

    Of -f, -i and -n the last one counts. To bring files into another image use cp.

    \b
    minixfs mv disk.img:/etc/rc.new disk.img:/etc/rc
    """
    if into is not None and plain:
        raise usage("cannot combine --target-directory (-t) and --no-target-directory (-T)")
    with job(write=True) as work:
        targets = work.images.targets(arguments)
        last = None if into is not None else targets.pop()
        if not targets:
            raise usage(f"missing destination file operand after {quoted(arguments[-1])}")
        place = last or work.images.target(into or "", targets[0].image)
        for source in targets:
            if source.image != place.image:
                raise usage(f"cannot move {source.quoted} into another image; use cp, then rm")
        work.image(place)
        made: set[bytes] = set()
        for source, target in pairs(work, targets, last, None if last else place, plain=plain, follow=True):
            work.check()
            with work.attempt(f"cannot stat {source.quoted}"):
                if _move(work, work.image(source), source, target, answer, verbose, made):
                    made.add(target.path)
        return work.status


def _move(
    work: Job, image: Image, source: Target, target: Target, answer: str | None, verbose: bool, made: set[bytes]
) -> bool:
    """Move one file; whether that was done. What is raised comes from looking at the source."""
    moved = image.attributes(source.path, follow_symlinks=False)
    with work.attempt(f"cannot move {source.quoted} to {target.quoted}"):
        try:
            there = attributes(image, target)
        except OSError as error:
            work.complain(f"cannot stat {target.quoted}: {error.strerror}")
            return False
        if there is not None:
            if answer == "never":
                return False
            if there.ino == moved.ino or (stat.S_ISLNK(moved.mode) and _leads_to(image, source, there)):
                work.complain(f"{source.quoted} and {target.quoted} are the same file")
                return False
            if stat.S_ISDIR(there.mode) and not stat.S_ISDIR(moved.mode):
                work.complain(f"cannot overwrite directory {target.quoted} with non-directory")
                return False
            if stat.S_ISDIR(moved.mode) and not stat.S_ISDIR(there.mode):
                work.complain(f"cannot overwrite non-directory {target.quoted} with directory {source.quoted}")
                return False
            if target.path in made:
                work.complain(f"will not overwrite just-created {target.quoted} with {source.quoted}")
                return False
            if answer == "ask" and not work.ask(f"overwrite {target.quoted}? "):
                return False
        elif target.path.endswith(b"/") and not stat.S_ISDIR(moved.mode):
            work.complain(f"cannot move {source.quoted} to {target.quoted}: Not a directory")
            return False
        try:
            image.rename(source.path, target.path)
        except OSError as error:
            if error.errno != errno.EINVAL or not stat.S_ISDIR(moved.mode):
                raise
            work.complain(f"cannot move {source.quoted} to a subdirectory of itself, {target.quoted}")
            return False
        if verbose:
            work.say(f"renamed {source.quoted} -> {target.quoted}")
        return True
    return False


def _leads_to(image: Image, link: Target, found: Stat) -> bool:
    """Whether a link leads to this very file, which would be lost if the link took its place."""
    try:
        return image.attributes(link.path).ino == found.ino
    except OSError:
        return False
