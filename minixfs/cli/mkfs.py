"""`minixfs mkfs`: make a file system in an image file, a partition of one, or a block device; empty, or with files."""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from minixfs.cli.failures import USAGE, exit_codes
from minixfs.errors import UsageError

if TYPE_CHECKING:
    from minixfs.fs.mfs.layout import Variant
    from minixfs.fs.mfs.superblock import Superblock
    from minixfs.mkfs.mfs import Options
    from minixfs.mkfs.mfs_contents import Contents
    from minixfs.trees.entry import Entry
    from minixfs.trees.proto import Prototype

_FIT = re.compile(r"fit(?:\+([0-9]+)%|\+(.+))?")


@click.command()
@click.argument("image", type=click.Path())
@click.argument("size", required=False)
@click.option("-t", "--type", "fstype", default="mfs", type=click.Choice(["mfs"]), help="File system to make.")
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
@click.option("--version", type=int, help="MINIX file system version: 1, 2 or 3 (the default).")
@click.option("--variant", type=click.Choice(["hybrid"]), help="hybrid: the V2 that MINIX 3 makes, with 60-byte names.")
@click.option("-n", "--name-length", type=int, metavar="BYTES", help="Longest name: 14 or 30 (V1, V2), 60 (V3).")
@click.option("-B", "--block-size", metavar="SIZE", help="1024 to 65024 in steps of 512; default 4096 (V3 only).")
@click.option("-i", "--inodes", metavar="[+]N", help="Number of inodes, or with + of spare ones; default by size.")
@click.option("-z", "--zone-shift", type=int, default=0, metavar="N", help="Blocks in a zone, as a power of 2.")
@click.option("--big-endian", is_flag=True, help="The byte order of 68000 machines (V1, V2).")
@click.option("--padding", type=click.Choice(["linux", "minix"]), default="linux", show_default=True,
              help="Unused bits of the bitmaps: set, as Linux wants them, or clear, as MINIX leaves them.")  # fmt: skip
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
    version: int | None,
    variant: str | None,
    name_length: int | None,
    block_size: str | None,
    inodes: str | None,
    zone_shift: int,
    big_endian: bool,
    padding: str,
    force: bool,
    quiet: bool,
    verbose: bool,
    as_json: bool,
) -> int:
    """Make a MINIX file system in IMAGE (or IMAGE:p0s1, IMAGE@@OFFSET).

    SIZE is a number of blocks, or of bytes with K, M or G behind it; a missing IMAGE is created with that size.
    "fit" is just enough for the files of -d, "fit+10%" and "fit+4M" leave room for more. By default the file system
    fills IMAGE, or fits if IMAGE is missing. A prototype says its size itself; "0 0" in it means that it fits.

    With SOURCE_DATE_EPOCH in the environment no time is later than that, and the same files make the same image.
    """
    with exit_codes():
        from minixfs.cli.source import adjusting, parse_owner
        from minixfs.cli.target import is_missing
        from minixfs.mkfs.mfs import Options, choose_variant, contents_for, limits_for
        from minixfs.mkfs.populate import gather

        chosen = choose_variant(version, name_length, hybrid=variant == "hybrid")
        fit = "fit" if extra is None else f"fit+{extra}%"
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
        options = Options(
            variant=chosen,
            block_size=None if block_size is None else _bytes(block_size),
            inodes=total,
            zone_shift=zone_shift,
            big_endian=big_endian,
            padding=padding == "linux",
        )
        adjust = adjusting(owner, mtime)
        root = None if root_owner is None else parse_owner(root_owner)
        with nullcontext(prototype) if prototype else _entries(content, one_file_system, image, chosen) as entries:
            contents = contents_for(gather(_rooted(adjust(entries), root), limits_for(options)), options)
            wish = _sized(size, options, contents, spare)
            if prototype is not None and prototype.blocks > (wish.options.blocks or 0):
                raise UsageError(f"{proto} wants {prototype.blocks} blocks, SIZE gives {wish.options.blocks}", USAGE)
            superblock = _make(image, wish, contents, force, show=not quiet)
        if as_json or not quiet:
            _describe(image, superblock, contents, verbose, as_json)
    return 0


