"""The primary block cache of one device (MINIX libminixfs), on VM's pages.

    buf = cache.get_cached(block) or await cache.get(block)      use buf.data ... cache.put(buf)
    with await cache.get(block) as buf: ...                      the same, safe against exceptions

`get` is MINIX's NORMAL mode, `get_cached` its PEEK (never reads, never evicts), `get(read=False)` its NO_READ (the
caller overwrites everything) and `prefetch` its PREFETCH with the scattered read that follows. A buffer is *in use*
between get and put and stays where it is; the file server touches nothing of it but `data`, through `mark_dirty` for
changes. Nothing is written at put time: dirty buffers wait for `flush`.

Every dirty buffer has a class, and `flush` writes class by class, sorted and in long runs (see `write_order`); what is
to be blank before anything leads to it (`blank`) comes first. A miss that finds nothing but dirty buffers writes data
and bitmaps, which may reach the disk at any time; the rest waits for `flush`, and the cache grows until then.

Life of a buffer: absent -> loading (nobody else sees it; `_loading` makes a second reader wait) -> in use <-> idle.
A buffer is also in use while it is written, so that its memory stays its own. Idle clean buffers are on the LRU list
and may be evicted; idle dirty ones are not on it until they are written.
Evicted buffers leave their pages registered with VM, from where they come back without device I/O.

Invariants (`check`): a buffer is on the LRU list iff it is idle and clean; `dirty` holds exactly the dirty buffers;
buffers that VM knows are whole pages; there are at most `capacity` buffers unless more are in use or dirty at once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

from minixfs.errors import DeviceError, NoSpace
from minixfs.fs.libminixfs import heuristic
from minixfs.fs.libminixfs.buffer import Buf, CacheStatistics
from minixfs.fs.libminixfs.write_order import Order, WriteOrder
from minixfs.hw.blockdev.device import BlockDevice, Data
from minixfs.hw.runtime import Event
from minixfs.vm.pagecache import PageCache
from minixfs.vm.pool import PAGE_SIZE

MAX_RUN_PAGES = 64
"""Longest vector that one device request may carry (NR_IOREQS), in pages."""
PREFETCH_SPARE = 4
"""Buffers that read-ahead leaves to others."""


class BlockCache:
    """The buffers of one mounted device. `dev` is the device number that VM knows it by.

    With `vm_cache` false VM gives memory but is told nothing: no second level, no mappings.
    """

    def __init__(
        self, device: BlockDevice, dev: int, pages: PageCache, block_size: int, *, vm_cache: bool = True
    ) -> None:
        self.device = device
        self.dev = dev
        self.block_size = block_size
        self.capacity = heuristic.MIN_BUFFERS
        self.dirty: dict[int, Buf] = {}
        self._pages = pages
        self._block_pages = -(-block_size // PAGE_SIZE)
        self._registers = vm_cache and block_size % PAGE_SIZE == 0
        self._slots: list[tuple[int, memoryview]] = []
        self._slot_frames: list[int] = []
        self._bufs: dict[int, Buf] = {}
        self._lru: OrderedDict[int, Buf] = OrderedDict()
        self._spilled: set[int] = set()
        self._loading: dict[int, Event] = {}
        self._blank: dict[int, bytes] = {}
        self.write_order = WriteOrder()
        self._usage_change = 0
        self._hits = self._misses = 0
        self._reads = self._blocks_read = self._writes = self._blocks_written = 0

    # ---- getting and putting ---------------------------------------------------------------------------------------

    def get_cached(self, block: int) -> Buf | None:
        """The buffer of `block` if it is in the cache, now in use; else None, and nothing happens."""
        buf = self._bufs.get(block)
        if buf is not None:
            if not buf.count and buf.order is None:
                del self._lru[block]
            buf.count += 1
            self._hits += 1
        return buf

    async def get(self, block: int, ino: int = 0, file_offset: int = 0, *, read: bool = True) -> Buf:
        """The buffer of `block`, now in use.

        `ino` and `file_offset` (bytes, multiple of the block size) say which part of a file it holds; 0 for metadata.
        With `read=False` the contents are arbitrary unless the block was cached: the caller overwrites all of it.
        Raises DeviceError when the device cannot deliver the block, NoSpace (of memory) when all pages are in use.
        """
        while True:
            buf = self.get_cached(block)
            if buf is not None:
                if ino and (buf.ino != ino or buf.file_offset != file_offset):
                    self._associate(buf, ino, file_offset)
                return buf
            loading = self._loading.get(block)
            if loading is None:
                break
            await loading.wait()
        self._misses += 1
        if not read and self._make_room():
            buf, _ = self._take(block, ino, file_offset)
            self._bufs[block] = buf
            return buf
        event = self._loading[block] = self.device.runtime.event()
        try:
            buf = await self._new_buffer(block, ino, file_offset, read)
        finally:
            del self._loading[block]
            event.set()
        return buf

    def put(self, buf: Buf, *, once: bool = False) -> None:
        """End a use. `once` says that the block will hardly be wanted again: it is evicted first."""
        buf.count -= 1
        if buf.count:
            return
        if buf.register:
            self._register(buf)
        if buf.order is None:
            self._lru[buf.block] = buf
            if once:
                self._lru.move_to_end(buf.block, last=False)
            if len(self._bufs) > self.capacity:
                self._trim()

    def holds_any(self, blocks: range) -> bool:
        """Whether any of `blocks` is cached here or, behind us, with VM."""
        return not (self._bufs.keys().isdisjoint(blocks) and self._spilled.isdisjoint(blocks))

    def at_hand(self, block: int) -> bool:
        """Whether `get` needs no device for it."""
        return block in self._bufs or self._with_vm(block)

    # ---- changing --------------------------------------------------------------------------------------------------

    def mark_dirty(self, buf: Buf, order: int) -> None:
        """The buffer (in use) was changed and is to be written in this class."""
        if buf.order is None:
            self.dirty[buf.block] = buf
        buf.order = order

    def mark_clean(self, buf: Buf) -> None:
        """The disk holds what the buffer holds (or the block was freed): it need not be written."""
        if buf.order is not None:
            buf.order = None
            del self.dirty[buf.block]
            self.write_order.settle(buf.block)
            if not buf.count:
                self._lru[buf.block] = buf

    def blank(self, blocks: Iterable[int], content: bytes) -> None:
        """What the disk has in these new blocks must never be seen: `flush` replaces it before it writes anything."""
        for block in blocks:
            self._blank[block] = content

    def forget(self, blocks: Iterable[int]) -> None:
        """The blocks were freed: drop them unwritten, and VM's pages and file associations with them."""
        for block in blocks:
            self._blank.pop(block, None)
            buf = self._bufs.get(block)
            if buf is not None:
                self.mark_clean(buf)
                buf.register = False
                if self._registers:
                    self._pages.forget((self.dev, block * self.block_size))
                if not buf.count:
                    del self._lru[block]
                    self._drop(buf)
                else:
                    buf.ino = 0
            elif block in self._spilled:
                self._spilled.discard(block)
                self._pages.forget((self.dev, block * self.block_size))

    # ---- device I/O ------------------------------------------------------------------------------------------------

    async def flush(self) -> int:
        """Write every dirty buffer, in order; return how many. On DeviceError what is unwritten stays dirty."""
        if self._blank:
            await self._write_blank()
        count = await self._write(list(self.dirty.values()))
        self.write_order.keep(self.dirty.keys())
        return count

    async def prefetch(self, wanted: Sequence[tuple[int, int, int]]) -> None:
        """Bring (block, ino, file offset) triples into the cache: the first run of consecutive blocks among them.

        A hint: what cannot be read, or finds no buffer without a write, is left out.
        """
        busy = len(self._bufs) - len(self._lru)
        longest = min(self.capacity - busy - PREFETCH_SPARE, MAX_RUN_PAGES // self._block_pages)
        fresh: list[Buf] = []
        for block, ino, file_offset in sorted(wanted)[: max(0, longest)]:
            if fresh and block != fresh[-1].block + 1:
                break
            if block in self._loading or self.at_hand(block):
                break
            buf = self._allocate(block)
            if buf is None:
                break
            buf.ino, buf.file_offset = ino, file_offset
            fresh.append(buf)
        if not fresh:
            return
        events = {buf.block: self.device.runtime.event() for buf in fresh}
        self._loading |= events
        moved = 0
        try:
            moved = await self._read_run(fresh)
        except DeviceError:
            pass  # the read that really wants the block will tell
        finally:
            for index, buf in enumerate(fresh):
                if index < moved:
                    self._bufs[buf.block] = buf
                    self.put(buf)
                else:
                    self._drop_memory(buf)
                del self._loading[buf.block]
                events[buf.block].set()

    # ---- size ------------------------------------------------------------------------------------------------------

    @property
    def memory(self) -> int:
        """Bytes that the pages of the pool have, for us and for VM."""
        return self._pages.pool.frames * PAGE_SIZE

    def resize(self, capacity: int) -> None:
        """Set how many buffers there may be, within the memory of the page pool; surplus idle ones go at once."""
        room = (self._pages.pool.frames - 1) // self._block_pages
        if self.block_size < PAGE_SIZE:
            room = (self._pages.pool.frames - 1) * (PAGE_SIZE // self.block_size)
        self.capacity = max(heuristic.MIN_BUFFERS, min(capacity, room * 3 // 4))
        self._trim()

    def fit_to_usage(self, total_blocks: int, free_blocks: int) -> bool:
        """Size the cache by the volume's block usage; return whether it changed. Call it between operations."""
        available = self._pages.pool.free_frames + self._pages.cached_pages
        wanted = heuristic.buffers_for(total_blocks, free_blocks, self.block_size, available)
        self._usage_change = 0
        if not heuristic.worth_resizing(self.capacity, wanted):
            return False
        before = self.capacity
        self.resize(wanted)
        return self.capacity != before

    def usage_changed(self, blocks: int) -> bool:
        """Note that `blocks` more (or, negative, fewer) blocks are used; True when the size is due to be revised."""
        self._usage_change += blocks
        return abs(self._usage_change) * self.block_size // 1024 > heuristic.REEVALUATE_KB

    def invalidate(self) -> None:
        """Drop every idle buffer of the device, dirty or not, unwritten. VM's clean pages stay until `close`."""
        self.forget([buf.block for buf in self.dirty.values() if not buf.count])
        while self._lru:
            self._evict()

    def close(self) -> None:
        """Drop everything, VM's pages of this device included. Nothing may be in use or dirty."""
        self.invalidate()
        self._pages.clear(self.dev)
        for frame in self._slot_frames:
            self._pages.pool.release(frame)
        self._slots, self._slot_frames = [], []

    @property
    def statistics(self) -> CacheStatistics:
        in_use = sum(1 for buf in self._bufs.values() if buf.count)
        return CacheStatistics(
            self.capacity,
            len(self._bufs),
            in_use,
            len(self.dirty),
            self._hits,
            self._misses,
            self._reads,
            self._blocks_read,
            self._writes,
            self._blocks_written,
        )

    def check(self) -> None:
        """Assert the invariants (tests)."""
        for block, buf in self._bufs.items():
            assert buf.block == block
            assert len(buf.data) == self.block_size
            assert (block in self._lru) == (not buf.count and buf.order is None)
            assert (block in self.dirty) == (buf.order is not None)
        assert set(self.dirty) <= set(self._bufs)
        busy = sum(1 for buf in self._bufs.values() if buf.count or buf.order is not None)
        assert len(self._bufs) <= max(self.capacity, busy)
        self._pages.check()

    # ---- inside ----------------------------------------------------------------------------------------------------

    async def _new_buffer(self, block: int, ino: int, file_offset: int, read: bool) -> Buf:
        while not self._make_room():
            if not await self._write_early():
                break  # better a larger cache than a dead mount
        buf, filled = self._take(block, ino, file_offset)
        if read and not filled:
            try:
                if not await self._read_run([buf]):
                    raise DeviceError(message=f"{self.device.name}: block {block} lies beyond the end of the device")
            except BaseException:
                self._drop_memory(buf)
                raise
        self._bufs[block] = buf
        return buf

    def _make_room(self) -> bool:
        """Let go of idle clean buffers until there is room for one more, if there are enough of them."""
        while len(self._bufs) >= self.capacity and self._lru:
            self._evict()
        return len(self._bufs) < self.capacity

    def _take(self, block: int, ino: int, file_offset: int) -> tuple[Buf, bool]:
        """A buffer for a block that has none, and whether VM still had the contents. Raises NoSpace."""
        mapped = self._map_spilled(block)
        buf = mapped or self._allocate(block)
        if buf is None:
            raise NoSpace(message="all pages of the cache are in use; mount with a larger cache_size=")
        self._associate(buf, ino, file_offset)
        return buf, mapped is not None

    async def _read_run(self, bufs: Sequence[Buf]) -> int:
        """Fill buffers of consecutive blocks; return how many of them were filled whole."""
        offset = bufs[0].block * self.block_size
        views = [buf.data for buf in bufs]
        moved = await self.device.read(offset, views)
        self._reads += 1
        self._blocks_read += moved // self.block_size
        return moved // self.block_size

    async def _write_early(self) -> int:
        """Write idle dirty buffers without an order to keep, to have room; return how many. Errors are `flush`'s."""
        free = [buf for buf in self.dirty.values() if not buf.count and (buf.order or 0) <= Order.MAP]
        try:
            return await self._write(free)
        except DeviceError:
            return 0

    async def _write(self, bufs: list[Buf]) -> int:
        for buf in bufs:
            buf.count += 1
        try:
            ordered = self.write_order.sort(bufs)
            for start, end in self._runs([buf.block for buf in ordered]):
                run = ordered[start:end]
                written = await self._write_blocks(run[0].block, [buf.data for buf in run])
                for buf in run[:written]:
                    self.mark_clean(buf)
                if written < len(run):
                    raise DeviceError(message=f"{self.device.name}: short write at block {run[0].block}")
        finally:
            for buf in bufs:
                self.put(buf)
        return len(bufs)

    async def _write_blank(self) -> None:
        blocks = sorted(self._blank)
        for start, end in self._runs(blocks):
            run = blocks[start:end]
            if await self._write_blocks(run[0], [self._blank[block] for block in run]) < len(run):
                raise DeviceError(message=f"{self.device.name}: short write at block {run[0]}")
        self._blank.clear()

    def _runs(self, blocks: list[int]) -> Iterator[tuple[int, int]]:
        """Where in the row rows of consecutive blocks begin and end, each short enough for one transfer."""
        longest = max(1, (MAX_RUN_PAGES - 1) // self._block_pages)
        start = 0
        for end in range(1, len(blocks) + 1):
            if end == len(blocks) or end - start == longest or blocks[end] != blocks[end - 1] + 1:
                yield start, end
                start = end

    async def _write_blocks(self, block: int, contents: Sequence[Data]) -> int:
        """Write consecutive blocks; return how many of them were written whole."""
        moved = await self.device.write(block * self.block_size, contents)
        self._writes += 1
        self._blocks_written += moved // self.block_size
        return moved // self.block_size

    def _map_spilled(self, block: int) -> Buf | None:
        """The block from VM's pages, if they still hold it."""
        if not self._registers:
            return None
        self._spilled.discard(block)
        frame = self._pages.map_block(self._block_pages, (self.dev, block * self.block_size), None)
        if frame is None:
            return None
        buf = Buf(self, block, frame, self._pages.pool.view(frame, self.block_size))
        buf.register = False
        return buf

    def _allocate(self, block: int) -> Buf | None:
        """A buffer with memory of its own and arbitrary contents."""
        while not self._slots:
            frame = self._pages.allocate(self._block_pages)
            if frame is not None:
                if self.block_size >= PAGE_SIZE:
                    return Buf(self, block, frame, self._pages.pool.view(frame, self.block_size))
                page = self._pages.pool.view(frame, PAGE_SIZE)
                self._slot_frames.append(frame)
                for start in range(0, PAGE_SIZE - self.block_size + 1, self.block_size):
                    self._slots.append((frame, page[start : start + self.block_size]))
            elif self._lru:
                self._evict()
            else:
                return None
        return Buf(self, block, *self._slots.pop())

    def _associate(self, buf: Buf, ino: int, file_offset: int) -> None:
        buf.ino, buf.file_offset = ino, file_offset
        buf.register = buf.register or bool(ino)

    def _register(self, buf: Buf) -> None:
        """Tell VM about a filled block, so that mappings find it and it survives eviction from here."""
        buf.register = False
        if self._registers:
            file = (self.dev, buf.ino, buf.file_offset) if buf.ino else None
            self._pages.set_block(buf.frame, self._block_pages, (self.dev, buf.block * self.block_size), file)

    def _trim(self) -> None:
        while len(self._bufs) > self.capacity and self._lru:
            self._evict()

    def _evict(self) -> None:
        _, buf = self._lru.popitem(last=False)
        if self._registers:
            self._spilled.add(buf.block)
            if len(self._spilled) > 2 * self._pages.pool.frames:  # VM does not say what it pushes out
                self._spilled = {block for block in self._spilled if self._with_vm(block)}
        self._drop(buf)

    def _with_vm(self, block: int) -> bool:
        return self._registers and self._pages.find_device_page((self.dev, block * self.block_size)) is not None

    def _drop(self, buf: Buf) -> None:
        del self._bufs[buf.block]
        self._drop_memory(buf)

    def _drop_memory(self, buf: Buf) -> None:
        if self.block_size < PAGE_SIZE:
            self._slots.append((buf.frame, buf.data))
        else:
            self._pages.pool.release(buf.frame, self._block_pages)
