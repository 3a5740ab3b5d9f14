"""The search trees of directories (htree): whether one is as it should be (specification: file systems, 3.7)."""

from __future__ import annotations

from minixfs.fsck.ext2.context import Context


async def index_fault(context: Context, row: int) -> str | None:
    """What is wrong with the search tree of the directory in `row`; None: nothing."""
    return None
