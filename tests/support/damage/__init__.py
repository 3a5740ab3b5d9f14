"""Damage to MFS images, one function for each kind, all driven by a seeded generator.

`KINDS` maps a name to a function that harms an `Image` made by `populated`; it returns a `Harm`: which finding the
checker must report, and which paths may differ after a repair. Everything else must be there as before. Paths and inode
numbers come from a `Map` made before the first damage, so that kinds can be combined. `ROOT_KINDS` hurt the root
directory, `SUPERBLOCK_KINDS` the superblock: both at once can be beyond repair.
"""

from tests.support.damage import directories, inodes, maps, superblock, zones
from tests.support.damage.base import KINDS, Damage, Harm, Map

SUPERBLOCK_KINDS = frozenset(name for name in KINDS if name.startswith("superblock_"))
ROOT_KINDS = frozenset({"root_not_a_directory", "dot_of_the_root", "root_without_zones"})

__all__ = [
    "KINDS",
    "ROOT_KINDS",
    "SUPERBLOCK_KINDS",
    "Damage",
    "Harm",
    "Map",
    "directories",
    "inodes",
    "maps",
    "superblock",
    "zones",
]
