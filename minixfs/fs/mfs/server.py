"""The MFS file server: one method for each VFS request (specification: file systems 2, 5).

Requests are admitted by `fs.server` (readers together, a modifier alone). Inside a modifier the rule is: everything
that can fail or suspend comes first, then the change. What was changed is in memory; it reaches the disk through
`commit`, which is the only place that decides about the order of writing (with `libminixfs.cache.Order`):

    1. the superblock, when the volume stops being clean
    2. data, bitmaps, indirect blocks, inodes, directories
    3. what the directories let go of: bits of freed zones and inodes, zeroed inode records

so that at every moment the disk holds a file system from which a checker loses nothing that was synced.
"""

from __future__ import annotations

import logging
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from minixfs.errors import (
    BadSuperblock,
    Busy,
    Corrupt,
    DeviceError,
    InvalidArgument,
    IsDirectory,
    MinixFsError,
    NotDirectory,
    NotFound,
)
from minixfs.fs.libminixfs.cache import BlockCache
from minixfs.fs.mfs import bitorder, layout
from minixfs.fs.mfs.directory import Directories
from minixfs.fs.mfs.file import Files
from minixfs.fs.mfs.inode import Inode, InodeTable
from minixfs.fs.mfs.names import Names
from minixfs.fs.mfs.superblock import Superblock
from minixfs.fs.mfs.volume import Settings, Volume
from minixfs.fs.mfs.zones import ZoneMap
from minixfs.fs.protocol import DirEntry, Mounted, Node, Stat, StatVfs, Time, TimeUpdate
from minixfs.fs.server import DiskServer, modifier, reader
from minixfs.hw.blockdev.device import BlockDevice, Buffer, Data
from minixfs.vm.pagecache import PageCache

log = logging.getLogger(__name__)

NS = 1_000_000_000
DAY = 86400


async def probe(device: BlockDevice) -> bool:
    """Whether an MFS superblock is on the device."""
    raw = bytearray(layout.SUPERBLOCK_SIZE)
    await device.read(layout.SUPERBLOCK_OFFSET, [raw])
    try:
        Superblock.parse(bytes(raw))
    except BadSuperblock:
        return False
    return True


