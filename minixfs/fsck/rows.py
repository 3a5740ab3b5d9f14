"""Rows of a table of inodes: which one an inode number has, and many of them at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

DENSE = 1 << 23
"""Numbers below which a row is found by a table of all numbers, which is quick, instead of by searching."""


class RowIndex:
    """Of `numbers`, each of which is there once; row n has numbers[n]. Its memory follows how many there are, but for
    the table of small ones."""

    def __init__(self, numbers: NDArray[np.int64]) -> None:
        self._size = int(numbers.max(initial=0)) + 1
        if self._size <= DENSE:
            self._row_of = np.full(self._size, -1, np.int32)
            self._row_of[numbers] = np.arange(len(numbers))
        else:
            self._order = np.argsort(numbers)
            self._ascending = numbers[self._order]

    def __call__(self, numbers: NDArray[Any]) -> NDArray[np.int64]:
        """The row of each of `numbers`, -1 for those that have none."""
        if self._size <= DENSE:
            if len(numbers) and numbers.min() >= 0 and numbers.max() < self._size:
                return self._row_of.take(numbers).astype(np.int64)
            inside = (numbers >= 0) & (numbers < self._size)
            return np.where(inside, self._row_of[np.where(inside, numbers, 0)], -1).astype(np.int64)
        places = np.minimum(np.searchsorted(self._ascending, numbers), len(self._order) - 1)
        return np.where(self._ascending[places] == numbers, self._order[places], -1)


def as_index(rows: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """Ascending `rows` as an index: a slice, which copies nothing, when none between them is left out."""
    if len(rows) and int(rows[-1]) - int(rows[0]) == len(rows) - 1:
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def looked_through(rows: NDArray[np.int64]) -> tuple[Any, NDArray[np.int64], NDArray[np.bool_]]:
    """How to look at many ascending `rows`: an index, the rows that it gives, and which of these are of `rows`.

    Where few are left out the index is a slice that gives them too: to look at them costs less than to copy the others.
    """
    low, high = int(rows[0]), int(rows[-1]) + 1
    if high - low > 2 * len(rows):
        return rows, rows, np.ones(len(rows), np.bool_)
    wanted = np.zeros(high - low, np.bool_)
    wanted[rows - low] = True
    return slice(low, high), np.arange(low, high), wanted


def lead_to(root: int, parent: NDArray[np.int64], rows: NDArray[np.int64]) -> bool:
    """Whether the way up from each of `rows`, by the `parent` of each row, ends at `root`, which is its own.

    `parent` is of no use afterwards.
    """
    above = parent[rows]
    for _ in range(len(rows).bit_length() + 1):
        if (above == root).all():
            return True
        parent[rows] = parent[above]  # twice as far up each time
        above = parent[rows]
    return False
