"""Which block belongs to what, as plain arrays, whatever the file system; and how scattered files are.

A *run* is a row of blocks that are neighbours on the disk and in the file. A *piece* is a row of blocks of one file
that are neighbours on the disk and ascend in the file: a hole does not end it, nor does the file's own indirect block,
as neither makes a reader seek.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Kind(IntEnum):
    """What a block serves for. LOST: marked in use, but nothing refers to it. UNUSABLE: never used."""

    FREE = 0
    BOOT = 1
    SUPERBLOCK = 2
    INODE_MAP = 3
    ZONE_MAP = 4
    INODE_TABLE = 5
    DIRECTORY = 6
    FILE = 7
    INDIRECT = 8
    BAD = 9
    LOST = 10
    UNUSABLE = 11
    SUPERBLOCK_COPY = 12
    DESCRIPTORS = 13
    RESERVED_DESCRIPTORS = 14
    BLOCK_MAP = 15
    ATTRIBUTES = 16
    JOURNAL = 17

    @property
    def label(self) -> str:
        return _LABELS.get(self) or self.name.lower().replace("_", " ")


_LABELS = {
    Kind.BOOT: "boot area",
    Kind.BAD: "bad blocks",
    Kind.LOST: "in use by nothing",
    Kind.SUPERBLOCK_COPY: "copy of the superblock",
    Kind.DESCRIPTORS: "group descriptors",
    Kind.RESERVED_DESCRIPTORS: "room for group descriptors",
    Kind.ATTRIBUTES: "extended attributes",
}


class Run(NamedTuple):
    """`length` blocks of a file: block `logical` of the file and those that follow lie at block `physical` and on."""

    logical: int
    physical: int
    length: int


@dataclass(frozen=True, slots=True)
class Layout:
    """How one file lies. `indirect` holds the blocks that hold its zone numbers; sizes are bytes."""

    inode: int
    size: int
    block_size: int
    runs: list[Run]
    indirect: list[int]

    @property
    def pieces(self) -> int:
        return count_pieces([(run.physical, run.length) for run in self.runs], set(self.indirect))


def join_runs(places: NDArray[np.int64], blocks: NDArray[np.int64], unit: int = 1) -> list[Run]:
    """Neighbours joined: the places of a file, ascending, and where they lie, both counted in `unit` blocks."""
    breaks = np.flatnonzero((np.diff(places) != 1) | (np.diff(blocks) != 1)) + 1
    starts = np.concatenate([[0], breaks]).astype(int) if len(blocks) else np.zeros(0, int)
    lengths = np.diff(np.append(starts, len(blocks)))
    return [
        Run(place * unit, block * unit, length * unit)
        for place, block, length in zip(places[starts].tolist(), blocks[starts].tolist(), lengths.tolist(), strict=True)
    ]


def count_pieces(runs: list[tuple[int, int]], indirect: set[int]) -> int:
    """Pieces of a file: its runs (block, length) in the order of the file."""
    pieces, end = 0, -1
    for start, length in runs:
        pieces += end < 0 or start < end or not all(block in indirect for block in range(end, start))
        end = start + length
    return pieces


@dataclass(frozen=True, slots=True)
class Fragmentation:
    """How scattered a volume is. `files` are those with blocks, directories and links too; `free_*` in bytes.

    `complete`: False when the time was up before all files were looked at.
    """

    files: int
    files_in_one_piece: int
    pieces: int
    free_runs: int
    free_run_largest: int
    free_run_mean: int
    complete: bool


_STEP = 1 << 22
"""Blocks that are computed with at a time, so that memory goes to what is kept."""


@dataclass(slots=True)
class BlockMap:
    """Arrays over all blocks: `kind`; `owner`, an inode number or 0; `place`, the block's index within its file (of an
    indirect block: the first that it leads to)."""

    block_size: int
    kind: NDArray[np.uint8]
    owner: NDArray[np.uint32]
    place: NDArray[np.uint32]
    complete: bool = True

    def __len__(self) -> int:
        return len(self.kind)

    def counts(self) -> dict[Kind, int]:
        """Blocks of each kind that occurs."""
        numbers = {kind: int(np.count_nonzero(self.kind == kind)) for kind in Kind}
        return {kind: number for kind, number in numbers.items() if number}

    def edges(self) -> NDArray[np.int64]:
        """The first block of every row of blocks that have the same kind and owner, in the order of the file."""
        if not len(self):
            return np.zeros(0, np.int64)
        changes = (np.diff(self.kind) != 0) | ~self._continues()
        return np.concatenate([[0], np.flatnonzero(changes) + 1])

    def _continues(self) -> NDArray[np.bool_]:
        """For each block but the first: it comes after the one before in the same file. In a file with holes this
        does not see whether a part is left out because it is a hole or because it lies elsewhere."""
        result = np.zeros(max(0, len(self) - 1), np.bool_)
        sparse = self._sparse()
        for start in range(0, len(result), _STEP):
            end = min(start + _STEP, len(result))
            last, this = slice(start, end), slice(start + 1, end + 1)
            step = self.place[this].astype(np.int64) - self.place[last]
            follows = (step >= 0) & ((step <= 1) | sparse[self.owner[this]])
            follows |= (self.kind[this] == Kind.INDIRECT) | (self.kind[last] == Kind.INDIRECT)
            result[last] = (self.owner[this] == self.owner[last]) & follows
        return result

    def _sparse(self) -> NDArray[np.bool_]:
        """For each inode number: whether the file has holes."""
        mapped = np.zeros(int(self.owner.max(initial=0)) + 1, np.int64)
        end = np.zeros_like(mapped)
        for start in range(0, len(self), _STEP):
            part = slice(start, start + _STEP)
            data = (self.owner[part] != 0) & (self.kind[part] != Kind.INDIRECT)
            owner, place = self.owner[part][data], self.place[part][data]
            mapped += np.bincount(owner, minlength=len(mapped))
            np.maximum.at(end, owner, place.astype(np.int64) + 1)
        return end > mapped

    def fragmentation(self) -> Fragmentation:
        starts = self.owner != 0
        starts[1:] &= ~self._continues()
        _, pieces = np.unique(self.owner[starts], return_counts=True)
        free = run_lengths(self.kind == Kind.FREE) * self.block_size
        return Fragmentation(
            files=len(pieces),
            files_in_one_piece=int((pieces == 1).sum()),
            pieces=int(pieces.sum()),
            free_runs=len(free),
            free_run_largest=int(free.max(initial=0)),
            free_run_mean=int(free.sum()) // max(1, len(free)),
            complete=self.complete,
        )


def run_lengths(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The length of every row of True."""
    padded = np.zeros(len(flags) + 2, np.bool_)
    padded[1:-1] = flags
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return edges[1::2] - edges[::2]
