"""Directories one by one: entries, names, ``.`` and ``..``, sizes.

All directories are judged at once as arrays; only those with a fault are repaired slot by slot. What
depends on the tree as a whole (which directory is whose parent, links to directories) comes later, in
`tree`.
"""

from __future__ import annotations

import stat

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.mfs.layout import ROOT_INODE
from minixfs.fsck.blocks import repeated
from minixfs.fsck.entries import Entries, NameKind
from minixfs.fsck.mapping import data_zones
from minixfs.fsck.mfs.context import Context, Kind
from minixfs.fsck.mfs.directory import Directory, Entry
from minixfs.fsck.mfs.names import name_rows, scan

_SPREAD = np.uint64(0xD6E8FEB86659FD93)
"""Makes equal names of different directories different."""


async def check_directories(context: Context) -> Entries:
    """Repair every directory in itself; return the entries of all of them."""
    rows = context.table.rows_of_type(stat.S_IFDIR)
    blocks = int(context.end[rows].sum()) << context.superblock.zone_shift
    context.volume.begin(3, "directories", blocks)
    entries = await scan(context, rows)
    within = _within(context, entries)
    flagged = await _flagged(context, rows, entries, within)
    if len(flagged):
        await name_rows(context, flagged)
        for row in flagged.tolist():
            await _repair(context, row)
        rows = context.table.rows_of_type(stat.S_IFDIR)
        entries = await scan(context, rows)
        within = _within(context, entries)
    return entries if within.all() else entries.select(within)


def _within(context: Context, entries: Entries) -> NDArray[np.bool_]:
    """Which entries the sizes of their directories cover."""
    size = context.superblock.dirent_record.size
    return (entries.position + 1) * size <= context.table.size[entries.rows]


def _legal(context: Context, entries: Entries) -> NDArray[np.bool_]:
    """Which entries name an inode in use by a possible name."""
    named = (entries.kind != NameKind.EMPTY) & (entries.kind != NameKind.ILLEGAL)
    return np.asarray(named & (context.table.rows_for(entries.inodes) >= 0))


