"""The files of a new ext2 volume: how many blocks they take, where these are, and everything that is written for them.

    populate(tree, time)                        gives the tree the lost+found that every volume has
    contents = Contents(tree, superblock)       counts; raises UsageError for files that such a volume cannot hold
    contents.place(superblock)                  gives every file its inode and its blocks
    await contents.write(stream)                the data
    contents.inodes(group)                      the inodes in use of one group, as they are on the disk

Blocks are counted before anything is placed, indirect blocks and blocks of extended attributes included, so that it is
known what fits. Files with the same attributes share one block for them. Directories are linear, without an index.
"""

from __future__ import annotations

import itertools
import os
import stat
import struct
from array import array
from collections.abc import Iterable, Sequence

from minixfs.errors import UsageError
from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.superblock import Superblock
from minixfs.hw.blockdev.device import Data
from minixfs.mkfs.ext2_attributes import Attributes, TooLarge
from minixfs.mkfs.ext2_geometry import EXTRA_SIZE, resize_inode_size
from minixfs.mkfs.ext2_placement import Placement
from minixfs.mkfs.mapping import Mapping, Run, closed_up, indirect_blocks, scaled
from minixfs.mkfs.populate import Directory, Tree
from minixfs.mkfs.stream import Stream

LOST_FOUND = b"lost+found"
_LOST_FOUND_SIZE = 16384
_POINTERS = layout.DIRECT_BLOCKS + layout.LEVELS
_NO_POINTERS = (0,) * _POINTERS
_EXTRA_ROOM = 256 - layout.INODE.size - EXTRA_SIZE
_LARGE_INODE = struct.Struct(layout.INODE.struct.format + layout.INODE_EXTRA.struct.format[1:])
_SIGN = 1 << 31
_TEXT = struct.Struct(f"<{_POINTERS}L")
_DOTS = 24
"""Bytes of the entries for the directory itself and the one above it."""


def populate(tree: Tree, time: int) -> int:
    """Make sure that there is a directory lost+found, where e2fsck puts what it finds. Returns its number."""
    root = tree.directories[0]
    if LOST_FOUND in root.names:
        number = root.files[root.names.index(LOST_FOUND)]
        if number not in tree.directories:
            raise UsageError("/lost+found: ext2 needs a directory of that name")
        return number
    number = len(tree)
    root.names.append(LOST_FOUND)
    root.files.append(number)
    tree.links[0] += 1
    tree.directories[number] = Directory(0)
    for values, value in (
        (tree.modes, stat.S_IFDIR | 0o700), (tree.links, 2), (tree.uids, 0), (tree.gids, 0), (tree.sizes, 0),
        (tree.mtimes, time), (tree.atimes, time), (tree.ctimes, time),
    ):  # fmt: skip
        values.append(value)
    tree.data.append(None)
    if tree.fine:
        tree.fine.extend((0, 0, 0))
    return number


