"""Inodes one by one: what their fields say, each taken alone."""

from __future__ import annotations

import stat

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.ext2 import layout
from minixfs.fsck.ext2.context import Context
from minixfs.fsck.ext2.entries import name_rows
from minixfs.fsck.ext2.inodes import InodeTable
from minixfs.fsck.ext2.kinds import Kind
from minixfs.fsck.ext2.xattr import XATTR_OFFSET, fault_in_inode, kind_of
from minixfs.hw.clock import seconds_stored

_SPECIAL = (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)
_ENCRYPTED, _IMAGIC, _CASEFOLD = 0x800, 0x2000, 0x40000000
_COMPAT_IMAGIC = 0x2
_FOREIGN_FLAGS = {
    layout.FLAG_EXTENTS: "extents",
    layout.FLAG_INLINE_DATA: "inline data",
    _ENCRYPTED: "encryption",
    _IMAGIC: "AFS",
    _CASEFOLD: "names regardless of case",
}
_EXTENTS_MAGIC = 0xF30A
_FIELDS = {
    "i_faddr": (Kind.BAD_FIELD, "fragment address"),
    "i_blocks_high": (Kind.BAD_FIELD, "high block count"),
    "i_file_acl_high": (Kind.HIGH_XATTR, "high attribute block"),
}
_EXTRA_MIN = 4


async def check_types(context: Context) -> None:
    """Repair what is wrong in an inode itself."""
    context.volume.begin(1, "inodes")
    await _check_root(context)
    await _check_times(context)
    await _check_modes(context)
    await _check_disguised(context)
    await _check_flags(context)
    await _check_fields(context)
    await _check_special(context)
    await _check_tails(context)


async def _each(context: Context, bad: NDArray[np.bool_]) -> list[int]:
    rows = np.flatnonzero(bad)
    await name_rows(context, rows)
    return [int(row) for row in rows]


async def _check_root(context: Context) -> None:
    table = context.table
    row = table.reserved_row(layout.ROOT_INODE)
    record = table.record(row)
    if stat.S_ISDIR(int(record["i_mode"])) and record["i_links_count"]:
        return
    if not context.found(Kind.ROOT, layout.ROOT_INODE, "is not a directory in use"):
        return
    if await has_dots(context, row):
        table.put(row, "i_mode", stat.S_IFDIR | (int(record["i_mode"]) & 0o7777 or 0o755))
        table.put(row, "i_links_count", max(2, int(record["i_links_count"])))
        table.put(row, "i_dtime", 0)
    else:
        table.add(layout.ROOT_INODE, stat.S_IFDIR | 0o755)
        table.put(row, "i_links_count", 2)


async def has_dots(context: Context, row: int) -> bool:
    """Whether the contents look like those of a directory: ``.`` or ``..`` is where it should be."""
    blocks = context.table.columns["i_block"][row, :1].astype(np.int64)
    if not context.is_zone(blocks)[0]:
        return False
    data = (await context.volume.read_blocks(blocks)).tobytes()
    return data[8:10] == b".\0" or data[20:23] == b"..\0"


async def _check_times(context: Context) -> None:
    """Times of deletion; small ones are the links of a list of files that were being deleted."""
    table, superblock = context.table, context.superblock
    deleted = table.columns["i_dtime"]
    subject = (table.numbers >= superblock.first_inode) | (table.numbers == layout.ROOT_INODE)
    known = min(time for time in (superblock.mount_time, superblock.write_time, superblock.mkfs_time, 1 << 32) if time)
    if known >= superblock.inodes:
        listed = (deleted != 0) & (deleted < superblock.inodes)
        for row in await _each(context, listed):
            if context.found(Kind.ORPHAN_INODE, int(table.numbers[row]), "was in the list of files being deleted"):
                table.put(row, "i_dtime", 0 if table.columns["i_links_count"][row] else seconds_stored())
    for row in await _each(context, subject & table.used & (table.columns["i_dtime"] != 0)):
        if context.found(Kind.DELETION_TIME, int(table.numbers[row]), "in use, but has a time of deletion"):
            table.put(row, "i_dtime", 0)
    unused = subject & ~table.used & (table.columns["i_mode"] != 0) & (table.columns["i_dtime"] == 0)
    for row in await _each(context, unused):
        if context.found(Kind.DELETION_TIME, int(table.numbers[row]), "deleted, but has no time of deletion"):
            table.put(row, "i_dtime", seconds_stored())


async def _check_modes(context: Context) -> None:
    table = context.table
    doubtful = table.ordinary.copy()
    doubtful[table.rows_of_type(*layout.FILE_TYPES)] = False
    for row in await _each(context, doubtful):
        number, mode = int(table.numbers[row]), int(table.columns["i_mode"][row])
        if not context.found(Kind.UNKNOWN_MODE, number, f"mode {mode:06o} is of no known type"):
            continue
        if number not in context.paths:  # nothing leads to it, so it is most likely rubbish
            table.free(row)
            continue
        kind = stat.S_IFDIR if await has_dots(context, row) else stat.S_IFREG
        table.put(row, "i_mode", kind | mode & 0o7777)


async def _check_disguised(context: Context) -> None:
    """Directories whose type was damaged into one without contents: their blocks still say what they are."""
    table = context.table
    special = np.flatnonzero(_special(table))
    for row in special[table.columns["i_block"][special, 0] != 0].tolist():
        number, pointers = int(table.numbers[row]), table.columns["i_block"][row].astype(np.int64)
        if not (context.is_zone(pointers) | (pointers == 0)).all():
            continue
        data = (await context.volume.read_blocks(pointers[:1])).tobytes()
        if int.from_bytes(data[:4], "little") != number or data[6] != 1 or not await has_dots(context, row):
            continue
        await name_rows(context, np.array([row]))
        if context.found(Kind.UNKNOWN_MODE, number, "a device, pipe or socket that was a directory"):
            table.put(row, "i_mode", stat.S_IFDIR | int(table.columns["i_mode"][row]) & 0o7777)


