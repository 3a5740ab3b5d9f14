"""What the inodes themselves say about a superblock: `gather_evidence` reads them, `Evidence` weighs a geometry."""

from __future__ import annotations

import stat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.mfs.layout import FILE_TYPES
from minixfs.fsck.mfs.root import Root
from minixfs.fsck.mfs.volume import BATCH, Budget
from minixfs.hw.blockdev.device import BlockDevice

_MAPPED = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
_BYTES_PER_INODE = 40


class Evidence(NamedTuple):
    """Parallel arrays over everything in the inode table that is not free: inode number, lowest and highest of its
    zones (0: none), and whether it looks like an inode at all."""

    numbers: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    sound: NDArray[np.bool_]

    def misfits(self, inodes: int, first_zone: int, zones: int, room: int) -> int:
        """How many inodes contradict these numbers: outside the table, with zones outside, or rubbish inside.

        Text can look like an inode without zones. So such a one counts as outside only up to number `room`, where the
        inode table is said to go on, and only if there is nothing but inodes.
        """
        inside = self.numbers <= inodes
        stray = (self.high > 0) & ((self.low < first_zone) | (self.high >= zones))
        behind = ~inside & (self.numbers <= room)
        goes_on = behind & self.sound[behind].all()
        left_out = self.sound & ((self.high > 0) | goes_on)
        return int(np.count_nonzero(np.where(inside, stray | ~self.sound, left_out)))

    def reaching(self, start: int, end: int) -> int:
        """How many inodes have their highest zone in that range."""
        return int(np.count_nonzero(self.sound & (self.high >= start) & (self.high < end)))


async def gather_evidence(device: BlockDevice, root: Root, count: int, zones: int, budget: Budget) -> Evidence:
    """Read `count` inodes as `root` places them, as far as the device goes. Zone numbers from `zones` on are rubbish.

    Raises Unsupported when memory does not allow it.
    """
    record = root.variant.inode.big_endian() if root.swapped else root.variant.inode
    per_block = root.block_size // record.size
    blocks = min(-(-count // per_block), device.size // root.block_size - root.table)
    budget.need(blocks * per_block * _BYTES_PER_INODE)
    step = max(1, BATCH // root.block_size)
    parts = [(np.zeros(0, np.int64),) * 3 + (np.zeros(0, np.bool_),)]
    for start in range(0, blocks, step):
        part = min(step, blocks - start)
        data = bytearray(part * root.block_size)
        await device.read((root.table + start) * root.block_size, [data])
        rows = np.frombuffer(data, np.uint8).reshape(part, root.block_size)[:, : per_block * record.size]
        inodes = np.ascontiguousarray(rows).reshape(-1).view(record.dtype)
        used = np.flatnonzero(inodes["i_mode"])
        parts.append((used + start * per_block + 1, *_judge(inodes[used], root, zones)))
    numbers, low, high, sound = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Evidence(numbers, low, high, sound)


def _judge(
    inodes: NDArray[Any], root: Root, zones: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Lowest and highest zone, and soundness, of each."""
    kind = inodes["i_mode"].astype(np.int64) & 0o170000
    pointers = inodes["i_zone"].astype(np.int64)
    mapped = np.isin(kind, _MAPPED)
    claimed = np.where(mapped[:, np.newaxis], pointers, 0)
    low = np.where(claimed > 0, claimed, np.iinfo(np.int64).max).min(axis=1, initial=np.iinfo(np.int64).max)
    high = claimed.max(axis=1, initial=0)
    first = root.table >> root.zone_shift
    inside = (high == 0) | ((low > first) & (high < zones))
    empty = np.where(np.isin(kind, (stat.S_IFBLK, stat.S_IFCHR)), 0, pointers[:, 0])
    bare = (pointers[:, 1:] == 0).all(axis=1) & (empty == 0)
    sound = np.isin(kind, list(FILE_TYPES)) & (inodes["i_nlinks"] > 0) & np.where(mapped, inside, bare)
    return low, high, sound
