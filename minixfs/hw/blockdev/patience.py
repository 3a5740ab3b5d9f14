"""How long the event loop waits for a disk itself, before it sends a thread.

The way to a thread and back costs some 200 microseconds, which is more than a quick disk takes. So one kind of work is
done in place as long as the disk is quick at it, and offloaded for a while once it was slow again and again:

    if patience.lasts():
        with patience.waiting_for(size): ...work in place...
    else: ...offload it...
"""

from __future__ import annotations

import time
from types import TracebackType

PATIENCE = 0.001
"""Seconds that work in place may take. What it takes longer is held against the disk, what it saves is paid back."""
QUICK = 500e6
"""Bytes a second of a quick disk: what is moved may take so much longer."""
FORBEARANCE = 0.02
"""Seconds that may be held against the disk before it counts as slow: any disk is slow now and then."""
WARY = 50
"""Pieces of work that are offloaded once the disk counts as slow."""


class Patience:
    """`_late`: seconds held against the disk; `wary`: pieces of work still to be offloaded because it was slow."""

    __slots__ = ("_due", "_late", "wary")

    def __init__(self) -> None:
        self._late = self._due = 0.0
        self.wary = 0

    def lasts(self) -> bool:
        """Whether the next piece of work is to be done in place."""
        if self.wary:
            self.wary -= 1
            return False
        return True

    def waiting_for(self, size: int) -> Patience:
        """To be entered for work in place that moves `size` bytes."""
        self._due = time.monotonic() + PATIENCE + size / QUICK
        return self

    def __enter__(self) -> None:
        """The clock runs since `waiting_for`."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._late = max(0.0, self._late + time.monotonic() - self._due)
        if self._late > FORBEARANCE:
            self._late, self.wary = 0.0, WARY