mkfs.usage_exit_code = USAGE  # type: ignore[attr-defined]  # read by main for errors in options


@dataclass(frozen=True)
class _Wish:
    """What SIZE asks for: `length` in bytes of an image that is missing or too small, `exact` also of a larger one."""

    options: Options
    length: int | None = None
    exact: bool = False


def _sized(size: str | None, options: Options, contents: Contents, spare: int | None) -> _Wish:
    """`spare` is the number of inodes that shall be left, None if that does not matter."""
    from minixfs.mkfs.mfs import block_size_for, fitted

    block_size = block_size_for(options)
    match = _FIT.fullmatch(size or "")
    if match is not None:
        room = _bytes(match[2]) if match[2] else 0
        options = fitted(options, contents, percent=int(match[1] or 0), room=room, inodes=spare or 0)
        return _Wish(options, (options.blocks or 0) * block_size, exact=True)
    if spare is not None:
        options = replace(options, inodes=len(contents.tree) + spare)
    if size is None:
        return _Wish(options)
    blocks = int(size) if size.isdigit() else _bytes(size) // block_size
    return _Wish(replace(options, blocks=blocks), blocks * block_size)


def _make(image: str, wish: _Wish, contents: Contents, force: bool, show: bool) -> Superblock:
    from minixfs.cli.interrupt import interruptible
    from minixfs.cli.progress import progress
    from minixfs.cli.target import target
    from minixfs.hw.runtime import run
    from minixfs.mkfs.mfs import make, plan

    def check(device_size: int) -> None:
        plan(device_size, wish.options, contents)

    with target(image, wish.length, force=force, exact=wish.exact, check=check) as device:
        with interruptible() as interrupt, progress("writing", contents.length, show) as advance:

            def tick(amount: int) -> None:
                interrupt.check()
                advance(amount)

            return run(make(device, wish.options, contents, tick))


@contextmanager
def _entries(content: str | None, one_file_system: bool, image: str, variant: Variant) -> Iterator[Iterable[Entry]]:
    """The files to put into the volume: nothing but a root directory without `content`."""
    from minixfs.cli.source import source
    from minixfs.trees.entry import Entry

    if content is not None:
        if os.path.isdir(content) and os.path.realpath(image).startswith(os.path.join(os.path.realpath(content), "")):
            raise UsageError(f"{image} is in {content} itself; put it somewhere else", USAGE)
        with source(content, one_file_system=one_file_system) as entries:
            yield entries
    else:
        uid, gid, now = os.getuid(), os.getgid(), time.time_ns()
        uid, gid = (uid if uid <= variant.id_max else 0), (gid if gid <= variant.gid_max else 0)
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


def _describe(image: str, superblock: Superblock, contents: Contents, verbose: bool, as_json: bool) -> None:
    files = len(contents.tree)
    facts = {
        "image": image,
        "variant": superblock.variant.name,
        "big_endian": superblock.swapped,
        "block_size": superblock.block_size,
        "zone_size": superblock.zone_size,
        "zones": superblock.zones,
        "first_data_zone": superblock.first_data_zone,
        "free_zones": superblock.zones - superblock.first_data_zone - contents.total,
        "files": files,
        "inodes": superblock.inodes,
        "free_inodes": superblock.inodes - files,
        "imap_blocks": superblock.imap_blocks,
        "zmap_blocks": superblock.zmap_blocks,
        "max_file_size": superblock.max_size,
        "name_max": superblock.variant.name_max,
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    held = f"; holds {files} files" if files > 1 else ""
    click.echo(
        f"{image}: MINIX {superblock.variant.name}, {superblock.zones} zones of {superblock.zone_size} bytes,"
        f" {superblock.inodes} inodes{held}"
    )
    if verbose:
        for name, value in facts.items():
            click.echo(f"  {name.replace('_', ' ')}: {value}")


def _bytes(text: str) -> int:
    from minixfs.hw.blockdev.open import parse_size

    try:
        return parse_size(text.removesuffix("B").removesuffix("b"))
    except UsageError as error:
        raise UsageError(str(error), USAGE) from error