class MfsServer(DiskServer):
    """Serves the MFS volume on `device`, which VM knows as `dev`, with `pages` for its cache."""

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
        self._was_clean = False
        self._marked_in_use = False
        self.volume: Volume
        self.inodes: InodeTable
        self._zones: ZoneMap
        self._directories: Directories
        self._files: Files
        self._names: Names

    # ---- the mount -------------------------------------------------------------------------------------------------

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
        cache = BlockCache(self.device, self.dev, self._pages, superblock.block_size)
        order = await self._bit_order(superblock)
        self.volume = Volume(superblock, cache, order, self._settings, self._clock)
        self.inodes = InodeTable(self.volume)
        self._zones = ZoneMap(self.volume, self.inodes)
        self._directories = Directories(self.volume, self.inodes, self._zones)
        self._files = Files(self.volume, self.inodes, self._zones)
        self._names = Names(self.volume, self.inodes, self._directories, self._files, self)
        self._was_clean = superblock.clean
        self.read_only = read_only
        self.is_root = is_root
        root = await self.inodes.get(layout.ROOT_INODE)
        if not root.is_directory:
            raise BadSuperblock("bad file system: the root inode is not a directory; run minixfs fsck")
        cache.fit_to_usage(*await self.volume.block_usage())
        return Mounted(self.node(root), read_only, warnings)

    async def _bit_order(self, superblock: Superblock) -> bitorder.BitOrder:
        """How the volume numbers the bits of its maps (specification: file systems, 1.5)."""
        head = bytearray(4)
        size = superblock.block_size
        await self.device.read(layout.START_BLOCK * size, [head])
        orders = bitorder.candidates(bytes(head), superblock.swapped)
        if len(orders) == 1:
            return orders[0]
        import numpy as np

        first_map, table = bytearray(size), bytearray(superblock.inodes_per_block * superblock.variant.inode.size)
        await self.device.read(layout.START_BLOCK * size, [first_map])
        await self.device.read(superblock.inode_table_block * size, [table])
        modes = np.frombuffer(table, superblock.inode_record.dtype)["i_mode"][: superblock.inodes]
        return bitorder.best(orders, bytes(first_map), np.concatenate([[True], modes != 0]))

    async def unmount(self) -> None:
        await self.gate.enter(True)
        try:
            if self.inodes.in_use != 1 or self.inodes.open(layout.ROOT_INODE).count > 1:
                raise Busy
            if not self.read_only:
                await self.commit()
                if self._marked_in_use and self._was_clean:
                    await self.device.flush()
                    await self._mark_clean(True)
                await self.device.flush()
            self.inodes.put(self.inodes.open(layout.ROOT_INODE))
            self.volume.cache.close()
        finally:
            self.gate.leave(True)

    async def write_back(self) -> None:
        if self.read_only:
            return
        await self.gate.enter(True)
        try:
            await self.commit()
        finally:
            self.gate.leave(True)

    async def sync(self) -> None:
        await self.write_back()
        if not self.read_only:
            await self.device.flush()

    @reader
    async def mountpoint(self, ino: int) -> None:
        inode = self.inodes.open(ino)
        if inode.mountpoint:
            raise Busy
        if inode.is_device:
            raise NotDirectory
        inode.mountpoint = True

    @reader
    async def statvfs(self) -> StatVfs:
        superblock = self.volume.superblock
        total, free = await self.volume.block_usage()
        return StatVfs(
            bsize=superblock.zone_size,
            frsize=superblock.block_size,
            blocks=total,
            bfree=free,
            bavail=free,
            files=superblock.inodes,
            ffree=await self.volume.inode_map.count_free(),
            namemax=superblock.variant.name_max,
            fsid=self.dev,
            read_only=self.read_only,
        )

    # ---- references and attributes ---------------------------------------------------------------------------------

    async def putnode(self, ino: int, count: int) -> None:
        inode = self.inodes.open(ino)
        if count < 1 or count > inode.count:
            raise InvalidArgument(message=f"{count} references to inode {ino} are not held")
        if inode.nlinks or inode.count > count or self.read_only:
            self.inodes.put(inode, count)
            return
        await self.gate.enter(True)
        try:
            if self.inodes.put(inode, count):
                await self._free(inode)
        finally:
            self.gate.leave(True)

    @reader
    async def stat(self, ino: int) -> Stat:
        inode = self.inodes.open(ino)
        return self._stat(inode, await self._zones_of(inode))

    @modifier
    async def chmod(self, ino: int, mode: int) -> int:
        inode = self.inodes.open(ino)
        inode.mode = inode.mode & ~0o7777 | mode & 0o7777
        self._touch(inode)
        return inode.mode

    @modifier
    async def chown(self, ino: int, uid: int, gid: int) -> int:
        inode = self.inodes.open(ino)
        self._names.check_ids(uid, gid)
        inode.uid, inode.gid = uid, gid
        if not inode.is_directory:
            inode.mode &= ~0o6000
        self._touch(inode)
        return inode.mode

    @modifier
    async def utime(self, ino: int, atime: Time, mtime: Time, ctime: Time = TimeUpdate.NOW) -> None:
        inode = self.inodes.open(ino)
        now = self.volume.now()
        inode.atime = _seconds(atime, inode.atime, now)
        inode.mtime = _seconds(mtime, inode.mtime, now)
        inode.ctime = _seconds(ctime, inode.ctime, now)
        self.inodes.mark_dirty(inode)

    # ---- names -----------------------------------------------------------------------------------------------------

    @reader
    async def readlink(self, ino: int) -> bytes:
        return await self.link_text(self.inodes.open(ino))

    @reader
    async def getdents(self, ino: int, position: int, count: int) -> list[DirEntry]:
        directory = self.inodes.open(ino)
        if position < 0:
            raise NotFound
        found = await self._directories.entries(directory, position, count)
        self._accessed(directory)
        return found

    @reader
    async def getnodes(self, entries: Sequence[DirEntry]) -> list[tuple[Node, Stat] | None]:
        found: list[tuple[Node, Stat] | None] = []
        for entry in entries:
            try:
                inode = self.inodes.cached(entry.ino) or await self.inodes.get(entry.ino)
                try:
                    found.append((self.node(inode), self._stat(inode, await self._zones_of(inode))))
                except BaseException:
                    await self.put(inode)
                    raise
            except MinixFsError as error:
                log.warning("entry %r: %s", entry.name, error)
                found.append(None)
        return found

    @modifier
    async def create(self, directory: int, name: bytes, mode: int, uid: int, gid: int) -> Node:
        return self.node(await self._names.make(directory, name, stat.S_IFREG | mode & 0o7777, uid, gid))

    @modifier
    async def mknod(self, directory: int, name: bytes, mode: int, uid: int, gid: int, rdev: int) -> None:
        await self._names.make_special(directory, name, mode, uid, gid, rdev)

    @modifier
    async def mkdir(self, directory: int, name: bytes, mode: int, uid: int, gid: int) -> None:
        await self._names.make_directory(directory, name, mode, uid, gid)

    @modifier
    async def symlink(self, directory: int, name: bytes, target: bytes, uid: int, gid: int) -> None:
        await self._names.make_symlink(directory, name, target, uid, gid)

    @modifier
    async def link(self, ino: int, directory: int, name: bytes) -> None:
        await self._names.link(ino, directory, name)

    @modifier
    async def unlink(self, directory: int, name: bytes) -> None:
        await self._names.unlink(directory, name)

    @modifier
    async def rmdir(self, directory: int, name: bytes) -> None:
        await self._names.remove_directory(directory, name)

    @modifier
    async def rename(self, old_directory: int, old_name: bytes, new_directory: int, new_name: bytes) -> None:
        await self._names.rename(old_directory, old_name, new_directory, new_name)

    @modifier
    async def exchange(self, old_directory: int, old_name: bytes, new_directory: int, new_name: bytes) -> None:
        await self._names.exchange(old_directory, old_name, new_directory, new_name)

    # ---- data ------------------------------------------------------------------------------------------------------

    @reader
    async def read(self, ino: int, position: int, size: int) -> Buffer:
        inode = self.inodes.open(ino)
        if inode.is_device:
            raise InvalidArgument
        data = await self._files.read(inode, position, size)
        self._accessed(inode)
        return data

    @modifier
    async def write(self, ino: int, position: int, data: Data) -> int:
        inode = self.inodes.open(ino)
        if inode.is_device or inode.is_directory:
            raise InvalidArgument
        if not len(data):
            return 0
        if inode.mode & 0o6000:
            _drop_set_id(inode)
        return await self._files.write(inode, position, data)

    @modifier
    async def truncate(self, ino: int, size: int) -> None:
        inode = self.inodes.open(ino)
        if inode.is_directory:
            raise IsDirectory
        if inode.mode & 0o6000:
            _drop_set_id(inode)
        await self._files.truncate(inode, size)

    @modifier
    async def free_range(self, ino: int, start: int, end: int) -> None:
        await self._files.free_range(self.inodes.open(ino), start, end)

    @reader
    async def peek(self, ino: int, position: int, size: int) -> None:
        await self._files.peek(self.inodes.open(ino), position, size)

    async def inhibit_readahead(self, ino: int) -> None:
        self.inodes.open(ino).after_seek = True

    @reader
    async def bread(self, position: int, size: int) -> Buffer:
        block_size = self.volume.block_size
        result = bytearray(max(0, min(size, self.device.size - position)))
        done = 0
        while done < len(result):
            block, start = divmod(position + done, block_size)
            with await self.volume.cache.get(block) as buf:
                part = buf.data[start : start + len(result) - done]
                result[done : done + len(part)] = part
            done += len(part)
        return result

    @reader
    async def bpeek(self, position: int, size: int) -> None:
        block_size = self.volume.block_size
        end = min(position + size, self.device.size)
        for block in range(position // block_size, -(-end // block_size)):
            self.volume.cache.put(await self.volume.cache.get(block))

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
        return self.inodes.cached(number) or await self.inodes.get(number)

    def opened(self, number: int) -> Inode:
        return self.inodes.open(number)

    async def put(self, inode: Inode) -> None:
        if self.inodes.put(inode) and not self.read_only:
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
            await volume.inode_map.apply_frees()
            await volume.zone_map.apply_frees()
            await volume.cache.flush()
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
        self.volume.cache.forget([layout.SUPERBLOCK_OFFSET // self.volume.block_size])

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

    # ---- pieces of requests ----------------------------------------------------------------------------------------

    async def _zones_of(self, inode: Inode) -> int:
        if not inode.has_zones:
            return 0
        return inode.zones_used if inode.zones_used is not None else await self._zones.count(inode)

    def _stat(self, inode: Inode, zones: int) -> Stat:
        return Stat(
            ino=inode.num,
            mode=inode.mode,
            nlink=inode.nlinks,
            uid=inode.uid,
            gid=inode.gid,
            rdev=inode.zones[0] if inode.is_device else 0,
            size=inode.size,
            blksize=self.volume.block_size,
            blocks=zones * self.volume.zone_size // 512,
            atime=inode.atime * NS,
            mtime=inode.mtime * NS,
            ctime=inode.ctime * NS,
        )

    def _touch(self, inode: Inode) -> None:
        inode.ctime = self.volume.now()
        self.inodes.mark_dirty(inode)

    def _accessed(self, inode: Inode) -> None:
        """Stamp a read as the mount's atime policy wants it."""
        policy = self._settings.atime
        if self.read_only or policy == "noatime":
            return
        now = self.volume.now()
        recent = inode.atime > max(inode.mtime, inode.ctime) and now - inode.atime < DAY
        if inode.atime != now and not (policy == "relatime" and recent):
            inode.atime = now
            self.inodes.mark_dirty(inode)


def _seconds(time: Time, old: int, now: int) -> int:
    """A stamp in whole seconds within what 32 bits hold."""
    if time is TimeUpdate.OMIT:
        return old
    if isinstance(time, TimeUpdate):
        return now
    return min(max(time // NS, 0), 0xFFFFFFFF)


def _drop_set_id(inode: Inode) -> None:
    """Changed data is no longer what the set-id bits were granted to (set-gid without group execute is locking)."""
    inode.mode &= ~0o4000
    if inode.mode & 0o010:
        inode.mode &= ~0o2000
