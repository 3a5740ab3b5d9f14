"""Which byte of an MFS bitmap holds bit n (specification: file systems, 1.5).

Within a byte, bit n is always `1 << n % 8`. Little-endian volumes keep the bytes in order. Volumes of
big-endian machines were written in words of 16 bits (68000 MINIX, Linux on m68k) or 32 bits (MINIX 3's own
conversion), with the bytes of a word reversed. So a bit's byte is ``n // 8`` with its lowest one or two
bits flipped, which is all that `BitOrder` holds.

Nothing on the volume names the order. Bits 0 (reserved) and 1 (first inode, first data zone) of both maps
are always set, which `candidates` looks for; where a dense map leaves more than one order, `best` takes the
one that agrees with the inodes in use. Whole maps are converted by `to_bits` and `from_bits`; lengths are
multiples of 4 bytes, as blocks are.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class BitOrder(IntEnum):
    """The value is what the byte number of a bit is XORed with."""

    LE = 0
    BE16 = 1
    BE32 = 3

    @property
    def width(self) -> int:
        """Bytes of a word of the map."""
        return self + 1

    def logical(self, data: bytes | bytearray | memoryview) -> bytearray:
        """A copy of map bytes in disk order, put in bit order."""
        octets = bytearray(data)
        width = self.width
        if width > 1:
            for lane in range(width):
                octets[lane::width] = data[width - 1 - lane :: width]
        return octets

    physical = logical
    """The way back: map bytes in bit order, put in disk order."""


PREFERENCE = (BitOrder.BE16, BitOrder.BE32, BitOrder.LE)
"""For big-endian volumes: what genuine 68000 systems wrote comes first."""


def byte_index(order: BitOrder, bit: int) -> int:
    """The byte of the map that holds `bit`."""
    return bit >> 3 ^ order


def candidates(head: bytes | memoryview, swapped: bool) -> tuple[BitOrder, ...]:
    """The orders that the first 4 bytes of a map allow, best first; never empty.

    A little-endian volume has one. If a damaged map shows none, a big-endian volume is taken for a genuine
    one.
    """
    if not swapped:
        return (BitOrder.LE,)
    return tuple(order for order in PREFERENCE if head[order] & 3 == 3) or (BitOrder.BE16,)


def best(orders: tuple[BitOrder, ...], inode_map: bytes | memoryview, in_use: NDArray[np.bool_]) -> BitOrder:
    """The order of `orders` under which most bits of the inode map equal `in_use`; the first of equals.

    `in_use[i]` says that inode i has a mode; index 0 stands for the reserved bit.
    """
    if len(orders) == 1:
        return orders[0]

    def agreement(order: BitOrder) -> int:
        return int((to_bits(inode_map, order, len(in_use)) == in_use).sum())

    return max(orders, key=agreement)


def to_bits(data: bytes | memoryview, order: BitOrder, count: int) -> NDArray[np.bool_]:
    """The first `count` bits of a map as booleans."""
    import numpy as np

    octets = np.frombuffer(order.logical(data), np.uint8)
    return np.unpackbits(octets, count=count, bitorder="little").view(np.bool_)


def from_bits(bits: NDArray[np.bool_], order: BitOrder, size: int, padding: bool) -> bytes:
    """A map of `size` bytes that holds `bits`; every bit behind them is `padding`."""
    import numpy as np

    octets = np.full(size, 0xFF if padding else 0, np.uint8)
    packed = np.packbits(bits, bitorder="little")
    octets[: len(packed)] = packed
    if padding and len(bits) % 8:
        octets[len(packed) - 1] |= 0xFF << len(bits) % 8 & 0xFF
    return bytes(order.physical(octets.tobytes()))
