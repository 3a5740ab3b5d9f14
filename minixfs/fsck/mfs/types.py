"""Inodes one by one: is the mode one that exists, do only files with contents have zones, is the root there."""

from __future__ import annotations

import stat

import numpy as np

from minixfs.fs.mfs.layout import FILE_TYPES, ROOT_INODE
from minixfs.fsck.mfs.context import Context, Kind
from minixfs.fsck.mfs.names import name_rows


async def check_types(context: Context) -> None:
    """Repair modes and the zone fields of inodes without contents."""
    await _check_root(context)
    table = context.table
    doubtful = table.mode != 0
    doubtful[table.rows_of_type(*FILE_TYPES)] = False
    unknown = np.flatnonzero(doubtful)
    await name_rows(context, unknown)
    for row in unknown.tolist():
        number, mode = int(table.numbers[row]), int(table.mode[row])
        what = f"mode {mode:06o} is of no known type"
        if not context.found(Kind.UNKNOWN_MODE, number, what):
            continue
        if number not in context.paths:  # nothing leads to it, so it is most likely rubbish
            table.free(row)
            continue
        is_directory = await _has_dots(context, row)
        table.mode[row] = (stat.S_IFDIR if is_directory else stat.S_IFREG) | mode & 0o7777
        table.changed[row] = True

    devices = table.rows_of_type(stat.S_IFBLK, stat.S_IFCHR)
    pipes = table.rows_of_type(stat.S_IFIFO, stat.S_IFSOCK)
    for rows, first in ((devices, 1), (pipes, 0)):
        bad = rows[(table.zones[rows, first:] != 0).any(axis=1)]
        await name_rows(context, bad)
        for row in bad.tolist():
            what = "a device, pipe or socket has data zones"
            if context.found(Kind.DEVICE_ZONES, int(table.numbers[row]), what):
                table.zones[row, first:] = 0
                table.changed[row] = True


async def _check_root(context: Context) -> None:
    table = context.table
    row = int(np.flatnonzero(table.numbers == ROOT_INODE)[0])
    if table.type[row] == stat.S_IFDIR or not context.found(Kind.ROOT, ROOT_INODE, "is not a directory"):
        return
    if await _has_dots(context, row):
        table.mode[row] = stat.S_IFDIR | (table.mode[row] & 0o7777 or 0o755)
        table.changed[row] = True
    else:
        table.add(ROOT_INODE, stat.S_IFDIR | 0o755)


async def _has_dots(context: Context, row: int) -> bool:
    """Whether the contents look like those of a directory: ``.`` comes first or ``..`` second."""
    zone, record = context.table.zones[row, :1].astype(np.int64), context.superblock.dirent_record
    if not context.is_zone(zone)[0]:
        return False
    data = (await context.volume.read_blocks(zone << context.superblock.zone_shift)).tobytes()
    (_, first), (_, second) = (record.struct.unpack_from(data, slot * record.size) for slot in (0, 1))
    return bool(first.rstrip(b"\0") == b"." or second.rstrip(b"\0") == b"..")
