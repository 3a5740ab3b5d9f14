"""The kind and owner of every block of an ext2 volume, from descriptors, bitmaps, inode tables and all block numbers.

Bulk work with the checker's readers: a volume of some GiB takes a second or two, mostly to read its inode tables.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from minixfs.errors import MinixFsError
from minixfs.fs.ext2 import layout
from minixfs.fsck.blocks import Progress
from minixfs.fsck.ext2.claims import mapped_rows
from minixfs.fsck.ext2.context import Context
from minixfs.fsck.ext2.entries import name_rows
from minixfs.fsck.mapping import references
from minixfs.image.anatomy.blocks import BlockMap, Kind
from minixfs.image.anatomy.ext2.reader import Reader

CHUNK = 1 << 14
"""Files looked at together."""
_MAX_PLACE = (1 << 32) - 1
_BITMAP_UNSET = 0x2
"""The flag of groups whose block bitmap was never written."""


class _TimeIsUp(MinixFsError):
    """Ends the walk from within the readers."""

    def __str__(self) -> str:
        return "looking at all files takes too long"


async def survey(reader: Reader, seconds: float | None = None) -> BlockMap:
    """The map of the volume. After `seconds` the files that are left are left out; `complete` says so.

    Raises BadSuperblock or Corrupt where the geometry is impossible, Unsupported for volumes that need too much memory
    or whose files are not mapped as on ext2.
    """
    deadline = None if seconds is None else time.monotonic() + seconds

    def tick(progress: Progress) -> None:
        if deadline is not None and time.monotonic() > deadline:
            raise _TimeIsUp

    context = reader.context(tick)
    await context.table.load()
    found = await _outline(reader, context)
    _enter_attributes(context, found)
    rows = mapped_rows(context)
    kinds = _kinds(context)
    try:
        for start in range(0, len(rows), CHUNK):
            await _enter(context, found, rows[start : start + CHUNK], kinds)
    except _TimeIsUp:
        found.complete = False
    return found


async def names(reader: Reader, numbers: Sequence[int]) -> dict[int, bytes]:
    """The paths of inodes, as far as directories lead to them; of very many inodes only some."""
    context = reader.context()
    await context.table.load()
    known = np.array([number for number in numbers if number <= context.superblock.inodes], np.int64)
    rows = context.table.rows_for(known)
    await name_rows(context, rows[rows >= 0])
    return context.paths


async def users_of_attributes(reader: Reader, block: int) -> list[int]:
    """The inodes whose extended attributes are in this block."""
    context = reader.context()
    await context.table.load()
    table = context.table
    users: list[int] = table.numbers[table.used & (table.columns["i_file_acl"] == block)].tolist()
    return users


async def _outline(reader: Reader, context: Context) -> BlockMap:
    """The map without the files."""
    superblock, blocks = reader.superblock, reader.blocks
    present = context.superblock
    kind = np.full(blocks, Kind.FREE, np.uint8)
    kind[present.blocks :] = Kind.UNUSABLE
    kind[: superblock.first_data_block] = Kind.BOOT
    for group in range(present.groups):
        descriptor = context.groups.table[group]
        start, length = superblock.group_start(group), superblock.group_blocks(group)
        await _enter_bitmap(reader, kind, start, min(length, blocks - start), descriptor)
        if superblock.has_copy(group):
            end = start + 1 + superblock.descriptor_blocks
            kind[end : end + superblock.reserved_gdt_blocks] = Kind.RESERVED_DESCRIPTORS
            kind[start + 1 : end] = Kind.DESCRIPTORS
            kind[start : start + 1] = Kind.SUPERBLOCK_COPY if group else Kind.SUPERBLOCK
        table = int(descriptor["bg_inode_table"])
        kind[table : table + superblock.inode_table_blocks] = Kind.INODE_TABLE
        for field, what in (("bg_block_bitmap", Kind.BLOCK_MAP), ("bg_inode_bitmap", Kind.INODE_MAP)):
            block = int(descriptor[field])
            kind[block : block + 1] = what
    return BlockMap(reader.block_size, kind, np.zeros(blocks, np.uint32), np.zeros(blocks, np.uint32))


async def _enter_bitmap(
    reader: Reader, kind: NDArray[np.uint8], start: int, length: int, descriptor: NDArray[np.void]
) -> None:
    """Mark what the bitmap of a group says is in use."""
    block = int(descriptor["bg_block_bitmap"])
    if descriptor["bg_flags"] & _BITMAP_UNSET or not 0 < block < reader.blocks:
        return
    data = np.frombuffer(reader.block(block), np.uint8)
    used = np.unpackbits(data[: -(-length // 8)], bitorder="little")[:length]
    kind[start : start + len(used)][used == 1] = Kind.LOST


def _enter_attributes(context: Context, found: BlockMap) -> None:
    """The blocks of extended attributes, which files may share and so belong to none, and the one block that the
    resize inode has besides the room for descriptors."""
    table = context.table
    blocks = table.columns["i_file_acl"][table.used].astype(np.int64)
    found.kind[blocks[context.is_zone(blocks)]] = Kind.ATTRIBUTES
    resize = table.numbers == layout.RESIZE_INODE
    own = table.columns["i_block"][resize, layout.DIRECT_BLOCKS + 1].astype(np.int64)
    found.kind[own[context.is_zone(own)]] = Kind.RESERVED_DESCRIPTORS


def _kinds(context: Context) -> NDArray[np.uint8]:
    """What the data of every row is."""
    table = context.table
    kinds = np.where(table.type == stat.S_IFDIR, np.uint8(Kind.DIRECTORY), np.uint8(Kind.FILE))
    kinds[table.reserved_row(layout.BAD_BLOCKS_INODE)] = Kind.BAD
    if context.superblock.compat & layout.COMPAT_HAS_JOURNAL:
        kinds[table.numbers == context.superblock.journal_inode] = Kind.JOURNAL
    return kinds


async def _enter(context: Context, found: BlockMap, rows: NDArray[np.int64], kinds: NDArray[np.uint8]) -> None:
    """Put the blocks of the files `rows` into the map."""
    numbers = context.table.numbers
    async for refs in references(context, rows):
        valid = context.is_zone(refs.zones)
        owners, blocks = refs.rows[valid], refs.zones[valid]
        found.kind[blocks] = kinds[owners] if refs.level == 0 else Kind.INDIRECT
        found.owner[blocks] = numbers[owners]
        found.place[blocks] = np.minimum(refs.places[valid], _MAX_PLACE)
