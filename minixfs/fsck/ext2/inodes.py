"""The inodes that matter, one array for each field.

`InodeTable.load` reads the inode tables in batches and keeps the inodes in use, the reserved ones, and those that are
free in an illegal way; so memory follows the number of files, not the size of the tables. An inode is in use when it
has links. A *row* is an index into the columns; rows stay what they are when inodes are added or freed. Whoever changes
a column sets `changed` for the row; `flush` puts changed rows back into the volume's blocks.

Of what large inodes have behind their first 128 bytes only that is kept (`tails`) which has to be looked at.
"""

from __future__ import annotations

import stat
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.ext2 import layout
from minixfs.fsck.ext2.groups import Groups
from minixfs.fsck.ext2.volume import Volume
from minixfs.fsck.rows import RowIndex, as_index
from minixfs.hw.clock import seconds_stored

BYTES_PER_ROW = 250
"""Memory that a row takes while the table is loaded, about."""
TYPE_MASK = 0o170000
MAPPED_TYPES = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
_CORE = layout.INODE.size
_MAGIC_SIZE = 4
_FIELDS = (
    "i_mode", "i_uid", "i_size", "i_dtime", "i_gid", "i_links_count", "i_blocks", "i_flags", "i_block", "i_file_acl",
    "i_size_high", "i_faddr", "i_blocks_high", "i_file_acl_high",
)  # fmt: skip
"""What a check looks at, or changes; the rest stays as it is on the disk."""
_LINKS, _DELETED = layout.INODE.offsets["i_links_count"] // 2, layout.INODE.offsets["i_dtime"] // 4


def _grown(column: NDArray[Any], rows: int) -> NDArray[Any]:
    """With room for so many rows. The first block numbers of all inodes lie together, then the second: so they are
    looked at."""
    grown = np.empty((rows, *column.shape[1:]), column.dtype, order="F")
    grown[: len(column)] = column
    return grown


def _kept(column: NDArray[Any]) -> NDArray[Any]:
    """The same, never to be written to."""
    column.flags.writeable = False
    return column


