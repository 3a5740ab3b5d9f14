"""`minixfs info`: what an image holds. A file system: format, sizes, usage, fragmentation, state. A disk: its
partitions. One file: how it lies.

Of a volume that cannot be mounted everything that its superblock says is shown, and then why; the exit code is 1.
MFS superblocks hold no dates; the age of the root directory is the best that they can tell. In a value for blkid's
lines that is not safe for a shell, characters have backslashes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from minixfs.cli.offline import complain, opened, split
from minixfs.cli.show import counted, human, json_text
from minixfs.errors import MinixFsError, UsageError
from minixfs.fsck.report import printable
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.blockdev.open import open_device
from minixfs.hw.blockdev.partition import Partition, Slice, scan
from minixfs.hw.runtime import run
from minixfs.image.anatomy.volume import Anatomy, Facts, identify, no_file_system

if TYPE_CHECKING:
    from minixfs.image.anatomy.blocks import Layout

_ESCAPES = str.maketrans({character: f"\\{character}" for character in " \"'\\$`<>"})
"""What a shell must not see as it is."""
PATIENCE = 5.0
"""Seconds that looking for fragmentation may take."""
EXIT_UNKNOWN = 2
"""As blkid(8), with -o: nothing was recognised."""


@click.command()
@click.argument("image", metavar="IMAGE[:/PATH]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["full", "export", "value"]),
    default="full",
    help="export: KEY=value lines as blkid writes them; value: the values alone.",
)
@click.option("-s", "--match-tag", "keys", multiple=True, metavar="KEY", help="With -o: only this one (repeatable).")
@click.option("-v", "--verbose", is_flag=True, help="With a line for every block group, where there are groups.")
def info(image: str, as_json: bool, output: str, keys: tuple[str, ...], verbose: bool) -> int:
    """Show what IMAGE (or IMAGE:p0s1, IMAGE@@OFFSET) is and how full it is, or how a file in it lies.

    The exit code is 1 when it cannot be mounted; with -o it is 2 when IMAGE is nothing known.

    \b
    minixfs info disk.img
    minixfs info -o value -s TYPE disk.img:p0s1
    minixfs info disk.img:/etc/rc
    """
    spec, path = split(os.fsencode(image))
    image = os.fsdecode(spec)
    if keys and output == "full":
        output = "export"
    if output != "full" and (path is not None or as_json):
        raise UsageError("-o and -s are for whole volumes, without --json; leave them out")
    with closing(run(open_device(image, read_only=True))) as device:
        anatomy = identify(device)
        if anatomy is None:
            if path is not None:
                raise no_file_system(image, device)
            return _disk(image, device, as_json, output, keys)
        if path is not None:
            return _file(image, path, anatomy, as_json)
        if output != "full":
            _tags({"DEVNAME": image, **anatomy.tags()}, output, keys)
            return 0
        return _volume(image, anatomy, as_json, verbose)


# ---- one volume ----------------------------------------------------------------------------------------------------


def _volume(image: str, anatomy: Anatomy, as_json: bool, verbose: bool) -> int:
    facts, failure = anatomy.facts(), None
    try:
        facts |= _usage(image)
        facts["fragmentation"] = _fragmentation(anatomy)
    except MinixFsError as error:
        failure = error
    try:
        table = anatomy.table() if verbose else []
    except MinixFsError as error:
        table, failure = [], failure or error
    if as_json:
        header, *rows = table or [()]
        shown: Facts = {"group_table": [dict(zip(header, row, strict=True)) for row in rows]} if rows else {}
        _print_json({"image": image, **facts, **shown, "mountable": failure is None})
    else:
        lines = anatomy.lines(_size) | _usage_lines(facts)
        width = max(map(len, lines))
        click.echo("\n".join(f"{label:{width}}  {text}" for label, text in lines.items()))
        if table:
            click.echo("\n" + "\n".join(_columns(table)))
    if failure is None:
        return 0
    complain(failure)
    return 1


def _usage(image: str) -> Facts:
    with opened(image) as volume:
        usage, root = volume.statvfs(), volume.stat("/")
        return {
            "free": usage.f_bfree * usage.f_frsize,
            "inodes_free": usage.f_ffree,
            "root_modified": int(root.st_mtime),
        }


def _fragmentation(anatomy: Anatomy) -> Facts | None:
    """How scattered the files and the free space are; None where that cannot be found out in time."""
    try:
        return asdict(anatomy.survey(PATIENCE).fragmentation())
    except MinixFsError:
        return None


def _usage_lines(facts: Facts) -> dict[str, str]:
    if "free" not in facts:
        return {}
    changed = time.localtime(facts["root_modified"])
    lines = {
        "Inodes": _share(facts["inodes"] - facts["inodes_free"], facts["inodes"], str),
        "Space": _share(facts["size"] - facts["free"], facts["size"], human),
        "Root changed": time.strftime("%Y-%m-%d %H:%M:%S", changed),
    }
    found = facts["fragmentation"]
    return lines | (fragmentation_lines(found) if found else {"Fragmentation": "not known: too much to look at"})


def fragmentation_lines(found: Facts) -> dict[str, str]:
    """The fields of a `Fragmentation` for people: label and text."""
    some = "" if found["complete"] else " looked at"
    files, whole, free = found["files"], found["files_in_one_piece"], found["free_runs"]
    share = f"{100 * whole // max(1, files)}% of {counted(files, 'file')}{some} in one piece"
    mean = f"{found['pieces'] / max(1, files):.2f} pieces a file"
    largest, average = human(found["free_run_largest"]), human(found["free_run_mean"])
    return {
        "Fragmentation": f"{share}, {mean}" if files else "no files",
        "Free space": f"{counted(free, 'piece')}, the largest {largest}, on average {average}" if free else "none",
    }


def _share(used: int, total: int, shown: Any) -> str:
    return f"{shown(used)} of {shown(total)} used ({100 * used // total}%), {shown(total - used)} free"


def _size(size: int | None) -> str:
    if size is None:
        return "impossible"
    return f"{size} bytes" if size < 1024 else f"{human(size)} ({size} bytes)"


def _tags(tags: dict[str, str], output: str, keys: tuple[str, ...]) -> None:
    """What blkid writes. The name of the device comes first in lines, whatever the keys, and not among the values."""
    shown = {key: value for key, value in tags.items() if (not keys or key in keys) and key != "DEVNAME"}
    if output == "value":
        click.echo("".join(f"{_one_line(value)}\n" for value in shown.values()), nl=False)
    elif shown or "DEVNAME" in keys:
        name = printable(os.fsencode(tags["DEVNAME"]))
        lines = [f"{key}={_carets(value).translate(_ESCAPES)}" for key, value in shown.items()]
        click.echo("\n".join([f"DEVNAME={name}", *lines]))


def _one_line(value: str) -> str:
    return "".join(one if one.isprintable() else _carets(one) for one in value)


def _carets(value: str) -> str:
    """As blkid writes bytes that are not ASCII text."""
    return "".join(map(_caret, os.fsencode(value)))


def _caret(byte: int) -> str:
    meta, low = ("M-", byte - 0x80) if byte >= 0x80 else ("", byte)
    return meta + (chr(low) if 0x20 <= low < 0x7F else f"^{chr(low ^ 0x40)}")


# ---- one file ------------------------------------------------------------------------------------------------------


def _file(image: str, path: bytes, anatomy: Anatomy, as_json: bool) -> int:
    try:
        layout = anatomy.layout_of(anatomy.find(path))
    except MinixFsError as error:
        raise UsageError(f"{image}:{printable(path)}: {error}") from error
    if as_json:
        _print_json(
            {
                "image": image,
                "path": os.fsdecode(path),
                "inode": layout.inode,
                "size": layout.size,
                "block_size": layout.block_size,
                "pieces": layout.pieces,
                "indirect": layout.indirect,
                "runs": [run._asdict() for run in layout.runs],
            }
        )
    else:
        click.echo("\n".join(_layout_lines(printable(path), layout)))
    return 0


def _layout_lines(name: str, layout: Layout) -> list[str]:
    blocks = sum(run.length for run in layout.runs)
    lines = [
        f"{name}: inode {layout.inode}, {_size(layout.size)}, {counted(blocks, 'block')} of {layout.block_size} bytes"
        f" and {counted(len(layout.indirect), 'indirect block')}, {counted(len(layout.runs), 'run')}"
        f" in {counted(layout.pieces, 'piece')}"
    ]
    rows = [("run", "logical", "physical", "length")]
    rows += [
        (str(index), f"{run.logical}-{run.logical + run.length - 1}",
         f"{run.physical}-{run.physical + run.length - 1}", str(run.length))
        for index, run in enumerate(layout.runs)
    ]  # fmt: skip
    return lines + _columns(rows) if layout.runs else lines


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.rjust, row, widths)).rstrip() for row in rows]


# ---- a whole disk --------------------------------------------------------------------------------------------------


def _disk(image: str, device: BlockDevice, as_json: bool, output: str, keys: tuple[str, ...]) -> int:
    from minixfs.image.anatomy.partitions import identifier

    partitions = run(scan(device))
    if not partitions:
        code = 1 if output == "full" else EXIT_UNKNOWN
        raise UsageError(f"{image}: neither a MINIX or ext2 file system nor a partition table was found", code)
    name = identifier(device)
    if output != "full":
        _tags({"DEVNAME": image, **({"PTUUID": name} if name else {}), "PTTYPE": "dos"}, output, keys)
        return 0
    found = [(partition, identify(Slice(device, partition.start, partition.size))) for partition in partitions]
    if as_json:
        described = [_partition(partition, anatomy) for partition, anatomy in found]
        facts = {"format": "disk", "device_size": device.size, "identifier": name, "partitions": described}
        _print_json({"image": image, **facts, "mountable": True})
        return 0
    click.echo(f"Disk of {_size(device.size)}")
    for partition, anatomy in found:
        indent = "  " * (len(partition.name) > 2)
        holds = f": {anatomy.summary}" if anatomy else ""
        click.echo(f"{indent + partition.name:8}at byte {partition.start:<12}{partition}{holds}")
    return 0


def _partition(partition: Partition, anatomy: Anatomy | None) -> Facts:
    facts: Facts = {
        "name": partition.name,
        "description": str(partition),
        "type": partition.type,
        "active": partition.active,
        "start": partition.start,
        "size": partition.size,
    }
    return facts if anatomy is None else facts | {"volume": anatomy.facts()}


def _print_json(facts: Facts) -> None:
    click.echo(json_text(facts, indent=1))
