"""The list of files that were being deleted or shortened when the volume was last used."""

from __future__ import annotations

from minixfs.fsck.ext2.context import Context
from minixfs.fsck.ext2.inodes import MAPPED_TYPES
from minixfs.fsck.ext2.kinds import Kind
from minixfs.fsck.mapping import FileMap
from minixfs.fsck.report import Finding


async def check_orphans(context: Context) -> None:
    """Finish what the list tells of: files without links are freed, others cut to their size."""
    superblock, table = context.superblock, context.table
    if not superblock.last_orphan:
        return
    if not context.judge.found(Finding(Kind.ORPHAN_LIST, "files were being deleted when the volume was last used")):
        return
    number, seen = superblock.last_orphan, set[int]()
    superblock.last_orphan = 0
    while superblock.first_inode <= number <= superblock.inodes and number not in seen:
        seen.add(number)
        row = table.reserved_row(number)
        if row < 0 or not table.columns["i_mode"][row]:
            return
        following = int(table.columns["i_dtime"][row])
        if not table.columns["i_links_count"][row]:
            table.free(row)
        else:
            table.put(row, "i_dtime", 0)
            if table.type[row] in MAPPED_TYPES and not table.fast_symlinks[row]:
                size = int(table.size[row])
                await FileMap(context, row).cut(-(-size // superblock.block_size))
        number = following
