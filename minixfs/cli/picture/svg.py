"""A picture as SVG, for any browser: pointing at a row of cells tells what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from xml.sax.saxutils import escape

import numpy as np

from minixfs.cli.picture.geometry import CELLS, Geometry, Row
from minixfs.cli.picture.picture import Cells, Picture

Names = Callable[[list[int]], dict[int, str]]
"""From inode numbers to what they are called."""
_FONT = "font-family='system-ui,sans-serif' fill='#24292f'"


def draw(picture: Picture, names: Names) -> str:
    cells = picture.cells(CELLS)
    geometry = Geometry.fit(len(cells.paint), len(picture.legend), len(picture.notes))
    rows = list(geometry.rows(cells))
    called = names(sorted({row.owner for row in rows if row.owner}))
    return "\n".join(_elements(picture, cells, geometry, rows, called)) + "\n"


def _elements(
    picture: Picture, cells: Cells, geometry: Geometry, rows: list[Row], called: dict[int, str]
) -> Iterator[str]:
    width, height = geometry.width, geometry.height
    yield f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 {width} {height}'>"
    yield f"<title>{_text(picture.title)}</title>"
    yield "<rect width='100%' height='100%' fill='#ffffff'/>"
    yield _line(picture.title, geometry.margin, geometry.title_y + 12, 15)
    yield _line(geometry.unit(cells), geometry.margin, geometry.title_y + 32)
    for row in rows:
        x, y, wide, high = geometry.box(row)
        colour = f"#{picture.swatches[row.swatch].rgb:06x}"
        yield f"<rect x='{x}' y='{y}' width='{wide}' height='{high}' fill='{colour}'>"
        yield f"<title>{_text(_tooltip(picture, cells, row, called))}</title></rect>"
    for swatch, (x, y) in zip(picture.legend, geometry.legend_places(), strict=True):
        yield f"<rect x='{x}' y='{y}' width='12' height='12' fill='#{swatch.rgb:06x}' stroke='#8a8f98'/>"
        text = f"{swatch.label}: {swatch.blocks:,} ({100 * swatch.blocks / len(picture.paint):.1f}%)"
        yield _line(text, x + 18, y + 10)
    for note, y in zip(picture.notes, geometry.note_places(), strict=True):
        yield _line(note, geometry.margin, y + 10)
    yield "</svg>"


def _tooltip(picture: Picture, cells: Cells, row: Row, called: dict[int, str]) -> str:
    first = row.start * cells.per_cell
    last = min(row.end * cells.per_cell, len(picture.paint)) - 1
    words = f"block {first}" if first == last else f"blocks {first}-{last}"
    inside = cells.counts[:, row.start : row.end].sum(axis=1)
    kinds = [f"{inside[number]} {picture.swatches[number].label or 'of the file'}" for number in np.flatnonzero(inside)]
    words += f" ({last - first + 1}): " + ", ".join(kinds)
    if not row.owner:
        return words
    place = int(picture.found.place[first])
    return f"{words}\n{called.get(row.owner, f'inode {row.owner}')}, from its block {place} on"


def _line(text: str, x: int, y: int, size: int = 12) -> str:
    return f"<text x='{x}' y='{y}' font-size='{size}' {_FONT}>{_text(text)}</text>"


def _text(text: str) -> str:
    return escape(text, {"'": "&#39;"})
