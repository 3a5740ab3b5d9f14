"""In which order dirty blocks reach the disk.

Every dirty buffer has a class (`Order`); classes go out one after another, so that a crash between any two device
writes leaves an image that a checker repairs without losing a synced file. Inside the last class, directories, `bind`
adds single constraints: a renamed file must appear under its new name before the old one goes, a new directory must
have its dots before it has a name. Constraints live until their later block is written, and must not run in a circle:
who is about to close one (`binds`) writes everything out first.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from minixfs.fs.libminixfs.buffer import Buf


class Order:
    """When a dirty buffer may reach the disk, first to last."""

    DATA: Final = 0
    MAP: Final = 1
    INDIRECT: Final = 2
    """Pointers to data; `INDIRECT + 1` and `+ 2` are the second and third level."""
    INODE: Final = 5
    DIRECTORY: Final = 6


class WriteOrder:
    """The constraints among the dirty directory blocks of one device. `_first[b]` must be on the disk before b."""

    __slots__ = ("_first",)

    def __init__(self) -> None:
        self._first: dict[int, set[int]] = {}

    def bind(self, first: int, then: int) -> None:
        """Block `first` must be on the disk before block `then` is written."""
        if first != then:
            self._first.setdefault(then, set()).add(first)

    def binds(self, first: int, then: int) -> bool:
        """Whether block `first` is already bound to be written before block `then`, directly or not."""
        if first == then or then in self._first.get(first, ()):
            return False
        stack, seen = [then], {then}
        while stack:
            for block in self._first.get(stack.pop(), ()):
                if block == first:
                    return True
                if block not in seen:
                    seen.add(block)
                    stack.append(block)
        return False

    def settle(self, block: int) -> None:
        """The block is on the disk, or will never be written: nothing has to come before it any more."""
        self._first.pop(block, None)

    def keep(self, dirty: Collection[int]) -> None:
        """Everything but `dirty` is on the disk: forget what bound other blocks."""
        for block in self._first.keys() - set(dirty):
            del self._first[block]  # bound before its change was made

    def sort(self, bufs: list[Buf]) -> list[Buf]:
        """By class and block number, directory blocks also by what binds them."""
        ordered = sorted(bufs, key=lambda buf: (buf.order or 0, buf.block))
        if not self._first:
            return ordered
        present = {buf.block: buf for buf in ordered}
        placed: dict[int, Buf] = {}
        entered: set[int] = set()  # a block that is entered and not placed waits further down the stack
        for buf in ordered:
            stack = [buf.block]
            while stack:
                block = stack.pop()
                entered.add(block)
                before = [first for first in self._first.get(block, ()) if first in present and first not in entered]
                if before:
                    stack += [block, *sorted(before, reverse=True)]
                else:
                    placed.setdefault(block, present[block])
        return list(placed.values())
