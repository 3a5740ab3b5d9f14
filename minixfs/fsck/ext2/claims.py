"""Blocks that files claim: see `minixfs.fsck.claims`.

Attribute blocks, which are known by their contents, and the block of the resize inode, which follows from the geometry,
keep what they have.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.ext2 import layout
from minixfs.fsck.claims import Settlement, survey, troubled
from minixfs.fsck.ext2.context import Context
from minixfs.fsck.ext2.entries import name_rows
from minixfs.fsck.ext2.inodes import MAPPED_TYPES
from minixfs.fsck.ext2.kinds import Kind


def mapped_rows(context: Context) -> NDArray[np.int64]:
    """The rows whose block fields are block numbers; the resize inode has its own rules."""
    table = context.table
    mapped = np.zeros(len(table.numbers), np.bool_)
    mapped[table.rows_of_type(*MAPPED_TYPES)] = True
    mapped &= ~table.fast_symlinks
    mapped[table.reserved_row(layout.BAD_BLOCKS_INODE)] = True
    if context.superblock.compat & layout.COMPAT_HAS_JOURNAL:
        mapped[table.reserved_row(context.superblock.journal_inode)] = True
    return np.flatnonzero(mapped)


async def check_claims(context: Context) -> None:
    """Make every block belong to one file at most; leave `in_use`, `end` and `count` of the context up to date."""
    context.volume.begin(1, "blocks")
    rows = mapped_rows(context)
    found = await survey(context, rows)
    context.recount(found.in_use)
    context.end, context.count = found.end, found.count
    flagged = await troubled(context, rows, found)
    if len(flagged):
        await name_rows(context, flagged)
        await _Settlement(context, found.shared).settle(flagged)
        again = await survey(context, flagged)
        context.end[flagged], context.count[flagged] = again.end[flagged], again.count[flagged]


class _Settlement(Settlement):
    IMPOSSIBLE, SHARED = Kind.BAD_BLOCK, Kind.SHARED_BLOCK

    def impossible(self, zone: int, place: int) -> str:
        where = "on metadata" if zone < self._context.shape.zones else "outside the volume"
        return f"block number {zone} at block {place} of the file is {where}"

    def twice(self, zone: int, place: int) -> str:
        return f"block {zone} at block {place} of the file is in use twice"
