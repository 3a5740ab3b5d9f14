"""The time of day."""

from __future__ import annotations

import time

_CLOCK_REALTIME_COARSE = 5  # <time.h>


def coarse_clock() -> float:
    """Seconds since the epoch at the last tick. The kernel takes the times of files from there, and time(2) its
    seconds: to a checker that runs right after us a more exact time may lie in the future."""
    return time.clock_gettime(_CLOCK_REALTIME_COARSE)
