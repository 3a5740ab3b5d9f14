"""Writes partition tables of the PC kind: the counterpart of `partition.scan`.

`sector` makes the 512 bytes that hold a table of up to four `Slot`s. There is no boot code in it, and no disk
identifier, so equal tables are equal bytes. First sectors count from the start of the disk, in a MINIX sub-partition
table as well (spec/filesystems.md 8.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minixfs.errors import InvalidArgument
from minixfs.hw.blockdev.partition import ENTRY, MINIX, SIGNATURE, TABLE, UNUSED

SLOTS = 4
SECTOR_MAX = 0xFFFFFFFF
"""The table counts sectors in 32 bits: 2 TiB."""

_HEADS, _TRACK = 255, 63
"""The geometry that every tool assumes today, for the fields that nobody reads any more."""
_FAR = bytes((0xFE, 0xFF, 0xFF))
"""For an address that cylinder, head and sector cannot express."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One entry: `count` sectors from sector `first` on. A count of 0 is an unused entry."""

    first: int = 0
    count: int = 0
    active: bool = False

    @property
    def end(self) -> int:
        return self.first + self.count


def sector(slots: Sequence[Slot]) -> bytes:
    """A sector with this table of MINIX partitions. Raises InvalidArgument if it cannot hold them."""
    if len(slots) > SLOTS or any(slot.end > SECTOR_MAX for slot in slots):
        raise InvalidArgument(message=f"a partition table holds {SLOTS} partitions within 2 TiB")
    entries = b"".join(map(_entry, slots))
    return bytes(TABLE) + entries.ljust(SLOTS * ENTRY.size, b"\0") + SIGNATURE


def _entry(slot: Slot) -> bytes:
    used = slot.count > 0
    return ENTRY.build(
        {
            "flag": 0x80 if used and slot.active else 0,
            "chs_first": _chs(slot.first) if used else bytes(3),
            "type": MINIX if used else UNUSED,
            "chs_last": _chs(slot.end - 1) if used else bytes(3),
            "first": slot.first if used else 0,
            "count": slot.count,
        }
    )


def _chs(address: int) -> bytes:
    """Head, sector with the high bits of the cylinder, cylinder."""
    track, within = divmod(address, _TRACK)
    cylinder, head = divmod(track, _HEADS)
    if cylinder > 1023:
        return _FAR
    return bytes((head, within + 1 | cylinder >> 8 << 6, cylinder & 0xFF))
