"""One mounted MFS volume: its two bitmaps (specification: file systems, 1.5, 2.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from minixfs.errors import Corrupt
from minixfs.fs.disk.bitmap import Bitmap
from minixfs.fs.disk.inode import Inode
from minixfs.fs.disk.volume import Settings, Shape, Volume
from minixfs.fs.libminixfs.cache import BlockCache
from minixfs.fs.mfs import layout
from minixfs.fs.mfs.bitorder import BitOrder
from minixfs.fs.mfs.superblock import Superblock
from minixfs.hw.clock import coarse_clock


def shape_of(superblock: Superblock) -> Shape:
    variant = superblock.variant
    return Shape(
        kind=variant.name,
        block_size=superblock.block_size,
        zone_shift=superblock.zone_shift,
        first_data_zone=superblock.first_data_zone,
        zones=superblock.zones,
        inodes=superblock.inodes,
        root_inode=layout.ROOT_INODE,
        direct=layout.DIRECT_ZONES,
        levels=variant.levels,
        pointer_size=variant.pointer_size,
        order=superblock.order,
        max_file_size=min(superblock.max_size or superblock.natural_max_size, layout.MAX_FILE_SIZE),
        link_max=variant.link_max,
        uid_max=variant.id_max,
        gid_max=variant.gid_max,
        device_max=0xFFFF,
        name_max=variant.name_max,
        symlink_max=layout.SYMLINK_MAX,
        has_times=variant.has_times,
    )


class MfsVolume(Volume):
    """Zones and inodes come from one bitmap each; a search goes on where the last one ended."""

    def __init__(
        self,
        superblock: Superblock,
        cache: BlockCache,
        bit_order: BitOrder,
        settings: Settings,
        commit: Callable[[], Awaitable[None]],
        clock: Callable[[], int] = coarse_clock,
    ) -> None:
        super().__init__(shape_of(superblock), cache, settings, commit, clock)
        self.superblock = superblock
        start = layout.START_BLOCK
        width = bit_order.width
        self.inode_map = Bitmap(cache, "inode", start, superblock.inode_bits, lowest=1, width=width)
        start += superblock.imap_blocks
        self.zone_map = Bitmap(cache, "zone", start, superblock.zone_bits, lowest=1, width=width)
        self._zone_hint = 1
        self._inode_hint = 1

    def _claim_zone(self, near: int) -> int:
        bit = self._bit(near) if near else self._zone_hint
        if not self.zone_map.claim(bit):
            return 0
        if not near:
            self._zone_hint = bit + 1
        return bit + self.first_data_zone - 1

    async def _find_zones(self, near: int, wanted: int) -> tuple[int, int] | None:
        found = await self.zone_map.allocate(self._bit(near) if near else self._zone_hint, wanted)
        if found is None:
            return None
        bit, count = found
        if not near:
            self._zone_hint = bit + count
        return bit + self.first_data_zone - 1, count

    def _release_zones(self, zone: int, count: int) -> None:
        self.zone_map.free(self._bit(zone), count)

    def _bit(self, zone: int) -> int:
        return zone - self.first_data_zone + 1

    def _claim_inode(self, mode: int, parent: Inode) -> int:
        number = self._inode_hint
        if not self.inode_map.claim(number):
            return 0
        self._inode_hint = number + 1
        return number

    async def _find_inode(self, mode: int, parent: Inode) -> int | None:
        found = await self.inode_map.allocate(self._inode_hint)
        if found is None:
            return None
        self._inode_hint = found[0] + 1
        return found[0]

    def free_inode(self, inode: Inode) -> None:
        self.inode_map.free(inode.num)

    @property
    def frees_pending(self) -> bool:
        return bool(self.inode_map.pending or self.zone_map.pending)

    async def apply_frees(self, found_corruption: Callable[[Corrupt], None]) -> None:
        for bitmap, freed in ((self.inode_map, self._inodes_freed), (self.zone_map, self._zones_freed)):
            while bitmap.pending:
                try:
                    await bitmap.apply_frees(freed)
                except Corrupt as error:
                    found_corruption(error)

    def _inodes_freed(self, bit: int, count: int) -> None:
        self._inode_hint = min(self._inode_hint, bit)

    def _zones_freed(self, bit: int, count: int) -> None:
        self._zone_hint = min(self._zone_hint, bit)

    async def count_free_zones(self) -> int:
        return await self.zone_map.count_free()

    async def count_free_inodes(self) -> int:
        return await self.inode_map.count_free()
