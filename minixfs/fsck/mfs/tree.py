"""The directory tree of an MFS volume: see `minixfs.fsck.tree`. What was being deleted (no links) is freed too."""

from __future__ import annotations

import stat

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.mfs.layout import ROOT_INODE
from minixfs.fsck import tree
from minixfs.fsck.entries import Entries, NameKind
from minixfs.fsck.mfs.context import Context, Kind
from minixfs.fsck.mfs.directory import Directory
from minixfs.fsck.mfs.names import name_rows


async def check_tree(context: Context, entries: Entries) -> None:
    """Repair what connects inodes. `entries` are those of all directories, already sound in themselves."""
    row = context.table.row(ROOT_INODE)
    if row < 0:  # its repair was declined
        return
    context.volume.begin(4, "tree")
    await _Tree(context, entries, row, 0xFF if context.superblock.variant.version == 1 else 0xFFFF).check()


class _Tree(tree.Tree):
    DIRECTORY_LINK = Kind.DIRECTORY_LINK
    CROWDED = Kind.TOO_MANY_LINKS
    UNREACHABLE = UNUSED = Kind.ORPHAN
    LINK_COUNT = Kind.LINK_COUNT

    _context: Context

    async def _name_rows(self, rows: NDArray[np.int64]) -> None:
        await name_rows(self._context, rows)

    async def _open(self, row: int) -> Directory:
        return await Directory.open(self._context, row)

    def _dotdots_agree(self, parent: NDArray[np.int64], rows: NDArray[np.int64]) -> bool:
        dotdot = np.flatnonzero((self._entries.kind == NameKind.DOTDOT) & ~self._gone)
        return bool((self._target[dotdot] == parent[self._entries.rows[dotdot]]).all())

    async def _attach_directory(self, row: int, links: dict[int, list[int]]) -> None:
        inside = slice(*np.searchsorted(self._entries.rows, [row, row + 1]))
        if (self._dots[inside] | self._gone[inside]).all() and self._is_unused(row):
            if self._found(Kind.ORPHAN, row, "an empty directory without a name, is freed"):
                self._context.table.free(row)
                self._gone[inside] = True
        elif not self._found(Kind.ORPHAN, row, "a directory without a name, goes to lost+found"):
            self._parent[row] = -1
            await self._descend(row, links)
        elif (home := await self._attach(row)) >= 0:
            self._parent[row] = home
            await self._descend(row, links)

    async def _check_dotdots(self) -> None:
        table, entries = self._context.table, self._entries
        parents = np.full(len(table.numbers), -1, np.int64)
        parents[list(self._parent)] = list(self._parent.values())
        parent = parents[entries.rows]
        wrong = (entries.kind == NameKind.DOTDOT) & ~self._gone & (parent >= 0) & (parent != self._target)
        await self._name_rows(entries.rows[wrong])
        for link in np.flatnonzero(wrong).tolist():
            row, should = int(entries.rows[link]), int(table.numbers[parent[link]])
            if self._found(Kind.DOTDOT, row, f"'..' names inode {entries.inodes[link]}, should be {should}"):
                await (await self._open(row)).put(int(entries.position[link]), should, b"..")
                self._target[link] = parent[link]

    async def _make_home(self, top: tree.Directory, number: int) -> int:
        context, table = self._context, self._context.table
        row = table.add(number, stat.S_IFDIR | 0o700)
        if row == len(context.end):
            context.end = np.append(context.end, 0)
        table.set_links(row, 2)
        home = await self._open(row)
        if not await home.reserve(2) or not await top.add(number, tree.LOST_AND_FOUND):
            table.free(row)
            return -1
        await home.put(0, number, b".")
        await home.put(1, ROOT_INODE, b"..")
        context.end[row] = home.zone_count
        return row

    def _is_unused(self, row: int) -> bool:
        context = self._context
        return bool(context.table.links[row] == 0 or row >= len(context.end) or context.end[row] == 0)

    def _right_counts(self, names: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.minimum(names, self._most)
