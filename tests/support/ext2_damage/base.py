"""What all kinds of damage to ext2 images have in common."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.support.ext2_damage.image import Ext2Image

Damage = Callable[[Ext2Image, random.Random], set[bytes]]
KINDS: dict[str, Damage] = {}


def kind(function: Damage) -> Damage:
    KINDS[function.__name__.strip("_")] = function
    return function


def within(image: Ext2Image, path: bytes) -> set[bytes]:
    """`path` and everything below it."""
    return {other for other in image.contents() if other == path or other.startswith(path + b"/")}


def any_file(rng: random.Random) -> bytes:
    """Some file that has data, and but one name."""
    return rng.choice([b"/big", b"/a/big", b"/a/b/c/deep", *(b"/file%d" % number for number in (0, *range(5, 12)))])
