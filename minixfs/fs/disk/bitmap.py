"""Bitmaps of inodes and zones: allocation in runs, and frees that wait until they are safe.

A bit is set at once when it is allocated. It is *not* cleared when it is freed: the freed runs are kept in `pending`
until `apply_frees`, which the server calls once the directories and inodes that let go of them are on the disk. So
neither an inode nor a zone can get a new owner while an old one could come back after a crash, and a deleted file is
there whole or not at all. Counts speak of the state after the pending frees.

Bit n of a map of `bits` valid bits is in map block n // (8 * block_size); the bytes within the block come in words of
`width`, each in reverse. Padding bits and those below `lowest` are never looked at and never handed out, whatever a bad
image has there (specification: file systems, 1.5, 2.1).
"""

from __future__ import annotations

from collections.abc import Callable

from minixfs.errors import Corrupt, DeviceError
from minixfs.fs.libminixfs.buffer import Buf
from minixfs.fs.libminixfs.cache import BlockCache
from minixfs.fs.libminixfs.write_order import Order

_WINDOW = 64
"""Bytes around the search origin that are examined as one integer before the rest of a block is scanned."""


class Bitmap:
    """One map on the disk. `free_bits` is None until `count_free` has run."""

    def __init__(
        self, cache: BlockCache, what: str, start_block: int, bits: int, *, lowest: int = 0, width: int = 1
    ) -> None:
        self.bits = bits
        self.free_bits: int | None = None
        self.pending: list[tuple[int, int]] = []
        self._cache = cache
        self._what = what
        self._start_block = start_block
        self._bits_per_block = 8 * cache.block_size
        self._lowest = lowest
        self._width = width
        # of each map block: the bits below this one are set, or not for us
        self._floor = [lowest] + [0] * (-(-bits // self._bits_per_block) - 1)

    async def count_free(self) -> int:
        """How many bits are free. Reads the whole map the first time."""
        if self.free_bits is None:
            used = 0
            for index in range(-(-self.bits // self._bits_per_block)):
                with await self._block(index) as buf:
                    valid = min(self._bits_per_block, self.bits - index * self._bits_per_block)
                    number = int.from_bytes(self._bits_of(buf), "little")
                reserved = (1 << self._lowest) - 1 if index == 0 else 0
                used += (number & ((1 << valid) - 1) | reserved).bit_count()
            freed = sum(length for _, length in self.pending)
            self.free_bits = self.bits - used + freed
        return self.free_bits

    async def allocate(self, origin: int, wanted: int = 1) -> tuple[int, int] | None:
        """Set up to `wanted` consecutive free bits, searching from `origin` on and then from the start.

        Returns the first bit and how many there are, or None when no bit is free (pending frees do not count).
        """
        blocks = -(-self.bits // self._bits_per_block)
        if not self._lowest <= origin < self.bits:
            origin = self._lowest
        first = origin // self._bits_per_block
        for step in range(blocks + 1):
            index = (first + step) % blocks
            floor = self._floor[index]
            start = max(origin % self._bits_per_block, floor) if step == 0 else floor
            limit = min(self._bits_per_block, self.bits - index * self._bits_per_block)
            if start >= limit:
                continue
            with await self._block(index) as buf:
                bits = self._bits_of(buf)
                bit = _first_zero(bits, start, limit)
                if bit < 0:
                    if start == floor:
                        self._floor[index] = limit
                    continue
                count = _zeros_from(bits, bit, min(limit, bit + wanted))
                if start == floor:
                    self._floor[index] = bit + count
                _fill(bits, bit, count, True)
                self._store(buf, bits)
            if self.free_bits is not None:
                self.free_bits -= count
            return index * self._bits_per_block + bit, count
        return None

    def claim(self, bit: int) -> bool:
        """Set one bit, if it is free and its map block is in memory: mostly what `allocate` would find first."""
        if self._width > 1 or not self._lowest <= bit < self.bits:
            return False
        index, within = divmod(bit, self._bits_per_block)
        buf = self._cache.get_cached(self._start_block + index)
        if buf is None:
            return False
        byte, mask = within >> 3, 1 << (within & 7)
        value = buf.data[byte]
        free = not value & mask
        if free:
            buf.data[byte] = value | mask
            self._cache.mark_dirty(buf, Order.MAP)
        self._cache.put(buf)
        if not free:
            return False
        if within == self._floor[index]:
            self._floor[index] = within + 1
        if self.free_bits is not None:
            self.free_bits -= 1
        return True

    def free(self, bit: int, count: int = 1) -> None:
        """The bits will be free once the change that let go of them is on the disk."""
        if self.free_bits is not None:
            self.free_bits += count
        while count:
            part = min(count, self._bits_per_block - bit % self._bits_per_block)
            self.pending.append((bit, part))
            bit += part
            count -= part

    async def apply_frees(self, freed: Callable[[int, int], object] = lambda bit, count: None) -> None:
        """Clear all pending bits and tell `freed` of each run that is now free. Their map blocks are dirty.

        On DeviceError what was not cleared stays pending; a run of which something was free already (Corrupt) is
        dropped: only a checker can tell what of it is in use.
        """
        self._merge_pending()
        while self.pending:
            run = self.pending.pop()
            try:
                await self._clear(*run)
            except DeviceError:
                self.pending.append(run)
                raise
            freed(*run)

    def _merge_pending(self) -> None:
        """Join pending runs that lie side by side in one map block: files deleted together are often neighbours."""
        merged: list[tuple[int, int]] = []
        for bit, count in sorted(self.pending):
            if merged and bit == sum(merged[-1]) and bit % self._bits_per_block:
                merged[-1] = (merged[-1][0], merged[-1][1] + count)
            else:
                merged.append((bit, count))
        self.pending = merged

    async def _clear(self, bit: int, count: int) -> None:
        while count:
            index, start = divmod(bit, self._bits_per_block)
            part = min(count, self._bits_per_block - start)
            with await self._block(index) as buf:
                bits = self._bits_of(buf)
                if not _all_ones(bits, start, part):
                    raise Corrupt(f"freeing a free {self._what}", block=buf.block)
                _fill(bits, start, part, False)
                self._store(buf, bits)
            if start < self._floor[index]:
                self._floor[index] = max(start, 0 if index else self._lowest)
            bit += part
            count -= part

    @property
    def lowest_free(self) -> int:
        """No bit below this one is free: as far as is known, and in the first map block."""
        return self._floor[0]

    async def _block(self, index: int) -> Buf:
        block = self._start_block + index
        return self._cache.get_cached(block) or await self._cache.get(block)

    def _bits_of(self, buf: Buf) -> memoryview | bytearray:
        """The block with bit n in byte n // 8: the buffer itself on little-endian volumes, else a converted copy."""
        return buf.data if self._width == 1 else _reversed_words(buf.data, self._width)

    def _store(self, buf: Buf, bits: memoryview | bytearray) -> None:
        if self._width > 1:
            buf.data[:] = _reversed_words(bits, self._width)
        self._cache.mark_dirty(buf, Order.MAP)


def _reversed_words(data: memoryview | bytearray, width: int) -> bytearray:
    """The bytes with those of every word of `width` bytes in reverse."""
    source, result = bytes(data), bytearray(len(data))
    for index in range(width):
        result[index::width] = source[width - 1 - index :: width]
    return result


def _window(bits: memoryview | bytearray, start: int, length: int) -> tuple[int, int, int]:
    """The bytes that hold bits [start, start + length): first byte, end byte, and their value as an integer."""
    first, end = start >> 3, (start + length + 7) >> 3
    return first, end, int.from_bytes(bits[first:end], "little")


def _first_zero(bits: memoryview | bytearray, start: int, limit: int) -> int:
    """The first clear bit in [start, limit), or -1."""
    end = min(limit, ((start >> 3) + _WINDOW) * 8)
    if start >= limit:
        return -1
    _, _, value = _window(bits, start, end - start)
    inverted = ~(value >> (start & 7)) & ((1 << (end - start)) - 1)
    if inverted:
        return start + (inverted & -inverted).bit_length() - 1
    if end == limit:
        return -1
    rest = bytes(bits[end >> 3 : (limit + 7) >> 3])
    full = len(rest) - len(rest.lstrip(b"\xff"))
    if full == len(rest):
        return -1
    value = ~rest[full] & 0xFF
    bit = end + full * 8 + (value & -value).bit_length() - 1
    return bit if bit < limit else -1


def _zeros_from(bits: memoryview | bytearray, start: int, limit: int) -> int:
    """How many bits from `start` on are clear, up to `limit`."""
    if limit - start == 1:
        return 1
    _, _, value = _window(bits, start, limit - start)
    value >>= start & 7
    length = limit - start
    if value:
        length = min(length, (value & -value).bit_length() - 1)
    return length


def _all_ones(bits: memoryview | bytearray, start: int, count: int) -> bool:
    _, _, value = _window(bits, start, count)
    mask = (1 << count) - 1
    return (value >> (start & 7)) & mask == mask


def _fill(bits: memoryview | bytearray, start: int, count: int, ones: bool) -> None:
    first, end, value = _window(bits, start, count)
    mask = ((1 << count) - 1) << (start & 7)
    value = value | mask if ones else value & ~mask
    bits[first:end] = value.to_bytes(end - first, "little")
