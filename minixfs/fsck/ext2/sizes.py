"""Sizes and block counts against what is mapped, and the text of symbolic links."""

from __future__ import annotations

import stat

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.ext2 import layout
from minixfs.fsck.ext2.context import Context
from minixfs.fsck.ext2.entries import name_rows
from minixfs.fsck.ext2.kinds import Kind

_TEXT = 4 * (layout.DIRECT_BLOCKS + layout.LEVELS)
"""Bytes that a symbolic link's text may take in the inode, with its NUL."""
LARGE = 1 << 31
"""Files of so many bytes need a feature."""


async def check_sizes(context: Context) -> None:
    """Repair sizes of regular files and all block counts. `end` and `count` of the context must be up to date."""
    context.volume.begin(1, "sizes")
    table, superblock = context.table, context.superblock
    size = superblock.block_size
    most = context.shape.first_index(context.shape.slots) * size
    files = _files(context)
    sizes, end = table.size[files], context.end[files]
    wrong = files[((end > 0) & (sizes < (end - 1) * size)) | (sizes > most)]
    await name_rows(context, wrong)
    for row in wrong.tolist():
        should = int(context.end[row]) * size
        what = f"size {table.size[row]}, should be {should}"
        if context.found(Kind.BAD_SIZE, int(table.numbers[row]), what):
            table.set_size(row, should)
    if (table.size[files] >= LARGE).any() and not superblock.ro_compat & layout.RO_COMPAT_LARGE_FILE:
        number = int(table.numbers[files[table.size[files] >= LARGE][0]])
        if context.found(Kind.LARGE_FILE, number, "2 GiB or more, which the features do not say"):
            superblock.ro_compat |= layout.RO_COMPAT_LARGE_FILE
            if not superblock.revision:
                superblock.stored_first_inode, superblock.stored_inode_size = (
                    superblock.first_inode,
                    superblock.inode_size,
                )
                superblock.revision = 1


def _files(context: Context) -> NDArray[np.int64]:
    files = context.table.rows_of_type(stat.S_IFREG)
    if context.superblock.compat & layout.COMPAT_HAS_JOURNAL:
        files = np.append(files, context.table.reserved_row(context.superblock.journal_inode))
    return files


async def check_counts(context: Context) -> None:
    """Make the block count of every inode what it holds: data, indirect blocks, attributes."""
    table = context.table
    sectors = context.superblock.block_size // layout.SECTOR
    held = context.count + (table.columns["i_file_acl"] != 0)
    subject = table.ordinary.copy()
    if context.superblock.compat & layout.COMPAT_HAS_JOURNAL:
        subject[table.reserved_row(context.superblock.journal_inode)] = True
    wrong = np.flatnonzero(subject & (table.columns["i_blocks"] != held * sectors))
    await name_rows(context, wrong)
    for row in wrong.tolist():
        should = int(held[row]) * sectors
        what = f"a block count of {table.columns['i_blocks'][row]}, should be {should}"
        kind = Kind.SYMLINK if table.fast_symlinks[row] else Kind.BLOCK_COUNT
        if context.found(kind, int(table.numbers[row]), what):
            table.put(row, "i_blocks", should)


# ---- symbolic links ------------------------------------------------------------------------------------------------


async def check_symlinks(context: Context) -> None:
    """The text of every symbolic link must be as long as its size, in the inode or in one block."""
    context.volume.begin(1, "symbolic links")
    table = context.table
    rows = table.rows_of_type(stat.S_IFLNK)
    good = np.zeros(len(rows), np.bool_)
    sizes = table.columns["i_size"][rows].astype(np.int64)
    plain = (table.columns["i_size_high"][rows] == 0) & (sizes > 0)
    fast = sizes < _TEXT
    good[fast] = _text_lengths(context, rows[fast]) == sizes[fast]
    slow = np.flatnonzero(~fast & (sizes < context.superblock.block_size))
    blocks = table.columns["i_block"][rows[slow]].astype(np.int64)
    possible = context.is_zone(blocks[:, 0]) & (blocks[:, 1:] == 0).all(axis=1)
    slow, blocks = slow[possible], blocks[possible, 0]
    good[slow] = await _block_text_lengths(context, blocks) == sizes[slow]
    bad = rows[~(good & plain)]
    await name_rows(context, bad)
    for row in bad.tolist():
        number = int(table.numbers[row])
        if context.found(Kind.SYMLINK, number, "a symbolic link whose text is not as long as it says"):
            await _mend(context, row)


def _text_lengths(context: Context, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """How long the texts are that the inodes hold; _TEXT without an end."""
    text: NDArray[np.uint8] = (
        np.ascontiguousarray(context.table.columns["i_block"][rows]).view(np.uint8).reshape(-1, _TEXT)
    )
    return _lengths(text)


async def _block_text_lengths(context: Context, blocks: NDArray[np.int64]) -> NDArray[np.int64]:
    parts = [np.zeros(0, np.int64)]
    for start in range(0, len(blocks), context.volume.batch_blocks):
        parts.append(_lengths(await context.volume.read_blocks(blocks[start : start + context.volume.batch_blocks])))
    return np.concatenate(parts)


def _lengths(text: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Bytes before the first NUL of each row, the whole row if there is none."""
    ends = text == 0
    return np.asarray(np.where(ends.any(axis=1), ends.argmax(axis=1), text.shape[1]), np.int64)


async def _mend(context: Context, row: int) -> None:
    """Make the size that of the text, if there is one; else give the inode up."""
    table = context.table
    pointers = table.columns["i_block"][row : row + 1].astype(np.int64)[0]
    length = int(_text_lengths(context, np.array([row]))[0])
    if not table.columns["i_blocks"][row] or not context.is_zone(pointers[:1])[0]:
        if 0 < length < _TEXT and not table.columns["i_blocks"][row]:
            table.set_size(row, length)
            return
        table.free(row)
        return
    length = int((await _block_text_lengths(context, pointers[:1]))[0])
    if _TEXT <= length < context.superblock.block_size:
        table.set_size(row, length)
        table.columns["i_block"][row, 1:] = 0
        return
    table.free(row)
