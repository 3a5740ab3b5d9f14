"""Checks and repairs ext2 volumes, and ext3 ones whose journal is empty (specification: file systems, 3.10, 7.4).

`check(device, policy)` is the entry point; it returns a `Report`. The passes, in order: `types` (inodes one by one),
`reserved`, `xattr` (attribute blocks), `claims` (blocks outside the volume or claimed twice), `sizes`, `directories`
(each in itself), `tree` (reachability, link counts), `maps`. They work on whole tables as numpy arrays and go down to
single objects only for what is faulty. Every repair is made in memory; the passes repeat until they find nothing more,
so what is written at the end is a sound volume.

What counts as a fault, and which faults `PREEN` repairs, is what e2fsck says about the same volume.
"""

from minixfs.fsck.ext2.check import MEMORY_LIMIT, PREEN, check, is_clean
from minixfs.fsck.ext2.kinds import HARMLESS, Kind
from minixfs.fsck.ext2.superblock import Place, recognise, recognise_copy

__all__ = ["HARMLESS", "MEMORY_LIMIT", "PREEN", "Kind", "Place", "check", "is_clean", "recognise", "recognise_copy"]
