"""The directory tree as a whole: one parent for each directory, everything reachable, links counted.

Walking down from the root, each directory belongs to the first directory that names it, except that the one that its
``..`` names goes first; all other names of it are removed. What is then not reachable is attached to ``lost+found``
under its inode number, highest directory first; so a loop is cut at its lowest inode. Files without data are freed
instead.
"""

from __future__ import annotations

import stat
from collections import Counter, deque

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.ext2 import layout
from minixfs.fsck.entries import NameKind
from minixfs.fsck.ext2.context import Context
from minixfs.fsck.ext2.directory import Directory
from minixfs.fsck.ext2.entries import Ext2Entries, name_rows
from minixfs.fsck.ext2.kinds import Kind
from minixfs.fsck.rows import lead_to

LOST_AND_FOUND = b"lost+found"
_LINKS_MAX = 65000
"""The most links that a checker lets an inode have; mounts allow fewer."""


async def check_tree(context: Context, entries: Ext2Entries) -> None:
    """Repair what connects inodes. `entries` are those of all directories, already sound in themselves."""
    row = context.table.row(layout.ROOT_INODE)
    if row < 0 or context.table.type[row] != stat.S_IFDIR:  # its repair was declined
        return
    context.volume.begin(3, "tree")
    await _Tree(context, entries, row).check()


