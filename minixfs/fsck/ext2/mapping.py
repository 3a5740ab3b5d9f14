"""From inodes to blocks: walking all indirection levels of many files at once, and editing the map of one.

`references` yields every block number that the given rows hold, in batches of parallel arrays. An indirect block is
expanded once for each level that it is met at, so the work is bounded by the size of the volume whatever the blocks
contain; further references to the same block are still yielded. Numbers that no file may have are yielded, never
followed.

`FileMap` gets and sets single block numbers of one file, and is for the few files that need repair.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.ext2.layout import DIRECT_BLOCKS, LEVELS
from minixfs.fsck.ext2.context import Context
from minixfs.fsck.rows import looked_through

_ROWS = 1 << 16
"""Inodes looked at together."""


class References(NamedTuple):
    """Parallel arrays: the file's row, the index of the first block of the file that the number stands for, the number
    itself.

    `level` is 0 for data, 1 to 3 for indirect blocks.
    """

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    blocks: NDArray[np.int64]
    level: int


def span(pointers: int, level: int) -> int:
    """Blocks of the file that one pointer of this level stands for."""
    return int(pointers**level)


def first_index(pointers: int, level: int) -> int:
    """The first block of the file behind the inode's pointer of this level."""
    return DIRECT_BLOCKS + sum(span(pointers, lower) for lower in range(1, level))


async def references(context: Context, rows: NDArray[np.int64]) -> AsyncIterator[References]:
    """All nonzero block numbers of `rows`, which ascend."""
    per_block = context.superblock.block_size // 4
    expanded: dict[int, NDArray[np.bool_]] = {}  # by level
    for start in range(0, len(rows), _ROWS):
        index, part, wanted = looked_through(rows[start : start + _ROWS])
        pointers = context.table.columns["i_block"][index]
        work: list[References] = []
        for slot in range(DIRECT_BLOCKS + LEVELS):
            column = pointers[:, slot]
            which = np.flatnonzero((column != 0) & wanted)
            if not len(which):
                continue
            level = max(0, slot - DIRECT_BLOCKS + 1)
            place = first_index(per_block, level) if level else slot
            refs = References(part[which], np.full(len(which), place), column[which].astype(np.int64), level)
            if level:
                work.append(refs)
            else:
                yield refs
        while work:
            batch, rest = _split(work.pop(), context.volume.batch_blocks)
            if len(rest.rows):
                work.append(rest)
            yield batch
            if batch.level not in expanded:
                context.volume.budget.need((len(expanded) + 1) * context.superblock.blocks)
                expanded[batch.level] = np.zeros(context.superblock.blocks, np.bool_)
            children = await _expand(context, batch, expanded[batch.level])
            if children.level:
                work.append(children)
            else:
                yield children


def _split(refs: References, count: int) -> tuple[References, References]:
    rows, places, blocks, level = refs
    return (
        References(rows[:count], places[:count], blocks[:count], level),
        References(rows[count:], places[count:], blocks[count:], level),
    )


async def _expand(context: Context, refs: References, expanded: NDArray[np.bool_]) -> References:
    """The numbers in the indirect blocks `refs`, leaving out blocks that have been expanded at this level."""
    usable = np.flatnonzero(context.is_block(refs.blocks))
    _, unique = np.unique(refs.blocks[usable], return_index=True)
    usable = usable[np.sort(unique)]
    usable = usable[~expanded[refs.blocks[usable]]]
    expanded[refs.blocks[usable]] = True
    pointers = await context.volume.read_pointers(refs.blocks[usable])
    which, position = nonzero(pointers)
    below = refs.level - 1
    return References(
        refs.rows[usable][which],
        refs.places[usable][which] + position * span(pointers.shape[1], below),
        pointers[which, position].astype(np.int64),
        below,
    )


def nonzero(table: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As np.nonzero of a table, several times as fast."""
    where = np.flatnonzero(table != 0)
    row: NDArray[np.int64] = where // table.shape[1]
    return row, where - row * table.shape[1]


class FileMap:
    """The block map of the file in `row`. Numbers that no file may have read as 0."""

    def __init__(self, context: Context, row: int) -> None:
        self._context = context
        self._row = row
        self._per_block = context.superblock.block_size // 4
        self._pointers = context.table.columns["i_block"]

    async def set(self, index: int, block: int) -> bool:
        """Make `block` (0: none) the file's block `index`; False if there is no room for an indirect block."""
        pointers, row = self._pointers, self._row
        self._context.table.changed[row] = True
        if index < DIRECT_BLOCKS:
            pointers[row, index] = block
            return True
        level = next(n for n in range(LEVELS, 0, -1) if index >= first_index(self._per_block, n))
        offset = index - first_index(self._per_block, level)
        slot = DIRECT_BLOCKS + level - 1
        node = int(pointers[row, slot])
        if not node and block:
            node = pointers[row, slot] = self._context.new_block() or 0
        while self._context.is_free_for_files(node):
            level -= 1
            position, offset = divmod(offset, span(self._per_block, level))
            stored = await self._context.volume.edit_pointers(node)
            if level == 0:
                stored[position] = block
                return True
            node = int(stored[position])
            if not node and block:
                node = stored[position] = self._context.new_block() or 0
        return not block

    async def cut(self, count: int) -> None:
        """Forget all blocks from index `count` on, and the indirect blocks that are no longer needed."""
        pointers, row = self._pointers, self._row
        self._context.table.changed[row] = True
        pointers[row, min(count, DIRECT_BLOCKS) : DIRECT_BLOCKS] = 0
        for level in range(1, LEVELS + 1):
            slot = DIRECT_BLOCKS + level - 1
            start = first_index(self._per_block, level)
            pointers[row, slot] = await self._cut_below(int(pointers[row, slot]), level, count - start)

    async def _cut_below(self, node: int, level: int, keep: int) -> int:
        """Cut the tree under an indirect block to `keep` blocks; return the block, or 0 if nothing is kept."""
        if keep <= 0:
            return 0
        if keep >= span(self._per_block, level) or not self._context.is_free_for_files(node):
            return node
        whole, rest = divmod(keep, span(self._per_block, level - 1))
        stored = await self._context.volume.edit_pointers(node)
        if rest:
            stored[whole] = await self._cut_below(int(stored[whole]), level - 1, rest)
            whole += 1
        stored[whole:] = 0
        return node
