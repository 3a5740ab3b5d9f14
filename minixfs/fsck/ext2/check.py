"""One check from superblock to superblock: the passes, their repetition, and the end."""

from __future__ import annotations

import stat
from collections import Counter

import numpy as np

from minixfs.fs.ext2 import layout
from minixfs.fsck.blocks import Budget, Tick
from minixfs.fsck.claims import survey
from minixfs.fsck.ext2.claims import check_claims, mapped_rows
from minixfs.fsck.ext2.context import Context
from minixfs.fsck.ext2.directories import check_directories
from minixfs.fsck.ext2.groups import settle_groups
from minixfs.fsck.ext2.inodes import InodeTable
from minixfs.fsck.ext2.kinds import HARMLESS, Kind
from minixfs.fsck.ext2.maps import check_maps
from minixfs.fsck.ext2.orphans import check_orphans
from minixfs.fsck.ext2.reserved import check_reserved, check_resize
from minixfs.fsck.ext2.sizes import check_counts, check_sizes, check_symlinks
from minixfs.fsck.ext2.superblock import Place, read_superblock, settle, why_check
from minixfs.fsck.ext2.tree import check_tree
from minixfs.fsck.ext2.types import check_types
from minixfs.fsck.ext2.volume import Volume
from minixfs.fsck.ext2.xattr import check_xattr_blocks
from minixfs.fsck.report import REPORT, Finding, Judge, Policy, Report
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.clock import seconds_stored

MEMORY_LIMIT = 1 << 30
"""Bytes that a check may use unless told otherwise."""
_MAX_ROUNDS = 12
"""A repair can bring up what it hid (a copied indirect block its shared blocks); each level of that is a round."""
_BYTES_PER_BLOCK = 6
_BYTES_PER_INODE = 8


class _NeedsDecision(Exception):
    """Preening met a fault whose repair may lose something."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def _only_harmless(finding: Finding) -> bool:
    if finding.kind not in HARMLESS:
        raise _NeedsDecision(finding)
    return True


PREEN = Policy(write=True, ask=_only_harmless)
"""Repair what nothing is lost by. The first other fault ends the check: it is reported, and nothing is changed."""


async def is_clean(device: BlockDevice) -> bool:
    """Whether the volume is marked clean and not due for a check. Raises BadSuperblock when there is none."""
    return why_check(await read_superblock(device)) is None


async def check(
    device: BlockDevice,
    policy: Policy = REPORT,
    *,
    place: Place | None = None,
    memory_limit: int = MEMORY_LIMIT,
    undo: str | None = None,
    tick: Tick = lambda progress: None,
) -> Report:
    """Check the volume on `device` and repair what `policy` allows.

    `place` says where to read the superblock instead of the usual place. `undo` names a file for what is overwritten.
    `tick` is called with the progress while reading, and may raise to give up: nothing has been written then. With a
    writing policy a volume without remaining faults is marked clean and as checked now.

    Raises BadSuperblock when there is no volume or its geometry is impossible, Unsupported for unknown features, for
    a journal in use and for volumes that need more than `memory_limit` bytes, DeviceError, ReadOnly, OSError for the
    undo file.
    """
    if policy.write:
        device.check_writable()
    judge = Judge(policy)
    try:
        return await _check(device, judge, policy.write, place, Budget(memory_limit), undo, tick)
    except _NeedsDecision as stop:
        stop.finding.message += "; this needs a decision"
        return Report([stop.finding], left=1, kinds=Counter({stop.finding.kind: 1}))


async def _check(
    device: BlockDevice, judge: Judge, write: bool, place: Place | None, budget: Budget, undo: str | None, tick: Tick
) -> Report:
    superblock, descriptors = await settle(device, judge, place)
    budget.spend(superblock.blocks * _BYTES_PER_BLOCK + superblock.inodes * _BYTES_PER_INODE)
    volume = Volume(device, superblock, budget, tick)
    judge.report.was_clean = superblock.clean
    groups = await settle_groups(volume, judge, descriptors)
    table = InodeTable(volume, groups)
    await table.load()
    context = Context(volume, groups, table, judge)
    await check_orphans(context)
    repairs = -1
    for _ in range(_MAX_ROUNDS):
        if judge.repairs == repairs:
            break
        repairs = judge.repairs
        judge.begin_round()
        await _round(context)
        if not write:
            break
    else:
        judge.stuck(Finding(Kind.UNSETTLED, "repairs bring up new faults again and again; run the check once more"))
    report = judge.finish()
    report.totals = _totals(context)
    report.is_clean = report.was_clean
    if write:
        await table.flush()
        await groups.store(volume)
        await _store(volume, report, undo)
    return report


async def _round(context: Context) -> None:
    before = context.judge.repairs
    await check_types(context)
    await check_symlinks(context)
    await check_reserved(context)
    await check_xattr_blocks(context)
    await check_claims(context)
    await check_resize(context)
    await check_sizes(context)
    await check_tree(context, await check_directories(context))
    if context.judge.repairs != before:
        found = await survey(context, mapped_rows(context))
        context.recount(found.in_use)
        context.end, context.count = found.end, found.count
    await check_counts(context)
    await check_maps(context)


async def _store(volume: Volume, report: Report, undo: str | None) -> None:
    """Write the repairs and the superblock."""
    superblock = volume.superblock
    now = seconds_stored()
    sound = not report.left
    if sound:
        superblock.state = layout.STATE_VALID
        superblock.last_check, superblock.mount_count = now, 0
        superblock.error_count = 0
        superblock.first_error_time = superblock.first_error_inode = superblock.first_error_block = 0
        superblock.last_error_time = superblock.last_error_inode = superblock.last_error_block = 0
    else:
        superblock.state = superblock.state & ~layout.STATE_VALID | layout.STATE_ERROR
    superblock.write_time = now
    await volume.apply(undo)
    report.undo, report.is_clean = undo, sound


def _totals(context: Context) -> dict[str, int]:
    table, superblock = context.table, context.superblock
    types = {"files": stat.S_IFREG, "directories": stat.S_IFDIR, "symlinks": stat.S_IFLNK}
    totals = {name: len(table.rows_of_type(kind)) for name, kind in types.items()}
    used = int(np.count_nonzero(table.ordinary))
    return totals | {
        "other": used - sum(totals.values()),
        "inodes": superblock.inodes,
        "inodes_used": superblock.inodes - superblock.free_inodes,
        "zones": superblock.blocks,
        "zones_used": superblock.blocks - superblock.free_blocks,
        "zone_size": superblock.block_size,
    }
