"""Directories one by one: sizes and holes, entries, names, ``.`` and ``..``.

All directories are judged at once as arrays; only those with a fault are repaired entry by entry. What depends on the
tree as a whole (which directory is whose parent, links to directories) comes later, in `tree`.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.ext2 import layout
from minixfs.fsck.blocks import repeated
from minixfs.fsck.entries import NameKind
from minixfs.fsck.ext2.context import Context
from minixfs.fsck.ext2.directory import Directory, Entry
from minixfs.fsck.ext2.entries import SMALLEST, Ext2Entries, Scan, name_rows, scan
from minixfs.fsck.ext2.htree import index_faults
from minixfs.fsck.ext2.kinds import Kind

_INDEX_LIMIT = 1 << 31
"""Bytes that a directory may have."""


async def check_directories(context: Context) -> Ext2Entries:
    """Repair every directory in itself; return the entries of all of them."""
    context.volume.begin(2, "directories")
    await _check_empty(context)
    rows = context.table.rows_of_type(stat.S_IFDIR)
    found = await scan(context, rows)
    targets = context.table.rows_for(found.entries.inodes)
    flagged = _flagged(context, rows, found, targets)
    await name_rows(context, flagged)
    for row in flagged.tolist():
        await _repair(context, row)
    if len(flagged):
        found = await scan(context, context.table.rows_of_type(stat.S_IFDIR))
        targets = context.table.rows_for(found.entries.inodes)
    await _check_indexes(context, found.entries)
    legal = _legal(context, found.entries, targets)
    return found.entries if legal.all() else found.entries.select(np.flatnonzero(legal))


async def _check_empty(context: Context) -> None:
    """Directories without a block are given up; the root gets a new one."""
    table = context.table
    rows = table.rows_of_type(stat.S_IFDIR)
    empty = rows[context.count[rows] == 0]
    await name_rows(context, empty)
    for row in empty.tolist():
        number = int(table.numbers[row])
        if not context.found(Kind.EMPTY_DIRECTORY, number, "a directory without contents"):
            continue
        if number != layout.ROOT_INODE:
            table.free(row)
            continue
        directory = await Directory.open(context, row)
        if not await directory.fill_hole(0):
            context.judge.failed("but there is no room for them")
            continue
        await directory.put_dots(number, number, context.superblock.block_size)
        table.set_size(row, context.superblock.block_size)
        context.end[row] = context.count[row] = 1


def _legal(context: Context, entries: Ext2Entries, targets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which entries, whose inodes are in the rows `targets`, name one in use that may be named."""
    named = (entries.inodes >= context.superblock.first_inode) | (entries.inodes == layout.ROOT_INODE)
    return np.asarray(named & (targets >= 0))


