"""Whether a small read that has to wait for the disk fetches what lies around it, too.

Most of what a disk takes for a small piece it takes for getting there; a few neighbours cost little more, and what is
read next often is among them: small files, the blocks of a directory, the records of a database. As the kernel does for
mapped files, this goes on for as long as it pays: a fetch costs credit, and a small read that finds its data in the
host's memory earns it back. So a disk that is read in any order, and hardly ever in the same place, is soon read piece
by piece.
"""

from __future__ import annotations

WINDOW = 1 << 16
"""Bytes that are fetched together: those of the aligned windows that the piece is in."""
SMALL = WINDOW // 4
"""Bytes of the largest piece that anything is fetched around."""
CREDIT = 1024
"""Fetches that may be in vain, in a row, before there are no more: enough to get to know a file of 200 MB."""


class ReadAround:
    """What has been earned and spent on one device."""

    def __init__(self) -> None:
        self._credit = CREDIT

    def hit(self) -> None:
        """A small read did not have to wait."""
        if self._credit < CREDIT:
            self._credit += 1

    def miss(self, offset: int, length: int) -> tuple[int, int] | None:
        """A small read has to wait: the offset and length of what to fetch, or None for no more than the piece."""
        if not self._credit:
            return None
        self._credit -= 1
        start = offset - offset % WINDOW
        return start, offset + length + -(offset + length) % WINDOW - start
