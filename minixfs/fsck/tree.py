"""The directory tree as a whole: one parent for each directory, everything reachable, links counted.

Walking down from the root, each directory belongs to the first directory that names it, except that the one that its
``..`` names goes first; all other names of it are removed. What is then not reachable is attached to ``lost+found``
under its inode number, highest directory first; so a loop is cut at its lowest inode. Files without data are freed
instead.
"""

from __future__ import annotations

import stat
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from minixfs.fsck.context import Context
from minixfs.fsck.entries import Entries, NameKind
from minixfs.fsck.rows import lead_to

LOST_AND_FOUND = b"lost+found"


class Entry(Protocol):
    """An entry of one directory."""

    @property
    def inode(self) -> int: ...

    @property
    def name(self) -> bytes: ...


class Directory(Protocol):
    """One directory, for changing it."""

    async def entries(self) -> Sequence[Entry]: ...

    async def add(self, inode: int, name: bytes) -> bool:
        """Put an entry where there is room; False if there is none."""

    async def clear(self, position: int) -> None:
        """Make the entry there unused."""


class Tree(ABC):
    """The tree under repair. Each format derives its own from it, which says by what words faults are called.

    `root` is the row of the root, `entries` are those of all directories, already sound in themselves; `most`: how many
    links an inode may have.

    `_target` is the row that each entry names (-1: none), `_wanted` the one that the ``..`` of each row names, `_gone`
    says which entries have been removed, `_parent` maps a directory's row to its parent's (-1: left without one),
    `_added` counts names that were made.
    """

    DIRECTORY_LINK: ClassVar[StrEnum]
    CROWDED: ClassVar[StrEnum]
    UNREACHABLE: ClassVar[StrEnum]
    UNUSED: ClassVar[StrEnum]
    LINK_COUNT: ClassVar[StrEnum]

    def __init__(self, context: Context, entries: Entries, root: int, most: int) -> None:
        self._context = context
        self._entries = entries
        self._root = root
        self._most = most
        self._target = context.table.rows_for(entries.inodes)
        self._gone = self._target < 0
        self._dots = (entries.kind == NameKind.DOT) | (entries.kind == NameKind.DOTDOT)
        self._parent: dict[int, int] = {root: root}
        self._wanted = self._wanted_parents()
        self._added: Counter[int] = Counter()
        self._home: Directory | None = None
        self._home_row = -1
        self._names: set[bytes] = set()

    async def check(self) -> None:
        """Repair what connects inodes."""
        if not self._is_sound():
            await self._connect()
        await self._attach_files()
        await self._check_counts()

    # ---- what depends on the format --------------------------------------------------------------------------------

    @abstractmethod
    async def _name_rows(self, rows: NDArray[np.int64]) -> None:
        """See to it that the paths of these inodes are known."""

    @abstractmethod
    async def _open(self, row: int) -> Directory: ...

    @abstractmethod
    def _dotdots_agree(self, parent: NDArray[np.int64], rows: NDArray[np.int64]) -> bool:
        """Whether the ``..`` of the directories `rows` name the `parent` of each row."""

    @abstractmethod
    async def _check_dotdots(self) -> None:
        """Make every ``..`` name the parent."""

    @abstractmethod
    def _is_unused(self, row: int) -> bool:
        """Whether a file without a name is worth nothing either."""

    @abstractmethod
    def _right_counts(self, names: NDArray[np.int64]) -> NDArray[np.int64]:
        """The link counts of rows with so many names."""

    @abstractmethod
    async def _make_home(self, top: Directory, number: int) -> int:
        """Make inode `number`, which is free, a lost+found in `top`; return its row, -1 if there is no room."""

    # ---- directories -----------------------------------------------------------------------------------------------

    def _is_sound(self) -> bool:
        """Whether every directory has one name, its ``..`` agrees with it, and all lead to the root."""
        table, entries = self._context.table, self._entries
        rows = table.rows_of_type(stat.S_IFDIR)
        links = self._directory_links()
        parent = np.full(len(table.numbers), -1, np.int64)
        parent[self._target[links]] = entries.rows[links]
        parent[self._root] = self._root
        if len(links) != len(rows) - 1 or (parent[rows] < 0).any() or not self._dotdots_agree(parent, rows):
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
        table = self._context.table
        links: dict[int, list[int]] = {}
        for link in self._directory_links().tolist():
            links.setdefault(int(self._entries.rows[link]), []).append(link)
        await self._descend(self._root, links)
        named = {int(self._target[link]) for found in links.values() for link in found}
        lost = [row for row in table.rows_of_type(stat.S_IFDIR).tolist() if row not in self._parent]
        lost.sort(key=lambda row: (row in named, int(table.numbers[row])))
        await self._name_rows(np.array(lost, np.int64))
        for row in lost:
            if row not in self._parent:
                await self._attach_directory(row, links)
        await self._check_dotdots()

    async def _descend(self, top: int, links: dict[int, list[int]]) -> None:
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
                if self._wanted[child] == row:
                    self._parent[child] = row
                    used.add(link)
                    queue.append(child)
                else:
                    later.append(link)
        for row in visited:
            for link in links.get(row, ()):
                if link not in used:
                    await self._remove(link, self.DIRECTORY_LINK, "is one more name of a directory")

    async def _remove(self, link: int, kind: StrEnum, what: str) -> None:
        row, position = int(self._entries.rows[link]), int(self._entries.position[link])
        await self._name_rows(np.array([row]))
        name = await self._context.entry_name(int(self._entries.block[link]), position)
        if self._found(kind, row, what, name):
            await (await self._open(row)).clear(position)
            self._gone[link] = True

    def _found(self, kind: StrEnum, row: int, what: str, name: bytes | None = None) -> bool:
        """Record a fault of the inode in `row`, or of its entry `name`; True: repair it."""
        return self._context.found(kind, int(self._context.table.numbers[row]), what, name=name)

    async def _attach_directory(self, row: int, links: dict[int, list[int]]) -> None:
        """See to a directory that nothing leads to, and to those below it."""
        self._parent[row] = -1
        if self._found(self.UNREACHABLE, row, "a directory without a name, goes to lost+found"):
            self._parent[row] = await self._attach(row)
        await self._descend(row, links)

    # ---- lost+found ------------------------------------------------------------------------------------------------

    async def _attach(self, row: int) -> int:
        """Give the inode in `row`, which was just found, a name in lost+found; return the row of the directory, -1 if
        there is no room."""
        home = self._home or await self._find_home()
        number = int(self._context.table.numbers[row])
        name = b"#%d" % number
        while name in self._names:
            name += b"_"
        if not await home.add(number, name):
            self._context.judge.failed("but there is no room for it")
            return -1
        self._names.add(name)
        self._added[row] += 1
        if self._context.table.type[row] == stat.S_IFDIR:
            self._raise_links(self._home_row)
        return self._home_row

    def _raise_links(self, row: int) -> None:
        """Count a link that was just made, so that it is not found missing later."""
        table = self._context.table
        table.set_links(row, int(table.links[row]) + 1)

    async def _find_home(self) -> Directory:
        """The directory for what is found: lost+found in the root, made if need be; else the root itself."""
        table, top = self._context.table, await self._open(self._root)
        found = [entry.inode for entry in await top.entries() if entry.inode and entry.name == LOST_AND_FOUND]
        row = table.row(found[0]) if found else await self._add_home(top)
        if row < 0 or table.type[row] != stat.S_IFDIR:
            row = self._root
        self._home_row = row
        self._home = await self._open(row)
        self._names = {entry.name for entry in await self._home.entries()}
        return self._home

    async def _add_home(self, top: Directory) -> int:
        number = self._context.table.free_number()
        row = -1 if number is None else await self._make_home(top, number)
        if number is not None and row >= 0:
            self._context.paths[number] = b"/" + LOST_AND_FOUND
            self._added[row] += 2
            self._added[self._root] += 1
            self._raise_links(self._root)
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
        table = self._context.table
        lost = np.flatnonzero((self._counts() == 0) & table.ordinary & (table.type != stat.S_IFDIR))
        for row in lost.tolist():
            if self._is_unused(row):
                if self._found(self.UNUSED, row, "a file without name or data, is freed"):
                    table.free(row)
            elif self._found(self.UNREACHABLE, row, "a file without a name, goes to lost+found"):
                await self._attach(row)

    async def _check_counts(self) -> None:
        """Make link counts what they should be; take names away where the count has no room for them."""
        table, most = self._context.table, self._most
        counts = self._counts()
        crowded = np.flatnonzero((counts > most) & (table.type != stat.S_IFDIR))
        for row in crowded.tolist():
            links = np.flatnonzero((self._target == row) & ~self._gone)
            for link in links[most:].tolist():
                await self._remove(link, self.CROWDED, f"is more than link {most} of a file")
        if len(crowded):
            counts = self._counts()
        should = self._right_counts(counts)
        wrong = np.flatnonzero((should != table.links) & (should > 0) & table.ordinary)
        await self._name_rows(wrong)
        for row in wrong.tolist():
            if self._found(self.LINK_COUNT, row, f"{table.links[row]} links, should be {should[row]}"):
                table.set_links(row, int(should[row]))
