"""The life of a mounted volume: from the superblock to the clean unmount, and every commit on the way.

`DiskMount` is what all requests of `server` stand on. What was changed is in memory; it reaches the disk through
`commit`, which is the only place that decides about the order of writing (with `libminixfs.cache.Order`):

    1. the superblock, when the volume stops being clean
    2. new directory blocks, still empty; data, bitmaps, indirect blocks, inodes, directories
    3. what the directories let go of: bits of freed zones and inodes, zeroed inode records

so that at every moment the disk holds a file system from which a checker loses nothing that was synced.

A volume on which corruption was found may become read-only (`read_only`): then requests change nothing more, but what
was changed before is still written, and the volume is not marked clean.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from minixfs.errors import BadSuperblock, Busy, Corrupt, DeviceError, InvalidArgument, NotFound
from minixfs.fs.disk.directory import Directories
from minixfs.fs.disk.file import Files
from minixfs.fs.disk.inode import Codec, Inode, InodeTable
from minixfs.fs.disk.names import Names
from minixfs.fs.disk.volume import Settings, Volume
from minixfs.fs.disk.zones import ZoneMap
from minixfs.fs.libminixfs.cache import BlockCache
from minixfs.fs.protocol import Node
from minixfs.fs.server import DiskServer
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.clock import coarse_clock
from minixfs.vm.pagecache import PageCache

log = logging.getLogger(__name__)

DEFAULT_ERRORS = "remount-ro"


class DiskMount(DiskServer):
    """The volume on `device`, which VM knows as `dev`, with `pages` for its cache.

    Set before mounting: `mounted_on`, the directory of the host, and `superblock_copy`, where to find the superblock
    (in KiB from the start of the volume; None: where it belongs), for formats that have use for them.
    """

    mounted_on = b"/"
    superblock_copy: int | None = None

    def __init__(
        self,
        device: BlockDevice,
        dev: int,
        pages: PageCache,
        settings: Settings | None = None,
        clock: Callable[[], int] = coarse_clock,
    ) -> None:
        settings = settings or Settings()
        errors = DEFAULT_ERRORS if settings.errors == "default" else settings.errors
        super().__init__(device.runtime, errors, settings.synchronous)
        self.device = device
        self.dev = dev
        self._pages = pages
        self._settings = settings
        self._clock = clock
        self._writable = False
        self._was_clean = False
        self._marked_in_use = False
        self.volume: Volume
        self.inodes: InodeTable
        self._zones: ZoneMap
        self._directories: Directories[Any]
        self._files: Files
        self._names: Names

    # ---- what a format does ----------------------------------------------------------------------------------------

    @abstractmethod
    async def _mark(self, clean: bool) -> None:
        """Store on the disk that the volume is (not) in use."""

    async def _store_totals(self) -> None:
        """Put into the cache what the format keeps of free zones and inodes elsewhere than in the bitmaps."""

    # ---- mounting and unmounting -----------------------------------------------------------------------------------

    def _open_cache(self, block_size: int) -> BlockCache:
        return BlockCache(self.device, self.dev, self._pages, block_size, vm_cache=self._settings.vm_cache)

    async def _start(
        self,
        volume: Volume,
        codec: Codec,
        directories: Callable[[InodeTable, ZoneMap], Directories[Any]],
        *,
        read_only: bool,
        is_root: bool,
        was_clean: bool,
    ) -> Node:
        """Begin to serve; return the root, in use. Raises BadSuperblock when there is none, DeviceError."""
        self.volume = volume
        self.granularity = volume.shape.granularity
        self.time_min, self.time_max = volume.shape.time_min, volume.shape.time_max
        self.inodes = InodeTable(volume, codec)
        self._zones = ZoneMap(volume, self.inodes)
        self._directories = directories(self.inodes, self._zones)
        self._files = Files(volume, self.inodes, self._zones)
        self._names = Names(volume, self.inodes, self._directories, self._files, self)
        self.is_root = is_root
        self.read_only = read_only
        self.stamps_access = not read_only and self._settings.atime != "noatime" and volume.shape.has_times
        self._writable = not read_only
        self._was_clean = was_clean
        self._marked_in_use = False
        try:
            root = await self._root()
            volume.cache.fit_to_usage(*await volume.block_usage())
        except BaseException:
            volume.cache.close()
            raise
        return self.node(root)

    async def _root(self) -> Inode:
        try:
            root = await self.inodes.get(self.root_inode)
        except Corrupt as error:
            raise BadSuperblock(f"bad file system: {error}; run minixfs fsck") from error
        if not root.is_directory:
            raise BadSuperblock("bad file system: the root inode is not a directory; run minixfs fsck")
        return root

    async def unmount(self) -> None:
        await self.gate.enter(True)
        try:
            root = self.inodes.open(self.root_inode)
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

    @property
    def ready_to_change(self) -> bool:
        cache = self.volume.cache
        return self._marked_in_use and len(cache.dirty) * 2 <= cache.capacity

    async def before_change(self) -> None:
        """What must come first: the mark of being in use, and room in the cache when much of it is dirty."""
        if not self._marked_in_use:
            await self._mark_in_use()
        if not self.ready_to_change:
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
        if self.inodes.put(inode):
            await self.free_unused(inode)

    async def free_unused(self, inode: Inode) -> None:
        """A nameless inode without users is freed at once if nobody else is inside, else by `commit`."""
        if self.gate.exclusive and not self.read_only:
            await self._free(inode)

    async def adorn(self, inode: Inode, parent: Inode) -> None:
        """Nothing is inherited unless the format knows better."""

    async def find(self, directory: Inode, name: bytes) -> int:
        number = self._directories.find_indexed(directory, name)
        if number is None:
            number = await self._directories.find(directory, name)
        if not number:
            raise NotFound
        return number

    async def link_text(self, inode: Inode) -> bytes:
        if not inode.is_symlink:
            raise InvalidArgument
        if not 0 < inode.size <= self.volume.block_size:
            raise Corrupt("symbolic link of impossible length", inode=inode.num)
        if (text := inode.fast_text) is not None:
            return text
        return bytes(await self._files.read(inode, 0, inode.size))

    def node(self, inode: Inode) -> Node:
        rdev = inode.rdev if inode.is_device else None
        return Node(inode.num, inode.mode, inode.size, inode.uid, inode.gid, rdev)

    # ---- committing ------------------------------------------------------------------------------------------------

    async def commit(self) -> None:
        """Write every change in the safe order. On DeviceError the rest stays dirty, for the next time."""
        volume = self.volume
        for inode in self.inodes.nameless():
            await self._free(inode)
        await self.inodes.store_dirty()
        await self._store_totals()
        if volume.cache.dirty:
            if not self._marked_in_use:
                await self._mark_in_use()
            await volume.cache.flush()
        if volume.frees_pending:
            await self.inodes.erase_released()
            await volume.apply_frees(self.found_corruption)
            await self._store_totals()
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
        await self._mark(clean)
        self._marked_in_use = not clean

    async def _release(self, inode: Inode) -> None:
        """Give back the zones of an inode that are not in its map."""

    async def _free(self, inode: Inode) -> None:
        """Give back everything of an inode that has neither names nor users; a device error leaves it for later."""
        try:
            if inode.has_zones:
                await self._zones.unmap(inode, 0, self._zones.readable_zones)
            if inode.zones_besides:
                await self._release(inode)
        except DeviceError as error:
            log.info("inode %d is freed later: %s", inode.num, str(error))
            return
        except Corrupt as error:
            self.found_corruption(error)
        self._directories.drop_index(inode.num)
        self.inodes.release(inode)
