"""All directory entries of an MFS volume as arrays, and the paths of inodes for messages.

`scan` reads the directories in bulk; it judges nothing, so it works on any volume. Positions are slot
numbers within the directory. What follows a NUL is not of a name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minixfs.fsck.entries import Entries, NameKind, find_paths
from minixfs.fsck.mapping import data_zones
from minixfs.fsck.mfs.context import Context
from minixfs.layouts import Record

_BYTES_PER_ENTRY = 100
_NAME_WORDS = 8
_MULTIPLIERS = [np.uint64(pow(0x9E3779B97F4A7C15, power, 1 << 64)) for power in range(1, _NAME_WORDS + 1)]
_ONES, _HIGHS = (np.uint64(byte * 0x0101010101010101) for byte in (0x01, 0x80))
_ONE, _FOLD = np.uint64(1), np.uint64(29)
_SHORT = {
    np.uint64(0): NameKind.EMPTY,
    np.uint64(ord(".")): NameKind.DOT,
    np.uint64(ord(".") * 0x101): NameKind.DOTDOT,
}
"""The first eight bytes of names that are not plain, as an integer."""


async def scan(context: Context, rows: NDArray[np.int64]) -> Entries:
    """The entries of the directories `rows`, also those beyond their sizes."""
    volume, superblock = context.volume, context.superblock
    shift, record = superblock.zone_shift, superblock.dirent_record
    per_block = superblock.block_size // record.size
    owner, place, zone = await data_zones(context, rows)
    owner, place = np.repeat(owner, 1 << shift), np.repeat(place, 1 << shift) << shift
    place += np.tile(np.arange(1 << shift), len(zone))
    block = np.repeat(zone << shift, 1 << shift) + np.tile(np.arange(1 << shift), len(zone))
    parts, entries = list[Entries](), 0
    for start in range(0, len(block), volume.batch_blocks):
        part = slice(start, start + volume.batch_blocks)
        data = (await volume.read_blocks(block[part])).reshape(-1)
        inodes = data.view(record.dtype)["d_ino"]
        used = np.flatnonzero(inodes != 0)
        entries += len(used)
        volume.budget.need(entries * _BYTES_PER_ENTRY)
        kind, digest = _classify(data, used, record)
        which = used // per_block
        position = place[part][which] * per_block + (used - which * per_block)
        parts.append(
            Entries(owner[part][which], position, inodes[used].astype(np.int64), kind, digest, block[part][which])
        )
    return Entries.join(parts)


def _classify(
    data: NDArray[np.uint8], used: NDArray[np.int64], record: Record
) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    """NameKind and hash of the name in each of the `used` slots of `data`; eight bytes of all names at a time."""
    kind = np.zeros(len(used), np.uint8)
    digest = np.zeros(len(used), np.uint64)
    which: Any = slice(None)
    for column, at in enumerate(range(record.offsets["d_name"], record.size, 8)):
        start = min(at, record.size - 8)
        words: NDArray[np.uint64] = np.ndarray((len(data) // record.size,), "<u8", data, start, (record.size,))
        word = words[used[which]] >> np.uint64(8 * (at - start))
        # The lowest bit that is set here belongs to the first NUL, if there is one; what is below it is of the name.
        nul = (word - _ONES) & ~word & _HIGHS
        word &= (nul & -nul) - _ONE
        slashes = word.view(np.uint8) == ord("/")
        if slashes.any():
            kind[np.arange(len(used))[which][slashes.reshape(-1, 8).any(axis=1)]] = NameKind.ILLEGAL
        if column == 0:
            for short, meaning in _SHORT.items():
                kind[word == short] = meaning
        part = word * _MULTIPLIERS[column]
        digest[which] ^= part ^ part >> _FOLD
        more = np.flatnonzero(nul == 0)
        if not len(more):
            break
        which = np.arange(len(used))[which][more]
    return kind, digest


async def name_rows(context: Context, rows: NDArray[np.int64]) -> None:
    """See to it that `context.paths` has the paths of these inodes, as far as directories lead to them."""
    await find_paths(context, rows, scan)
