"""Makes a fresh, empty MFS volume of any variant (specification: file systems, 1.11, 7.1).

`plan(device_size, options)` computes the superblock, or says with a UsageError why the wish cannot be met;
it touches nothing. `make(device, options)` plans and writes: first zeroes over everything that belongs to
the metadata, which unmakes whatever was there, then maps and root directory, and after a flush the
superblock. So a volume is never half made. The data area is left as it is.

Where MINIX's mkfs.mfs and Linux's mkfs.minix differ: the layout, the inode counts and the largest file size
are MINIX's; the root directory, the clean mark of V1 and V2 and the bitmap padding are those of Linux,
which MINIX accepts as well. Big-endian volumes get bitmaps in 16-bit words, as genuine 68000 systems wrote
them.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass

from minixfs.errors import DeviceError, UsageError
from minixfs.fs.mfs import layout
from minixfs.fs.mfs.bitorder import BitOrder, from_bits
from minixfs.fs.mfs.layout import Variant, variant_for
from minixfs.fs.mfs.superblock import Superblock, blocks_for
from minixfs.hw.blockdev.device import BlockDevice

USAGE = 16
"""Exit code of mkfs for a wish that cannot be met."""
DEFAULT_BLOCK_SIZE = 4096
MIN_BLOCKS = 5

_INODE_RATIOS = ((10**9, 12), (10**8, 10), (10**7, 8), (10**6, 6), (10**5, 4), (0, 2))
"""(least volume size in KiB, KiB for each inode)"""
_CHUNK = 4 << 20
"""Bytes zeroed at a time."""
_U16_MAX, _U32_MAX = 0xFFFF, 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Options:
    """What to make. None means: the usual value for the variant and the size.

    `blocks` and `block_size` (bytes) default to the whole device and to 4096 (V3) or 1024; `inodes` is used
    as given. `padding` is the value of the unused bits at the ends of the bitmaps: Linux wants them set,
    MINIX leaves them clear. `mtime` is in seconds since 1970.
    """

    variant: Variant = layout.VARIANTS[0]
    block_size: int | None = None
    blocks: int | None = None
    inodes: int | None = None
    zone_shift: int = 0
    big_endian: bool = False
    padding: bool = True
    root_mode: int = 0o755
    root_uid: int = 0
    root_gid: int = 0
    mtime: int | None = None


def choose_variant(version: int | None = None, name_max: int | None = None, hybrid: bool = False) -> Variant:
    """The variant that a command line names; V3 if it names none. Raises UsageError."""
    if hybrid:
        _require(version in (None, 2) and name_max in (None, 60), "the hybrid is a version 2 with names of 60 bytes")
        return next(variant for variant in layout.VARIANTS if variant.name == "hybrid")
    version = 3 if version is None else version
    allowed = {1: (14, 30), 2: (14, 30), 3: (60,)}.get(version, ())
    _require(bool(allowed), f"there is no MINIX file system version {version}: choose 1, 2 or 3")
    if name_max is not None:
        lengths = " or ".join(map(str, allowed))
        _require(name_max in allowed, f"names in version {version} hold {lengths} bytes, not {name_max}")
    return variant_for(version, name_max)


def block_size_for(options: Options) -> int:
    """The block size in bytes that `options` lead to. Raises UsageError."""
    if options.variant.version != 3:
        _require(options.block_size in (None, 1024), f"blocks of {options.variant.name} always have 1024 bytes")
        return 1024
    size = DEFAULT_BLOCK_SIZE if options.block_size is None else options.block_size
    legal = layout.MIN_BLOCK_SIZE <= size <= layout.MAX_BLOCK_SIZE and size % layout.BLOCK_SIZE_STEP == 0
    _require(legal, f"block size {size} is not a multiple of 512 from 1024 to 65024")
    return size


def default_inodes(variant: Variant, blocks: int, block_size: int) -> int:
    """How many inodes a volume of that size usually gets: full inode blocks, as far as the field allows."""
    kilobytes = blocks * block_size // 1024
    ratio = next(ratio for least, ratio in _INODE_RATIOS if kilobytes >= least)
    per_block = block_size // variant.inode.size
    return min(blocks_for(max(kilobytes // ratio, 1), per_block) * per_block, _inode_max(variant))


def plan(device_size: int, options: Options) -> Superblock:
    """The superblock that `make` would write on a device of `device_size` bytes. Raises UsageError."""
    variant, size = options.variant, block_size_for(options)
    blocks = device_size // size if options.blocks is None else options.blocks
    shift = options.zone_shift
    _require(0 <= shift <= layout.MAX_ZONE_SHIFT, f"zone shift {shift} is not in 0..{layout.MAX_ZONE_SHIFT}")
    _require(blocks >= MIN_BLOCKS, f"{blocks} blocks of {size} bytes are too few: at least {MIN_BLOCKS} are needed")
    _require(
        blocks * size <= device_size,
        f"{blocks} blocks of {size} bytes do not fit on the device, which has {device_size // size}",
    )
    _require(not options.big_endian or variant.swappable, f"{variant.name} has no big-endian form")
    zones = blocks >> shift
    zone_max = _U16_MAX if variant.version == 1 else _U32_MAX
    _require(
        zones <= zone_max,
        f"{variant.name} holds at most {zone_max} zones, not {zones}: make a newer version or bigger zones",
    )
    inodes = default_inodes(variant, blocks, size) if options.inodes is None else options.inodes
    _require(
        1 <= inodes <= _inode_max(variant),
        f"{variant.name} holds 1 to {_inode_max(variant)} inodes, not {inodes}",
    )
    imap_blocks, zmap_blocks = blocks_for(1 + inodes, 8 * size), blocks_for(zones, 8 * size)
    _require(
        max(imap_blocks, zmap_blocks) <= _U16_MAX,
        "the bitmaps would be too large: choose bigger blocks, or fewer inodes",
    )
    _check_root(options)
    superblock = Superblock(
        variant=variant,
        swapped=options.big_endian,
        inodes=inodes,
        zones=zones,
        imap_blocks=imap_blocks,
        zmap_blocks=zmap_blocks,
        stored_first_data_zone=0,
        zone_shift=shift,
        max_size=0,
        block_size=size,
        flags=0,
        state=0,
        raw=bytes(layout.SUPERBLOCK_SIZE),
    )
    first = superblock.computed_first_data_zone
    _require(
        first < zones,
        f"no room for data: inodes and bitmaps take {first} of {zones} zones; choose fewer inodes",
    )
    superblock.stored_first_data_zone = first if first <= _U16_MAX else 0
    superblock.max_size = superblock.natural_max_size
    superblock.mark(clean=True)
    return superblock


async def make(device: BlockDevice, options: Options) -> Superblock:
    """Write an empty volume and return its superblock.

    Raises UsageError or ReadOnly before anything is written, DeviceError after.
    """
    superblock = plan(device.size, options)
    _require(
        superblock.block_size % device.sector_size == 0,
        f"{device.name} has sectors of {device.sector_size} bytes: choose a multiple as block size",
    )
    device.check_writable()
    root_zone = superblock.first_data_zone
    await _zero(device, 0, (root_zone + 1) * superblock.zone_size)
    await device.flush()
    order = BitOrder.BE16 if superblock.swapped else BitOrder.LE
    size = superblock.block_size
    position = layout.START_BLOCK * size
    for bits, blocks in (
        (superblock.inode_bits, superblock.imap_blocks),
        (superblock.zone_bits, superblock.zmap_blocks),
    ):
        for offset, part in _fresh_map(bits, blocks * size, size, order, options.padding):
            await _write(device, position + offset, part)
        position += blocks * size
    await _write(device, superblock.inode_table_block * size, _root_inode(superblock, options))
    await _write(device, root_zone * superblock.zone_size, _root_entries(superblock))
    await device.flush()
    built = superblock.build()
    await _write(device, 0, bytes(layout.SUPERBLOCK_OFFSET) + built)
    await device.flush()
    return Superblock.parse(built)


def _inode_max(variant: Variant) -> int:
    """Linux and old MINIX count inodes in 16 bits. V3 and the hybrid have 32, less the reserved bit."""
    return _U16_MAX if variant.has_state else _U32_MAX - 1


def _check_root(options: Options) -> None:
    variant = options.variant
    _require(0 <= options.root_uid <= variant.id_max, f"{variant.name} cannot hold user id {options.root_uid}")
    _require(0 <= options.root_gid <= variant.gid_max, f"{variant.name} cannot hold group id {options.root_gid}")
    _require(0 <= options.root_mode <= 0o7777, f"{options.root_mode:o} is no file mode")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message, USAGE)


def _fresh_map(bits: int, size: int, block_size: int, order: BitOrder, padding: bool) -> Iterator[tuple[int, bytes]]:
    """The parts of a map of `size` bytes that are not zero, each with its offset: bits 0 and 1 are in use.

    Maps of large volumes are many MiB of zeroes, so only both ends are made: the start, and from the block
    that the padding begins in.
    """
    import numpy as np

    tail = bits // (8 * block_size) * block_size
    last = np.zeros(bits - 8 * tail, np.bool_)
    head = np.zeros(8 * block_size, np.bool_) if tail else last
    head[:2] = True
    if tail:
        yield 0, from_bits(head, order, block_size, padding=False)
    yield tail, from_bits(last, order, size - tail, padding)


def _root_inode(superblock: Superblock, options: Options) -> bytes:
    record, variant = superblock.inode_record, superblock.variant
    now = (int(time.time()) if options.mtime is None else options.mtime) & _U32_MAX
    fields = {
        "i_mode": stat.S_IFDIR | options.root_mode,
        "i_nlinks": 2,
        "i_uid": options.root_uid,
        "i_gid": options.root_gid,
        "i_size": 2 * variant.dirent.size,
        "i_atime": now,
        "i_mtime": now,
        "i_ctime": now,
    }
    scalars = [fields[name] for name in record.fields if name != "i_zone"]
    pointers = layout.DIRECT_ZONES + variant.levels
    return record.struct.pack(*scalars, superblock.first_data_zone, *[0] * (pointers - 1))


def _root_entries(superblock: Superblock) -> bytes:
    pack = superblock.dirent_record.struct.pack
    return pack(layout.ROOT_INODE, b".") + pack(layout.ROOT_INODE, b"..")


async def _zero(device: BlockDevice, start: int, end: int) -> None:
    """Make the range zero; what is zero already is not written, so that sparse image files stay sparse."""
    zeroes = bytes(_CHUNK)
    found = bytearray(_CHUNK)
    for offset in range(start, end, _CHUNK):
        length = min(_CHUNK, end - offset)
        await device.read(offset, [memoryview(found)[:length]])
        if found != zeroes:
            await _write(device, offset, memoryview(zeroes)[:length])


async def _write(device: BlockDevice, offset: int, data: bytes | memoryview) -> None:
    """Write whole sectors: everything that is written here starts a block whose rest is zero."""
    filler = bytes(-len(data) % device.sector_size)
    if await device.write(offset, [data, filler]) != len(data) + len(filler):
        raise DeviceError(message=f"{device.name}: write at byte {offset} was cut short")
