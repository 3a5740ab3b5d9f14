"""From inodes to zones: walking all indirection levels of many files at once, and editing the map of one.

`references` yields every zone number that the given rows hold, in batches of parallel arrays. An indirect
block is expanded once for each level that it is met at, so the work is bounded by the size of the volume
whatever the blocks contain; further references to the same block are still yielded. Numbers outside the
volume are yielded, never followed.

`FileMap` gets and sets single zone numbers of one file, and is for the few files that need repair.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.mfs.layout import DIRECT_ZONES
from minixfs.fsck.mfs.context import Context
from minixfs.fsck.rows import looked_through

_ROWS = 1 << 16
"""Inodes looked at together."""


class References(NamedTuple):
    """Parallel arrays: the file's row, the index of the first file zone that the number stands for, the
    number itself.

    `level` is 0 for data, 1 to 3 for indirect blocks.
    """

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    zones: NDArray[np.int64]
    level: int


def span(pointers: int, level: int) -> int:
    """File zones that one pointer of this level stands for."""
    return int(pointers**level)


def first_index(pointers: int, level: int) -> int:
    """The first file zone behind the inode's pointer of this level."""
    return DIRECT_ZONES + sum(span(pointers, lower) for lower in range(1, level))


async def references(context: Context, rows: NDArray[np.int64]) -> AsyncIterator[References]:
    """All nonzero zone numbers of `rows`, which ascend."""
    table, superblock = context.table, context.superblock
    per_block = superblock.pointers_per_block
    levels = superblock.variant.levels
    expanded: dict[int, NDArray[np.bool_]] = {}  # by level
    for start in range(0, len(rows), _ROWS):
        index, part, wanted = looked_through(rows[start : start + _ROWS])
        pointers = table.zones[index]
        work: list[References] = []
        for slot in range(DIRECT_ZONES + levels):
            column = pointers[:, slot]
            which = np.flatnonzero((column != 0) & wanted)
            if not len(which):
                continue
            level = max(0, slot - DIRECT_ZONES + 1)
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
                context.volume.budget.need((len(expanded) + 1) * superblock.zones)
                expanded[batch.level] = np.zeros(superblock.zones, np.bool_)
            children = await _expand(context, batch, expanded[batch.level])
            if children.level:
                work.append(children)
            else:
                yield children


def _split(refs: References, count: int) -> tuple[References, References]:
    rows, places, zones, level = refs
    return (
        References(rows[:count], places[:count], zones[:count], level),
        References(rows[count:], places[count:], zones[count:], level),
    )


async def _expand(context: Context, refs: References, expanded: NDArray[np.bool_]) -> References:
    """The numbers in the indirect blocks `refs`, leaving out blocks that have been expanded at this level."""
    usable = np.flatnonzero(context.is_zone(refs.zones))
    _, unique = np.unique(refs.zones[usable], return_index=True)
    usable = usable[np.sort(unique)]
    usable = usable[~expanded[refs.zones[usable]]]
    expanded[refs.zones[usable]] = True
    per_block = context.superblock.pointers_per_block
    pointers = await context.volume.read_pointers(refs.zones[usable] << context.superblock.zone_shift)
    which, position = nonzero(pointers)
    below = refs.level - 1
    return References(
        refs.rows[usable][which],
        refs.places[usable][which] + position * span(per_block, below),
        pointers[which, position].astype(np.int64),
        below,
    )


def nonzero(table: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As np.nonzero of a table, several times as fast."""
    where = np.flatnonzero(table != 0)
    row: NDArray[np.int64] = where // table.shape[1]
    return row, where - row * table.shape[1]


class FileMap:
    """The zone map of the file in `row`. Numbers outside the volume read as 0."""

    def __init__(self, context: Context, row: int) -> None:
        self._context = context
        self._row = row
        self._per_block = context.superblock.pointers_per_block

    async def set(self, index: int, zone: int) -> bool:
        """Make `zone` (0: none) the file's zone `index`; False if there is no room for an indirect block."""
        table, row = self._context.table, self._row
        table.changed[row] = True
        if index < DIRECT_ZONES:
            table.zones[row, index] = zone
            return True
        level = next(n for n in (3, 2, 1) if index >= first_index(self._per_block, n))
        offset = index - first_index(self._per_block, level)
        slot = DIRECT_ZONES + level - 1
        if slot >= table.zones.shape[1]:
            return False
        block = int(table.zones[row, slot])
        if not block and zone:
            block = table.zones[row, slot] = self._context.new_zone() or 0
        while self._usable(block):
            level -= 1
            position, offset = divmod(offset, span(self._per_block, level))
            pointers = await self._pointers(block)
            if level == 0:
                pointers[position] = zone
                return True
            block = int(pointers[position])
            if not block and zone:
                block = pointers[position] = self._context.new_zone() or 0
        return not zone

    async def cut(self, count: int) -> None:
        """Forget all zones from index `count` on, and the indirect blocks that are no longer needed."""
        table, row = self._context.table, self._row
        table.changed[row] = True
        table.zones[row, min(count, DIRECT_ZONES) : DIRECT_ZONES] = 0
        for level in range(1, self._context.superblock.variant.levels + 1):
            slot = DIRECT_ZONES + level - 1
            start = first_index(self._per_block, level)
            table.zones[row, slot] = await self._cut_below(int(table.zones[row, slot]), level, count - start)

    async def _cut_below(self, block: int, level: int, keep: int) -> int:
        """Cut the tree under an indirect block to `keep` file zones; return the block, or 0 if nothing is kept."""
        if keep <= 0:
            return 0
        if keep >= span(self._per_block, level) or not self._usable(block):
            return block
        whole, rest = divmod(keep, span(self._per_block, level - 1))
        pointers = await self._pointers(block)
        if rest:
            pointers[whole] = await self._cut_below(int(pointers[whole]), level - 1, rest)
            whole += 1
        pointers[whole:] = 0
        return block

    def _usable(self, zone: int) -> bool:
        return self._context.superblock.first_data_zone <= zone < self._context.superblock.zones

    async def _pointers(self, block: int) -> NDArray[np.int64]:
        return await self._context.volume.edit_pointers(block << self._context.superblock.zone_shift)
