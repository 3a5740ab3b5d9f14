"""The time of day."""

from __future__ import annotations

import time

NS = 1_000_000_000

_CLOCK_REALTIME_COARSE = 5  # <time.h>


def coarse_clock() -> int:
    """Nanoseconds since the epoch at the last tick. The kernel takes the times of files from there, and time(2) its
    seconds: to a checker that runs right after us a more exact time may lie in the future. And a kernel that writes to
    a file in the very tick that it was made in has no new times to tell us."""
    return time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)


def coarse_seconds() -> int:
    """Whole seconds since the epoch, by the same clock."""
    return coarse_clock() // NS


def seconds_stored() -> int:
    """The same as 32 bits hold it, which is what superblocks and inodes have for it."""
    return coarse_seconds() & 0xFFFFFFFF
