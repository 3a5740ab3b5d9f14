"""Damage to single inodes: types, link counts, sizes, symbolic links."""

from __future__ import annotations

import random
import stat

from minixfs.fsck.mfs.context import Kind
from tests.support.damage.base import Harm, Map, change, kind
from tests.support.mfs_image import Image


@kind
def unknown_mode(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    change(image, where.number(path), i_mode=rng.choice([0o030644, 0o110600, 0o000644, 0o170000]))
    return Harm(Kind.UNKNOWN_MODE)


@kind
def unknown_mode_of_a_directory(image: Image, where: Map, rng: random.Random) -> Harm:
    change(image, where.number(b"/a/deep"), i_mode=0o050755)
    return Harm(Kind.UNKNOWN_MODE)


@kind
def unknown_mode_without_a_name(image: Image, where: Map, rng: random.Random) -> Harm:
    change(image, image.superblock.inodes - 1, i_mode=0o130755, i_nlinks=1)
    return Harm(Kind.UNKNOWN_MODE)


@kind
def file_called_a_directory(image: Image, where: Map, rng: random.Random) -> Harm:
    change(image, where.number(b"/a/big"), i_mode=stat.S_IFDIR | 0o644)
    return Harm(Kind.NOT_DIRECTORY)


@kind
def directory_called_a_file(image: Image, where: Map, rng: random.Random) -> Harm:
    change(image, where.number(b"/b/deep"), i_mode=stat.S_IFREG | 0o755)
    return Harm(Kind.ORPHAN, where.within(b"/b/deep"))


@kind
def root_not_a_directory(image: Image, where: Map, rng: random.Random) -> Harm:
    change(image, 1, i_mode=rng.choice([0, stat.S_IFREG | 0o755, 0o030000]))
    return Harm(Kind.ROOT)


@kind
def inode_wiped(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    start = image.inode_offset(where.number(path))
    image.data[start : start + image.superblock.variant.inode.size] = bytes(image.superblock.variant.inode.size)
    return Harm(Kind.BAD_ENTRY, frozenset({path}))


@kind
def link_count(image: Image, where: Map, rng: random.Random) -> Harm:
    path = rng.choice(sorted(where.places))
    nlinks = image.inode(where.number(path)).fields["i_nlinks"]
    change(image, where.number(path), i_nlinks=rng.choice([n for n in (0, 1, 77, 255) if n != nlinks]))
    return Harm(Kind.LINK_COUNT)


@kind
def size_too_large(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    change(image, where.number(path), i_size=rng.choice([0x80000000, 0xFFFFFFFF]))
    return Harm(Kind.TOO_LARGE, frozenset({path}))


@kind
def size_lost(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    change(image, where.number(path), i_size=0)
    return Harm(Kind.BEYOND_SIZE, frozenset({path}))


@kind
def zone_behind_the_size(image: Image, where: Map, rng: random.Random) -> Harm:
    """As after an interrupted append: the indirect block is stored, the inode is not."""
    block = image.inode(where.number(b"/b/big")).zones[7]
    if block in range(image.superblock.first_data_zone, image.superblock.zones):
        image.pointer(block, rng.randrange(4, image.superblock.pointers_per_block), image.superblock.zones - 1)
    return Harm(Kind.BEYOND_SIZE)


@kind
def symlink_size(image: Image, where: Map, rng: random.Random) -> Harm:
    change(image, where.number(b"/a/link"), i_size=rng.choice([0, 3, 500, 5000]))
    return Harm(Kind.SYMLINK)


@kind
def symlink_without_text(image: Image, where: Map, rng: random.Random) -> Harm:
    start = image.inode(where.number(b"/b/link")).zones[0] * image.superblock.zone_size
    image.data[start] = 0
    return Harm(Kind.SYMLINK, frozenset({b"/b/link", b"/b/link2"}))


@kind
def symlink_without_end(image: Image, where: Map, rng: random.Random) -> Harm:
    start, size = image.inode(where.number(b"/b/link")).zones[0], image.superblock.block_size
    start *= image.superblock.zone_size
    image.data[start + 10 : start + size] = b"x" * (size - 10)
    return Harm(Kind.SYMLINK, frozenset({b"/b/link", b"/b/link2"}))


@kind
def directory_size(image: Image, where: Map, rng: random.Random) -> Harm:
    size = image.inode(where.number(b"/a")).fields["i_size"]
    new = rng.choice([0, 3, size + 5, size - 1, size - 100, size * 1000])
    change(image, where.number(b"/a"), i_size=new)
    return Harm(Kind.BAD_SIZE)


@kind
def file_called_a_link(image: Image, where: Map, rng: random.Random) -> Harm:
    change(image, where.number(b"/b/big"), i_mode=stat.S_IFLNK | 0o777)
    return Harm(Kind.SYMLINK, frozenset({b"/b/big"}))


@kind
def device_called_a_file(image: Image, where: Map, rng: random.Random) -> Harm:
    """Its device number becomes a zone number, of a zone that is free or of another file."""
    change(image, where.number(b"/device"), i_mode=stat.S_IFREG | 0o600)
    return Harm(Kind.BAD_ZONE, frozenset({b"/device"}))
