"""Damage to directories and to the tree that they are."""

from __future__ import annotations

import random

from minixfs.fsck.mfs.context import Kind
from tests.support.damage.base import Harm, Map, kind, set_zone
from tests.support.mfs_image import Image


@kind
def entry_for_an_inode_that_is_none(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    image.put_slot(where.slot(path), rng.choice([image.superblock.inodes + 1, 0xFFFF]), path.rsplit(b"/")[-1])
    return Harm(Kind.BAD_ENTRY, frozenset({path}))


@kind
def entry_for_a_free_inode(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    image.put_slot(where.slot(path), image.superblock.inodes - 2, path.rsplit(b"/")[-1])
    return Harm(Kind.BAD_ENTRY, frozenset({path}))


@kind
def empty_name(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    image.put_slot(where.slot(path), where.number(path), b"")
    return Harm(Kind.BAD_NAME, frozenset({path}))


@kind
def slash_in_a_name(image: Image, where: Map, rng: random.Random) -> Harm:
    path = where.file()
    image.put_slot(where.slot(path), where.number(path), b"sl/ash")
    return Harm(Kind.BAD_NAME, frozenset({path}))


@kind
def name_twice(image: Image, where: Map, rng: random.Random) -> Harm:
    image.put_slot(where.slot(b"/a/file3"), where.number(b"/a/file3"), b"file2")
    return Harm(Kind.DUPLICATE_NAME, frozenset({b"/a/file3", b"/a/file2"}))


@kind
def dot(image: Image, where: Map, rng: random.Random) -> Harm:
    at = next(image.slots(image.inode(where.number(b"/a/deep"))))[0]
    number, name = rng.choice([(where.number(b"/b"), b"."), (0, b""), (where.number(b"/a/deep"), b"..")])
    image.put_slot(at, number, name)
    return Harm(Kind.DOT)


@kind
def dot_of_the_root(image: Image, where: Map, rng: random.Random) -> Harm:
    image.put_slot(next(image.slots(image.inode(1)))[0], 0, b"")
    return Harm(Kind.DOT)


@kind
def dotdot(image: Image, where: Map, rng: random.Random) -> Harm:
    _, (at, _, _), *_ = image.slots(image.inode(where.number(b"/a/deep")))
    numbers = [where.number(b"/b"), where.number(b"/a/deep/empty"), 0, where.number(b"/a/big")]
    image.put_slot(at, rng.choice(numbers), b"..")
    return Harm(Kind.DOTDOT)


@kind
def dots_exchanged(image: Image, where: Map, rng: random.Random) -> Harm:
    (first, own, _), (second, parent, _), *_ = image.slots(image.inode(where.number(b"/b")))
    image.put_slot(first, parent, b"..")
    image.put_slot(second, own, b".")
    return Harm(Kind.DOT)


@kind
def directory_hole(image: Image, where: Map, rng: random.Random) -> Harm:
    inode = image.inode(where.number(b"/many"))
    set_zone(image, inode.number, 0, 0)
    return Harm(Kind.DIRECTORY_HOLE, where.within(b"/many") - {b"/many"})


@kind
def directory_without_zones(image: Image, where: Map, rng: random.Random) -> Harm:
    set_zone(image, where.number(b"/b/deep"), 0, 0)
    return Harm(Kind.BAD_SIZE, where.within(b"/b/deep"))


@kind
def directory_with_two_names(image: Image, where: Map, rng: random.Random) -> Harm:
    at = where.slot(b"/b/none")
    image.put_slot(at, rng.choice([where.number(b"/a/deep"), 1]), b"none")
    return Harm(Kind.DIRECTORY_LINK, frozenset({b"/b/none"}))


@kind
def loop_of_directories(image: Image, where: Map, rng: random.Random) -> Harm:
    """/a/deep is taken out of /a and put into its own subdirectory."""
    image.put_slot(where.slot(b"/a/deep"), 0, b"")
    image.put_slot(where.slot(b"/a/deep/small0"), where.number(b"/a/deep"), b"loop")
    return Harm(Kind.ORPHAN, where.within(b"/a/deep"))


@kind
def directory_without_a_name(image: Image, where: Map, rng: random.Random) -> Harm:
    image.put_slot(where.slot(b"/b/deep"), 0, b"")
    return Harm(Kind.ORPHAN, where.within(b"/b/deep"))


@kind
def file_without_a_name(image: Image, where: Map, rng: random.Random) -> Harm:
    path = rng.choice([where.file(), b"/a/none", b"/fifo"])
    image.put_slot(where.slot(path), 0, b"")
    return Harm(Kind.ORPHAN, frozenset({path}))


@kind
def root_without_zones(image: Image, where: Map, rng: random.Random) -> Harm:
    """Whatever the root named is lost and found."""
    set_zone(image, 1, 0, 0)
    return Harm(Kind.BAD_SIZE, frozenset(where.places))