class Contents:
    """`blocks` says for each file of `tree` how many blocks it takes, those for attributes apart; `total` is the sum
    with these; `sizes` are the sizes in bytes that the inodes will show."""

    def __init__(self, tree: Tree, superblock: Superblock) -> None:
        self.tree = tree
        self.block_size = size = superblock.block_size
        self.has_types = "filetype" in superblock.features()
        self.time = superblock.mkfs_time
        self._lost_found = populate(tree, self.time)
        self._large = superblock.inode_size > layout.INODE.size
        self._per_block = size // 4
        self.sizes = tree.sizes[:]
        self._runs = {number: scaled(runs, size) for number, runs in tree.runs.items()}
        self._count(superblock)
        try:
            self._attributes = Attributes(tree.xattrs, size, _EXTRA_ROOM if self._large else 0)
        except TooLarge as error:
            raise self._cannot(error.number, f"its extended attributes do not fit into {size} bytes") from None
        self.has_resize_inode = "resize_inode" in superblock.features()
        self.total = sum(self.blocks) + len(self._attributes.blocks) + self.has_resize_inode

    @property
    def length(self) -> int:
        """Bytes that `write` writes."""
        return (self.total - self.has_resize_inode) * self.block_size

    def first_beyond(self, blocks: int) -> str:
        """The path of the first file that has no room when there are only so many blocks."""
        ends = itertools.accumulate(self.blocks)
        number = next((number for number, end in enumerate(ends) if end > blocks), len(self.tree) - 1)
        return os.fsdecode(self.tree.path(number))

    # ---- counting --------------------------------------------------------------------------------------------------

    def _count(self, superblock: Superblock) -> None:
        tree, size = self.tree, self.block_size
        for number, directory in tree.directories.items():
            self.sizes[number] = _directory_blocks(directory.names, size) * size
        least = min(_LOST_FOUND_SIZE, layout.DIRECT_BLOCKS * size)
        self.sizes[self._lost_found] = max(self.sizes[self._lost_found], least)
        self.blocks = array("I", [-(-length // size) for length in self.sizes])
        largest = superblock.max_file_size
        if "large_file" not in superblock.features():
            largest = layout.LARGE_FILE
        for number, count in enumerate(self.blocks):
            if count <= 1 and not (count and isinstance(tree.data[number], bytes)):
                if number in self._runs:
                    self.blocks[number] = sum(length for _, length in self._runs[number])
                continue
            length = self.sizes[number]
            text = tree.data[number]
            if isinstance(text, bytes):
                if length <= layout.FAST_SYMLINK_MAX:
                    self.blocks[number] = 0
                elif length >= size:
                    raise self._cannot(number, f"a symbolic link of {length} bytes needs larger blocks")
            elif length > largest:
                raise self._cannot(number, f"{length} bytes are too many for a file in this volume: {largest}")
            elif number in self._runs:
                held = sum(length for _, length in self._runs[number])
                self.blocks[number] = held + self._mapping(number).blocks
            elif count > layout.DIRECT_BLOCKS:
                direct = layout.DIRECT_BLOCKS
                self.blocks[number] += indirect_blocks(count, self._per_block, layout.LEVELS, direct)

    def _mapping(self, number: int) -> Mapping:
        runs = self._runs.get(number, [(0, -(-self.sizes[number] // self.block_size))])
        return Mapping(runs, self._per_block, layout.LEVELS, layout.DIRECT_BLOCKS)

    def _cannot(self, number: int, what: str) -> UsageError:
        return UsageError(f"{os.fsdecode(self.tree.path(number))}: {what}")

    # ---- placing ---------------------------------------------------------------------------------------------------

    def place(self, superblock: Superblock) -> Placement:
        """Hand out inodes and blocks: first to the root, to lost+found and to the resize inode, then to the rest."""
        tree = self.tree
        placement = self.placement = Placement(superblock)
        self.numbers = array("I", bytes(4 * len(tree)))
        self._places: list[list[Run]] = [[]] * len(tree)
        self._attribute_blocks = [0] * len(self._attributes.blocks)
        parents = array("I", bytes(4 * len(tree)))
        for above, directory in tree.directories.items():
            for number in directory.files:
                parents[number] = above
        self.numbers[0] = layout.ROOT_INODE
        placement.directories[0] += 1
        self._give_blocks(0)
        self.numbers[self._lost_found] = placement.take_directory(0, spread=False)
        self._give_blocks(self._lost_found)
        self.resize_block = placement.take_blocks(0, 1)[0][0] if self.has_resize_inode else 0
        for number in range(1, len(tree)):
            if number == self._lost_found:
                continue
            home = placement.group_of(self.numbers[parents[number]])
            if number in tree.directories:
                self.numbers[number] = placement.take_directory(home, spread=parents[number] == 0)
            else:
                self.numbers[number] = placement.take_inode(home)
            self._give_blocks(number)
        return placement

    def _give_blocks(self, number: int) -> None:
        home = self.placement.group_of(self.numbers[number])
        share = self._attributes.block_of.get(number)
        if share is not None and not self._attribute_blocks[share]:
            self._attribute_blocks[share] = self.placement.take_blocks(home, 1)[0][0]
        if self.blocks[number]:
            self._places[number] = self.placement.take_blocks(home, self.blocks[number])

    # ---- data ------------------------------------------------------------------------------------------------------

    async def write(self, stream: Stream) -> None:
        """Put everything that has a place, in the order of the places. Raises OSError, DeviceError."""
        self._mapped: dict[int, list[int]] = {}
        size = self.block_size
        order = [(places[0][0], number) for number, places in enumerate(self._places) if places]
        order += [(block, ~share) for share, block in enumerate(self._attribute_blocks)]
        order.sort()
        for block, number in order:
            if number >= 0:
                places, pieces = self._places[number], self._pieces(number)
            else:
                places, pieces = [(block, 1)], [(0, self._attributes.block(~number))]
            if len(places) > 1:
                await _scatter(stream, places, size, pieces)
                continue
            base = block * size
            if base != stream.position:
                await stream.seek(base)
            for offset, piece in pieces:
                stream.put(base + offset, piece)
                if stream.is_full:
                    await stream.drain()
            stream.pad(base + places[0][1] * size)
        await stream.drain()

    def _pieces(self, number: int) -> Iterable[tuple[int, Data]]:
        """What is in the blocks of a file, one behind the other: offset in bytes, and what is there."""
        tree = self.tree
        content = tree.data[number]
        if number in tree.directories:
            pieces: Iterable[tuple[int, Data]] = [(0, self._directory(number))]
        elif isinstance(content, bytes):
            pieces = [(0, content)]
        else:
            pieces = content() if content is not None else ()
        if number in self._runs:
            pieces = closed_up(pieces, self._runs[number], self.block_size)
        elif self.blocks[number] <= layout.DIRECT_BLOCKS:
            return pieces
        self._mapped[number], blocks = self._mapping(number).place(self._places[number], 4, "<", self.block_size)
        return itertools.chain([(0, blocks)], ((len(blocks) + offset, piece) for offset, piece in pieces))

    def _directory(self, number: int) -> bytearray:
        """The blocks of a directory: entries that tile each block, the last one of each reaching to its end."""
        tree, size = self.tree, self.block_size
        directory = tree.directories[number]
        data = bytearray(self.sizes[number])
        pack_into, head = layout.DIRENT.struct.pack_into, layout.DIRENT.size
        offset = last = 0
        for file, name in zip(
            (number, directory.parent, *directory.files), (b".", b"..", *directory.names), strict=True
        ):
            need = head + len(name) + 3 & ~3
            if offset % size + need > size or (offset and not offset % size):
                end = -(-offset // size) * size
                data[last + 4 : last + 6] = (end - last).to_bytes(2, "little")
                offset = end
            kind = layout.FILE_TYPES[stat.S_IFMT(tree.modes[file])] if self.has_types else 0
            pack_into(data, offset, self.numbers[file], need, len(name), kind)
            data[offset + head : offset + head + len(name)] = name
            last, offset = offset, offset + need
        end = -(-offset // size) * size
        data[last + 4 : last + 6] = (end - last).to_bytes(2, "little")
        for offset in range(end, len(data), size):
            pack_into(data, offset, 0, size, 0, 0)
        return data

    # ---- inodes ----------------------------------------------------------------------------------------------------

    def inodes(self, superblock: Superblock) -> list[bytearray]:
        """For each group the inodes in use, as they begin its table."""
        tree, size, per_group = self.tree, superblock.inode_size, superblock.inodes_per_group
        tables = [bytearray(used * size) for used in self.placement.inodes]
        pack_into = (_LARGE_INODE if self._large else layout.INODE.struct).pack_into
        sectors = self.block_size // layout.SECTOR
        inline, block_of = self._attributes.inline, self._attributes.block_of
        fine = iter(tree.fine)
        extra: tuple[int, ...] = ()
        acl, mask = 0, 0xFFFFFFFF
        for number, inode, mode, links, uid, gid, length, blocks, mtime, atime, ctime in zip(
            range(len(tree)), self.numbers, tree.modes, tree.links, tree.uids, tree.gids, self.sizes, self.blocks,
            tree.mtimes, tree.atimes, tree.ctimes, strict=True,
        ):  # fmt: skip
            if self._large:
                mfine, afine, cfine = next(fine), next(fine), next(fine)
                # nanoseconds, and what the seconds have above 32 bits
                extra = (
                    EXTRA_SIZE, 0, cfine << 2 | ctime + _SIGN >> 32 & 3, mfine << 2 | mtime + _SIGN >> 32 & 3,
                    afine << 2 | atime + _SIGN >> 32 & 3, self.time, 0, 0, 0,
                )  # fmt: skip
            if block_of:
                acl = self._attribute_blocks[block_of[number]] if number in block_of else 0
            group, index = divmod(inode - 1, per_group)
            pack_into(
                tables[group], index * size,
                mode, uid & 0xFFFF, length & mask, atime & mask, ctime & mask, mtime & mask, 0, gid & 0xFFFF, links,
                (blocks + bool(acl)) * sectors, 0, 0, *self._pointers(number, blocks), 0, acl, length >> 32, 0, 0, 0,
                uid >> 16, gid >> 16, 0, 0, *extra,
            )  # fmt: skip
            if number in inline:
                end = index * size + size
                tables[group][end - len(inline[number]) : end] = inline[number]
        layout.INODE.struct.pack_into(
            tables[0], (layout.BAD_BLOCKS_INODE - 1) * size,
            0, 0, 0, *(self.time for _ in range(3)), 0, 0, 0, 0, 0, 0, *_NO_POINTERS, *(0 for _ in range(10)),
        )  # fmt: skip
        if self.has_resize_inode:
            self._pack_resize_inode(tables[0], superblock)
        return tables

    def _pointers(self, number: int, blocks: int) -> Sequence[int]:
        if number in self._mapped:
            return self._mapped[number]
        if blocks:
            places = self._places[number]
            first = places[0][0]
            found: Sequence[int] = range(first, first + blocks)
            if len(places) > 1:
                found = [block for first, count in places for block in range(first, first + count)]
            return (*found, *_NO_POINTERS[blocks:])
        data = self.tree.data[number]
        if isinstance(data, bytes):
            return _TEXT.unpack(data.ljust(_TEXT.size, b"\0"))
        device = self.tree.devices.get(number, 0)
        return _NO_POINTERS if not device else _device(device)

    def _pack_resize_inode(self, table: bytearray, superblock: Superblock) -> None:
        """The inode that owns the room for group descriptors: through one block, the room in group 0, and through each
        block of that the same block in the other groups with copies."""
        size, time = self.block_size, self.time
        offset = (layout.RESIZE_INODE - 1) * superblock.inode_size
        copies = sum(superblock.has_copy(number) for number in range(superblock.groups))
        sectors = (1 + superblock.reserved_gdt_blocks * copies) * (size // layout.SECTOR)
        length = resize_inode_size(size)
        pointers = [0] * _POINTERS
        pointers[layout.DIRECT_BLOCKS + 1] = self.resize_block
        layout.INODE.struct.pack_into(
            table, offset,
            stat.S_IFREG | 0o600, 0, length & 0xFFFFFFFF, time, time, time, 0, 0, 1, sectors, 0, 0, *pointers,
            0, 0, length >> 32, 0, 0, 0, 0, 0, 0, 0,
        )  # fmt: skip
        if self._large:
            extra = (0, 0, 0, time, 0, 0, 0)
            layout.INODE_EXTRA.struct.pack_into(table, offset + layout.INODE.size, EXTRA_SIZE, 0, *extra)


async def _scatter(stream: Stream, places: list[Run], size: int, pieces: Iterable[tuple[int, Data]]) -> None:
    """Put the pieces into the blocks of `places`, as if these were one behind the other; the rest becomes zero."""
    following = iter(places)
    start = end = shift = 0  # where a run begins and ends among all the blocks, and how far that is from its place
    for offset, data in pieces:
        piece = data
        while len(piece):
            while offset >= end:
                if end:
                    stream.pad(end + shift)
                first, count = next(following)
                start, end = end, end + count * size
                shift = first * size - start
                await stream.seek(first * size)
            part = min(len(piece), end - offset)
            stream.put(offset + shift, piece if part == len(piece) else memoryview(piece)[:part])
            if stream.is_full:
                await stream.drain()
            offset, piece = offset + part, memoryview(piece)[part:]
    if end:
        stream.pad(end + shift)
    for first, count in following:
        await stream.seek(first * size)
        stream.pad((first + count) * size)


def _directory_blocks(names: list[bytes], size: int) -> int:
    """How many blocks of `size` bytes a directory takes."""
    needs = [len(name) + 11 & ~3 for name in names]
    if _DOTS + sum(needs) <= size:
        return 1
    blocks, used = 1, _DOTS
    for need in needs:
        if used + need > size:
            blocks, used = blocks + 1, 0
        used += need
    return blocks


def _device(number: int) -> tuple[int, ...]:
    """Pointers that hold a device number: the old form of 8 + 8 bits if it fits, else the new one."""
    return (number, *_NO_POINTERS[1:]) if number <= 0xFFFF else (0, number, *_NO_POINTERS[2:])
