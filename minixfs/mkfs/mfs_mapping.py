"""The zone pointers of one new file, all at once (specification: file systems, 1.7).

`Mapping(indexes, ...)` takes the zones of a file that hold data, by their place in the file; all others are holes. It
knows how many indirect blocks that needs, and `place` makes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.mfs.layout import DIRECT_ZONES

Numbers = NDArray[np.int64]


def indirect_blocks(zones: Numbers, per_block: int, levels: int) -> Numbers:
    """How many indirect blocks files of so many zones need when they have no holes."""
    rest = zones - DIRECT_ZONES
    blocks = np.zeros_like(zones)
    for level in range(1, levels + 1):
        inside = np.clip(rest, 0, per_block**level)
        for height in range(1, level + 1):
            blocks += -(-inside // per_block**height)
        rest = rest - per_block**level
    return blocks


class Mapping:
    """`indexes` ascend. `per_block` pointers are in an indirect block, and an inode has `levels` trees of them.

    `trees[level]` lists, from the leaves to the one root, which of the blocks that a full tree would have are there;
    what is below the leaves are the zones themselves.
    """

    def __init__(self, indexes: Numbers, per_block: int, levels: int) -> None:
        self.per_block = per_block
        self.direct = indexes[indexes < DIRECT_ZONES]
        self.trees: list[list[Numbers]] = []
        rest = indexes[len(self.direct) :] - DIRECT_ZONES
        for level in range(1, levels + 1):
            span = per_block**level
            inside = int(np.searchsorted(rest, span))
            present = [rest[:inside]]
            for _ in range(level):
                present.append(np.unique(present[-1] // per_block))
            self.trees.append(present)
            rest = rest[inside:] - span

    @property
    def blocks(self) -> int:
        """How many indirect blocks there are."""
        return sum(len(numbers) for present in self.trees for numbers in present[1:])

    def place(self, zone: int, dtype: np.dtype[Any], zone_size: int) -> tuple[Numbers, bytes]:
        """Let the file have the zones from `zone` on: first the indirect blocks, then the data.

        Returns the pointers for the inode, and the contents of the zones with indirect blocks, of `zone_size` bytes
        each. `dtype` is that of a pointer on the disk.
        """
        data = zone + self.blocks
        pointers = np.zeros(DIRECT_ZONES + len(self.trees), np.int64)
        pointers[self.direct] = data + np.arange(len(self.direct))
        data += len(self.direct)
        parts: list[bytes] = []
        for level, present in enumerate(self.trees):
            if not len(present[0]):
                continue
            pointers[DIRECT_ZONES + level] = zone
            for height in range(level + 1, 0, -1):
                count = len(present[height])
                below = zone + count if height > 1 else data
                block = np.zeros((count, zone_size // dtype.itemsize), dtype)
                children = present[height - 1]
                row = np.searchsorted(present[height], children // self.per_block)
                block[row, children % self.per_block] = below + np.arange(len(children))
                parts.append(block.tobytes())
                zone += count
            data += len(present[0])
        return pointers, b"".join(parts)
