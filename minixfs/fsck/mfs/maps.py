"""The bitmaps against what is really in use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.mfs import layout
from minixfs.fs.mfs.bitorder import PREFERENCE, BitOrder, best, from_bits, to_bits
from minixfs.fsck.mfs.context import Context, Kind
from minixfs.fsck.report import Finding

_RUNS_SHOWN = 8


async def check_maps(context: Context, padding: bool | None) -> None:
    """Make both bitmaps say what `context` says. `padding` True or False: also make all padding bits so."""
    superblock, table = context.superblock, context.table
    context.volume.begin(5, "bitmaps", superblock.imap_blocks + superblock.zmap_blocks)
    inodes = np.zeros(superblock.inode_bits, np.bool_)
    inodes[0] = True
    inodes[table.numbers[table.mode != 0]] = True
    first_zone = superblock.first_data_zone
    zones = np.concatenate([[True], context.in_use[first_zone:]])
    start, blocks = layout.START_BLOCK, superblock.imap_blocks
    data = (await _read(context, start, blocks)).tobytes()
    order = best(PREFERENCE, data, inodes) if superblock.swapped else BitOrder.LE
    await _check_map(context, Kind.INODE_MAP, "inode", 0, start, data, inodes, order, padding)
    start += blocks
    data = (await _read(context, start, superblock.zmap_blocks)).tobytes()
    await _check_map(context, Kind.ZONE_MAP, "zone", first_zone - 1, start, data, zones, order, padding)


async def _read(context: Context, start: int, count: int) -> NDArray[np.uint8]:
    step = context.volume.batch_blocks
    ends = range(start, start + count, step)
    return np.concatenate([await context.volume.read_run(n, min(step, start + count - n)) for n in ends])


async def _check_map(
    context: Context,
    kind: Kind,
    noun: str,
    base: int,
    start: int,
    data: bytes,
    should: NDArray[np.bool_],
    order: BitOrder,
    padding: bool | None,
) -> None:
    """Compare a map, which lies from block `start` on; bit n speaks of number n + `base`."""
    if padding is None and _agrees(data, should, order):
        return
    stored = to_bits(data, order, 8 * len(data))
    valid, rest = stored[: len(should)], stored[len(should) :]
    new = stored.copy()
    for wrong, what in (
        (~valid & should, f"{noun}s in use that the {noun} map calls free"),
        (valid & ~should, f"{noun}s marked in the {noun} map that nothing uses"),
    ):
        numbers = np.flatnonzero(wrong)
        if len(numbers):
            finding = Finding(kind, f"{what}: {_runs(numbers + base)}", zone=None)
            if context.judge.found(finding):
                new[numbers] = should[numbers]
    if padding is not None and (rest != padding).any():
        finding = Finding(Kind.PADDING, f"unused bits at the end of the {noun} map are not {int(padding)}")
        if context.judge.found(finding):
            new[len(should) :] = padding
    if (new == stored).all():
        return
    size = context.superblock.block_size
    for block in np.unique(np.flatnonzero(new != stored) // (8 * size)).tolist():
        bits = new[block * 8 * size : (block + 1) * 8 * size]
        (await context.volume.edit(start + block))[:] = from_bits(bits, order, size, padding=False)


def _agrees(data: bytes, should: NDArray[np.bool_], order: BitOrder) -> bool:
    """Whether the map begins with these bits; eight are looked at together."""
    wanted = np.packbits(should, bitorder="little")
    different = np.frombuffer(order.logical(data), np.uint8)[: len(wanted)] ^ wanted
    different[-1] &= 0xFF >> -len(should) % 8
    return not different.any()


def _runs(numbers: NDArray[np.int64]) -> str:
    """Ascending numbers as ``3-5, 9, ...``, and how many they are."""
    breaks = np.flatnonzero(np.diff(numbers) != 1)
    firsts = numbers[np.concatenate([[0], breaks + 1])].tolist()
    lasts = numbers[np.concatenate([breaks, [len(numbers) - 1]])].tolist()
    shown = [f"{a}-{b}" if a != b else str(a) for a, b in zip(firsts, lasts, strict=True)][:_RUNS_SHOWN]
    more = ", ..." if len(firsts) > _RUNS_SHOWN else ""
    return f"{', '.join(shown)}{more} ({len(numbers)})"
