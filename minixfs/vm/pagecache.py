"""VM's page cache: every cached page, by device offset and by file offset.

It holds a reference on the frames of each block that was registered, whether or not a file server still uses them,
and so works as the second-level cache behind the file servers' own (`fs.libminixfs`): a block that the first level
let go is mapped again without device I/O.

    cache.allocate(n)                          frames for a new block; pushes out old pages if it must
    cache.set_block(frame, n, key, file)       register a filled block under its device offset (and file offset)
    cache.map_block(n, key, file) -> frame     look a block up and use it, or None
    cache.find_file_page(file) -> frame        the page that holds this part of a file, or None
    cache.forget(dev, offset, n), clear(dev)   what the disk no longer holds

Keys are tuples: (dev, byte offset) and (dev, inode, byte offset); offsets are multiples of the page size. A block is
the unit: its pages are registered, found and pushed out together, so its frames stay consecutive.

Invariants (`check`): each page of the device is in one block at most; a file key belongs to one block at most, the
one annotated last (specification: vm, D-11); each entry holds exactly one reference on its frames; the least recently
used unused block goes first, a block that is used elsewhere or is dirty never goes (an owner of a dirty block keeps
its own reference).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from minixfs.vm.pool import PAGE_SIZE, PagePool

DeviceKey = tuple[int, int]
FileKey = tuple[int, int, int]


class PageCacheStatistics(NamedTuple):
    """A moment's figures: pages cached, and counts since the start of block look-ups and of blocks pushed out."""

    cached_pages: int
    free_pages: int
    total_pages: int
    hits: int
    misses: int
    evictions: int


class _Block:
    __slots__ = ("file", "frame", "key", "pages")

    def __init__(self, key: DeviceKey, frame: int, pages: int) -> None:
        self.key = key
        self.frame = frame
        self.pages = pages
        self.file: FileKey | None = None

    def inner(self) -> Sequence[DeviceKey]:
        """The device keys of the pages after the first."""
        if self.pages == 1:
            return ()
        return [(self.key[0], self.key[1] + page * PAGE_SIZE) for page in range(1, self.pages)]


class PageCache:
    def __init__(self, pool: PagePool) -> None:
        self.pool = pool
        self.cached_pages = 0
        self._blocks: OrderedDict[DeviceKey, _Block] = OrderedDict()
        self._inner: dict[DeviceKey, _Block] = {}  # the pages of longer blocks, but for the first
        self._files: dict[FileKey, _Block] = {}
        self._hits = self._misses = self._evictions = 0

    def allocate(self, pages: int) -> int | None:
        """Frames for one block, used once by the caller. None when even eviction finds none."""
        frame = self.pool.allocate(pages)
        while frame is None and self.evict(max(pages, 16)):
            frame = self.pool.allocate(pages)
        return frame

    def set_block(self, frame: int, pages: int, key: DeviceKey, file: FileKey | None) -> None:
        """Register a filled block. Other memory under the same key is replaced; the same memory is re-annotated."""
        block = self._blocks.get(key)
        if block is None or block.frame != frame or block.pages != pages:
            self.pool.retain(frame, pages)
            self.forget(key)
            block = _Block(key, frame, pages)
            for page_key in block.inner():
                self.forget(page_key)
                self._inner[page_key] = block
            self._blocks[key] = block
            self.cached_pages += pages
        else:
            self._blocks.move_to_end(key)
        self._annotate(block, file)

    def map_block(self, pages: int, key: DeviceKey, file: FileKey | None) -> int | None:
        """The frames of a cached block, with one more reference for the caller; None if it is not here whole."""
        block = self._blocks.get(key)
        if block is None or block.pages != pages:
            self._misses += 1
            return None
        self._hits += 1
        self._blocks.move_to_end(key)
        if file is not None:
            self._annotate(block, file)
        self.pool.retain(block.frame, pages)
        return block.frame

    def find_file_page(self, file: FileKey) -> int | None:
        """The frame that holds the page of a file at a byte offset (page multiple); no reference is taken."""
        block = self._files.get(file)
        if block is None or block.file is None:
            return None
        self._blocks.move_to_end(block.key)
        return block.frame + (file[2] - block.file[2]) // PAGE_SIZE

    def find_device_page(self, key: DeviceKey) -> int | None:
        """The frame that holds the page at this device offset; no reference is taken."""
        block = self._blocks.get(key) or self._inner.get(key)
        return None if block is None else block.frame + (key[1] - block.key[1]) // PAGE_SIZE

    def forget(self, key: DeviceKey) -> None:
        """Drop the block that has a page at this device offset, if it is here: its disk space was freed."""
        block = self._blocks.get(key) or self._inner.get(key)
        if block is not None:
            self._remove(block)

    def clear(self, dev: int) -> None:
        """Drop every block of one device. Pages that somebody still uses live on for that user."""
        for block in [block for key, block in self._blocks.items() if key[0] == dev]:
            self._remove(block)

    def evict(self, pages: int) -> int:
        """Push out unused blocks, oldest first, until `pages` pages are free; return how many were freed."""
        victims, used, freed = [], [], 0
        for block in self._blocks.values():
            if freed >= pages:
                break
            if self.pool.users(block.frame, block.pages) == 1:
                victims.append(block)
                freed += block.pages
            else:
                used.append(block)
        for block in used:  # being in use counts as a touch; it also keeps the next search short
            self._blocks.move_to_end(block.key)
        for block in victims:
            self._remove(block)
        self._evictions += len(victims)
        return freed

    @property
    def statistics(self) -> PageCacheStatistics:
        return PageCacheStatistics(
            self.cached_pages, self.pool.free_frames, self.pool.frames, self._hits, self._misses, self._evictions
        )

    def _annotate(self, block: _Block, file: FileKey | None) -> None:
        if block.file == file:
            return
        self._break(block)
        if file is not None:
            block.file = file
            for page in range(block.pages):
                page_key = (file[0], file[1], file[2] + page * PAGE_SIZE)
                previous = self._files.get(page_key)
                if previous is not None and previous is not block:
                    self._break(previous)
                self._files[page_key] = block

    def _break(self, block: _Block) -> None:
        """Undo a block's association with a file."""
        if block.file is not None:
            dev, inode, offset = block.file
            for page in range(block.pages):
                self._files.pop((dev, inode, offset + page * PAGE_SIZE), None)
            block.file = None

    def _remove(self, block: _Block) -> None:
        self._break(block)
        del self._blocks[block.key]
        for page_key in block.inner():
            del self._inner[page_key]
        self.cached_pages -= block.pages
        self.pool.release(block.frame, block.pages)

    def check(self) -> None:
        """Assert the invariants (tests)."""
        self.pool.check()
        assert self.cached_pages == sum(block.pages for block in self._blocks.values())
        for key, block in self._blocks.items():
            assert block.key == key
            assert all(self.pool.users(block.frame + page) >= 1 for page in range(block.pages))
            for page_key in block.inner():
                assert self._inner[page_key] is block
                assert page_key not in self._blocks
        assert len(self._inner) == self.cached_pages - len(self._blocks)
        for file_key, block in self._files.items():
            assert block.file is not None
            assert self._blocks[block.key] is block
            assert block.file[:2] == file_key[:2]
