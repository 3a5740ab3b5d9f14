"""The shape of a new ext2 volume: sizes, features, groups, and the superblock that says so (file systems, 3.1, 3.2).

    options = Options(features=chosen_features("^resize_inode"), label=b"data")
    superblock = geometry(size, options)

Everything is as mke2fs(8) of today makes it for ``-t ext2``: block size and number of inodes by the size of the volume,
as much room for more group descriptors as a volume needs that grows a thousandfold, and no last group that is too small
to be of use. `geometry` counts everything as free but the metadata; `group_shape` says where that is.
"""

from __future__ import annotations

from dataclasses import dataclass

from minixfs.errors import UsageError
from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.superblock import Superblock

USAGE = 16
"""Exit code of mkfs for a wish that cannot be met."""
BLOCK_SIZES = (1024, 2048, 4096)
INODE_SIZES = (128, 256)
EXTRA_SIZE = layout.INODE_EXTRA.size
"""Bytes that large inodes have besides the first 128 for times; what is left is for extended attributes."""
LABEL_MAX = 16
RESERVED_INODES = layout.FIRST_INODE_REVISION_0 - 1

FEATURES = {
    "ext_attr": ("compat", layout.COMPAT_EXT_ATTR),
    "resize_inode": ("compat", layout.COMPAT_RESIZE_INODE),
    "dir_index": ("compat", layout.COMPAT_DIR_INDEX),
    "filetype": ("incompat", layout.INCOMPAT_FILETYPE),
    "sparse_super": ("ro_compat", layout.RO_COMPAT_SPARSE_SUPER),
    "large_file": ("ro_compat", layout.RO_COMPAT_LARGE_FILE),
}
"""What can be asked for, and the bit for it; all are on unless asked otherwise."""

_MIB, _TIB = 1 << 20, 1 << 40
_SMALL = 512 * _MIB
_INODE_RATIOS = ((16 * _TIB, 65536), (4 * _TIB, 32768), (_SMALL, 16384), (3 * _MIB, 4096), (0, 8192))
"""(least size of a volume in bytes, bytes for each inode)"""
_LEAST_GROUP = 50
"""A last group is dropped when fewer blocks than these are left of it for data."""
_GROWTH = 1024
_U16_MAX, _U32_MAX = 0xFFFF, 0xFFFFFFFF
_DEFAULT_MOUNT_OPTIONS = 0x4 | 0x8  # user_xattr, acl
_HALF_MD4 = 1
_SIGNED_HASH = 1


@dataclass(frozen=True, slots=True)
class Options:
    """What to make. None means: the usual value for the size.

    `inodes` is how many there are at least, `bytes_per_inode` another rule for it; `reserve` is per cent of the blocks;
    `time` is in seconds since 1970; `uuid` and `hash_seed` are 16 bytes each.
    """

    block_size: int | None = None
    inodes: int | None = None
    bytes_per_inode: int | None = None
    inode_size: int | None = None
    revision: int = 1
    features: frozenset[str] = frozenset(FEATURES)
    reserve: float = 5
    label: bytes = b""
    time: int = 0
    uuid: bytes = bytes(16)
    hash_seed: bytes = bytes(16)


def chosen_features(words: str = "", revision: int = 1) -> frozenset[str]:
    """The features after ``-O``: names with commas between, with ``^`` to leave one out; "none" comes first if at all.

    Raises UsageError for others.
    """
    found = set(FEATURES) if revision else set()
    for word in filter(None, words.split(",")):
        name = word.removeprefix("^")
        if word == "none":
            found.clear()
            continue
        _require(name in FEATURES, f"'{name}' is no feature of ext2 that can be chosen here: {', '.join(FEATURES)}")
        (found.discard if word.startswith("^") else found.add)(name)
    _require(revision != 0 or not found, f"revision 0 has no features, so also no {', '.join(sorted(found))}")
    _require(
        "resize_inode" not in found or "sparse_super" in found,
        "resize_inode needs sparse_super: leave both out, with -O ^sparse_super,^resize_inode",
    )
    return frozenset(found)


