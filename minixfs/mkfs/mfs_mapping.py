"""The zone pointers of one new file, all at once (specification: file systems, 1.7).

`Mapping(runs, ...)` takes the zones of a file that hold data, by their place in the file; all others are holes. It
knows how many indirect blocks that needs, and `place` makes them. Everything here comes in *runs*, (first, count), that
ascend and do not touch, so that the work depends on how a file is cut up and hardly on how large it is.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator

from minixfs.fs.mfs.layout import DIRECT_ZONES

Run = tuple[int, int]
_CODES = {2: "H", 4: "I"}


def indirect_blocks(zones: int, per_block: int, levels: int) -> int:
    """How many indirect blocks a file of so many zones needs when it has no holes."""
    blocks, rest = 0, zones - DIRECT_ZONES
    for level in range(1, levels + 1):
        inside = min(rest, per_block**level)
        if inside <= 0:
            break
        blocks += sum(-(-inside // per_block**height) for height in range(1, level + 1))
        rest -= inside
    return blocks


def scaled(runs: Iterable[Run], unit: int) -> list[Run]:
    """The runs of the units, each of so many, that `runs` touch."""
    found: list[Run] = []
    for start, length in runs:
        first, end = start // unit, -(-(start + length) // unit)
        if found and first <= sum(found[-1]):
            found[-1] = (found[-1][0], end - found[-1][0])
        else:
            found.append((first, end - first))
    return found


class Mapping:
    """`per_block` pointers are in an indirect block, and an inode has `levels` trees of them.

    `trees[level]` lists, from the leaves to the one root, which of the blocks that a full tree would have are there;
    what is below the leaves are the zones themselves.
    """

    def __init__(self, runs: Iterable[Run], per_block: int, levels: int) -> None:
        self.per_block = per_block
        runs = list(runs)
        self.direct = _between(runs, 0, DIRECT_ZONES)
        self.trees: list[list[list[Run]]] = []
        start = DIRECT_ZONES
        for level in range(1, levels + 1):
            present = [_between(runs, start, start + per_block**level)]
            for _ in range(level):
                present.append(scaled(present[-1], per_block))
            self.trees.append(present)
            start += per_block**level

    @property
    def blocks(self) -> int:
        """How many indirect blocks there are."""
        return sum(_total(runs) for present in self.trees for runs in present[1:])

    def place(self, zone: int, pointer_size: int, order: str, zone_size: int) -> tuple[list[int], bytes]:
        """Let the file have the zones from `zone` on: first the indirect blocks, then the data.

        Returns the pointers for the inode, and the contents of the zones with indirect blocks, of `zone_size` bytes
        each, with pointers of `pointer_size` bytes in byte order `order` as struct names it.
        """
        data = zone + self.blocks
        pointers = [0] * (DIRECT_ZONES + len(self.trees))
        for first, count in self.direct:
            pointers[first : first + count] = range(data, data + count)
            data += count
        filler = bytes(zone_size - self.per_block * pointer_size)
        parts: list[bytes] = []
        for level, present in enumerate(self.trees):
            if not present[0]:
                continue
            pointers[DIRECT_ZONES + level] = zone
            for height in range(level + 1, 0, -1):
                zone += _total(present[height])
                below = zone if height > 1 else data
                for block in self._blocks(present[height], present[height - 1], below, _CODES[pointer_size]):
                    if order != {"little": "<", "big": ">"}[sys.byteorder]:
                        block.byteswap()
                    parts += (block.tobytes(), filler)
            data += _total(present[0])
        return pointers, b"".join(parts)

    def _blocks(self, present: list[Run], children: list[Run], zone: int, code: str) -> Iterator[array[int]]:
        """The blocks `present`, with pointers to their `children`, which lie at `zone` and behind it."""
        waiting = iter(children)
        child, left = next(waiting)
        for first, count in present:
            for number in range(first, first + count):
                block = array(code, bytes(self.per_block * array(code).itemsize))
                end = (number + 1) * self.per_block
                while left and child < end:
                    length = min(left, end - child)
                    at = child - number * self.per_block
                    block[at : at + length] = array(code, range(zone, zone + length))
                    zone, child, left = zone + length, child + length, left - length
                    if not left:
                        child, left = next(waiting, (0, 0))
                yield block


def _between(runs: Iterable[Run], start: int, end: int) -> list[Run]:
    """What of the runs lies in start..end, counted from start."""
    return [
        (max(first, start) - start, min(first + count, end) - max(first, start))
        for first, count in runs
        if first < end and first + count > start
    ]


def _total(runs: Iterable[Run]) -> int:
    return sum(count for _, count in runs)
