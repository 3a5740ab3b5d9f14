"""Single inodes, files and directories of an ext2 volume, read from the device whatever state the volume is in.

Nothing is cached but the group descriptors, and nothing is believed: numbers are checked before they are followed. The
walk over indirect blocks and the bulk readers are the checker's.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minixfs.errors import BadSuperblock, Corrupt, NotDirectory, NotFound, TooManySymlinks, Unsupported, UsageError
from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.superblock import Superblock
from minixfs.fsck.blocks import Budget, Tick
from minixfs.fsck.ext2.context import Context
from minixfs.fsck.ext2.groups import Groups
from minixfs.fsck.ext2.inodes import MAPPED_TYPES, InodeTable
from minixfs.fsck.ext2.volume import Volume
from minixfs.fsck.mapping import References, references
from minixfs.fsck.report import REPORT, Judge
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.runtime import run
from minixfs.image.anatomy.volume import read_bytes

MEMORY_LIMIT = 512 << 20
"""Bytes that the checker's readers may take."""
MAX_BLOCKS = 1 << 26
"""Blocks that can be mapped; each takes about 15 bytes of memory with all that is computed from it."""
MAX_LINKS = 40
"""Symbolic links on the way of a path."""
MAX_LOG_BLOCK_SIZE = 6
_SMALLEST_ENTRY = 8
_WHOLE_BLOCK = (0, 0xFFFF)
"""Stored lengths of an entry that fills a block of 64 KiB."""


class Inode(NamedTuple):
    """`offset` is the byte of the volume where `raw`, the whole record, lies; `pointers` are the 15 block fields."""

    number: int
    offset: int
    raw: bytes
    mode: int
    size: int
    pointers: tuple[int, ...]
    attributes: int

    @property
    def type(self) -> int:
        return stat.S_IFMT(self.mode)

    @property
    def has_blocks(self) -> bool:
        if self.number in (layout.BAD_BLOCKS_INODE, layout.RESIZE_INODE):
            return True
        return self.type in MAPPED_TYPES and self.text is None

    @property
    def text(self) -> bytes | None:
        """What a symbolic link has in its inode."""
        if self.type != stat.S_IFLNK or self.size > layout.FAST_SYMLINK_MAX:
            return None
        start = layout.INODE.offsets["i_block"]
        return self.raw[start : start + self.size]


class Slot(NamedTuple):
    """One entry of a directory. `offset` is the byte of the volume where it lies, `raw` all of its bytes."""

    offset: int
    raw: bytes
    inode: int
    name: bytes


