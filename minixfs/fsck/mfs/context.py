"""What the passes of one check share: the volume, its inodes, the zones in use, and the words for faults."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.mfs import layout
from minixfs.fsck.mfs.inodes import InodeTable
from minixfs.fsck.mfs.volume import Volume
from minixfs.fsck.report import Finding, Judge, printable

if TYPE_CHECKING:
    from minixfs.fsck.mfs.names import Entries


class Kind(StrEnum):
    """Every fault that the MFS checker knows."""

    SUPERBLOCK = "superblock"
    ROOT = "root"
    UNKNOWN_MODE = "unknown-mode"
    DEVICE_ZONES = "device-zones"
    BAD_ZONE = "bad-zone"
    SHARED_ZONE = "shared-zone"
    TOO_LARGE = "too-large"
    BEYOND_SIZE = "beyond-size"
    BAD_SIZE = "bad-size"
    SYMLINK = "symlink"
    DIRECTORY_HOLE = "directory-hole"
    NOT_DIRECTORY = "not-directory"
    BAD_ENTRY = "bad-entry"
    BAD_NAME = "bad-name"
    DUPLICATE_NAME = "duplicate-name"
    DOT = "dot"
    DOTDOT = "dotdot"
    DIRECTORY_LINK = "directory-link"
    ORPHAN = "orphan"
    TOO_MANY_LINKS = "too-many-links"
    LINK_COUNT = "link-count"
    INODE_MAP = "inode-map"
    ZONE_MAP = "zone-map"
    PADDING = "padding"
    UNSETTLED = "unsettled"


class Context:
    """State of one check. `in_use` (indexed by zone number) holds every zone that anything refers to; it
    may hold too many until the next count, never too few, so zones taken by `take_zone` are safe to
    overwrite.
    """

    def __init__(self, volume: Volume, table: InodeTable, judge: Judge) -> None:
        self.volume = volume
        self.superblock = volume.superblock
        self.table = table
        self.judge = judge
        self.in_use = np.zeros(self.superblock.zones, np.bool_)
        self.paths: dict[int, bytes] = {}
        self.links: Entries | None = None
        self.end = np.zeros(0, np.int64)
        """Behind the last mapped zone of each row, as a zone index within the file."""
        self._free = self._free_zones()

    def found(self, kind: Kind, inode: int, what: str, zone: int | None = None, name: bytes | None = None) -> bool:
        """Record a fault of `inode`, or of its entry `name`; True: repair it."""
        return self.judge.found(self._finding(kind, inode, what, zone, name))

    def _finding(self, kind: Kind, inode: int, what: str, zone: int | None, name: bytes | None) -> Finding:
        path = self.paths.get(inode)
        if name is not None:
            path = None if path is None else path.rstrip(b"/") + b"/" + name
            subject = printable(path or name) + f" (in directory inode {inode})"
        else:
            subject = f"inode {inode}" if path is None else f"{printable(path)} (inode {inode})"
        return Finding(kind, f"{subject}: {what}", inode=inode, zone=zone, path=path)

    # ---- zones -----------------------------------------------------------------------------------------------------

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
        shift = self.superblock.zone_shift
        return range(zone << shift, (zone + 1) << shift)

    def is_zone(self, zones: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these numbers are data zones of the volume."""
        return (zones >= self.superblock.first_data_zone) & (zones < self.superblock.zones)

    def _free_zones(self) -> Iterator[int]:
        step = 1 << 16
        for start in range(self.superblock.first_data_zone, self.superblock.zones, step):
            for offset in np.flatnonzero(~self.in_use[start : start + step]).tolist():
                if not self.in_use[start + offset]:
                    yield start + offset

    # ---- sizes -----------------------------------------------------------------------------------------------------

    def is_bad_blocks(self, row: int) -> bool:
        """Whether this is the inode, without a name, in which Linux keeps bad blocks."""
        table = self.table
        return bool(table.numbers[row] == layout.BAD_BLOCKS_INODE and table.mode[row] == 0o100000)
