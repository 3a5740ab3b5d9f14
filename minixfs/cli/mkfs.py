"""`minixfs mkfs`: make a file system in an image file, a partition of one, or a block device; empty, or with files."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from minixfs.cli.failures import USAGE, exit_codes
from minixfs.cli.makers import MAKERS, Maker, bytes_of, ext2_options, mfs_options, own_words
from minixfs.cli.show import json_text
from minixfs.errors import UsageError

if TYPE_CHECKING:
    from minixfs.mkfs.populate import Limits
    from minixfs.trees.entry import Entry
    from minixfs.trees.proto import Prototype

_FIT = re.compile(r"fit(?:\+([0-9]+)%|\+(.+))?")


@click.command()
@click.argument("image", type=click.Path())
@click.argument("size", required=False)
@click.option("-t", "--type", "fstype", default="mfs", type=click.Choice(["mfs", "ext2"]), show_default=True,
              help="File system to make.")  # fmt: skip
@click.option("-d", "--directory", "--populate", "content", metavar="SOURCE",
              help="Put these files in it: a directory, or a tar file (- for standard input).")  # fmt: skip
@click.option("--proto", metavar="FILE", help="Put in it what this MINIX prototype file says.")
@click.option("--proto-extensions", is_flag=True, help="With --proto: FIFOs, sockets, links, sticky bits, comments.")
@click.option("--keep-mtime", is_flag=True, help="With --proto: files are as old as their sources, not new.")
@click.option("-x", "--extra", type=click.IntRange(0, 2000), metavar="PERCENT",
              help="Room left in an image that fits its files.")  # fmt: skip
@click.option("--one-file-system", is_flag=True, help="With -d, leave out what is mounted below the directory.")
@click.option("--owner", metavar="UID:GID", help="Owner of every file; default: as found.")
@click.option("--root-owner", metavar="UID:GID", help="Owner of the root directory; default: as found, or you.")
@click.option("--mtime", metavar="TIME", help="Time of every file; default: as found, or now.")
@click.option("-B", "--block-size", metavar="SIZE",
              help="MFS V3: 1024 to 65024 by 512, default 4096. ext2: 1024, 2048, 4096, default by size.")  # fmt: skip
@click.option("-i", "--inodes", metavar="[+]N", help="Number of inodes, or with + of spare ones; default by size.")
@mfs_options
@ext2_options
@click.option("--dry-run", is_flag=True, help="Write nothing; only say what would be made.")
@click.option("-f", "--force", is_flag=True, help="Overwrite what is there without asking.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing when all is well.")
@click.option("-v", "--verbose", is_flag=True, help="Say more about what was made.")
@click.option("--json", "as_json", is_flag=True, help="Describe what was made as JSON.")
def mkfs(
    image: str,
    size: str | None,
    fstype: str,
    content: str | None,
    proto: str | None,
    proto_extensions: bool,
    keep_mtime: bool,
    extra: int | None,
    one_file_system: bool,
    owner: str | None,
    root_owner: str | None,
    mtime: str | None,
    block_size: str | None,
    inodes: str | None,
    dry_run: bool,
    force: bool,
    quiet: bool,
    verbose: bool,
    as_json: bool,
    **own: Any,
) -> int:
    """Make a MINIX or ext2 file system in IMAGE (or IMAGE:p0s1, IMAGE@@OFFSET).

    SIZE is a number of blocks (ext2: of -B, or of 1024 bytes), or of bytes with K, M or G behind it; a missing IMAGE is
    created with that size. "fit" is just enough for the files of -d, "fit+10%" and "fit+4M" leave room for more. By
    default the file system fills IMAGE, or fits if IMAGE is missing. A prototype says its size itself; "0 0" in it
    means that it fits.

    With SOURCE_DATE_EPOCH in the environment no time is later than that, and the same files make the same image.

    \b
    minixfs mkfs disk.img 64M
    minixfs mkfs -d rootfs disk.img fit+10%
    minixfs mkfs -t ext2 -d rootfs.tar data.img 64M
    """
    with exit_codes():
        from minixfs.cli.source import adjusting, fixed_time, parse_owner
        from minixfs.cli.target import is_missing
        from minixfs.mkfs.populate import gather

        words = own_words(click.get_current_context(), fstype, own)
        fit = "fit" if extra is None else f"fit+{extra}%"
        if proto is not None and fstype != "mfs":
            raise UsageError("a prototype says what is in a MINIX file system; use -d for others", USAGE)
        prototype = _prototype(proto, proto_extensions, keep_mtime)
        if prototype is not None:
            if content is not None:
                raise UsageError("the files come from -d or from --proto; give only one", USAGE)
            size = size or str(prototype.blocks or fit)
            inodes = inodes or (str(prototype.inodes) if prototype.inodes else None)
        if size is None and content is not None and is_missing(image):
            size = fit
        if extra is not None and size != fit:
            raise UsageError("-x goes with an image that fits its files; leave SIZE out, or write fit+10%", USAGE)
        total, spare = _inodes(inodes)
        maker = MAKERS[fstype](None if block_size is None else bytes_of(block_size), total, fixed_time(mtime), words)
        adjust = adjusting(owner, mtime)
        root = None if root_owner is None else parse_owner(root_owner)
        with (
            nullcontext(prototype) if prototype else _entries(content, one_file_system, image, maker.limits) as entries
        ):
            tree = gather(_rooted(adjust(entries), root), maker.limits)
            if tree.left_out and not quiet:
                kept = f"{maker.limits.name} does not keep the extended attributes of {tree.left_out} files"
                click.echo(f"minixfs mkfs: {kept}", err=True)
            maker.take(tree)
            wish = _sized(size, maker, spare)
            if prototype is not None and prototype.blocks * maker.unit > (wish.length or 0):
                blocks = (wish.length or 0) // maker.unit
                raise UsageError(f"{proto} wants {prototype.blocks} blocks, SIZE gives {blocks}", USAGE)
            if dry_run:
                maker.plan(_size_of(image, wish))
            else:
                _make(image, wish, maker, force, show=not quiet)
        if as_json:
            click.echo(json_text({"image": image, **maker.facts()}))
        elif not quiet:
            _describe(image, maker, verbose)
    return 0


mkfs.usage_exit_code = USAGE  # type: ignore[attr-defined]  # read by main for errors in options


@dataclass(frozen=True)
class _Wish:
    """What SIZE asks for: `length` in bytes of an image that is missing or too small, `exact` also of a larger one."""

    length: int | None = None
    exact: bool = False


def _sized(size: str | None, maker: Maker, spare: int | None) -> _Wish:
    """`spare` is the number of inodes that shall be left, None if that does not matter."""
    match = _FIT.fullmatch(size or "")
    if match is not None:
        room = bytes_of(match[2]) if match[2] else 0
        return _Wish(maker.fit(int(match[1] or 0), room, spare or 0), exact=True)
    if size is None:
        maker.ask(None, spare)
        return _Wish()
    blocks = int(size) if size.isdigit() else bytes_of(size) // maker.unit
    maker.ask(blocks, spare)
    return _Wish(blocks * maker.unit)


def _size_of(image: str, wish: _Wish) -> int:
    """How many bytes `image` has, or would have."""
    from minixfs.cli.target import is_missing
    from minixfs.hw.blockdev.open import open_device
    from minixfs.hw.runtime import run

    if is_missing(image):
        return wish.length or 0
    device = run(open_device(image, read_only=True))
    try:
        return max(device.size, wish.length or 0) if os.path.isfile(image) else device.size
    finally:
        device.close()


def _make(image: str, wish: _Wish, maker: Maker, force: bool, show: bool) -> None:
    from minixfs.cli.interrupt import interruptible
    from minixfs.cli.progress import progress
    from minixfs.cli.target import target
    from minixfs.hw.runtime import run

    with target(image, wish.length, force=force, exact=wish.exact, check=maker.plan) as device:
        with interruptible() as interrupt, progress("writing", maker.length, show) as advance:

            def tick(amount: int) -> None:
                interrupt.check()
                advance(amount)

            run(maker.make(device, tick))


@contextmanager
def _entries(content: str | None, one_file_system: bool, image: str, limits: Limits) -> Iterator[Iterable[Entry]]:
    """The files to put into the volume: nothing but a root directory without `content`."""
    from minixfs.cli.source import source
    from minixfs.trees.entry import Entry

    if content is not None:
        if os.path.isdir(content) and os.path.realpath(image).startswith(os.path.join(os.path.realpath(content), "")):
            raise UsageError(f"{image} is in {content} itself; put it somewhere else", USAGE)
        with source(content, one_file_system=one_file_system, xattrs=limits.has_xattrs) as entries:
            yield entries
    else:
        uid, gid, now = os.getuid(), os.getgid(), time.time_ns()
        uid, gid = (uid if uid <= limits.uid_max else 0), (gid if gid <= limits.gid_max else 0)
        yield [Entry(b"", stat.S_IFDIR | 0o755, uid, gid, mtime=now, atime=now, ctime=now)]


def _prototype(path: str | None, extensions: bool, keep_mtime: bool) -> Prototype | None:
    from minixfs.trees.proto import read

    if path is None:
        if extensions or keep_mtime:
            raise UsageError("--proto-extensions and --keep-mtime go with --proto", USAGE)
        return None
    return read(path, time=time.time_ns(), keep_mtime=keep_mtime, extensions=extensions)


def _rooted(entries: Iterable[Entry], owner: tuple[int, int] | None) -> Iterator[Entry]:
    """The entries, with another owner of the root."""
    for entry in entries:
        if owner is not None and not entry.path:
            entry.uid, entry.gid = owner
        yield entry


def _inodes(text: str | None) -> tuple[int | None, int | None]:
    """The number of inodes, or that of spare ones."""
    if text is None:
        return None, None
    if not re.fullmatch(r"\+?[0-9]+", text):
        raise UsageError(f"'{text}' is no number of inodes: write it like 2000, or +100 for spare ones", USAGE)
    return (None, int(text)) if text.startswith("+") else (int(text), None)


def _describe(image: str, maker: Maker, verbose: bool) -> None:
    click.echo(f"{image}: {maker.summary()}")
    if verbose:
        for name, value in maker.facts().items():
            text = " ".join(map(str, value)) if isinstance(value, list) else value
            click.echo(f"  {name.replace('_', ' ')}: {text}")
