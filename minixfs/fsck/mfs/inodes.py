"""The inodes in use, as columns of numpy arrays.

`InodeTable.load` reads the inode table in batches and keeps the inodes whose mode is not 0, so memory
follows the number of files, not the size of the table. A *row* is an index into the columns; rows stay what
they are when inodes are added or freed. Whoever changes a column sets `changed` for the row; `flush` puts
changed rows back into the volume's blocks.
"""

from __future__ import annotations

import stat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.mfs import layout
from minixfs.fs.mfs.layout import ROOT_INODE
from minixfs.fsck.mfs.volume import Volume
from minixfs.fsck.rows import RowIndex, as_index
from minixfs.hw.clock import seconds_stored

BYTES_PER_ROW = 250
"""Memory that a row takes while the table is loaded, about."""
TYPE_MASK = 0o170000
MAPPED_TYPES = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
_COLUMNS = {"i_mode": "u2", "i_nlinks": "i8", "i_size": "i8", "i_zone": "u4"}


def _column(inodes: NDArray[Any], field: str) -> NDArray[Any]:
    """A field of all `inodes`; of an array the first members of all, then the second."""
    return inodes[field].T.astype(_COLUMNS[field], order="C")


class InodeTable:
    """Columns `numbers`, `links`, `size` (bytes): int64; `mode`: uint16; `zones`, 9 or 10 for each inode: uint32."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._pointers = layout.DIRECT_ZONES + volume.superblock.variant.levels
        self.numbers = np.zeros(0, np.int64)
        self.mode = np.zeros(0, np.uint16)
        self.links = np.zeros(0, np.int64)
        self.size = np.zeros(0, np.int64)
        self.zones = np.zeros((0, self._pointers), np.uint32)
        self.changed = np.zeros(0, np.bool_)
        self._fresh: set[int] = set()
        self._rows = RowIndex(self.numbers)

    async def load(self) -> None:
        """Read the whole table. Raises Unsupported when there are more inodes in use than memory allows."""
        volume, superblock = self._volume, self._volume.superblock
        per_block, record = superblock.inodes_per_block, superblock.inode_record
        volume.begin(1, "inodes", superblock.inode_table_end - superblock.inode_table_block)
        parts: list[tuple[NDArray[Any], ...]] = []
        for block in range(superblock.inode_table_block, superblock.inode_table_end, volume.batch_blocks):
            count = min(volume.batch_blocks, superblock.inode_table_end - block)
            rows = await volume.read_blocks(np.arange(block, block + count))
            words = np.ascontiguousarray(rows[:, : per_block * record.size]).view(np.uint64)
            words = words.reshape(-1, record.size // 8)
            first = (block - superblock.inode_table_block) * per_block + 1
            words = words[: superblock.inodes - first + 1]
            modes = words.view(record.dtype)["i_mode"][:, 0]
            used = np.flatnonzero(modes != 0)
            if block == superblock.inode_table_block and not modes[0]:
                used = np.append(used, ROOT_INODE - 1)
            if len(used):
                volume.budget.spend(len(used) * BYTES_PER_ROW)
                inodes = words[as_index(used)].view(record.dtype)[:, 0]
                parts.append((used + first, *(_column(inodes, field) for field in _COLUMNS)))
        if parts:
            self.numbers, self.mode, self.links, self.size, zones = (
                np.concatenate(column, axis=-1) for column in zip(*parts, strict=True)
            )
            self.zones = zones.T  # the first zones of all inodes lie together, then the second: so they are looked at
            self.changed = np.zeros(len(self.numbers), np.bool_)
            self._rows = RowIndex(self.numbers)

    @property
    def type(self) -> NDArray[np.uint16]:
        """Type bits of every row; 0 for rows that have been freed."""
        return self.mode & np.uint16(TYPE_MASK)

    @property
    def bad_blocks(self) -> NDArray[np.bool_]:
        """The inode, without a name, in which Linux keeps bad blocks."""
        return np.asarray((self.numbers == layout.BAD_BLOCKS_INODE) & (self.mode == stat.S_IFREG))

    @property
    def ordinary(self) -> NDArray[np.bool_]:
        """The rows in use that should have a name."""
        return np.asarray((self.mode != 0) & ~self.bad_blocks)

    def set_links(self, row: int, count: int) -> None:
        self.links[row] = count
        self.changed[row] = True

    def rows_of_type(self, *types: int) -> NDArray[np.int64]:
        kinds, found = self.type, np.zeros(len(self.mode), np.bool_)
        for kind in types:
            found |= kinds == kind
        return np.flatnonzero(found)

    def rows_for(self, numbers: NDArray[Any]) -> NDArray[np.int64]:
        """The row of each inode number, -1 for those not in use."""
        rows = self._rows(numbers)
        return np.where(self.mode[rows] != 0, rows, -1) if len(self.mode) else rows

    def row(self, number: int) -> int:
        """The row of one inode, -1 if it is not in use."""
        return int(self.rows_for(np.array([number]))[0])

    def free_number(self) -> int | None:
        """The lowest inode number that is not in use, or None."""
        used = np.sort(self.numbers[self.mode != 0])
        gaps = np.flatnonzero(used != np.arange(1, len(used) + 1))
        number = int(gaps[0]) + 1 if len(gaps) else len(used) + 1
        return number if number <= self._volume.superblock.inodes else None

    def add(self, number: int, mode: int) -> int:
        """Make inode `number`, which is not in use, an empty one; return its row. It belongs to user 0."""
        row = int(self._rows(np.array([number]))[0])
        if row >= 0:
            self.free(row)
        else:
            row = len(self.numbers)
            self.numbers = np.append(self.numbers, number)
            self.mode = np.append(self.mode, np.uint16(0))
            self.links, self.size = np.append(self.links, 0), np.append(self.size, 0)
            self.zones = np.append(self.zones, np.zeros((1, self._pointers), np.uint32), axis=0)
            self.changed = np.append(self.changed, True)
            self._rows = RowIndex(self.numbers)
        self.mode[row] = mode
        self.changed[row] = True
        self._fresh.add(row)
        return row

    def free(self, row: int) -> None:
        """Give an inode up. Its zones become free with the next count of zones in use."""
        self.mode[row] = self.links[row] = self.size[row] = 0
        self.zones[row] = 0
        self.changed[row] = True

    async def flush(self) -> None:
        """Put all changed rows into the volume's blocks."""
        volume, superblock = self._volume, self._volume.superblock
        record = superblock.inode_record
        now = seconds_stored()
        for row in np.flatnonzero(self.changed).tolist():
            index = int(self.numbers[row]) - 1
            block, slot = divmod(index, superblock.inodes_per_block)
            data = await volume.edit(superblock.inode_table_block + block)
            inode = np.frombuffer(data, record.dtype, count=1, offset=slot * record.size)[0:1]
            if row in self._fresh or not self.mode[row]:
                data[slot * record.size : (slot + 1) * record.size] = bytes(record.size)
            if row in self._fresh:
                for name in ("i_atime", "i_mtime", "i_ctime"):
                    if name in record.fields:
                        inode[name] = now
            inode["i_mode"] = self.mode[row]
            inode["i_nlinks"] = self.links[row]
            inode["i_size"] = self.size[row]
            inode["i_zone"] = self.zones[row]
        self.changed[:] = False
        self._fresh.clear()
