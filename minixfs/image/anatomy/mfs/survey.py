"""The kind and owner of every block of an MFS volume, from the bitmaps, the inode table and all zone numbers.

Bulk work with the checker's readers: a volume of some GiB takes a second or two, mostly to read its inode table.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from minixfs.errors import MinixFsError, Unsupported
from minixfs.fs.mfs import layout
from minixfs.fs.mfs.bitorder import PREFERENCE, BitOrder, best, to_bits
from minixfs.fsck.blocks import Progress
from minixfs.fsck.mapping import references
from minixfs.fsck.mfs.context import Context
from minixfs.fsck.mfs.inodes import MAPPED_TYPES, InodeTable
from minixfs.fsck.mfs.names import name_rows
from minixfs.fsck.mfs.volume import Tick
from minixfs.fsck.report import REPORT, Judge
from minixfs.image.anatomy.blocks import BlockMap, Kind
from minixfs.image.anatomy.mfs.reader import Reader

MAX_BLOCKS = 1 << 26
"""Blocks that can be mapped; each takes about 15 bytes of memory with all that is computed from it."""
CHUNK = 1 << 14
"""Files looked at together."""
_MAX_PLACE = (1 << 32) - 1


class _TimeIsUp(MinixFsError):
    """Ends the walk from within the readers."""

    def __str__(self) -> str:
        return "looking at all files takes too long"


async def survey(reader: Reader, seconds: float | None = None) -> BlockMap:
    """The map of the volume. After `seconds` the files that are left are left out; `complete` says so.

    Raises BadSuperblock where the geometry is impossible, Unsupported for volumes that need too much memory.
    """
    deadline = None if seconds is None else time.monotonic() + seconds

    def tick(progress: Progress) -> None:
        if deadline is not None and time.monotonic() > deadline:
            raise _TimeIsUp

    reader.superblock.validate(reader.device.size, read_only=True)
    if reader.blocks > MAX_BLOCKS:
        raise Unsupported(f"a volume of {reader.blocks} blocks is too large to be mapped")
    context = await load(reader, tick)
    found = _outline(reader, context.table)
    rows = context.table.rows_of_type(*MAPPED_TYPES)
    try:
        for start in range(0, len(rows), CHUNK):
            await _enter(context, found, rows[start : start + CHUNK])
    except _TimeIsUp:
        found.complete = False
    return found


async def load(reader: Reader, tick: Tick = lambda progress: None) -> Context:
    """The checker's picture of the volume: its inode table, and what its readers need."""
    volume = reader.bulk(tick)
    volume.budget.spend(reader.zones)
    table = InodeTable(volume)
    await table.load()
    return Context(volume, table, Judge(REPORT))


async def names(reader: Reader, numbers: Sequence[int]) -> dict[int, bytes]:
    """The paths of inodes, as far as directories lead to them; of very many inodes only some."""
    context = await load(reader)
    rows = context.table.rows_for(np.array(numbers, np.int64))
    await name_rows(context, rows[rows >= 0])
    return context.paths


def _outline(reader: Reader, table: InodeTable) -> BlockMap:
    """The map without the files."""
    superblock, size = reader.superblock, reader.block_size
    blocks = reader.zones << superblock.zone_shift
    data = superblock.first_data_zone << superblock.zone_shift
    kind = np.full(blocks, Kind.FREE, np.uint8)
    kind[:data] = Kind.UNUSABLE
    kind[: -(-layout.BOOT_SIZE // size)] = Kind.BOOT
    first = layout.SUPERBLOCK_OFFSET // size
    kind[first : -(-(layout.SUPERBLOCK_OFFSET + layout.SUPERBLOCK_SIZE) // size)] = Kind.SUPERBLOCK
    start = layout.START_BLOCK
    for what, count in ((Kind.INODE_MAP, superblock.imap_blocks), (Kind.ZONE_MAP, superblock.zmap_blocks)):
        kind[start : start + count] = what
        start += count
    kind[superblock.inode_table_block : superblock.inode_table_end] = Kind.INODE_TABLE
    in_use = zones_in_use(reader, table)
    present = max(0, reader.zones - superblock.first_data_zone)
    kind[data:][np.repeat(in_use[:present], 1 << superblock.zone_shift)] = Kind.LOST
    return BlockMap(size, kind, np.zeros(blocks, np.uint32), np.zeros(blocks, np.uint32))


def zones_in_use(reader: Reader, table: InodeTable) -> NDArray[np.bool_]:
    """What the zone map says of every data zone."""
    superblock = reader.superblock
    data = reader.bitmap(layout.START_BLOCK + superblock.imap_blocks, superblock.zmap_blocks)
    return to_bits(data, bit_order(reader, table), superblock.zone_bits)[1:]


def bit_order(reader: Reader, table: InodeTable) -> BitOrder:
    """How the bits of both maps lie, judged by the inodes in use."""
    superblock = reader.superblock
    if not superblock.swapped:
        return BitOrder.LE
    inodes = np.zeros(superblock.inode_bits, np.bool_)
    inodes[0] = True
    inodes[table.numbers[table.mode != 0]] = True
    return best(PREFERENCE, reader.bitmap(layout.START_BLOCK, superblock.imap_blocks), inodes)


async def _enter(context: Context, found: BlockMap, rows: NDArray[np.int64]) -> None:
    """Put the blocks of the files `rows` into the map."""
    table, shift = context.table, context.superblock.zone_shift
    within = np.arange(1 << shift)
    kinds = np.where(table.type == stat.S_IFDIR, np.uint8(Kind.DIRECTORY), np.uint8(Kind.FILE))
    kinds[table.bad_blocks] = Kind.BAD
    async for refs in references(context, rows):
        valid = context.is_zone(refs.zones)
        owners, places = refs.rows[valid], refs.places[valid] << shift
        blocks = ((refs.zones[valid] << shift)[:, None] + within).reshape(-1)
        spread = within if refs.level == 0 else np.zeros_like(within)
        found.kind[blocks] = np.repeat(kinds[owners], 1 << shift) if refs.level == 0 else Kind.INDIRECT
        found.owner[blocks] = np.repeat(table.numbers[owners], 1 << shift)
        found.place[blocks] = np.minimum((places[:, None] + spread).reshape(-1), _MAX_PLACE)
