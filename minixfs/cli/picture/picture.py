"""What a picture of a volume shows: a row of cells, each standing for one or more blocks, and a legend.

    picture = volume_picture(title, notes, found)         every block by its kind
    picture = file_picture(title, notes, found, layout)   one file's blocks by their order, all else faint
    cells = picture.cells(2000)                           in at most so many cells

Colours are those of Okabe and Ito, which people with any kind of colour vision can tell apart, and greys; for the order
of blocks a scale whose brightness rises evenly. Every colour comes with a character of its own, so that nothing is told
by colour alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minixfs.image.anatomy.blocks import BlockMap, Kind, Layout


class Swatch(NamedTuple):
    """One colour: as RGB, as one of a terminal's 256, as a character and as an ASCII one. `blocks` it stands for.

    Without a label it is not in the legend. `wins`: a cell that holds any such block shows it.
    """

    label: str
    rgb: int
    ansi: int
    character: str
    plain: str
    blocks: int = 0
    wins: bool = False


_SWATCHES = {
    Kind.BOOT: Swatch(Kind.BOOT.label, 0x5B616B, 243, "b", "b"),
    Kind.SUPERBLOCK: Swatch(Kind.SUPERBLOCK.label, 0xD55E00, 166, "S", "S"),
    Kind.INODE_MAP: Swatch(Kind.INODE_MAP.label, 0xE69F00, 214, "m", "m"),
    Kind.ZONE_MAP: Swatch(Kind.ZONE_MAP.label, 0xF0E442, 227, "z", "z"),
    Kind.BLOCK_MAP: Swatch(Kind.BLOCK_MAP.label, 0xF0E442, 227, "z", "z"),
    Kind.SUPERBLOCK_COPY: Swatch(Kind.SUPERBLOCK_COPY.label, 0xE8A07A, 173, "s", "s"),
    Kind.DESCRIPTORS: Swatch(Kind.DESCRIPTORS.label, 0x8C564B, 137, "g", "g"),
    Kind.RESERVED_DESCRIPTORS: Swatch(Kind.RESERVED_DESCRIPTORS.label, 0xD9C4BC, 181, "r", "r"),
    Kind.INODE_TABLE: Swatch(Kind.INODE_TABLE.label, 0x009E73, 36, "i", "i"),
    Kind.DIRECTORY: Swatch(Kind.DIRECTORY.label, 0xCC79A7, 175, "▓", "D"),
    Kind.FILE: Swatch(Kind.FILE.label, 0x0072B2, 32, "█", "#"),
    Kind.INDIRECT: Swatch(Kind.INDIRECT.label, 0x56B4E9, 117, "▒", "+"),
    Kind.ATTRIBUTES: Swatch(Kind.ATTRIBUTES.label, 0x9467BD, 98, "a", "a"),
    Kind.JOURNAL: Swatch(Kind.JOURNAL.label, 0x2F4B3C, 65, "j", "j"),
    Kind.FREE: Swatch(Kind.FREE.label, 0xE4E7EB, 245, "·", "."),
    Kind.UNUSABLE: Swatch(Kind.UNUSABLE.label, 0xF6F7F8, 238, "-", "-"),
    Kind.BAD: Swatch(Kind.BAD.label, 0x000000, 231, "x", "x"),
    Kind.LOST: Swatch(Kind.LOST.label, 0x8A8F98, 203, "?", "?"),
}
_ORDER = list(_SWATCHES)
_SCALE = (0x440154, 0x482878, 0x3E4A89, 0x31688E, 0x26828E, 0x1F9E89, 0x35B779, 0x6DCD59, 0xB4DE2C, 0xFDE725)
"""Dark to bright: the order of a file's blocks."""
_SCALE_ANSI = (54, 55, 61, 31, 30, 36, 35, 77, 148, 226)
_FAINT_USED = Swatch("in use by others", 0xC3C8CF, 248, "░", ":")
_FAINT_FREE = Swatch("free", 0xECEEF1, 240, "·", ".")
_OWN_INDIRECT = Swatch("its indirect blocks", 0xD55E00, 166, "▒", "+", wins=True)


@dataclass(slots=True)
class Cells:
    """The picture in cells of `per_cell` blocks (the last may hold fewer). `paint`: a swatch for each; `owner`: the
    inode that all blocks of a cell belong to, or 0; `counts`: blocks of each swatch (rows) in each cell."""

    per_cell: int
    paint: NDArray[np.uint8]
    owner: NDArray[np.uint32]
    counts: NDArray[np.int64]


@dataclass(slots=True)
class Picture:
    """`paint` has the number of a swatch for every block; `notes` are lines of text for below."""

    title: str
    notes: list[str]
    swatches: list[Swatch]
    paint: NDArray[np.uint8]
    found: BlockMap

    @property
    def legend(self) -> list[Swatch]:
        return [swatch for swatch in self.swatches if swatch.label and swatch.blocks]

    def cells(self, most: int) -> Cells:
        blocks = len(self.paint)
        per_cell = max(1, -(-blocks // max(1, most)))
        starts = np.arange(0, blocks, per_cell)
        counts = np.stack([
            np.add.reduceat(self.paint == number, starts, dtype=np.int64) for number in range(len(self.swatches))
        ])  # fmt: skip
        wins = np.array([swatch.wins for swatch in self.swatches])
        paint = np.argmax(counts + wins[:, None] * np.where(counts > 0, per_cell, 0), axis=0).astype(np.uint8)
        owner = np.minimum.reduceat(self.found.owner, starts)
        owner[owner != np.maximum.reduceat(self.found.owner, starts)] = 0
        return Cells(per_cell, paint, owner, counts)


def volume_picture(title: str, notes: list[str], found: BlockMap) -> Picture:
    counts = found.counts()
    swatches = [_SWATCHES[kind]._replace(blocks=counts.get(kind, 0)) for kind in _ORDER]
    number = np.zeros(len(Kind), np.uint8)
    number[_ORDER] = np.arange(len(_ORDER))
    return Picture(title, notes, swatches, number[found.kind], found)


def file_picture(title: str, notes: list[str], found: BlockMap, layout: Layout) -> Picture:
    steps, total = len(_SCALE), sum(run.length for run in layout.runs)
    indirect, free, used = range(steps, steps + 3)
    paint = np.where(found.kind == Kind.FREE, np.uint8(free), np.uint8(used))
    done = 0
    for run in layout.runs:
        order = np.arange(done, done + run.length) * steps // total
        paint[run.physical : run.physical + run.length] = order
        done += run.length
    paint[layout.indirect] = indirect
    scale = [
        Swatch(label, rgb, ansi, str(step), str(step), wins=True)
        for step, (label, rgb, ansi) in enumerate(zip(_scale_labels(steps), _SCALE, _SCALE_ANSI, strict=True))
    ]
    swatches = [
        swatch._replace(blocks=int(np.count_nonzero(paint == number)))
        for number, swatch in enumerate([*scale, _OWN_INDIRECT, _FAINT_FREE, _FAINT_USED])
    ]
    return Picture(title, notes, swatches, paint, found)


def _scale_labels(steps: int) -> list[str]:
    return ["first tenth of the file", *[""] * (steps - 2), "last tenth"]
