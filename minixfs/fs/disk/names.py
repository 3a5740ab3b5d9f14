"""Names and the inodes behind them: making, linking, unlinking, renaming (specification: file systems 2.6).

Every function here is the body of a modifying request. It checks first, in the order that decides which error a
caller sees; then it brings everything that it needs into memory and in use; then it changes, which cannot fail or
wait any more. What a crash must find in which order is in `unsettled`.
"""

from __future__ import annotations

import stat
from contextlib import ExitStack
from itertools import count
from typing import Any, Protocol

from minixfs.errors import (
    Busy,
    Corrupt,
    CrossDevice,
    Exists,
    IdOverflow,
    InvalidArgument,
    IsDirectory,
    NameTooLong,
    NotDirectory,
    NotEmpty,
    NotFound,
    NotPermitted,
    TooManyLinks,
)
from minixfs.fs.disk.directory import Directories
from minixfs.fs.disk.file import Files
from minixfs.fs.disk.inode import FILE_TYPES, Inode, InodeTable
from minixfs.fs.disk.unsettled import Unsettled
from minixfs.fs.disk.volume import Volume

DOTS = (b".", b"..")


class Keeper(Protocol):
    """What the server does for us."""

    async def load(self, number: int) -> Inode:
        """An inode, in use."""

    async def free_unused(self, inode: Inode) -> None:
        """The last use of a nameless inode has ended."""

    async def adorn(self, inode: Inode, parent: Inode) -> None:
        """Give a new inode what it inherits from its directory besides its owner. Raises NoSpace."""

    async def commit(self) -> None:
        """Write all changes so far."""


