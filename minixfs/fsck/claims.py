"""Zones that files claim: counting them, and settling claims that are impossible or made twice.

A file with a zone number that no file may have gets a hole there. Of several files that claim a zone the first, by
inode number, keeps it and every other gets a copy, be it data or an indirect block: whichever was right, its contents
survive. Only when the volume has no room for the copy does a file get a hole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from minixfs.fsck.blocks import claim
from minixfs.fsck.context import Context
from minixfs.fsck.mapping import references


@dataclass(slots=True)
class Survey:
    """What files claim. `in_use` and `shared` are indexed by zone; `impossible`, `end` and `count` by row. `count` is 0
    where the context does not ask for it.
    """

    in_use: NDArray[np.bool_]
    shared: NDArray[np.bool_]
    impossible: NDArray[np.bool_]
    end: NDArray[np.int64]
    count: NDArray[np.int64]


async def survey(context: Context, rows: NDArray[np.int64]) -> Survey:
    """Go through every zone number of `rows`."""
    zones, count = context.shape.zones, len(context.table.numbers)
    result = Survey(
        context.unclaimed(),
        np.zeros(zones, np.bool_),
        np.zeros(count, np.bool_),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
    )
    async for refs in references(context, rows):
        valid = context.is_zone(refs.zones)
        if not valid.all():
            result.impossible[refs.rows[~valid]] = True
            refs = refs.select(valid)
        result.shared[claim(result.in_use, refs.zones)] = True
        if context.counts_zones:
            np.add.at(result.count, refs.rows, 1)
        if refs.level == 0:
            np.maximum.at(result.end, refs.rows, refs.places + 1)
    return result


async def troubled(context: Context, rows: NDArray[np.int64], found: Survey) -> NDArray[np.int64]:
    """Those of `rows` that claim what is impossible or shared."""
    flags = found.impossible.copy()
    if found.shared.any():
        async for refs in references(context, rows):
            valid = refs.select(context.is_zone(refs.zones))
            flags[valid.rows[found.shared[valid.zones]]] = True
    return np.flatnonzero(flags)


class Settlement(ABC):
    """Settles the claims of one file after another. `_taken` holds the shared zones that have found an owner."""

    IMPOSSIBLE: ClassVar[str]
    SHARED: ClassVar[str]

    def __init__(self, context: Context, shared: NDArray[np.bool_]) -> None:
        self._context = context
        self._shared = shared
        self._taken = context.unclaimed()
        self._answers: dict[str, bool] = {}
        self._row = 0

    @abstractmethod
    def impossible(self, zone: int, place: int) -> str:
        """What is wrong with the number `zone`, of zone `place` of the file."""

    @abstractmethod
    def twice(self, zone: int, place: int) -> str:
        """That `zone`, which is zone `place` of the file, belongs to another."""

    async def settle(self, rows: NDArray[np.int64]) -> None:
        """Settle what `rows` claim, in the order of their inode numbers."""
        table, shape = self._context.table, self._context.shape
        for self._row in rows[np.argsort(table.numbers[rows])].tolist():
            self._answers = {}
            pointers = table.zones[self._row]
            for slot, old in enumerate(pointers.tolist()):
                new = await self._pointer(old, shape.level(slot), shape.first_index(slot))
                if new != old:
                    pointers[slot] = new
                    table.changed[self._row] = True

    async def _pointer(self, zone: int, level: int, place: int) -> int:
        """What should stand in place of the number `zone`."""
        if not zone:
            return 0
        if not self._context.is_usable(zone):
            return 0 if self._accepted(self.IMPOSSIBLE, self.impossible(zone, place), zone) else zone
        if self._shared[zone]:
            if self._taken[zone]:
                if not self._accepted(self.SHARED, self.twice(zone, place), zone):
                    return zone
                zone = self._context.copy_zone(zone) or 0
            else:
                self._taken[zone] = True
        if zone and level:
            await self._indirect(zone, level, place)
        return zone

    async def _indirect(self, zone: int, level: int, place: int) -> None:
        context = self._context
        block = zone << context.shape.zone_shift
        pointers = (await context.volume.read_pointers(np.array([block])))[0].astype(np.int64)
        worth = pointers != 0
        if level == 1:
            valid = context.is_zone(pointers)
            worth &= ~valid | self._shared[np.where(valid, pointers, 0)]
        step = context.shape.span(level - 1)
        changes = {}
        for position in np.flatnonzero(worth).tolist():
            old = int(pointers[position])
            new = await self._pointer(old, level - 1, place + position * step)
            if new != old:
                changes[position] = new
        if changes:
            stored = await context.volume.edit_pointers(block)
            stored[list(changes)] = list(changes.values())

    def _accepted(self, kind: str, what: str, zone: int) -> bool:
        """One finding and one answer for all faults of a kind in a file."""
        if kind not in self._answers:
            number = int(self._context.table.numbers[self._row])
            self._answers[kind] = self._context.found(kind, number, what, zone=zone)
        return self._answers[kind]
