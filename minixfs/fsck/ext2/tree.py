"""The directory tree of an ext2 volume: see `minixfs.fsck.tree`."""

from __future__ import annotations

import stat

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.ext2 import layout
from minixfs.fsck import tree
from minixfs.fsck.entries import NameKind
from minixfs.fsck.ext2.context import Context
from minixfs.fsck.ext2.directory import Directory
from minixfs.fsck.ext2.entries import Ext2Entries, name_rows
from minixfs.fsck.ext2.kinds import Kind

_LINKS_MAX = 65000
"""The most links that a checker lets an inode have; mounts allow fewer."""


async def check_tree(context: Context, entries: Ext2Entries) -> None:
    """Repair what connects inodes. `entries` are those of all directories, already sound in themselves."""
    row = context.table.row(layout.ROOT_INODE)
    if row < 0 or context.table.type[row] != stat.S_IFDIR:  # its repair was declined
        return
    context.volume.begin(3, "tree")
    await _Tree(context, entries, row, _LINKS_MAX).check()


class _Tree(tree.Tree):
    DIRECTORY_LINK = CROWDED = Kind.DIRECTORY_LINK
    UNREACHABLE = Kind.UNREACHABLE
    UNUSED = Kind.UNUSED
    LINK_COUNT = Kind.LINK_COUNT

    _context: Context

    async def _name_rows(self, rows: NDArray[np.int64]) -> None:
        await name_rows(self._context, rows)

    async def _open(self, row: int) -> Directory:
        return await Directory.open(self._context, row)

    def _dotdots_agree(self, parent: NDArray[np.int64], rows: NDArray[np.int64]) -> bool:
        return bool((self._wanted[rows] == parent[rows]).all())

    async def _check_dotdots(self) -> None:
        entries, numbers = self._entries, self._context.table.numbers
        for row, parent in list(self._parent.items()):
            if parent < 0 or self._wanted[row] == parent:
                continue
            await self._name_rows(np.array([row]))
            should = int(numbers[parent])
            directory = await self._open(row)
            for entry in (await directory.entries())[:2]:
                if entry.name == b".." and entry.inode != should:
                    what = f"'..' names inode {entry.inode}, should be {should}"
                    if self._found(Kind.DOTDOT, row, what):
                        await directory.replace(entry, should, b"..")
                        self._gone[(entries.rows == row) & (entries.kind == NameKind.DOTDOT)] = True
                        self._added[parent] += 1

    async def _make_home(self, top: tree.Directory, number: int) -> int:
        context, table = self._context, self._context.table
        row = table.add(number, stat.S_IFDIR | 0o700)
        if row == len(context.end):
            context.end, context.count = np.append(context.end, 0), np.append(context.count, 0)
        table.set_links(row, 2)
        home = await self._open(row)
        if not await home.fill_hole(0) or not await top.add(number, tree.LOST_AND_FOUND):
            table.free(row)
            return -1
        size = context.superblock.block_size
        await home.put_dots(number, layout.ROOT_INODE, size)
        table.set_size(row, size)
        table.put(row, "i_blocks", size // layout.SECTOR)
        context.end[row] = context.count[row] = 1
        return row

    def _is_unused(self, row: int) -> bool:
        table = self._context.table
        return bool(table.columns["i_blocks"][row] == 0 and table.size[row] == 0)

    def _right_counts(self, names: NDArray[np.int64]) -> NDArray[np.int64]:
        """1 stands for too many to count, if the volume has that feature also where they have become fewer since."""
        table = self._context.table
        many = names > _LINKS_MAX
        if self._context.superblock.ro_compat & layout.RO_COMPAT_DIR_NLINK:
            many |= table.links == 1
        return np.where(many & (table.type == stat.S_IFDIR), 1, names)
