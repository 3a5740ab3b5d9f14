"""`minixfs touch` and `minixfs truncate`: times and sizes of files of an image. Options and messages are coreutils'."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable

import click

from minixfs.cli import dates, sizes
from minixfs.cli.chmod import host_umask
from minixfs.cli.images import Target
from minixfs.cli.job import Job, Verb, job, usage
from minixfs.cli.quoting import quoted
from minixfs.fs.protocol import Stat
from minixfs.image.image import Image

Moment = int | None
"""Nanoseconds since 1970; None leaves the time as it is."""
_WHICH = {"access": "atime", "atime": "atime", "use": "atime", "modify": "mtime", "mtime": "mtime"}


@click.command(cls=Verb)
@click.argument("arguments", nargs=-1, required=True, metavar="IMAGE PATH... | IMAGE:/PATH...")
@click.option("-a", "atime", is_flag=True, help="Change the access time only.")
@click.option("-m", "mtime", is_flag=True, help="Change the modification time only.")
@click.option("--time", "which", type=click.Choice(list(_WHICH)), help="Change this time only.")
@click.option("-c", "--no-create", is_flag=True, help="Make no files.")
@click.option("-d", "--date", metavar="DATE", help="The time: 2024-01-31 12:00, '2 days ago', @SECONDS, ...")
@click.option("-t", "stamp", metavar="[[CC]YY]MMDDhhmm[.ss]", help="The time, in digits.")
@click.option("-r", "--reference", metavar="FILE", help="The times of FILE.")
@click.option("-h", "--no-dereference", "links", is_flag=True, help="Change links, not what they lead to.")
def touch(
    arguments: tuple[str, ...],
    atime: bool,
    mtime: bool,
    which: str | None,
    no_create: bool,
    date: str | None,
    stamp: str | None,
    reference: str | None,
    links: bool,
) -> int:
    """Set the access and modification times of files of an image, now if no time is given, and make missing files.

    \b
    minixfs touch -d '2013-06-01 12:00' disk.img:/etc/motd
    """
    if stamp is not None and (date is not None or reference is not None):
        raise usage("cannot specify times from more than one source")
    chosen = {name for name, flag in (("atime", atime), ("mtime", mtime)) if flag}
    if which is not None:
        chosen.add(_WHICH[which])
    with job(write=True) as work:
        targets = work.images.targets(arguments)
        model = None
        if reference is not None:
            source = work.images.target(reference, targets[0].image)
            with work.attempt(f"failed to get attributes of {source.quoted}"):
                model = work.image(source).attributes(source.path, follow_symlinks=not links)
            if model is None:
                return work.status
        times = _times(date, stamp, model)
        new = [
            value if not chosen or name in chosen else None
            for name, value in zip(("atime", "mtime"), times, strict=True)
        ]
        for image, target in work.opened(targets):
            _touch(work, image, target, new, make=not (no_create or links), follow=not links, silent=no_create)
        return work.status


def _times(date: str | None, stamp: str | None, model: Stat | None) -> tuple[int, int]:
    """Access and modification time that were asked for."""
    now = time.time_ns()
    try:
        if stamp is not None:
            moment = dates.stamp(stamp, now)
            return moment, moment
        if date is not None:
            if model is not None:
                return dates.parse(date, model.atime), dates.parse(date, model.mtime)
            moment = dates.parse(date, now)
            return moment, moment
    except ValueError:
        raise usage(f"invalid date format {quoted(stamp if stamp is not None else date or '')}") from None
    if model is not None:
        return model.atime, model.mtime
    return now, now


def _touch(
    work: Job, image: Image, target: Target, times: list[Moment], *, make: bool, follow: bool, silent: bool
) -> None:
    try:
        found = image.attributes(target.path, follow_symlinks=follow)
    except FileNotFoundError as error:
        if make:
            with work.attempt(f"cannot touch {target.quoted}"):
                _create(image, target.path)
                _set(image, target.path, image.attributes(target.path), times, follow)
        elif not silent:
            work.complain(f"setting times of {target.quoted}: {error.strerror}")
        return
    except OSError as error:
        work.complain(f"{'cannot touch' if make else 'setting times of'} {target.quoted}: {error.strerror}")
        return
    with work.attempt(f"setting times of {target.quoted}"):
        _set(image, target.path, found, times, follow)


def _create(image: Image, path: bytes) -> None:
    """An empty file, also where a link that leads nowhere says."""
    image.open(path, "ab", 0).close()
    image.chmod(path, 0o666 & ~host_umask())


def _set(image: Image, path: bytes, found: Stat, times: list[Moment], follow: bool) -> None:
    atime, mtime = (old if new is None else new for old, new in zip((found.atime, found.mtime), times, strict=True))
    image.utime(path, ns=(atime, mtime), follow_symlinks=follow)


@click.command(cls=Verb)
@click.argument("arguments", nargs=-1, required=True, metavar="IMAGE PATH... | IMAGE:/PATH...")
@click.option("-s", "--size", metavar="SIZE", help="The size, or a change: +1K, -1K, <1M, >1M, /4K, %4K.")
@click.option("-r", "--reference", metavar="FILE", help="The size of FILE.")
@click.option("-c", "--no-create", is_flag=True, help="Make no files.")
@click.option("-o", "--io-blocks", is_flag=True, help="Count SIZE in blocks of the file system.")
def truncate(
    arguments: tuple[str, ...], size: str | None, reference: str | None, no_create: bool, io_blocks: bool
) -> int:
    """Shorten files of an image, or lengthen them with a hole. Missing files are made.

    SIZE may end in K, M, G (1024) or KB, MB, GB (1000). Before it, + and - are for a change, < and > for at most and
    at least, / and % round down and up to a multiple.

    \b
    minixfs truncate -s 1M disk.img:/swapfile
    """
    if size is None and reference is None:
        raise usage("you must specify either '--size' or '--reference'")
    if io_blocks and size is None:
        raise usage("'--io-blocks' was specified but '--size' was not")
    resize = _resize(size, 1)
    with job(write=True) as work:
        targets = work.images.targets(arguments)
        base: int | None = None
        if reference is not None:
            if size is not None and size.strip()[:1] not in "+-<>/%":
                raise usage("you must specify a relative '--size' with '--reference'")
            model = work.images.target(reference, targets[0].image)
            with work.attempt(f"cannot stat {model.quoted}"):
                base = work.image(model).attributes(model.path).size
            if base is None:
                return work.status
        for image, target in work.opened(targets):
            with work.attempt(f"cannot open {target.quoted} for writing"):
                if io_blocks:
                    resize = _resize(size, image.attributes(b"/").blksize)
                _truncate(work, image, target, _rebased(resize, base), not no_create)
        return work.status


def _rebased(resize: sizes.Resize, base: int | None) -> sizes.Resize:
    """`resize` from the size of another file."""
    return resize if base is None else lambda old: resize(base)


def _resize(size: str | None, scale: int) -> sizes.Resize:
    if size is None:
        return lambda old: old
    try:
        return sizes.parse(size, scale)
    except ZeroDivisionError:
        raise usage("division by zero") from None
    except ValueError:
        raise usage(f"Invalid number: {quoted(size)}") from None


def _truncate(work: Job, image: Image, target: Target, resize: Callable[[int], int], make: bool) -> None:
    """What is raised comes from looking at the file, or making it."""
    try:
        found = image.attributes(target.path)
    except FileNotFoundError:
        if not make:
            return
        _create(image, target.path)
        found = image.attributes(target.path)
    if stat.S_ISDIR(found.mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    size = resize(found.size)
    with work.attempt(f"failed to truncate {target.quoted} at {size} bytes"):
        image.truncate(target.path, size)
