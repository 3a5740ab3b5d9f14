"""`minixfs mkdisk`: make a whole MINIX disk, with a table of partitions and file systems for root, /home and /usr."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from minixfs.cli.failures import USAGE, exit_codes
from minixfs.errors import UsageError

if TYPE_CHECKING:
    from minixfs.fs.mfs.superblock import Superblock
    from minixfs.mkfs.disk import Disk, Filled
    from minixfs.mkfs.mfs import Options
    from minixfs.trees.entry import Entry

_FIT = re.compile(r"fit(?:\+([0-9]+)%)?")


@click.command()
@click.argument("disk", type=click.Path())
@click.argument("size", required=False)
@click.option("--layout", type=click.Choice(["installed", "release"]), default="installed", show_default=True,
              help="As MINIX's installer lays a disk out, or as MINIX is handed out.")  # fmt: skip
@click.option("--root", metavar="SOURCE", help="Files of the root: a directory, a tar file (- for standard input) or a "
              "prototype.")  # fmt: skip
@click.option("--home", metavar="SOURCE", help="Files of /home.")
@click.option("--usr", metavar="SOURCE", help="Files of /usr.")
@click.option("--root-size", metavar="SIZE", help="Size of the root; default 64M.")
@click.option("--home-size", metavar="SIZE", help="Size of /home, 0 for none; default a fifth of what the root leaves.")
@click.option("--usr-size", metavar="SIZE", help="Size of /usr, 0 for none; default all that is left.")
@click.option("-B", "--block-size", metavar="SIZE", help="Block size of /home and /usr; default 4096.")
@click.option("--fstab/--no-fstab", default=None, help="Write an /etc/fstab for this disk; default: without --root.")
@click.option("--owner", metavar="UID:GID", help="Owner of every file; default: as found.")
@click.option("--mtime", metavar="TIME", help="Time of every file; default: as found, or now.")
@click.option("-f", "--force", is_flag=True, help="Overwrite what is there without asking.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing when all is well.")
@click.option("--json", "as_json", is_flag=True, help="Describe what was made as JSON.")
def mkdisk(
    disk: str,
    size: str | None,
    layout: str,
    root: str | None,
    home: str | None,
    usr: str | None,
    root_size: str | None,
    home_size: str | None,
    usr_size: str | None,
    block_size: str | None,
    fstab: bool | None,
    owner: str | None,
    mtime: str | None,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Make a MINIX disk in DISK: one partition, in it file systems for root, /home and /usr.

    Sizes are in bytes, or have K, M, G or s (sectors) behind them. A missing DISK is created. The size of a part may be
    "fit" or "fit+10%", just enough for its files. Without SIZE the disk has the size of its parts if /home and /usr
    have files or a size; else it is as large as DISK is.

    `minixfs mount --tree DISK DIRECTORY` shows all of it, and DISK:p0s0, p0s1 and p0s2 are root, /home and /usr.
    With SOURCE_DATE_EPOCH in the environment no time is later than that, and the same files make the same disk.

    \b
    minixfs mkdisk minix.img 1G
    minixfs mkdisk --root root.tar --usr usr.tar --home-size 16M --usr-size fit+20% minix.img
    """
    with exit_codes(), ExitStack() as sources:
        from minixfs.cli.interrupt import interruptible
        from minixfs.cli.progress import progress
        from minixfs.cli.source import adjusting
        from minixfs.cli.target import is_missing, target
        from minixfs.hw.runtime import run
        from minixfs.mkfs.disk import LAYOUTS, Filled, check, furnished, make, plan, present
        from minixfs.mkfs.mfs import Options, contents_for, limits_for
        from minixfs.mkfs.populate import gather

        adjust, now = adjusting(owner, mtime), time.time_ns()
        chosen = {name: spec for name, spec in (("root", root), ("home", home), ("usr", usr)) if spec is not None}
        if list(chosen.values()).count("-") > 1:
            raise UsageError("standard input can fill one part alone", USAGE)
        sizes = {"root": root_size, "home": home_size, "usr": usr_size}
        total = None if size is None else _bytes(size)
        # The command line alone should say how large a file becomes, so that the same makes the same again.
        unsized = [name for name in LAYOUTS[layout].parts[1:] if name not in chosen and sizes[name] is None]
        if total is None and (is_missing(disk) or (os.path.isfile(disk) and not unsized)):
            sizes |= {name: "fit" for name in chosen if sizes[name] is None}
        elif total is None:
            total = _size_of(disk)
        fits = {name: match for name, text in sizes.items() if (match := _FIT.fullmatch(text or ""))}
        wishes = {name: None if text is None or name in fits else _bytes(text) for name, text in sizes.items()}
        names = present(layout, wishes)
        if outside := chosen.keys() - names:
            raise UsageError(f"there is no /{min(outside)} on this disk to put files on", USAGE)
        fillings: dict[str, Filled] = {}
        for name in names:
            options = Options(block_size=_bytes(block_size) if block_size is not None and name != "root" else None)
            entries = sources.enter_context(_files(chosen.get(name), disk, now, options))
            if name == "root" and (fstab or (fstab is None and name not in chosen)):
                entries = furnished(entries, names, now)
            contents = contents_for(gather(adjust(entries), limits_for(options)), options)
            fillings[name] = Filled(options, contents)
            if name in fits:
                fillings[name] = fillings[name].fitted(int(fits[name][1] or 0))
                wishes[name] = fillings[name].size
        plans = plan(layout, total, wishes)
        length = sum(filled.contents.length for filled in fillings.values())
        with target(
            disk, plans.size, force=force, exact=total is None, check=lambda found: check(found, plans, fillings)
        ) as device:
            with interruptible() as interrupt, progress("writing", length, not quiet) as advance:

                def tick(amount: int) -> None:
                    interrupt.check()
                    advance(amount)

                superblocks = run(make(device, plans, fillings, tick))
        if as_json or not quiet:
            _describe(disk, layout, plans, fillings, superblocks, as_json)
    return 0


