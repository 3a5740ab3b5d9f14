"""Group descriptors as an array: believing them, or what the copies of them and the layout say instead.

Where bitmaps and inode tables are never changes while a volume is in use. So a descriptor that contradicts the
geometry, or another group's metadata, is replaced by the copy of it in another group, or else by what every maker
writes: block bitmap, inode bitmap and inode table right behind the superblock's copy.
"""

from __future__ import annotations

import stat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minixfs.errors import BadSuperblock
from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.superblock import Superblock
from minixfs.fsck.ext2.kinds import Kind
from minixfs.fsck.ext2.volume import Volume
from minixfs.fsck.report import Finding, Judge

_PLACES = ("bg_block_bitmap", "bg_inode_bitmap", "bg_inode_table")
_UNINITIALISED = 0x3
"""Flags that promise empty bitmaps; only volumes with checksums of descriptors may have them."""
_UNUSED = slice(28, 30)
"""Bytes of a descriptor where such volumes tell how many inodes at the end of the group's table were never used."""


class Groups:
    """`table` is a record array of descriptors, `changed` whether it is to be stored, `fixed` the blocks (indexed by
    number) that hold metadata or copies of it, and can belong to no file."""

    def __init__(self, superblock: Superblock, table: NDArray[Any]) -> None:
        self._superblock = superblock
        self.table = table
        self.changed = False
        self.fixed = np.zeros(superblock.blocks, np.bool_)
        self.fixed[: superblock.first_data_block] = True
        for group in range(superblock.groups):
            for start, length in _spans(superblock, group, table[group]):
                self.fixed[start : start + length] = True

    async def store(self, volume: Volume) -> None:
        """Bring the descriptors into the volume's blocks."""
        if not self.changed:
            return
        data = self.table.tobytes()
        size = volume.block_size
        for index in range(self._superblock.descriptor_blocks):
            part = data[index * size : (index + 1) * size]
            (await volume.edit(self._superblock.descriptor_block + index))[: len(part)] = part


async def settle_groups(volume: Volume, judge: Judge, first_block: int) -> Groups:
    """The descriptors to go by; they are believed to begin at `first_block`.

    Raises BadSuperblock when there are none to go by or the repair is declined.
    """
    superblock = volume.superblock
    stored = await _read(volume, first_block)
    table = stored.copy()
    natural = _natural(superblock)
    at_home = _same_places(table, natural)
    doubtful = ~_possible(superblock, table) | ~at_home
    if doubtful.any():
        copies = [await _read(volume, block) for block in _copies(superblock) if block != first_block][:2]
        for group in np.flatnonzero(doubtful).tolist():
            await _settle(volume, table, group, [*copies, natural])
    if not _possible(superblock, table).all():
        raise BadSuperblock("the group descriptors are damaged, and so are their copies")
    wrong = np.flatnonzero(~_same_places(table, stored))
    for group in wrong.tolist():
        finding = Finding(Kind.GROUP_DESCRIPTOR, f"group {group}: the descriptor names wrong blocks")
        if not judge.found(finding):
            raise BadSuperblock(f"group {group} cannot be checked with the descriptor that it has")
    groups = Groups(superblock, table)
    groups.changed = bool(len(wrong)) or first_block != superblock.descriptor_block
    unused = table.view(np.uint8).reshape(len(table), -1)[:, _UNUSED]
    flagged = (table["bg_flags"] & _UNINITIALISED != 0) | unused.any(axis=1)
    for group in np.flatnonzero(flagged).tolist():
        if judge.found(Finding(Kind.GROUP_FLAGS, f"group {group}: flagged as not wholly in use yet")):
            table["bg_flags"][group] &= ~np.uint16(_UNINITIALISED)
            unused[group] = 0
            groups.changed = True
    return groups