class _Tree:
    """The tree under repair.

    `_target` is the row that each entry names (-1: none), `_gone` says which entries have been removed, `_parent` maps
    a directory's row to its parent's (-1: left without one), `_added` counts names that were made.
    """

    def __init__(self, context: Context, entries: Ext2Entries, root: int) -> None:
        self._context = context
        self._entries = entries
        self._root = root
        self._target = context.table.rows_for(entries.inodes)
        self._gone = self._target < 0
        self._dots = (entries.kind == NameKind.DOT) | (entries.kind == NameKind.DOTDOT)
        self._parent: dict[int, int] = {root: root}
        self._added: Counter[int] = Counter()
        self._home: Directory | None = None
        self._home_row = -1
        self._names: set[bytes] = set()

    async def check(self) -> None:
        if not self._is_sound():
            await self._connect()
        await self._attach_files()
        await self._check_counts()

    # ---- directories -----------------------------------------------------------------------------------------------

    def _is_sound(self) -> bool:
        """Whether every directory has one name, its ``..`` agrees with it, and all lead to the root."""
        table, entries = self._context.table, self._entries
        rows = table.rows_of_type(stat.S_IFDIR)
        links = self._directory_links()
        parent = np.full(len(table.numbers), -1, np.int64)
        parent[self._target[links]] = entries.rows[links]
        parent[self._root] = self._root
        if len(links) != len(rows) - 1 or (parent[rows] < 0).any():
            return False
        wanted = self._wanted_parents()
        if (wanted[rows] != parent[rows]).any():
            return False
        return lead_to(self._root, parent, rows)

    def _directory_links(self) -> NDArray[np.int64]:
        """The entries that name directories, without ``.`` and ``..``."""
        is_directory = (self._context.table.type == stat.S_IFDIR)[self._target]
        return np.flatnonzero(is_directory & ~self._dots & ~self._gone)

    def _wanted_parents(self) -> NDArray[np.int64]:
        """The row that the ``..`` of each row names; -1: none."""
        wanted = np.full(len(self._context.table.numbers), -1, np.int64)
        dotdot = self._entries.kind == NameKind.DOTDOT
        wanted[self._entries.rows[dotdot]] = self._target[dotdot]
        return wanted

    async def _connect(self) -> None:
        """Give every directory its one place in the tree."""
        context, table = self._context, self._context.table
        links: dict[int, list[int]] = {}
        for link in self._directory_links().tolist():
            links.setdefault(int(self._entries.rows[link]), []).append(link)
        wanted = self._wanted_parents()
        await self._descend(self._root, links, wanted)
        named = {int(self._target[link]) for found in links.values() for link in found}
        lost = [row for row in table.rows_of_type(stat.S_IFDIR).tolist() if row not in self._parent]
        lost.sort(key=lambda row: (row in named, int(table.numbers[row])))
        await name_rows(context, np.array(lost, np.int64))
        for row in lost:
            if row not in self._parent:
                await self._attach_directory(row, links, wanted)
        await self._check_dotdots()

    async def _descend(self, top: int, links: dict[int, list[int]], wanted: NDArray[np.int64]) -> None:
        """Give every directory below `top` its parent; remove the names that it has besides."""
        queue, later, used = deque([top]), deque[int](), set[int]()
        visited: list[int] = []
        while queue or later:
            if not queue:
                link = later.popleft()
                child = int(self._target[link])
                if child not in self._parent:
                    self._parent[child] = int(self._entries.rows[link])
                    used.add(link)
                    queue.append(child)
                continue
            row = queue.popleft()
            visited.append(row)
            for link in links.get(row, ()):
                child = int(self._target[link])
                if child in self._parent:
                    continue
                if wanted[child] == row:
                    self._parent[child] = row
                    used.add(link)
                    queue.append(child)
                else:
                    later.append(link)
        for row in visited:
            for link in links.get(row, ()):
                if link not in used:
                    await self._remove(link, Kind.DIRECTORY_LINK, "is one more name of a directory")

    async def _remove(self, link: int, kind: Kind, what: str) -> None:
        context, row = self._context, int(self._entries.rows[link])
        position = int(self._entries.position[link])
        await name_rows(context, np.array([row]))
        name = await context.entry_name(int(self._entries.block[link]), position)
        if context.found(kind, int(context.table.numbers[row]), what, name=name):
            directory = await Directory.open(context, row)
            for entry in await directory.entries():
                if entry.position == position:
                    await directory.clear(entry)
            self._gone[link] = True

    async def _attach_directory(self, row: int, links: dict[int, list[int]], wanted: NDArray[np.int64]) -> None:
        context = self._context
        number = int(context.table.numbers[row])
        self._parent[row] = -1
        if context.found(Kind.UNREACHABLE, number, "a directory without a name, goes to lost+found"):
            home = await self._attach(row)
            if home is None:
                context.judge.failed("but there is no room for it")
            else:
                self._parent[row] = home
        await self._descend(row, links, wanted)

    async def _check_dotdots(self) -> None:
        """Make every ``..`` name the parent."""
        context, table, entries = self._context, self._context.table, self._entries
        wanted = self._wanted_parents()
        for row, parent in list(self._parent.items()):
            if parent < 0 or (row < len(wanted) and wanted[row] == parent):
                continue
            await name_rows(context, np.array([row]))
            number, should = int(table.numbers[row]), int(table.numbers[parent])
            directory = await Directory.open(context, row)
            for entry in (await directory.entries())[:2]:
                if entry.name == b".." and entry.inode != should:
                    what = f"'..' names inode {entry.inode}, should be {should}"
                    if context.found(Kind.DOTDOT, number, what):
                        await directory.replace(entry, should, b"..")
                        mine = (entries.rows == row) & (entries.kind == NameKind.DOTDOT)
                        self._gone[mine] = True
                        self._added[parent] += 1

    # ---- lost+found ------------------------------------------------------------------------------------------------

    async def _attach(self, row: int) -> int | None:
        """Give the inode in `row` a name in lost+found; return the row of the directory, None if there is no room."""
        home = self._home or await self._find_home()
        number = int(self._context.table.numbers[row])
        name = b"#%d" % number
        while name in self._names:
            name += b"_"
        if not await home.add(number, name):
            return None
        self._names.add(name)
        self._added[row] += 1
        if self._context.table.type[row] == stat.S_IFDIR:
            self._raise_links(self._home_row, 1)
        return self._home_row

    def _raise_links(self, row: int, by: int) -> None:
        """Count links that were just made, so that they are not found missing later."""
        table = self._context.table
        table.put(row, "i_links_count", min(int(table.columns["i_links_count"][row]) + by, 0xFFFF))

    async def _find_home(self) -> Directory:
        """The directory for what is found: lost+found in the root, made if need be; else the root itself."""
        context, table = self._context, self._context.table
        top = await Directory.open(context, self._root)
        found = [entry.inode for entry in await top.entries() if entry.inode and entry.name == LOST_AND_FOUND]
        row = table.row(found[0]) if found else await self._make_home(top)
        if row < 0 or table.type[row] != stat.S_IFDIR:
            row = self._root
        self._home_row = row
        self._home = await Directory.open(context, row)
        self._names = {entry.name for entry in await self._home.entries()}
        return self._home

    async def _make_home(self, top: Directory) -> int:
        """A fresh lost+found in the root directory; -1 if there is no room."""
        context, table = self._context, self._context.table
        number = table.free_number()
        if number is None:
            return -1
        row = table.add(number, stat.S_IFDIR | 0o700)
        if row == len(context.end):
            context.end, context.count = np.append(context.end, 0), np.append(context.count, 0)
        table.put(row, "i_links_count", 2)
        home = await Directory.open(context, row)
        if not await home.fill_hole(0) or not await top.add(number, LOST_AND_FOUND):
            table.free(row)
            return -1
        size = context.superblock.block_size
        await home.put_dots(number, layout.ROOT_INODE, size)
        table.set_size(row, size)
        table.put(row, "i_blocks", size // layout.SECTOR)
        context.end[row] = context.count[row] = 1
        context.paths[number] = b"/" + LOST_AND_FOUND
        self._parent[row] = self._root
        self._added[row] += 2
        self._added[self._root] += 1
        self._raise_links(self._root, 1)
        return row

    # ---- links -----------------------------------------------------------------------------------------------------

    def _counts(self) -> NDArray[np.int64]:
        """How many names each row has."""
        targets = self._target[~self._gone] if self._gone.any() else self._target
        counts = np.bincount(targets, minlength=len(self._context.table.numbers))
        for row, added in self._added.items():
            counts[row] += added
        return counts

    async def _attach_files(self) -> None:
        """See to inodes in use, other than directories, that no directory names."""
        context, table = self._context, self._context.table
        lost = np.flatnonzero((self._counts() == 0) & table.ordinary & (table.type != stat.S_IFDIR))
        for row in lost.tolist():
            number = int(table.numbers[row])
            if table.columns["i_blocks"][row] == 0 and table.size[row] == 0:
                if context.found(Kind.UNUSED, number, "a file without name or data, is freed"):
                    table.free(row)
            elif not context.found(Kind.UNREACHABLE, number, "a file without a name, goes to lost+found"):
                continue
            elif await self._attach(row) is None:
                context.judge.failed("but there is no room for it")

    async def _check_counts(self) -> None:
        """Make link counts what they should be; take names away where the count has no room for them."""
        context, table = self._context, self._context.table
        counts = self._counts()
        crowded = np.flatnonzero((counts > _LINKS_MAX) & (table.type != stat.S_IFDIR))
        for row in crowded.tolist():
            links = np.flatnonzero((self._target == row) & ~self._gone)
            for link in links[_LINKS_MAX:].tolist():
                await self._remove(link, Kind.DIRECTORY_LINK, f"is more than link {_LINKS_MAX} of a file")
        if len(crowded):
            counts = self._counts()
        directory = table.type == stat.S_IFDIR
        many = bool(context.superblock.ro_compat & layout.RO_COMPAT_DIR_NLINK)
        stored = table.columns["i_links_count"]
        should = np.where(directory & (counts > _LINKS_MAX), 1, counts)
        wrong = np.flatnonzero((should != stored) & (should > 0) & table.ordinary & ~(directory & many & (stored == 1)))
        await name_rows(context, wrong)
        for row in wrong.tolist():
            what = f"{stored[row]} links, should be {should[row]}"
            if context.found(Kind.LINK_COUNT, int(table.numbers[row]), what):
                table.put(row, "i_links_count", int(should[row]))
