"""File data: reading, writing, truncating, peeking (specification: file systems, 2.4, 2.5).

Data goes one of two ways. *Directly* between the caller's buffer and the device: whole blocks that nobody has
cached, when the layer below caches them anyway (`BlockDevice.host_cached`) and takes any length. Through the
*cache*: everything else - parts of blocks, blocks that are cached already, and all data of slow devices, with
read-ahead. Both see the same bytes: a direct read leaves cached blocks out, a direct write goes into cached copies
too.

A write that needs new zones allocates them, writes the data, and only then hangs the zones into the file, so that an
error on the way leaves neither a hole in the accounts nor old contents of the disk in the file.
"""

from __future__ import annotations

from collections.abc import Sequence

from minixfs.errors import DeviceError, FileTooBig, InvalidArgument, NoSpace
from minixfs.fs.disk.inode import Inode, InodeTable
from minixfs.fs.disk.volume import Volume
from minixfs.fs.disk.zones import Extent, ZoneMap
from minixfs.fs.libminixfs.write_order import Order
from minixfs.hw.blockdev.device import Buffer, Data

READAHEAD_BLOCKS = 32
READAHEAD_BLOCKS_SMALL_CACHE = 18
GAP_READ = 1 << 16
"""Most bytes between two files that are read with them."""
READ_TOGETHER = 256
"""Most pieces in one transfer."""
SMALL_CACHE = 50
"""Buffers below which a cache counts as small."""


