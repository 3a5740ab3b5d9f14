"""The blocks of a volume under check: bulk reads through the device, and repairs that stay in memory until `apply`.

Rules: block numbers given to this class are already checked to lie on the volume. `read_blocks` sees all
repairs made so far. `edit` returns the bytes of one block for changing in place. `copy_block` gives one
block the contents that another has on the device; data is not held in memory for that. `apply` writes
everything, in an order in which an interrupted run leaves a volume that can be checked again: the superblock with the
unclean mark; copies and blocks that nothing on the device uses yet; everything else; after a flush the superblock as
it is to be.

Memory is accounted for in a `Budget`; a volume that needs more than it allows is refused, not swapped to
death.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minixfs.errors import DeviceError, Unsupported
from minixfs.hw.blockdev.device import BlockDevice

if TYPE_CHECKING:
    from minixfs.fsck.undo import Write

SUPERBLOCK_OFFSET = 1024
"""Where the superblock is, in every format (bytes)."""
BATCH = 1 << 20
"""Bytes read at a time."""
_RECYCLED = 31 << 20
"""Bytes: the largest array whose memory glibc can be taught to keep."""
WRITING = 6
"""The number of the stage after the last pass."""


class Progress(NamedTuple):
    """How far a check has come: the pass (1 to 5, as e2fsck counts them), what it looks at, how many blocks it has
    read, and about how many it has to. Passes are repeated after repairs.
    """

    number: int
    stage: str
    done: int
    total: int


Tick = Callable[[Progress], None]


class Budget:
    """How many bytes of memory the check may still use: `left`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.left = limit

    def spend(self, size: int) -> None:
        """Note memory that is kept to the end. Raises Unsupported when the limit is reached."""
        self.need(size)
        self.left -= size

    def need(self, size: int) -> None:
        """Note memory that is given back soon. Raises Unsupported as `spend` does."""
        if size > self.left:
            raise Unsupported(
                f"checking this volume needs more than {self._limit >> 20} MiB of memory", "raise the limit"
            )


