"""The search trees of directories (htree): whether they are as they should be (specification: file systems, 3.7).

The first block of an indexed directory has the root behind its dots, further nodes look like empty blocks, and the
leaves are ordinary blocks whose names all have hashes in the range that the tree gives them. A directory stays sound
without its tree, so a fault is a reason to drop the tree, no more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minixfs.fs.ext2 import layout
from minixfs.fsck.blocks import distinct
from minixfs.fsck.entries import NameKind
from minixfs.fsck.ext2.context import Context
from minixfs.fsck.ext2.dirhash import CHUNK, VERSIONS, hash_names
from minixfs.fsck.ext2.entries import Ext2Entries
from minixfs.fsck.ext2.kinds import Kind
from minixfs.fsck.mapping import data_zones

_INFO = 24
"""Where the root's parameters begin: behind the two dots."""
_INFO_SIZE = 8
_NODE = 8
"""Where other nodes begin: behind an empty entry."""
_PAIR = 8
_LEVELS = 1
"""Nodes between root and leaves, at most."""
_INCOMPATIBLE = 1
_UNSIGNED = 2
"""The flag of the superblock that says that characters of names are unsigned."""
_END = 0xFFFFFFFE
_BLOCK_MASK = 0x0FFFFFFF
_NAMES = 1 << 14
"""Names hashed together."""


async def index_faults(context: Context, rows: NDArray[np.int64], entries: Ext2Entries) -> dict[int, tuple[Kind, str]]:
    """What is wrong with the search trees of the directories `rows`, by row. `entries` are those of all directories."""
    owner, place, block = await data_zones(context, rows)
    starts = np.flatnonzero(np.append(True, owner[1:] != owner[:-1]))
    faults: dict[int, tuple[Kind, str]] = {}
    trees: dict[int, _Tree] = {}
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(owner)], strict=True):
        tree = _Tree(context, block[start:end])
        whole = bool((place[start:end] == np.arange(end - start)).all())
        fault = await tree.read() if whole else (Kind.INDEX_TREE, "a block is missing")
        if fault is None:
            trees[int(owner[start])] = tree
        else:
            faults[int(owner[start])] = fault
    found = set(owner.tolist())
    faults |= {row: (Kind.INDEX, "a directory without blocks") for row in rows.tolist() if row not in found}
    for version in {tree.version for tree in trees.values()}:
        alike = [row for row, tree in trees.items() if tree.version == version]
        chosen = entries.select(np.isin(entries.rows, alike) & (entries.kind == NameKind.PLAIN))
        hashes = await _hash(context, chosen, version)
        edges = np.searchsorted(chosen.rows, alike), np.searchsorted(chosen.rows, alike, side="right")
        for row, start, end in zip(alike, *edges, strict=True):
            what = trees[row].judge(chosen.position[start:end], hashes[start:end])
            if what is not None:
                faults[row] = Kind.INDEX_TREE, what
    return faults


async def _hash(context: Context, entries: Ext2Entries, version: int) -> NDArray[np.int64]:
    """The hashes of the names of `entries`."""
    superblock, volume = context.superblock, context.volume
    size, signed = volume.block_size, not superblock.flags & _UNSIGNED
    result = np.zeros(len(entries.rows), np.int64)
    for start in range(0, len(result), _NAMES):
        part = slice(start, start + _NAMES)
        blocks, index = np.unique(entries.block[part], return_inverse=True)
        steps = range(0, len(blocks), volume.batch_blocks)
        data = np.concatenate([await volume.read_blocks(blocks[at : at + volume.batch_blocks]) for at in steps])
        at = entries.position[part] % size
        lengths = data[index, at + 6].astype(np.int64)
        width = -(-int(lengths.max(initial=1)) // CHUNK) * CHUNK
        columns = np.minimum(at[:, np.newaxis] + 8 + np.arange(width), size - 1)
        text = data[index[:, np.newaxis], columns]
        text[np.arange(width) >= lengths[:, np.newaxis]] = 0
        result[part] = hash_names(text, lengths, version, signed, superblock.hash_seed)
    return result


class _Tree:
    """The tree of the directory with these `blocks`. `read` comes first; `version` is then that of its hashes."""

    def __init__(self, context: Context, blocks: NDArray[np.int64]) -> None:
        self._context = context
        self._blocks = blocks
        self._size = context.superblock.block_size
        self._low = np.full(len(blocks), -1, np.int64)
        self._high = np.full(len(blocks), -1, np.int64)
        self.version = 0

    async def read(self) -> tuple[Kind, str] | None:
        """Go through all nodes, and note the range of each leaf; what is wrong with them, if anything."""
        data = await self._data(0)
        zero, version, length, levels, flags = (
            int.from_bytes(data[_INFO : _INFO + 4], "little"), *data[_INFO + 4 : _INFO + _INFO_SIZE]
        )  # fmt: skip
        if zero or length < _INFO_SIZE:
            return Kind.INDEX, "the root is wrong"
        if version not in VERSIONS:
            return Kind.INDEX, f"hashes of version {version}"
        if flags & _INCOMPATIBLE:
            return Kind.INDEX, "flagged as of another kind"
        if levels > _LEVELS:
            return Kind.INDEX, f"{levels} levels"
        self.version = version
        self._low[0], self._high[0] = 0, _END
        return await self._descend(data, _INFO + length, levels, 0, _END)

    async def _descend(self, data: bytes, start: int, levels: int, low: int, high: int) -> tuple[Kind, str] | None:
        pairs = np.frombuffer(data[start : start + (self._size - start) // _PAIR * _PAIR], "<u4").reshape(-1, 2)
        limit, count = divmod(int(pairs[0, 0]), 1 << 16)[::-1]
        if limit != len(pairs) or not 0 < count <= limit:
            return Kind.INDEX, "a node tells of more entries than it has room for"
        blocks = pairs[:count, 1].astype(np.int64) & _BLOCK_MASK
        lows = pairs[:count, 0].astype(np.int64) & ~1
        lows[0] = low
        highs = np.append(lows[1:], high)
        if (blocks >= len(self._blocks)).any():
            return Kind.INDEX, "a block outside the directory"
        if (highs < lows).any():
            return Kind.INDEX, "the hashes of a node are not in order"
        if (self._low[blocks] >= 0).any() or len(distinct(blocks)) != count:
            return Kind.INDEX_TREE, "a block is referred to twice"
        self._low[blocks], self._high[blocks] = lows, highs
        if not levels:
            return None
        for block, first, last in zip(blocks.tolist(), lows.tolist(), highs.tolist(), strict=True):
            node = await self._data(block)
            inode, stored, name_length, _ = layout.DIRENT.struct.unpack_from(node)
            if inode or name_length or stored != min(self._size, 0xFFFF):
                return Kind.INDEX_TREE, "a node is none"
            fault = await self._descend(node, _NODE, levels - 1, first, last)
            if fault is not None:
                return fault
        return None

    def judge(self, positions: NDArray[np.int64], hashes: NDArray[np.int64]) -> str | None:
        """Whether all blocks are in the tree, and all names in the block where the tree looks for them."""
        if (self._low < 0).any():
            return "a block is not referred to"
        leaf = positions // self._size
        if ((hashes < self._low[leaf]) | (hashes > self._high[leaf])).any():
            return "a name is in the wrong block"
        return None

    async def _data(self, index: int) -> bytes:
        return (await self._context.volume.read_blocks(self._blocks[index : index + 1])).tobytes()
