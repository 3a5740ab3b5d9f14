"""Makes a fresh ext2 volume, empty or full (specification: file systems, 3).

    tree = gather(adjusted(entries), limits_for(options))       the files (see `populate`); at least a root directory
    size = fitted(options, tree)                                if it shall be just large enough
    made = plan(size, options, tree)                            touches nothing; UsageError for what cannot be
    await make(device, made)

`make` first unmakes whatever was there, then writes the files, the metadata of every group, and after a flush the
superblock. So a volume is never half made. Blocks that nothing lies in are left as they are.

An empty volume is byte for byte what mke2fs makes with the same options, time, UUID and hash seed, but for two things:
it always has inodes enough for what is put into it, and the super-user's share is one of the whole volume also where
groups had to be made smaller.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from contextlib import suppress
from dataclasses import dataclass, replace

from minixfs.errors import UsageError
from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.superblock import Superblock
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.mkfs.ext2_contents import Contents, populate
from minixfs.mkfs.ext2_geometry import (
    RESERVED_INODES,
    USAGE,
    Options,
    block_size_for,
    geometry,
    group_shape,
    inode_size_for,
    usual_inodes,
)
from minixfs.mkfs.populate import Limits, Tree
from minixfs.mkfs.stream import Progress, Stream, write, zero

_U32_MAX = 0xFFFFFFFF
_SYMLINK_MAX = 4095
_MAJOR_MAX, _MINOR_MAX = 0xFFF, 0xFFFFF
_TABLE_IS_ZEROED = 4
"""Flag of a group, of interest to ext4 only."""
_NAME_BASED = 5
"""The version of an UUID that is made of a digest (RFC 9562)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `make` writes."""

    superblock: Superblock
    contents: Contents


def limits_for(options: Options) -> Limits:
    """What a volume made with `options` can hold, as far as its size does not matter: `plan` looks at the rest."""
    block_size = options.block_size or 4096
    is_fine = inode_size_for(options) > layout.INODE_SIZE_REVISION_0
    return Limits(
        name="ext2",
        name_max=layout.NAME_MAX,
        symlink_max=min(block_size - 1, _SYMLINK_MAX),
        file_max=geometry(1 << 30, Options(block_size=block_size)).max_file_size,
        link_max=layout.LINK_MAX,
        uid_max=_U32_MAX - 1,
        gid_max=_U32_MAX - 1,
        time_min=-(1 << 31),
        time_max=(1 << 34) - (1 << 31) - 1 if is_fine else (1 << 31) - 1,
        is_fine=is_fine,
        major_max=_MAJOR_MAX,
        minor_max=_MINOR_MAX,
        has_xattrs="ext_attr" in options.features,
    )


def inodes_needed(options: Options, tree: Tree) -> int:
    """How many inodes it takes to hold the tree: the root has a reserved one."""
    populate(tree, options.time)
    return RESERVED_INODES + len(tree) - 1


def fitted(options: Options, tree: Tree, *, percent: int = 0, room: int = 0, inodes: int = 0) -> tuple[int, Options]:
    """The size in bytes of a volume that is just large enough, and the options for it: `percent` more blocks and inodes
    than the contents take, `room` bytes more, and `inodes` more inodes (which `options.inodes` overrules).

    Blocks are as large as usual for the size, or larger if a file needs that. Raises UsageError.
    """
    if options.block_size is not None:
        return _fitted(options, tree, percent, room, inodes)
    with suppress(UsageError):
        found = _fitted(replace(options, block_size=1024), tree, percent, room, inodes)
        if block_size_for(options, found[0]) == 1024:
            return found
    return _fitted(replace(options, block_size=4096), tree, percent, room, inodes)


def plan(size: int, options: Options, tree: Tree) -> Plan:
    """What `make` would write on a device of `size` bytes. Raises UsageError."""
    needed = inodes_needed(options, tree)
    superblock = geometry(size, options, _at_least(options, needed))
    contents = Contents(tree, superblock)
    if superblock.inodes < needed:
        first = os.fsdecode(tree.path(superblock.inodes - RESERVED_INODES + 1))
        raise UsageError(f"{first}: no inode is left; {needed} are needed, and there are {superblock.inodes}")
    if contents.total > superblock.free_blocks and options.inodes is None and options.bytes_per_inode is None:
        superblock = geometry(size, replace(options, inodes=needed), needed)  # the usual number takes too much room
    if contents.total > superblock.free_blocks:
        block_size = superblock.block_size
        raise UsageError(
            f"{contents.first_beyond(superblock.free_blocks)}: no space is left; the contents take"
            f" {contents.total * block_size >> 10} KiB, and there is room for"
            f" {superblock.free_blocks * block_size >> 10} KiB"
        )
    placement = contents.place(superblock)
    superblock.free_blocks, superblock.free_inodes = placement.free_blocks, placement.free_inodes
    return Plan(superblock, contents)


def fingerprint(options: Options, tree: Tree) -> tuple[bytes, bytes]:
    """An UUID and a hash seed that depend on nothing but the wishes and the files, content of files not included."""
    digest = hashlib.sha256(repr(replace(options, features=frozenset())).encode())
    digest.update(",".join(sorted(options.features)).encode())
    for values in (tree.modes, tree.uids, tree.gids, tree.sizes, tree.mtimes, tree.fine):
        digest.update(values.tobytes())
    for number, directory in tree.directories.items():
        digest.update(b"%d/" % number + b"/".join(directory.names) + b"//")
    made = bytearray(digest.digest())
    made[6] = made[6] & 0x0F | _NAME_BASED << 4
    made[8] = made[8] & 0x3F | 0x80
    return bytes(made[:16]), bytes(made[16:])


async def make(device: BlockDevice, made: Plan, progress: Progress | None = None) -> None:
    """Write a volume. Raises UsageError or ReadOnly before anything is written, DeviceError or the OSError of a content
    after."""
    superblock, contents = made.superblock, made.contents
    size = superblock.block_size
    if size % device.sector_size:
        raise UsageError(f"{device.name} has sectors of {device.sector_size} bytes: choose larger blocks", USAGE)
    device.check_writable()
    if await zero(device, 0, superblock.descriptor_block * size):
        await device.flush()
    await contents.write(Stream(device, 0, progress))
    descriptors = _descriptors(made)
    for number, inodes in enumerate(contents.inodes(superblock)):
        await _write_group(device, made, number, descriptors, inodes)
    if contents.has_resize_inode:
        await write(device, contents.resize_block * size, _room(superblock))
    await device.flush()
    superblock.group_number = 0
    await write(device, 0, bytes(layout.SUPERBLOCK_OFFSET) + superblock.build())
    await device.flush()


# ---- inside --------------------------------------------------------------------------------------------------------


def _at_least(options: Options, needed: int) -> int:
    """So many inodes there must be; none in particular if it was said that there shall be fewer."""
    return needed if options.inodes is None or options.inodes >= needed else 0


def _fitted(options: Options, tree: Tree, percent: int, room: int, inodes: int) -> tuple[int, Options]:
    size = options.block_size or 4096
    needed = inodes_needed(options, tree)
    contents = Contents(tree, geometry(1 << 30, replace(options, inodes=None, bytes_per_inode=None)))
    blocks = contents.total + -(-contents.total * percent // 100) + -(-room // size)
    if options.inodes is None:
        wanted = needed + -(-(needed - RESERVED_INODES) * percent // 100) + inodes
        wanted += usual_inodes(options, room, size) if room else 0
        options = replace(options, inodes=wanted)

    def free(total: int) -> int:
        try:
            return geometry(total * size, options, _at_least(options, needed)).free_blocks
        except UsageError:
            return -1

    enough = blocks + 1
    while free(enough) < blocks:
        enough *= 2
        if enough > 2 * _U32_MAX:
            raise UsageError(
                f"the contents take {contents.total} blocks, and {size} bytes in a block are too few", USAGE
            )
    least = enough // 2
    while least < enough:
        middle = (least + enough) // 2
        least, enough = (middle + 1, enough) if free(middle) < blocks else (least, middle)
    return geometry(enough * size, options, _at_least(options, needed)).blocks * size, options


def _descriptors(made: Plan) -> bytes:
    superblock, placement = made.superblock, made.contents.placement
    parts = []
    for number in range(superblock.groups):
        block_bitmap, inode_bitmap, table, _ = group_shape(superblock, number)
        end = superblock.group_start(number) + superblock.group_blocks(number)
        free_blocks = end - placement.blocks[number]
        free_inodes = superblock.inodes_per_group - placement.inodes[number]
        directories = placement.directories[number]
        parts.append(
            layout.GROUP_DESCRIPTOR.struct.pack(
                block_bitmap, inode_bitmap, table, free_blocks, free_inodes, directories, _TABLE_IS_ZEROED, bytes(12)
            )
        )
    return b"".join(parts)


def _room(superblock: Superblock) -> bytes:
    """The block of the resize inode: it points to the room for group descriptors, each at the place that it has among
    all blocks of descriptors."""
    pointers = array("I", bytes(superblock.block_size))
    for block in range(superblock.descriptor_blocks, superblock.descriptor_blocks + superblock.reserved_gdt_blocks):
        pointers[block % len(pointers)] = superblock.descriptor_block + block
    return pointers.tobytes()


async def _write_group(device: BlockDevice, made: Plan, number: int, descriptors: bytes, inodes: bytearray) -> None:
    """The metadata of one group, but for the superblock of group 0; unused inodes become zero."""
    superblock, placement = made.superblock, made.contents.placement
    size, start = superblock.block_size, superblock.group_start(number)
    block_bitmap, inode_bitmap, table, data = group_shape(superblock, number)
    stream = Stream(device, start * size)
    if superblock.has_copy(number):
        if number:
            superblock.group_number = number
            superblock.state &= ~layout.STATE_VALID  # as mke2fs has it: whoever falls back on a copy shall check
            stream.put(start * size, superblock.build())
            superblock.state |= layout.STATE_VALID
        stream.put((start + 1) * size, descriptors)
        if superblock.reserved_gdt_blocks and number == 0:
            first = superblock.descriptor_block + superblock.descriptor_blocks
            copies = [group for group in range(1, superblock.groups) if superblock.has_copy(group)]
            for block in range(first, first + superblock.reserved_gdt_blocks):
                others = (block + group * superblock.blocks_per_group for group in copies)
                stream.put(block * size, b"".join(other.to_bytes(4, "little") for other in others))
    used, held = placement.blocks[number] - start, superblock.group_blocks(number)
    stream.put(block_bitmap * size, _bitmap(used, held, size))
    stream.put(inode_bitmap * size, _bitmap(placement.inodes[number], superblock.inodes_per_group, size))
    stream.put(table * size, inodes)
    stream.pad(-(-stream.position // size) * size)
    await stream.drain()
    await zero(device, stream.position, data * size)


def _bitmap(used: int, bits: int, size: int) -> bytes:
    """One block: the first `used` of `bits` bits are set, and those that stand for nothing."""
    return ((1 << used) - 1 | (1 << 8 * size) - (1 << bits)).to_bytes(size, "little")
