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
from bisect import bisect_left
from collections.abc import Awaitable, Callable

from minixfs.errors import Corrupt
from minixfs.fs.disk.bitmap import Bitmap
from minixfs.fs.disk.inode import Inode
from minixfs.fs.disk.volume import Settings, Shape, Volume
from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.group import Groups
from minixfs.fs.ext2.inode import Ext2Inode
from minixfs.fs.ext2.superblock import Superblock
from minixfs.fs.libminixfs.cache import BlockCache
from minixfs.hw.clock import NS, coarse_clock


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
        clock: Callable[[], int] = coarse_clock,
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
        spans = self._metadata_spans()
        self._metadata_starts = [*(start for start, _ in spans), superblock.blocks]
        self._metadata_ends = [end - 1 for _, end in spans]
        self._spread = random.Random(superblock.uuid)
        self.reserved = superblock.reserved_blocks
        self.overhead = superblock.first_data_block + sum(end - start for start, end in spans)
        self._keeps_reserve = os.geteuid() not in (0, superblock.reserved_uid)

    # ---- blocks ----------------------------------------------------------------------------------------------------

    def goal(self, inode: Inode) -> int:
        return inode.search_zone or inode.zones[0] or self.superblock.group_start(self.group_of(inode.num))

    def _claim_zone(self, near: int) -> int:
        number, origin = self._home(near)
        bitmap = self._block_map(number)
        bit = max(origin, bitmap.lowest_free)
        if self._room() <= 0 or self.groups.table[number].free_blocks <= 0 or not bitmap.claim(bit):
            return 0
        return self._taken(number, bit, 1)

    async def _find_zones(self, near: int, wanted: int) -> tuple[int, int] | None:
        room, table = self._room(), self.groups.table
        if room <= 0:
            return None
        home, origin = self._home(near)
        for step in range(len(table) + 1):
            number = (home + step) % len(table)
            if table[number].free_blocks <= 0:
                continue
            found = await self._block_map(number).allocate(0 if step else origin, min(wanted, room))
            if found is not None:
                return self._taken(number, *found), found[1]
        return None

    def _room(self) -> int:
        """How many blocks may be handed out."""
        return self.groups.free_blocks - (self.reserved if self._keeps_reserve else 0)

    def _home(self, near: int) -> tuple[int, int]:
        """Where to begin to look for a block: the group, and the bit of its bitmap."""
        superblock = self.superblock
        first = (near or self._zone_hint) - superblock.first_data_block
        number, bit = divmod(first, superblock.blocks_per_group)
        return number % len(self.groups.table), bit

    def _taken(self, number: int, bit: int, count: int) -> int:
        """Account for bits that were set in the block bitmap of a group; return the first block."""
        block = self.superblock.group_start(number) + bit
        self.groups.count_blocks(number, -count)
        if self._has_metadata(block, count):
            raise Corrupt("the block bitmap has metadata as free", block=block)
        self._zone_hint = block + count
        return block

    def _release_zones(self, zone: int, count: int) -> None:
        while count:
            number, bit = divmod(zone - self.superblock.first_data_block, self.superblock.blocks_per_group)
            part = min(count, self.superblock.blocks_per_group - bit)
            self._block_map(number).free(bit, part)
            self._freed.add(number)
            self._freed_blocks += part
            zone += part
            count -= part

    def check_zones(self, zone: int, count: int, inode: int) -> None:
        super().check_zones(zone, count, inode)
        if self._has_metadata(zone, count):
            raise Corrupt(f"block {zone} of a file has metadata", inode=inode)

    def _has_metadata(self, block: int, count: int) -> bool:
        index = bisect_left(self._metadata_ends, block)
        return self._metadata_starts[index] < block + count

    def _metadata_spans(self) -> list[tuple[int, int]]:
        """First and end block of what files cannot have, in order, joined where they touch."""
        superblock = self.superblock
        found = []
        for number, group in enumerate(self.groups.table):
            start = superblock.group_start(number)
            table = group.inode_table
            found += [
                (start, start + superblock.copy_blocks(number)),
                (group.block_bitmap, group.block_bitmap + 1),
                (group.inode_bitmap, group.inode_bitmap + 1),
                (table, table + superblock.inode_table_blocks),
            ]
        spans: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if spans and start <= spans[-1][1]:
                start, end = spans[-1][0], max(end, spans.pop()[1])
            if start < end:
                spans.append((start, end))
        return spans

    # ---- inodes ----------------------------------------------------------------------------------------------------

    def group_of(self, number: int) -> int:
        """The group of an inode."""
        return (number - 1) // self.superblock.inodes_per_group

    def _claim_inode(self, mode: int, parent: Inode) -> int:
        number = self._group_for(mode, parent)
        bitmap = self._inode_map(number)
        bit = bitmap.lowest_free
        if self.groups.table[number].free_inodes <= 0 or not bitmap.claim(bit):
            return 0
        return self._inode_taken(number, bit, mode)

    async def _find_inode(self, mode: int, parent: Inode) -> int | None:
        table = self.groups.table
        start = self._group_for(mode, parent)
        for step in range(len(table)):
            number = (start + step) % len(table)
            if table[number].free_inodes <= 0:
                continue
            found = await self._inode_map(number).allocate(0)
            if found is not None:
                return self._inode_taken(number, found[0], mode)
        return None

    def _inode_taken(self, number: int, bit: int, mode: int) -> int:
        """Account for a bit that was set in the inode bitmap of a group; return the inode's number."""
        self.groups.count_inodes(number, -1, -stat.S_ISDIR(mode))
        return number * self.superblock.inodes_per_group + bit + 1

    def free_inode(self, inode: Inode) -> None:
        number, bit = divmod(inode.num - 1, self.superblock.inodes_per_group)
        self._inode_map(number).free(bit)
        self._freed.add(number)
        self._freed_inodes[inode.num] = int(inode.is_directory)

    def _group_for(self, mode: int, parent: Inode) -> int:
        return self._group_for_directory(parent) if stat.S_ISDIR(mode) else self._group_for_file(parent)

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
        inodes, blocks = max(inodes // 2, 1), blocks // 2
        for step in range(len(table)):
            number = (home + step) % len(table)
            if table[number].free_inodes >= inodes and table[number].free_blocks >= blocks:
                return number
        return home

    # ---- frees and counts ------------------------------------------------------------------------------------------

    @property
    def frees_pending(self) -> bool:
        return bool(self._freed)

    async def apply_frees(self, found_corruption: Callable[[Corrupt], None]) -> None:
        for number in sorted(self._freed):
            first_inode = number * self.superblock.inodes_per_group + 1

            def freed_blocks(bit: int, count: int, number: int = number) -> None:
                self.groups.count_blocks(number, count)
                self._freed_blocks -= count

            def freed_inodes(bit: int, count: int, number: int = number, first: int = first_inode) -> None:
                directories = sum(self._freed_inodes.pop(first + bit + step) for step in range(count))
                self.groups.count_inodes(number, count, directories)

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
