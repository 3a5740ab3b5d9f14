"""Where everything goes on a page that has no terminal to fit into."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minixfs.cli.picture.picture import Cells

CELLS = 9600
"""Most cells of a picture; larger volumes have several blocks in one."""
_WIDTH = 1000
"""Pixels that the cells take, about."""
_MIN_WIDTH = 760
_SHAPE = 1.7
"""Width of the cells' area by its height."""
_LEGEND_COLUMNS = 2
_LINE = 20
_HEAD = 56


class Row(NamedTuple):
    """Neighbouring cells in one line with the same colour and owner: those from `start` on, before `end`."""

    start: int
    end: int
    swatch: int
    owner: int


@dataclass(frozen=True, slots=True)
class Geometry:
    """All in pixels but `columns`, cells in a line."""

    cells: int
    columns: int
    cell: int
    legend: int
    notes: int
    margin: int = 16
    title_y: int = 14

    @classmethod
    def fit(cls, cells: int, legend: int, notes: int) -> Geometry:
        columns = max(1, math.ceil(math.sqrt(cells * _SHAPE)))
        return cls(cells, columns, max(6, min(40, _WIDTH // columns)), legend, notes)

    @property
    def width(self) -> int:
        return max(self.columns * self.cell, _MIN_WIDTH) + 2 * self.margin

    @property
    def height(self) -> int:
        return self._below + _LINE * (-(-self.legend // _LEGEND_COLUMNS) + self.notes) + self.margin

    @property
    def _below(self) -> int:
        return _HEAD + -(-self.cells // self.columns) * self.cell + self.margin

    def unit(self, cells: Cells) -> str:
        many = "a block" if cells.per_cell == 1 else f"{cells.per_cell:,} blocks"
        return f"one cell is {many}; a line is {self.columns * cells.per_cell:,} blocks"

    def rows(self, cells: Cells) -> Iterator[Row]:
        position = np.arange(1, self.cells)
        changes = (np.diff(cells.paint) != 0) | (cells.owner[1:] != cells.owner[:-1]) | (position % self.columns == 0)
        starts = [0, *(np.flatnonzero(changes) + 1).tolist()]
        for start, end in zip(starts, [*starts[1:], self.cells], strict=True):
            yield Row(start, end, int(cells.paint[start]), int(cells.owner[start]))

    def box(self, row: Row) -> tuple[int, int, int, int]:
        """Left, top, width and height, with a gap to the neighbours."""
        line, column = divmod(row.start, self.columns)
        x, y = self.margin + column * self.cell, _HEAD + line * self.cell
        return x, y, (row.end - row.start) * self.cell - 1, self.cell - 1

    def legend_places(self) -> Iterator[tuple[int, int]]:
        """Left and top of each entry."""
        step = (self.width - 2 * self.margin) // _LEGEND_COLUMNS
        for index in range(self.legend):
            line, column = divmod(index, _LEGEND_COLUMNS)
            yield self.margin + column * step, self._below + line * _LINE

    def note_places(self) -> Iterator[int]:
        """The top of each line."""
        top = self._below + -(-self.legend // _LEGEND_COLUMNS) * _LINE
        return (top + index * _LINE for index in range(self.notes))
