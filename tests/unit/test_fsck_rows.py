"""Inode numbers to rows, by a table and by searching."""

from __future__ import annotations

import numpy as np
import pytest

from minixfs.fsck import rows
from minixfs.fsck.rows import RowIndex, as_index, lead_to, looked_through


@pytest.mark.parametrize("dense", [0, 1 << 23], ids=["searched", "table"])
def test_rows_of_numbers(monkeypatch: pytest.MonkeyPatch, dense: int) -> None:
    monkeypatch.setattr(rows, "DENSE", dense)
    index = RowIndex(np.array([7, 1, 900]))
    assert index(np.array([1, 7, 900, 0, 2, 901, -1, 1 << 40])).tolist() == [1, 0, 2, -1, -1, -1, -1, -1]
    assert index(np.array([900, 1])).tolist() == [2, 1]
    assert index(np.array([], np.int64)).tolist() == []


def test_nothing_has_a_row_where_there_is_none() -> None:
    assert RowIndex(np.zeros(0, np.int64))(np.array([0, 1, 5])).tolist() == [-1, -1, -1]


def test_a_large_number_takes_no_memory() -> None:
    index = RowIndex(np.array([1, 1 << 40]))
    assert index(np.array([1 << 40, 2])).tolist() == [1, -1]


@pytest.mark.parametrize("rows", [[], [4], [3, 4, 5], [3, 5, 6], [1, 8], [0, 9]])
def test_rows_as_an_index(rows: list[int]) -> None:
    column = np.arange(10) * 10
    assert column[as_index(np.array(rows, np.int64))].tolist() == [10 * row for row in rows]


@pytest.mark.parametrize(("rows", "copied"), [([4], False), ([3, 4, 5], False), ([3, 5, 6], False), ([1, 8], True)])
def test_many_rows_are_looked_through(rows: list[int], copied: bool) -> None:
    index, given, wanted = looked_through(np.array(rows))
    assert np.arange(10)[index].tolist() == given.tolist()
    assert given[wanted].tolist() == rows
    assert isinstance(index, slice) != copied


def test_ways_that_lead_to_the_root_and_one_that_does_not() -> None:
    rows = np.arange(300)
    chain = np.maximum(rows - 1, 0)
    assert lead_to(0, chain.copy(), rows)
    chain[150] = 299  # a loop
    assert not lead_to(0, chain.copy(), rows)
    assert lead_to(0, chain, rows[:150])
