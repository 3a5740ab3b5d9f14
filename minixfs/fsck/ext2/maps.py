"""The bitmaps and counts of the groups against what is really in use."""

from __future__ import annotations

import stat

import numpy as np
from numpy.typing import NDArray

from minixfs.fsck.ext2.context import Context
from minixfs.fsck.ext2.kinds import Kind
from minixfs.fsck.report import Finding

_RUNS_SHOWN = 8


async def check_maps(context: Context) -> None:
    """Make bitmaps and counts say what `context` says. Totals in the superblock are no fault, only out of date."""
    context.volume.begin(5, "bitmaps")
    superblock, table, groups = context.superblock, context.table, context.groups
    count = superblock.groups
    blocks = np.ones(count * superblock.blocks_per_group, np.bool_)
    blocks[: superblock.blocks - superblock.first_data_block] = context.in_use[superblock.first_data_block :]
    used = np.zeros(superblock.inodes, np.bool_)
    used[: superblock.first_inode - 1] = True
    used[table.numbers[table.used] - 1] = True
    directories = table.numbers[table.rows_of_type(stat.S_IFDIR)] - 1

    sizes = [superblock.group_blocks(group) for group in range(count)]
    await _check_map(context, Kind.BLOCK_MAP, "block", superblock.first_data_block, blocks, np.array(sizes))
    sizes = [superblock.inodes_per_group] * count
    await _check_map(context, Kind.INODE_MAP, "inode", 1, used, np.array(sizes))

    free_blocks = np.count_nonzero(~blocks.reshape(count, -1), axis=1)
    free_inodes = np.count_nonzero(~used.reshape(count, -1), axis=1)
    in_group = np.bincount(directories // superblock.inodes_per_group, minlength=count)
    for field, what, should in (
        ("bg_free_blocks_count", "free blocks", free_blocks),
        ("bg_free_inodes_count", "free inodes", free_inodes),
        ("bg_used_dirs_count", "directories", in_group),
    ):
        stored = groups.table[field]
        for group in np.flatnonzero(stored != should).tolist():
            finding = Finding(Kind.GROUP_COUNT, f"group {group}: {stored[group]} {what}, should be {should[group]}")
            if context.judge.found(finding):
                stored[group] = should[group]
                groups.changed = True
    superblock.free_blocks, superblock.free_inodes = int(free_blocks.sum()), int(free_inodes.sum())


async def _check_map(
    context: Context, kind: Kind, noun: str, base: int, should: NDArray[np.bool_], sizes: NDArray[np.int64]
) -> None:
    """Compare the bitmap of one `kind`. `should` has the same number of bits for each group, of which the first `sizes`
    mean something; the first one speaks of number `base`."""
    volume, groups = context.volume, context.groups.table
    places = groups["bg_block_bitmap" if kind is Kind.BLOCK_MAP else "bg_inode_bitmap"].astype(np.int64)
    per_group, bits = len(should) // len(places), 8 * volume.block_size
    faults: dict[str, list[NDArray[np.int64]]] = {}
    wrong: list[tuple[int, NDArray[np.uint8]]] = []
    padded = 0
    for start in range(0, len(places), volume.batch_blocks):
        part = places[start : start + volume.batch_blocks]
        stored = await volume.read_blocks(part)
        want = np.ones((len(part), bits), np.bool_)
        want[:, :per_group] = should[start * per_group : (start + len(part)) * per_group].reshape(len(part), -1)
        packed = np.packbits(want, axis=1, bitorder="little")
        for index in np.flatnonzero((stored != packed).any(axis=1)).tolist():
            group = start + index
            have = np.unpackbits(stored[index], bitorder="little").astype(np.bool_)
            size = int(sizes[group])
            padded += not have[size:].all()
            first = base + group * per_group
            missing = np.flatnonzero(~have[:size] & want[index, :size]) + first
            surplus = np.flatnonzero(have[:size] & ~want[index, :size]) + first
            faults.setdefault(f"{noun}s in use that the {noun} map calls free", []).append(missing)
            faults.setdefault(f"{noun}s marked in the {noun} map that nothing uses", []).append(surplus)
            wrong.append((group, packed[index]))
    accepted = True
    for what, parts in faults.items():
        numbers = np.concatenate(parts)
        if len(numbers):
            accepted &= context.judge.found(Finding(kind, f"{what}: {_runs(numbers)}"))
    if padded:
        what = f"unused bits at the end of the {noun} map are not 1 in {padded} groups"
        accepted &= context.judge.found(Finding(Kind.PADDING, what))
    if accepted:
        for group, data in wrong:
            (await volume.edit(int(places[group])))[:] = data.tobytes()


def _runs(numbers: NDArray[np.int64]) -> str:
    """Ascending numbers as ``3-5, 9, ...``, and how many they are."""
    breaks = np.flatnonzero(np.diff(numbers) != 1)
    firsts = numbers[np.concatenate([[0], breaks + 1])].tolist()
    lasts = numbers[np.concatenate([breaks, [len(numbers) - 1]])].tolist()
    shown = [f"{a}-{b}" if a != b else str(a) for a, b in zip(firsts, lasts, strict=True)][:_RUNS_SHOWN]
    more = ", ..." if len(firsts) > _RUNS_SHOWN else ""
    return f"{', '.join(shown)}{more} ({len(numbers)})"
