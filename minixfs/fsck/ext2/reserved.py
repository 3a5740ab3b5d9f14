"""The inodes that the format reserves: bad blocks, resizing, journal, and the others, which are empty."""

from __future__ import annotations

import stat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minixfs.errors import Unsupported
from minixfs.fs.ext2 import layout
from minixfs.fsck.ext2.context import Context
from minixfs.fsck.ext2.kinds import Kind

_DIND = layout.DIRECT_BLOCKS + 1
_JOURNAL_MAGIC = 0xC03B3998
_JOURNAL_SUPERBLOCKS = (3, 4)
_JOURNAL_START = 0x1C
_BOOT_LOADER_INODE = 5
_QUOTA_INODES = (3, 4)


async def check_reserved(context: Context) -> None:
    """Repair what the reserved inodes say of themselves. Raises Unsupported for a journal that is in use."""
    table, superblock = context.table, context.superblock
    row = table.reserved_row(layout.BAD_BLOCKS_INODE)
    record = table.record(row)
    suspect = ("i_mode", "i_uid", "i_gid", "i_links_count", "i_file_acl")
    wrong = any(record[field] for field in suspect) or bool(int(record["i_flags"]) & layout.FLAG_EXTENTS)
    if wrong and context.found(Kind.BAD_BLOCKS_INODE, layout.BAD_BLOCKS_INODE, "the list of bad blocks is no list"):
        _clear(context, row)
    await _check_journal(context)
    for number in _QUOTA_INODES:
        row = table.reserved_row(number)
        wrong = _holds_something(table.record(row))
        if wrong and context.found(Kind.RESERVED_INODE, number, "the volume has no quotas, but their inode is in use"):
            _clear(context, row)
    kept = {*_QUOTA_INODES, layout.BAD_BLOCKS_INODE, layout.ROOT_INODE, layout.RESIZE_INODE, layout.JOURNAL_INODE}
    for number in range(1, superblock.first_inode):
        row = table.reserved_row(number)
        mode = int(table.columns["i_mode"][row])
        wrong = mode != 0 and number not in kept
        if number == _BOOT_LOADER_INODE:
            wrong = stat.S_ISDIR(mode)
        if number == layout.RESIZE_INODE:
            wrong = mode != 0 and not stat.S_ISREG(mode)
        if wrong and context.found(Kind.RESERVED_INODE, number, f"a reserved inode of mode {mode:06o}"):
            table.put(row, "i_mode", 0)


def _holds_something(record: dict[str, Any]) -> bool:
    return bool(record["i_links_count"] or record["i_blocks"] or record["i_block"][0])


def _clear(context: Context, row: int) -> None:
    """Make a reserved inode what it is when nobody uses it."""
    context.table.free(row)
    context.table.put(row, "i_dtime", 0)


async def _check_journal(context: Context) -> None:
    table, superblock = context.table, context.superblock
    row = table.reserved_row(layout.JOURNAL_INODE)
    record = table.record(row)
    if not superblock.compat & layout.COMPAT_HAS_JOURNAL:
        if _holds_something(record) and context.found(
            Kind.JOURNAL, layout.JOURNAL_INODE, "there is no journal, but its inode is in use"
        ):
            _clear(context, row)
        return
    if superblock.journal_inode not in (0, layout.JOURNAL_INODE):
        raise Unsupported("the journal is on another device or in an ordinary file", "use e2fsck -p on it")
    sound = superblock.journal_inode and stat.S_ISREG(int(record["i_mode"])) and bool(record["i_links_count"])
    block = record["i_block"][:1].astype(np.int64)
    if sound and context.is_zone(block)[0]:
        data = (await context.volume.read_blocks(block)).tobytes()
        words = [int.from_bytes(data[at : at + 4], "big") for at in (0, 4, _JOURNAL_START)]
        if words[0] == _JOURNAL_MAGIC and words[1] in _JOURNAL_SUPERBLOCKS:
            if words[2]:
                raise Unsupported("the journal of the volume is not empty", "run e2fsck -p on the image")
            return
    if context.found(Kind.UNKNOWN_MODE, layout.JOURNAL_INODE, "there is no journal in it; the volume gets none"):
        _clear(context, row)
        superblock.compat &= ~layout.COMPAT_HAS_JOURNAL
        superblock.journal_inode = 0


