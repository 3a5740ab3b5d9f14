"""The zone pointers of one new file, all at once (specification: file systems, 1.7 and 3.3).

`Mapping(runs, ...)` takes the zones of a file that hold data, by their place in the file; all others are holes. It
knows how many indirect blocks that needs, and `place` makes them. Everything here comes in *runs*, (first, count), that
ascend and do not touch, so that the work depends on how a file is cut up and hardly on how large it is.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from minixfs.hw.blockdev.device import Data

Run = tuple[int, int]
Numbers = Callable[[int, int], Iterable[int]]
_CODES = {2: "H", 4: "I"}


def indirect_blocks(zones: int, per_block: int, levels: int, direct: int) -> int:
    """How many indirect blocks a file of so many zones needs when it has no holes."""
    blocks, rest = 0, zones - direct
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


def closed_up(pieces: Iterable[tuple[int, Data]], runs: Sequence[Run], unit: int) -> Iterator[tuple[int, Data]]:
    """Pieces of a file with holes, at the offsets that they have when the `runs` of zones with data are all there is.

    A zone has `unit` bytes.
    """
    firsts = [first for first, _ in runs]
    before = accumulate((count for _, count in runs), initial=0)
    shifts = [first - earlier for first, earlier in zip(firsts, before, strict=False)]
    for offset, piece in pieces:
        yield offset - shifts[bisect_right(firsts, offset // unit) - 1] * unit, piece


class Mapping:
    """`per_block` pointers are in an indirect block; an inode has `direct` pointers to zones, and `levels` trees.

    `trees[level]` lists, from the leaves to the one root, which of the blocks that a full tree would have are there;
    what is below the leaves are the zones themselves.
    """

    def __init__(self, runs: Iterable[Run], per_block: int, levels: int, direct: int) -> None:
        self.per_block = per_block
        self._slots = direct
        runs = list(runs)
        self.direct = _between(runs, 0, direct)
        self.trees: list[list[list[Run]]] = []
        start = direct
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

    def place(self, places: Sequence[Run], pointer_size: int, order: str, zone_size: int) -> tuple[list[int], bytes]:
        """Let the file have the zones in the runs `places`: first the indirect blocks, then the data.

        Returns the pointers for the inode, and the contents of the zones with indirect blocks, of `zone_size` bytes
        each, with pointers of `pointer_size` bytes in byte order `order` as struct names it.
        """
        numbers = _numbers(places)
        index, data = 0, self.blocks
        pointers = [0] * (self._slots + len(self.trees))
        for first, count in self.direct:
            pointers[first : first + count] = numbers(data, count)
            data += count
        filler = bytes(zone_size - self.per_block * pointer_size)
        parts: list[bytes] = []
        for level, present in enumerate(self.trees):
            if not present[0]:
                continue
            pointers[self._slots + level : self._slots + level + 1] = numbers(index, 1)
            for height in range(level + 1, 0, -1):
                index += _total(present[height])
                below = index if height > 1 else data
                for block in self._blocks(present[height], present[height - 1], below, numbers, _CODES[pointer_size]):
                    if order != {"little": "<", "big": ">"}[sys.byteorder]:
                        block.byteswap()
                    parts += (block.tobytes(), filler)
            data += _total(present[0])
        return pointers, b"".join(parts)

    def _blocks(
        self, present: list[Run], children: list[Run], index: int, numbers: Numbers, code: str
    ) -> Iterator[array[int]]:
        """The blocks `present`, with pointers to their `children`, which are the zones of the file from `index` on."""
        waiting = iter(children)
        child, left = next(waiting)
        for first, count in present:
            for number in range(first, first + count):
                block = array(code, bytes(self.per_block * array(code).itemsize))
                end = (number + 1) * self.per_block
                while left and child < end:
                    length = min(left, end - child)
                    at = child - number * self.per_block
                    block[at : at + length] = array(code, numbers(index, length))
                    index, child, left = index + length, child + length, left - length
                    if not left:
                        child, left = next(waiting, (0, 0))
                yield block


def _numbers(places: Sequence[Run]) -> Numbers:
    """What gives the numbers of some zones of those in `places`, counted from 0: the index of the first, how many."""
    if len(places) == 1:
        base = places[0][0]
        return lambda index, count: range(base + index, base + index + count)
    starts = list(accumulate((count for _, count in places), initial=0))

    def numbers(index: int, count: int) -> Iterator[int]:
        at = bisect_right(starts, index) - 1
        while count:
            step = min(count, starts[at + 1] - index)
            first = places[at][0] + index - starts[at]
            yield from range(first, first + step)
            at, index, count = at + 1, index + step, count - step

    return numbers


def _between(runs: Iterable[Run], start: int, end: int) -> list[Run]:
    """What of the runs lies in start..end, counted from start."""
    return [
        (max(first, start) - start, min(first + count, end) - max(first, start))
        for first, count in runs
        if first < end and first + count > start
    ]


def _total(runs: Iterable[Run]) -> int:
    return sum(count for _, count in runs)
