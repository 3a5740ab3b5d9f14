"""All directory entries of an ext2 volume as arrays, and the paths of inodes for messages.

`scan` reads the directories in bulk and walks all their blocks at once, one entry of each block at a time; it judges
nothing but whether entries tile their block. Positions are byte offsets within the directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minixfs.fsck.blocks import distinct
from minixfs.fsck.entries import Entries, NameKind, find_paths
from minixfs.fsck.ext2.context import Context
from minixfs.fsck.mapping import data_zones

_BYTES_PER_ENTRY = 160
_BATCH = 8 << 20
"""Bytes of directories that are walked together: the more, the fewer steps of Python."""
SMALLEST = 12
"""Bytes of the smallest entry."""
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)
"""What is of a name in eight bytes of which so many are."""
_TOGETHER = 1 << 15
"""Entries that are looked at together: what is made of them meanwhile should stay in the processor's cache."""
_MULTIPLIER, _FOLD = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)


@dataclass(eq=False, repr=False)
class Ext2Entries(Entries):
    """Also `length` of the whole entry; `type`: type byte; `closed`: a NUL follows the name (only told of dots)."""

    length: NDArray[np.int64]
    type: NDArray[np.uint8]
    closed: NDArray[np.bool_]

    DTYPES = (*Entries.DTYPES, "i8", "u1", "?")


class Scan(NamedTuple):
    """`entries`, and the rows of the directories with a block that entries do not tile (`broken`)."""

    entries: Ext2Entries
    broken: NDArray[np.int64]


async def scan(context: Context, rows: NDArray[np.int64]) -> Scan:
    """The entries of the directories `rows`, also those beyond their sizes."""
    volume = context.volume
    size = volume.block_size
    owner, place, block = await data_zones(context, rows)
    parts, broken, entries = [], [owner[:0]], 0
    step = max(1, _BATCH // size)
    for start in range(0, len(block), step):
        part = slice(start, start + step)
        data = np.empty(len(block[part]) * size + 8, np.uint8)
        data[-8:] = 0
        for first in range(0, len(block[part]), volume.batch_blocks):
            some = block[part][first : first + volume.batch_blocks]
            data[first * size : (first + len(some)) * size] = (await volume.read_blocks(some)).reshape(-1)
        offsets, heads, bad = _walk(data, size)
        entries += len(offsets)
        volume.budget.need(entries * _BYTES_PER_ENTRY)
        for low in range(0, len(offsets), _TOGETHER):
            few = slice(low, low + _TOGETHER)
            parts.append(_parse(data, size, offsets[few], heads[few], owner[part], place[part], block[part]))
        broken.append(owner[part][bad])
    return Scan(Ext2Entries.join(parts), distinct(np.concatenate(broken)))


def _walk(data: NDArray[np.uint8], size: int) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64]]:
    """Byte offsets, ascending, of all entries in the blocks that `data` begins with; their heads, behind the inode
    number; and the blocks that they do not tile, with their entries as far as they do."""
    lengths, halves = data.view("<u2")[2:], size // 2
    at = np.arange(0, len(data) // size * halves, halves, dtype=np.int32)  # in units of two bytes, as `lengths`
    end = at + halves
    found = [at[:0]]
    while len(at):  # a step for each entry of a block, so it is a short one: what all have is judged at once later
        found.append(at)
        length = entry_length(lengths.take(at), size)
        at = at + (length >> 1)
        more = (at < end) & (length >= SMALLEST)
        if not more.all():
            at, end = at[more], end[more]
    offsets = np.sort(np.concatenate(found)).astype(np.int64) << 1
    heads = data.view("<u4").take((offsets >> 2) + 1)
    length = entry_length(heads & 0xFFFF, size)
    bad = (length < SMALLEST) | (length & 3 != 0) | ((heads >> 16 & 0xFF) + 8 > length)
    bad |= (offsets & size - 1) + length > size
    if not bad.any():
        return offsets, heads, offsets[:0]
    block = offsets // size
    first = np.full(len(data) // size, len(data))
    np.minimum.at(first, block[bad], offsets[bad])
    good = offsets < first[block]
    return offsets[good], heads[good], distinct(block[bad])


def entry_length(stored: Any, size: int) -> Any:
    """What the 16 bits of a length mean: blocks of 64 KiB are one more than they can say."""
    if size < 1 << 16:
        return stored
    return np.where((stored == 0xFFFF) | (stored == 0), 1 << 16, stored)


def _parse(
    data: NDArray[np.uint8],
    size: int,
    offsets: NDArray[np.int64],
    heads: NDArray[np.uint32],
    owner: NDArray[np.int64],
    place: NDArray[np.int64],
    block: NDArray[np.int64],
) -> Ext2Entries:
    """The entries in use at `offsets`, with their names classified."""
    words, at = data.view("<u4"), offsets >> 2
    inodes = words.take(at)
    if not inodes.all():
        used = inodes != 0
        offsets, heads, at, inodes = offsets[used], heads[used], at[used], inodes[used]
    first = words.take(at + 2)
    name_length = heads >> np.uint32(16) & np.uint32(0xFF)
    kind, digest = _classify(data, offsets, name_length)
    kind[(name_length == 1) & (first & 0xFF == 0x2E)] = NameKind.DOT
    kind[(name_length == 2) & (first & 0xFFFF == 0x2E2E)] = NameKind.DOTDOT
    kind[name_length == 0] = NameKind.EMPTY
    closed = first & np.where(kind == NameKind.DOT, np.uint32(0xFF00), np.uint32(0xFF0000)) == 0
    index = offsets // size
    return Ext2Entries(
        owner[index],
        place[index] * size + offsets % size,
        inodes.astype(np.int64),
        kind,
        digest,
        block[index],
        entry_length(heads & 0xFFFF, size).astype(np.int64),
        (heads >> 24).astype(np.uint8),
        closed,
    )


def _classify(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], name_length: NDArray[np.uint32]
) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    """PLAIN or ILLEGAL, and a hash, of each name; eight bytes of all names at a time."""
    words: NDArray[np.uint64] = np.ndarray((len(data) // 4 - 1,), "<u8", data.data, strides=(4,))
    kind = np.zeros(len(offsets), np.uint8)
    digest = name_length.astype(np.uint64)
    rest, at = name_length, (offsets >> 2) + 2
    which: Any = slice(None)
    while len(at):
        mask = _MASKS.take(np.minimum(rest, 8))
        word = words[at] & mask
        letters = (word | ~mask).view(np.uint8)  # what is not of the name is neither a NUL nor a slash
        illegal = (letters == 0) | (letters == ord("/"))
        if illegal.any():
            kind[np.arange(len(kind))[which][illegal.reshape(-1, 8).any(axis=1)]] = NameKind.ILLEGAL
        mixed = (digest[which] ^ word) * _MULTIPLIER
        digest[which] = mixed ^ mixed >> _FOLD
        more = np.flatnonzero(rest > 8)
        rest, at, which = rest[more] - 8, at[more] + 2, np.arange(len(kind))[which][more]
    return kind, digest


async def name_rows(context: Context, rows: NDArray[np.int64]) -> None:
    """See to it that `context.paths` has the paths of these inodes, as far as directories lead to them."""
    await find_paths(context, rows, _entries)


async def _entries(context: Context, rows: NDArray[np.int64]) -> Ext2Entries:
    return (await scan(context, rows)).entries
