"""Zones that files claim: see `minixfs.fsck.claims`."""

from __future__ import annotations

import numpy as np

from minixfs.fs.mfs.layout import DIRECT_ZONES
from minixfs.fsck.claims import Settlement, survey, troubled
from minixfs.fsck.mfs.context import Context, Kind
from minixfs.fsck.mfs.inodes import MAPPED_TYPES
from minixfs.fsck.mfs.names import name_rows
from minixfs.fsck.rows import as_index


async def check_zones(context: Context) -> None:
    """Make every zone belong to one file at most; leave `context.in_use` and `context.end` up to date."""
    rows = context.table.rows_of_type(*MAPPED_TYPES)
    context.volume.begin(2, "zones", int(np.count_nonzero(context.table.zones[as_index(rows), DIRECT_ZONES:])))
    found = await survey(context, rows)
    context.recount(found.in_use)
    context.end = found.end
    flagged = await troubled(context, rows, found)
    if len(flagged):
        await name_rows(context, flagged)
        await _Settlement(context, found.shared).settle(flagged)
        context.end[flagged] = (await survey(context, flagged)).end[flagged]


class _Settlement(Settlement):
    IMPOSSIBLE, SHARED = Kind.BAD_ZONE, Kind.SHARED_ZONE

    def impossible(self, zone: int, place: int) -> str:
        return f"zone number {zone} at file zone {place} is outside the volume"

    def twice(self, zone: int, place: int) -> str:
        return f"zone {zone} at file zone {place} is in use twice"
