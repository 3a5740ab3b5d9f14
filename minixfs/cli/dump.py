"""`minixfs dump`: any structure of a disk, field by field, with offsets, straight from the device.

Nothing has to be sound: what is out of range is said in the column of meanings. Columns: the byte in the image where
the field lies, its name, its bytes in hexadecimal, its value, what that means.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import click

from minixfs.cli.show import json_text
from minixfs.errors import BadSuperblock, Corrupt, Unsupported, UsageError
from minixfs.fsck.report import printable
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.blockdev.open import open_device
from minixfs.hw.blockdev.partition import scan
from minixfs.hw.runtime import run
from minixfs.image.anatomy.volume import assume, identify, no_file_system

if TYPE_CHECKING:
    from minixfs.image.anatomy.fields import Field, Section

ROW = 16
"""Bytes in a line of a hex dump."""
RAW_MAX = 16
"""Bytes of a field that are shown in hexadecimal."""
_DISK = ("mbr", "partitions")


@click.command()
@click.argument("image")
@click.argument("what", nargs=-1, required=True, metavar="STRUCTURE [NUMBER | /PATH]")
@click.option(
    "--as",
    "assumed",
    metavar="FORMAT",
    help="Take it for this although the magic number is lost: V1, V1L, V2, V2L, V3, hybrid or ext2.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON array of structures, for programs.")
def dump(image: str, what: tuple[str, ...], assumed: str | None, as_json: bool) -> int:
    """Show a structure of IMAGE (or IMAGE:p0s1, IMAGE@@OFFSET) field by field.

    \b
    superblock, boot         what comes first on a volume
    inode N | /PATH          an inode; inodes A-B several
    directory N | /PATH      every slot, free ones too
    block N                  a hex dump, and whose it is
    indirect N               the zone or block numbers in zone or block N
    mbr, partitions          the partition table of a disk; all its tables

    \b
    MINIX: imap, zmap        the bitmaps, as runs of used and free
           zone N            a hex dump, and whose it is
    ext2:  group N, copy N   the descriptor of a group; its copy of the superblock
           bitmaps N         the bitmaps of a group, as runs of used and free
           attributes N      the extended attributes in block N
           journal           the superblock of the journal
    """
    with closing(run(open_device(image, read_only=True))) as device:
        sections = _sections(image, device, what, assumed)
    if as_json:
        click.echo(json_text([_object(section) for section in sections], indent=1))
    else:
        for index, section in enumerate(sections):
            click.echo("\n" * (index > 0) + "\n".join(_lines(section)))
    return 0


def _sections(image: str, device: BlockDevice, what: tuple[str, ...], assumed: str | None) -> list[Section]:
    if what[0] in _DISK:
        from minixfs.image.anatomy.partitions import dump_table, dump_tables

        if len(what) > 1:
            raise UsageError(f"'{what[0]}' takes nothing more")
        return [dump_table(device)] if what[0] == "mbr" else dump_tables(device, run(scan(device)))
    anatomy = identify(device) if assumed is None else assume(device, assumed)
    if anatomy is None:
        raise no_file_system(image, device)
    try:
        return anatomy.dump(what)
    except (BadSuperblock, Corrupt, Unsupported, UsageError) as error:
        raise UsageError(f"{image}: {error}") from error


# ---- for people ----------------------------------------------------------------------------------------------------


def _lines(section: Section) -> Iterator[str]:
    yield f"{section.title}:"
    rows = [("byte", "field", "raw", "value", "meaning")] if section.fields else []
    rows += [_row(field) for field in section.fields]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for at, name, raw, value, meaning in rows:
        cells = at.rjust(widths[0]), name.ljust(widths[1]), raw.ljust(widths[2]), value.ljust(widths[3]), meaning
        yield ("  " + "  ".join(cells)).rstrip()
    yield from _hex_dump(section.offset, section.data)


def _row(field: Field) -> tuple[str, str, str, str, str]:
    raw = field.raw[:RAW_MAX].hex(" ") + (" ..." if len(field.raw) > RAW_MAX else "")
    return str(field.offset), field.name, raw, _value(field.value), field.meaning


def _value(value: int | bytes | str) -> str:
    return f'"{printable(value)}"' if isinstance(value, bytes) else str(value)


def _hex_dump(offset: int, data: bytes) -> Iterator[str]:
    """As hexdump -C writes it: a row that repeats the one before is left out, an asterisk stands for all of these."""
    previous, starred = None, False
    for at in range(0, len(data), ROW):
        row = data[at : at + ROW]
        if row == previous and at + ROW < len(data):
            if not starred:
                yield "  *"
            starred = True
            continue
        previous, starred = row, False
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"  {offset + at:08x}  {row[:8].hex(' '):23}  {row[8:].hex(' '):23}  |{text}|"


# ---- for programs --------------------------------------------------------------------------------------------------


def _object(section: Section) -> dict[str, object]:
    result: dict[str, object] = {"title": section.title}
    if section.data:
        result |= {"offset": section.offset, "data": section.data.hex()}
    else:
        result["fields"] = [
            {
                "offset": field.offset,
                "name": field.name,
                "raw": field.raw.hex(),
                "value": os.fsdecode(field.value) if isinstance(field.value, bytes) else field.value,
                "meaning": field.meaning,
            }
            for field in section.fields
        ]
    return result