class Files:
    """The file data of one volume."""

    def __init__(self, volume: Volume, inodes: InodeTable, zones: ZoneMap) -> None:
        self._volume = volume
        self._inodes = inodes
        self._zones = zones
        self._cache = volume.cache
        self._device = volume.cache.device
        self._direct = self._device.host_cached and self._device.sector_size == 1
        self._block_size = volume.block_size
        self._zone_size = volume.zone_size

    # ---- reading ---------------------------------------------------------------------------------------------------

    async def read(self, inode: Inode, position: int, size: int) -> Buffer:
        """Up to `size` bytes from `position`, fewer at the end of the file. Holes read as zeroes, without I/O."""
        size = min(size, inode.size - position)
        if size <= 0:
            return bytearray()
        result = bytearray(size)
        view = memoryview(result)
        pieces = self._pieces_at_hand(inode, position, size) or await self._pieces(inode, position, size)
        for start, zone, length in pieces:
            if zone:
                offset = zone * self._zone_size + (start % self._zone_size)
                part = view[start - position :][:length]
                if self._direct and not self._holds_any(offset, length):
                    await self._read_direct(offset, part)
                else:
                    await self._read_piece(inode, start, offset, part)
        inode.after_seek = False
        return result

    async def read_files(self, inodes: Sequence[Inode]) -> list[Buffer]:
        """The whole of each file. What lies together on the device is fetched together. Raises DeviceError, Corrupt."""
        found: list[Buffer] = []
        wanted: list[tuple[int, memoryview]] = []
        for inode in inodes:
            data = bytearray(inode.size)
            found.append(data)
            if not data:
                continue
            view = memoryview(data)
            for start, zone, length in await self._pieces(inode, 0, len(data)):
                offset = zone * self._zone_size + start % self._zone_size
                piece = view[start : start + length]
                if zone and self._direct and not self._holds_any(offset, length):
                    wanted.append((offset, piece))
                elif zone:
                    await self._read_piece(inode, start, offset, piece)
        wanted.sort(key=lambda one: one[0])
        await self._gather(wanted)
        return found

    async def _gather(self, wanted: Sequence[tuple[int, memoryview]]) -> None:
        """Fill views from their device bytes, ascending; small gaps are read too, and thrown away."""
        waste = memoryview(bytearray(GAP_READ))
        at = 0
        while at < len(wanted):
            first, view = wanted[at]
            views, end = [view], first + len(view)
            for offset, view in wanted[at + 1 :][:READ_TOGETHER]:
                if not 0 <= offset - end <= GAP_READ:
                    break
                views += (waste[: offset - end], view)
                end = offset + len(view)
            at += (len(views) + 1) // 2
            moved = await self._device.read(first, views)
            if moved < end - first:
                raise DeviceError(message=f"{self._device.name}: the device ends at byte {first + moved}")

    async def data_runs(self, inode: Inode, position: int, size: int) -> list[tuple[int, int]]:
        """Where the range has data, up to the end of the file: (offset, bytes), ascending, apart. No data is read."""
        size = min(size, inode.size - position)
        found: list[tuple[int, int]] = []
        if size <= 0:
            return found
        for start, zone, length in await self._pieces(inode, position, size):
            if not zone:
                continue
            if found and sum(found[-1]) == start:
                start, before = found.pop()
                length += before
            found.append((start, length))
        return found

    async def peek(self, inode: Inode, position: int, size: int) -> None:
        """Bring the blocks of the range that exist into the cache; never past the end, never into holes."""
        block_size = self._block_size
        start = position - position % block_size
        size = min(position + size, inode.size) - start
        if size <= 0:
            return
        for at, zone, length in await self._pieces(inode, start, size):
            if zone:
                block = (zone * self._zone_size + at % self._zone_size) // block_size
                for step in range(-(-length // block_size)):
                    self._cache.put(await self._cache.get(block + step, inode.num, at + step * block_size))

    async def _pieces(self, inode: Inode, position: int, size: int) -> list[tuple[int, int, int]]:
        """The byte range as (file offset, first zone or 0 for a hole, length) runs."""
        first, count = self._zones_of(position, size)
        return self._cut(await self._zones.extents(inode, first, count), position, size)

    def _pieces_at_hand(self, inode: Inode, position: int, size: int) -> list[tuple[int, int, int]] | None:
        """As `_pieces`, but None if that has to read something."""
        extents = self._zones.extents_at_hand(inode, *self._zones_of(position, size))
        return None if extents is None else self._cut(extents, position, size)

    def _zones_of(self, position: int, size: int) -> tuple[int, int]:
        """In which zones of a file the byte range lies: the first, and how many."""
        first = position // self._zone_size
        return first, (position + size - 1) // self._zone_size - first + 1

    def _cut(self, extents: list[Extent], position: int, size: int) -> list[tuple[int, int, int]]:
        """The byte range, which begins in the first of these extents, as `_pieces` tells it."""
        zone_size = self._zone_size
        if len(extents) == 1 and (extents[0].index + extents[0].count) * zone_size >= position + size:  # mostly
            return [(position, extents[0].zone, size)]
        pieces = []
        for extent in extents:
            start = max(position, extent.index * zone_size)
            end = min(position + size, (extent.index + extent.count) * zone_size)
            zone = extent.zone and extent.zone + start // zone_size - extent.index
            pieces.append((start, zone, end - start))
        return pieces

    async def _read_piece(self, inode: Inode, position: int, offset: int, view: memoryview) -> None:
        """Fill `view`, one run of zones, block by block from device byte `offset`, the file's byte `position`."""
        block_size = self._block_size
        first, last = offset // block_size, (offset + len(view) - 1) // block_size
        for block in range(first, last + 1):
            start = max(offset, block * block_size)
            end = min(offset + len(view), (block + 1) * block_size)
            file_offset = position + block * block_size - offset
            target = view[start - offset : end - offset]
            buf = self._cache.get_cached(block)
            if buf is None:
                if self._direct and not self._holds_any(start, len(target)):
                    await self._read_direct(start, target)
                    continue
                if not self._direct and not self._cache.at_hand(block):
                    await self._read_ahead(inode, file_offset, last - block + 1)
                buf = await self._cache.get(block, inode.num, file_offset)
            within = start - block * block_size
            with buf:
                target[:] = buf.data[within : within + len(target)]

    def _holds_any(self, offset: int, length: int) -> bool:
        """Whether any block is cached in which these bytes of the device lie."""
        return self._cache.holds_any(range(offset // self._block_size, -(-(offset + length) // self._block_size)))

    async def _read_direct(self, offset: int, view: memoryview) -> None:
        moved = await self._device.read(offset, [view])
        if moved < len(view):
            raise DeviceError(message=f"{self._device.name}: the device ends at byte {offset + moved}")

    async def _read_ahead(self, inode: Inode, file_offset: int, wanted: int) -> None:
        """Fetch the missing block at `file_offset` together with those that follow it on the disk."""
        cache = self._cache
        ahead = READAHEAD_BLOCKS_SMALL_CACHE if cache.capacity < SMALL_CACHE else READAHEAD_BLOCKS
        count = wanted if inode.after_seek else max(wanted, ahead)
        length = min(count * self._block_size, inode.size - file_offset)
        blocks = []
        for start, zone, size in await self._pieces(inode, file_offset, length):
            if not zone:
                break
            block = (zone * self._zone_size + start % self._zone_size) // self._block_size
            for step in range(-(-size // self._block_size)):
                blocks.append((block + step, inode.num, start + step * self._block_size))
            break
        await cache.prefetch(blocks)

    # ---- writing ---------------------------------------------------------------------------------------------------

    async def write(self, inode: Inode, position: int, data: Data) -> int:
        """Store `data` at `position`; the count is short only when the disk filled up on the way.

        Raises FileTooBig with nothing written, NoSpace when not even the first byte could be.
        """
        size = len(data)
        if position + size > self._volume.shape.max_file_size:
            raise FileTooBig
        view = memoryview(data)
        zone_size = self._zone_size
        done = 0
        if position > inode.size:
            await self._zero_tail(inode, position)
        try:
            first, count = self._zones_of(position, size)
            extents = self._zones.extents_at_hand(inode, first, count) or await self._zones.extents(inode, first, count)
            for extent in extents:
                index, end_index = extent.index, extent.index + extent.count
                while index < end_index:
                    if extent.zone:
                        start = max(position, index * zone_size)
                        part = view[start - position : end_index * zone_size - position]
                        offset = extent.zone * zone_size + start - index * zone_size
                        await self._write_piece(inode, start, offset, part)
                        index = end_index
                    else:
                        index += await self._fill_hole(inode, index, end_index - index, position, view)
                    done = min(size, index * zone_size - position)
            if first + count > self._zones.readable_zones:
                raise FileTooBig
        except (NoSpace, FileTooBig):
            if not done:
                raise
        finally:
            if done:
                inode.size = max(inode.size, position + done)
                inode.mtime = inode.ctime = self._volume.now()
                self._inodes.mark_dirty(inode)
        return done

    async def _fill_hole(self, inode: Inode, index: int, count: int, position: int, view: memoryview) -> int:
        """Allocate up to `count` zones for a hole at `index`, write what belongs there; return how many."""
        volume, zones, zone_size = self._volume, self._zones, self._zone_size
        wanted = min(count, zones.leaf_room(index))
        leaf = await zones.reach(inode, index) if index >= zones.direct else None
        try:
            zone, count = await volume.allocate_zones(volume.goal(inode), wanted)
            try:
                start = max(position, index * zone_size)
                end = min(position + len(view), (index + count) * zone_size)
                await self._write_new(inode, index, zone, count, start, view[start - position : end - position])
            except BaseException:
                volume.free_zones(zone, count)
                raise
            zones.assign(inode, index, zone, count, leaf)
        finally:
            if leaf is not None:
                self._cache.put(leaf)
        return count

    async def _write_new(
        self, inode: Inode, index: int, zone: int, count: int, position: int, view: memoryview
    ) -> None:
        """Fill fresh zones, which map the file from zone `index` on: `view` at `position`, zeroes elsewhere."""
        block_size, zone_size = self._block_size, self._zone_size
        base, offset, size = index * zone_size, zone * zone_size, count * zone_size
        head, end = position - base, position - base + len(view)
        blocks = range(offset // block_size, (offset + size) // block_size)
        if self._direct and not self._cache.holds_any(blocks):
            await self._write_direct(offset, [bytes(head), view, bytes(size - end)] if len(view) < size else [view])
            return
        for number, block in enumerate(blocks):
            start = number * block_size
            if head <= start and start + block_size <= end:
                continue
            with await self._cache.get(block, inode.num, base + start, read=False) as buf:
                buf.data[:] = bytes(block_size)
                self._cache.mark_dirty(buf, Order.DATA)
        await self._write_piece(inode, position, offset + head, view)

    async def _write_piece(self, inode: Inode, position: int, offset: int, view: memoryview) -> None:
        """Store `view` at device byte `offset`, where the file's byte `position` is; one run of zones."""
        block_size = self._block_size
        if not offset % block_size and not len(view) % block_size:
            await self._write_blocks(inode, position, offset, view)
            return
        head = min(-offset % block_size, len(view))
        if head:
            await self._write_part(inode, position, offset, view[:head])
        whole = (len(view) - head) // block_size * block_size
        if whole:
            await self._write_blocks(inode, position + head, offset + head, view[head : head + whole])
        if head + whole < len(view):
            await self._write_part(inode, position + head + whole, offset + head + whole, view[head + whole :])

    async def _write_part(self, inode: Inode, position: int, offset: int, view: memoryview) -> None:
        """Change a part of one block in the cache."""
        block, within = divmod(offset, self._block_size)
        file_offset = position - within
        buf = self._cache.get_cached(block)
        if buf is None:
            fresh = file_offset >= inode.size
            buf = await self._cache.get(block, inode.num, file_offset, read=not fresh)
            if fresh:
                buf.data[:] = bytes(self._block_size)
        with buf:
            buf.data[within : within + len(view)] = view
            self._cache.mark_dirty(buf, Order.DATA)

    async def _write_blocks(self, inode: Inode, position: int, offset: int, view: memoryview) -> None:
        """Store whole blocks."""
        block_size, cache = self._block_size, self._cache
        blocks = range(offset // block_size, (offset + len(view)) // block_size)
        if self._direct:
            await self._write_direct(offset, [view])
            if cache.holds_any(blocks):
                await self._update_cached(blocks, view)
            return
        for number, block in enumerate(blocks):
            with await cache.get(block, inode.num, position + number * block_size, read=False) as buf:
                buf.data[:] = view[number * block_size : (number + 1) * block_size]
                cache.mark_dirty(buf, Order.DATA)

    async def _write_direct(self, offset: int, pieces: Sequence[Data]) -> None:
        moved = await self._device.write(offset, pieces)
        if moved < sum(map(len, pieces)):
            raise DeviceError(message=f"{self._device.name}: the device ends at byte {offset + moved}")

    async def _update_cached(self, blocks: range, view: memoryview) -> None:
        """Bring cached copies of blocks that were written directly up to date, in place: they may be mapped."""
        for number, block in enumerate(blocks):
            if self._cache.holds_any(range(block, block + 1)):
                with await self._cache.get(block, read=False) as buf:
                    buf.data[:] = view[number * self._block_size : (number + 1) * self._block_size]
                    self._cache.mark_clean(buf)

    # ---- sizes -----------------------------------------------------------------------------------------------------

    async def truncate(self, inode: Inode, size: int) -> None:
        """Set the size: shrinking frees, growing leaves a hole."""
        if inode.is_device:
            raise InvalidArgument
        if size > self._volume.shape.max_file_size:
            raise FileTooBig
        if size < inode.size and inode.has_zones:
            keep = -(-size // self._zone_size)
            if size % self._zone_size:
                await self._zero(inode, size, min(inode.size, keep * self._zone_size))
            await self._zones.unmap(inode, keep, self._zones.readable_zones)
        if size < inode.size:
            inode.search_zone = 0
        elif inode.has_zones:
            await self._zero_tail(inode, size)
        inode.size = size
        self._stamp(inode)

    async def free_range(self, inode: Inode, start: int, end: int) -> None:
        """Make [start, end) a hole, clipped to the file. InvalidArgument for an empty range."""
        end = min(end, inode.size)
        if not inode.is_regular or start >= end:
            raise InvalidArgument
        zone_size = self._zone_size
        first = -(-start // zone_size)
        last = -(-end // zone_size) if end == inode.size else end // zone_size
        if first > last:
            await self._zero(inode, start, end)
        else:
            await self._zero(inode, start, min(first * zone_size, end))
            await self._zero(inode, max(last * zone_size, start), end)
            await self._zones.unmap(inode, first, last)
        self._stamp(inode)

    async def _zero_tail(self, inode: Inode, size: int) -> None:
        """Before the file grows to `size`: what its last zone holds behind the end must not show up."""
        if inode.size % self._zone_size:
            await self._zero(inode, inode.size, min(size, -(-inode.size // self._zone_size) * self._zone_size))

    async def _zero(self, inode: Inode, start: int, end: int) -> None:
        """Overwrite [start, end) of the file, which lies in one zone, with zeroes; nothing to do in a hole."""
        if start >= end:
            return
        zone = await self._zones.zone_at(inode, start // self._zone_size)
        if zone:
            offset = zone * self._zone_size + start % self._zone_size
            await self._write_piece(inode, start, offset, memoryview(bytes(end - start)))

    def _stamp(self, inode: Inode) -> None:
        inode.mtime = inode.ctime = self._volume.now()
        self._inodes.mark_dirty(inode)
