"""Where the files of a new ext2 volume go: which inodes and which blocks (file systems, 3.6).

Every group hands out its inodes and its blocks from the front, so that what is in use is always the beginning of both.
Directories at the top of the tree are spread over the groups, those below stay near their parents, as long as a group
has at least half the free inodes and blocks that groups have on average. A file has its inode and its blocks in the
group of its directory. Blocks of a file are one run, where that is possible.
"""

from __future__ import annotations

from minixfs.fs.ext2.superblock import Superblock
from minixfs.mkfs.ext2_geometry import RESERVED_INODES, group_shape
from minixfs.mkfs.mapping import Run


class Placement:
    """One element for each group in `blocks` (the first block that is free), `inodes` (how many are in use) and
    `directories` (how many are there)."""

    def __init__(self, superblock: Superblock) -> None:
        groups = range(superblock.groups)
        self.per_group = superblock.inodes_per_group
        self.blocks = [group_shape(superblock, number)[3] for number in groups]
        self.inodes = [RESERVED_INODES, *(0 for _ in groups[1:])]
        self.directories = [0 for _ in groups]
        self.free_blocks = superblock.free_blocks
        self.free_inodes = superblock.free_inodes
        self._ends = [superblock.group_start(number) + superblock.group_blocks(number) for number in groups]
        self._inode_detours = list(groups)
        self._block_detours = list(groups)

    def group_of(self, inode: int) -> int:
        return (inode - 1) // self.per_group

    def take_inode(self, home: int) -> int:
        """An inode in group `home`, or in the next that has one."""
        number = self._inode_detours[home]
        while self.inodes[number] == self.per_group:
            number = (number + 1) % len(self.inodes)
        self._inode_detours[home] = number
        self.inodes[number] += 1
        self.free_inodes -= 1
        return number * self.per_group + self.inodes[number]

    def take_directory(self, home: int, *, spread: bool) -> int:
        """An inode for a directory whose parent is in group `home`."""
        groups = len(self.inodes)
        inodes, blocks = self.free_inodes // groups // 2, self.free_blocks // groups // 2
        if spread:
            good = [number for number in range(groups) if self._has(number, inodes, blocks)]
            home = min(good, key=self.directories.__getitem__, default=home)
        elif not self._has(home, inodes, blocks):
            others = ((home + step) % groups for step in range(1, groups))
            home = next((number for number in others if self._has(number, inodes, blocks)), home)
        inode = self.take_inode(home)
        self.directories[self.group_of(inode)] += 1
        return inode

    def take_blocks(self, home: int, count: int) -> list[Run]:
        """So many blocks, as runs (first, count): at best one in group `home`, else one in another, else pieces.

        There must be as many in all.
        """
        self.free_blocks -= count
        number = home
        if self._ends[home] - self.blocks[home] < count:
            number = self._group_with(home, count)
        if number >= 0:
            first = self.blocks[number]
            self.blocks[number] = first + count
            return [(first, count)]
        runs: list[Run] = []
        number = home
        while count:
            first = self.blocks[number]
            part = min(self._ends[number] - first, count)
            if part:
                self.blocks[number] = first + part
                runs.append((first, part))
                count -= part
            number = (number + 1) % len(self.blocks)
        return runs

    def _group_with(self, home: int, count: int) -> int:
        """A group with so many blocks in a row, beginning where the search ended last; -1 if there is none."""
        groups = len(self.blocks)
        start = self._block_detours[home]
        for step in range(groups):
            number = (start + step) % groups
            if self._ends[number] - self.blocks[number] >= count:
                self._block_detours[home] = number
                return number
        return -1

    def _has(self, number: int, inodes: int, blocks: int) -> bool:
        """Whether a group has an inode, and at least so many inodes and blocks."""
        free = self.per_group - self.inodes[number]
        return free >= max(inodes, 1) and self._ends[number] - self.blocks[number] >= blocks
