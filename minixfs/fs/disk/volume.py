"""One mounted volume: what all parts of the server share.

`Volume` ties the shape of the volume to its block cache and hands out inode numbers and zones; each format derives its
own. It knows nothing of files or names; `inode`, `zones`, `file` and `names` build on it.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from minixfs.errors import Corrupt, IdOverflow, NoSpace
from minixfs.fs.disk.inode import Inode
from minixfs.fs.libminixfs.cache import BlockCache
from minixfs.hw.clock import NS, coarse_clock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a volume is to be served.

    `force`: write to a volume that was not cleanly unmounted. `strict`: MINIX's policy (read-only when unclean) for
    V1 and V2 too. `truncate_names`: cut names that are too long, as MINIX does, instead of ENAMETOOLONG. `atime`:
    which reads stamp the access time: "relatime", "noatime" or "strictatime". `errors`: what corruption found on
    the way does to the mount: "continue", "remount-ro", "abort" or "default". `inode_limit`: in-core inodes in use at
    once (0: no limit). `synchronous`: every change is durable when its request returns. `vm_cache`: VM knows the cached
    blocks.
    """

    force: bool = False
    strict: bool = False
    truncate_names: bool = False
    atime: str = "relatime"
    errors: str = "default"
    inode_limit: int = 0
    synchronous: bool = False
    vm_cache: bool = True


@dataclass(frozen=True, slots=True)
class Shape:
    """What a format and the superblock fix. Sizes are bytes.

    `first_data_zone` and `zones` bound the zone numbers that a file may use. An inode has `direct` zone pointers of
    `pointer_size` bytes and one for each of `levels` of indirection; `order` is the byte order as `struct` writes it.
    Files reach up to `max_file_size`; symbolic links of up to `fast_symlink_max` bytes are kept in the inode. Stamps
    are multiples of `granularity` nanoseconds, from `time_min` to `time_max`; without `has_times` the format stores
    one stamp only.
    """

    kind: str
    block_size: int
    zone_shift: int
    first_data_zone: int
    zones: int
    inodes: int
    root_inode: int
    direct: int
    levels: int
    pointer_size: int
    order: str
    max_file_size: int
    link_max: int
    uid_max: int
    gid_max: int
    device_max: int
    name_max: int
    symlink_max: int
    fast_symlink_max: int = 0
    granularity: int = NS
    time_min: int = 0
    time_max: int = 0xFFFFFFFF * NS
    has_times: bool = True

    @property
    def zone_size(self) -> int:
        return self.block_size << self.zone_shift

    @property
    def pointers_per_block(self) -> int:
        return self.block_size // self.pointer_size


