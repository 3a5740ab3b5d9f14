"""`minixfs ln`: further names of files of an image, and symbolic links. Options and messages are coreutils'."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import click

from minixfs.cli.destination import attributes, is_same_entry, is_there, pairs
from minixfs.cli.images import Target
from minixfs.cli.job import Job, Verb, job, usage
from minixfs.cli.offline import split
from minixfs.cli.quoting import quoted, quoted_if_needed
from minixfs.fs.protocol import Stat
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

    \b
    minixfs ln disk.img:/bin/sh disk.img:/bin/ash
    minixfs ln -s ../bin/vi disk.img:/usr/bin/edit
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
                _symbolic(work, image, source, target, answer, verbose)
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


def _symbolic(work: Job, image: Image, source: Target, target: Target, answer: str | None, verbose: bool) -> None:
    text = source.shown
    if not _may(work, image, source, target, answer):
        return
    with work.attempt(f"failed to create symbolic link {target.quoted}"):
        _put(image, target, answer, lambda place: image.symlink(text, place.path))
        if verbose:
            work.say(f"{target.quoted} -> {quoted(text)}")


def _hard(work: Job, image: Image, source: Target, target: Target, answer: str | None, verbose: bool) -> None:
    try:
        found = image.attributes(source.path, follow_symlinks=False)
    except OSError as error:
        work.complain(f"failed to access {source.quoted}: {error.strerror}")
        return
    if stat.S_ISDIR(found.mode):
        work.complain(f"{quoted_if_needed(source.name)}: hard link not allowed for directory")
        return
    if not _may(work, image, source, target, answer):
        return
    try:
        if not (answer and _number(image, target) == found.ino):
            _put(image, target, answer, lambda place: image.link(source.path, place.path))
    except OSError as error:
        plain = error.errno in (errno.EEXIST, errno.ENOSPC, errno.EROFS)
        both = target.quoted if plain else f"{target.quoted} => {source.quoted}"
        work.complain(f"failed to create hard link {both}: {error.strerror}")
        return
    if verbose:
        work.say(f"{target.quoted} => {source.quoted}")


def _number(image: Image, target: Target) -> int:
    """The inode of the file itself, 0 for none. Raises OSError."""
    found = attributes(image, target)
    return found.ino if found is not None else 0


def _leads_to(image: Image, source: Target, there: Stat) -> bool:
    """Whether `source` is the very file that would be replaced."""
    try:
        return image.attributes(source.path).ino == there.ino
    except OSError:
        return False


def _may(work: Job, image: Image, source: Target, target: Target, answer: str | None) -> bool:
    """Whether a link may take the place of what is at `target`, and is to."""
    if answer is None:
        return True
    try:
        there = attributes(image, target)
        if there is None:
            return True
        if stat.S_ISDIR(there.mode):
            work.complain(f"{quoted_if_needed(target.name)}: cannot overwrite directory")
            return False
        if _leads_to(image, source, there) and is_same_entry(image, source, target):
            work.complain(f"{source.quoted} and {target.quoted} are the same file")
            return False
    except OSError as error:
        work.complain(f"failed to access {target.quoted}: {error.strerror}")
        return False
    return answer != "ask" or work.ask(f"replace {target.quoted}? ")


def _put(image: Image, target: Target, answer: str | None, make: Callable[[Target], None]) -> None:
    """Make the link, in place of what is there if that is wished. Raises OSError."""
    if answer is None or not is_there(image, target.path):
        make(target)
        return
    spare = _spare(image, target)  # so that the old file is there until the new one is
    make(spare)
    try:
        image.rename(spare.path, target.path)
    except OSError:
        image.remove(spare.path)
        raise


def _spare(image: Image, target: Target) -> Target:
    """A name next to `target` that nobody has."""
    directory = target.path.rstrip(b"/").rpartition(b"/")[0]
    for number in count():
        spare = replace(target, path=b"%s/.ln%d" % (directory, number))
        if attributes(image, spare) is None:
            break
    return spare