class Names:
    """The name space of one volume."""

    def __init__(
        self, volume: Volume, inodes: InodeTable, directories: Directories[Any], files: Files, keeper: Keeper
    ) -> None:
        self._volume = volume
        self._inodes = inodes
        self._directories = directories
        self._files = files
        self._keeper = keeper
        self._unsettled = Unsettled(volume)

    async def make_special(self, directory: int, name: bytes, mode: int, uid: int, gid: int, rdev: int) -> None:
        if stat.S_IFMT(mode) not in FILE_TYPES - {stat.S_IFDIR, stat.S_IFLNK}:
            raise InvalidArgument
        device = stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
        if device and not 0 <= rdev <= self._volume.shape.device_max:
            raise IdOverflow(message=f"device number {rdev:#x} does not fit {self._volume.shape.kind} inodes")
        inode = await self.make(directory, name, mode, uid, gid)
        if device:
            inode.rdev = rdev
        self._inodes.put(inode)

    async def make_directory(self, directory: int, name: bytes, mode: int, uid: int, gid: int) -> None:
        parent = self._parent(directory)
        if parent.nlinks >= self._volume.shape.link_max:
            raise TooManyLinks
        inode = await self._new(parent, name, stat.S_IFDIR | mode & 0o7777, uid, gid)
        try:
            first_block = await self._directories.start(inode, parent)
            inode.nlinks = 2
            with await self._directories.enter(parent, name, inode) as entry:
                self._unsettled.made(inode, first_block, entry.buf.block)
                parent.nlinks += 1
        except BaseException:
            await self._discard(inode)
            raise
        self._inodes.put(inode)

    async def make_symlink(self, directory: int, name: bytes, target: bytes, uid: int, gid: int) -> None:
        if not 0 < len(target) <= self._volume.shape.symlink_max or b"\0" in target:
            raise NameTooLong if target else NotFound
        self._inodes.put(await self.make(directory, name, stat.S_IFLNK | 0o777, uid, gid, target))

    async def link(self, ino: int, directory: int, name: bytes) -> None:
        inode = self._inodes.open(ino)
        parent = self._parent(directory)
        if inode.is_directory:
            raise NotPermitted
        if not inode.nlinks:
            raise NotFound
        if inode.nlinks >= self._volume.shape.link_max:
            raise TooManyLinks
        if self._unsettled.fill(parent):
            await self._keeper.commit()
        with await self._directories.enter(parent, name, inode) as entry:
            self._unsettled.linked(inode, entry.buf.block)
            inode.nlinks += 1
            self._touch(inode)

    async def unlink(self, directory: int, name: bytes) -> None:
        parent = self._inodes.open(directory)
        with self._directories.entry_at_hand(parent, name) or await self._directories.entry(parent, name) as entry:
            inode = await self._keeper.load(entry.number)
            try:
                if inode.is_directory:
                    raise NotPermitted
                if inode.mountpoint:
                    raise Busy
                if self._unsettled.unlink(inode, parent, entry.buf.block):
                    await self._keeper.commit()
                self._directories.remove(entry)
                inode.nlinks -= 1
                inode.ctime = parent.ctime
                self._inodes.mark_dirty(inode)
            finally:
                await self._put(inode)

    async def remove_directory(self, directory: int, name: bytes) -> None:
        parent = self._inodes.open(directory)
        if name in DOTS:
            raise InvalidArgument if name == b"." else NotEmpty
        with self._directories.entry_at_hand(parent, name) or await self._directories.entry(parent, name) as entry:
            inode = await self._keeper.load(entry.number)
            try:
                await self._require_removable(inode)
                if self._unsettled.remove(inode):
                    await self._keeper.commit()
                self._directories.remove(entry)
                inode.nlinks = 0
                inode.ctime = parent.ctime
                self._inodes.mark_dirty(inode)
                _lose_subdirectory(parent)
            finally:
                await self._put(inode)

    async def rename(self, old_directory: int, old_name: bytes, new_directory: int, new_name: bytes) -> None:
        old_parent, new_parent = self._inodes.open(old_directory), self._inodes.open(new_directory)
        inode = await self._target(old_parent, old_name)
        if inode is None:
            raise NotFound
        target: Inode | None = None
        try:
            if inode.mountpoint:
                raise CrossDevice
            new_parent = self._parent(new_directory)
            if inode.is_directory:
                await self._require_outside(inode, new_parent)
            if old_name in DOTS or new_name in DOTS:
                raise InvalidArgument
            target = await self._target(new_parent, new_name)
            if target is inode:
                return
            if target is not None:
                await self._require_replaceable(inode, target)
            elif inode.is_directory and new_parent is not old_parent:
                self._require_link_room(new_parent)
            await self._move(inode, target, old_parent, old_name, new_parent, new_name)
        finally:
            await self._put(inode)
            if target is not None:
                await self._put(target)  # last: freeing it may wait, and be cancelled

    async def exchange(self, old_directory: int, old_name: bytes, new_directory: int, new_name: bytes) -> None:
        first_parent, second_parent = self._parent(old_directory), self._parent(new_directory)
        if old_name in DOTS or new_name in DOTS:
            raise InvalidArgument
        first = await self._target(first_parent, old_name)
        if first is None:
            raise NotFound
        second: Inode | None = None
        try:
            second = await self._target(second_parent, new_name)
            if second is None:
                raise NotFound
            if first is second:
                return
            if first.mountpoint or second.mountpoint:
                raise Busy
            for inode, parent, other in ((first, second_parent, second), (second, first_parent, first)):
                if inode.is_directory and first_parent is not second_parent:
                    await self._require_outside(inode, parent)
                    if not other.is_directory:
                        self._require_link_room(parent)
            await self._swap(first, first_parent, old_name, second, second_parent, new_name)
        finally:
            if second is not None:
                await self._put(second)
            await self._put(first)

    # ---- pieces ----------------------------------------------------------------------------------------------------

    def _parent(self, number: int) -> Inode:
        """A directory that may get a new entry."""
        parent = self._inodes.open(number)
        if not parent.nlinks:
            raise NotFound
        if not parent.is_directory:
            raise NotDirectory
        return parent

    async def _target(self, parent: Inode, name: bytes) -> Inode | None:
        """What a name leads to, in use; None if there is no such name."""
        number = await self._find(parent, name)
        return await self._keeper.load(number) if number else None

    async def _find(self, parent: Inode, name: bytes) -> int:
        number = self._directories.find_indexed(parent, name)
        return await self._directories.find_to_change(parent, name) if number is None else number

    async def _put(self, inode: Inode) -> None:
        """End a use; the last one of a nameless inode frees it."""
        if self._inodes.put(inode):
            await self._keeper.free_unused(inode)

    async def make(self, directory: int, name: bytes, mode: int, uid: int, gid: int, content: bytes = b"") -> Inode:
        """A new inode with its content and name, in use."""
        parent = self._parent(directory)
        inode = await self._new(parent, name, mode, uid, gid)
        try:
            if 0 < len(content) <= self._volume.shape.fast_symlink_max:
                inode.fast_text = content
            elif content:
                await self._files.write(inode, 0, content)
            entry = await self._directories.enter(parent, name, inode)
            self._volume.cache.put(entry.buf)
        except BaseException:
            await self._discard(inode)
            raise
        return inode

    async def _new(self, parent: Inode, name: bytes, mode: int, uid: int, gid: int) -> Inode:
        """An inode in use for a name that is not there yet, with what it inherits from its directory-to-be."""
        if await self._find(parent, name):
            raise Exists
        self._volume.check_ids(uid, gid)
        inode = await self._inodes.new(mode, uid, gid, parent)
        try:
            if parent.may_have_attributes:
                await self._keeper.adorn(inode, parent)
        except BaseException:
            await self._discard(inode)
            raise
        return inode

    async def _discard(self, inode: Inode) -> None:
        """Undo `InodeTable.new`."""
        inode.nlinks = 0
        await self._put(inode)

    async def _require_removable(self, directory: Inode) -> None:
        if not directory.is_directory:
            raise NotDirectory
        if directory.num == self._volume.shape.root_inode or directory.mountpoint:
            raise Busy
        if not await self._directories.is_empty(directory):
            raise NotEmpty

    async def _require_replaceable(self, inode: Inode, target: Inode) -> None:
        if target.mountpoint:
            raise Busy
        if target.is_directory:
            if not inode.is_directory:
                raise IsDirectory
            await self._require_removable(target)
        elif inode.is_directory:
            raise NotDirectory

    def _require_link_room(self, parent: Inode) -> None:
        if parent.nlinks >= self._volume.shape.link_max:
            raise TooManyLinks

    async def _require_outside(self, inode: Inode, directory: Inode) -> None:
        """Raise InvalidArgument if `directory` is `inode` or below it."""
        number, steps = directory.num, 0
        while number != self._volume.shape.root_inode:
            if number == inode.num:
                raise InvalidArgument
            current = await self._keeper.load(number)
            try:
                up = await self._directories.find(current, b"..")
            finally:
                await self._put(current)
            if not up:
                raise Corrupt("a directory without '..'", inode=number)
            number = up
            steps += 1
            if steps > self._volume.shape.inodes:
                raise Corrupt("directories form a loop", inode=directory.num)
        if inode.num == self._volume.shape.root_inode:
            raise InvalidArgument

    async def _move(
        self,
        inode: Inode,
        target: Inode | None,
        old_parent: Inode,
        old_name: bytes,
        new_parent: Inode,
        new_name: bytes,
    ) -> None:
        """The change of a rename: the new name reaches the disk before the old one goes."""
        directories = self._directories
        if self._unsettled.fill(new_parent):
            await self._keeper.commit()
        new = up = None
        old = directories.entry_at_hand(old_parent, old_name) or await directories.entry(old_parent, old_name)
        try:
            if target is not None:
                new = await directories.entry(new_parent, new_name)
            if inode.is_directory and new_parent is not old_parent:
                up = await directories.entry(inode, b"..")
            if target is None or new is None:
                must_commit = False
            elif target.is_directory:
                must_commit = self._unsettled.remove(target)
            else:
                must_commit = self._unsettled.unlink(target, new_parent, new.buf.block)
            if must_commit:
                await self._keeper.commit()
            new_block = await directories.block_for_new(new_parent, new_name) if new is None else new.buf.block
            if self._unsettled.move(new_block, old.buf.block):
                await self._keeper.commit()
            if new is None:
                new = await directories.enter(new_parent, new_name, inode)
            else:
                directories.replace(new, inode)
            directories.remove(old)
            self._unsettled.moved(new.buf.block, old_parent, old.buf.block)
            if up is not None:
                directories.replace(up, new_parent)
                _lose_subdirectory(old_parent)
                new_parent.nlinks += 1
            if target is not None:
                if target.is_directory:
                    target.nlinks = 0
                    _lose_subdirectory(new_parent)
                else:
                    target.nlinks -= 1
                self._touch(target)
        finally:
            for entry in (old, new, up):
                if entry is not None:
                    self._volume.cache.put(entry.buf)

    async def _swap(
        self,
        first: Inode,
        first_parent: Inode,
        first_name: bytes,
        second: Inode,
        second_parent: Inode,
        second_name: bytes,
    ) -> None:
        """The change of an exchange. If two blocks change, one after the other, nothing must be nameless in between.

        So `first` has a spare name on the disk while its old one is lost, and `second` gets its new name first.
        """
        directories, cache = self._directories, self._volume.cache
        with ExitStack() as held:
            one = held.enter_context(await directories.entry(first_parent, first_name))
            two = held.enter_context(await directories.entry(second_parent, second_name))
            ups = []
            if first_parent is not second_parent:
                for inode, old, new in ((first, first_parent, second_parent), (second, second_parent, first_parent)):
                    if inode.is_directory:
                        ups.append((held.enter_context(await directories.entry(inode, b"..")), old, new))
            spare = None
            if one.buf.block != two.buf.block:
                name = await self._spare_name(first_parent)
                spare = held.enter_context(await directories.enter(first_parent, name, first))
            try:
                if spare is not None:
                    await self._keeper.commit()
                directories.replace(one, second)
                directories.replace(two, first)
                if spare is not None:
                    cache.write_order.bind(one.buf.block, two.buf.block)
                    await self._keeper.commit()
            except BaseException:
                directories.replace(one, first)
                directories.replace(two, second)
                raise
            finally:
                if spare is not None:
                    directories.remove(spare)
            for up, old, new in ups:
                directories.replace(up, new)
                _lose_subdirectory(old)
                new.nlinks += 1
        for inode in (first, second, first_parent, second_parent):
            self._touch(inode)

    async def _spare_name(self, directory: Inode) -> bytes:
        for number in count():
            name = b".xchg%d" % number
            if not await self._find(directory, name):
                break
        return name

    def _touch(self, inode: Inode) -> None:
        inode.ctime = self._volume.now()
        self._inodes.mark_dirty(inode)


def _lose_subdirectory(parent: Inode) -> None:
    """One link less. Never below those of an empty directory: a wrong count must not make a live one look removed."""
    parent.nlinks = max(parent.nlinks - 1, 2)