mkdisk.usage_exit_code = USAGE  # type: ignore[attr-defined]  # read by main for errors in options


@contextmanager
def _files(spec: str | None, disk: str, now: int, options: Options) -> Iterator[Iterable[Entry]]:
    """What to put on a part: nothing but a top directory without `spec`."""
    from minixfs.cli.source import STDIN, source
    from minixfs.trees import proto
    from minixfs.trees.entry import Entry

    if spec is None:
        uid, gid = os.getuid(), os.getgid()
        uid, gid = (uid if uid <= options.variant.id_max else 0), (gid if gid <= options.variant.gid_max else 0)
        yield [Entry(b"", stat.S_IFDIR | 0o755, uid, gid, mtime=now, atime=now, ctime=now)]
    elif spec != STDIN and os.path.isfile(spec) and proto.is_prototype(spec):
        yield proto.read(spec, time=now)
    else:
        if os.path.isdir(spec) and os.path.realpath(disk).startswith(os.path.join(os.path.realpath(spec), "")):
            raise UsageError(f"{disk} is in {spec} itself; put it somewhere else", USAGE)
        with source(spec) as entries:
            yield entries


def _size_of(disk: str) -> int:
    from minixfs.hw.blockdev.open import open_device
    from minixfs.hw.runtime import run

    device = run(open_device(disk, read_only=True))
    try:
        return device.size
    finally:
        device.close()


def _bytes(text: str) -> int:
    from minixfs.hw.blockdev.open import parse_size

    try:
        return parse_size(text)
    except UsageError as error:
        raise UsageError(str(error), USAGE) from error


def _describe(
    disk: str,
    layout: str,
    plans: Disk,
    fillings: dict[str, Filled],
    superblocks: dict[str, Superblock],
    as_json: bool,
) -> None:
    from minixfs.cli.show import human, json_text
    from minixfs.hw.blockdev.partition import SECTOR
    from minixfs.mkfs.disk import PARTS, partition_of

    parts: list[dict[str, Any]] = [
        {
            "name": partition_of(name),
            "directory": PARTS[name].decode(),
            "start": plans.parts[name].first * SECTOR,
            "size": plans.parts[name].count * SECTOR,
            "block_size": superblock.block_size,
            "zones": superblock.zones,
            "inodes": superblock.inodes,
            "files": len(fillings[name].contents.tree),
        }
        for name, superblock in superblocks.items()
    ]
    if as_json:
        click.echo(json_text({"disk": disk, "layout": layout, "size": plans.size, "partitions": parts}))
        return
    click.echo(f"{disk}: MINIX disk of {human(plans.size)}")
    for part in parts:
        click.echo(
            f"  {part['name']}  {part['directory']:<6} {human(part['size']):>6} at byte {part['start']:<12}"
            f" {part['zones']} zones of {part['block_size']} bytes, {part['inodes']} inodes, {part['files']} files"
        )
