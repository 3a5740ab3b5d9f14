"""Blocks that files claim: counting them, and settling claims that are impossible or made twice.

A file with a block number outside the volume, or on metadata, gets a hole there. Of several files that claim a block
the first, by inode number, keeps it and every other gets a copy, be it data or an indirect block: whichever was right,
its contents survive. Only when the volume has no room for the copy does a file get a hole. Attribute blocks, which are
known by their contents, and the blocks of the resize inode, which follow from the geometry, keep what they have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.ext2 import layout
from minixfs.fsck.blocks import claim, distinct
from minixfs.fsck.ext2.context import Context
from minixfs.fsck.ext2.entries import name_rows
from minixfs.fsck.ext2.inodes import MAPPED_TYPES
from minixfs.fsck.ext2.kinds import Kind
from minixfs.fsck.ext2.mapping import References, first_index, references, span


@dataclass(slots=True)
class Survey:
    """What all files claim. `in_use` and `shared` are indexed by block, `outside`, `end` and `count` by row."""

    in_use: NDArray[np.bool_]
    shared: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    end: NDArray[np.int64]
    count: NDArray[np.int64]


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


def kept_blocks(context: Context) -> NDArray[np.int64]:
    """Attribute blocks and the resize inode's own block, each once."""
    table = context.table
    holders = table.columns["i_file_acl"][table.ordinary].astype(np.int64)
    own = int(table.columns["i_block"][table.reserved_row(layout.RESIZE_INODE), layout.DIRECT_BLOCKS + 1])
    kept = distinct(np.append(holders[holders != 0], own if own else holders[:0]))
    return kept[context.is_block(kept)]


async def survey(context: Context, rows: NDArray[np.int64]) -> Survey:
    """Go through every block number of `rows`."""
    blocks, count = context.superblock.blocks, len(context.table.numbers)
    result = Survey(
        context.groups.fixed.copy(),
        np.zeros(blocks, np.bool_),
        np.zeros(count, np.bool_),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
    )
    result.in_use[kept_blocks(context)] = True
    async for refs in references(context, rows):
        valid = context.is_block(refs.blocks)
        if not valid.all():
            result.outside[refs.rows[~valid]] = True
            refs = References(refs.rows[valid], refs.places[valid], refs.blocks[valid], refs.level)
        result.shared[claim(result.in_use, refs.blocks)] = True
        np.add.at(result.count, refs.rows, 1)
        if refs.level == 0:
            np.maximum.at(result.end, refs.rows, refs.places + 1)
    return result


async def check_claims(context: Context) -> None:
    """Make every block belong to one file at most; leave `in_use`, `end` and `count` of the context up to date."""
    context.volume.begin(1, "blocks")
    rows = mapped_rows(context)
    found = await survey(context, rows)
    context.recount(found.in_use)
    context.end, context.count = found.end, found.count
    troubled = found.outside.copy()
    if found.shared.any():
        async for refs in references(context, rows):
            valid = context.is_block(refs.blocks)
            troubled[refs.rows[valid][found.shared[refs.blocks[valid]]]] = True
    flagged = np.flatnonzero(troubled)
    if len(flagged):
        await name_rows(context, flagged)
        settlement = _Settlement(context, found.shared)
        for row in flagged[np.argsort(context.table.numbers[flagged])].tolist():
            await settlement.settle(row)
        again = await survey(context, flagged)
        context.end[flagged], context.count[flagged] = again.end[flagged], again.count[flagged]


class _Settlement:
    """Settles the claims of one file after another. `_taken` holds the shared blocks that have found an owner."""

    def __init__(self, context: Context, shared: NDArray[np.bool_]) -> None:
        self._context = context
        self._shared = shared
        self._taken = np.zeros(len(shared), np.bool_)
        self._taken[kept_blocks(context)] = True
        self._answers: dict[Kind, bool] = {}
        self._row = 0

    async def settle(self, row: int) -> None:
        table = self._context.table
        self._row = row
        self._answers = {}
        per_block = self._context.superblock.block_size // 4
        for slot, old in enumerate(table.columns["i_block"][row].tolist()):
            level = max(0, slot - layout.DIRECT_BLOCKS + 1)
            place = first_index(per_block, level) if level else slot
            new = await self._pointer(old, level, place)
            if new != old:
                table.columns["i_block"][row, slot] = new
                table.changed[row] = True

    async def _pointer(self, block: int, level: int, place: int) -> int:
        """What should stand in place of the number `block`."""
        if not block:
            return 0
        context = self._context
        if not context.is_free_for_files(block):
            where = "on metadata" if block < context.superblock.blocks else "outside the volume"
            what = f"block number {block} at block {place} of the file is {where}"
            return 0 if self._accepted(Kind.BAD_BLOCK, what, block) else block
        if self._shared[block]:
            if self._taken[block]:
                what = f"block {block} at block {place} of the file is in use twice"
                if not self._accepted(Kind.SHARED_BLOCK, what, block):
                    return block
                block = context.copy_block(block) or 0
            else:
                self._taken[block] = True
        if block and level:
            await self._indirect(block, level, place)
        return block

    async def _indirect(self, block: int, level: int, place: int) -> None:
        context = self._context
        pointers = (await context.volume.read_pointers(np.array([block])))[0].astype(np.int64)
        worth = pointers != 0
        if level == 1:
            valid = context.is_block(pointers)
            worth &= ~valid | self._shared[np.where(valid, pointers, 0)]
        step = span(len(pointers), level - 1)
        changes = {}
        for position in np.flatnonzero(worth).tolist():
            old = int(pointers[position])
            new = await self._pointer(old, level - 1, place + position * step)
            if new != old:
                changes[position] = new
        if changes:
            stored = await context.volume.edit_pointers(block)
            stored[list(changes)] = list(changes.values())

    def _accepted(self, kind: Kind, what: str, block: int) -> bool:
        """One finding and one answer for all faults of a kind in a file."""
        if kind not in self._answers:
            number = int(self._context.table.numbers[self._row])
            self._answers[kind] = self._context.found(kind, number, what, block=block)
        return self._answers[kind]
