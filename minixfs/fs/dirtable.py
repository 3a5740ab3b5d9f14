"""A listing as columns: what a large directory has, told without an object for each entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.protocol import DirEntry

SMALLEST, NAME_UNIT = 24, 8
"""Bytes of a packed entry besides its name, and what the name is filled up to."""


class DirTable(NamedTuple):
    """Entries of a directory, in order of position.

    `inos`: inode numbers; `next`: the positions to go on from; `types`: of what type the inodes are, as
    ``stat.S_IFMT(mode) >> 12``, 0 for not known; names are the `lengths` bytes of `text` from `starts` on.
    """

    inos: NDArray[np.uint64]
    next: NDArray[np.uint64]
    types: NDArray[np.uint32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    text: NDArray[np.uint8]

    @classmethod
    def of(cls, entries: Sequence[DirEntry]) -> DirTable:
        lengths = np.array([len(entry.name) for entry in entries], np.int64)
        return cls(
            np.array([entry.ino for entry in entries], np.uint64),
            np.array([entry.next for entry in entries], np.uint64),
            np.zeros(len(entries), np.uint32),
            np.cumsum(lengths) - lengths,
            lengths,
            np.frombuffer(b"".join(entry.name for entry in entries), np.uint8),
        )

    def packed(self, keys: NDArray[np.uint64], room: int) -> bytes:
        """As many entries as fit into `room` bytes, as the kernel's FUSE protocol packs them (``fuse_dirent``).

        Of each: key, next position (64 bits both), length of the name, type (32 bits), and the name, filled up with
        null bytes.
        """
        sizes = SMALLEST + (self.lengths + (NAME_UNIT - 1) & -NAME_UNIT)
        ends = np.cumsum(sizes)
        count = int(np.searchsorted(ends, room, "right"))
        if not count:
            return b""
        lengths = self.lengths[:count]
        begins = ends[:count] - sizes[:count]
        packed = np.zeros(int(ends[count - 1]), np.uint8)
        longs, words, at = packed.view(np.uint64), packed.view(np.uint32), begins // 8
        longs[at] = keys[:count]
        longs[at + 1] = self.next[:count]
        words[2 * at + 4] = lengths
        words[2 * at + 5] = self.types[:count]
        before = np.cumsum(lengths) - lengths
        each = np.arange(int(lengths.sum()))
        target, source = begins + SMALLEST - before, self.starts[:count] - before
        packed[each + np.repeat(target, lengths)] = self.text[each + np.repeat(source, lengths)]
        return packed.tobytes()
