"""Sizes against mapped zones, and the text of symbolic links.

An inode is written in one piece. So a size that contradicts the inode's own zone fields is damage, and the
size is raised to cover the data; zones past the end in an indirect block that the size does need are the
rest of an interrupted write or truncation, and are released.
"""

from __future__ import annotations

import stat

import numpy as np

from minixfs.fs.mfs.layout import MAX_FILE_SIZE
from minixfs.fsck.mapping import FileMap
from minixfs.fsck.mfs.context import Context, Kind
from minixfs.fsck.mfs.names import name_rows


async def check_sizes(context: Context) -> None:
    """Repair the sizes of regular files and symbolic links. `context.end` must be up to date."""
    await _check_limit(context)
    await _check_files(context)
    await _check_symlinks(context)


def reach(context: Context) -> int:
    """Bytes that the zone fields of an inode can address, as far as a size can say it."""
    zones = context.shape.first_index(context.shape.slots)
    return min(zones * context.superblock.zone_size, MAX_FILE_SIZE)


async def _check_limit(context: Context) -> None:
    """A file with data beyond `max_size` shows that `max_size` is wrong."""
    table, superblock = context.table, context.superblock
    rows = table.rows_of_type(stat.S_IFREG)
    size, mapped = table.size[rows], context.end[rows] * superblock.zone_size
    proof = rows[
        (size > superblock.max_size) & (size <= reach(context)) & (mapped > superblock.max_size) & (mapped >= size)
    ]
    if len(proof):
        await name_rows(context, proof)
        what = f"has data beyond the largest file size, {superblock.max_size}, that the superblock allows"
        if context.found(Kind.SUPERBLOCK, int(table.numbers[proof[0]]), what):
            superblock.max_size = reach(context)


async def _check_files(context: Context) -> None:
    table, superblock = context.table, context.superblock
    limit = min(superblock.max_size, reach(context))
    rows = table.rows_of_type(stat.S_IFREG)
    needed = -(-table.size[rows] // superblock.zone_size)
    flagged = rows[(table.size[rows] > limit) | (context.end[rows] > needed)]
    await name_rows(context, flagged)
    for row in flagged.tolist():
        number, size = int(table.numbers[row]), int(table.size[row])
        mapped = int(context.end[row]) * superblock.zone_size
        if size > limit:
            new = min(mapped, limit)
            what = f"size {size} is more than the {limit} possible, should be {new}"
            if context.found(Kind.TOO_LARGE, number, what):
                await _set_size(context, row, new)
        elif _contradicts_inode(context, row):
            new = min(mapped, limit)
            if context.found(Kind.BEYOND_SIZE, number, f"size {size} does not cover its data, should be {new}"):
                await _set_size(context, row, new)
        elif context.found(Kind.BEYOND_SIZE, number, f"zones beyond the size {size} are in use"):
            await _set_size(context, row, size)


def _contradicts_inode(context: Context, row: int) -> bool:
    """Whether a zone field of the inode itself is one that the size has no need of."""
    needed = -(-int(context.table.size[row]) // context.superblock.zone_size)
    last = int(np.flatnonzero(context.table.zones[row])[-1])
    return context.shape.first_index(last) >= needed


async def _set_size(context: Context, row: int, size: int) -> None:
    """Set the size and release the zones behind it."""
    context.table.size[row] = size
    context.table.changed[row] = True
    zones = -(-size // context.superblock.zone_size)
    if context.end[row] > zones:
        await FileMap(context, row).cut(zones)
        context.end[row] = zones


async def _check_symlinks(context: Context) -> None:
    table, volume, superblock = context.table, context.volume, context.superblock
    rows = table.rows_of_type(stat.S_IFLNK)
    zones = table.zones[rows, 0].astype(np.int64)
    mapped = context.is_zone(zones)
    length = np.zeros(len(rows), np.int64)
    for start in range(0, len(rows), volume.batch_blocks):
        part = np.flatnonzero(mapped[start : start + volume.batch_blocks]) + start
        text = await volume.read_blocks(zones[part] << superblock.zone_shift)
        ends = text == 0
        length[part] = np.where(ends.any(axis=1), ends.argmax(axis=1), superblock.block_size)
    endless = length == superblock.block_size
    bad = np.flatnonzero((length == 0) | endless | (length != table.size[rows]) | (context.end[rows] > 1))
    await name_rows(context, rows[bad])
    for row, found in zip(rows[bad].tolist(), length[bad].tolist(), strict=True):
        await _repair_symlink(context, row, found)


async def _repair_symlink(context: Context, row: int, length: int) -> None:
    """`length`: bytes of text before the first NUL, or the block size."""
    table, superblock = context.table, context.superblock
    number, size = int(table.numbers[row]), int(table.size[row])
    if length == 0:
        if context.found(Kind.SYMLINK, number, "symbolic link without text"):
            table.free(row)
        return
    if length == superblock.block_size:
        length = size if 1 <= size < superblock.block_size else superblock.block_size - 1
        if context.found(Kind.SYMLINK, number, f"text of the symbolic link does not end, should end at {length}"):
            block = int(table.zones[row, 0]) << superblock.zone_shift
            (await context.volume.edit(block))[length:] = bytes(superblock.block_size - length)
    if length != size and context.found(Kind.SYMLINK, number, f"size {size} of the symbolic link, should be {length}"):
        table.size[row] = length
        table.changed[row] = True
    if context.end[row] > 1 and context.found(Kind.SYMLINK, number, "symbolic link has more than one zone"):
        await FileMap(context, row).cut(1)
        context.end[row] = 1