async def _check_flags(context: Context) -> None:
    """Flags of features that the volume does not have, and of search trees where there can be none."""
    table = context.table
    indexed = (table.columns["i_flags"] & layout.FLAG_INDEX) != 0
    possible = (table.type == stat.S_IFDIR) & bool(context.superblock.compat & layout.COMPAT_DIR_INDEX)
    for row in await _each(context, indexed & ~possible & (table.ordinary | _reserved(context))):
        if context.found(Kind.INDEX, int(table.numbers[row]), "flagged as an indexed directory, which it cannot be"):
            table.put(row, "i_flags", int(table.columns["i_flags"][row]) & ~layout.FLAG_INDEX)
    foreign = sum(_FOREIGN_FLAGS)
    if context.superblock.compat & _COMPAT_IMAGIC:
        foreign &= ~_IMAGIC
    for row in await _each(context, table.ordinary & ((table.columns["i_flags"] & foreign) != 0)):
        flags = int(table.columns["i_flags"][row])
        words = ", ".join(word for flag, word in _FOREIGN_FLAGS.items() if flags & foreign & flag)
        if not context.found(Kind.BAD_FLAGS, int(table.numbers[row]), f"flagged for {words}, unknown to this volume"):
            continue
        if flags & layout.FLAG_EXTENTS and int(table.columns["i_block"][row, 0]) & 0xFFFF == _EXTENTS_MAGIC:
            table.free(row)
        else:
            table.put(row, "i_flags", flags & ~foreign)


def _reserved(context: Context) -> NDArray[np.bool_]:
    numbers = context.table.numbers
    return np.asarray((numbers != layout.ROOT_INODE) & (numbers < context.superblock.first_inode))


async def _check_fields(context: Context) -> None:
    """Fields that must be zero."""
    table = context.table
    for field, (kind, name) in _FIELDS.items():
        for row in await _each(context, table.ordinary & (table.columns[field] != 0)):
            value = int(table.columns[field][row])
            if context.found(kind, int(table.numbers[row]), f"{name} is {value}, should be 0"):
                table.put(row, field, 0)
    high = (table.type == stat.S_IFDIR) & (table.columns["i_size_high"] != 0) & table.ordinary
    for row in await _each(context, high):
        if context.found(Kind.BAD_SIZE, int(table.numbers[row]), "the high size of a directory should be 0"):
            table.put(row, "i_size_high", 0)


async def _check_special(context: Context) -> None:
    """Devices, pipes and sockets have no size, and the immutable ones no blocks."""
    table = context.table
    special = _special(table)
    sized = (table.columns["i_size"] != 0) | (table.columns["i_size_high"] != 0)
    for row in await _each(context, special & sized):
        if context.found(Kind.DEVICE_SIZE, int(table.numbers[row]), "a device, pipe or socket has a size"):
            table.set_size(row, 0)
    fixed = (table.columns["i_flags"] & (layout.FLAG_IMMUTABLE | layout.FLAG_APPEND)) != 0
    mapped = np.zeros(len(special), np.bool_)
    mapped[special] = (table.columns["i_block"][special, 4:] != 0).any(axis=1)
    for row in await _each(context, special & fixed & mapped):
        if context.found(Kind.BAD_DEVICE, int(table.numbers[row]), "a device, pipe or socket has blocks"):
            table.columns["i_block"][row, 4:] = 0
            table.changed[row] = True
    links = (table.type == stat.S_IFLNK) & table.ordinary
    meaningless = (special & fixed & ~mapped) | (links & fixed)  # e2fsck clears these too, and calls it no fault
    table.columns["i_flags"][meaningless] &= np.uint32(~(layout.FLAG_IMMUTABLE | layout.FLAG_APPEND) & 0xFFFFFFFF)
    table.changed |= meaningless


def _special(table: InodeTable) -> NDArray[np.bool_]:
    """The rows of devices, pipes and sockets."""
    special = np.zeros(len(table.numbers), np.bool_)
    special[table.rows_of_type(*_SPECIAL)] = True
    return special


async def _check_tails(context: Context) -> None:
    """The size of the extra fields, and attributes behind them."""
    table, superblock = context.table, context.superblock
    room = superblock.inode_size - layout.INODE_SIZE_REVISION_0
    for row, tail in sorted(table.tails.items()):
        if not table.ordinary[row]:
            continue
        number, extra = int(table.numbers[row]), int.from_bytes(tail[:2], "little")
        if extra and (extra & 3 or not _EXTRA_MIN <= extra <= room):
            await name_rows(context, np.array([row]))
            if not context.found(Kind.EXTRA_SIZE, number, f"{extra} bytes of extra fields, which is impossible"):
                continue
            extra = min(superblock.want_extra_isize, room) & ~3 if not _EXTRA_MIN <= extra <= room else extra + 3 & ~3
            tail[:2] = extra.to_bytes(2, "little")
            table.changed[row] = True
        fault = fault_in_inode(bytes(tail[extra:])) if extra < room - XATTR_OFFSET else None
        if fault is not None:
            await name_rows(context, np.array([row]))
            if context.found(kind_of(fault), number, f"attributes in the inode: {fault}"):
                tail[extra : extra + XATTR_OFFSET] = bytes(XATTR_OFFSET)
                table.changed[row] = True
