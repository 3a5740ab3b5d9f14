"""Damage to MFS images, one function for each kind, all driven by a seeded generator.

`KINDS` maps a name to a function that harms an `Image` made by `populated`; it returns a `Harm`: which
finding the checker must report, and which paths may differ after a repair. Everything else must be there as
before. Paths and inode numbers come from a `Map` made before the first damage, so that kinds can be
combined.
"""

from __future__ import annotations

import random
import stat
from collections.abc import Callable
from dataclasses import dataclass, field

from minixfs.fsck.mfs.context import Kind
from tests.support.mfs_image import Image


@dataclass(frozen=True)
class Harm:
    kind: Kind
    touched: frozenset[bytes] = frozenset()


@dataclass
class Map:
    """Where things are in an undamaged image: path -> byte offset of the slot, inode number."""

    image: Image
    rng: random.Random
    places: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    types: dict[bytes, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in self.image.contents():
            self.places[path] = self.image.entry(path)
            self.types[path] = self.image.inode(self.places[path][1]).type

    def some(self, kind: int, below: bytes = b"/") -> bytes:
        """A random path of that type with one name."""
        numbers = [number for _, number in self.places.values()]
        return self.rng.choice(
            [
                path
                for path, (_, number) in self.places.items()
                if self.types[path] == kind and path.startswith(below) and numbers.count(number) == 1
            ]
        )

    def file(self) -> bytes:
        """A random regular file that has data."""
        while not self.image.inode(self.number(path := self.some(stat.S_IFREG))).zones[0] or path == b"/holes":
            pass
        return path

    def number(self, path: bytes) -> int:
        return self.places[path][1]

    def slot(self, path: bytes) -> int:
        return self.places[path][0]

    def within(self, path: bytes) -> frozenset[bytes]:
        """`path` and everything below it."""
        return frozenset(other for other in self.places if other == path or other.startswith(path + b"/"))


Damage = Callable[[Image, Map, random.Random], Harm]
KINDS: dict[str, Damage] = {}


def _kind(function: Damage) -> Damage:
    KINDS[function.__name__.strip("_")] = function
    return function


def _beyond(image: Image, rng: random.Random) -> int:
    """A zone number that is none."""
    limit = 0xFFFF if image.superblock.variant.version == 1 else 0xFFFFFFFF
    return rng.choice([1, image.superblock.first_data_zone - 1, image.superblock.zones, limit])


def _change(image: Image, number: int, **fields: int) -> None:
    inode = image.inode(number)
    inode.fields |= fields
    image.put_inode(inode)


def _set_zone(image: Image, number: int, slot: int, zone: int) -> None:
    inode = image.inode(number)
    inode.zones[slot] = zone
    image.put_inode(inode)


# ---- zones ------------------------------------------------------------------------------------------------


@_kind
def _zone_outside(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    _set_zone(image, where.number(path), 0, _beyond(image, rng))
    return Harm(Kind.BAD_ZONE, frozenset({path}))


@_kind
def _indirect_block_outside(image: Image, where: Map, rng: random.Random) -> Harm:
    _set_zone(image, where.number(b"/a/big"), rng.choice([7, 8]), _beyond(image, rng))
    return Harm(Kind.BAD_ZONE, frozenset({b"/a/big"}))


@_kind
def _zone_outside_in_indirect_block(image: Image, where: Map, rng: random.Random) -> Harm:
    block = image.inode(where.number(b"/b/big")).zones[7]
    if block in range(image.superblock.first_data_zone, image.superblock.zones):
        image.pointer(block, rng.randrange(image.superblock.pointers_per_block), _beyond(image, rng))
    return Harm(Kind.BAD_ZONE, frozenset({b"/b/big"}))


@_kind
def _directory_zone_outside(image: Image, where: Map, rng: random.Random) -> Harm:
    _set_zone(image, where.number(b"/b/deep"), 0, _beyond(image, rng))
    return Harm(Kind.BAD_ZONE, where.within(b"/b/deep"))


@_kind
def _zone_in_two_files(image: Image, where: Map, rng: random.Random) -> Harm:
    one, two = where.file(), where.file()
    while one == two:
        two = where.file()
    _set_zone(image, where.number(two), 0, image.inode(where.number(one)).zones[0])
    return Harm(Kind.SHARED_ZONE, frozenset({two}))


@_kind
def _zone_twice_in_a_file(image: Image, where: Map, rng: random.Random) -> Harm:
    inode = image.inode(where.number(b"/a/big"))
    _set_zone(image, inode.number, 1, inode.zones[0])
    return Harm(Kind.SHARED_ZONE, frozenset({b"/a/big"}))


@_kind
def _indirect_block_in_two_files(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    while path == b"/a/big":
        path = where.file()
    _set_zone(image, where.number(path), 7, image.inode(where.number(b"/a/big")).zones[7])
    return Harm(Kind.SHARED_ZONE, frozenset({path}))


@_kind
def _indirect_block_in_itself(image: Image, where: Map, rng: random.Random) -> Harm:
    inode = image.inode(where.number(b"/b/big"))
    if inode.zones[7] in range(image.superblock.first_data_zone, image.superblock.zones):
        image.pointer(inode.zones[7], 1, inode.zones[7])
        inode.zones[8] = inode.zones[7]
    if len(inode.zones) > 9:
        inode.zones[9] = inode.zones[7]
    image.put_inode(inode)
    return Harm(Kind.SHARED_ZONE, frozenset({b"/b/big"}))


@_kind
def _directory_zone_in_a_file(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    _set_zone(image, where.number(path), 0, image.inode(where.number(b"/a")).zones[0])
    return Harm(Kind.SHARED_ZONE, frozenset({path}))


@_kind
def _two_directories_in_one_zone(image: Image, where: Map, rng: random.Random) -> Harm:
    _set_zone(image, where.number(b"/b/deep"), 0, image.inode(where.number(b"/a/deep")).zones[0])
    return Harm(Kind.SHARED_ZONE, where.within(b"/b/deep"))


@_kind
def _rubbish_in_an_indirect_block(image: Image, where: Map, rng: random.Random) -> Harm:
    block = image.inode(where.number(b"/a/big")).zones[7]
    if block in range(image.superblock.first_data_zone, image.superblock.zones):
        start, size = block * image.superblock.zone_size, image.superblock.block_size
        image.data[start : start + size] = rng.randbytes(size)
    return Harm(Kind.BAD_ZONE, frozenset({b"/a/big"}))


@_kind
def _device_with_zones(image: Image, where: Map, rng: random.Random) -> Harm:
    _set_zone(image, where.number(b"/device"), rng.randrange(1, 9), image.superblock.zones - 1)
    return Harm(Kind.DEVICE_ZONES)


@_kind
def _fifo_with_zones(image: Image, where: Map, rng: random.Random) -> Harm:
    _set_zone(image, where.number(b"/fifo"), 0, image.inode(where.number(b"/a/big")).zones[2])
    return Harm(Kind.DEVICE_ZONES, frozenset({b"/fifo"}))


# ---- inodes -----------------------------------------------------------------------------------------------


@_kind
def _unknown_mode(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    _change(image, where.number(path), i_mode=rng.choice([0o030644, 0o110600, 0o000644, 0o170000]))
    return Harm(Kind.UNKNOWN_MODE)


@_kind
def _unknown_mode_of_a_directory(image: Image, where: Map, rng: random.Random) -> Harm:
    _change(image, where.number(b"/a/deep"), i_mode=0o050755)
    return Harm(Kind.UNKNOWN_MODE)


@_kind
def _unknown_mode_without_a_name(image: Image, where: Map, rng: random.Random) -> Harm:
    _change(image, image.superblock.inodes - 1, i_mode=0o130755, i_nlinks=1)
    return Harm(Kind.UNKNOWN_MODE)


@_kind
def _file_called_a_directory(image: Image, where: Map, rng: random.Random) -> Harm:
    _change(image, where.number(b"/a/big"), i_mode=stat.S_IFDIR | 0o644)
    return Harm(Kind.NOT_DIRECTORY)


@_kind
def _directory_called_a_file(image: Image, where: Map, rng: random.Random) -> Harm:
    _change(image, where.number(b"/b/deep"), i_mode=stat.S_IFREG | 0o755)
    return Harm(Kind.ORPHAN, where.within(b"/b/deep"))


@_kind
def _root_not_a_directory(image: Image, where: Map, rng: random.Random) -> Harm:
    _change(image, 1, i_mode=rng.choice([0, stat.S_IFREG | 0o755, 0o030000]))
    return Harm(Kind.ROOT)


@_kind
def _inode_wiped(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    start = image.inode_offset(where.number(path))
    image.data[start : start + image.superblock.variant.inode.size] = bytes(image.superblock.variant.inode.size)
    return Harm(Kind.BAD_ENTRY, frozenset({path}))


@_kind
def _link_count(image: Image, where: Map, rng: random.Random) -> Harm:
    path = rng.choice(sorted(where.places))
    nlinks = image.inode(where.number(path)).fields["i_nlinks"]
    _change(image, where.number(path), i_nlinks=rng.choice([n for n in (0, 1, 77, 255) if n != nlinks]))
    return Harm(Kind.LINK_COUNT)


# ---- sizes ------------------------------------------------------------------------------------------------


@_kind
def _size_too_large(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    _change(image, where.number(path), i_size=rng.choice([0x80000000, 0xFFFFFFFF]))
    return Harm(Kind.TOO_LARGE, frozenset({path}))


@_kind
def _size_lost(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    _change(image, where.number(path), i_size=0)
    return Harm(Kind.BEYOND_SIZE, frozenset({path}))


@_kind
def _zone_behind_the_size(image: Image, where: Map, rng: random.Random) -> Harm:
    """As after an interrupted append: the indirect block is stored, the inode is not."""
    block = image.inode(where.number(b"/b/big")).zones[7]
    if block in range(image.superblock.first_data_zone, image.superblock.zones):
        image.pointer(block, rng.randrange(4, image.superblock.pointers_per_block), image.superblock.zones - 1)
    return Harm(Kind.BEYOND_SIZE)


@_kind
def _symlink_size(image: Image, where: Map, rng: random.Random) -> Harm:
    _change(image, where.number(b"/a/link"), i_size=rng.choice([0, 3, 500, 5000]))
    return Harm(Kind.SYMLINK)


@_kind
def _symlink_without_text(image: Image, where: Map, rng: random.Random) -> Harm:
    start = image.inode(where.number(b"/b/link")).zones[0] * image.superblock.zone_size
    image.data[start] = 0
    return Harm(Kind.SYMLINK, frozenset({b"/b/link", b"/b/link2"}))


@_kind
def _symlink_without_end(image: Image, where: Map, rng: random.Random) -> Harm:
    start, size = image.inode(where.number(b"/b/link")).zones[0], image.superblock.block_size
    start *= image.superblock.zone_size
    image.data[start + 10 : start + size] = b"x" * (size - 10)
    return Harm(Kind.SYMLINK, frozenset({b"/b/link", b"/b/link2"}))


@_kind
def _directory_size(image: Image, where: Map, rng: random.Random) -> Harm:
    size = image.inode(where.number(b"/a")).fields["i_size"]
    new = rng.choice([0, 3, size + 5, size - 1, size - 100, size * 1000])
    _change(image, where.number(b"/a"), i_size=new)
    return Harm(Kind.BAD_SIZE)


# ---- directories ------------------------------------------------------------------------------------------


@_kind
def _entry_for_an_inode_that_is_none(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    image.put_slot(where.slot(path), rng.choice([image.superblock.inodes + 1, 0xFFFF]), path.rsplit(b"/")[-1])
    return Harm(Kind.BAD_ENTRY, frozenset({path}))


@_kind
def _entry_for_a_free_inode(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    image.put_slot(where.slot(path), image.superblock.inodes - 2, path.rsplit(b"/")[-1])
    return Harm(Kind.BAD_ENTRY, frozenset({path}))


@_kind
def _empty_name(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    image.put_slot(where.slot(path), where.number(path), b"")
    return Harm(Kind.BAD_NAME, frozenset({path}))


@_kind
def _slash_in_a_name(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    image.put_slot(where.slot(path), where.number(path), b"sl/ash")
    return Harm(Kind.BAD_NAME, frozenset({path}))


@_kind
def _name_twice(image: Image, where: Map, rng: random.Random) -> Harm:
    image.put_slot(where.slot(b"/a/file3"), where.number(b"/a/file3"), b"file2")
    return Harm(Kind.DUPLICATE_NAME, frozenset({b"/a/file3", b"/a/file2"}))


@_kind
def _dot(image: Image, where: Map, rng: random.Random) -> Harm:
    at = next(image.slots(image.inode(where.number(b"/a/deep"))))[0]
    number, name = rng.choice([(where.number(b"/b"), b"."), (0, b""), (where.number(b"/a/deep"), b"..")])
    image.put_slot(at, number, name)
    return Harm(Kind.DOT)


@_kind
def _dot_of_the_root(image: Image, where: Map, rng: random.Random) -> Harm:
    image.put_slot(next(image.slots(image.inode(1)))[0], 0, b"")
    return Harm(Kind.DOT)


@_kind
def _dotdot(image: Image, where: Map, rng: random.Random) -> Harm:
    _, (at, _, _), *_ = image.slots(image.inode(where.number(b"/a/deep")))
    numbers = [where.number(b"/b"), where.number(b"/a/deep/empty"), 0, where.number(b"/a/big")]
    image.put_slot(at, rng.choice(numbers), b"..")
    return Harm(Kind.DOTDOT)


@_kind
def _dots_exchanged(image: Image, where: Map, rng: random.Random) -> Harm:
    (first, own, _), (second, parent, _), *_ = image.slots(image.inode(where.number(b"/b")))
    image.put_slot(first, parent, b"..")
    image.put_slot(second, own, b".")
    return Harm(Kind.DOT)


@_kind
def _directory_hole(image: Image, where: Map, rng: random.Random) -> Harm:
    inode = image.inode(where.number(b"/many"))
    _set_zone(image, inode.number, 0, 0)
    return Harm(Kind.DIRECTORY_HOLE, where.within(b"/many") - {b"/many"})


@_kind
def _directory_without_zones(image: Image, where: Map, rng: random.Random) -> Harm:
    _set_zone(image, where.number(b"/b/deep"), 0, 0)
    return Harm(Kind.BAD_SIZE, where.within(b"/b/deep"))


@_kind
def _directory_with_two_names(image: Image, where: Map, rng: random.Random) -> Harm:
    at = where.slot(b"/b/none")
    image.put_slot(at, rng.choice([where.number(b"/a/deep"), 1]), b"none")
    return Harm(Kind.DIRECTORY_LINK, frozenset({b"/b/none"}))


@_kind
def _loop_of_directories(image: Image, where: Map, rng: random.Random) -> Harm:
    """/a/deep is taken out of /a and put into its own subdirectory."""
    image.put_slot(where.slot(b"/a/deep"), 0, b"")
    image.put_slot(where.slot(b"/a/deep/small0"), where.number(b"/a/deep"), b"loop")
    return Harm(Kind.ORPHAN, where.within(b"/a/deep"))


@_kind
def _directory_without_a_name(image: Image, where: Map, rng: random.Random) -> Harm:
    image.put_slot(where.slot(b"/b/deep"), 0, b"")
    return Harm(Kind.ORPHAN, where.within(b"/b/deep"))


@_kind
def _file_without_a_name(image: Image, where: Map, rng: random.Random) -> Harm:
    path = rng.choice([where.file(), b"/a/none", b"/fifo"])
    image.put_slot(where.slot(path), 0, b"")
    return Harm(Kind.ORPHAN, frozenset({path}))


# ---- maps and superblock ----------------------------------------------------------------------------------


@_kind
def _inode_map(image: Image, where: Map, rng: random.Random) -> Harm:
    number = rng.choice([0, where.number(where.file()), image.superblock.inodes])
    image.set_bit("inode", number, not image.bit("inode", number))
    return Harm(Kind.INODE_MAP)


@_kind
def _zone_map(image: Image, where: Map, rng: random.Random) -> Harm:
    zone = image.inode(where.number(where.file())).zones[0]
    known = zone in range(image.superblock.first_data_zone, image.superblock.zones)
    used = [image.zone_bit(zone)] if known else []
    bit = rng.choice([0, image.superblock.zone_bits - 1, *used])
    image.set_bit("zone", bit, not image.bit("zone", bit))
    return Harm(Kind.ZONE_MAP)


@_kind
def _maps_wiped(image: Image, where: Map, rng: random.Random) -> Harm:
    start, end = image.map_offset("inode"), image.superblock.inode_table_block * image.superblock.block_size
    image.data[start:end] = bytes(end - start)
    return Harm(Kind.ZONE_MAP)


@_kind
def _superblock_max_size(image: Image, where: Map, rng: random.Random) -> Harm:
    image.superblock.max_size = rng.choice([0xFFFFFFFF, 0x80000000])
    image.store_superblock()
    return Harm(Kind.SUPERBLOCK)


@_kind
def _superblock_first_data_zone(image: Image, where: Map, rng: random.Random) -> Harm:
    image.superblock.stored_first_data_zone += rng.randrange(1, 200)
    image.store_superblock()
    return Harm(Kind.SUPERBLOCK)