class Volume(ABC):
    """Attributes: `shape`, `cache`, `settings`, `clock` (nanoseconds since the epoch).

    `overhead`: zones that no file can have; `reserved`: free zones that are not for everybody.

    `commit` writes all changes; it is called for the sake of the frees that wait for it when nothing else is free.
    `commits` counts those that succeeded.
    """

    overhead = 0
    reserved = 0

    def __init__(
        self,
        shape: Shape,
        cache: BlockCache,
        settings: Settings,
        commit: Callable[[], Awaitable[None]],
        clock: Callable[[], int] = coarse_clock,
    ) -> None:
        self.shape = shape
        self.cache = cache
        self.settings = settings
        self.clock = clock
        self.commits = 0
        self._commit = commit
        self._granularity, self._time_max = shape.granularity, shape.time_max
        self.block_size = shape.block_size
        self.zone_size = shape.zone_size
        self.zone_shift = shape.zone_shift
        self.first_data_zone = shape.first_data_zone
        self.usage_due = False
        self._told_full = False

    def now(self) -> int:
        """The time that goes into stamps: nanoseconds since the epoch, as exactly as the format stores them."""
        now = self.clock()
        now -= now % self._granularity
        return now if now < self._time_max else self._time_max

    def zone_block(self, zone: int) -> int:
        """First block of a zone."""
        return zone << self.zone_shift

    def check_zones(self, zone: int, count: int, inode: int) -> None:
        """Raise Corrupt for zones of a file, one after the other, that lead outside the data area."""
        if not self.first_data_zone <= zone <= self.shape.zones - count:
            raise Corrupt(f"zone number {zone} is out of range", inode=inode)

    def check_ids(self, uid: int, gid: int) -> None:
        """Raise IdOverflow for an owner that the format cannot hold."""
        if not 0 <= uid <= self.shape.uid_max or not 0 <= gid <= self.shape.gid_max:
            raise IdOverflow(message=f"owner {uid}:{gid} does not fit {self.shape.kind} inodes")

    # ---- zones -----------------------------------------------------------------------------------------------------

    def goal(self, inode: Inode) -> int:
        """Close behind which zone the next one of the inode should be; 0: anywhere."""
        return inode.search_zone or inode.zones[0]

    async def allocate_zones(self, near: int, wanted: int) -> tuple[int, int]:
        """Up to `wanted` consecutive zones, close behind zone `near` (0: anywhere): the first and how many. NoSpace."""
        zone = self._claim_zone(near) if wanted == 1 else 0
        found = (zone, 1) if zone else await self._find_zones(near, wanted)
        if found is None and self.frees_pending:
            await self._commit()
            found = await self._find_zones(near, wanted)
        if found is None:
            if not self._told_full:
                log.info("the disk is full")
                self._told_full = True
            raise NoSpace
        self._told_full = False
        self._usage_changed(found[1])
        return found

    def free_zones(self, zone: int, count: int) -> None:
        """The zones are free once this change is on the disk; what is cached of them is dropped now.

        Also undoes `allocate_zones`. It never waits, so that it is safe where an error or a cancellation is handled.
        """
        self._release_zones(zone, count)
        blocks = range(self.zone_block(zone), self.zone_block(zone + count))
        if self.cache.holds_any(blocks):
            self.cache.forget(blocks)
        self._usage_changed(-count)

    async def block_usage(self) -> tuple[int, int]:
        """Blocks in total and free."""
        return self.shape.zones << self.zone_shift, await self.count_free_zones() << self.zone_shift

    # ---- inodes ----------------------------------------------------------------------------------------------------

    async def allocate_inode(self, mode: int, parent: Inode) -> int:
        """The number of a free inode, now marked used, for an object of this mode in a directory. Raises NoSpace."""
        found = self._claim_inode(mode, parent) or await self._find_inode(mode, parent)
        if found is None and self.frees_pending:
            await self._commit()
            found = await self._find_inode(mode, parent)
        if found is None:
            raise NoSpace(message="no free inodes")
        return found

    # ---- what a format does ----------------------------------------------------------------------------------------

    @abstractmethod
    def _claim_zone(self, near: int) -> int:
        """The zone that `_find_zones` would look at first, now marked used, if it is free and the map at hand; or 0."""

    @abstractmethod
    async def _find_zones(self, near: int, wanted: int) -> tuple[int, int] | None:
        """Mark up to `wanted` consecutive zones used; None if none is free."""

    @abstractmethod
    def _release_zones(self, zone: int, count: int) -> None:
        """Note zones to be marked free by `apply_frees`."""

    @abstractmethod
    def _claim_inode(self, mode: int, parent: Inode) -> int:
        """As `_claim_zone`, with an inode."""

    @abstractmethod
    async def _find_inode(self, mode: int, parent: Inode) -> int | None:
        """Mark an inode used; None if none is free."""

    @abstractmethod
    def free_inode(self, inode: Inode) -> None:
        """Note an inode to be marked free by `apply_frees`."""

    @property
    @abstractmethod
    def frees_pending(self) -> bool:
        """Whether anything waits for `apply_frees`."""

    @abstractmethod
    async def apply_frees(self, found_corruption: Callable[[Corrupt], None]) -> None:
        """Mark free in the maps what was freed. Raises DeviceError; what is not done stays pending."""

    @abstractmethod
    async def count_free_zones(self) -> int: ...

    @abstractmethod
    async def count_free_inodes(self) -> int: ...

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _usage_changed(self, zones: int) -> None:
        if self.cache.usage_changed(zones << self.zone_shift):
            self.usage_due = True
