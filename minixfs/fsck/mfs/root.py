"""Where a volume begins: finding the root directory without trusting a superblock.

The root is inode 1, the first of the inode table, and its first two entries are ``.`` and ``..``, both of inode 1. No
other directory looks like that, and it looks so only through the right variant, byte order, block and zone size. Hence
a root that was found proves all of these, and with them where the inode table begins.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minixfs.fs.mfs import layout
from minixfs.fs.mfs.layout import ROOT_INODE, START_BLOCK, VARIANTS, Variant
from minixfs.fs.mfs.superblock import Superblock
from minixfs.fsck.mfs.volume import Budget
from minixfs.hw.blockdev.device import BlockDevice

PROOFS = 3
"""Signs of a root directory: the mode of inode 1, its ``.`` and its ``..``."""
_SEARCHED = 64 << 20
"""Bytes in which an inode table can begin: enough for the bitmaps of the largest volume anybody has."""
_STEP = 512
_SIZES = (1024, 4096, 2048, 8192, 16384, 32768)
_ALL_SIZES = range(layout.MIN_BLOCK_SIZE, layout.MAX_BLOCK_SIZE + 1, layout.BLOCK_SIZE_STEP)
_FIRST_TABLE_BLOCK = START_BLOCK + 2
"""Both bitmaps have a block at least."""


class Root(NamedTuple):
    """A root directory that was found. `table` is the block where the inodes begin, `zone` the root's first one,
    `proofs` how many of the PROOFS there are."""

    variant: Variant
    swapped: bool
    block_size: int
    zone_shift: int
    table: int
    zone: int
    proofs: int

    @property
    def place(self) -> int:
        """Where the inode table begins, in bytes."""
        return self.table * self.block_size


def kinds(first: Superblock | None) -> list[tuple[Variant, bool]]:
    """All variants in all byte orders; the one of `first` first."""
    every = [
        (variant, swapped) for variant in VARIANTS for swapped in ((False, True) if variant.swappable else (False,))
    ]
    if first is not None:
        every.sort(key=lambda kind: kind != (first.variant, first.swapped))
    return every


async def expected_roots(device: BlockDevice, claim: Superblock) -> list[Root]:
    """Roots where the bitmap sizes of `claim` put the inode table; block and zone size may differ from it.

    One sign may be missing there.
    """
    sizes = dict.fromkeys([claim.block_size, *_SIZES]) if claim.variant.version == 3 else (1024,)
    found: list[Root] = []
    if claim.imap_blocks < 1 or claim.zmap_blocks < 1:
        return found
    for size in sizes:
        if size not in _ALL_SIZES:
            continue
        for shift in _shifts(claim.zone_shift):
            root = await _root(device, claim.variant, claim.swapped, size, shift, claim.inode_table_block)
            if root is not None and root.proofs >= PROOFS - 1:
                found.append(root)
    return found


async def search(device: BlockDevice, budget: Budget) -> list[Root]:
    """All readings of the volume that show a root with all signs, wherever its inode table begins."""
    window = min(device.size, _SEARCHED) // _STEP * _STEP
    budget.need(2 * window)
    data = np.zeros(window, np.uint8)
    await device.read(0, [data.data])
    blocks = data.reshape(-1, _STEP)
    places: dict[int, list[tuple[Variant, bool]]] = {}
    for variant, swapped in kinds(None):
        record = variant.inode.big_endian() if swapped else variant.inode
        first = np.ascontiguousarray(blocks[:, : record.size]).view(record.dtype)[:, 0]
        looks = ((first["i_mode"] & 0o170000) == stat.S_IFDIR) & (first["i_size"] % variant.dirent.size == 0)
        looks &= (first["i_nlinks"] > 0) & (first["i_zone"][:, 0] > 0)
        for block in np.flatnonzero(looks).tolist():
            places.setdefault(block * _STEP, []).append((variant, swapped))
    found: list[Root] = []
    for sizes in (_SIZES, _ALL_SIZES):
        for place in sorted(places):
            for reading in _readings(place, places[place], sizes):
                root = await _root(device, *reading)
                if root is not None and root.proofs == PROOFS:
                    found.append(root)
        if found:
            break
    return found


def _readings(
    place: int, kinds_here: list[tuple[Variant, bool]], sizes: tuple[int, ...] | range
) -> Iterator[tuple[Variant, bool, int, int, int]]:
    """The geometries under which an inode table could begin at byte `place`."""
    for variant, swapped in kinds_here:
        for size in sizes if variant.version == 3 else (1024,):
            if place % size == 0 and place // size >= _FIRST_TABLE_BLOCK:
                for shift in range(layout.MAX_ZONE_SHIFT + 1):
                    yield variant, swapped, size, shift, place // size


def _shifts(first: int) -> list[int]:
    return sorted(range(layout.MAX_ZONE_SHIFT + 1), key=lambda shift: shift != first)


async def _root(device: BlockDevice, variant: Variant, swapped: bool, size: int, shift: int, table: int) -> Root | None:
    """The root under that geometry, with as many signs as it has; None if it leads nowhere."""
    record = variant.inode.big_endian() if swapped else variant.inode
    data = await _read(device, table * size, record.size)
    if data is None:
        return None
    inode = np.frombuffer(data, record.dtype)[0]
    zone = int(inode["i_zone"][0])
    entry = variant.dirent.big_endian() if swapped else variant.dirent
    slots = await _read(device, zone * (size << shift), 2 * entry.size) if zone << shift > table else None
    if slots is None:
        return None
    dots = [entry.struct.unpack_from(slots, position * entry.size) for position in (0, 1)]
    proofs = int(stat.S_ISDIR(int(inode["i_mode"])))
    for (number, name), dot in zip(dots, (b".", b".."), strict=True):
        proofs += number == ROOT_INODE and name.split(b"\0", 1)[0] == dot
    return Root(variant, swapped, size, shift, table, zone, proofs)


async def _read(device: BlockDevice, offset: int, size: int) -> bytes | None:
    """Bytes from anywhere, which need not be whole sectors; None if they are not all on the device."""
    sector = device.sector_size
    start = offset // sector * sector
    end = -(-(offset + size) // sector) * sector
    if end > device.size:
        return None
    data = bytearray(end - start)
    await device.read(start, [data])
    return bytes(data[offset - start : offset - start + size])
