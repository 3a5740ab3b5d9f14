"""`minixfs map`: which block belongs to what, on the terminal or as a picture file; how one file lies."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from minixfs.cli.info import fragmentation_lines
from minixfs.cli.offline import split
from minixfs.cli.show import counted, json_text
from minixfs.errors import MinixFsError, UsageError
from minixfs.fsck.report import printable
from minixfs.hw.blockdev.open import open_device
from minixfs.hw.runtime import run
from minixfs.image.anatomy.volume import Anatomy, identify, no_file_system

if TYPE_CHECKING:
    from minixfs.cli.picture.picture import Picture
    from minixfs.image.anatomy.blocks import BlockMap, Layout


RUNS_SHOWN = 8
"""Runs of a file that are written out; all are in ``--json`` and in `minixfs info`."""


@click.command()
@click.argument("image", metavar="IMAGE[:/PATH]")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Draw into FILE: .svg or .png.")
@click.option(
    "--color", "--colour", "colour", type=click.Choice(["auto", "always", "never"]), default="auto",
    help="Colours on the terminal; auto heeds NO_COLOR.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object with all rows of blocks, for programs.")
def map(image: str, output: Path | None, colour: str, as_json: bool) -> None:
    """Show which block of IMAGE (or IMAGE:p0s1, IMAGE@@OFFSET) belongs to what.

    With a path, show where the blocks of that file lie, in the order of the file.

    \b
    minixfs map disk.img
    minixfs map -o map.svg disk.img
    """
    if output is not None and output.suffix.lower() not in (".svg", ".png"):
        raise UsageError(f"{output}: a picture is FILE.svg or FILE.png")
    if output is not None and as_json:
        raise UsageError("-o draws and --json does not; use one of them")
    spec, path = split(os.fsencode(image))
    image = os.fsdecode(spec)
    with closing(run(open_device(image, read_only=True))) as device:
        anatomy = identify(device)
        if anatomy is None:
            raise no_file_system(image, device)
        try:
            found = anatomy.survey()
        except MinixFsError as error:
            raise UsageError(f"{image}: {error}") from error
        layout = None if path is None else _layout(image, path, anatomy)
        if as_json:
            click.echo(json_text({"image": image, **_facts(anatomy, found, layout)}, indent=1))
            return
        picture = _picture(image, path, anatomy, found, layout)
        if output is None:
            _show(picture, colour)
        else:
            _store(picture, output, anatomy)


def _layout(image: str, path: bytes, anatomy: Anatomy) -> Layout:
    try:
        return anatomy.layout_of(anatomy.find(path))
    except MinixFsError as error:
        raise UsageError(f"{image}:{printable(path)}: {error}") from error


def _picture(image: str, path: bytes | None, anatomy: Anatomy, found: BlockMap, layout: Layout | None) -> Picture:
    from minixfs.cli.picture.picture import file_picture, volume_picture

    name = printable(os.fsencode(os.path.basename(image)))
    size = f"{len(found)} blocks of {found.block_size} bytes"
    if layout is None:
        return volume_picture(f"{name}: {anatomy.summary}, {size}", _scattered(found), found)
    blocks = sum(run.length for run in layout.runs)
    runs = f"{counted(len(layout.runs), 'run')} in {counted(layout.pieces, 'piece')}"
    note = f"{counted(blocks, 'block')}, {runs}: {_ranges(layout)}"
    return file_picture(f"{name}:{printable(path or b'')} among {size}", [note], found, layout)


def _scattered(found: BlockMap) -> list[str]:
    lines = fragmentation_lines(asdict(found.fragmentation()))
    return [f"{label}: {text}" for label, text in lines.items()]


def _ranges(layout: Layout) -> str:
    """The runs in the order of the file; the first of very many."""
    shown = [f"{run.physical}-{run.physical + run.length - 1}" for run in layout.runs[:RUNS_SHOWN]]
    more = ["..."] if len(layout.runs) > RUNS_SHOWN else []
    return ", ".join(shown + more) or "none"


def _show(picture: Picture, colour: str) -> None:
    from minixfs.cli.picture.terminal import lines

    wanted = colour == "always" or (colour == "auto" and sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    if colour == "auto" and os.environ.get("TERM") == "dumb":
        wanted = False
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    size = shutil.get_terminal_size()
    drawn = lines(picture, size.columns, size.lines, colour=wanted, unicode=unicode)
    click.echo("\n".join(drawn), color=wanted)


def _store(picture: Picture, output: Path, anatomy: Anatomy) -> None:
    from minixfs.cli.picture import png, svg

    def names(inodes: list[int]) -> dict[int, str]:
        return {inode: printable(path) for inode, path in anatomy.names(inodes).items()}

    if output.suffix.lower() == ".png":
        output.write_bytes(png.draw(picture))
    else:
        output.write_text(svg.draw(picture, names), encoding="utf-8")


def _facts(anatomy: Anatomy, found: BlockMap, layout: Layout | None) -> dict[str, object]:
    from minixfs.image.anatomy.blocks import Kind

    edges = found.edges()
    columns = (edges, [*edges[1:], len(found)], found.kind[edges], found.owner[edges], found.place[edges])
    rows = [
        {"block": int(start), "length": int(end - start), "kind": Kind(kind).label}
        | ({"inode": int(owner), "place": int(place)} if owner else {})
        for start, end, kind, owner, place in zip(*columns, strict=True)
    ]
    facts: dict[str, object] = {
        "block_size": found.block_size,
        "blocks": len(found),
        "counts": {kind.label: count for kind, count in found.counts().items()},
        "rows": rows,
    }
    if layout is not None:
        facts |= {"inode": layout.inode, "pieces": layout.pieces, "runs": [run._asdict() for run in layout.runs]}
    return facts
