"""The MFS volume under check: see `minixfs.fsck.blocks` for the rules."""

from __future__ import annotations

import numpy as np

from minixfs.fs.mfs.superblock import Superblock
from minixfs.fsck.blocks import BATCH, Blocks, Budget, Tick
from minixfs.hw.blockdev.device import BlockDevice

__all__ = ["BATCH", "Budget", "Tick", "Volume"]


class Volume(Blocks):
    """One volume, with its `superblock`."""

    def __init__(self, device: BlockDevice, superblock: Superblock, budget: Budget, tick: Tick) -> None:
        pointer = np.dtype(f"{superblock.order}u{superblock.variant.pointer_size}")
        super().__init__(device, superblock.block_size, pointer, budget, tick)
        self.superblock = superblock

    async def apply(self, clean: bool, undo: str | None) -> None:
        """Store all repairs and the superblock, marked `clean` or not. `undo` and errors: see `Blocks.store`."""
        unclean = Superblock.parse(self.superblock.raw)
        unclean.mark(clean=False)
        self.superblock.mark(clean)
        metadata = self.superblock.inode_table_end * self.block_size
        await self.store(unclean.build(), self.superblock.build(), undo, metadata)
