"""Makes a fresh MFS volume of any variant, empty or full (specification: file systems, 1.11, 7.1).

    make(device, options)                                       an empty one
    tree = gather(adjusted(entries), limits_for(options))       one with these files (see `populate`)
    contents = contents_for(tree, options)
    options = fitted(options, contents)                         if it shall be just large enough
    make(device, options, contents)

`plan` computes the superblock, or says with a UsageError why the wish cannot be met; it touches nothing. `make`
plans and writes: first zeroes over everything that belongs to the metadata, which unmakes whatever was there,
then the files, maps and inodes, and after a flush the superblock. So a volume is never half made. The data area
is left as it is where no file lies.

Where MINIX's mkfs.mfs and Linux's mkfs.minix differ: the layout, the inode counts and the largest file size
are MINIX's; the root directory, the clean mark of V1 and V2 and the bitmap padding are those of Linux,
which MINIX accepts as well. Big-endian volumes get bitmaps in 16-bit words, as genuine 68000 systems wrote
them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace

from minixfs.errors import UsageError
from minixfs.fs.mfs import layout
from minixfs.fs.mfs.bitorder import BitOrder
from minixfs.fs.mfs.layout import Variant, variant_for
from minixfs.fs.mfs.superblock import Superblock, blocks_for
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.clock import coarse_seconds
from minixfs.mkfs.mfs_contents import Contents
from minixfs.mkfs.populate import Limits, Tree, gather
from minixfs.mkfs.stream import Progress, Stream, write, zero
from minixfs.trees.entry import Entry

USAGE = 16
"""Exit code of mkfs for a wish that cannot be met."""
DEFAULT_BLOCK_SIZE = 4096
MIN_BLOCKS = 5

_INODE_RATIOS = ((10**9, 12), (10**8, 10), (10**7, 8), (10**6, 6), (10**5, 4), (0, 2))
"""(least volume size in KiB, KiB for each inode)"""
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
    return _whole_blocks(max(kilobytes // ratio, 1), variant, block_size)


def limits_for(options: Options) -> Limits:
    """What a volume made with `options` can hold.

    Linux and we read files of V2 and V3 through triple indirect blocks, which MINIX does not know: volumes for MINIX,
    those whose padding is clear, get none. Raises UsageError for options that contradict each other.
    """
    _check_shift(options.zone_shift)
    variant, size = options.variant, block_size_for(options)
    per_block = size // variant.pointer_size
    levels = variant.levels if options.padding else min(variant.levels, 2)
    reach = layout.DIRECT_ZONES + sum(per_block**level for level in range(1, levels + 1))
    return Limits(
        name=variant.name,
        name_max=variant.name_max,
        symlink_max=min(layout.SYMLINK_MAX, size),
        file_max=min(reach * size << options.zone_shift, layout.MAX_FILE_SIZE),
        link_max=variant.link_max,
        uid_max=variant.id_max,
        gid_max=variant.gid_max,
    )


def contents_for(tree: Tree, options: Options) -> Contents:
    """The files of `tree`, gathered for the limits of `options`, as a volume made with these will hold them."""
    return Contents(tree, options.variant, block_size_for(options), options.zone_shift)


def fitted(options: Options, contents: Contents, *, percent: int = 0, room: int = 0, inodes: int = 0) -> Options:
    """The options for a volume that is just large enough, with `percent` more zones and inodes than the contents
    take, `room` bytes more, and `inodes` more inodes (which `options.inodes` overrules)."""
    variant, size, shift = options.variant, block_size_for(options), options.zone_shift
    zones = contents.total + -(-contents.total * percent // 100) + blocks_for(room, size << shift)
    if options.inodes is not None:
        wanted = options.inodes
    else:
        wanted = len(contents.tree) + -(-len(contents.tree) * percent // 100) + inodes
        wanted += default_inodes(variant, blocks_for(room, size), size) if room else 0
        wanted = _whole_blocks(wanted, variant, size)
    first = total = 0
    while total != first + zones:
        total = first + zones
        first = _first_data_zone(variant, size, shift, wanted, total)
    return replace(options, blocks=max(total << shift, MIN_BLOCKS), inodes=wanted)


def plan(device_size: int, options: Options, contents: Contents | None = None) -> Superblock:
    """The superblock that `make` would write on a device of `device_size` bytes. Raises UsageError."""
    variant, size = options.variant, block_size_for(options)
    blocks = device_size // size if options.blocks is None else options.blocks
    shift = options.zone_shift
    _check_shift(shift)
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
    inodes = _usual_inodes(options, blocks, contents) if options.inodes is None else options.inodes
    _require(
        1 <= inodes <= _inode_max(variant),
        f"{variant.name} holds 1 to {_inode_max(variant)} inodes, not {inodes}",
    )
    imap_blocks, zmap_blocks = blocks_for(1 + inodes, 8 * size), blocks_for(zones, 8 * size)
    _require(
        max(imap_blocks, zmap_blocks) <= _U16_MAX,
        "the bitmaps would be too large: choose bigger blocks, or fewer inodes",
    )
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
    if contents is None:
        _check_root(options)
    else:
        _check_room(superblock, contents)
        if contents.largest > superblock.max_size:
            superblock.max_size = layout.MAX_FILE_SIZE
    superblock.mark(clean=True)
    return superblock


async def make(
    device: BlockDevice, options: Options, contents: Contents | None = None, progress: Progress | None = None
) -> Superblock:
    """Write a volume and return its superblock: an empty one, or one with `contents`, which belong to `options`.

    Raises UsageError or ReadOnly before anything is written, DeviceError or the OSError of a content after.
    """
    superblock = plan(device.size, options, contents)
    _require(
        superblock.block_size % device.sector_size == 0,
        f"{device.name} has sectors of {device.sector_size} bytes: choose a multiple as block size",
    )
    device.check_writable()
    contents = contents or contents_for(_bare(options), options)
    data_start = superblock.first_data_zone * superblock.zone_size
    if await zero(device, 0, data_start):
        await device.flush()
    inodes = await contents.write(Stream(device, data_start, progress), superblock)
    order = BitOrder.BE16 if superblock.swapped else BitOrder.LE
    size = superblock.block_size
    position = layout.START_BLOCK * size
    for bits, used, blocks in (
        (superblock.inode_bits, 1 + len(contents.tree), superblock.imap_blocks),
        (superblock.zone_bits, 1 + contents.total, superblock.zmap_blocks),
    ):
        for offset, part in _fresh_map(bits, used, blocks * size, size, order, options.padding):
            await write(device, position + offset, part)
        position += blocks * size
    await write(device, position, inodes)
    await device.flush()
    built = superblock.build()
    await write(device, 0, bytes(layout.SUPERBLOCK_OFFSET) + built)
    await device.flush()
    return Superblock.parse(built)


def _usual_inodes(options: Options, blocks: int, contents: Contents | None) -> int:
    """The usual number for a volume of that size; fewer where only then the contents have room, down to one a file."""
    variant, size, shift = options.variant, block_size_for(options), options.zone_shift
    usual = default_inodes(variant, blocks, size)
    if contents is None:
        return usual
    zones, least = blocks >> shift, _whole_blocks(len(contents.tree), variant, size)
    if usual > least and _first_data_zone(variant, size, shift, usual, zones) + contents.total > zones:
        return least
    return max(usual, least)


def _whole_blocks(inodes: int, variant: Variant, block_size: int) -> int:
    """So many inodes, and as many more as fill their last block, as far as the field allows."""
    per_block = block_size // variant.inode.size
    return min(blocks_for(inodes, per_block) * per_block, _inode_max(variant))


def _first_data_zone(variant: Variant, block_size: int, shift: int, inodes: int, zones: int) -> int:
    maps = blocks_for(1 + inodes, 8 * block_size) + blocks_for(zones, 8 * block_size)
    table = blocks_for(inodes, block_size // variant.inode.size)
    return blocks_for(layout.START_BLOCK + maps + table, 1 << shift)


def _inode_max(variant: Variant) -> int:
    """Linux and old MINIX count inodes in 16 bits. V3 and the hybrid have 32, less the reserved bit."""
    return _U16_MAX if variant.has_state else _U32_MAX - 1


def _check_shift(shift: int) -> None:
    _require(0 <= shift <= layout.MAX_ZONE_SHIFT, f"zone shift {shift} is not in 0..{layout.MAX_ZONE_SHIFT}")


def _check_root(options: Options) -> None:
    variant = options.variant
    _require(0 <= options.root_uid <= variant.id_max, f"{variant.name} cannot hold user id {options.root_uid}")
    _require(0 <= options.root_gid <= variant.gid_max, f"{variant.name} cannot hold group id {options.root_gid}")
    _require(0 <= options.root_mode <= 0o7777, f"{options.root_mode:o} is no file mode")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message, USAGE)


def _check_room(superblock: Superblock, contents: Contents) -> None:
    """Say which file is the first that does not fit."""
    files, room = len(contents.tree), superblock.zones - superblock.first_data_zone
    if files > superblock.inodes:
        first = os.fsdecode(contents.tree.path(superblock.inodes))
        raise UsageError(f"{first}: no inode is left; there are {files} files, and {superblock.inodes} inodes")
    if contents.total > room:
        zone = superblock.zone_size
        raise UsageError(
            f"{contents.first_beyond(room)}: no space is left; the contents take {contents.total * zone >> 10} KiB,"
            f" and there is room for {room * zone >> 10} KiB"
        )


def _bare(options: Options) -> Tree:
    """Nothing but a root directory."""
    now = (coarse_seconds() if options.mtime is None else options.mtime) & _U32_MAX
    stamp = now * 10**9
    mode = stat.S_IFDIR | options.root_mode
    root = Entry(b"", mode, options.root_uid, options.root_gid, mtime=stamp, atime=stamp, ctime=stamp)
    return gather([root], limits_for(options))


def _fresh_map(
    bits: int, used: int, size: int, block_size: int, order: BitOrder, padding: bool
) -> Iterator[tuple[int, bytes]]:
    """The parts of a map of `size` bytes that are not zero, each with its offset: the first `used` bits are in use.

    Maps of large volumes are many MiB of zeroes, so only both ends are made: the start, and from the block
    that the padding begins in.
    """
    head = blocks_for(used, 8 * block_size) * block_size
    tail = bits // (8 * block_size) * block_size
    ones = (1 << used) - 1
    if head > tail:
        tail = 0
    else:
        yield 0, bytes(order.physical(ones.to_bytes(head, "little")))
        ones = 0
    if padding:
        ones |= (1 << 8 * (size - tail)) - (1 << bits - 8 * tail)
    yield tail, bytes(order.physical(ones.to_bytes(size - tail, "little")))
