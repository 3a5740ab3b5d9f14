"""From inodes to zones: walking all indirection levels of many files at once, and editing the map of one.

`references` yields every zone number that the given rows hold, in batches of parallel arrays. An indirect block is
expanded once for each level that it is met at, so the work is bounded by the size of the volume whatever the blocks
contain; further references to the same block are still yielded. Numbers that no file may have are yielded, never
followed.

`FileMap` sets single zone numbers of one file, and is for the few files that need repair.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minixfs.fsck.context import Context
from minixfs.fsck.rows import looked_through

_ROWS = 1 << 16
"""Inodes looked at together."""


class References(NamedTuple):
    """Parallel arrays: the file's row, the index of the first zone of the file that the number stands for, the number
    itself.

    `level` is 0 for data, 1 to 3 for indirect blocks.
    """

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    zones: NDArray[np.int64]
    level: int

    def select(self, which: NDArray[Any] | slice) -> References:
        return References(self.rows[which], self.places[which], self.zones[which], self.level)


async def references(context: Context, rows: NDArray[np.int64]) -> AsyncIterator[References]:
    """All nonzero zone numbers of `rows`, which ascend."""
    volume, shape = context.volume, context.shape
    expanded: dict[int, NDArray[np.bool_]] = {}  # by level
    for start in range(0, len(rows), _ROWS):
        index, part, wanted = looked_through(rows[start : start + _ROWS])
        pointers = context.table.zones[index]
        work: list[References] = []
        for slot in range(shape.slots):
            column = pointers[:, slot]
            which = np.flatnonzero((column != 0) & wanted)
            if not len(which):
                continue
            places = np.full(len(which), shape.first_index(slot))
            refs = References(part[which], places, column[which].astype(np.int64), shape.level(slot))
            if refs.level:
                work.append(refs)
            else:
                yield refs
        while work:
            refs = work.pop()
            batch, rest = refs.select(slice(volume.batch_blocks)), refs.select(slice(volume.batch_blocks, None))
            if len(rest.rows):
                work.append(rest)
            yield batch
            if batch.level not in expanded:
                volume.budget.need((len(expanded) + 1) * shape.zones)
                expanded[batch.level] = np.zeros(shape.zones, np.bool_)
            children = await _expand(context, batch, expanded[batch.level])
            if children.level:
                work.append(children)
            else:
                yield children


async def _expand(context: Context, refs: References, expanded: NDArray[np.bool_]) -> References:
    """The numbers in the indirect blocks `refs`, leaving out blocks that have been expanded at this level."""
    usable = _first_met(context, refs, expanded)
    pointers = await context.volume.read_pointers(usable.zones << context.shape.zone_shift)
    # as np.nonzero, several times as fast
    where = np.flatnonzero(pointers != 0)
    which = where // pointers.shape[1]
    position = where - which * pointers.shape[1]
    below = refs.level - 1
    return References(
        usable.rows[which],
        usable.places[which] + position * context.shape.span(below),
        pointers[which, position].astype(np.int64),
        below,
    )


def _first_met(context: Context, refs: References, met: NDArray[np.bool_]) -> References:
    """Those of `refs` whose zones a file may have and that are not yet marked in `met`, each zone once; marks them."""
    usable = np.flatnonzero(context.is_zone(refs.zones))
    _, unique = np.unique(refs.zones[usable], return_index=True)
    usable = usable[np.sort(unique)]
    usable = usable[~met[refs.zones[usable]]]
    met[refs.zones[usable]] = True
    return refs.select(usable)


async def data_zones(
    context: Context, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row, index in the file and number of all data zones of `rows`, in that order.

    A zone is given once: if several places claim it, which is a fault of its own, any of them has it here.
    """
    parts = [(np.zeros(0, np.int64),) * 3]
    seen = np.zeros(context.shape.zones, np.bool_)
    async for refs in references(context, rows):
        if refs.level == 0:
            parts.append(_first_met(context, refs, seen)[:3])
    owner, place, zone = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((place, owner))
    return owner[order], place[order], zone[order]


class FileMap:
    """The zone map of the file in `row`. Numbers that no file may have count as 0."""

    def __init__(self, context: Context, row: int) -> None:
        self._context = context
        self._row = row
        self._slots = context.table.zones[row]

    async def set(self, index: int, zone: int) -> bool:
        """Make `zone` (0: none) the file's zone `index`; False if there is no room for an indirect block."""
        found = await self._find(index, make=zone != 0)
        if found is None:
            return not zone
        pointers, position = found
        pointers[position] = zone
        return True

    async def reach(self, index: int) -> bool:
        """Make all indirect blocks that it takes to have a zone `index`; False if there is no room for them."""
        return await self._find(index, make=True) is not None

    async def _find(self, index: int, *, make: bool) -> tuple[NDArray[Any], int] | None:
        """The pointers among which that to zone `index` is, to be changed in place, and its position; None where
        indirect blocks are missing, and are not to be or cannot be made."""
        context, shape = self._context, self._context.shape
        context.table.changed[self._row] = True
        slot = min(index, shape.direct)
        while slot < shape.slots and index >= shape.first_index(slot + 1):
            slot += 1
        if slot == shape.slots:
            return None
        pointers, position, offset = self._slots, slot, index - shape.first_index(slot)
        for level in reversed(range(shape.level(slot))):
            node = int(pointers[position])
            if not node and make:
                node = pointers[position] = context.new_zone() or 0
            if not context.is_usable(node):
                return None
            pointers = await self._pointers(node)
            position, offset = divmod(offset, shape.span(level))
        return pointers, position

    async def cut(self, count: int) -> None:
        """Forget all zones from index `count` on, and the indirect blocks that are no longer needed."""
        shape = self._context.shape
        self._context.table.changed[self._row] = True
        for slot, zone in enumerate(self._slots.tolist()):
            self._slots[slot] = await self._cut_below(zone, shape.level(slot), count - shape.first_index(slot))

    async def _cut_below(self, zone: int, level: int, keep: int) -> int:
        """Cut the tree under a pointer to `keep` zones of the file; return the pointer, or 0 if nothing is kept."""
        if keep <= 0:
            return 0
        shape = self._context.shape
        if keep >= shape.span(level) or not self._context.is_usable(zone):
            return zone
        whole, rest = divmod(keep, shape.span(level - 1))
        pointers = await self._pointers(zone)
        if rest:
            pointers[whole] = await self._cut_below(int(pointers[whole]), level - 1, rest)
            whole += 1
        pointers[whole:] = 0
        return zone

    async def _pointers(self, zone: int) -> NDArray[Any]:
        return await self._context.volume.edit_pointers(zone << self._context.shape.zone_shift)
