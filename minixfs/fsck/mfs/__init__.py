"""Checks and repairs MFS volumes of all variants (specification: file systems, 7.3, 10.4).

`check(device, policy)` is the entry point; it returns a `Report`. The passes, in order: `types` (inodes one
by one), `zones` (claims outside the volume or made twice), `sizes`, `directories` (each in itself), `tree`
(reachability, link counts), `maps`. They work on whole tables as numpy arrays and go down to single objects
only for what is faulty. Every repair is made in memory; the passes repeat until they find nothing more, so
what is written at the end is a sound volume.
"""

from minixfs.fsck.mfs.check import MEMORY_LIMIT, check, is_clean
from minixfs.fsck.mfs.context import Kind

__all__ = ["MEMORY_LIMIT", "Kind", "check", "is_clean"]
