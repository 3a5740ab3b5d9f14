"""One check from superblock to superblock: the passes, their repetition, and the end."""

from __future__ import annotations

import stat

import numpy as np

from minixfs.fs.mfs import layout
from minixfs.fsck.claims import survey
from minixfs.fsck.mfs.context import Context, Kind
from minixfs.fsck.mfs.directories import check_directories
from minixfs.fsck.mfs.inodes import MAPPED_TYPES, InodeTable
from minixfs.fsck.mfs.maps import check_maps
from minixfs.fsck.mfs.sizes import check_sizes
from minixfs.fsck.mfs.superblock import check_limits, read_superblock, settle
from minixfs.fsck.mfs.tree import check_tree
from minixfs.fsck.mfs.types import check_types
from minixfs.fsck.mfs.volume import Budget, Tick, Volume
from minixfs.fsck.mfs.zones import check_zones
from minixfs.fsck.report import REPORT, Finding, Judge, Policy, Report
from minixfs.hw.blockdev.device import BlockDevice

MEMORY_LIMIT = 1 << 30
"""Bytes that a check may use unless told otherwise; enough for some ten million files or a volume of 500 GB."""
_MAX_ROUNDS = 12
"""A repair can bring up what it hid (a copied indirect block its shared zones); each level of that is a round."""
_BYTES_PER_ZONE = 4
_BYTES_PER_INODE = 8


async def is_clean(device: BlockDevice) -> bool:
    """Whether the volume carries the mark of a clean unmount. Raises BadSuperblock when there is none."""
    return (await read_superblock(device)).clean


async def check(
    device: BlockDevice,
    policy: Policy = REPORT,
    *,
    padding: bool | None = None,
    memory_limit: int = MEMORY_LIMIT,
    tick: Tick = lambda progress: None,
    undo: str | None = None,
) -> Report:
    """Check the volume on `device` and repair what `policy` allows.

    `padding` makes the unused bits of the bitmaps all ones or zeroes; None tolerates both. `tick` is called
    with the progress while reading, and may raise to give up: nothing has been written then. With a writing policy
    a volume without remaining faults is marked clean. `undo` names a new file for what is overwritten, which is made
    only if anything is; then `Report.undo` names it too.

    Raises BadSuperblock when there is no volume or its geometry is impossible, Unsupported for unknown
    features and for volumes that need more than `memory_limit` bytes, DeviceError, ReadOnly.
    """
    if policy.write:
        device.check_writable()
    budget = Budget(memory_limit)
    judge = Judge(policy)
    superblock = await settle(device, judge, budget)
    budget.spend(superblock.zones * _BYTES_PER_ZONE + superblock.inodes * _BYTES_PER_INODE)
    volume = Volume(device, superblock, budget, tick)
    judge.report.was_clean = superblock.clean
    check_limits(superblock, judge)
    table = InodeTable(volume)
    await table.load()
    context = Context(volume, table, judge)
    repairs = -1
    for _ in range(_MAX_ROUNDS):
        if judge.repairs == repairs:
            break
        repairs = judge.repairs
        judge.begin_round()
        await _round(context, padding)
        if not policy.write:
            break
    else:
        judge.stuck(Finding(Kind.UNSETTLED, "repairs bring up new faults again and again; run the check once more"))
    report = judge.finish()
    report.totals = _totals(context)
    report.is_clean = report.was_clean
    if policy.write:
        await table.flush()
        await _store(volume, report, undo)
    return report


async def _round(context: Context, padding: bool | None) -> None:
    before = context.judge.repairs
    await check_types(context)
    await check_zones(context)
    await check_sizes(context)
    await check_tree(context, await check_directories(context))
    if context.judge.repairs != before:
        context.recount((await survey(context, context.table.rows_of_type(*MAPPED_TYPES))).in_use)
    await check_maps(context, padding)


async def _store(volume: Volume, report: Report, undo: str | None) -> None:
    """Write the repairs, and the superblock if it changes."""
    superblock = volume.superblock
    sound = not report.left
    if sound:
        superblock.state &= ~layout.STATE_ERROR
    if volume.changed or report.fixed or sound != report.was_clean:
        await volume.apply(sound, undo)
        report.undo = undo
    report.is_clean = sound


def _totals(context: Context) -> dict[str, int]:
    table, superblock = context.table, context.superblock
    types = {
        "files": stat.S_IFREG,
        "directories": stat.S_IFDIR,
        "symlinks": stat.S_IFLNK,
    }
    totals = {name: len(table.rows_of_type(kind)) for name, kind in types.items()}
    used = int((table.mode != 0).sum())
    return totals | {
        "other": used - sum(totals.values()),
        "inodes": superblock.inodes,
        "inodes_used": used,
        "zones": superblock.zones - superblock.first_data_zone,
        "zones_used": int(np.count_nonzero(context.in_use)),
        "zone_size": superblock.zone_size,
    }
