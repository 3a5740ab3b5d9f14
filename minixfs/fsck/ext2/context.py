"""What the passes of one check share: the volume, its inodes, the blocks in use, and the words for faults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.ext2 import layout
from minixfs.fsck.ext2.groups import Groups
from minixfs.fsck.ext2.inodes import InodeTable
from minixfs.fsck.ext2.kinds import Kind
from minixfs.fsck.ext2.volume import Volume
from minixfs.fsck.report import Finding, Judge, printable

if TYPE_CHECKING:
    from minixfs.fsck.ext2.entries import Entries


class Context:
    """State of one check. `in_use` (indexed by block number) holds every block that anything refers to, fixed
    metadata too; it may hold too many until the next count, never too few, so blocks taken by `take_block` are safe to
    overwrite. `end` and `count` are by row: behind the last mapped block, as an index in the file, and how many blocks
    the inode holds in all.
    """

    def __init__(self, volume: Volume, groups: Groups, table: InodeTable, judge: Judge) -> None:
        self.volume = volume
        self.superblock = volume.superblock
        self.groups = groups
        self.table = table
        self.judge = judge
        self.in_use = groups.fixed.copy()
        self.end = np.zeros(len(table.numbers), np.int64)
        self.count = np.zeros(len(table.numbers), np.int64)
        self.paths: dict[int, bytes] = {layout.ROOT_INODE: b"/"}
        self.links: Entries | None = None
        self._free = self._free_blocks(0)

    def found(self, kind: Kind, inode: int, what: str, block: int | None = None, name: bytes | None = None) -> bool:
        """Record a fault of `inode`, or of its entry `name`; True: repair it."""
        return self.judge.found(self.finding(kind, inode, what, block, name))

    def finding(
        self, kind: Kind, inode: int, what: str, block: int | None = None, name: bytes | None = None
    ) -> Finding:
        path = self.paths.get(inode)
        if name is not None:
            path = None if path is None else path.rstrip(b"/") + b"/" + name
            subject = printable(path or name) + f" (in directory inode {inode})"
        else:
            subject = f"inode {inode}" if path is None else f"{printable(path)} (inode {inode})"
        return Finding(kind, f"{subject}: {what}", inode=inode, zone=block, path=path)

    # ---- blocks ----------------------------------------------------------------------------------------------------

    def recount(self, in_use: NDArray[np.bool_]) -> None:
        """Replace the picture of the blocks in use by a fresh one."""
        self.in_use = in_use
        self._free = self._free_blocks(0)

    def take_block(self) -> int | None:
        """A free block, now in use; None if there is none."""
        block = next(self._free, None)
        if block is not None:
            self.in_use[block] = True
        return block

    def new_block(self) -> int | None:
        """A free block full of zeroes, or None."""
        block = self.take_block()
        if block is not None:
            self.volume.zero_block(block)
        return block

    def copy_block(self, source: int) -> int | None:
        """A free block with the contents of `source`, or None."""
        block = self.take_block()
        if block is not None:
            self.volume.copy_block(source, block)
        return block

    def is_block(self, blocks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these numbers are blocks that a file may have."""
        inside = (blocks > self.superblock.first_data_block) & (blocks < self.superblock.blocks)
        return inside & ~self.groups.fixed[np.where(inside, blocks, 0)]

    def is_free_for_files(self, block: int) -> bool:
        """As `is_block`, for one."""
        return bool(self.is_block(np.array([block]))[0])

    def _free_blocks(self, start: int) -> Iterator[int]:
        step = 1 << 16
        for first in range(start, self.superblock.blocks, step):
            for offset in np.flatnonzero(~self.in_use[first : first + step]).tolist():
                if not self.in_use[first + offset]:
                    yield first + offset
