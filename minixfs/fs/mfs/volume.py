"""One mounted MFS volume: what all parts of the server share.

`Volume` ties the superblock, the block cache and the two bitmaps together and hands out inodes numbers and zones. It
knows nothing of files or names; `inode`, `zones`, `file` and `directory` build on it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from minixfs.errors import Corrupt, NoSpace
from minixfs.fs.libminixfs.cache import BlockCache
from minixfs.fs.mfs import layout
from minixfs.fs.mfs.bitmap import Bitmap
from minixfs.fs.mfs.bitorder import BitOrder
from minixfs.fs.mfs.superblock import Superblock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a volume is to be served.

    `force`: write to a volume that was not cleanly unmounted. `strict`: MINIX's policy (read-only when unclean) for
    V1 and V2 too. `truncate_names`: cut names that are too long, as MINIX does, instead of ENAMETOOLONG. `atime`:
    which reads stamp the access time: "relatime", "noatime" or "strictatime". `errors`: what corruption found on
    the way does to the mount: "continue", "remount-ro" or "abort". `inode_limit`: in-core inodes in use at once (0:
    no limit). `synchronous`: every change is durable when its request returns. `vm_cache`: VM knows the cached blocks.
    """

    force: bool = False
    strict: bool = False
    truncate_names: bool = False
    atime: str = "relatime"
    errors: str = "remount-ro"
    inode_limit: int = 0
    synchronous: bool = False
    vm_cache: bool = True


class Volume:
    """Attributes: `superblock`, `cache`, `inode_map`, `zone_map`, `settings`, `clock` (seconds since the epoch).

    `commit` writes all changes; it is called for the sake of the frees that wait for it when nothing else is free.
    `commits` counts those that succeeded.
    """

    def __init__(
        self,
        superblock: Superblock,
        cache: BlockCache,
        bit_order: BitOrder,
        settings: Settings,
        commit: Callable[[], Awaitable[None]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.superblock = superblock
        self.cache = cache
        self.settings = settings
        self.clock = clock
        self.commits = 0
        self._commit = commit
        self.block_size = superblock.block_size
        self.zone_size = superblock.zone_size
        self.zone_shift = superblock.zone_shift
        self.first_data_zone = superblock.first_data_zone
        self.inode_map = Bitmap(cache, "inode", layout.START_BLOCK, superblock.inode_bits, bit_order)
        self.zone_map = Bitmap(
            cache, "zone", layout.START_BLOCK + superblock.imap_blocks, superblock.zone_bits, bit_order
        )
        self.usage_due = False
        self._zone_hint = 1
        self._inode_hint = 0
        self._told_full = False

    def now(self) -> int:
        """The time that goes into stamps: whole seconds, as the format stores them."""
        return int(self.clock()) & 0xFFFFFFFF

    def zone_block(self, zone: int) -> int:
        """First block of a zone."""
        return zone << self.zone_shift

    def check_zone(self, zone: int, inode: int) -> None:
        """Raise Corrupt for a zone pointer that leads outside the data area."""
        if not self.first_data_zone <= zone < self.superblock.zones:
            raise Corrupt(f"zone number {zone} is out of range", inode=inode)

    async def allocate_zones(self, near: int, wanted: int) -> tuple[int, int]:
        """Up to `wanted` consecutive zones, close behind zone `near` (0: anywhere). Raises NoSpace."""
        bit = near - self.first_data_zone + 1 if near else self._zone_hint
        found = await self._allocate(self.zone_map, bit, wanted)
        if found is None:
            if not self._told_full:
                log.info("the disk is full")
                self._told_full = True
            raise NoSpace
        self._told_full = False
        first, count = found
        if not near:
            self._zone_hint = first + count
        self._usage_changed(count)
        return first + self.first_data_zone - 1, count

    def free_zones(self, zone: int, count: int) -> None:
        """The zones are free once this change is on the disk; what is cached of them is dropped now.

        Also undoes `allocate_zones`. It never waits, so that it is safe where an error or a cancellation is handled.
        """
        bit = zone - self.first_data_zone + 1
        self.zone_map.free(bit, count)
        self._zone_hint = min(self._zone_hint, bit)
        blocks = range(self.zone_block(zone), self.zone_block(zone + count))
        if self.cache.holds_any(blocks):
            self.cache.forget(blocks)
        self._usage_changed(-count)

    async def allocate_inode(self) -> int:
        """The number of a free inode, now marked used. Raises NoSpace."""
        found = await self._allocate(self.inode_map, self._inode_hint, 1)
        if found is None:
            raise NoSpace(message="no free inodes")
        self._inode_hint = found[0]
        return found[0]

    def free_inode(self, number: int) -> None:
        self.inode_map.free(number)
        self._inode_hint = min(self._inode_hint, number)

    async def block_usage(self) -> tuple[int, int]:
        """Blocks in total and free."""
        free = await self.zone_map.count_free()
        return self.superblock.zones << self.zone_shift, free << self.zone_shift

    async def _allocate(self, bitmap: Bitmap, origin: int, wanted: int) -> tuple[int, int] | None:
        found = await bitmap.allocate(origin, wanted)
        if found is None and bitmap.pending:
            await self._commit()
            found = await bitmap.allocate(origin, wanted)
        return found

    def _usage_changed(self, zones: int) -> None:
        if self.cache.usage_changed(zones << self.zone_shift):
            self.usage_due = True