def _flagged(context: Context, rows: NDArray[np.int64], found: Scan, targets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The directories with any fault but those of search trees, in the order of their rows. `targets`: see `_legal`."""
    table, entries = context.table, found.entries
    size = context.superblock.block_size
    bad = np.zeros(len(table.numbers), np.bool_)
    bad[found.broken] = True
    dot, dotdot = entries.kind == NameKind.DOT, entries.kind == NameKind.DOTDOT
    first = entries.position == 0
    second = np.zeros(len(first), np.bool_)
    second[1:] = first[:-1] & (entries.position[1:] == entries.length[:-1]) & (entries.position[1:] < size)
    good_dot = dot & first & entries.closed & (entries.inodes == table.numbers[entries.rows])
    good_dotdot = dotdot & second & entries.closed
    for good in (good_dot, good_dotdot):
        complete = np.zeros(len(bad), np.bool_)
        complete[entries.rows[good]] = True
        bad[rows[~complete[rows]]] = True
    others = ~good_dot & ~good_dotdot
    legal = _legal(context, entries, targets)
    faulty = (entries.kind != NameKind.PLAIN) | (entries.inodes == layout.ROOT_INODE) | ~legal
    bad[entries.rows[others & faulty]] = True
    bad[entries.rows[_wrong_type(context, entries, targets)]] = True
    plain = np.flatnonzero(others)
    key = entries.hash[plain] ^ (entries.block[plain].astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93))
    bad[entries.rows[plain[repeated(key)]]] = True
    bad[rows[_wrong_size(context, rows)]] = True
    return np.flatnonzero(bad)


def _wrong_type(context: Context, entries: Ext2Entries, targets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which entries have a type byte other than their inode, which is in the row of `targets`. 0 means that nobody ever
    knew, and is no fault."""
    if not context.superblock.incompat & layout.INCOMPAT_FILETYPE:
        return np.asarray(entries.type != 0)
    codes = np.zeros(16, np.uint8)
    for mode, code in layout.FILE_TYPES.items():
        codes[mode >> 12] = code
    should = codes[context.table.type[targets] >> 12]
    return np.asarray((targets >= 0) & (entries.type != 0) & (entries.type != should))


def _wrong_size(context: Context, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which directories have a size that is not that of their blocks, or holes."""
    size = context.superblock.block_size
    sizes, end = context.table.size[rows], context.end[rows]
    spare = end - sizes // size
    wrong = (sizes % size != 0) | (spare < 0) | (spare > _preallocated(context)) | (end * size > _INDEX_LIMIT)
    indirect = _indirect_blocks(end, size // 4)
    return np.asarray(wrong | (context.count[rows] - indirect != end))


def _preallocated(context: Context) -> int:
    """Blocks that a directory may have behind its size."""
    return context.superblock.raw[layout.SUPERBLOCK.offsets["s_prealloc_dir_blocks"]]


def _indirect_blocks(end: NDArray[np.int64], per_block: int) -> NDArray[np.int64]:
    """How many indirect blocks files of so many blocks have if they have no holes."""
    rest = np.maximum(end - layout.DIRECT_BLOCKS, 0)
    total = np.zeros(len(end), np.int64)
    for level in range(1, layout.LEVELS + 1):
        covered = np.minimum(rest, per_block**level)
        for unit in range(1, level + 1):
            total += -(-covered // per_block**unit)
        rest = rest - covered
    return total


async def _repair(context: Context, row: int) -> None:
    number = int(context.table.numbers[row])
    directory = await Directory.open(context, row)
    await _repair_size(context, directory, row)
    if not directory.has_start:
        return  # that is a fault already, and has to be put right before anything can be stored
    broken = await directory.broken()
    if broken:
        what = f"block {', '.join(map(str, broken[:8]))} of the directory is damaged"
        if not context.found(Kind.DIRECTORY_BLOCK, number, what):
            return
        for place in broken:
            await directory.salvage(place)
    await _repair_dots(context, directory, number)
    await _repair_entries(context, directory, number)


async def _repair_size(context: Context, directory: Directory, row: int) -> None:
    """Make the size that of the blocks, and leave none out."""
    table, size = context.table, context.superblock.block_size
    number = int(table.numbers[row])
    if directory.end * size > _INDEX_LIMIT:
        if not context.found(Kind.BAD_SIZE, number, "a directory with blocks beyond 2 GiB"):
            return
        await directory.cut(_INDEX_LIMIT // size)
        kept = [place for place in directory.places if place == 0 or place < 2 * len(directory.places)]
        await directory.cut(max(kept, default=-1) + 1)
    if directory.holes and context.found(Kind.DIRECTORY_HOLE, number, "a directory with a missing block"):
        for place in directory.holes:
            if not await directory.fill_hole(place):
                context.judge.failed("but there is no room for it")
                break
    stored, end = int(table.size[row]), directory.end
    spare = end - stored // size
    wrong = stored % size != 0 or not 0 <= spare <= _preallocated(context)
    if wrong and context.found(Kind.BAD_SIZE, number, f"size {stored} of the directory, should be {end * size}"):
        table.set_size(row, end * size)
    context.end[row] = end


async def _repair_dots(context: Context, directory: Directory, number: int) -> None:
    """``.`` first, naming the directory itself, ``..`` second. What was in their place is given another one."""
    entries = await directory.entries()
    head = [entry for entry in entries[:2] if entry.position < context.superblock.block_size]
    faults = _dot_faults(head, number)
    if not faults and not await directory.has_closed_dots(head):
        faults = [(Kind.DOT, "'.' or '..' is not followed by a NUL")]
    if not faults:
        return
    accepted = [context.found(kind, number, what) for kind, what in faults]
    if not all(accepted):
        return
    parent = head[1].inode if len(head) == 2 and head[1].name == b".." and head[1].inode else number
    parent = next((entry.inode for entry in entries if entry.name == b".." and entry.inode), parent)
    await _write_head(context, directory, number, parent)


def _dot_faults(head: list[Entry], number: int) -> list[tuple[Kind, str]]:
    faults = []
    if not head or head[0].name != b"." or head[0].inode != number:
        known = bool(head) and head[0].name == b"." and head[0].inode
        faults.append((Kind.DOT, "'.' is wrong" if known else "'.' is missing"))
    if len(head) < 2 or head[1].name != b".." or not head[1].inode:
        faults.append((Kind.DOTDOT, "'..' is missing"))
    return faults


async def _write_head(context: Context, directory: Directory, number: int, parent: int) -> None:
    """Begin the first block with the two dots; move what they cover and is not one of them."""
    covered = [entry for entry in await directory.entries() if entry.position < 2 * SMALLEST]
    end = max((entry.position + entry.length for entry in covered), default=context.superblock.block_size)
    await directory.put_dots(number, parent, end)
    for entry in covered:
        if entry.inode and entry.name and not entry.is_dot and not await directory.add(entry.inode, entry.name):
            context.judge.failed("but there is no room for what is in its place")


async def _repair_entries(context: Context, directory: Directory, number: int) -> None:
    """Clear entries for nothing, mend names and types, keep one of each name in a block."""
    table, size = context.table, context.superblock.block_size
    taken: set[tuple[int, bytes]] = set()
    entries = [entry for entry in await directory.entries() if entry.inode]
    names = {entry.name for entry in entries}
    for entry in entries:
        place = entry.position // size
        if _is_head(entries, entry):
            await _repair_type(context, directory, number, entry)
            continue
        fault = _fault(context, entry)
        if fault is None and (place, entry.name) not in taken:
            taken.add((place, entry.name))
            await _repair_type(context, directory, number, entry)
            continue
        kind, what = fault or (Kind.DUPLICATE_NAME, "the name is there twice")
        if not context.found(kind, number, what, name=entry.name):
            continue
        if kind in (Kind.BAD_ENTRY, Kind.FREE_ENTRY, Kind.DIRECTORY_LINK) or entry.is_dot:
            await directory.clear(entry.position)
            continue
        room = entry.length - 8
        new = _free_name(_legal_name(entry), names, min(room, layout.NAME_MAX))
        if new is None or table.row(entry.inode) < 0 or not await directory.replace(entry, entry.inode, new):
            await directory.clear(entry.position)
            continue
        names.add(new)
        taken.add((place, new))


def _is_head(entries: Sequence[Entry], entry: Entry) -> bool:
    """Whether this is one of the two entries that every directory begins with."""
    return (entry is entries[0] and entry.name == b".") or (
        len(entries) > 1 and entry is entries[1] and entry.name == b".."
    )


def _fault(context: Context, entry: Entry) -> tuple[Kind, str] | None:
    """What is wrong with an entry taken alone."""
    superblock = context.superblock
    if entry.inode == layout.ROOT_INODE:
        return Kind.DIRECTORY_LINK, "is one more name of the root directory"
    if not superblock.first_inode <= entry.inode <= superblock.inodes:
        return Kind.BAD_ENTRY, f"names inode {entry.inode}, which no entry may name"
    if entry.is_dot:
        return Kind.BAD_NAME, f"a second '{entry.name.decode()}'"
    if not entry.name:
        return Kind.BAD_NAME, f"the name of an entry for inode {entry.inode} is empty"
    if context.table.row(entry.inode) < 0:
        return Kind.FREE_ENTRY, f"names inode {entry.inode}, which is free"
    if b"/" in entry.name or b"\0" in entry.name:
        return Kind.BAD_NAME, "the name has a slash or a NUL in it"
    return None


async def _repair_type(context: Context, directory: Directory, number: int, entry: Entry) -> None:
    should = directory.type_of(entry.inode)
    typed = bool(context.superblock.incompat & layout.INCOMPAT_FILETYPE)
    if entry.type in (0, should) or (typed and context.table.row(entry.inode) < 0):
        return
    what = f"the entry says type {entry.type}, should be {should}"
    kind = Kind.FILE_TYPE if typed else Kind.SPARE_FILE_TYPE
    if context.found(kind, number, what, name=entry.name):
        await directory.replace(entry, entry.inode, entry.name)


def _legal_name(entry: Entry) -> bytes:
    name = entry.name.replace(b"/", b"_").replace(b"\0", b"_")
    return name or b"#%d" % entry.inode


def _free_name(wanted: bytes, names: set[bytes], limit: int) -> bytes | None:
    """`wanted`, or with a number behind it if that is taken; at most `limit` bytes. None: it cannot be."""
    if wanted not in names and wanted not in (b".", b"..") and len(wanted) <= limit:
        return wanted
    for number in range(1, 1 << 16):
        suffix = b"~%d" % number
        if len(suffix) > limit:
            return None
        name = wanted[: limit - len(suffix)] + suffix
        if name not in names:
            return name
    return None


async def _check_indexes(context: Context, entries: Ext2Entries) -> None:
    """Drop search trees that are wrong; directories are searched without them then."""
    flags = context.table.columns["i_flags"]
    rows = context.table.rows_of_type(stat.S_IFDIR)
    rows = rows[flags[rows] & layout.FLAG_INDEX != 0]
    if not len(rows):
        return
    faults = await index_faults(context, rows, entries)
    await name_rows(context, np.array(sorted(faults), np.int64))
    for row, (kind, what) in sorted(faults.items()):
        if context.found(kind, int(context.table.numbers[row]), f"the search tree of the directory: {what}"):
            context.table.put(row, "i_flags", int(flags[row]) & ~layout.FLAG_INDEX)
