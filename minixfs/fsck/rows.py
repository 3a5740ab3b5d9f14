"""Which row of a table an inode number has."""

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
            inside = (numbers >= 0) & (numbers < self._size)
            return np.where(inside, self._row_of[np.where(inside, numbers, 0)], -1).astype(np.int64)
        places = np.minimum(np.searchsorted(self._ascending, numbers), len(self._order) - 1)
        return np.where(self._ascending[places] == numbers, self._order[places], -1)
