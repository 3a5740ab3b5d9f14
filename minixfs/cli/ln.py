"""`minixfs ln`: further names of files of an image, and symbolic links. Options and messages are coreutils'."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import click

from minixfs.cli.destination import attributes, is_same_entry, pairs
from minixfs.cli.images import Target
from minixfs.cli.job import Job, Verb, job, usage
from minixfs.cli.offline import split
from minixfs.cli.quoting import quoted
from minixfs.image.image import Image


@click.command(cls=Verb)
@click.argument("arguments", nargs=-1, required=True, metavar="{IMAGE PATH | IMAGE:/PATH}... DESTINATION")
@click.option("-s", "--symbolic", is_flag=True, help="Make symbolic links; the first operands are their texts.")
@click.option("-f", "--force", "answer", flag_value="force", help="Remove what is in the way.")
@click.option("-i", "--interactive", "answer", flag_value="ask", help="Ask before something is removed.")
@click.option("-n", "--no-dereference", "stay", is_flag=True, help="DESTINATION is a name if it is a link.")
@click.option("-t", "--target-directory", "into", metavar="DIRECTORY", help="Make all links in DIRECTORY.")
@click.option("-T", "--no-target-directory", "plain", is_flag=True, help="DESTINATION is a name, even of a directory.")
@click.option("-v", "--verbose", is_flag=True, help="Say what is made.")
def ln(
    arguments: tuple[str, ...],
    symbolic: bool,
    answer: str | None,
    stay: bool,
    into: str | None,
    plain: bool,
    verbose: bool,
) -> int:
    """Give a file of an image another name, or files names in a directory.

    A symbolic link is made as minixfs ln -s TEXT IMAGE:/LINK, or minixfs ln -s IMAGE TEXT LINK.
    """
    if into is not None and plain:
        raise usage("cannot combine --target-directory and --no-target-directory")
    with job(write=True) as work:
        targets = _texts(work, arguments, into) if symbolic else work.images.targets(arguments)
        last = None if into is not None else targets.pop()
        if not targets:
            raise usage(f"missing destination file operand after {quoted(arguments[-1])}")
        place = last or work.images.target(into or "", targets[0].image)
        work.image(place)
        for source, target in pairs(work, targets, last, None if last else place, plain=plain, follow=not stay):
            work.check()
            image = work.image(target)
            if symbolic:
                _symbolic(work, image, source.shown, target, answer, verbose)
            elif source.image != target.image:
                work.complain(f"failed to create hard link {target.quoted}: {source.quoted} is in another image")
            else:
                _hard(work, image, source, target, answer, verbose)
        return work.status


def _texts(work: Job, arguments: Sequence[str], into: str | None) -> list[Target]:
    """The operands of ``ln -s``: all but the last are texts, whatever they look like, `shown` is what they say."""
    raw = [os.fsencode(argument) for argument in arguments]
    named = os.fsencode(into) if into is not None else raw.pop()
    image, path = split(named)
    if path is None and not work.images.fixed:
        if not raw:
            raise usage(f"missing destination file operand after {quoted(named)}")
        image = raw.pop(0)
    name = os.fsdecode(image) if path is not None or not work.images.fixed else work.images.fixed
    texts = [_text(text, name) for text in raw]
    targets = [Target(name, b"/" + text.lstrip(b"/"), text, text) for text in texts]
    return targets if into is not None else [*targets, work.images.target(os.fsdecode(named), name)]


def _text(argument: bytes, image: str) -> bytes:
    """What a link says: the argument, but the path alone where the user put the image before it by habit."""
    own, path = split(argument)
    return path if path is not None and os.fsdecode(own) == image else argument


def _symbolic(work: Job, image: Image, text: bytes, target: Target, answer: str | None, verbose: bool) -> None:
    with work.attempt(f"failed to create symbolic link {target.quoted}"):
        if not _put(work, image, target, answer, lambda place: image.symlink(text, place.path)):
            return
        if verbose:
            work.say(f"{target.quoted} -> {quoted(text)}")


def _hard(work: Job, image: Image, source: Target, target: Target, answer: str | None, verbose: bool) -> None:
    try:
        found = image.attributes(source.path, follow_symlinks=False)
    except OSError as error:
        work.complain(f"failed to access {source.quoted}: {error.strerror}")
        return
    if stat.S_ISDIR(found.mode):
        work.complain(f"{os.fsdecode(source.name)}: hard link not allowed for directory")
        return
    with work.attempt(f"failed to create hard link {target.quoted}"):
        there = attributes(image, target)
        if answer and there is not None and there.ino == found.ino:
            if is_same_entry(image, source, target):
                work.complain(f"{source.quoted} and {target.quoted} are the same file")
            return
        if not _put(work, image, target, answer, lambda place: image.link(source.path, place.path)):
            return
        if verbose:
            work.say(f"{target.quoted} => {source.quoted}")


def _put(work: Job, image: Image, target: Target, answer: str | None, make: Callable[[Target], None]) -> bool:
    """Make the link, in place of what is there if that is wished; whether that was done. Raises OSError."""
    there = attributes(image, target)
    if there is None or answer is None:
        make(target)
        return True
    if stat.S_ISDIR(there.mode):
        work.complain(f"{os.fsdecode(target.name)}: cannot overwrite directory")
        return False
    if answer == "ask" and not work.ask(f"replace {target.quoted}? "):
        return False
    spare = _spare(image, target)  # so that the old file is there until the new one is
    make(spare)
    try:
        image.rename(spare.path, target.path)
    except OSError:
        image.remove(spare.path)
        raise
    return True


def _spare(image: Image, target: Target) -> Target:
    """A name next to `target` that nobody has."""
    directory = target.path.rstrip(b"/").rpartition(b"/")[0]
    for number in count():
        spare = replace(target, path=b"%s/.ln%d" % (directory, number))
        if attributes(image, spare) is None:
            break
    return spare
