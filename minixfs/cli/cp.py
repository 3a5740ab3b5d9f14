"""`minixfs cp`: copy files into an image, out of one, within one, between two. Options and messages are coreutils'."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack

import click

from minixfs.cli.copier import Choices, Copier, looked_at, refuse
from minixfs.cli.images import Images
from minixfs.cli.job import Job, Verb, job, usage
from minixfs.cli.places import HostPlace, Place, place_of
from minixfs.cli.progress import progress
from minixfs.cli.quoting import quoted
from minixfs.errors import MinixFsError
from minixfs.trees.sink import Keep

_ATTRIBUTES = {
    "mode": {"mode"},
    "ownership": {"ownership"},
    "timestamps": {"timestamps"},
    "links": {"links"},
    "xattr": {"xattr"},
    "all": {"mode", "ownership", "timestamps", "links", "xattr"},
}
_PLAIN = {"mode", "ownership", "timestamps"}


@click.command(cls=Verb)
@click.argument("arguments", nargs=-1, required=True, metavar="SOURCE... DESTINATION")
@click.option("-a", "--archive", is_flag=True, help="As -dR --preserve=all.")
@click.option("--attributes-only", is_flag=True, help="Copy no data, only attributes.")
@click.option("-d", "no_dereference_links", is_flag=True, help="As -P --preserve=links.")
@click.option("-f", "--force", is_flag=True, help="Remove a destination that cannot be opened.")
@click.option("-i", "--interactive", "existing", flag_value="ask", help="Ask before a file is overwritten.")
@click.option("-n", "--no-clobber", "existing", flag_value="never", help="Overwrite nothing.")
@click.option("-H", "follow", flag_value="top", help="Follow symbolic links among the SOURCEs.")
@click.option("-L", "--dereference", "follow", flag_value="always", help="Follow all symbolic links.")
@click.option(
    "-P", "--no-dereference", "follow", flag_value="never", help="Follow no symbolic links (default with -r)."
)
@click.option("-l", "--link", "hard_links", is_flag=True, help="Make hard links instead of copies; within one image.")
@click.option("-p", "plain", is_flag=True, help="As --preserve=mode,ownership,timestamps.")
@click.option(
    "--preserve", multiple=True, metavar="LIST", help="Keep mode, ownership, timestamps, links, xattr, or all."
)
@click.option("--no-preserve", multiple=True, metavar="LIST", help="Do not keep them.")
@click.option("-R", "-r", "--recursive", is_flag=True, help="Copy directories with what is in them.")
@click.option("--sparse", type=click.Choice(["auto", "always", "never"]), default="auto",
              help="Holes: as the source has them, wherever there are zeroes, or none.")  # fmt: skip
@click.option("-t", "--target-directory", "into", metavar="DIRECTORY", help="Copy everything into DIRECTORY.")
@click.option("-T", "--no-target-directory", "exact", is_flag=True, help="DESTINATION is a name, even of a directory.")
@click.option("-u", "--update", is_flag=True, help="Copy only what is newer than its copy, or has none.")
@click.option("-v", "--verbose", is_flag=True, help="Say what is copied.")
def cp(
    arguments: tuple[str, ...],
    archive: bool,
    attributes_only: bool,
    no_dereference_links: bool,
    force: bool,
    existing: str | None,
    follow: str | None,
    hard_links: bool,
    plain: bool,
    preserve: tuple[str, ...],
    no_preserve: tuple[str, ...],
    recursive: bool,
    sparse: str,
    into: str | None,
    exact: bool,
    update: bool,
    verbose: bool,
) -> int:
    """Copy SOURCE to DESTINATION, or several SOURCEs into a directory.

    Each is a file of the host, or one of an image: IMAGE:/path, IMAGE:p0s1:/path, IMAGE@@OFFSET:/path. What is copied
    into an image belongs to root unless ownership is kept; outside only root gives files away.

    \b
    minixfs cp -r disk.img:/etc .           out of an image
    minixfs cp -a root/. disk.img:/         the contents of a directory into an image
    """
    recursive = recursive or archive
    kept = _attributes(preserve) | (_ATTRIBUTES["all"] if archive else set()) | (_PLAIN if plain else set())
    kept |= {"links"} if no_dereference_links else set()
    lost = _attributes(no_preserve)
    kept -= lost
    if follow is None:
        follow = "never" if recursive or no_dereference_links else "always"
    mask = os.umask(0o022)
    os.umask(mask)
    choices = Choices(
        recursive=recursive,
        follow=follow,
        keep=Keep("mode" in kept, "ownership" in kept, "timestamps" in kept, mask, "mode" in lost, "xattr" in kept),
        keep_links="links" in kept,
        existing=existing,
        force=force,
        update=update,
        hard_links=hard_links,
        attributes_only=attributes_only,
        holes=sparse,
        verbose=verbose,
    )
    with job(write=True) as work:
        sources, goal = _operands(work.images, arguments, into, exact)
        _copy_all(work, choices, sources, goal, into is not None, exact)
        return work.status


def _attributes(lists: tuple[str, ...]) -> set[str]:
    """The names in --preserve. Raises UsageError."""
    found: set[str] = set()
    for word in ",".join(lists).split(",") if lists else ():
        if word not in _ATTRIBUTES:
            raise usage(f"invalid argument '{word}' for --preserve; use {', '.join(_ATTRIBUTES)}")
        found |= _ATTRIBUTES[word]
    return found


def _operands(images: Images, arguments: tuple[str, ...], into: str | None, exact: bool) -> tuple[list[Place], Place]:
    """Sources, and where they go: the directory of -t or the last operand. Raises UsageError."""
    if into is not None and exact:
        raise usage("cannot combine --target-directory (-t) and --no-target-directory (-T)")
    places = [place_of(argument, images) for argument in arguments]
    goal = places.pop() if into is None else place_of(into, images)
    if not places:
        raise usage(f"missing destination file operand after {quoted(arguments[0])}")
    if exact and len(places) > 1:
        raise usage(f"extra operand {quoted(arguments[2])}")
    if all(isinstance(place, HostPlace) for place in (*places, goal)):
        raise usage("none of these files is in an image; name one like IMAGE:/path, or use cp(1)")
    return places, goal


def _copy_all(
    work: Job, choices: Choices, sources: list[Place], goal: Place, must_be_directory: bool, exact: bool
) -> None:
    """Raises UsageError; everything else is complained about."""
    goal.open(work.images, write=True)
    found, why = None, "No such file or directory"
    try:
        found = goal.find()
    except OSError as error:
        why = error.strerror or str(error)
        if not must_be_directory and len(sources) == 1 and not _is_link(goal):
            _give_up(work, choices, sources[0], goal, error)
            return
    is_directory = found is not None and found.is_directory
    if not is_directory and (must_be_directory or len(sources) > 1):
        label = "target directory" if must_be_directory else "target"
        raise usage(f"{label} {quoted(goal.name)}: {why if found is None else 'Not a directory'}")
    place = goal if is_directory and not exact else goal.parent
    with ExitStack() as stack:
        advance = stack.enter_context(progress("copying", None))

        def step(size: int) -> None:
            work.check()
            advance(size)

        try:
            sink = place.sink(choices.keep, step)
        except OSError as error:
            _give_up(work, choices, sources[0], goal, error)
            return
        stack.callback(sink.close)
        copier = Copier(work, choices, sink, place, several=len(sources) > 1)
        for source in sources:
            try:
                source.open(work.images, write=False)
            except MinixFsError as error:
                work.complain(str(error))
                continue
            if place is goal:
                copier.copy(source, source.last)
            else:
                copier.copy(source, goal.last, slashed=goal.name if found is None and goal.path.endswith(b"/") else "")
        copier.finish()


def _give_up(work: Job, choices: Choices, source: Place, goal: Place, error: OSError) -> None:
    """There is no directory for the copy; but first comes what is wrong with its source."""
    try:
        source.open(work.images, write=False)
    except MinixFsError as unopened:
        work.complain(str(unopened))
        return
    entry = looked_at(work, choices, source)
    if entry is not None and error.errno in (errno.ENOTDIR, errno.ELOOP):
        work.complain(f"cannot stat {quoted(goal.name)}: {error.strerror}")
    elif entry is not None:
        if choices.verbose and not entry.is_directory:  # as cp(1), which tells what it is about to do
            work.say(f"{quoted(entry.origin)} -> {quoted(goal.name)}")
        refuse(work, entry, goal.name, error.strerror or str(error))


def _is_link(place: Place) -> bool:
    """Whether there is at least a symbolic link, which leads nowhere."""
    try:
        return place.find(follow=False) is not None
    except OSError:
        return False