def block_size_for(options: Options, size: int) -> int:
    """The block size of a volume of `size` bytes."""
    if options.block_size is None:
        return 1024 if size < _SMALL else 4096
    _require(options.block_size in BLOCK_SIZES, f"block size {options.block_size} is not 1024, 2048 or 4096")
    return options.block_size


def inode_size_for(options: Options) -> int:
    size = options.inode_size or (256 if options.revision else 128)
    _require(size in INODE_SIZES, f"inode size {size} is not 128 or 256")
    _require(options.revision != 0 or size == 128, "inodes of revision 0 have 128 bytes")
    return size


def usual_inodes(options: Options, size: int, block_size: int) -> int:
    """How many inodes a volume of `size` bytes gets if none are asked for."""
    ratio = options.bytes_per_inode
    if ratio is None:
        ratio = max(next(ratio for least, ratio in _INODE_RATIOS if size >= least), block_size)
    most = _GROWTH * 65536
    _require(1024 <= ratio <= most, f"an inode for every {ratio} bytes is not possible: 1024 to {most}")
    return size // ratio


def geometry(size: int, options: Options, least_inodes: int = 0) -> Superblock:
    """The superblock of a volume of at most `size` bytes, with no fewer inodes than `least_inodes`.

    Raises UsageError when there is none.
    """
    block_size = block_size_for(options, size)
    blocks = size // block_size
    _require(blocks <= _U32_MAX, f"{blocks} blocks of {block_size} bytes are too many for the format")
    superblock = _blank(blocks, block_size, options)
    reserved_of = blocks  # mke2fs counts the reserve when it leaves out a group, and keeps it if the group comes back
    least_inodes = max(least_inodes, RESERVED_INODES + 2)
    wanted = max(usual_inodes(options, size, block_size) if options.inodes is None else options.inodes, least_inodes)
    while True:
        groups = superblock.groups
        _require(groups > 0, f"{blocks} blocks of {block_size} bytes are too few for a file system")
        if -(-wanted // groups) > 8 * block_size:
            _require(superblock.blocks_per_group >= 256, f"{wanted} inodes are too many for {blocks} blocks")
            superblock.blocks_per_group -= 8  # more groups, to have more inodes in all
            superblock.blocks = blocks
            continue
        superblock.inodes_per_group = _inodes_per_group(superblock, wanted, least_inodes)
        superblock.inodes = superblock.inodes_per_group * groups
        if "resize_inode" in options.features:
            superblock.reserved_gdt_blocks = _room_to_grow(superblock)
        overhead = superblock.copy_blocks(groups - 1) + 2 + superblock.inode_table_blocks
        _require(
            superblock.copy_blocks(0) <= superblock.blocks_per_group * 3 // 4,
            "the group descriptors would fill most of a group: choose bigger blocks",
        )
        _require(overhead <= superblock.blocks_per_group, f"{wanted} inodes are too many for {blocks} blocks")
        last = superblock.group_blocks(groups - 1)
        if last == superblock.blocks_per_group or last >= overhead + _LEAST_GROUP:
            return _finished(superblock, int(options.reserve * blocks / 100) * reserved_of // blocks)
        superblock.blocks -= last
        reserved_of = superblock.blocks


def resize_inode_size(block_size: int) -> int:
    """The size in bytes of the inode to which the room for group descriptors belongs: all that it could map."""
    per_block = block_size // 4
    return (layout.DIRECT_BLOCKS + per_block + per_block**2) * block_size


def group_shape(superblock: Superblock, number: int) -> tuple[int, int, int, int]:
    """Where the block bitmap, the inode bitmap, the inode table and the data of a group begin."""
    bitmap = superblock.group_start(number) + superblock.copy_blocks(number)
    return bitmap, bitmap + 1, bitmap + 2, bitmap + 2 + superblock.inode_table_blocks


def _blank(blocks: int, block_size: int, options: Options) -> Superblock:
    """All but what depends on the groups."""
    inode_size, label = inode_size_for(options), options.label
    _require(options.revision in (0, 1), f"there is no revision {options.revision} of ext2: choose 0 or 1")
    _require(len(label) <= LABEL_MAX, f"the label has {len(label)} bytes; ext2 holds {LABEL_MAX}")
    _require(0 <= options.reserve <= 50, f"{options.reserve}% cannot be kept for the super-user: 0 to 50")
    _require(0 <= options.time <= _U32_MAX, "the time of making must be from 1970 to 2106")
    stored = layout.SUPERBLOCK.parse(bytes(layout.SUPERBLOCK_SIZE))
    stored["s_magic"], stored["s_rev_level"] = layout.MAGIC, options.revision
    if options.revision:
        stored["s_default_mount_opts"] = _DEFAULT_MOUNT_OPTIONS
    if inode_size > layout.INODE_SIZE_REVISION_0:
        stored["s_min_extra_isize"] = EXTRA_SIZE
    built = layout.SUPERBLOCK.build(stored)
    superblock = Superblock.parse(built + bytes(layout.SUPERBLOCK_SIZE - len(built)))
    superblock.blocks = blocks
    superblock.log_block_size = superblock.log_frag_size = block_size.bit_length() - 11
    superblock.first_data_block = int(block_size == 1024)
    superblock.blocks_per_group = min(8 * block_size, _U16_MAX - 7)
    superblock.write_time = superblock.last_check = superblock.mkfs_time = options.time
    superblock.max_mount_count = _U16_MAX  # that is, never
    superblock.state = layout.STATE_VALID
    superblock.errors = layout.ERRORS_CONTINUE
    superblock.stored_first_inode, superblock.stored_inode_size = layout.FIRST_INODE_REVISION_0, inode_size
    for word, bit in (FEATURES[name] for name in options.features):
        setattr(superblock, word, getattr(superblock, word) | bit)
    if "resize_inode" in options.features and resize_inode_size(block_size) > layout.LARGE_FILE:
        superblock.ro_compat |= layout.RO_COMPAT_LARGE_FILE
    superblock.uuid, superblock.hash_seed = options.uuid, options.hash_seed
    superblock.label = label.ljust(LABEL_MAX, b"\0")
    superblock.default_hash, superblock.flags = _HALF_MD4, _SIGNED_HASH
    superblock.want_extra_isize = EXTRA_SIZE if inode_size > layout.INODE_SIZE_REVISION_0 else 0
    return superblock


def _inodes_per_group(superblock: Superblock, wanted: int, least: int) -> int:
    """Full blocks of the table, less what is not a multiple of 8: as with mke2fs, that can be fewer than `wanted`."""
    per_block = superblock.inodes_per_block
    most = _U16_MAX + 1 - per_block
    per_group = min(-(-wanted // superblock.groups), most)
    per_group = max(-(-per_group // per_block) * per_block, 8) & ~7
    if per_group * superblock.groups < least:
        unit = max(per_block, 8)
        per_group = -(-least // superblock.groups // unit) * unit
        _require(per_group <= most, f"{least} inodes are too many for {superblock.blocks} blocks")
    return per_group


def _room_to_grow(superblock: Superblock) -> int:
    """Blocks for more group descriptors behind those that there are."""
    per_block = superblock.block_size // layout.GROUP_DESCRIPTOR.size
    blocks = min(superblock.blocks * _GROWTH, _U32_MAX)
    groups = -(-(blocks - superblock.first_data_block) // superblock.blocks_per_group)
    return min(-(-groups // per_block) - superblock.descriptor_blocks, superblock.block_size // 4)


def _finished(superblock: Superblock, reserved_blocks: int) -> Superblock:
    superblock.reserved_blocks = reserved_blocks
    superblock.free_inodes = superblock.inodes - RESERVED_INODES
    superblock.free_blocks = sum(
        superblock.group_start(number) + superblock.group_blocks(number) - group_shape(superblock, number)[3]
        for number in range(superblock.groups)
    )
    stored = layout.SUPERBLOCK.parse(superblock.raw)
    stored["s_frags_per_group"] = superblock.blocks_per_group
    stored["s_overhead_blocks"] = superblock.blocks - superblock.free_blocks
    built = layout.SUPERBLOCK.build(stored)
    superblock.raw = built + superblock.raw[len(built) :]
    return superblock


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message, USAGE)
