"""The files of a new MFS volume: how many zones they take, where these are, and everything that is written for them.

Inodes and zones are handed out in the order of the files, strictly ascending: file n of a `Tree` has inode n + 1, and
its zones lie behind those of file n - 1, indirect blocks first, so that the data of every file is one run. `Contents`
counts the zones; once the volume is planned, `write` fills the data area and returns the inodes.

Start-up counts for a small volume more than anything else, so this does without numpy.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator
from itertools import accumulate

from minixfs.fs.mfs.layout import DIRECT_ZONES, ROOT_INODE, Variant
from minixfs.fs.mfs.superblock import Superblock
from minixfs.mkfs.mapping import Mapping, closed_up, indirect_blocks, scaled
from minixfs.mkfs.populate import Tree
from minixfs.mkfs.stream import Stream


class Contents:
    """`zones` says for each file of `tree` how many zones it takes, indirect blocks included; `sizes` are the sizes in
    bytes that the inodes will show; `runs` the zones with data, as (first, count), of files with holes."""

    def __init__(self, tree: Tree, variant: Variant, block_size: int, zone_shift: int) -> None:
        self.tree = tree
        self.variant = variant
        self.zone_size = zone_size = block_size << zone_shift
        self.per_block = block_size // variant.pointer_size
        self.sizes = tree.sizes[:]
        for number, directory in tree.directories.items():
            self.sizes[number] = (2 + len(directory.names)) * variant.dirent.size
        self.zones = array("I", [-(-size // zone_size) for size in self.sizes])
        self.runs = {number: scaled(runs, zone_size) for number, runs in tree.runs.items()}
        for number, count in enumerate(self.zones):
            if number in self.runs:
                self.zones[number] = sum(length for _, length in self.runs[number]) + self._mapping(number).blocks
            elif count > DIRECT_ZONES:
                self.zones[number] += indirect_blocks(count, self.per_block, variant.levels, DIRECT_ZONES)
        self.total = sum(self.zones)

    @property
    def length(self) -> int:
        """Bytes that `write` writes."""
        return self.total * self.zone_size

    @property
    def largest(self) -> int:
        """Bytes of the largest file."""
        return max(self.sizes)

    def first_beyond(self, zones: int) -> str:
        """The path of the first file that has no room when there are only so many zones."""
        ends = accumulate(self.zones)
        return os.fsdecode(self.tree.path(next(number for number, end in enumerate(ends) if end > zones)))

    async def write(self, stream: Stream, superblock: Superblock) -> bytearray:
        """Put the data area into `stream`, which begins at the first data zone. Returns the inodes in use.

        Raises OSError for what cannot be read and DeviceError.
        """
        tree, zone_size, variant = self.tree, self.zone_size, self.variant
        record = superblock.inode_record
        pack_into, step = record.struct.pack_into, record.size
        inodes = bytearray(len(tree) * step)
        holes = [(0,) * count for count in range(DIRECT_ZONES + variant.levels + 1)]
        zone = superblock.first_data_zone
        pointers: list[int] | tuple[int, ...]
        for number, count, data, scalars in zip(
            range(len(tree)), self.zones, tree.data, self._scalars(record.fields), strict=True
        ):
            if number in self.runs or count > DIRECT_ZONES:
                mapping = self._mapping(number)
                pointers, blocks = mapping.place([(zone, count)], variant.pointer_size, superblock.order, zone_size)
                stream.put(stream.position, blocks)
            elif number in tree.devices:
                pointers = (_device(tree.devices[number]), *holes[-2])
            else:
                pointers = (*range(zone, zone + count), *holes[-1 - count])
            pack_into(inodes, number * step, *scalars, *pointers)
            if not count:
                continue
            if number in tree.directories:
                stream.put(stream.position, self._directory(number, superblock.dirent_record.struct.pack))
            elif isinstance(data, bytes):
                stream.put(stream.position, data)
            elif data is not None:
                base, pieces = stream.position, data()
                if number in self.runs:
                    pieces = closed_up(pieces, self.runs[number], zone_size)
                for offset, piece in pieces:
                    stream.put(base + offset, piece)
                    if stream.is_full:
                        await stream.drain()
            zone += count
            stream.pad(zone * zone_size)
            if stream.is_full:
                await stream.drain()
        await stream.drain()
        return inodes

    def _mapping(self, number: int) -> Mapping:
        runs = self.runs.get(number, [(0, -(-self.sizes[number] // self.zone_size))])
        return Mapping(runs, self.per_block, self.variant.levels, DIRECT_ZONES)

    def _scalars(self, fields: list[str]) -> Iterator[tuple[int, ...]]:
        """What the inode of every file holds besides zones, in the order of `fields`."""
        tree = self.tree
        values = {
            "i_mode": tree.modes,
            "i_nlinks": tree.links,
            "i_uid": tree.uids,
            "i_gid": tree.gids,
            "i_size": self.sizes,
            "i_atime": tree.atimes,
            "i_mtime": tree.mtimes,
            "i_ctime": tree.ctimes,
        }
        return zip(*(values[name] for name in fields if name != "i_zone"), strict=True)

    def _directory(self, number: int, pack: Callable[[int, bytes], bytes]) -> bytes:
        directory = self.tree.directories[number]
        inodes = [file + ROOT_INODE for file in (number, directory.parent, *directory.files)]
        return b"".join(map(pack, inodes, (b".", b"..", *directory.names)))


def _device(number: int) -> int:
    return os.major(number) << 8 | os.minor(number)
