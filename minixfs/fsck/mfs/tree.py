"""The directory tree as a whole: one parent for each directory, everything reachable, links counted.

Walking down from the root, each directory belongs to the first directory that names it, except that the one
that its ``..`` names goes first; all other names of it are removed. What is then not reachable is attached
to ``lost+found`` under its inode number, highest directory first; so a loop is cut at its lowest inode.
Files without data and files that were being deleted (no links) are freed instead.
"""

from __future__ import annotations

import stat
from collections import Counter, deque

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.mfs.layout import ROOT_INODE
from minixfs.fsck.entries import Entries, NameKind
from minixfs.fsck.mfs.context import Context, Kind
from minixfs.fsck.mfs.directory import Directory
from minixfs.fsck.mfs.names import name_rows
from minixfs.fsck.rows import lead_to

LOST_AND_FOUND = b"lost+found"


async def check_tree(context: Context, entries: Entries) -> None:
    """Repair what connects inodes. `entries` are those of all directories, already sound in themselves."""
    if context.table.row(ROOT_INODE) < 0:  # its repair was declined
        return
    context.volume.begin(4, "tree")
    await _Tree(context, entries).check()


class _Tree:
    """The tree under repair.

    `_target` is the row that each entry names (-1: none), `_gone` says which entries have been removed,
    `_parent` maps a directory's row to its parent's (-1: left without one), `_added` counts names that were
    made, `_freed` holds directories that were given up with their entries.
    """

    def __init__(self, context: Context, entries: Entries) -> None:
        self._context = context
        self._entries = entries
        self._target = context.table.rows_for(entries.inodes)
        self._gone = self._target < 0
        self._dots = (entries.kind == NameKind.DOT) | (entries.kind == NameKind.DOTDOT)
        self._parent: dict[int, int] = {}
        self._wanted = self._wanted_parents()
        self._added: Counter[int] = Counter()
        self._freed: set[int] = set()
        self._home: Directory | None = None
        self._home_row = -1
        self._names: set[bytes] = set()

    async def check(self) -> None:
        if not self._is_sound():
            await self._connect()
        await self._attach_files()
        await self._check_counts()

    # ---- directories --------------------------------------------------------------------------------------

    def _is_sound(self) -> bool:
        """Whether every directory has one name, no ``..`` contradicts it, and all lead to the root."""
        table, entries = self._context.table, self._entries
        rows, root = table.rows_of_type(stat.S_IFDIR), table.row(ROOT_INODE)
        links = self._directory_links()
        parent = np.full(len(table.numbers), -1, np.int64)
        parent[self._target[links]] = entries.rows[links]
        parent[root] = root
        if len(links) != len(rows) - 1 or (parent[rows] < 0).any():
            return False
        dotdot = np.flatnonzero((entries.kind == NameKind.DOTDOT) & ~self._gone)
        if (self._target[dotdot] != parent[entries.rows[dotdot]]).any():
            return False
        return lead_to(root, parent, rows)

    async def _connect(self) -> None:
        """Give every directory its one place in the tree."""
        context, table = self._context, self._context.table
        root = table.row(ROOT_INODE)
        links: dict[int, list[int]] = {}
        for link in self._directory_links().tolist():
            links.setdefault(int(self._entries.rows[link]), []).append(link)
        self._parent[root] = root
        await self._descend(root, links)
        named = {int(self._target[link]) for found in links.values() for link in found}
        lost = [row for row in table.rows_of_type(stat.S_IFDIR).tolist() if row not in self._parent]
        lost.sort(key=lambda row: (row in named, int(table.numbers[row])))
        await name_rows(context, np.array(lost, np.int64))
        inside = self._entries.rows[~self._dots & ~self._gone]
        occupied = np.bincount(inside, minlength=len(table.numbers))
        for row in lost:
            if row not in self._parent:
                await self._attach_directory(row, links, empty=occupied[row] == 0)
        await self._check_dotdots()

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

    async def _descend(self, top: int, links: dict[int, list[int]]) -> None:
        """Give every directory below `top` its parent; remove the names that it has besides."""
        wanted = self._wanted
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
            await (await Directory.open(context, row)).put(position, 0, b"")
            self._gone[link] = True

    async def _attach_directory(self, row: int, links: dict[int, list[int]], empty: bool) -> None:
        context, table = self._context, self._context.table
        number = int(table.numbers[row])
        if empty and (table.nlinks[row] == 0 or context.end[row] == 0):
            if context.found(Kind.ORPHAN, number, "an empty directory without a name, is freed"):
                table.free(row)
                self._freed.add(row)
            return
        if context.found(Kind.ORPHAN, number, "a directory without a name, goes to lost+found"):
            home = await self._attach(row)
            if home is None:
                context.judge.failed("but there is no room for it")
                return
            self._parent[row] = home
        else:
            self._parent[row] = -1
        await self._descend(row, links)

    async def _check_dotdots(self) -> None:
        """Make every ``..`` name the parent."""
        context, table, entries = self._context, self._context.table, self._entries
        parents = np.full(len(table.numbers), -1, np.int64)
        parents[list(self._parent)] = list(self._parent.values())
        parent = parents[entries.rows]
        wrong = (entries.kind == NameKind.DOTDOT) & ~self._gone & (parent >= 0) & (parent != self._target)
        await name_rows(context, entries.rows[wrong])
        for link in np.flatnonzero(wrong).tolist():
            row, should = int(entries.rows[link]), int(table.numbers[parent[link]])
            what = f"'..' names inode {entries.inodes[link]}, should be {should}"
            if context.found(Kind.DOTDOT, int(table.numbers[row]), what):
                await (await Directory.open(context, row)).put(int(entries.position[link]), should, b"..")
                self._target[link] = parent[link]

    # ---- lost+found ---------------------------------------------------------------------------------------

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
        self._context.table.nlinks[row] += by
        self._context.table.changed[row] = True

    async def _find_home(self) -> Directory:
        """The directory for what is found: lost+found in the root, made if need be; else the root itself."""
        root = self._context.table.row(ROOT_INODE)
        top = await Directory.open(self._context, root)
        found = [entry.inode for entry in await top.entries() if entry.name == LOST_AND_FOUND]
        row = self._context.table.row(found[0]) if found else await self._make_home(root, top)
        if row < 0 or self._context.table.type[row] != stat.S_IFDIR or row in self._freed:
            row = root
        self._home_row = row
        self._home = await Directory.open(self._context, row)
        self._names = {entry.name for entry in await self._home.entries()}
        return self._home

    async def _make_home(self, root: int, top: Directory) -> int:
        """A fresh lost+found in the root directory; -1 if there is no room."""
        context, table = self._context, self._context.table
        number = table.free_number()
        if number is None:
            return -1
        row = table.add(number, stat.S_IFDIR | 0o700)
        if row == len(context.end):
            context.end = np.append(context.end, 0)
        home = await Directory.open(context, row)
        if not await home.reserve(2) or not await top.add(number, LOST_AND_FOUND):
            table.free(row)
            return -1
        await home.put(0, number, b".")
        await home.put(1, ROOT_INODE, b"..")
        context.end[row] = home.zone_count
        context.paths[number] = b"/" + LOST_AND_FOUND
        self._added[row] += 2
        self._added[root] += 1
        self._raise_links(row, 2)
        self._raise_links(root, 1)
        return row

    # ---- links --------------------------------------------------------------------------------------------

    def _counts(self) -> NDArray[np.int64]:
        """How many names each row has."""
        live = ~self._gone
        if self._freed:
            live &= ~np.isin(self._entries.rows, list(self._freed))
        targets = self._target if live.all() else self._target[live]
        counts = np.bincount(targets, minlength=len(self._context.table.numbers))
        for row, added in self._added.items():
            counts[row] += added
        return counts

    async def _attach_files(self) -> None:
        """See to inodes in use, other than directories, that no directory names."""
        context, table = self._context, self._context.table
        counts = self._counts()
        lost = np.flatnonzero((counts == 0) & (table.mode != 0) & (table.type != stat.S_IFDIR))
        for row in lost.tolist():
            number = int(table.numbers[row])
            if context.is_bad_blocks(row):
                continue
            if table.nlinks[row] == 0 or row >= len(context.end) or context.end[row] == 0:
                if context.found(Kind.ORPHAN, number, "a file without name or data, is freed"):
                    table.free(row)
            elif not context.found(Kind.ORPHAN, number, "a file without a name, goes to lost+found"):
                continue
            elif await self._attach(row) is None:
                context.judge.failed("but there is no room for it")

    async def _check_counts(self) -> None:
        """Make link counts what they should be; take names away where the count has no room for them."""
        context, table = self._context, self._context.table
        most = 0xFF if context.superblock.variant.version == 1 else 0xFFFF
        counts = self._counts()
        crowded = np.flatnonzero((counts > most) & (table.type != stat.S_IFDIR))
        for row in crowded.tolist():
            links = np.flatnonzero((self._target == row) & ~self._gone)
            for link in links[most:].tolist():
                await self._remove(link, Kind.TOO_MANY_LINKS, f"is more than link {most} of a file")
        if len(crowded):
            counts = self._counts()
        should = np.minimum(counts, most)
        wrong = np.flatnonzero((should != table.nlinks) & (should > 0) & (table.mode != 0))
        await name_rows(context, wrong)
        for row in wrong.tolist():
            if context.is_bad_blocks(row):
                continue
            what = f"{table.nlinks[row]} links, should be {should[row]}"
            if context.found(Kind.LINK_COUNT, int(table.numbers[row]), what):
                table.nlinks[row] = should[row]
                table.changed[row] = True
