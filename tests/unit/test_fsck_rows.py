"""Inode numbers to rows, by a table and by searching."""

from __future__ import annotations

import numpy as np
import pytest

from minixfs.fsck import rows
from minixfs.fsck.rows import RowIndex


@pytest.mark.parametrize("dense", [0, 1 << 23], ids=["searched", "table"])
def test_rows_of_numbers(monkeypatch: pytest.MonkeyPatch, dense: int) -> None:
    monkeypatch.setattr(rows, "DENSE", dense)
    index = RowIndex(np.array([7, 1, 900]))
    assert index(np.array([1, 7, 900, 0, 2, 901, -1, 1 << 40])).tolist() == [1, 0, 2, -1, -1, -1, -1, -1]
    assert index(np.array([], np.int64)).tolist() == []


def test_nothing_has_a_row_where_there_is_none() -> None:
    assert RowIndex(np.zeros(0, np.int64))(np.array([0, 1, 5])).tolist() == [-1, -1, -1]


def test_a_large_number_takes_no_memory() -> None:
    index = RowIndex(np.array([1, 1 << 40]))
    assert index(np.array([1 << 40, 2])).tolist() == [1, -1]
