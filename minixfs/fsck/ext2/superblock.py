"""The superblock: taking it as it is, or a copy of it from another group.

The fields that give a volume its geometry are never written after it was made, so a copy serves as well as the first;
what changes in use (counts, state) is counted anew anyway.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from minixfs.errors import BadSuperblock, Unsupported
from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.superblock import Superblock
from minixfs.fsck.ext2.kinds import Kind
from minixfs.fsck.report import Finding, Judge
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.clock import coarse_seconds

_BLOCK_SIZES = (1024, 2048, 4096, 8192, 16384, 32768, 65536)
_MAX_SHIFT = 6
_COMPAT = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x800
"""Features that a check may not know, but we do: dir_prealloc, imagic_inodes, has_journal, ext_attr, resize_inode,
dir_index, stable_inodes."""
DAY = 86400
"""Seconds that a clock may be wrong."""
_FRAGMENTS = layout.SUPERBLOCK.offsets["s_frags_per_group"]
_FEATURE_WORDS = ("s_feature_compat", "s_feature_incompat", "s_feature_ro_compat")


class Place(NamedTuple):
    """Where to read the superblock instead of the usual place: `block`, in blocks of `size` bytes (None: any)."""

    block: int
    size: int | None = None


async def read_superblock(device: BlockDevice) -> Superblock:
    """As stored in the usual place. Raises BadSuperblock when there is no magic number."""
    return Superblock.parse(await _raw(device, layout.SUPERBLOCK_OFFSET))


async def recognise(device: BlockDevice) -> bool:
    """Whether there is an ext2 superblock, of any version or kind."""
    try:
        await read_superblock(device)
    except BadSuperblock:
        return False
    return True


async def recognise_copy(device: BlockDevice) -> bool:
    """Whether there is a copy of a superblock that fits the device; for devices that hold nothing else."""
    try:
        return await _from_copies(device, await _usual_places(device)) is not None
    except Unsupported:
        return True


def why_check(superblock: Superblock) -> str | None:
    """Why a volume is due for a check, in words; None: it is marked clean and not due."""
    now = coarse_seconds()
    limited = superblock.max_mount_count not in (0, 0xFFFF)
    if not superblock.state & layout.STATE_VALID:
        return "it was not cleanly unmounted"
    if superblock.state & layout.STATE_ERROR:
        return "it is marked as having errors"
    if superblock.last_orphan:
        return "files were being deleted when it was last used"
    if limited and superblock.mount_count >= superblock.max_mount_count:
        return f"it was mounted {superblock.mount_count} times without a check"
    if 0 < superblock.check_interval <= now - superblock.last_check:
        return "the time for its regular check has come"
    return None


async def settle(device: BlockDevice, judge: Judge, place: Place | None) -> tuple[Superblock, int]:
    """The superblock to go by, and the block where the group descriptors that belong to it begin.

    Raises BadSuperblock when there is none or the repair is declined, Unsupported for features that we do not know.
    """
    if place is not None:
        superblock = await _from_copies(device, [place])
        if superblock is None:
            raise BadSuperblock(f"no superblock of this volume in block {place.block}")
        return _adopted(superblock, place.block, judge)
    refusal: BadSuperblock
    try:
        superblock = await read_superblock(device)
        _mend(superblock, judge)
        _validate(superblock, device)
    except BadSuperblock as error:
        refusal = error
    else:
        return superblock, superblock.descriptor_block
    superblock_copy = await _from_copies(device, await _usual_places(device))
    reason = str(refusal).removeprefix("bad superblock: ").partition(";")[0]
    if superblock_copy is None:
        raise BadSuperblock(
            f"no usable ext2 superblock ({reason}), and no copy where they usually are; try -b"
        ) from refusal
    start = superblock_copy.group_start(1)
    finding = Finding(Kind.SUPERBLOCK, f"the superblock is damaged ({reason}); the copy in block {start} is not")
    if not judge.found(finding):
        raise refusal
    return _adopted(superblock_copy, start, judge)


async def _usual_places(device: BlockDevice) -> list[Place]:
    """Where copies may be: in the second group, as large as the damaged superblock says, or as makers choose it."""
    places = [Place(8 * size + (size == 1024), size) for size in _BLOCK_SIZES]
    with suppress(BadSuperblock):
        damaged = await read_superblock(device)
        if damaged.log_block_size <= _MAX_SHIFT:
            places.insert(0, Place(damaged.blocks_per_group + (damaged.block_size == 1024), damaged.block_size))
    return places


def _adopted(superblock: Superblock, block: int, judge: Judge) -> tuple[Superblock, int]:
    _mend(superblock, judge)
    superblock.group_number = 0
    return superblock, block + 1


async def _from_copies(device: BlockDevice, places: list[Place]) -> Superblock | None:
    """The first superblock at `places` that can be one, at its place, of this device."""
    for place in places:
        for size in _BLOCK_SIZES if place.size is None else (place.size,):
            try:
                superblock = Superblock.parse(await _raw(device, place.block * size))
                _validate(superblock, device)
            except BadSuperblock:
                continue
            if superblock.block_size == size:
                return superblock
    return None


async def _raw(device: BlockDevice, offset: int) -> bytes:
    sector = max(device.sector_size, 1)
    start = offset // sector * sector
    end = -(-(offset + layout.SUPERBLOCK_SIZE) // sector) * sector
    data = bytearray(end - start)
    if await device.read(start, [data]) < offset - start + layout.SUPERBLOCK_SIZE:
        raise BadSuperblock(f"{device.name} is too small for a file system")
    return bytes(data[offset - start : offset - start + layout.SUPERBLOCK_SIZE])


def _validate(superblock: Superblock, device: BlockDevice) -> None:
    """Raise for what no check can start from."""
    if superblock.revision > 1:
        raise BadSuperblock(f"bad superblock: revision {superblock.revision} is not known")
    superblock.validate(device.size, read_only=False)
    unknown = replace(superblock, compat=superblock.compat & ~_COMPAT, incompat=0, ro_compat=0).features()
    if unknown:
        raise Unsupported(f"the volume has features that we cannot check: {', '.join(unknown)}", "use e2fsck")
    if superblock.first_inode < layout.FIRST_INODE_REVISION_0:
        raise BadSuperblock(f"bad superblock: first inode {superblock.first_inode}")
    fragments = int.from_bytes(superblock.raw[_FRAGMENTS : _FRAGMENTS + 4], "little")
    if fragments != superblock.blocks_per_group:
        raise BadSuperblock(f"bad superblock: {fragments} fragments in a group of {superblock.blocks_per_group} blocks")
    if superblock.reserved_blocks > superblock.blocks // 2:
        raise BadSuperblock(f"bad superblock: {superblock.reserved_blocks} of {superblock.blocks} blocks are reserved")
    if superblock.reserved_gdt_blocks > superblock.block_size // 4:
        raise BadSuperblock(f"bad superblock: {superblock.reserved_gdt_blocks} blocks reserved for descriptors")


def _mend(superblock: Superblock, judge: Judge) -> None:
    """Fields that follow from others."""
    stored = layout.SUPERBLOCK.parse(superblock.raw)
    if not superblock.revision and any(stored[word] for word in _FEATURE_WORDS):
        superblock.revision = 1  # tolerated by everybody, so no fault; features have a meaning in this revision alone
        superblock.compat, superblock.incompat, superblock.ro_compat = (stored[word] for word in _FEATURE_WORDS)
        superblock.stored_first_inode = layout.FIRST_INODE_REVISION_0
        superblock.stored_inode_size = layout.INODE_SIZE_REVISION_0
    if superblock.blocks_per_group and superblock.blocks > superblock.first_data_block:
        inodes = superblock.groups * superblock.inodes_per_group
        if superblock.inodes != inodes and inodes < 1 << 32:
            what = f"the superblock tells of {superblock.inodes} inodes, should be {inodes}"
            if judge.found(Finding(Kind.SUPERBLOCK, what)):
                superblock.inodes = inodes
    now = coarse_seconds()
    if superblock.mount_time > now + DAY and _is_future(superblock.mount_time, "mounted", judge):
        superblock.mount_time = now
    if superblock.write_time > now + DAY and _is_future(superblock.write_time, "written to", judge):
        superblock.write_time = now


def _is_future(moment: int, done: str, judge: Judge) -> bool:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
    return judge.found(Finding(Kind.FUTURE_TIME, f"last {done} at {when}, which is in the future"))
