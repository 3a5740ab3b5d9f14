"""Block groups: their descriptors in memory, and on the disk (specification: file systems, 3.1, 3.2).

`Groups` keeps one `Group` for each descriptor and the totals over all. Counts change with the bitmaps; `store` brings
the descriptors that changed into the block cache. The copies of the descriptors in other groups are left as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from minixfs.errors import BadSuperblock
from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.superblock import Superblock
from minixfs.fs.libminixfs.cache import BlockCache
from minixfs.fs.libminixfs.write_order import Order
from minixfs.hw.blockdev.device import BlockDevice

_STRUCT = layout.GROUP_DESCRIPTOR.struct


@dataclass(slots=True)
class Group:
    """One descriptor. The first three are block numbers; `rest` is what we do not know, carried through."""

    block_bitmap: int
    inode_bitmap: int
    inode_table: int
    free_blocks: int
    free_inodes: int
    directories: int
    flags: int
    rest: bytes


class Groups:
    """All groups of one volume, in `table`. `free_blocks`, `free_inodes` and `directories` are the sums over them."""

    def __init__(self, superblock: Superblock, groups: list[Group], first_block: int) -> None:
        self._superblock = superblock
        self.table = groups
        self._first_block = first_block
        self._changed: set[int] = set()
        self.free_blocks = sum(group.free_blocks for group in groups)
        self.free_inodes = sum(group.free_inodes for group in groups)
        self.directories = sum(group.directories for group in groups)

    @classmethod
    async def read(cls, device: BlockDevice, superblock: Superblock, first_block: int) -> Groups:
        """From the table that begins at `first_block`. Raises BadSuperblock for one that cannot be, DeviceError."""
        data = bytearray(superblock.descriptor_blocks * superblock.block_size)
        await device.read(first_block * superblock.block_size, [data])
        groups = [Group(*fields) for fields in _STRUCT.iter_unpack(data[: superblock.groups * _STRUCT.size])]
        for number, group in enumerate(groups):
            _check(superblock, number, group)
        return cls(superblock, groups, first_block)

    def count_blocks(self, number: int, freed: int) -> None:
        """So many more blocks of a group are free (or, negative, fewer)."""
        self.table[number].free_blocks += freed
        self.free_blocks += freed
        self._changed.add(number)

    def count_inodes(self, number: int, freed: int, directories: int) -> None:
        """So many more inodes of a group are free, among them directories (or, negative, fewer)."""
        group = self.table[number]
        group.free_inodes += freed
        group.directories -= directories
        self.free_inodes += freed
        self.directories -= directories
        self._changed.add(number)

    async def store(self, cache: BlockCache) -> None:
        """Bring what changed into the cache."""
        per_block = self._superblock.block_size // _STRUCT.size
        for block in sorted({number // per_block for number in self._changed}):
            with await cache.get(self._first_block + block) as buf:
                for number in range(block * per_block, min((block + 1) * per_block, len(self.table))):
                    if number in self._changed:
                        group = self.table[number]
                        _STRUCT.pack_into(
                            buf.data, number % per_block * _STRUCT.size,
                            group.block_bitmap, group.inode_bitmap, group.inode_table,
                            group.free_blocks, group.free_inodes, group.directories, group.flags, group.rest,
                        )  # fmt: skip
                        self._changed.discard(number)
                cache.mark_dirty(buf, Order.MAP)


def _check(superblock: Superblock, number: int, group: Group) -> None:
    """Raise BadSuperblock for metadata outside the volume."""
    first = superblock.first_data_block + 1
    spans = ((group.block_bitmap, 1), (group.inode_bitmap, 1), (group.inode_table, superblock.inode_table_blocks))
    for start, length in spans:
        if not first <= start <= superblock.blocks - length:
            raise BadSuperblock(f"bad group descriptor {number}: block {start} is outside the volume; run e2fsck")
