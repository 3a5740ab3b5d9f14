"""Names that changed since the last commit: what must reach the disk before what.

A crash must leave every file that was synced under one of its names. `Unsettled` remembers what a commit has still to
bring to the disk, binds directory blocks to each other (`WriteOrder.bind`), and asks for a commit at once where no
order of single block writes would do:

* a file that moves gets its new name before it loses the old one; so does one that is linked and then unlinked;
* a directory is not filled with what has a name elsewhere before it has a name of its own;
* a directory is not removed before what was moved out of it has its new name.

Each method is called just before the change that it speaks of, with the buffers of that change in use. Where one
returns True, everything is to be committed before the change.
"""

from __future__ import annotations

from minixfs.fs.disk.inode import Inode
from minixfs.fs.disk.volume import Volume


class Unsettled:
    """What is remembered belongs to the commit number `_commit`; with the next one it is on the disk."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._commit = volume.commits
        self._new_directories: set[int] = set()
        self._left_directories: set[int] = set()
        self._new_names: dict[int, set[int]] = {}

    def made(self, directory: Inode, first_block: int, name_block: int) -> None:
        """A directory is made: it has its dots before it has a name."""
        self._refresh()
        self._volume.cache.write_order.bind(first_block, name_block)
        self._new_directories.add(directory.num)

    def linked(self, inode: Inode, block: int) -> None:
        """A name is added in `block` to those that the inode has."""
        self._refresh()
        self._new_names.setdefault(inode.num, set()).add(block)

    def fill(self, directory: Inode) -> bool:
        """Something that has a name elsewhere gets one in `directory`."""
        self._refresh()
        return directory.num in self._new_directories

    def unlink(self, inode: Inode, directory: Inode, block: int) -> bool:
        """One of the inode's names goes, in `block` of `directory`."""
        if inode.nlinks == 1:
            return False
        self._refresh()
        names = self._new_names.get(inode.num, ())
        if any(self._volume.cache.write_order.binds(block, first) for first in names):
            return True
        for first in names:
            self.moved(first, directory, block)
        return False

    def remove(self, directory: Inode) -> bool:
        """The directory goes."""
        self._refresh()
        return directory.num in self._left_directories

    def move(self, new_block: int | None, old_block: int) -> bool:
        """A name goes from one block to another (None: a new one)."""
        return new_block is not None and self._volume.cache.write_order.binds(old_block, new_block)

    def moved(self, new_block: int, old_directory: Inode, old_block: int) -> None:
        """The name in `new_block` reaches the disk before that in `old_block` of `old_directory` goes."""
        self._refresh()
        self._volume.cache.write_order.bind(new_block, old_block)
        self._left_directories.add(old_directory.num)

    def _refresh(self) -> None:
        if self._commit != self._volume.commits:
            self._commit = self._volume.commits
            self._new_directories.clear()
            self._left_directories.clear()
            self._new_names.clear()
