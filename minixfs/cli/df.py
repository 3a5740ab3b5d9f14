"""`minixfs df`: how full images are. Options and columns are those of coreutils' df."""

from __future__ import annotations

import os

import click

from minixfs.cli.job import Verb, job
from minixfs.cli.show import human, json_text

NAME_WIDTH = 14


@click.command(cls=Verb)
@click.argument("arguments", nargs=-1, metavar="IMAGE...")
@click.option("-h", "--human-readable", "unit", flag_value="h", help="Show sizes like 1.5K or 10M.")
@click.option("-k", "unit", flag_value="k", help="Show sizes in units of 1024 bytes (the default).")
@click.option("-i", "--inodes", is_flag=True, help="Show inodes instead of space.")
@click.option("-T", "--print-type", "typed", is_flag=True, help="Show the type of the file system.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array of objects, for programs; sizes in bytes.")
def df(arguments: tuple[str, ...], unit: str | None, inodes: bool, typed: bool, as_json: bool) -> int:
    """Show how full the file systems in images are. IMAGE may name a partition (disk.img:p0s1).

    \b
    minixfs df -h disk.img disk.img:p0s1
    """
    in_units = unit == "h"
    sizes = ["Size", "Used", "Avail", "Use%"] if in_units else ["1K-blocks", "Used", "Available", "Use%"]
    head = ["Filesystem", *["Type"] * typed, *(["Inodes", "IUsed", "IFree", "IUse%"] if inodes else sizes)]
    rows = [head]
    objects: list[dict[str, object]] = []
    with job() as work:
        for image, target in work.opened(work.images.whole(arguments)):
            found = image.statvfs("/")
            size, free = found.f_blocks * found.f_frsize, found.f_bfree * found.f_frsize
            available = found.f_bavail * found.f_frsize  # less than what is free where there is a reserve
            inodes_used = found.f_files - found.f_ffree
            objects.append({
                "image": target.image, "size": size, "used": size - free, "available": available,
                "inodes": found.f_files, "inodes_used": inodes_used, "inodes_free": found.f_ffree,
            })  # fmt: skip
            total, used, left = size, size - free, available
            if inodes:
                total, used, left = found.f_files, inodes_used, found.f_ffree
            shown = [human(n) if in_units else str(n if inodes else -(-n // 1024)) for n in (total, used, left)]
            share = f"{-(-100 * used // (used + left))}%" if used + left else "-"
            name = os.fsdecode(work.safe(os.fsencode(target.image)))
            rows.append([name, *[image.type] * typed, *shown, share])
        if as_json:
            work.out.write(json_text(objects, indent=1).encode() + b"\n")
        elif objects:
            work.out.writelines(os.fsencode(line) + b"\n" for line in _table(rows, 1 + typed))
        return work.status


def _table(rows: list[list[str]], left: int) -> list[str]:
    """Columns side by side, the first `left` of them aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[0] = max(widths[0], NAME_WIDTH)
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if at < left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(" ".join(cells))
    return lines
