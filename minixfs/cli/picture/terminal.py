"""A picture as characters, in colour where that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click

from minixfs.cli.picture.picture import Picture, Swatch

MIN_ROWS = 4
"""Lines of cells, however small the terminal."""


def lines(picture: Picture, width: int, height: int, *, colour: bool, unicode: bool) -> Iterator[str]:
    """The picture in lines of at most `width` characters; all of them fit into `height` lines where possible."""

    def mark(swatch: Swatch, count: int = 1) -> str:
        text = (swatch.character if unicode else swatch.plain) * count
        return click.style(text, fg=swatch.ansi) if colour else text

    label = len(str(len(picture.paint)))
    columns = max(8, width - label - 1)
    legend = list(_legend(picture, width, mark))
    rows = max(MIN_ROWS, height - len(legend) - len(picture.notes) - 4)
    cells = picture.cells(columns * rows)
    unit = "block" if cells.per_cell == 1 else f"{cells.per_cell} blocks"
    yield f"{picture.title}, one character is {'a ' if cells.per_cell == 1 else ''}{unit}"
    for start in range(0, len(cells.paint), columns):
        row = cells.paint[start : start + columns].tolist()
        yield f"{start * cells.per_cell:>{label}} " + "".join(
            mark(picture.swatches[number], count) for number, count in _repeats(row)
        )
    yield from legend
    yield from picture.notes


def _repeats(row: list[int]) -> Iterator[tuple[int, int]]:
    """Equal neighbours together: value and count."""
    start = 0
    for at in range(1, len(row) + 1):
        if at == len(row) or row[at] != row[start]:
            yield row[start], at - start
            start = at


def _legend(picture: Picture, width: int, mark: Callable[[Swatch], str]) -> Iterator[str]:
    line, length = "", 0
    for swatch in picture.legend:
        text = f" {swatch.label} {swatch.blocks}"
        if length and length + len(text) + 3 > width:
            yield line
            line, length = "", 0
        gap = "  " if length else ""
        line += gap + mark(swatch) + text
        length += len(gap) + 1 + len(text)
    if line:
        yield line