async def _flagged(
    context: Context, rows: NDArray[np.int64], entries: Entries, within: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The directories with any fault, in the order of their rows. `within`: see `_within`."""
    table, superblock = context.table, context.superblock
    size = superblock.dirent_record.size
    bad = np.zeros(len(table.numbers), np.bool_)
    legal = _legal(context, entries)
    bad[entries.rows[within ^ legal]] = True

    dot, dotdot = entries.kind == NameKind.DOT, entries.kind == NameKind.DOTDOT
    first, second = entries.position == 0, entries.position == 1
    good_dot = dot & first & (entries.inodes == table.numbers[entries.rows])
    good_dotdot = dotdot & second
    bad[entries.rows[within & ((dot & ~good_dot) | (dotdot & ~good_dotdot))]] = True
    for good in (good_dot, good_dotdot):
        complete = np.zeros(len(bad), np.bool_)
        complete[entries.rows[good & within]] = True
        bad[rows[~complete[rows]]] = True

    inside = entries if within.all() else entries.select(within)
    key = inside.hash ^ (inside.rows.astype(np.uint64) * _SPREAD)
    bad[inside.rows[repeated(key)]] = True

    bad[rows[table.size[rows] % size != 0]] = True
    bad[rows[table.size[rows] > context.end[rows] * superblock.zone_size]] = True
    needed = -(-table.size[rows] // superblock.zone_size)
    bad[rows[context.end[rows] > np.maximum(needed, 1)]] = True
    owner, _, _ = await data_zones(context, rows)
    present = np.bincount(owner, minlength=len(bad))
    bad[rows[present[rows] != context.end[rows]]] = True
    return np.flatnonzero(bad)


async def _repair(context: Context, row: int) -> None:
    table = context.table
    number = int(table.numbers[row])
    directory = await Directory.open(context, row)
    entries = await directory.entries()
    if number != ROOT_INODE and entries and not _makes_sense(context, number, entries):
        if context.found(Kind.NOT_DIRECTORY, number, "the contents are not those of a directory, becomes a file"):
            table.mode[row] = stat.S_IFREG | table.mode[row] & 0o7777
            table.changed[row] = True
        return
    if directory.has_holes:
        if not context.found(Kind.DIRECTORY_HOLE, number, "directory with a missing zone"):
            return
        if not await directory.close_holes():
            context.judge.failed("but there is no room for an indirect zone")
            return
        entries = await directory.entries()
    await _repair_size(context, directory, number, entries)
    await _repair_entries(context, directory, number)
    await _repair_dots(context, directory, number)
    context.end[row] = directory.zone_count


def _makes_sense(context: Context, number: int, entries: list[Entry]) -> bool:
    """Whether these can be the contents of a directory: it has its dots, or most other entries are possible ones."""
    if any(entry.position < 2 and entry.name in (b".", b"..") for entry in entries):
        return True
    return 2 * sum(_plausible(context, number, entry) for entry in entries) > len(entries)


def _plausible(context: Context, number: int, entry: Entry) -> bool:
    """Whether a real directory could hold this entry."""
    if entry.name in (b".", b".."):
        return True
    return _fault(context, entry) is None and entry.inode != number


def _fault(context: Context, entry: Entry) -> tuple[Kind, str] | None:
    """What is wrong with an entry taken alone."""
    if not 1 <= entry.inode <= context.superblock.inodes:
        return Kind.BAD_ENTRY, f"names inode {entry.inode}, which does not exist"
    if context.table.row(entry.inode) < 0:
        return Kind.BAD_ENTRY, f"names inode {entry.inode}, which is free"
    if not entry.name:
        return Kind.BAD_NAME, f"the name of an entry for inode {entry.inode} is empty"
    if b"/" in entry.name:
        return Kind.BAD_NAME, "the name has a slash in it"
    return None


async def _repair_size(context: Context, directory: Directory, number: int, entries: list[Entry]) -> None:
    """Make the size end with a slot, within the zones, and behind the last entry that makes sense."""
    size = int(context.table.size[context.table.row(number)])
    record_size = context.superblock.dirent_record.size
    last = max((entry.position for entry in entries if _plausible(context, number, entry)), default=-1)
    slots = max(min(size // record_size, directory.slots), last + 1)
    if slots * record_size != size:
        what = f"size {size} of the directory, should be {slots * record_size}"
        if context.found(Kind.BAD_SIZE, number, what):
            directory.set_size(slots)
    if directory.has_spare_zones and context.found(Kind.BEYOND_SIZE, number, "zones beyond the size are in use"):
        await directory.drop_spare_zones()


async def _repair_entries(context: Context, directory: Directory, number: int) -> None:
    """Clear entries for nothing, mend names, keep one of each name."""
    taken: dict[bytes, int] = {}
    limit = context.superblock.variant.name_max
    everything = [entry for entry in await directory.entries() if entry.position < directory.size]
    names = {entry.name for entry in everything}
    for position, inode, name in everything:
        if name in (b".", b".."):
            continue
        fault = _fault(context, Entry(position, inode, name))
        if fault is None and name not in taken:
            taken[name] = inode
            continue
        kind, what = fault or (Kind.DUPLICATE_NAME, "the name is there twice")
        if not context.found(kind, number, what, name=name):
            continue
        if kind is Kind.BAD_ENTRY or taken.get(name) == inode:
            await directory.clear(position)
            continue
        new = _free_name(name.replace(b"/", b"_") or b"#%d" % inode, names, limit)
        names.add(new)
        taken[new] = inode
        await directory.put(position, inode, new)


def _free_name(wanted: bytes, names: set[bytes], limit: int) -> bytes:
    """`wanted`, or with a number behind it if that is taken; at most `limit` bytes."""
    if wanted not in names and wanted not in (b".", b".."):
        return wanted
    number = 1
    while (name := wanted[: limit - len(b"~%d" % number)] + b"~%d" % number) in names:
        number += 1
    return name


async def _repair_dots(context: Context, directory: Directory, number: int) -> None:
    """``.`` in slot 0 naming the directory itself, ``..`` in slot 1, and neither anywhere else."""
    entries = [entry for entry in await directory.entries() if entry.position < directory.size]
    for position, name, kind in ((0, b".", Kind.DOT), (1, b"..", Kind.DOTDOT)):
        mine = [entry for entry in entries if entry.name == name]
        target = number if position == 0 or not mine else mine[0].inode
        if context.table.row(target) < 0:
            target = number
        here = next((entry for entry in entries if entry.position == position), None)
        if here != Entry(position, target, name):
            label = name.decode()
            what = f"'{label}' is wrong" if mine else f"'{label}' is missing"
            if not context.found(kind, number, what):
                continue
            if here is not None and here.name not in (b".", b"..") and not await directory.add(here.inode, here.name):
                context.judge.failed("but there is no room for it")
                continue
            if not await directory.reserve(position + 1):
                context.judge.failed("but there is no room for it")
                continue
            await directory.put(position, target, name)
        for entry in mine:
            surplus = entry.position > 1 or (entry.position != position and len(mine) > 1)
            if surplus and entry.position > 1 and context.found(kind, number, f"a second '{name.decode()}'"):
                await directory.clear(entry.position)
