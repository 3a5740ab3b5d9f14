"""Partitions of the PC kind: who owns which sectors of a disk, and a device that is one of them.

`scan` reads the tables, `choices` and `listing` say what a user can pick, `Slice` is the device. Rules are
those of MINIX (spec/hardware.md 4.2, spec/filesystems.md 8.1): primary partitions ``p0``..``p3`` are numbered
in the order of their place on the disk; a MINIX partition may hold a table of its own, whose entries
``p0s0``..``p0s3`` keep their order and count sectors from the start of the *disk*; the logical partitions of
an extended one are its first four ``s``. Everything is clipped to its parent, so a bad table cannot reach
outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import add
from typing import Any, NamedTuple, TypeVar

from minixfs.errors import DeviceError, InvalidArgument
from minixfs.hw.blockdev.device import BlockDevice, Buffer, Data, clip_buffers
from minixfs.hw.blockdev.wrapper import Wrapper
from minixfs.layouts import U8, U32, Record, octets

T = TypeVar("T", bound=Data)
Entry = dict[str, Any]
"""One entry of a table, by the names in `ENTRY`."""

SECTOR = 512
UNUSED, MINIX = 0x00, 0x81
EXTENDED = (0x05, 0x0F)
MAX_LOGICAL = 4

ENTRY = Record(
    flag=U8,  # 0x80: active
    chs_first=octets(3),
    type=U8,
    chs_last=octets(3),
    first=U32,
    count=U32,
)
TABLE = 446
"""Where in its sector a table begins: four entries and the signature."""
SIGNATURE = b"\x55\xaa"

_TYPE_NAMES = {
    0x05: "extended",
    0x0B: "FAT32",
    0x0C: "FAT32",
    0x0F: "extended",
    0x80: "old MINIX",
    0x81: "MINIX",
    0x82: "Linux swap",
    0x83: "Linux",
    0xEE: "GPT",
}


class Partition(NamedTuple):
    """One partition that is not empty; `start` and `size` in bytes from the start of the disk."""

    name: str
    start: int
    size: int
    type: int
    active: bool

    def __str__(self) -> str:
        return f"{type_name(self.type)}, {_human(self.size)}{', active' if self.active else ''}"


def type_name(number: int) -> str:
    """What the type byte of an entry says, in a word or two."""
    return _TYPE_NAMES.get(number, f"type {number:#04x}")


async def scan(device: BlockDevice) -> list[Partition]:
    """All partitions of a whole disk, each followed by its subpartitions; none without a readable table."""
    disk_end = min(device.size // SECTOR, 0xFFFFFFFF)
    found: list[Partition] = []

    def add(name: str, entry: Entry, base: int, low: int, high: int) -> tuple[int, int]:
        """Note the part of `entry`, which counts from sector `base`, within low..high; return its bounds."""
        first = max(base + entry["first"], low)
        limit = max(first, min(base + entry["first"] + entry["count"], high))
        if limit > first:
            size = (limit - first) * SECTOR
            found.append(Partition(name, first * SECTOR, size, entry["type"], entry["flag"] == 0x80))
        return first, limit

    for index, entry in enumerate(_in_disk_order(await _read_table(device, 0))):
        name = f"p{index}"
        first, limit = add(name, entry, 0, 0, disk_end)
        if first == limit:
            continue
        if entry["type"] == MINIX:
            for sub, inner in enumerate(await _read_table(device, first)):
                add(f"{name}s{sub}", inner, 0, first, limit)
        elif entry["type"] in EXTENDED:
            for sub, (base, inner) in enumerate(await _logical(device, first)):
                add(f"{name}s{sub}", inner, base, 0, disk_end)
    return found


async def _read_table(device: BlockDevice, sector: int) -> list[Entry]:
    """The entries of the table in `sector`; none when that is no table.

    A boot sector of a file system also ends in the signature, but has code where the flags would be.
    """
    unit = max(SECTOR, device.sector_size)
    within = sector * SECTOR % unit
    buffer = bytearray(unit)  # what lies past the end of the disk stays zero, which is no table
    try:
        await device.read(sector * SECTOR - within, [buffer])
    except DeviceError:
        return []
    table = buffer[within + TABLE : within + SECTOR]
    entries = [ENTRY.parse(table[index * ENTRY.size :]) for index in range(4)]
    if table[4 * ENTRY.size :] != SIGNATURE or any(entry["flag"] not in (0, 0x80) for entry in entries):
        return []
    return entries


def _in_disk_order(entries: list[Entry]) -> list[Entry]:
    """By first sector, unused entries last; equal ones keep their order."""
    return sorted(entries, key=lambda entry: (entry["type"] == UNUSED, entry["first"] if entry["type"] else 0))


async def _logical(device: BlockDevice, extended: int) -> list[tuple[int, Entry]]:
    """Follow the chain of tables that starts at sector `extended`.

    Returns the entries of the logical partitions, each with the sector that it counts from, which is the one
    of its own table; an entry for the next table counts from the first table.
    """
    found: list[tuple[int, Entry]] = []
    link = 0
    seen: set[int] = set()
    while link not in seen and len(found) < MAX_LOGICAL:
        seen.add(link)
        base, link = extended + link, 0
        for entry in _in_disk_order(await _read_table(device, base)):
            if entry["type"] in EXTENDED:
                link = entry["first"]
            elif entry["type"] != UNUSED:
                found.append((base, entry))
    return found[:MAX_LOGICAL]


def choices(partitions: Sequence[Partition]) -> list[Partition]:
    """Those that can hold a file system: in use, and not merely a frame around other ones."""
    used = [partition for partition in partitions if partition.type not in (UNUSED, *EXTENDED)]
    frames = {partition.name[:2] for partition in used if len(partition.name) > 2}
    return [partition for partition in used if partition.name not in frames]


def boot_partition(partitions: Sequence[Partition]) -> str | None:
    """Where MINIX would start from: the one active part of a partition that is active itself."""
    active = {partition.name for partition in partitions if partition.active}
    usable = [partition.name for partition in choices(partitions) if partition.type == MINIX]
    found = [name for name in usable if name in active and name[:2] in active]
    return found[0] if len(found) == 1 else None


def listing(image: str, partitions: Sequence[Partition]) -> str:
    """What a user can choose, in one line: ``disk.img:p0s0 (MINIX, 64.0 MiB, active), ...``"""
    return ", ".join(f"{image}:{partition.name} ({partition})" for partition in choices(partitions))


def _human(size: int) -> str:
    for shift, unit in ((30, "GiB"), (20, "MiB")):
        if size >= 1 << shift:
            return f"{size / (1 << shift):.1f} {unit}"
    return f"{size / 1024:.1f} KiB"


class Slice(Wrapper):
    """`size` bytes of `parent` from `start` on, as a device. What lies outside the parent is cut off.

    Raises InvalidArgument when `start` is not on a sector of the parent. `owns_parent`: closing closes the
    parent too.
    """

    def __init__(
        self,
        parent: BlockDevice,
        start: int,
        size: int,
        *,
        name: str | None = None,
        owns_parent: bool = False,
    ) -> None:
        super().__init__(parent)
        if start < 0 or start % parent.sector_size:
            raise InvalidArgument(message=f"{parent.name}: {start} is not the start of a sector")
        self.start = start
        self.size = max(0, min(size, parent.size - start))
        self.size -= self.size % self.sector_size
        self.name = name or f"{parent.name}@@{start}"
        self._owns_parent = owns_parent

    async def read(self, offset: int, buffers: Sequence[Buffer]) -> int:
        inside = self._inside(offset, buffers)
        return await self.inner.read(self.start + offset, inside) if inside else 0

    async def gather(self, offsets: Sequence[int], lengths: Sequence[int]) -> bytes | bytearray:
        if offsets and not 0 <= min(offsets) <= max(map(add, offsets, lengths)) <= self.size:
            raise DeviceError(message=f"{self.name}: read past the end")
        return await self.inner.gather([self.start + offset for offset in offsets], lengths)

    async def write(self, offset: int, buffers: Sequence[Data]) -> int:
        self.check_writable()
        inside = self._inside(offset, buffers)
        return await self.inner.write(self.start + offset, inside) if inside else 0

    async def discard(self, offset: int, length: int) -> None:
        self.check_writable()
        length = self.clip(offset, length)
        if length:
            await self.inner.discard(self.start + offset, length)

    def close(self) -> None:
        if self._owns_parent:
            self.inner.close()

    def _inside(self, offset: int, buffers: Sequence[T]) -> Sequence[T | memoryview]:
        """The part of `buffers` that lies on the slice; empty when a transfer would move nothing."""
        wanted = sum(map(len, buffers))
        length = self.clip(offset, wanted)
        return buffers if length == wanted else clip_buffers(buffers, length)
