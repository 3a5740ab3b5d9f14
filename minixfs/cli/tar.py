"""`minixfs tar`: a tree of an image as a tar file, and a tar file into an image. Options are those of tar(1)."""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click

from minixfs.cli.job import Job, Verb, job, usage
from minixfs.cli.places import ImagePlace, Place, place_of
from minixfs.cli.progress import progress
from minixfs.cli.quoting import quoted
from minixfs.errors import MinixFsError
from minixfs.trees.entry import Entry
from minixfs.trees.sink import CarryError, Keep, Sink

FAILURE = 2
STANDARD = "-"
_SUFFIXES = {
    ".gz": "gzip",
    ".tgz": "gzip",
    ".bz2": "bzip2",
    ".tbz": "bzip2",
    ".tbz2": "bzip2",
    ".xz": "xz",
    ".txz": "xz",
}


class Tar(Verb):
    usage_exit_code = FAILURE


@click.command(cls=Tar)
@click.argument("image", required=False, metavar="[IMAGE[:/DIRECTORY]]")
@click.option("-c", "--create", "action", flag_value="create", help="Write what is in the image as a tar file.")
@click.option("-x", "--extract", "--get", "action", flag_value="extract", help="Bring a tar file into the image.")
@click.option("-t", "--list", "action", flag_value="list", help="List a tar file.")
@click.option("-f", "--file", default=STANDARD, metavar="FILE", help="The tar file; - is standard input or output.")
@click.option("-C", "--directory", metavar="DIRECTORY", help="The directory in the image.")
@click.option("-z", "--gzip", "--gunzip", "packed", flag_value="gzip", help="Compress with gzip.")
@click.option("-j", "--bzip2", "packed", flag_value="bzip2", help="Compress with bzip2.")
@click.option("-J", "--xz", "packed", flag_value="xz", help="Compress with xz.")
@click.option("-k", "--keep-old-files", is_flag=True, help="With -x, let files that are there be: they are errors.")
@click.option("-v", "--verbose", is_flag=True, help="Name the files; with -t show their attributes.")
def tar(
    image: str | None,
    action: str | None,
    file: str,
    directory: str | None,
    packed: str | None,
    keep_old_files: bool,
    verbose: bool,
) -> int:
    """Carry a whole tree between an image and a tar file, with all attributes, links, devices and holes.

    What -c writes is compressed as the suffix of FILE says, or -z, -j, -J; what -x and -t read may be compressed in any
    of these ways. The exit code is 2 when something could not be carried.

    \b
    minixfs tar -cf etc.tar.gz disk.img:/etc
    minixfs tar -xf root.tar disk.img
    """
    if action is None:
        raise usage("say what to do: -c to create, -x to extract, or -t to list", FAILURE)
    if action == "list":
        if image is not None or directory is not None:
            raise usage("-t lists a tar file and takes no image; to list an image use ls -lR or find", FAILURE)
        return _list(file, verbose)
    if image is None:
        raise usage("name an image, or a directory in one: IMAGE:/path", FAILURE)
    if action == "create" and file == STANDARD and sys.stdout.isatty():
        raise usage("a terminal is no place for a tar file; name one with -f", FAILURE)
    with job(write=True) as work:
        place = _place(work, image, directory)
        try:
            place.open(work.images, write=action == "extract")
            if action == "create":
                _create(work, place, file, packed, verbose)
            else:
                _extract(work, place, file, keep_old_files, verbose)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            name = f"{quoted(error.filename)}: " if error.filename else ""
            work.complain(f"{name}{error.strerror or error}")
        except MinixFsError as error:
            work.complain(str(error))
        return FAILURE if work.status else 0


def _place(work: Job, image: str, directory: str | None) -> Place:
    place = place_of(image, work.images)
    if not isinstance(place, ImagePlace):
        place = ImagePlace(image, b"/")
    if directory is not None:
        return place.at(os.path.join(place.path, os.fsencode(directory)))
    return place


# ---- from an image -------------------------------------------------------------------------------------------------


def _create(work: Job, place: Place, file: str, packed: str | None, verbose: bool) -> None:
    from minixfs.trees.tar import write

    with (
        _output(file, packed or _SUFFIXES.get(os.path.splitext(file)[1])) as output,
        progress("reading", None) as advance,
    ):

        def put(data: Any) -> None:
            work.check()
            output.write(data)
            advance(len(data))

        for entry in write(_named(work, place, verbose, sys.stderr if file == STANDARD else sys.stdout), put):
            work.complain(f"{quoted(entry.origin)}: socket ignored")
            work.status = 0  # as tar has it, a warning


