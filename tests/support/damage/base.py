"""What kinds of damage are made of: `kind` registers one, `Map` knows where things were, `Harm` what comes of it."""

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

    def some(self, type_bits: int, below: bytes = b"/") -> bytes:
        """A random path of that type with one name."""
        numbers = [number for _, number in self.places.values()]
        return self.rng.choice(
            [
                path
                for path, (_, number) in self.places.items()
                if self.types[path] == type_bits and path.startswith(below) and numbers.count(number) == 1
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


def kind(function: Damage) -> Damage:
    """Register a kind of damage under its name."""
    KINDS[function.__name__] = function
    return function


def beyond(image: Image, rng: random.Random) -> int:
    """A zone number that is none."""
    limit = 0xFFFF if image.superblock.variant.version == 1 else 0xFFFFFFFF
    return rng.choice([1, image.superblock.first_data_zone - 1, image.superblock.zones, limit])


def change(image: Image, number: int, **fields: int) -> None:
    """Set fields of an inode."""
    inode = image.inode(number)
    inode.fields |= fields
    image.put_inode(inode)


def set_zone(image: Image, number: int, slot: int, zone: int) -> None:
    """Set one zone field of an inode."""
    inode = image.inode(number)
    inode.zones[slot] = zone
    image.put_inode(inode)
