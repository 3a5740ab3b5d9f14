"""Damage to ext2 images, one function for each kind, driven by a seeded generator.

`KINDS` maps a name to a function that harms an `Ext2Image`; it returns the paths that may differ after a repair.
Everything else must be there as before.
"""

from tests.support.ext2_damage import inodes, directories, metadata  # isort: skip  # the order of the kinds
from tests.support.ext2_damage.base import KINDS, Damage
from tests.support.ext2_damage.image import SHAPES, Ext2Image, e2fsck, populated

__all__ = ["KINDS", "SHAPES", "Damage", "Ext2Image", "directories", "e2fsck", "inodes", "metadata", "populated"]
