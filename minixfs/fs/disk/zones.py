"""Where a file's zones are: direct, single, double and triple indirect pointers (file systems, 1.7, 3.3).

A *leaf* is a row of consecutive zone pointers: the direct ones in the inode, or one indirect block. `ZoneMap.extents`
reads the mapping leaf by leaf as runs; `reach` makes the indirect blocks on the way to a leaf, in which `assign` then
hangs new zones; `unmap` takes a range out, from its end backwards, so that an error half-way leaves a consistent file
that is only longer than wanted.

Everything that may suspend (reading indirect blocks) comes before the change that it is for.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from minixfs.errors import Corrupt, FileTooBig
from minixfs.fs.disk.inode import Inode, InodeTable
from minixfs.fs.disk.volume import Volume
from minixfs.fs.libminixfs.buffer import Buf
from minixfs.fs.libminixfs.write_order import Order


@dataclass(slots=True)
class Extent:
    """`count` zones of a file from its zone `index` on; they are at `zone` on the disk, or a hole if that is 0."""

    index: int
    zone: int
    count: int


class ZoneMap:
    """The mapping of every file of one volume."""

    def __init__(self, volume: Volume, inodes: InodeTable) -> None:
        shape = volume.shape
        self._volume = volume
        self._inodes = inodes
        self.direct = shape.direct
        """Zones whose pointers are in the inode."""
        self._per_block = shape.pointers_per_block
        self._order = shape.order
        self._code = "H" if shape.pointer_size == 2 else "L"
        self._pointer = struct.Struct(self._order + self._code)
        self._rows: dict[int, struct.Struct] = {}
        self._spans = [self._per_block**level for level in range(shape.levels + 1)]
        double = self.direct + sum(self._spans[1:3])
        self.readable_zones = self.direct + sum(self._spans[1:])
        """Zones that the pointers of the variant reach at all."""
        triple_allowed = shape.max_file_size > double * volume.zone_size
        self.writable_zones = self.readable_zones if triple_allowed else min(double, self.readable_zones)
        """Zones that a write may reach: triple indirect only on volumes whose size limit asks for it."""

    # ---- reading the map -------------------------------------------------------------------------------------------

    async def extents(self, inode: Inode, first: int, count: int) -> list[Extent]:
        """The runs that make up zones [first, first + count) of the file, in order, holes included."""
        found: list[Extent] = []
        end = min(first + count, self.readable_zones)
        while first < end:
            if first < self.direct:
                pointers = tuple(inode.zones[first : min(end, self.direct)])
            else:
                leaf, start = self._known_leaf(inode, first) or await self._leaf(inode, first)
                length = min(end - first, self._per_block - start)
                if leaf is None:
                    found.append(Extent(first, 0, length))
                    first += length
                    continue
                with leaf:
                    pointers = self._unpack(leaf, start, length)
            self._add_runs(found, inode, first, pointers)
            first += len(pointers)
        return found

    def extents_at_hand(self, inode: Inode, first: int, count: int) -> list[Extent] | None:
        """As `extents`, if all pointers are in one leaf that is in memory; else None."""
        if first + count <= self.direct:
            pointers = tuple(inode.zones[first : first + count])
        else:
            known = self._known_leaf(inode, first) if first >= self.direct else None
            if known is None:
                return None
            leaf, start = known
            with leaf:
                if start + count > self._per_block:
                    return None
                pointers = self._unpack(leaf, start, count)
        found: list[Extent] = []
        self._add_runs(found, inode, first, pointers)
        return found

    async def zone_at(self, inode: Inode, index: int) -> int:
        """The zone at one index, 0 for a hole."""
        if index < self.direct:
            zone = inode.zones[index]
            if zone:
                self._volume.check_zones(zone, 1, inode.num)
            return zone
        extents = await self.extents(inode, index, 1)
        return extents[0].zone if extents else 0

    async def count(self, inode: Inode) -> int:
        """How many zones the file occupies, indirect blocks included. Counted once, then kept in the inode."""
        if inode.zones_used is None:
            inode.zones_used = await self._count_all(inode)
        return inode.zones_used

    # ---- changing the map ------------------------------------------------------------------------------------------

    def leaf_room(self, index: int) -> int:
        """How many pointers from `index` on are in the same leaf. FileTooBig past the last one."""
        if index < self.direct:
            return self.direct - index
        if index >= self.writable_zones:
            raise FileTooBig
        return self._per_block - (index - self.direct) % self._per_block

    async def reach(self, inode: Inode, index: int) -> Buf:
        """The indirect block (in use) that zone `index` will hang in, made with all above it if they are missing.

        So they come before the data on the disk, too. Raises NoSpace, DeviceError, and FileTooBig past the last zone.
        """
        if index >= self.writable_zones:
            raise FileTooBig
        leaf, _ = self._known_leaf(inode, index) or await self._leaf_for_writing(inode, index)
        return leaf

    def assign(self, inode: Inode, index: int, zone: int, count: int, leaf: Buf | None) -> None:
        """Hang zones [zone, zone + count) into a hole at `index`, which `leaf` maps, or the inode if it is None."""
        if leaf is None:
            for step in range(count):
                inode.zones[index + step] = zone + step
        else:
            start = (index - self.direct) % self._per_block
            self._row(count).pack_into(leaf.data, start * self._pointer.size, *range(zone, zone + count))
            self._volume.cache.mark_dirty(leaf, Order.INDIRECT)
        if inode.zones_used is not None:
            inode.zones_used += count
        inode.search_zone = zone + count
        self._inodes.mark_dirty(inode)

    async def unmap(self, inode: Inode, first: int, end: int) -> None:
        """Free the zones [first, end) of the file and every indirect block that becomes empty."""
        if first >= end:
            return
        if not any(inode.zones):
            return
        if any(inode.zones[self.direct :]):
            await self._unmap_trees(inode, first, end)
        end = min(end, self.direct)
        while end > first and not inode.zones[end - 1]:  # most files are short
            end -= 1
        for extent in reversed(self._direct_extents(inode, first, end)):
            if extent.zone:
                inode.zones[extent.index : extent.index + extent.count] = [0] * extent.count
                self._free(inode, extent.zone, extent.count)
                self._inodes.mark_dirty(inode)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _direct_extents(self, inode: Inode, first: int, end: int) -> list[Extent]:
        found: list[Extent] = []
        if first < end:
            self._add_runs(found, inode, first, tuple(inode.zones[first:end]))
        return found

    def _add_runs(self, found: list[Extent], inode: Inode, index: int, pointers: tuple[int, ...]) -> None:
        """Append `pointers`, which map the file from zone `index` on, as runs."""
        volume = self._volume
        length = len(pointers)
        first = pointers[0]
        if length == 1:
            if first:
                volume.check_zones(first, 1, inode.num)
            found.append(Extent(index, first, 1))
            return
        if first and pointers[-1] == first + length - 1 and pointers == tuple(range(first, first + length)):
            volume.check_zones(first, length, inode.num)
            found.append(Extent(index, first, length))
            return
        start = 0
        while start < length:
            zone = pointers[start]
            stop = start + 1
            if zone:
                while stop < length and pointers[stop] == zone + stop - start:
                    stop += 1
                volume.check_zones(zone, stop - start, inode.num)
            else:
                while stop < length and not pointers[stop]:
                    stop += 1
            found.append(Extent(index + start, zone, stop - start))
            start = stop

    def _tree(self, index: int) -> tuple[int, int]:
        """The level of the tree that maps zone `index`, and the index within that tree."""
        index -= self.direct
        for level in range(1, len(self._spans)):
            if index < self._spans[level]:
                return level, index
            index -= self._spans[level]
        raise FileTooBig

    def _known_leaf(self, inode: Inode, index: int) -> tuple[Buf, int] | None:
        """What `_leaf` finds, if the way to the leaf is known and it is in memory."""
        number, start = divmod(index - self.direct, self._per_block)
        zone = inode.leaves.get(number)
        buf = None if zone is None else self._volume.cache.get_cached(zone << self._volume.zone_shift)
        if buf is None:
            return None
        if buf.ino:
            self._volume.cache.put(buf)
            return None  # `_indirect` will tell what is wrong
        return buf, start

    async def _leaf(self, inode: Inode, index: int) -> tuple[Buf | None, int]:
        """The indirect block (in use) whose pointers map zone `index`, and the position in it; None in a hole."""
        number = (index - self.direct) // self._per_block
        level, index = self._tree(index)
        zone = inode.zones[self.direct + level - 1]
        while zone:
            buf = await self._indirect(inode, zone)
            if level == 1:
                inode.leaves[number] = zone
                return buf, index
            level -= 1
            child, index = divmod(index, self._spans[level])
            with buf:
                zone = self._unpack(buf, child, 1)[0]
        return None, index % self._per_block

    async def _leaf_for_writing(self, inode: Inode, index: int) -> tuple[Buf, int]:
        """As `_leaf`, but indirect blocks that are missing are made."""
        number = (index - self.direct) // self._per_block
        level, index = self._tree(index)
        zone = inode.zones[self.direct + level - 1]
        if zone:
            buf = await self._indirect(inode, zone)
        else:
            buf, zone = await self._new_indirect(inode, level)
            inode.zones[self.direct + level - 1] = zone
            self._inodes.mark_dirty(inode)
        while level > 1:
            level -= 1
            child, index = divmod(index, self._spans[level])
            with buf:
                zone = self._unpack(buf, child, 1)[0]
                if zone:
                    below = await self._indirect(inode, zone)
                else:
                    below, zone = await self._new_indirect(inode, level)
                    self._pointer.pack_into(buf.data, child * self._pointer.size, zone)
                    self._volume.cache.mark_dirty(buf, Order.INDIRECT + level)
            buf = below
        inode.leaves[number] = zone
        return buf, index

    async def _new_indirect(self, inode: Inode, level: int) -> tuple[Buf, int]:
        zone, _ = await self._volume.allocate_zones(self._volume.goal(inode), 1)
        try:
            buf = await self._volume.cache.get(self._volume.zone_block(zone), read=False)
        except BaseException:
            self._volume.free_zones(zone, 1)
            raise
        buf.data[:] = bytes(len(buf.data))
        self._volume.cache.mark_dirty(buf, Order.INDIRECT + level - 1)
        if inode.zones_used is not None:
            inode.zones_used += 1
        return buf, zone

    async def _unmap_trees(self, inode: Inode, first: int, end: int) -> None:
        """The part of `unmap` that lies behind the direct pointers."""
        if any(inode.zones[self.direct + 1 :]):
            await self._count_all(inode)  # refuses trees that lead in circles before anything is freed
        inode.leaves.clear()
        base = self.readable_zones
        for level in range(len(self._spans) - 1, 0, -1):
            base -= self._spans[level]
            slot = self.direct + level - 1
            zone = inode.zones[slot]
            if not zone or end <= base or first >= base + self._spans[level]:
                continue
            if await self._unmap_tree(inode, zone, level, first - base, end - base):
                self._free(inode, zone, 1)
                inode.zones[slot] = 0
                self._inodes.mark_dirty(inode)

    async def _unmap_tree(self, inode: Inode, zone: int, level: int, first: int, end: int) -> bool:
        """Free what lies in [first, end) below one indirect block; True when nothing is left in it."""
        span = self._spans[level - 1]
        low, high = max(first, 0) // span, min(-(-end // span), self._per_block)
        with await self._indirect(inode, zone) as buf:
            pointers = list(self._unpack(buf, 0, self._per_block))
            if level == 1:
                runs: list[Extent] = []
                self._add_runs(runs, inode, low, tuple(pointers[low:high]))
                for extent in reversed(runs):
                    if extent.zone:
                        self._free(inode, extent.zone, extent.count)
                pointers[low:high] = [0] * (high - low)
                self._store_pointers(buf, pointers, level)
            else:
                for child in range(high - 1, low - 1, -1):
                    below = pointers[child]
                    if below and await self._unmap_tree(
                        inode, below, level - 1, first - child * span, end - child * span
                    ):
                        self._free(inode, below, 1)
                        pointers[child] = 0
                        self._store_pointers(buf, pointers, level)
            return not any(pointers)

    async def _count_all(self, inode: Inode) -> int:
        used = sum(1 for zone in inode.zones[: self.direct] if zone)
        for level in range(1, len(self._spans)):
            if inode.zones[self.direct + level - 1]:
                used += await self._count_tree(inode, inode.zones[self.direct + level - 1], level)
        return used

    async def _count_tree(self, inode: Inode, zone: int, level: int) -> int:
        with await self._indirect(inode, zone) as buf:
            pointers = self._unpack(buf, 0, self._per_block)
        below = [pointer for pointer in pointers if pointer]
        if level == 1:
            return 1 + len(below)
        total = 1
        for pointer in below:
            total += await self._count_tree(inode, pointer, level - 1)
            if total > self._volume.shape.zones:
                raise Corrupt("the file has more zones than the volume", inode=inode.num)
        return total

    async def _indirect(self, inode: Inode, zone: int) -> Buf:
        self._volume.check_zones(zone, 1, inode.num)
        block = self._volume.zone_block(zone)
        buf = self._volume.cache.get_cached(block) or await self._volume.cache.get(block)
        if buf.ino:
            self._volume.cache.put(buf)
            raise Corrupt("an indirect block is also file data", block=block, inode=inode.num)
        return buf

    def _unpack(self, buf: Buf, start: int, count: int) -> tuple[int, ...]:
        if count == 1:
            return self._pointer.unpack_from(buf.data, start * self._pointer.size)
        return self._row(count).unpack_from(buf.data, start * self._pointer.size)

    def _row(self, count: int) -> struct.Struct:
        """How so many pointers are stored."""
        row = self._rows.get(count)
        if row is None:
            row = self._rows[count] = struct.Struct(f"{self._order}{count}{self._code}")
        return row

    def _store_pointers(self, buf: Buf, pointers: list[int], level: int) -> None:
        self._row(self._per_block).pack_into(buf.data, 0, *pointers)
        self._volume.cache.mark_dirty(buf, Order.INDIRECT + level - 1)

    def _free(self, inode: Inode, zone: int, count: int) -> None:
        self._volume.free_zones(zone, count)
        if inode.zones_used is not None:
            inode.zones_used -= count