async def _settle(volume: Volume, table: NDArray[Any], group: int, others: list[NDArray[Any]]) -> None:
    """Take over the places of `group` from the first of `others` that makes sense, if its own make less."""
    superblock = volume.superblock
    natural = others[-1]
    own = await _credible(volume, table, group)
    for other in others:
        trial = table.copy()
        for field in _PLACES:
            trial[field][group] = other[field][group]
        same = bool(_same_places(trial, table)[group])
        better = not own or bool(_same_places(trial, natural)[group] and other is not natural)
        if not same and better and await _credible(volume, trial, group):
            table[:] = trial
            return
    if not _possible(superblock, table)[group] and _possible(superblock, natural)[group]:
        for field in _PLACES:
            table[field][group] = natural[field][group]


async def _credible(volume: Volume, table: NDArray[Any], group: int) -> bool:
    """Whether the places are possible and, for group 0, the inode table has the root directory."""
    if not _possible(volume.superblock, table)[group]:
        return False
    if group:
        return True
    block, slot = divmod(layout.ROOT_INODE - 1, volume.superblock.inodes_per_block)
    data = (await volume.read_run(int(table["bg_inode_table"][0]) + block, 1)).tobytes()
    mode = layout.INODE.struct.unpack_from(data, slot * volume.superblock.inode_size)[0]
    return stat.S_ISDIR(mode)


async def _read(volume: Volume, first_block: int) -> NDArray[Any]:
    superblock = volume.superblock
    data = await volume.read_run(first_block, superblock.descriptor_blocks)
    return data.view(layout.GROUP_DESCRIPTOR.dtype)[: superblock.groups].copy()


def _copies(superblock: Superblock) -> list[int]:
    """Where copies of the descriptors begin."""
    groups = [group for group in range(superblock.groups) if superblock.has_copy(group)]
    starts = [superblock.group_start(group) + 1 for group in groups]
    return [start for start in starts if start + superblock.descriptor_blocks <= superblock.blocks]


def _natural(superblock: Superblock) -> NDArray[Any]:
    """The descriptors that makers write when nothing is in the way."""
    table = np.zeros(superblock.groups, layout.GROUP_DESCRIPTOR.dtype)
    for group in range(superblock.groups):
        start = superblock.group_start(group) + superblock.copy_blocks(group)
        for offset, field in enumerate(_PLACES):
            table[field][group] = start + offset
    return table


def _same_places(one: NDArray[Any], two: NDArray[Any]) -> NDArray[np.bool_]:
    same = np.ones(len(one), np.bool_)
    for field in _PLACES:
        same &= one[field] == two[field]
    return same


def _possible(superblock: Superblock, table: NDArray[Any]) -> NDArray[np.bool_]:
    """Which descriptors have their metadata within their group, and no block twice."""
    numbers = np.arange(superblock.groups)
    start = superblock.first_data_block + numbers * superblock.blocks_per_group
    end = np.minimum(start + superblock.blocks_per_group, superblock.blocks)
    start = start + np.array([superblock.copy_blocks(group) for group in range(superblock.groups)])
    block_bitmap, inode_bitmap, inode_table = (table[field].astype(np.int64) for field in _PLACES)
    table_end = inode_table + superblock.inode_table_blocks
    good = (inode_table >= start) & (table_end <= end) & (block_bitmap != inode_bitmap)
    for bitmap in (block_bitmap, inode_bitmap):
        good &= (bitmap >= start) & (bitmap < end) & ((bitmap < inode_table) | (bitmap >= table_end))
    return np.asarray(good)


def _spans(superblock: Superblock, group: int, descriptor: Any) -> list[tuple[int, int]]:
    """First block and length of everything fixed in a group."""
    return [
        (superblock.group_start(group), superblock.copy_blocks(group)),
        (int(descriptor["bg_block_bitmap"]), 1),
        (int(descriptor["bg_inode_bitmap"]), 1),
        (int(descriptor["bg_inode_table"]), superblock.inode_table_blocks),
    ]
