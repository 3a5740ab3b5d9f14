"""The ext2 volume under check: see `minixfs.fsck.blocks` for the rules."""

from __future__ import annotations

import numpy as np

from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.superblock import Superblock
from minixfs.fsck.blocks import Blocks, Budget, Tick
from minixfs.hw.blockdev.device import BlockDevice


class Volume(Blocks):
    """One volume, with its `superblock`. The copies of the superblock are left as they are."""

    def __init__(self, device: BlockDevice, superblock: Superblock, budget: Budget, tick: Tick) -> None:
        super().__init__(device, superblock.block_size, np.dtype("<u4"), budget, tick)
        self.superblock = superblock

    async def apply(self, undo: str | None) -> None:
        """Store all repairs and then the superblock as it is; meanwhile it says that there are errors.

        `undo` and what is raised: see `Blocks.store`.
        """
        final = self.superblock.build()
        unclean = Superblock.parse(final)
        unclean.state = unclean.state & ~layout.STATE_VALID | layout.STATE_ERROR
        metadata = (self.superblock.descriptor_block + self.superblock.descriptor_blocks) * self.block_size
        await self.store(unclean.build(), final, undo, metadata)
