"""What the passes of one check share in every format: the volume, its inodes, the zones in use, the words for faults.

Files are made of *zones*, each of 1 << `zone_shift` blocks; in ext2 a zone is a block. An indirect block is the first
of its zone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from minixfs.fsck.blocks import Blocks
from minixfs.fsck.report import Finding, Judge, printable

if TYPE_CHECKING:
    from minixfs.fsck.entries import Entries


class Shape(NamedTuple):
    """Data zones have the numbers from `first_data_zone` up to `zones`. The *slots* of an inode are its `direct`
    pointers and then one for each of `levels` of indirection.
    """

    first_data_zone: int
    zones: int
    zone_shift: int
    direct: int
    levels: int
    pointers_per_block: int

    @property
    def slots(self) -> int:
        return self.direct + self.levels

    def level(self, slot: int) -> int:
        """Levels of indirect blocks below a slot."""
        return max(0, slot - self.direct + 1)

    def first_index(self, slot: int) -> int:
        """The first zone of the file below a slot; behind the last slot, how many zones a file can have."""
        return min(slot, self.direct) + sum(self.span(level) for level in range(1, self.level(slot)))

    def span(self, level: int) -> int:
        """Zones of the file that one pointer of this level stands for."""
        return int(self.pointers_per_block**level)


class Table(Protocol):
    """The inodes by rows: the number of each, and the pointers in it. Whoever changes these sets `changed`. `row` and
    `rows_for` give -1 for an inode that is not in use.
    """

    @property
    def numbers(self) -> NDArray[np.int64]: ...

    @property
    def zones(self) -> NDArray[np.uint32]: ...

    @property
    def changed(self) -> NDArray[np.bool_]: ...

    @property
    def type(self) -> NDArray[np.uint16]:
        """Type bits of every row; 0 for rows that have been freed."""

    @property
    def ordinary(self) -> NDArray[np.bool_]:
        """The rows in use that should have a name."""

    @property
    def links(self) -> NDArray[Any]:
        """The link count of every row."""

    def rows_of_type(self, *types: int) -> NDArray[np.int64]: ...

    def rows_for(self, numbers: NDArray[Any]) -> NDArray[np.int64]: ...

    def row(self, number: int) -> int: ...

    def free_number(self) -> int | None: ...

    def free(self, row: int) -> None: ...

    def set_links(self, row: int, count: int) -> None: ...


class Context(ABC):
    """State of one check. `in_use` (indexed by zone number) holds every zone that anything refers to; it may hold too
    many until the next count, never too few, so zones taken by `take_zone` are safe to overwrite. `end` is by row:
    behind the last mapped zone, as an index in the file. `paths` has what is known of the paths of inodes, `links` the
    entries that lead to inodes, by inode number, once they were needed.
    """

    table: Table
    counts_zones = False
    """Whether inodes say how many zones they hold; it takes time to count these."""

    def __init__(self, volume: Blocks, shape: Shape, root: int, judge: Judge) -> None:
        self.volume = volume
        self.shape = shape
        self.judge = judge
        self.in_use = np.zeros(shape.zones, np.bool_)
        self.end = np.zeros(0, np.int64)
        self.paths: dict[int, bytes] = {root: b"/"}
        self.links: Entries | None = None
        self._free = self._free_zones()

    def found(self, kind: str, inode: int, what: str, zone: int | None = None, name: bytes | None = None) -> bool:
        """Record a fault of `inode`, or of its entry `name`; True: repair it."""
        return self.judge.found(self.finding(kind, inode, what, zone, name))

    def finding(self, kind: str, inode: int, what: str, zone: int | None = None, name: bytes | None = None) -> Finding:
        path = self.paths.get(inode)
        if name is not None:
            path = None if path is None else path.rstrip(b"/") + b"/" + name
            subject = printable(path or name) + f" (in directory inode {inode})"
        else:
            subject = f"inode {inode}" if path is None else f"{printable(path)} (inode {inode})"
        return Finding(kind, f"{subject}: {what}", inode=inode, zone=zone, path=path)

    @abstractmethod
    async def entry_name(self, block: int, position: int) -> bytes:
        """The name at `position` of a directory, which lies in `block`."""

    # ---- zones -----------------------------------------------------------------------------------------------------

    def is_zone(self, zones: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these numbers are zones that a file may have."""
        return (zones >= self.shape.first_data_zone) & (zones < self.shape.zones)

    def is_usable(self, zone: int) -> bool:
        """As `is_zone`, for one."""
        return bool(self.is_zone(np.array([zone]))[0])

    def unclaimed(self) -> NDArray[np.bool_]:
        """The zones that are in use without being in the map of a file, as an array to be changed."""
        return np.zeros(self.shape.zones, np.bool_)

    def recount(self, in_use: NDArray[np.bool_]) -> None:
        """Replace the picture of the zones in use by a fresh one."""
        self.in_use = in_use
        self._free = self._free_zones()

    def take_zone(self) -> int | None:
        """A free zone, now in use; None if there is none."""
        zone = next(self._free, None)
        if zone is not None:
            self.in_use[zone] = True
        return zone

    def new_zone(self) -> int | None:
        """A free zone full of zeroes, or None."""
        zone = self.take_zone()
        if zone is not None:
            for block in self.blocks_of(zone):
                self.volume.zero_block(block)
        return zone

    def copy_zone(self, source: int) -> int | None:
        """A free zone with the contents of `source`, or None."""
        zone = self.take_zone()
        if zone is not None:
            for old, new in zip(self.blocks_of(source), self.blocks_of(zone), strict=True):
                self.volume.copy_block(old, new)
        return zone

    def blocks_of(self, zone: int) -> range:
        shift = self.shape.zone_shift
        return range(zone << shift, (zone + 1) << shift)

    def _free_zones(self) -> Iterator[int]:
        step = 1 << 16
        for start in range(self.shape.first_data_zone, self.shape.zones, step):
            for offset in np.flatnonzero(~self.in_use[start : start + step]).tolist():
                if not self.in_use[start + offset]:
                    yield start + offset
