"""The MFS file server: what of MFS is not in every disk file server (specification: file systems 1, 2)."""

from __future__ import annotations

from dataclasses import replace

from minixfs.errors import BadSuperblock
from minixfs.fs.disk.server import DiskFileServer
from minixfs.fs.disk.volume import Settings
from minixfs.fs.mfs import bitorder, layout
from minixfs.fs.mfs.directory import MfsDirectories
from minixfs.fs.mfs.inode import MfsCodec
from minixfs.fs.mfs.superblock import Superblock
from minixfs.fs.mfs.volume import MfsVolume
from minixfs.fs.protocol import Mounted
from minixfs.hw.blockdev.device import BlockDevice

__all__ = ["MfsServer", "Settings", "probe"]


async def probe(device: BlockDevice) -> bool:
    """Whether an MFS superblock is on the device."""
    raw = bytearray(layout.SUPERBLOCK_SIZE)
    await device.read(layout.SUPERBLOCK_OFFSET, [raw])
    try:
        Superblock.parse(bytes(raw))
    except BadSuperblock:
        return False
    return True


class MfsServer(DiskFileServer):
    """Serves one MFS volume."""

    kind = "mfs"
    root_inode = layout.ROOT_INODE

    async def readsuper(self, *, read_only: bool, is_root: bool) -> Mounted:
        raw = bytearray(layout.SUPERBLOCK_SIZE)
        await self.device.read(layout.SUPERBLOCK_OFFSET, [raw])
        superblock = Superblock.parse(bytes(raw))
        read_only = read_only or self.device.read_only
        superblock.validate(self.device.size, read_only)
        warnings: list[str] = []
        if not superblock.clean and not read_only:
            lenient = superblock.variant.has_state and not self._settings.strict
            advice = "run minixfs fsck -p on the image"
            if self._settings.force or lenient:
                warnings.append(f"the file system was not cleanly unmounted; {advice}")
            else:
                read_only = True
                warnings.append(
                    f"the file system was not cleanly unmounted, so it is mounted read-only; {advice}, or use -o force"
                )
        order = await self._bit_order(superblock)
        cache = self._open_cache(superblock.block_size)
        volume = MfsVolume(superblock, cache, order, self._settings, self.commit, self._clock)
        self._superblock = superblock
        root = await self._start(
            volume,
            MfsCodec(superblock),
            lambda inodes, zones: MfsDirectories(volume, inodes, zones),
            read_only=read_only,
            is_root=is_root,
            was_clean=superblock.clean,
        )
        return Mounted(root, read_only, warnings)

    async def _bit_order(self, superblock: Superblock) -> bitorder.BitOrder:
        """How the volume numbers the bits of its maps (specification: file systems, 1.5)."""
        if not superblock.swapped:
            return bitorder.BitOrder.LE
        size = superblock.block_size
        first_map, table = bytearray(size), bytearray(size)
        await self.device.read(layout.START_BLOCK * size, [first_map])
        orders = bitorder.candidates(bytes(first_map[:4]), True)
        if len(orders) == 1:
            return orders[0]
        import numpy as np

        await self.device.read(superblock.inode_table_block * size, [table])
        modes = np.frombuffer(table, superblock.inode_record.dtype)["i_mode"][: superblock.inodes]
        return bitorder.best(orders, bytes(first_map), np.concatenate([[True], modes != 0]))

    async def _mark(self, clean: bool) -> None:
        superblock = replace(self._superblock)
        superblock.mark(clean)
        await self.device.write(layout.SUPERBLOCK_OFFSET, [superblock.build()])
        first, last = layout.SUPERBLOCK_OFFSET, layout.SUPERBLOCK_OFFSET + layout.SUPERBLOCK_SIZE - 1
        self.volume.cache.forget(range(first // self.volume.block_size, last // self.volume.block_size + 1))
