"""One check from superblock to superblock: the passes, their repetition, and the end."""

from __future__ import annotations

import stat
from dataclasses import replace

import numpy as np

from minixfs.errors import BadSuperblock
from minixfs.fs.mfs import layout
from minixfs.fs.mfs.superblock import Superblock
from minixfs.fsck.mfs.context import Context, Kind
from minixfs.fsck.mfs.directories import check_directories
from minixfs.fsck.mfs.inodes import MAPPED_TYPES, InodeTable
from minixfs.fsck.mfs.maps import check_maps
from minixfs.fsck.mfs.sizes import check_sizes
from minixfs.fsck.mfs.tree import check_tree
from minixfs.fsck.mfs.types import check_types
from minixfs.fsck.mfs.volume import Budget, Tick, Volume
from minixfs.fsck.mfs.zones import check_zones, survey
from minixfs.fsck.report import REPORT, Finding, Judge, Policy, Report
from minixfs.hw.blockdev.device import BlockDevice

MEMORY_LIMIT = 1 << 30
"""Bytes that a check may use unless told otherwise; enough for some ten million files or a volume of 500 GB."""
_MAX_ROUNDS = 12
"""A repair can bring up what it hid (a copied indirect block its shared zones); each level of that is a round."""
_BYTES_PER_ZONE = 4
_BYTES_PER_INODE = 4


async def is_clean(device: BlockDevice) -> bool:
    """Whether the volume carries the mark of a clean unmount. Raises BadSuperblock when there is none."""
    return (await _read_superblock(device)).clean


async def check(
    device: BlockDevice,
    policy: Policy = REPORT,
    *,
    padding: bool | None = None,
    memory_limit: int = MEMORY_LIMIT,
    tick: Tick = lambda stage: None,
) -> Report:
    """Check the volume on `device` and repair what `policy` allows.

    `padding` makes the unused bits of the bitmaps all ones or zeroes; None tolerates both. `tick` is called
    with the name of the stage while reading, and may raise to give up: nothing has been written then. With
    a writing policy a volume without remaining faults is marked clean.

    Raises BadSuperblock when there is no volume or its geometry is impossible, Unsupported for unknown
    features and for volumes that need more than `memory_limit` bytes, DeviceError, ReadOnly.
    """
    if policy.write:
        device.check_writable()
    superblock = await _read_superblock(device)
    superblock.validate(device.size, read_only=False)
    budget = Budget(memory_limit)
    budget.spend(superblock.zones * _BYTES_PER_ZONE + superblock.inodes * _BYTES_PER_INODE)
    volume = Volume(device, superblock, budget, tick)
    judge = Judge(policy)
    judge.report.was_clean = superblock.clean
    _check_superblock(superblock, judge)
    table = InodeTable(volume)
    await table.load()
    _check_first_data_zone(superblock, table, judge)
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
        await _store(volume, report)
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


async def _store(volume: Volume, report: Report) -> None:
    """Write the repairs, and the superblock if it changes."""
    superblock = volume.superblock
    sound = not report.left
    if sound:
        superblock.state &= ~layout.STATE_ERROR
    if volume.changed or report.fixed or sound != report.was_clean:
        await volume.apply(clean=sound)
    report.is_clean = sound


async def _read_superblock(device: BlockDevice) -> Superblock:
    sector = device.sector_size
    end = layout.SUPERBLOCK_OFFSET + layout.SUPERBLOCK_SIZE
    data = bytearray(-(-end // sector) * sector)
    if await device.read(0, [data]) < end:
        raise BadSuperblock(f"{device.name} is too small for a file system")
    return Superblock.parse(bytes(data[layout.SUPERBLOCK_OFFSET : end]))


def _check_superblock(superblock: Superblock, judge: Judge) -> None:
    """Fields that do not make the volume unusable."""
    known = superblock.max_size in (superblock.natural_max_size, layout.MAX_FILE_SIZE)
    if superblock.max_size > layout.MAX_FILE_SIZE or (not known and superblock.zone_shift == 0):
        what = f"superblock: largest file size {superblock.max_size}, should be {superblock.natural_max_size}"
        if judge.found(Finding(Kind.SUPERBLOCK, what)):
            superblock.max_size = superblock.natural_max_size
    record = superblock.variant.superblock
    stored = record.struct.unpack_from(superblock.raw)[record.fields.index("s_nzones")]
    if superblock.variant.magic_offset == 24 and stored:
        what = f"superblock: the 16-bit zone count is {stored}, should be 0"
        if judge.found(Finding(Kind.SUPERBLOCK, what)):
            superblock.raw = _without_old_count(superblock)


def _check_first_data_zone(superblock: Superblock, table: InodeTable, judge: Judge) -> None:
    """All makers put the data right behind the inodes. A larger value is fine as long as no file lies before it."""
    stored, computed = superblock.first_data_zone, superblock.computed_first_data_zone
    direct = table.zones[table.rows_of_type(*MAPPED_TYPES), : layout.DIRECT_ZONES]
    if not ((direct >= computed) & (direct < stored)).any():
        return
    repaired = replace(superblock, stored_first_data_zone=computed if computed <= 0xFFFF else 0)
    if repaired.zmap_blocks * 8 * repaired.block_size < repaired.zone_bits:
        return
    what = f"superblock: data starts at zone {stored}, but files have zones before it; should be {computed}"
    if judge.found(Finding(Kind.SUPERBLOCK, what)):
        superblock.stored_first_data_zone = repaired.stored_first_data_zone


def _without_old_count(superblock: Superblock) -> bytes:
    offset = superblock.variant.superblock.offsets["s_nzones"]
    return superblock.raw[:offset] + bytes(2) + superblock.raw[offset + 2 :]


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