def claim(in_use: NDArray[np.bool_], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Mark the `wanted` of what is numbered in `in_use`; return those that were marked already, or are wanted twice."""
    if not len(wanted):
        return wanted
    near = in_use[int(wanted.min()) : int(wanted.max()) + 1]
    before = int(np.count_nonzero(near))
    again = wanted[in_use[wanted]]
    in_use[wanted] = True
    if int(np.count_nonzero(near)) == before + len(wanted):
        return again
    return np.append(again, wanted[repeated(wanted)])


def distinct(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each once, ascending. np.unique without options loads masked arrays first, which takes 10 ms."""
    ordered = np.sort(numbers)
    first = np.ones(len(ordered), np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    return ordered[first]


def repeated(keys: NDArray[Any]) -> NDArray[np.int64]:
    """Where in `keys` those are that are there more than once."""
    ordered = np.sort(keys)
    more = ordered[1:] == ordered[:-1]
    return np.flatnonzero(np.isin(keys, ordered[1:][more])) if more.any() else np.zeros(0, np.int64)


def _keep_memory() -> None:
    """See to it that large arrays share memory that is quick to touch; none is taken before it is touched.

    glibc hands memory back to the system and gets it afresh for every large array, until the program has given back one
    once: what arrays up to that size have used it keeps from then on. Where numpy then makes large arrays it asks the
    system for huge pages, which come with far fewer faults, and which serve the arrays that lie there later.
    """
    np.empty(_RECYCLED, np.uint8)
    arrays = [np.empty(size, np.uint8) for size in (_RECYCLED, _RECYCLED // 2)]
    del arrays


def _never_stop(progress: Progress) -> None:
    """The tick while writing."""


async def _no_barrier() -> None:
    """Where nothing is written."""


class Blocks:
    """One volume being checked, whose indirect blocks are made of `pointer`.

    `tick` is called with the progress for each batch; it may raise to stop.
    """

    def __init__(
        self, device: BlockDevice, block_size: int, pointer: np.dtype[Any], budget: Budget, tick: Tick
    ) -> None:
        self.device = device
        self.budget = budget
        self.tick = tick
        self.block_size = block_size
        self._progress = Progress(1, "superblock", 0, 0)
        self._changed: dict[int, bytearray] = {}
        self._copies: dict[int, int] = {}
        self._new: set[int] = set()
        self._pointer = pointer
        _keep_memory()

    @property
    def batch_blocks(self) -> int:
        """Blocks in a batch of reads."""
        return max(1, BATCH // self.block_size)

    def begin(self, number: int, stage: str, total: int = 0) -> None:
        """A stage begins, which will read about `total` blocks. Raises what `tick` raises."""
        self._progress = Progress(number, stage, 0, total)
        self.tick(self._progress)

    @property
    def changed(self) -> bool:
        return bool(self._changed or self._copies)

    # ---- reading ---------------------------------------------------------------------------------------------------

    async def read_blocks(self, blocks: NDArray[Any]) -> NDArray[np.uint8]:
        """The contents of `blocks`, in their order, as rows. Callers keep to `batch_blocks` at a time."""
        done = min(self._progress.done + len(blocks), self._progress.total)
        self._progress = self._progress._replace(done=done)
        self.tick(self._progress)
        wanted = blocks.astype(np.int64)
        mine: list[tuple[int, bytearray]] = []
        if self.changed:
            for position, block in enumerate(wanted.tolist()):
                if block in self._changed:
                    mine.append((position, self._changed[block]))
                elif block in self._copies:
                    wanted[position] = self._copies[block]
        steps = wanted[1:] - wanted[:-1]
        rows = await self._read_ascending(wanted, steps) if (steps > 0).all() else await self._read_any(wanted)
        if mine and not rows.flags.writeable:
            rows = rows.copy()
        for position, data in mine:
            rows[position] = np.frombuffer(data, np.uint8)
        return rows

    async def _read_any(self, blocks: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Blocks in any order, and any number of times."""
        ascending, place = np.unique(blocks, return_inverse=True)
        return (await self._read_ascending(ascending, ascending[1:] - ascending[:-1]))[place]

    async def _read_ascending(self, blocks: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Distinct blocks in ascending order, with the `steps` between them; the result may be read-only."""
        size, edges = self.block_size, np.flatnonzero(steps != 1) + 1
        if len(edges):
            starts, ends = np.append(0, edges), np.append(edges, len(blocks))
            offsets, lengths = blocks[starts] * size, (ends - starts) * size
            pieces = await self.device.gather(offsets.tolist(), lengths.tolist())
            return np.frombuffer(pieces, np.uint8).reshape(-1, size)
        rows = np.empty((len(blocks), size), np.uint8)
        if len(blocks):
            await self._read(int(blocks[0]), rows)
        return rows

    async def read_run(self, start: int, count: int) -> NDArray[np.uint8]:
        """`count` consecutive blocks as one row of bytes."""
        return (await self.read_blocks(np.arange(start, start + count))).reshape(-1)

    async def read_pointers(self, blocks: NDArray[Any]) -> NDArray[Any]:
        """Indirect blocks as rows of zone numbers, in the volume's own integers."""
        return (await self.read_blocks(blocks)).view(self._pointer)

    async def _read(self, start: int, rows: NDArray[np.uint8]) -> None:
        offset = start * self.block_size
        if await self.device.read(offset, [rows.reshape(-1).data]) != rows.size:
            raise DeviceError(message=f"{self.device.name}: read past the end at byte {offset}")

    # ---- changing --------------------------------------------------------------------------------------------------

    async def edit(self, block: int) -> bytearray:
        """The contents of `block`, to be changed in place."""
        if block not in self._changed:
            self.budget.spend(self.block_size)
            data = await self.read_blocks(np.array([block]))
            self._changed[block] = bytearray(data.tobytes())
            self._copies.pop(block, None)
        return self._changed[block]

    async def edit_pointers(self, block: int) -> NDArray[Any]:
        """An indirect block as zone numbers, to be changed in place."""
        return np.frombuffer(await self.edit(block), self._pointer)

    def zero_block(self, block: int) -> None:
        """Make a block that nothing uses yet all zeroes."""
        self.budget.spend(self.block_size)
        self._changed[block] = bytearray(self.block_size)
        self._copies.pop(block, None)
        self._new.add(block)

    def copy_block(self, source: int, target: int) -> None:
        """Make `target`, which nothing uses yet, a copy of `source`."""
        self._new.add(target)
        if source in self._changed:
            self.budget.spend(self.block_size)
            self._changed[target] = bytearray(self._changed[source])
        else:
            self.budget.spend(100)
            self._copies[target] = self._copies.get(source, source)

    # ---- writing ---------------------------------------------------------------------------------------------------

    async def store(self, unclean: bytes, final: bytes, undo: str | None = None, guarded: int = 0) -> None:
        """Store all repairs, with the superblock `unclean` meanwhile and `final` after; return when they are durable.

        `undo` names a new file for what is overwritten (see `minixfs.fsck.undo`), `guarded` is how many bytes of
        metadata the volume begins with. Raises DeviceError; the volume can then be checked again. Raises OSError when
        the undo file cannot be written; nothing has been changed then.
        """
        self.begin(WRITING, "writing")
        if undo is not None:
            from minixfs.fsck.undo import write_undo

            await write_undo(undo, self.device, self._writes(unclean, final, _no_barrier), guarded)
        self.tick = _never_stop
        async for offset, data in self._writes(unclean, final, self.device.flush):
            if await self.device.write(offset, [data]) != len(data):
                raise DeviceError(message=f"{self.device.name}: {len(data)} bytes at {offset} were not stored")

    async def _writes(
        self, unclean: bytes, final: bytes, barrier: Callable[[], Awaitable[None]]
    ) -> AsyncIterator[Write]:
        """All that has to be written, in its order; `barrier` is awaited where everything before must be durable."""
        size = self.block_size
        if self.changed:
            yield await self._superblock_sectors(unclean)
            await barrier()
            targets = sorted(self._copies)
            for start in range(0, len(targets), self.batch_blocks):
                part = targets[start : start + self.batch_blocks]
                rows = await self._read_any(np.array([self._copies[block] for block in part]))
                for block, row in zip(part, rows, strict=True):
                    yield block * size, row.tobytes()
            for block in sorted(self._new & self._changed.keys()):
                yield block * size, self._changed[block]
            await barrier()
            for block in sorted(self._changed.keys() - self._new):
                yield block * size, self._changed[block]
            await barrier()
        yield await self._superblock_sectors(final)
        await barrier()

    async def _superblock_sectors(self, superblock: bytes) -> Write:
        """The whole sectors that hold what is to be at SUPERBLOCK_OFFSET, and where they are."""
        sector = max(self.device.sector_size, 1)
        start = SUPERBLOCK_OFFSET // sector * sector
        end = -(-(SUPERBLOCK_OFFSET + len(superblock)) // sector) * sector
        data = bytearray(end - start)
        await self.device.read(start, [data])
        position = SUPERBLOCK_OFFSET - start
        data[position : position + len(superblock)] = superblock
        return start, data