# ---- the resize inode ----------------------------------------------------------------------------------------------


async def check_resize(context: Context) -> None:
    """The blocks kept for more group descriptors, as the resize inode lists them."""
    table, superblock = context.table, context.superblock
    row = table.reserved_row(layout.RESIZE_INODE)
    if not superblock.compat & layout.COMPAT_RESIZE_INODE:
        used = bool(table.columns["i_block"][row].any())
        if used and context.found(Kind.RESIZE_INODE, layout.RESIZE_INODE, "in use, but the volume has no use for it"):
            _clear(context, row)
        return
    if not await _resize_is_sound(context, row):
        if context.found(Kind.RESIZE_INODE, layout.RESIZE_INODE, "does not list the blocks kept for growing"):
            await _make_resize(context, row)
    else:
        should = _resize_blocks(context) * (superblock.block_size // layout.SECTOR)
        if table.columns["i_blocks"][row] != should:
            what = f"a block count of {table.columns['i_blocks'][row]}, should be {should}"
            if context.found(Kind.BLOCK_COUNT, layout.RESIZE_INODE, what):
                table.put(row, "i_blocks", should)


def _lists(context: Context) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint32]]:
    """The kept blocks of group 0, what each of them must contain, and what the block that lists them must."""
    superblock = context.superblock
    per_block = superblock.block_size // 4
    count, first = superblock.reserved_gdt_blocks, superblock.descriptor_block + superblock.descriptor_blocks
    kept = np.arange(first, first + count)
    copies = [group for group in range(1, superblock.groups) if superblock.has_copy(group)]
    inside = np.zeros((count, per_block), np.uint32)
    for index, group in enumerate(copies[:per_block]):
        inside[:, index] = kept + group * superblock.blocks_per_group
    top = np.zeros(per_block, np.uint32)
    top[(superblock.descriptor_blocks + np.arange(count)) % per_block] = kept
    return kept, inside, top


def _resize_blocks(context: Context) -> int:
    superblock = context.superblock
    copies = sum(superblock.has_copy(group) for group in range(superblock.groups))
    return 1 + superblock.reserved_gdt_blocks * copies


async def _resize_is_sound(context: Context, row: int) -> bool:
    record = context.table.record(row)
    pointers = record["i_block"].astype(np.int64)
    own = pointers[_DIND]
    others = np.delete(pointers, _DIND)
    if others.any() or not context.is_usable(int(own)):
        return False
    if not record["i_links_count"] or not stat.S_ISREG(int(record["i_mode"])):
        return False
    kept, inside, top = _lists(context)
    if not np.array_equal((await context.volume.read_pointers(np.array([own])))[0], top):
        return False
    for start in range(0, len(kept), context.volume.batch_blocks):
        part = slice(start, start + context.volume.batch_blocks)
        if not np.array_equal(await context.volume.read_pointers(kept[part]), inside[part]):
            return False
    return True


async def _make_resize(context: Context, row: int) -> None:
    table, superblock = context.table, context.superblock
    own = int(table.columns["i_block"][row, _DIND])
    if not context.is_usable(own):
        own = context.new_zone() or 0
    if not own:
        context.judge.failed("but there is no room for the list")
        return
    kept, inside, top = _lists(context)
    (await context.volume.edit(own))[:] = top.tobytes()
    for block, content in zip(kept.tolist(), inside, strict=True):
        (await context.volume.edit(block))[:] = content.tobytes()
    size = superblock.block_size
    table.columns["i_block"][row] = 0
    table.columns["i_block"][row, _DIND] = own
    table.put(row, "i_mode", stat.S_IFREG | 0o600)
    table.put(row, "i_links_count", 1)
    table.put(row, "i_dtime", 0)
    table.put(row, "i_blocks", _resize_blocks(context) * (size // layout.SECTOR))
    table.set_size(row, context.shape.first_index(_DIND + 1) * size)
