"""`minixfs diff`: compare two trees attribute by attribute. Exit codes are those of diff(1)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from typing import NamedTuple

import click

from minixfs.cli.job import Job, Verb, job, usage
from minixfs.cli.places import HostPlace, ImagePlace, Place, place_of
from minixfs.cli.quoting import quoted
from minixfs.cli.show import for_terminal, json_text
from minixfs.errors import MinixFsError
from minixfs.trees.diff import ASPECTS, Difference, compare
from minixfs.trees.entry import Entry

DIFFERENT, TROUBLE = 1, 2
_GROUPS = {"owner": {"uid", "gid"}, **{aspect: {aspect} for aspect in ASPECTS}}
_TAR_MAGIC = {0: (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"), 257: (b"ustar",)}


class Diff(Verb):
    usage_exit_code = TROUBLE


@click.command(cls=Diff)
@click.argument("first")
@click.argument("second")
@click.option("--ignore", multiple=True, metavar="LIST", help="Do not compare these, as --ignore times,owner.")
@click.option("--holes", is_flag=True, help="Compare how many bytes of a file are not in holes, too.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing; the exit code tells.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array of objects, for programs.")
def diff(first: str, second: str, ignore: tuple[str, ...], holes: bool, quiet: bool, as_json: bool) -> int:
    """Compare two trees: each an IMAGE, a directory in one (IMAGE:/path), a directory of the host, or a tar file.

    Compared are type, mode, uid, gid (both: owner), times (of modification, as finely as both keep them), links (which
    names are one file), size, device (number), target (of symbolic links), xattrs (extended attributes, where both may
    have some), and content (the first byte that differs, from 0).

    Exit codes: 0 for no difference, 1 for differences, 2 for trouble.

    \b
    minixfs diff --ignore owner,times rootfs disk.img
    """
    wanted = set(ASPECTS) - (set() if holes else {"holes"})
    for word in ",".join(ignore).split(",") if ignore else ():
        if word not in _GROUPS:
            raise usage(f"invalid argument '{word}' for --ignore; use {', '.join(sorted(_GROUPS))}", TROUBLE)
        wanted -= _GROUPS[word]
    different = False
    with job() as work, ExitStack() as stack:
        try:
            trees = _tree(work, stack, first), _tree(work, stack, second)
            if not all(tree.has_xattrs for tree in trees):
                wanted.discard("xattrs")
            found: list[Difference] = []
            for difference in compare(
                trees[0].entries,
                trees[1].entries,
                wanted,
                max(tree.granularity for tree in trees),
                lambda error: _trouble(work, error),
            ):
                different = True
                if quiet:
                    break
                if as_json:
                    found.append(difference)
                else:
                    work.say(_as_line(difference, first, second))
            if as_json and not quiet:
                work.say(json_text([_as_object(difference) for difference in found], indent=1))
        except BrokenPipeError:
            raise
        except OSError as error:
            _trouble(work, error)
        except MinixFsError as error:
            work.complain(str(error))
        return TROUBLE if work.status else DIFFERENT if different else 0


def _trouble(work: Job, error: OSError) -> None:
    work.complain(f"{quoted(error.filename)}: {error.strerror}" if error.filename else str(error))


class _Tree(NamedTuple):
    """A side of the comparison, and what it can keep: `granularity` of times in nanoseconds."""

    entries: Iterable[Entry]
    has_xattrs: bool = True
    granularity: int = 1


def _tree(work: Job, stack: ExitStack, argument: str) -> _Tree:
    """What an operand names. Raises OSError, MinixFsError."""
    place: Place = place_of(argument, work.images)
    if isinstance(place, HostPlace) and not os.path.isdir(argument):
        if _is_tar(argument):
            from minixfs.trees.untar import TarSource

            return _Tree(stack.enter_context(TarSource(argument)))
        place = ImagePlace(argument, b"/")
    place.open(work.images, write=False)
    top = place.entry(follow=True, xattrs=True)
    entries: Iterable[Entry] = (top,)
    if top.is_directory:
        entries = place.entries(follow=False, xattrs=True, on_error=lambda error: _trouble(work, error))
    image = place.image
    return _Tree(entries) if image is None else _Tree(entries, image.has_xattrs, image.granularity)


def _is_tar(path: str) -> bool:
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        head = file.read(512)
    return any(head[at:].startswith(magic) for at, magics in _TAR_MAGIC.items() for magic in magics)


def _as_line(difference: Difference, first: str, second: str) -> str:
    path = for_terminal(difference.path or b".").decode()
    if difference.what == "only":
        where, kind = (first, difference.first) if difference.second is None else (second, difference.second)
        return f"only in {where}: {path} ({kind!s})"
    if difference.what == "content":
        return f"{path}: content differs at byte {difference.first!s}"
    shown = [_shown(difference.what, value) for value in (difference.first, difference.second)]
    return f"{path}: {difference.what} {shown[0]} != {shown[1]}"


def _shown(what: str, value: object) -> str:
    if isinstance(value, bytes):
        return quoted(value)
    if isinstance(value, int) and what == "mode":
        return f"{value:04o}"
    if isinstance(value, int) and what == "device":
        return f"{os.major(value)}:{os.minor(value)}"
    return str(value)


def _as_object(difference: Difference) -> dict[str, object]:
    values = [
        os.fsdecode(value) if isinstance(value, bytes) else value for value in (difference.first, difference.second)
    ]
    if difference.what == "device":
        values = [_shown("device", value) for value in values]
    path = os.fsdecode(difference.path or b".")
    return {"path": path, "what": difference.what, "first": values[0], "second": values[1]}