class InodeTable:
    """`numbers` and `columns`, by the names of the fields on disk; `tails` maps rows to the bytes behind the fields."""

    def __init__(self, volume: Volume, groups: Groups) -> None:
        self._volume = volume
        self._groups = groups
        self.numbers = np.zeros(0, np.int64)
        self.columns: dict[str, NDArray[Any]] = {field: np.empty(0, layout.INODE.dtype[field]) for field in _FIELDS}
        self.changed = np.zeros(0, np.bool_)
        self.tails: dict[int, bytearray] = {}
        self._fresh: set[int] = set()
        self._rows = RowIndex(self.numbers)

    # ---- reading ---------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read all tables. Raises Unsupported when there are more inodes in use than memory allows."""
        volume, superblock = self._volume, self._volume.superblock
        rows = 0
        dtype, offsets = layout.INODE.dtype, layout.INODE.offsets
        record = np.dtype(
            {
                "names": _FIELDS,
                "formats": [dtype[field] for field in _FIELDS],
                "offsets": [offsets[field] for field in _FIELDS],
                "itemsize": superblock.inode_size,
            }
        )
        self._grow(min(self._expected(), volume.budget.left // BYTES_PER_ROW))
        volume.begin(1, "inode tables", superblock.groups * superblock.inode_table_blocks)
        for group in range(superblock.groups):
            start = int(self._groups.table["bg_inode_table"][group])
            for block in range(0, superblock.inode_table_blocks, volume.batch_blocks):
                count = min(volume.batch_blocks, superblock.inode_table_blocks - block)
                data = await volume.read_run(start + block, count)
                first = group * superblock.inodes_per_group + block * superblock.inodes_per_block + 1
                inodes = data.reshape(-1, superblock.inode_size)
                kept = self._worth(inodes, first)
                if len(kept):
                    volume.budget.spend(len(kept) * BYTES_PER_ROW)
                    if rows + len(kept) > len(self.numbers):
                        self._grow(2 * (rows + len(kept)))
                    records, which = data.view(record), as_index(kept)
                    new = slice(rows, rows + len(kept))
                    for field, column in self.columns.items():
                        column[new] = records[field][which]
                    self.numbers[new] = kept + first
                    self._keep_tails(inodes, kept, rows)
                    rows += len(kept)
        self.numbers = self.numbers[:rows]
        self.columns = {field: column[:rows] for field, column in self.columns.items()}
        self.changed = np.zeros(rows, np.bool_)
        self._rows = RowIndex(self.numbers)

    def _expected(self) -> int:
        """How many inodes the groups say are in use, and the reserved ones: a guess."""
        superblock = self._volume.superblock
        free = self._groups.table["bg_free_inodes_count"].astype(np.int64)
        return int(np.maximum(superblock.inodes_per_group - free, 0).sum()) + superblock.first_inode

    def _grow(self, rows: int) -> None:
        """Make room for so many rows in all. Memory is only taken when they are filled."""
        self.numbers = _grown(self.numbers, rows)
        self.columns = {field: _grown(column, rows) for field, column in self.columns.items()}

    def _worth(self, inodes: NDArray[np.uint8], first: int) -> NDArray[np.int64]:
        """Which of these inodes, whose first number is `first`, to keep."""
        halves, words = inodes.view("<u2"), inodes.view("<u4")
        keep = halves[:, _LINKS] != 0
        if keep.all():
            return np.arange(len(keep))
        deleted = words[:, _DELETED].copy()
        keep |= (halves[:, 0] != 0) & (deleted == 0)
        keep |= (deleted != 0) & (deleted < self._volume.superblock.inodes)
        keep[: max(0, self._volume.superblock.first_inode - first)] = True
        return np.flatnonzero(keep)

    def _keep_tails(self, inodes: NDArray[np.uint8], kept: NDArray[np.int64], row: int) -> None:
        """Keep what follows the records where there are attributes or the size of the extra fields is illegal."""
        room = inodes.shape[1] - _CORE
        if not room:
            return
        halves = inodes.view("<u2")
        extra = halves[as_index(kept), _CORE // 2].copy()
        if (extra == extra[0]).all():
            extra = extra[:1]  # makers give all the same, and one of them stands for all below
        bad = (extra & 3 != 0) | (extra > room)
        at = np.where(bad | (extra >= room - _MAGIC_SIZE), 0, _CORE + extra)
        magic = inodes.reshape(-1).view("<u4").take((kept * inodes.shape[1] + at) >> 2)
        for index in np.flatnonzero(bad | ((magic == layout.XATTR_MAGIC) & (at > 0))).tolist():
            self.tails[row + index] = bytearray(inodes[kept[index], _CORE:].tobytes())
            self._volume.budget.spend(room)

    # ---- columns ---------------------------------------------------------------------------------------------------

    # Everybody asks for these four, so they are kept until an inode changes (`_touch`).

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        return _kept(self.columns["i_links_count"] != 0)

    @cached_property
    def type(self) -> NDArray[np.uint16]:
        """Type bits of every row; 0 for inodes that are free."""
        return _kept(np.where(self.used, self.columns["i_mode"] & np.uint16(TYPE_MASK), np.uint16(0)))

    @cached_property
    def ordinary(self) -> NDArray[np.bool_]:
        """The rows in use that files and directories have: the root, and those behind the reserved ones."""
        named = (self.numbers == layout.ROOT_INODE) | (self.numbers >= self._volume.superblock.first_inode)
        return _kept(self.used & named)

    @property
    def links(self) -> NDArray[np.uint16]:
        return self.columns["i_links_count"]

    def _touch(self, row: int) -> None:
        """The inode in `row` is being changed."""
        self.changed[row] = True
        for derived in ("used", "type", "ordinary", "size"):
            self.__dict__.pop(derived, None)

    @cached_property
    def size(self) -> NDArray[np.int64]:
        """Bytes; only regular files have more than 32 bits of it. What 63 bits cannot say is cut to a size that no file
        can have either."""
        sizes: NDArray[np.int64] = self.columns["i_size"].astype(np.int64)
        high = self.columns["i_size_high"]
        large = np.flatnonzero((high != 0) & ((self.columns["i_mode"] & TYPE_MASK) == stat.S_IFREG))
        sizes[large] |= np.minimum(high[large], 0x7FFFFFFF).astype(np.int64) << 32
        return _kept(sizes)

    def rows_of_type(self, *types: int) -> NDArray[np.int64]:
        """Ordinary rows."""
        found = np.zeros(len(self.type), np.bool_)
        for kind in types:
            found |= self.type == kind
        return np.flatnonzero(found & self.ordinary)

    @property
    def zones(self) -> NDArray[np.uint32]:
        """The block numbers that inodes have."""
        return self.columns["i_block"]

    @property
    def fast_symlinks(self) -> NDArray[np.bool_]:
        """Symbolic links whose text is in the inode."""
        fast = self.columns["i_size"] <= layout.FAST_SYMLINK_MAX
        return np.asarray(fast & (self.type == stat.S_IFLNK))

    def rows_for(self, numbers: NDArray[Any]) -> NDArray[np.int64]:
        """The row of each inode number, -1 for those not in use."""
        rows = self._rows(numbers)
        return np.where(self.used[rows] & (rows >= 0), rows, -1)

    def row(self, number: int) -> int:
        """The row of one inode, -1 if it is not in use."""
        return int(self.rows_for(np.array([number]))[0])

    def reserved_row(self, number: int) -> int:
        """The row of a reserved inode, which is there whether it is in use or not."""
        return int(self._rows(np.array([number]))[0])

    # ---- changing --------------------------------------------------------------------------------------------------

    def set_links(self, row: int, count: int) -> None:
        """Set the link count; one that the field cannot hold becomes the highest that it can."""
        self.put(row, "i_links_count", min(count, 0xFFFF))

    def set_size(self, row: int, size: int) -> None:
        self.put(row, "i_size", size & 0xFFFFFFFF)
        self.put(row, "i_size_high", size >> 32)

    def record(self, row: int) -> dict[str, Any]:
        """All fields of one inode."""
        return {field: column[row] for field, column in self.columns.items()}

    def put(self, row: int, field: str, value: int) -> None:
        """Change one field of one inode."""
        self.columns[field][row] = value
        self._touch(row)

    def free_number(self) -> int | None:
        """The lowest inode number that is not in use and not reserved, or None."""
        taken = np.zeros(self._volume.superblock.inodes + 1, np.bool_)
        taken[self.numbers[self.used]] = True
        taken[: self._volume.superblock.first_inode] = True
        number = int(taken.argmin())
        return None if taken[number] else number

    def add(self, number: int, mode: int) -> int:
        """Make inode `number`, which is not in use, an empty one without links; return its row. User 0 owns it."""
        row = self.reserved_row(number)
        if row < 0:
            row = len(self.numbers)
            self.numbers = np.append(self.numbers, number)
            self.columns = {
                field: np.concatenate([column, np.zeros((1, *column.shape[1:]), column.dtype)])
                for field, column in self.columns.items()
            }
            self.changed = np.append(self.changed, True)
            self._rows = RowIndex(self.numbers)
        self.free(row)
        self.put(row, "i_mode", mode)
        self.put(row, "i_dtime", 0)
        return row

    def free(self, row: int) -> None:
        """Give an inode up. Its blocks become free with the next count of blocks in use."""
        for column in self.columns.values():
            column[row] = 0
        self.columns["i_dtime"][row] = seconds_stored()
        self.tails.pop(row, None)
        self._touch(row)
        self._fresh.add(row)

    async def flush(self) -> None:
        """Put all changed rows into the volume's blocks."""
        superblock = self._volume.superblock
        size = superblock.inode_size
        now = seconds_stored().to_bytes(4, "little")
        for row in np.flatnonzero(self.changed).tolist():
            group, index = divmod(int(self.numbers[row]) - 1, superblock.inodes_per_group)
            block, slot = divmod(index, superblock.inodes_per_block)
            data = await self._volume.edit(int(self._groups.table["bg_inode_table"][group]) + block)
            start = slot * size
            if row in self._fresh:
                data[start : start + size] = bytes(size)
                for field in ("i_atime", "i_ctime", "i_mtime") if self.columns["i_mode"][row] else ():
                    at = start + layout.INODE.offsets[field]
                    data[at : at + 4] = now
            for field, column in self.columns.items():
                at, value = start + layout.INODE.offsets[field], column[row].tobytes()
                data[at : at + len(value)] = value
            if row in self.tails:
                data[start + _CORE : start + size] = self.tails[row]
        self.changed[:] = False
        self._fresh.clear()
