"""How many buffers a mount's block cache has (specification: file systems, 4.6)."""

from __future__ import annotations

from math import isqrt

from minixfs.vm.pool import PAGE_SIZE

MIN_BUFFERS = 10
REEVALUATE_KB = 10240
"""Net change of block usage (KiB) after which the size is worked out anew."""
RESIZE_PERCENT = 10
"""A new size that differs by no more than this is not worth a resize."""


def buffers_for(total_blocks: int, free_blocks: int, block_size: int, available_pages: int) -> int:
    """Buffers for a volume with this usage, when `available_pages` pages are free or hold evictable cached data."""
    kb_used = (total_blocks - free_blocks) * block_size // 1024
    kb_total = total_blocks * block_size // 1024
    kb_fs = min(40 * isqrt(max(kb_used, 0)), kb_total // 2)
    kb_memory = available_pages * PAGE_SIZE // 1024
    return max(MIN_BUFFERS, min(kb_memory // 10, kb_fs) * 1024 // block_size)


def worth_resizing(current: int, wanted: int) -> bool:
    return abs(wanted - current) * 100 // current > RESIZE_PERCENT
