"""The files of a new MFS volume: how many zones they take, where these are, and everything that is written for them.

Inodes and zones are handed out in the order of the files, strictly ascending: file n of a `Tree` has inode n + 1, and
its zones lie behind those of file n - 1, indirect blocks first, so that the data of every file is one run. `Contents`
counts the zones; once the volume is planned, `write` fills the data area and returns the inodes.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.mfs.layout import DIRECT_ZONES, ROOT_INODE, Variant
from minixfs.fs.mfs.superblock import Superblock
from minixfs.hw.blockdev.device import Data
from minixfs.mkfs.mfs_mapping import Mapping, Numbers, indirect_blocks
from minixfs.mkfs.populate import Tree
from minixfs.mkfs.stream import Stream
from minixfs.trees.entry import Content


class Contents:
    """`zones` says for each file of `tree` how many zones it takes, indirect blocks included; `sizes` are the sizes in
    bytes that the inodes will show; `runs` the zones with data, as (first, count), of files with holes."""

    def __init__(self, tree: Tree, variant: Variant, block_size: int, zone_shift: int) -> None:
        self.tree = tree
        self.variant = variant
        self.zone_size = block_size << zone_shift
        self.per_block = block_size // variant.pointer_size
        self.sizes: Numbers = np.array(tree.sizes, np.int64)
        for number, directory in tree.directories.items():
            self.sizes[number] = (2 + len(directory.names)) * variant.dirent.size
        self.runs = {number: _zone_runs(runs, self.zone_size) for number, runs in tree.runs.items()}
        data_zones = -(-self.sizes // self.zone_size)
        self.zones: Numbers = data_zones + indirect_blocks(data_zones, self.per_block, variant.levels)
        for number, runs in self.runs.items():
            self.zones[number] = sum(count for _, count in runs) + self._mapping(number).blocks
        self._is_plain = data_zones <= DIRECT_ZONES
        self._is_plain[list(self.runs)] = False

    @property
    def total(self) -> int:
        """Zones of all files."""
        return int(self.zones.sum())

    @property
    def length(self) -> int:
        """Bytes that `write` writes."""
        return self.total * self.zone_size

    @property
    def largest(self) -> int:
        """Bytes of the largest file."""
        return int(self.sizes.max())

    def first_beyond(self, zones: int) -> str:
        """The path of the first file that has no room when there are only so many zones."""
        return os.fsdecode(self.tree.path(int(np.searchsorted(np.cumsum(self.zones), zones, side="right"))))

    async def write(self, stream: Stream, superblock: Superblock) -> NDArray[Any]:
        """Put the data area into `stream`, which begins at the first data zone. Returns the inodes in use.

        Raises OSError for what cannot be read and DeviceError.
        """
        ends = superblock.first_data_zone + np.cumsum(self.zones)
        starts = ends - self.zones
        inodes = self._inodes(superblock, starts)
        pointer = np.dtype(f"{superblock.order}u{self.variant.pointer_size}")
        used = np.flatnonzero(self.zones)
        pack = superblock.dirent_record.struct.pack
        data, zone_size = self.tree.data, self.zone_size
        for number, start, end, plain in zip(
            used.tolist(), starts[used].tolist(), ends[used].tolist(), self._is_plain[used].tolist(), strict=True
        ):
            if not plain:
                inodes["i_zone"][number], blocks = self._mapping(number).place(start, pointer, zone_size)
                stream.put(stream.position, blocks)
            content = data[number]
            if number in self.tree.directories:
                stream.put(stream.position, self._directory(number, pack))
            elif isinstance(content, bytes):
                stream.put(stream.position, content)
            elif content is not None:
                base = stream.position
                for offset, piece in content() if number not in self.runs else self._closed_up(number, content):
                    stream.put(base + offset, piece)
                    if stream.is_full:
                        await stream.drain()
            stream.pad(end * zone_size)
            if stream.is_full:
                await stream.drain()
        await stream.drain()
        return inodes

    def _mapping(self, number: int) -> Mapping:
        runs = self.runs.get(number)
        if runs is None:
            indexes = np.arange(-(-int(self.sizes[number]) // self.zone_size))
        else:
            indexes = np.concatenate([np.arange(first, first + count) for first, count in [(0, 0), *runs]])
        return Mapping(indexes, self.per_block, self.variant.levels)

    def _inodes(self, superblock: Superblock, starts: Numbers) -> NDArray[Any]:
        """The inodes in use; those of files with holes or indirect blocks have no zones yet."""
        tree = self.tree
        record = superblock.inode_record
        inodes = np.zeros(len(tree), record.dtype)
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
        for name in record.fields:
            if name in values:
                inodes[name] = values[name]
        plain_zones = np.where(self._is_plain, self.zones, 0)
        for index in range(DIRECT_ZONES):
            inodes["i_zone"][:, index] = np.where(plain_zones > index, starts + index, 0)
        for number, device in tree.devices.items():
            inodes["i_zone"][number, 0] = os.major(device) << 8 | os.minor(device)
        return inodes

    def _directory(self, number: int, pack: Callable[[int, bytes], bytes]) -> bytes:
        directory = self.tree.directories[number]
        inodes = (np.array(directory.files, np.int64) + ROOT_INODE).tolist()
        dots = pack(number + ROOT_INODE, b".") + pack(directory.parent + ROOT_INODE, b"..")
        return dots + b"".join(map(pack, inodes, directory.names))

    def _closed_up(self, number: int, content: Content) -> Iterator[tuple[int, Data]]:
        """The pieces of a file with holes, at the offsets that they have when the zones with data are all there is."""
        runs = self.runs[number]
        firsts = [first for first, _ in runs]
        before = accumulate((count for _, count in runs), initial=0)
        shifts = [first - earlier for first, earlier in zip(firsts, before, strict=False)]
        for offset, piece in content():
            run = bisect_right(firsts, offset // self.zone_size) - 1
            yield offset - shifts[run] * self.zone_size, piece


def _zone_runs(runs: Sequence[tuple[int, int]], zone_size: int) -> list[tuple[int, int]]:
    """Runs of bytes as runs of the zones that they touch; those that meet become one."""
    found: list[tuple[int, int]] = []
    for offset, length in runs:
        first, end = offset // zone_size, -(-(offset + length) // zone_size)
        if found and first <= sum(found[-1]):
            found[-1] = (found[-1][0], end - found[-1][0])
        else:
            found.append((first, end - first))
    return found
