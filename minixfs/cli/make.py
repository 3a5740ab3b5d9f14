"""`minixfs mkdir` and `minixfs mknod`: new directories and special files in an image. Options are coreutils'."""

from __future__ import annotations

import errno
import os
import re
import stat

import click

from minixfs.cli import modes
from minixfs.cli.chmod import host_umask
from minixfs.cli.destination import is_directory, is_there
from minixfs.cli.images import Target
from minixfs.cli.job import Job, Verb, job, usage
from minixfs.cli.offline import split
from minixfs.cli.quoting import quoted, quoted_if_needed
from minixfs.image.image import Image

_TYPES = {"p": stat.S_IFIFO, "b": stat.S_IFBLK, "c": stat.S_IFCHR, "u": stat.S_IFCHR}
_PART_MAX = 0xFFFFFFFF
"""Of a device number; what the format of the image cannot hold is told by the image."""
_DEVICE = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")


@click.command(cls=Verb)
@click.argument("arguments", nargs=-1, required=True, metavar="IMAGE DIRECTORY... | IMAGE:/DIRECTORY...")
@click.option("-p", "--parents", is_flag=True, help="Make the directories above as well; those that exist are fine.")
@click.option("-m", "--mode", metavar="MODE", help="As for chmod; without it a=rwx less the umask.")
@click.option("-v", "--verbose", is_flag=True, help="Say what is made.")
def mkdir(arguments: tuple[str, ...], parents: bool, mode: str | None, verbose: bool) -> int:
    """Make directories in an image.

    \b
    minixfs mkdir -p disk.img:/usr/local/bin
    """
    umask = host_umask()
    wanted = 0o777 & ~umask if mode is None else _mode(mode)(0o777, directory=True, umask=umask)
    with job(write=True) as work:
        for image, target in work.files(arguments):
            if parents:
                _with_parents(work, image, target, umask, wanted, verbose)
                continue
            with work.attempt(f"cannot create directory {target.quoted}"):
                _make(work, image, target, wanted, verbose)
        return work.status


def _with_parents(work: Job, image: Image, target: Target, umask: int, mode: int, verbose: bool) -> None:
    """Make `target` and the directories above it, as far as they are missing."""
    missing: list[Target] = []
    above: Target | None = target
    while above is not None and not is_directory(image, above.path):
        missing.append(above)
        above = above.parent
    for directory in reversed(missing):
        try:
            _make(work, image, directory, mode if directory is target else 0o777 & ~umask | 0o300, verbose)
        except FileExistsError as error:
            above_it = directory is not target and is_there(image, directory.path) and not image.islink(directory.path)
            why = os.strerror(errno.ENOTDIR) if above_it else error.strerror
            work.complain(f"cannot create directory {directory.quoted}: {why}")
            return
        except OSError as error:
            work.complain(f"cannot create directory {directory.quoted}: {error.strerror}")
            return


def _make(work: Job, image: Image, target: Target, mode: int, verbose: bool) -> None:
    image.mkdir(target.path, mode)
    if mode & 0o7000:
        image.chmod(target.path, mode)  # mkdir(2) takes no set-id bits
    if verbose:
        work.tell(f"created directory {target.quoted}")


@click.command(cls=Verb)
@click.argument("arguments", nargs=-1, required=True, metavar="{IMAGE PATH | IMAGE:/PATH} {p | b|c|u MAJOR MINOR}")
@click.option("-m", "--mode", metavar="MODE", help="As for chmod; without it a=rw less the umask.")
def mknod(arguments: tuple[str, ...], mode: str | None) -> int:
    """Make a FIFO (p), a block device (b) or a character device (c, u) in an image.

    \b
    minixfs mknod -m 600 disk.img:/dev/tty00 c 4 16
    """
    umask = host_umask()
    wanted = 0o666 & ~umask if mode is None else _mode(mode)(0o666, umask=umask)
    if wanted & ~0o777:
        raise usage("mode must specify only file permission bits")
    with job(write=True) as work:
        files, kind, device = _node(work, arguments)
        for image, target in work.opened(files):
            with work.attempt(quoted_if_needed(target.name)):
                image.mknod(target.path, kind | wanted, device)
        return work.status


def _node(work: Job, arguments: tuple[str, ...]) -> tuple[list[Target], int, int]:
    """The file, its type and its device number."""
    at = 1 if work.images.fixed or split(os.fsencode(arguments[0]))[1] is not None else 2
    if len(arguments) <= at:
        raise usage(f"missing operand after {quoted(arguments[-1])}: after the file comes p, or b or c and two numbers")
    files, letter, numbers = work.images.targets(arguments[:at]), arguments[at], arguments[at + 1 :]
    if letter not in _TYPES:
        raise usage(f"invalid device type {quoted(letter)}")
    if letter == "p":
        if numbers:
            raise usage("Fifos do not have major and minor device numbers.")
        return files, stat.S_IFIFO, 0
    if len(numbers) < 2:
        raise usage("Special files require major and minor device numbers.")
    if len(numbers) > 2:
        raise usage(f"extra operand {quoted(numbers[2])}")
    major, minor = (_part(number, what) for number, what in zip(numbers, ("major", "minor"), strict=True))
    return files, _TYPES[letter], os.makedev(major, minor)


def _part(text: str, what: str) -> int:
    if not _DEVICE.fullmatch(text):
        raise usage(f"invalid {what} device number {quoted(text)}")
    base = 16 if text[:2].lower() == "0x" else 8 if text[0] == "0" else 10
    try:
        number = int(text, base)
    except ValueError:
        raise usage(f"invalid {what} device number {quoted(text)}") from None
    if number > _PART_MAX:
        raise usage(f"invalid {what} device number {quoted(text)}")
    return number


def _mode(text: str) -> modes.Change:
    try:
        return modes.parse(text)
    except ValueError:
        raise usage(f"invalid mode {quoted(text)}") from None
