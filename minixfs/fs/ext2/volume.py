"""One mounted ext2 volume: block and inode bitmaps of its groups, and where new things go (file systems, 3.6).

Blocks: behind the inode's last one, else in its group, else in the groups that follow. Inodes of files: in the group of
their directory, if it has blocks too, else near it. Directories: spread over the groups if they are at the top of the
tree, else near their parent, in a group that is no worse than half the average (Orlov).

The last blocks are kept for whom the superblock names, root by default: only a mount by such a user hands them out.
"""

from __future__ import annotations

import os
import random
import stat
import time
from collections.abc import Awaitable, Callable

from minixfs.errors import Corrupt
from minixfs.fs.disk.bitmap import Bitmap
from minixfs.fs.disk.inode import Inode
from minixfs.fs.disk.volume import NS, Settings, Shape, Volume
from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.group import Groups
from minixfs.fs.ext2.inode import Ext2Inode
from minixfs.fs.ext2.superblock import Superblock
from minixfs.fs.libminixfs.cache import BlockCache


def shape_of(superblock: Superblock) -> Shape:
    large = superblock.inode_size > layout.INODE_SIZE_REVISION_0 and superblock.want_extra_isize >= _EXTRA_TIMES
    return Shape(
        kind="ext2",
        block_size=superblock.block_size,
        zone_shift=0,
        first_data_zone=superblock.first_data_block + 1,
        zones=superblock.blocks,
        inodes=superblock.inodes,
        root_inode=layout.ROOT_INODE,
        direct=layout.DIRECT_BLOCKS,
        levels=layout.LEVELS,
        pointer_size=4,
        order="<",
        max_file_size=superblock.max_file_size,
        link_max=layout.LINK_MAX,
        uid_max=_U32_MAX - 1,
        gid_max=_U32_MAX - 1,
        device_max=_U32_MAX,
        name_max=layout.NAME_MAX,
        symlink_max=min(superblock.block_size - 1, SYMLINK_MAX),
        fast_symlink_max=layout.FAST_SYMLINK_MAX,
        granularity=1 if large else NS,
        time_min=-(1 << 31) * NS,
        time_max=((1 << 34) - (1 << 31)) * NS - 1 if large else (1 << 31) * NS - NS,
    )


_U32_MAX = 0xFFFFFFFF
_EXTRA_TIMES = 16
"""Extra bytes of an inode that hold the finer parts of its three stamps."""
SYMLINK_MAX = 4095
"""What Linux reads of a symbolic link."""