def _named(work: Job, place: Place, verbose: bool, output: Any) -> Iterator[Entry]:
    """The entries of a tree, which are told to the user on their way."""

    def unreadable(error: OSError) -> None:
        work.complain(f"{quoted(error.filename or place.name)}: {error.strerror}")

    for entry in place.entries(follow=False, xattrs=True, on_error=unreadable):
        work.check()
        if verbose:
            output.buffer.write(work.safe(_shown(entry)) + b"\n")
        yield entry


@contextmanager
def _output(file: str, packed: str | None) -> Iterator[Any]:
    """Where the archive goes, compressed on the way; what is not finished is removed again."""
    with ExitStack() as stack:
        raw: Any
        if file == STANDARD:
            raw = sys.stdout.buffer
            stack.callback(raw.flush)
        else:
            raw = stack.enter_context(open(file, "wb"))
        try:
            with _packing(raw, packed) as output:
                yield output
        except BaseException:
            if file != STANDARD and stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
                os.unlink(file)
            raise


@contextmanager
def _packing(raw: Any, packed: str | None) -> Iterator[Any]:
    if packed == "gzip":
        import gzip

        with gzip.GzipFile("", "wb", 6, raw, mtime=0) as output:  # no name and no time: the same again next time
            yield output
    elif packed == "bzip2":
        import bz2

        with bz2.open(raw, "wb") as output:
            yield output
    elif packed == "xz":
        import lzma

        with lzma.open(raw, "wb") as output:
            yield output
    else:
        yield raw


# ---- into an image -------------------------------------------------------------------------------------------------


def _extract(work: Job, place: Place, file: str, keep_old: bool, verbose: bool) -> None:
    from minixfs.trees.untar import TarSource

    with ExitStack() as stack:
        with work.waiting():
            archive = stack.enter_context(TarSource(None if file == STANDARD else file))
        advance = stack.enter_context(progress("extracting", None))

        def step(size: int) -> None:
            work.check()
            advance(size)

        sink = place.sink(Keep(), step)
        stack.callback(sink.close)
        made: set[bytes] = set()
        for entry in archive:
            work.check()
            if verbose:
                work.put(_shown(entry))
            try:
                _put(sink, entry, made, keep_old)
            except CarryError as error:
                work.complain(f"{error.doing.format(quoted(error.name))}: {error.reason}")
        try:
            sink.finish()
        except CarryError as error:
            work.complain(f"{error.doing.format(quoted(error.name))}: {error.reason}")


def _put(sink: Sink, entry: Entry, made: set[bytes], keep_old: bool) -> None:
    """Put one entry in the place of what may be there; a directory that only lends its path is left as it is."""
    found = None if entry.path and entry.parent in made else sink.find(entry.path)
    if found is not None:
        if entry.is_directory and found.is_directory:
            if entry.implied:
                return
        elif found.is_directory or keep_old:
            raise CarryError(
                "cannot create {}", sink.name_of(entry.path), errno.EISDIR if found.is_directory else errno.EEXIST
            )
        else:
            sink.remove(entry.path)
    sink.put(entry)
    if entry.is_directory and found is None:
        made.add(entry.path)


# ---- a list --------------------------------------------------------------------------------------------------------


def _list(file: str, verbose: bool) -> int:
    from minixfs.trees.untar import TarSource

    with job() as work:
        try:
            with TarSource(None if file == STANDARD else file) as archive:
                for line in _lines(archive) if verbose else map(_shown, archive):
                    work.put(line)
        except MinixFsError as error:
            work.complain(str(error))
        except FileNotFoundError as error:
            work.complain(f"{quoted(file)}: {error.strerror}")
        return FAILURE if work.status else 0


def _lines(archive: Iterable[Entry]) -> Iterator[bytes]:
    """As ``tar -tv --numeric-owner`` has them."""
    first: dict[Any, bytes] = {}
    width = 0
    for entry in archive:
        mode, size, tail = stat.filemode(entry.mode), str(entry.size), b""
        if entry.is_device:
            size = f"{os.major(entry.rdev)},{os.minor(entry.rdev)}"
        elif entry.is_symlink:
            tail = b" -> " + entry.target
        if entry.link in first and entry.link is not None:
            mode, size, tail = "h" + mode[1:], "0", b" link to " + first[entry.link]
        elif entry.link is not None:
            first[entry.link] = _shown(entry)
        owner = f"{entry.uid}/{entry.gid}"
        width = max(width, len(owner) + 1 + len(size))
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.mtime // 10**9))
        yield f"{mode} {owner} {size:>{width - len(owner) - 1}} {when} ".encode() + _shown(entry) + tail


def _shown(entry: Entry) -> bytes:
    """A name as it stands in the archive; a directory's ends with a slash."""
    return b"./" + entry.path + (b"/" if entry.is_directory and entry.path else b"")
