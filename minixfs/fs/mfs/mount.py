"""The life of a mounted MFS volume: from the superblock to the clean unmount, and every commit on the way.

`MfsMount` is what all requests of `server` stand on. What was changed is in memory; it reaches the disk through
`commit`, which is the only place that decides about the order of writing (with `libminixfs.cache.Order`):

    1. the superblock, when the volume stops being clean
    2. data, bitmaps, indirect blocks, inodes, directories
    3. what the directories let go of: bits of freed zones and inodes, zeroed inode records

so that at every moment the disk holds a file system from which a checker loses nothing that was synced.

A volume on which corruption was found may become read-only (`read_only`): then requests change nothing more, but what
was changed before is still written, and the volume is not marked clean.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from minixfs.errors import BadSuperblock, Busy, Corrupt, DeviceError, InvalidArgument
from minixfs.fs.libminixfs.cache import BlockCache
from minixfs.fs.mfs import bitorder, layout
from minixfs.fs.mfs.directory import Directories
from minixfs.fs.mfs.file import Files
from minixfs.fs.mfs.inode import Inode, InodeTable
from minixfs.fs.mfs.names import Names
from minixfs.fs.mfs.superblock import Superblock
from minixfs.fs.mfs.volume import Settings, Volume
from minixfs.fs.mfs.zones import ZoneMap
from minixfs.fs.protocol import Mounted, Node
from minixfs.fs.server import DiskServer
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.vm.pagecache import PageCache

log = logging.getLogger(__name__)


async def probe(device: BlockDevice) -> bool:
    """Whether an MFS superblock is on the device."""
    raw = bytearray(layout.SUPERBLOCK_SIZE)
    await device.read(layout.SUPERBLOCK_OFFSET, [raw])
    try:
        Superblock.parse(bytes(raw))
    except BadSuperblock:
        return False
    return True


class MfsMount(DiskServer):
    """The MFS volume on `device`, which VM knows as `dev`, with `pages` for its cache."""

    kind = "mfs"

    def __init__(
        self,
        device: BlockDevice,
        dev: int,
        pages: PageCache,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        settings = settings or Settings()
        super().__init__(device.runtime, settings.errors, settings.synchronous)
        self.device = device
        self.dev = dev
        self.root_inode = layout.ROOT_INODE
        self._pages = pages
        self._settings = settings
        self._clock = clock
        self._writable = False
        self._was_clean = False
        self._marked_in_use = False
        self.volume: Volume
        self.inodes: InodeTable
        self._zones: ZoneMap
        self._directories: Directories
        self._files: Files
        self._names: Names

    # ---- mounting and unmounting -----------------------------------------------------------------------------------

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
        superblock.max_size = min(superblock.max_size or superblock.natural_max_size, layout.MAX_FILE_SIZE)
        order = await self._bit_order(superblock)
        vm_cache = self._settings.vm_cache
        cache = BlockCache(self.device, self.dev, self._pages, superblock.block_size, vm_cache=vm_cache)
        self.volume = Volume(superblock, cache, order, self._settings, self.commit, self._clock)
        self.inodes = InodeTable(self.volume)
        self._zones = ZoneMap(self.volume, self.inodes)
        self._directories = Directories(self.volume, self.inodes, self._zones)
        self._files = Files(self.volume, self.inodes, self._zones)
        self._names = Names(self.volume, self.inodes, self._directories, self._files, self)
        self.is_root = is_root
        self.read_only = read_only
        self._writable = not read_only
        self._was_clean = superblock.clean
        self._marked_in_use = False
        try:
            root = await self._root()
            cache.fit_to_usage(*await self.volume.block_usage())
        except BaseException:
            cache.close()
            raise
        return Mounted(self.node(root), read_only, warnings)

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

    async def _root(self) -> Inode:
        try:
            root = await self.inodes.get(layout.ROOT_INODE)
        except Corrupt as error:
            raise BadSuperblock(f"bad file system: {error}; run minixfs fsck") from error
        if not root.is_directory:
            raise BadSuperblock("bad file system: the root inode is not a directory; run minixfs fsck")
        return root

    async def unmount(self) -> None:
        await self.gate.enter(True)
        try:
            root = self.inodes.open(layout.ROOT_INODE)
            if self.inodes.in_use != 1 or root.count > 1:
                raise Busy
            if self._writable:
                await self.commit()
                await self.device.flush()
                if self._marked_in_use and self._was_clean and not self.corrupt and not self.inodes.nameless():
                    await self._mark_clean(True)
                    await self.device.flush()
            self.inodes.put(root)
            self.volume.cache.close()
        finally:
            self.gate.leave(True)

    def abandon(self) -> None:
        self.volume.cache.close()

    async def write_back(self) -> None:
        if not self._writable:
            return
        await self.gate.enter(True)
        try:
            await self.commit()
        finally:
            self.gate.leave(True)

    async def sync(self) -> None:
        await self.write_back()
        if self._writable:
            await self.device.flush()

    # ---- what the shared server needs ------------------------------------------------------------------------------

    async def before_change(self) -> None:
        if not self._marked_in_use:
            await self._mark_in_use()
        cache = self.volume.cache
        if len(cache.dirty) * 2 > cache.capacity:
            await self.commit()

    async def after_synchronous_change(self) -> None:
        await self.commit()
        await self.device.flush()

    async def load(self, number: int) -> Inode:
        inode = self.inodes.cached(number) or await self.inodes.get(number)
        if not inode.nlinks:
            self.inodes.put(inode)
            raise Corrupt("a name leads to a removed file", inode=number)
        return inode

    def opened(self, number: int) -> Inode:
        return self.inodes.open(number)

    async def put(self, inode: Inode) -> None:
        """End a use. A nameless inode without users is freed at once if nobody else is inside, else by `commit`."""
        if self.inodes.put(inode) and self.gate.exclusive and not self.read_only:
            await self._free(inode)

    async def find(self, directory: Inode, name: bytes) -> int:
        return await self._directories.find(directory, name)

    async def link_text(self, inode: Inode) -> bytes:
        if not inode.is_symlink:
            raise InvalidArgument
        if not 0 < inode.size <= self.volume.block_size:
            raise Corrupt("symbolic link of impossible length", inode=inode.num)
        return bytes(await self._files.read(inode, 0, inode.size))

    def node(self, inode: Inode) -> Node:
        rdev = inode.zones[0] if inode.is_device else None
        return Node(inode.num, inode.mode, inode.size, inode.uid, inode.gid, rdev)

    # ---- committing ------------------------------------------------------------------------------------------------

    async def commit(self) -> None:
        """Write every change in the safe order. On DeviceError the rest stays dirty, for the next time."""
        volume = self.volume
        for inode in self.inodes.nameless():
            await self._free(inode)
        await self.inodes.store_dirty()
        if volume.cache.dirty:
            if not self._marked_in_use:
                await self._mark_in_use()
            await volume.cache.flush()
        if volume.inode_map.pending or volume.zone_map.pending:
            await self.inodes.erase_released()
            for bitmap in (volume.inode_map, volume.zone_map):
                while bitmap.pending:
                    try:
                        await bitmap.apply_frees()
                    except Corrupt as error:
                        self.found_corruption(error)
            await volume.cache.flush()
        volume.commits += 1
        if volume.usage_due:
            volume.usage_due = False
            volume.cache.fit_to_usage(*await volume.block_usage())

    async def _mark_in_use(self) -> None:
        if self._was_clean:
            await self._mark_clean(False)
        self._marked_in_use = True

    async def _mark_clean(self, clean: bool) -> None:
        superblock = replace(self.volume.superblock)
        superblock.mark(clean)
        superblock.max_size = Superblock.parse(superblock.raw).max_size  # ours may be capped; the disk's stays
        await self.device.write(layout.SUPERBLOCK_OFFSET, [superblock.build()])
        self._marked_in_use = not clean
        first, last = layout.SUPERBLOCK_OFFSET, layout.SUPERBLOCK_OFFSET + layout.SUPERBLOCK_SIZE - 1
        self.volume.cache.forget(range(first // self.volume.block_size, last // self.volume.block_size + 1))

    async def _free(self, inode: Inode) -> None:
        """Give back everything of an inode that has neither names nor users; a device error leaves it for later."""
        try:
            if inode.has_zones:
                await self._zones.unmap(inode, 0, self._zones.readable_zones)
        except DeviceError as error:
            log.info("inode %d is freed later: %s", inode.num, error)
            return
        except Corrupt as error:
            self.found_corruption(error)
        self._directories.drop_index(inode.num)
        self.inodes.release(inode)
