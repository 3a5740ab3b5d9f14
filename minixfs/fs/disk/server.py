"""A disk file server: one method for each VFS request (specification: file systems 2, 5).

Requests are admitted by `fs.server` (readers together, a modifier alone). Inside a modifier the rule is: everything
that can fail or suspend comes first, then the change. The change is in memory; `mount` brings it to the disk.

The questions that a kernel asks most are answered at once when everything is in memory and the gate is open: who does
not await anything need not be admitted.
"""

from __future__ import annotations

import logging
import stat
from collections.abc import Sequence

from minixfs.errors import Busy, InvalidArgument, IsDirectory, MinixFsError, NotDirectory, NotFound
from minixfs.fs.disk.inode import Inode
from minixfs.fs.disk.mount import DiskMount
from minixfs.fs.protocol import DirEntry, DirTable, Node, Stat, StatVfs, Time, TimeUpdate
from minixfs.fs.server import modifier, reader
from minixfs.hw.blockdev.device import Buffer, Data
from minixfs.hw.clock import NS

log = logging.getLogger(__name__)

DAY = 86400 * NS
NOW = TimeUpdate.NOW


class DiskFileServer(DiskMount):
    """Answers VFS about the files of a mounted volume."""

    # ---- the mount -------------------------------------------------------------------------------------------------

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
        shape = self.volume.shape
        total, free = await self.volume.block_usage()
        return StatVfs(
            bsize=shape.zone_size,
            frsize=shape.block_size,
            blocks=total - (self.volume.overhead << shape.zone_shift),
            bfree=free,
            bavail=max(free - (self.volume.reserved << shape.zone_shift), 0),
            files=shape.inodes,
            ffree=await self.volume.count_free_inodes(),
            namemax=shape.name_max,
            fsid=self.dev,
            read_only=self.read_only,
        )

    # ---- references and attributes ---------------------------------------------------------------------------------

    async def putnode(self, ino: int, count: int) -> None:
        inode = self.inodes.open(ino)
        if count < 1 or count > inode.count:
            raise InvalidArgument(message=f"{count} references to inode {ino} are not held")
        if self.inodes.put(inode, count) and not self.read_only and self.gate.try_modify():
            try:
                await self._free(inode)
            finally:
                self.gate.leave(True)

    async def stat(self, ino: int) -> Stat:
        found = self._status(self.inodes.open(ino)) if self.gate.open else None
        return found or await self._count_and_stat(ino)

    @reader
    async def _count_and_stat(self, ino: int) -> Stat:
        return await self._stat(self.inodes.open(ino))

    @modifier
    async def chmod(self, ino: int, mode: int) -> int:
        inode = self.inodes.open(ino)
        mode = inode.mode & ~0o7777 | mode & 0o7777
        await self._mode_changes(inode, mode)
        inode.mode = mode
        self._touch(inode)
        return inode.mode

    @modifier
    async def chown(self, ino: int, uid: int, gid: int) -> int:
        inode = self.inodes.open(ino)
        self.volume.check_ids(uid, gid)
        inode.uid, inode.gid = uid, gid
        if not inode.is_directory:
            _drop_set_id(inode)
        self._touch(inode)
        return inode.mode

    @modifier
    async def utime(self, ino: int, atime: Time, mtime: Time, ctime: Time = NOW) -> None:
        inode = self.inodes.open(ino)
        now = self.volume.now()
        inode.atime = self._stamp(atime, inode.atime, now)
        inode.mtime = self._stamp(mtime, inode.mtime, now)
        inode.ctime = self._stamp(ctime, inode.ctime, now)
        self.inodes.mark_dirty(inode)

    # ---- names -----------------------------------------------------------------------------------------------------

    async def lookup_stat(self, directory: int, name: bytes) -> tuple[Node, Stat]:
        found = self._known(directory, name) if self.gate.open else None
        return found or await self._look_up(directory, name)

    def _known(self, directory: int, name: bytes) -> tuple[Node, Stat] | None:
        """The answer to `lookup_stat` if it is in memory. Raises NotFound."""
        inode = self.inodes.open(directory)
        number = self._directories.find_indexed(inode, name) if inode.nlinks else 0
        if number == 0:
            raise NotFound
        return None if number is None else self._known_node(number)

    def _known_node(self, number: int) -> tuple[Node, Stat] | None:
        """As `_node_and_stat`, if the inode is in memory and has been counted."""
        inode = self.inodes.peek(number)
        if inode is None or not inode.nlinks:
            return None
        status = self._status(inode)
        if status is None:
            return None
        self.inodes.cached(number)
        return self.node(inode), status

    @reader
    async def _look_up(self, directory: int, name: bytes) -> tuple[Node, Stat]:
        return await self._node_and_stat(await self.find(self.linked(directory), name))

    @reader
    async def readlink(self, ino: int) -> bytes:
        return await self.link_text(self.inodes.open(ino))

    @reader
    async def getdents(self, ino: int, position: int, count: int) -> list[DirEntry]:
        directory = self.inodes.open(ino)
        found = await self._directories.entries(directory, _to_list_from(directory, position), count)
        self._accessed(directory)
        return found

    @reader
    async def getdents_table(self, ino: int, position: int, count: int) -> DirTable:
        directory = self.inodes.open(ino)
        found = await self._directories.table(directory, _to_list_from(directory, position), count)
        self._accessed(directory)
        return found

    @reader
    async def getnodes(self, entries: Sequence[DirEntry]) -> list[tuple[Node, Stat] | None]:
        found: list[tuple[Node, Stat] | None] = []
        try:
            for entry in entries:
                try:
                    found.append(self._known_node(entry.ino) or await self._node_and_stat(entry.ino))
                except MinixFsError as error:  # it may just have been removed; a lookup of the name will tell
                    log.info("entry %r: %s", entry.name, str(error))
                    found.append(None)
        except BaseException:
            for known in found:
                if known is not None:
                    await self.put(self.inodes.open(known[0].ino))
            raise
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

    @reader
    async def read_files(self, inos: Sequence[int]) -> list[Buffer]:
        inodes: list[Inode] = []
        try:
            for ino in inos:
                inodes.append(await self.load(ino))
                if not inodes[-1].is_regular:
                    raise InvalidArgument
            found = await self._files.read_files(inodes)
            for inode in inodes:
                self._accessed(inode)
            return found
        finally:
            for inode in inodes:
                await self.put(inode)

    @reader
    async def data_runs(self, ino: int, position: int, size: int) -> list[tuple[int, int]]:
        inode = self.inodes.open(ino)
        if not inode.is_regular:
            raise InvalidArgument
        return await self._files.data_runs(inode, position, size)

    @reader
    async def accessed(self, ino: int) -> bool:
        return self._accessed(self.inodes.open(ino))

    @modifier
    async def write(self, ino: int, position: int, data: Data) -> int:
        inode = self.inodes.open(ino)
        if inode.is_device or inode.is_directory:
            raise InvalidArgument
        if not len(data):
            return 0
        written = await self._files.write(inode, position, data)
        _drop_set_id(inode)
        return written

    @modifier
    async def truncate(self, ino: int, size: int) -> None:
        inode = self.inodes.open(ino)
        if inode.is_directory:
            raise IsDirectory
        await self._files.truncate(inode, size)
        _drop_set_id(inode)

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
        result = bytearray(max(0, min(size, self._device_end() - position)))
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
        end = min(position + size, self._device_end())
        for block in range(position // block_size, -(-end // block_size)):
            self.volume.cache.put(await self.volume.cache.get(block))

    # ---- what a format does ----------------------------------------------------------------------------------------

    async def _mode_changes(self, inode: Inode, mode: int) -> None:
        """Before a chmod: bring what else says who may do what in step with the new mode, or raise."""

    # ---- pieces of requests ----------------------------------------------------------------------------------------

    async def _node_and_stat(self, number: int) -> tuple[Node, Stat]:
        """What `getnodes` tells of one inode, which is in use afterwards."""
        inode = await self.load(number)
        try:
            return self.node(inode), self._status(inode) or await self._stat(inode)
        except BaseException:
            await self.put(inode)
            raise

    async def _stat(self, inode: Inode) -> Stat:
        await self._zones.count(inode)
        status = self._status(inode)
        assert status is not None
        return status

    def _status(self, inode: Inode) -> Stat | None:
        """None if the zones of the inode were not counted yet."""
        zones = inode.zones_used if inode.has_zones else 0
        if zones is None:
            return None
        volume = self.volume
        return Stat(
            inode.num,
            inode.mode,
            inode.nlinks,
            inode.uid,
            inode.gid,
            inode.rdev if inode.is_device else 0,
            inode.size,
            volume.block_size,
            (zones + inode.zones_besides) * volume.zone_size // 512,
            inode.atime,
            inode.mtime,
            inode.ctime,
        )

    def _device_end(self) -> int:
        """Bytes of the device in whole blocks, which is what the cache can hold."""
        return self.device.size // self.volume.block_size * self.volume.block_size

    def _touch(self, inode: Inode) -> None:
        inode.ctime = self.volume.now()
        self.inodes.mark_dirty(inode)

    def _stamp(self, time: Time, old: int, now: int) -> int:
        """A stamp as the format can hold it."""
        if isinstance(time, TimeUpdate):
            return now if time is NOW else old
        time -= time % self.granularity
        return time if self.time_min <= time <= self.time_max else min(max(time, self.time_min), self.time_max)

    def _accessed(self, inode: Inode) -> bool:
        """Stamp a read as the mount's atime policy wants it; whether that changed the stamp."""
        if self.read_only or not self.stamps_access:
            return False
        now = self.volume.now()
        recent = inode.atime > inode.mtime and inode.atime > inode.ctime and now - inode.atime < DAY
        if inode.atime == now or (recent and self._settings.atime == "relatime"):
            return False
        inode.atime = now
        self.inodes.mark_dirty(inode)
        return True


def _to_list_from(directory: Inode, position: int) -> int:
    """A position to list from, which may be beyond the end; if the directory was removed, it is."""
    if position < 0:
        raise NotFound
    return min(position, directory.size) if directory.nlinks else directory.size


def _drop_set_id(inode: Inode) -> None:
    """Changed data is no longer what the set-id bits were granted to (set-gid without group execute is locking)."""
    inode.mode &= ~0o4000
    if inode.mode & 0o010:
        inode.mode &= ~0o2000