class Ext2Volume(Volume):
    """Attributes besides those of `Volume`: `superblock`, `groups`."""

    def __init__(
        self,
        superblock: Superblock,
        groups: Groups,
        cache: BlockCache,
        settings: Settings,
        commit: Callable[[], Awaitable[None]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(shape_of(superblock), cache, settings, commit, clock)
        self.superblock = superblock
        self.groups = groups
        self._block_maps: dict[int, Bitmap] = {}
        self._inode_maps: dict[int, Bitmap] = {}
        self._freed: set[int] = set()
        self._freed_blocks = 0
        self._freed_inodes: dict[int, int] = {}
        self._zone_hint = superblock.first_data_block
        self._spread = random.Random(superblock.uuid)
        self.reserved = superblock.reserved_blocks
        self.overhead = sum(superblock.copy_blocks(number) for number in range(superblock.groups))
        self.overhead += superblock.first_data_block + superblock.groups * (2 + superblock.inode_table_blocks)
        self._keeps_reserve = os.geteuid() not in (0, superblock.reserved_uid)

    # ---- blocks ----------------------------------------------------------------------------------------------------

    def goal(self, inode: Inode) -> int:
        return inode.search_zone or inode.zones[0] or self.superblock.group_start(self.group_of(inode.num))

    async def _find_zones(self, near: int, wanted: int) -> tuple[int, int] | None:
        superblock, groups = self.superblock, self.groups
        room = groups.free_blocks - (self.reserved if self._keeps_reserve else 0)
        if room <= 0:
            return None
        wanted = min(wanted, room)
        first = (near or self._zone_hint) - superblock.first_data_block
        home, origin = divmod(first, superblock.blocks_per_group)
        for step in range(len(groups.table) + 1):
            number = (home + step) % len(groups.table)
            if groups.table[number].free_blocks <= 0:
                continue
            found = await self._block_map(number).allocate(origin if step == 0 else 0, wanted)
            if found is None:
                continue
            bit, count = found
            block = superblock.group_start(number) + bit
            groups.count(number, blocks=-count)
            if self._is_metadata(number, block, count):
                raise Corrupt("the block bitmap has metadata as free", block=block)
            self._zone_hint = block + count
            return block, count
        return None

    def _release_zones(self, zone: int, count: int) -> None:
        while count:
            number, bit = divmod(zone - self.superblock.first_data_block, self.superblock.blocks_per_group)
            part = min(count, self.superblock.blocks_per_group - bit)
            self._block_map(number).free(bit, part)
            self._freed.add(number)
            self._freed_blocks += part
            zone += part
            count -= part

    def _is_metadata(self, number: int, block: int, count: int) -> bool:
        superblock, group = self.superblock, self.groups.table[number]
        start = superblock.group_start(number)
        spans = (
            (start, superblock.copy_blocks(number)),
            (group.block_bitmap, 1),
            (group.inode_bitmap, 1),
            (group.inode_table, superblock.inode_table_blocks),
        )
        return any(block < first + length and first < block + count for first, length in spans)

    # ---- inodes ----------------------------------------------------------------------------------------------------

    def group_of(self, number: int) -> int:
        """The group of an inode."""
        return (number - 1) // self.superblock.inodes_per_group

    async def _find_inode(self, mode: int, parent: Inode) -> int | None:
        if not self.groups.free_inodes:
            return None
        directory = stat.S_ISDIR(mode)
        start = self._group_for_directory(parent) if directory else self._group_for_file(parent)
        per_group = self.superblock.inodes_per_group
        for step in range(len(self.groups.table)):
            number = (start + step) % len(self.groups.table)
            if self.groups.table[number].free_inodes <= 0:
                continue
            found = await self._inode_map(number).allocate(0)
            if found is not None:
                self.groups.count(number, inodes=-1, directories=int(directory))
                return number * per_group + found[0] + 1
        return None

    def free_inode(self, inode: Inode) -> None:
        number, bit = divmod(inode.num - 1, self.superblock.inodes_per_group)
        self._inode_map(number).free(bit)
        self._freed.add(number)
        self._freed_inodes[inode.num] = int(inode.is_directory)

    def _group_for_file(self, parent: Inode) -> int:
        """The directory's group, or one that a walk of doubling steps finds, with inodes and blocks."""
        table = self.groups.table
        home = self.group_of(parent.num)
        if table[home].free_inodes > 0 and table[home].free_blocks > 0:
            return home
        number, step = (home + parent.num) % len(table), 1
        while step < len(table):
            number = (number + step) % len(table)
            if table[number].free_inodes > 0 and table[number].free_blocks > 0:
                return number
            step *= 2
        return home

    def _group_for_directory(self, parent: Inode) -> int:
        groups, table = self.groups, self.groups.table
        inodes, blocks = groups.free_inodes // len(table), groups.free_blocks // len(table)
        home = self.group_of(parent.num)
        if parent.num == layout.ROOT_INODE or (isinstance(parent, Ext2Inode) and parent.flags & layout.FLAG_TOPDIR):
            start = self._spread.randrange(len(table))
            order = [(start + step) % len(table) for step in range(len(table))]
            good = [n for n in order if table[n].free_inodes >= max(inodes, 1) and table[n].free_blocks >= blocks]
            return min(good, key=lambda number: table[number].directories, default=home)
        for step in range(len(table)):
            group = table[(home + step) % len(table)]
            if group.free_inodes >= max(inodes // 2, 1) and group.free_blocks >= blocks // 2:
                return (home + step) % len(table)
        return home

    # ---- frees and counts ------------------------------------------------------------------------------------------

    @property
    def frees_pending(self) -> bool:
        return bool(self._freed)

    async def apply_frees(self, found_corruption: Callable[[Corrupt], None]) -> None:
        for number in sorted(self._freed):
            first_inode = number * self.superblock.inodes_per_group + 1

            def freed_blocks(bit: int, count: int, number: int = number) -> None:
                self.groups.count(number, blocks=count)
                self._freed_blocks -= count

            def freed_inodes(bit: int, count: int, number: int = number, first: int = first_inode) -> None:
                directories = sum(self._freed_inodes.pop(first + bit + step) for step in range(count))
                self.groups.count(number, inodes=count, directories=-directories)

            for bitmap, freed in ((self._inode_map(number), freed_inodes), (self._block_map(number), freed_blocks)):
                while bitmap.pending:
                    try:
                        await bitmap.apply_frees(freed)
                    except Corrupt as error:
                        found_corruption(error)
            self._freed.discard(number)

    async def count_free_zones(self) -> int:
        return max(self.groups.free_blocks + self._freed_blocks, 0)

    async def count_free_inodes(self) -> int:
        return self.groups.free_inodes + len(self._freed_inodes)

    # ---- maps ------------------------------------------------------------------------------------------------------

    def _block_map(self, number: int) -> Bitmap:
        bitmap = self._block_maps.get(number)
        if bitmap is None:
            start, bits = self.groups.table[number].block_bitmap, self.superblock.group_blocks(number)
            bitmap = self._block_maps[number] = Bitmap(self.cache, "block", start, bits)
        return bitmap

    def _inode_map(self, number: int) -> Bitmap:
        bitmap = self._inode_maps.get(number)
        if bitmap is None:
            start, bits = self.groups.table[number].inode_bitmap, self.superblock.inodes_per_group
            lowest = self.superblock.first_inode - 1 if number == 0 else 0
            bitmap = self._inode_maps[number] = Bitmap(self.cache, "inode", start, bits, lowest=lowest)
        return bitmap