class Reader:
    """`superblock` is the volume's; `blocks` counts those that are really on the device."""

    def __init__(self, device: BlockDevice, superblock: Superblock) -> None:
        self.device = device
        self.superblock = superblock
        if superblock.log_block_size > MAX_LOG_BLOCK_SIZE:
            raise BadSuperblock(f"bad superblock: block size 1024 << {superblock.log_block_size} is impossible")
        size, inode_size = superblock.block_size, superblock.inode_size
        if not layout.INODE_SIZE_REVISION_0 <= inode_size <= size or inode_size & (inode_size - 1):
            raise BadSuperblock(f"bad superblock: inode size {inode_size} is no power of two from 128 to {size}")
        if not superblock.blocks_per_group or not superblock.inodes_per_group:
            raise BadSuperblock("bad superblock: groups of no blocks or no inodes")
        if superblock.blocks <= superblock.first_data_block:
            raise BadSuperblock(f"bad superblock: {superblock.blocks} blocks in all")
        self.block_size = size
        self.blocks = min(superblock.blocks, device.size // size)

    def require_mapped_files(self) -> None:
        """Raise BadSuperblock or Unsupported for volumes on which files are not found as on ext2; a journal that is to
        be replayed is no reason."""
        known = self.superblock.incompat & ~layout.INCOMPAT_RECOVER
        replace(self.superblock, incompat=known).validate(self.device.size, read_only=True)

    # ---- blocks and groups -----------------------------------------------------------------------------------------

    def block(self, number: int) -> bytes:
        """The contents of a block. Raises UsageError for one that is not on the device."""
        if not 0 <= number < max(self.blocks, self.device.size // self.block_size):
            raise UsageError(f"there is no block {number}: the device ends before it")
        return read_bytes(self.device, number * self.block_size, self.block_size)

    def descriptor_offset(self, group: int) -> int:
        """The byte of the volume where a group's descriptor lies. Raises UsageError for a group that does not exist."""
        if not 0 <= group < self.superblock.groups:
            raise UsageError(f"there is no group {group}: the volume has groups 0 to {self.superblock.groups - 1}")
        for feature in ("64bit", "meta_bg"):
            if self.superblock.has_feature(feature):
                raise Unsupported(f"group descriptors with the feature {feature} are not known")
        return self.superblock.descriptor_block * self.block_size + group * layout.GROUP_DESCRIPTOR.size

    def descriptor(self, group: int) -> dict[str, Any]:
        """The fields of a group's descriptor. Raises UsageError for one that the device does not have."""
        size = layout.GROUP_DESCRIPTOR.size
        raw = read_bytes(self.device, self.descriptor_offset(group), size)
        if len(raw) < size:
            raise UsageError(f"the descriptor of group {group} lies behind the end of the device")
        return dict(zip(layout.GROUP_DESCRIPTOR.fields, layout.GROUP_DESCRIPTOR.struct.unpack(raw), strict=True))

    def descriptors(self, groups: int) -> NDArray[Any]:
        """The first `groups` descriptors, as far as they are on the device."""
        size = layout.GROUP_DESCRIPTOR.size
        data = read_bytes(self.device, self.descriptor_offset(0), groups * size)
        return np.frombuffer(data[: len(data) // size * size], layout.GROUP_DESCRIPTOR.dtype)

    # ---- inodes ----------------------------------------------------------------------------------------------------

    def inode_offset(self, number: int) -> int:
        """The byte of the volume where an inode lies. Raises UsageError for one that does not exist."""
        superblock = self.superblock
        if not 1 <= number <= superblock.inodes:
            raise UsageError(f"there is no inode {number}: the volume has inodes 1 to {superblock.inodes}")
        group, index = divmod(number - 1, superblock.inodes_per_group)
        table: int = self.descriptor(group)["bg_inode_table"]
        return table * self.block_size + index * superblock.inode_size

    def inode(self, number: int) -> Inode:
        """Raises UsageError for one that does not exist, or that the device is too short for."""
        offset = self.inode_offset(number)
        raw = read_bytes(self.device, offset, self.superblock.inode_size)
        if len(raw) < self.superblock.inode_size:
            raise UsageError(f"inode {number} lies behind the end of the device")
        fields = layout.INODE.parse(raw)
        size = fields["i_size"]
        if stat.S_ISREG(fields["i_mode"]):
            size |= fields["i_size_high"] << 32
        return Inode(number, offset, raw, fields["i_mode"], size, fields["i_block"], fields["i_file_acl"])

    # ---- files -----------------------------------------------------------------------------------------------------

    def context(self, tick: Tick = lambda progress: None) -> Context:
        """The checker's picture of the volume, with an empty inode table. It ends where the device ends.

        Raises BadSuperblock, Corrupt where the geometry is impossible, Unsupported for volumes that need too much
        memory.
        """
        self.require_mapped_files()
        if self.blocks > MAX_BLOCKS:
            raise Unsupported(f"a volume of {self.blocks} blocks is too large to be mapped")
        superblock, table = self._present()
        volume = Volume(self.device, superblock, Budget(MEMORY_LIMIT), tick)
        volume.budget.spend(2 * superblock.blocks)
        groups = Groups(superblock, table)
        return Context(volume, groups, InodeTable(volume, groups), Judge(REPORT))

    def _present(self) -> tuple[Superblock, NDArray[Any]]:
        """The groups whose inode tables are on the device, as a superblock and descriptors."""
        superblock = replace(self.superblock, blocks=self.blocks)
        if superblock.journal_inode != layout.JOURNAL_INODE:
            superblock.compat &= ~layout.COMPAT_HAS_JOURNAL
        table = self.descriptors(superblock.groups)
        ends = table["bg_inode_table"].astype(np.int64) + superblock.inode_table_blocks
        bad = np.flatnonzero((ends > self.blocks) | (table["bg_inode_table"] == 0))
        if len(bad) and (bad[0] == 0 or self.blocks == self.superblock.blocks):
            raise Corrupt(f"the inode table of group {bad[0]} lies outside the volume; run e2fsck")
        groups = int(bad[0]) if len(bad) else len(table)
        if groups < superblock.groups:
            superblock = replace(superblock, blocks=superblock.group_start(groups))
        return superblock, table[:groups]

    @cached_property
    def _context(self) -> Context:
        return self.context()

    def references(self, inode: Inode) -> list[References]:
        """All block numbers of a file: data in order, then indirect blocks. Also those that lie outside."""
        if not inode.has_blocks:
            return []
        context, table = self._context, self._context.table
        table.numbers = np.array([inode.number])
        record = np.frombuffer(inode.raw[: layout.INODE.size], layout.INODE.dtype)
        table.columns = {field: record[field].copy() for field in layout.INODE.fields}

        async def collect() -> list[References]:
            return [part async for part in references(context, np.array([0]))]

        parts = run(collect())
        return sorted(parts, key=lambda part: (part.level, part.places[0] if len(part.places) else 0))

    def is_block(self, blocks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these numbers a file may have; not those of metadata."""
        return self._context.is_zone(blocks)

    def blocks_of(self, inode: Inode) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places and numbers of a file's data blocks, in order, as far as they are on the device."""
        data = [part for part in self.references(inode) if part.level == 0]
        if not data:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        places, blocks = (np.concatenate([getattr(part, name) for part in data]) for name in ("places", "zones"))
        order = np.argsort(places, kind="stable")
        order = order[self.is_block(blocks[order])]
        return places[order], blocks[order]

    def slots(self, directory: Inode) -> Iterator[Slot]:
        """Every entry of a directory, free ones too, up to its size; of a damaged block as far as they add up."""
        size = self.block_size
        for place, block in zip(*(column.tolist() for column in self.blocks_of(directory)), strict=True):
            if place * size >= directory.size:
                break
            yield from self.entries(block)

    def entries(self, block: int) -> Iterator[Slot]:
        """The entries of one block of a directory, as far as they add up."""
        data, at, start = self.block(block), 0, block * self.block_size
        while at + _SMALLEST_ENTRY <= len(data):
            inode, length, name_length, _ = layout.DIRENT.struct.unpack_from(data, at)
            if length in _WHOLE_BLOCK and len(data) == 1 << 16:
                length = len(data)
            if length < _SMALLEST_ENTRY or length % 4 or at + length > len(data):
                return
            raw = data[at : at + length]
            yield Slot(start + at, raw, inode, raw[_SMALLEST_ENTRY : _SMALLEST_ENTRY + name_length])
            at += length

    # ---- paths -----------------------------------------------------------------------------------------------------

    def find(self, path: bytes) -> Inode:
        """Where a path from the root leads; links on the way are followed, one at its end is not."""
        inode = self.inode(layout.ROOT_INODE)
        above = [inode]
        waiting = _parts(path)
        links = 0
        while waiting:
            name = waiting.pop()
            if inode.type != stat.S_IFDIR:
                raise NotDirectory
            above.append(inode)
            number = next((slot.inode for slot in self.slots(inode) if slot.inode and slot.name == name), None)
            if number is None:
                raise NotFound
            inode = self.inode(number)
            if inode.type == stat.S_IFLNK and waiting:
                links += 1
                if links > MAX_LINKS:
                    raise TooManySymlinks
                target = self._link_text(inode)
                waiting += _parts(target)
                inode = above[0] if target.startswith(b"/") else above[-1]
        return inode

    def _link_text(self, link: Inode) -> bytes:
        if link.text is not None:
            return link.text
        _, blocks = self.blocks_of(link)
        return self.block(int(blocks[0]))[: link.size] if len(blocks) else b""


def _parts(path: bytes) -> list[bytes]:
    """The names of a path, the last one first."""
    return [part for part in reversed(path.split(b"/")) if part not in (b"", b".")]
