"""Zones that files claim: counting them, and settling claims that are impossible or made twice.

A file with a zone number outside the volume gets a hole there. Of several files that claim a zone the
first, by inode number, keeps it and every other gets a copy, be it data or an indirect block: whichever was
right, its contents survive. Only when the volume has no room for the copy does a file get a hole.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.mfs.layout import DIRECT_ZONES
from minixfs.fsck.blocks import claim
from minixfs.fsck.mfs.context import Context, Kind
from minixfs.fsck.mfs.inodes import MAPPED_TYPES
from minixfs.fsck.mfs.mapping import References, first_index, references, span
from minixfs.fsck.mfs.names import name_rows
from minixfs.fsck.rows import as_index


class Survey(NamedTuple):
    """What all files claim. `in_use` and `shared` are indexed by zone, `outside` and `end` by row."""

    in_use: NDArray[np.bool_]
    shared: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    end: NDArray[np.int64]


async def survey(context: Context, rows: NDArray[np.int64]) -> Survey:
    """Go through every zone number of `rows`."""
    zones, count = context.superblock.zones, len(context.table.numbers)
    result = Survey(
        np.zeros(zones, np.bool_), np.zeros(zones, np.bool_), np.zeros(count, np.bool_), np.zeros(count, np.int64)
    )
    async for refs in references(context, rows):
        valid = context.is_zone(refs.zones)
        if not valid.all():
            result.outside[refs.rows[~valid]] = True
            refs = References(refs.rows[valid], refs.places[valid], refs.zones[valid], refs.level)
        result.shared[claim(result.in_use, refs.zones)] = True
        if refs.level == 0:
            np.maximum.at(result.end, refs.rows, refs.places + 1)
    return result


async def check_zones(context: Context) -> None:
    """Make every zone belong to one file at most; leave `context.in_use` and `context.end` up to date."""
    rows = context.table.rows_of_type(*MAPPED_TYPES)
    context.volume.begin(2, "zones", int(np.count_nonzero(context.table.zones[as_index(rows), DIRECT_ZONES:])))
    found = await survey(context, rows)
    context.recount(found.in_use)
    context.end = found.end
    troubled = found.outside.copy()
    if found.shared.any():
        async for refs in references(context, rows):
            valid = context.is_zone(refs.zones)
            troubled[refs.rows[valid][found.shared[refs.zones[valid]]]] = True
    flagged = np.flatnonzero(troubled)
    if len(flagged):
        await name_rows(context, flagged)
        settlement = _Settlement(context, found.shared)
        for row in flagged[np.argsort(context.table.numbers[flagged])].tolist():
            await settlement.settle(row)
        context.end[flagged] = (await survey(context, flagged)).end[flagged]


class _Settlement:
    """Settles the claims of one file after another. `_taken` holds the shared zones that have found an owner."""

    def __init__(self, context: Context, shared: NDArray[np.bool_]) -> None:
        self._context = context
        self._shared = shared
        self._taken = np.zeros(len(shared), np.bool_)
        self._answers: dict[Kind, bool] = {}
        self._row = 0

    async def settle(self, row: int) -> None:
        table = self._context.table
        self._row = row
        self._answers = {}
        per_block = self._context.superblock.pointers_per_block
        for slot, old in enumerate(table.zones[row].tolist()):
            level = max(0, slot - DIRECT_ZONES + 1)
            place = first_index(per_block, level) if level else slot
            new = await self._pointer(old, level, place)
            if new != old:
                table.zones[row, slot] = new
                table.changed[row] = True

    async def _pointer(self, zone: int, level: int, place: int) -> int:
        """What should stand in place of the number `zone`."""
        if not zone:
            return 0
        superblock = self._context.superblock
        if not superblock.first_data_zone <= zone < superblock.zones:
            what = f"zone number {zone} at file zone {place} is outside the volume"
            return 0 if self._accepted(Kind.BAD_ZONE, what, zone) else zone
        if self._shared[zone]:
            if self._taken[zone]:
                if not self._accepted(Kind.SHARED_ZONE, f"zone {zone} at file zone {place} is in use twice", zone):
                    return zone
                zone = self._context.copy_zone(zone) or 0
            else:
                self._taken[zone] = True
        if zone and level:
            await self._indirect(zone, level, place)
        return zone

    async def _indirect(self, zone: int, level: int, place: int) -> None:
        context = self._context
        block = zone << context.superblock.zone_shift
        pointers = (await context.volume.read_pointers(np.array([block])))[0].astype(np.int64)
        worth = pointers != 0
        if level == 1:
            valid = context.is_zone(pointers)
            worth &= ~valid | self._shared[np.where(valid, pointers, 0)]
        step = span(context.superblock.pointers_per_block, level - 1)
        changes = {}
        for position in np.flatnonzero(worth).tolist():
            old = int(pointers[position])
            new = await self._pointer(old, level - 1, place + position * step)
            if new != old:
                changes[position] = new
        if changes:
            stored = await context.volume.edit_pointers(block)
            stored[list(changes)] = list(changes.values())

    def _accepted(self, kind: Kind, what: str, zone: int) -> bool:
        """One finding and one answer for all faults of a kind in a file."""
        if kind not in self._answers:
            number = int(self._context.table.numbers[self._row])
            self._answers[kind] = self._context.found(kind, number, what, zone=zone)
        return self._answers[kind]
