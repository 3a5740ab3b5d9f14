"""The page pool: the physical memory of the stack.

One memfd of `frames` pages of 4096 bytes, mapped once and seen both as a `memoryview` (`memory`) and as a numpy
array (`array`, shape (frames, 4096), uint8). Any process that is given the fd can map the same pages. A frame is
either free or has a positive reference count. Frame 0 is never handed out, so that 0 can mean "none" in tables.

    frame = pool.allocate(2)     two consecutive frames, reference count 1 each; None when the pool is exhausted
    pool.retain(frame, 2)        one more user
    pool.release(frame, 2)       one user less; each frame without users is free again

Invariants (`check`): every frame but 0 is either in exactly one free run or has a count > 0; free runs do not
overlap. The pool knows nothing of what is in the pages; `pagecache` does, and gives pages back when the pool runs
dry.
"""

from __future__ import annotations

import mmap
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

from minixfs.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy as np

PAGE_SIZE = 4096


class PagePool:
    """`frames` pages. `free_frames` counts those that nobody uses."""

    def __init__(self, frames: int) -> None:
        self.fd = -1
        if frames < 2:
            raise InvalidArgument(message=f"a page pool of {frames} frames is too small")
        self.frames = frames
        self.fd = os.memfd_create("minixfs-pages", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, frames * PAGE_SIZE)
        self._map = mmap.mmap(self.fd, frames * PAGE_SIZE)
        self.memory = memoryview(self._map)
        self.free_frames = frames - 1
        self._counts = [0] * frames
        self._fresh = 1
        self._free: dict[int, list[int]] = {}

    @cached_property
    def array(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """All pages as an array of shape (frames, 4096)."""
        import numpy as np

        return np.frombuffer(self._map, np.uint8).reshape(self.frames, PAGE_SIZE)

    def view(self, frame: int, size: int) -> memoryview:
        """`size` bytes from the start of `frame` on."""
        start = frame * PAGE_SIZE
        return self.memory[start : start + size]

    def allocate(self, count: int = 1) -> int | None:
        """The first of `count` consecutive free frames, now used once; None when there are none. Contents are old."""
        stack = self._free.get(count)
        if stack:
            frame = stack.pop()
        elif self._fresh + count <= self.frames:
            frame = self._fresh
            self._fresh += count
        else:
            found = self._coalesce(count)
            if found is None:
                return None
            frame = found
        self.free_frames -= count
        self._counts[frame : frame + count] = [1] * count
        return frame

    def retain(self, frame: int, count: int = 1) -> None:
        for index in range(frame, frame + count):
            self._counts[index] += 1

    def release(self, frame: int, count: int = 1) -> None:
        """Drop one use of `count` consecutive frames. A single page of a block may have more users than the others."""
        start, end = frame, frame + count
        for index in range(frame, end):
            self._counts[index] -= 1
            if self._counts[index]:
                self._give_back(start, index)
                start = index + 1
        self._give_back(start, end)

    def users(self, frame: int, count: int = 1) -> int:
        """How often the most used one of `count` consecutive frames is used."""
        return self._counts[frame] if count == 1 else max(self._counts[frame : frame + count])

    def _give_back(self, start: int, end: int) -> None:
        if start < end:
            self._free.setdefault(end - start, []).append(start)
            self.free_frames += end - start

    def _coalesce(self, count: int) -> int | None:
        """Join free runs of every length into longest runs and take `count` frames from the first that holds them."""
        single = sorted(f for n, run in self._free.items() for start in run for f in range(start, start + n))
        single.extend(range(self._fresh, self.frames))
        self._fresh = self.frames
        self._free = {}
        found: int | None = None
        position = 0
        while position < len(single):
            end = position + 1
            while end < len(single) and single[end] == single[end - 1] + 1:
                end += 1
            start, length = single[position], end - position
            if found is None and length >= count:
                found, start, length = start, start + count, length - count
            for offset in range(0, length - length % count, count):
                self._free.setdefault(count, []).append(start + offset)
            for offset in range(length - length % count, length):
                self._free.setdefault(1, []).append(start + offset)
            position = end
        return found

    def check(self) -> None:
        """Assert the invariants (tests)."""
        free = [f for n, run in self._free.items() for start in run for f in range(start, start + n)]
        free.extend(range(self._fresh, self.frames))
        assert len(free) == len(set(free)) == self.free_frames
        assert all(not self._counts[frame] for frame in free)
        assert sum(1 for count in self._counts[1:] if count) == self.frames - 1 - self.free_frames

    def __del__(self) -> None:
        self.close()  # the descriptor is a number, which nobody else gives back

    def close(self) -> None:
        """Give the memory back. Views that are still held keep it alive until they go."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
