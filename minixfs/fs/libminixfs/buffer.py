"""A cached block, and the figures of a cache."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minixfs.fs.libminixfs.cache import BlockCache


class Buf:
    """One cached block. `data` is the block; `block` its number; the rest belongs to the cache."""

    __slots__ = ("block", "count", "data", "file_offset", "frame", "ino", "order", "owner", "register")

    def __init__(self, owner: BlockCache, block: int, frame: int, data: memoryview) -> None:
        self.owner = owner
        self.block = block
        self.frame = frame
        self.data = data
        self.count = 1
        self.order: int | None = None
        self.ino = 0
        self.file_offset = 0
        self.register = True

    def __enter__(self) -> Buf:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.owner.put(self)


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """A moment's figures. `reads` and `writes` count device requests, `blocks_*` the blocks that they moved."""

    capacity: int
    buffers: int
    in_use: int
    dirty: int
    hits: int
    misses: int
    reads: int
    blocks_read: int
    writes: int
    blocks_written: int
