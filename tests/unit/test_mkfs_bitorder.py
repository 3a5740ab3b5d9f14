"""Bit orders of MFS bitmaps: the formulas of the specification (1.5), conversion, recognition."""

import numpy as np
import pytest

from minixfs.fs.mfs.bitorder import BitOrder, best, byte_index, candidates, from_bits, to_bits


@pytest.mark.parametrize("bit", [0, 1, 7, 8, 15, 16, 31, 32, 8191])
def test_byte_of_a_bit_follows_the_formulas(bit: int) -> None:
    assert byte_index(BitOrder.LE, bit) == bit // 8
    assert byte_index(BitOrder.BE16, bit) == bit // 16 * 2 + 1 - bit % 16 // 8
    assert byte_index(BitOrder.BE32, bit) == bit // 32 * 4 + 3 - bit % 32 // 8


@pytest.mark.parametrize("order", BitOrder)
@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("count", [1, 9, 64, 1001, 8192])
def test_conversion_agrees_with_single_bits(order: BitOrder, padding: bool, count: int) -> None:
    bits = np.random.default_rng(count).integers(0, 2, count).astype(bool)
    data = from_bits(bits, order, 1024, padding)
    assert len(data) == 1024
    for bit in range(8192):
        expected = bool(bits[bit]) if bit < count else padding
        assert bool(data[byte_index(order, bit)] >> bit % 8 & 1) == expected
    assert (to_bits(data, order, count) == bits).all()
    assert order.physical(order.logical(data)) == data


@pytest.mark.parametrize("order", BitOrder)
def test_sparse_map_shows_its_order(order: BitOrder) -> None:
    bits = np.zeros(100, bool)
    bits[:2] = True
    assert candidates(from_bits(bits, order, 1024, False), swapped=True) == (order,)


@pytest.mark.parametrize("order", BitOrder)
def test_dense_map_is_settled_by_the_inodes_in_use(order: BitOrder) -> None:
    bits = np.ones(101, bool)
    bits[40:45] = False
    data = from_bits(bits, order, 1024, True)
    found = candidates(data, swapped=True)
    assert len(found) == 3
    assert best(found, data, bits) is order


def test_little_endian_volume_has_one_order_and_damage_still_gives_one() -> None:
    assert candidates(b"\xff\xff\xff\xff", swapped=False) == (BitOrder.LE,)
    assert candidates(b"\0\0\0\0", swapped=True) == (BitOrder.BE16,)
