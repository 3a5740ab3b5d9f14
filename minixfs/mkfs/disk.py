"""Lays out whole MINIX disks: one primary partition, in it sub-partitions for root, /home and /usr.

`plan` says which sectors belong to whom, or with a UsageError why the wish cannot be met; it touches nothing. `clear`
then unmakes what was on the disk, the caller makes a file system in each part (`volume`), and `write_tables`, last of
all, makes it a disk: until then it holds nothing that anybody could mistake for a whole one.

Two layouts (specification: file systems, 8.2), both with the table of the sub-partitions in the first sector of the
primary partition:

* ``installed``, what MINIX's installer makes: the root 32 sectors into the partition, which are left for boot code,
  then /home (s1) and /usr (s2). The partition itself starts at 1 MiB, where every tool of today starts the first one;
* ``release``, what MINIX is handed out as: tables in sectors 0 and 1, the root from sector 2 on, no /home, then /usr,
  and the whole a multiple of 2048 sectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from minixfs.errors import DeviceError, UsageError
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.blockdev.partition import SECTOR, Slice
from minixfs.hw.blockdev.table import SECTOR_MAX, Slot, sector
from minixfs.mkfs.mfs import USAGE

PARTS = {"root": b"/", "home": b"/home", "usr": b"/usr"}
"""The parts of a disk, in the order of their sub-partitions ``p0s0``..``p0s2``, and where they belong in the tree."""
ROOT_SIZE = 64 << 20
"""Bytes that the root has unless said otherwise."""
HOME_SHARE = 5
"""/home has one part in so many of what the root leaves, unless said otherwise."""
STEP = 8
"""Sectors; the sizes that we choose are multiples of it, the usual block size."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the primary partition starts and, after that, the root; `padding`: what the disk is a multiple of. All in
    sectors."""

    start: int
    gap: int
    padding: int
    has_home: bool


LAYOUTS = {
    "installed": Layout(start=2048, gap=32, padding=1, has_home=True),
    "release": Layout(start=1, gap=1, padding=64 * 32, has_home=False),
}


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk to make. `size` in bytes; `parts` has a slot for each of `PARTS`, with a count of 0 for none."""

    size: int
    primary: Slot
    parts: dict[str, Slot]


def plan(layout: str, size: int | None, wishes: Mapping[str, int | None]) -> Disk:
    """A disk of `size` bytes, or with None one that has room for its parts. `wishes` are the sizes of parts in bytes.

    The root has 64 MiB unless said otherwise, /home a fifth of the rest, /usr what is left; /home what is left if
    only /usr has a size. A part of 0 bytes is left out. Raises UsageError.
    """
    form = LAYOUTS[layout]
    wanted = {name: None if bytes_ is None else -(-bytes_ // SECTOR) for name, bytes_ in wishes.items()}
    first = form.start + form.gap
    end = None if size is None else size // SECTOR
    if not form.has_home:
        if wanted.get("home"):
            raise UsageError(f"the {layout} layout has no /home; leave its size out", USAGE)
        wanted["home"] = 0
    if wanted.get("root") == 0:
        raise UsageError("a disk needs a root", USAGE)
    counts = _share(end and end - first, wanted)
    parts: dict[str, Slot] = {}
    for name in PARTS:
        parts[name] = Slot(first, counts[name], active=name == "root") if counts[name] else Slot()
        first += counts[name]
    total = -(-max(first, end or 0) // form.padding) * form.padding
    if total > SECTOR_MAX:
        raise UsageError("a partition table reaches 2 TiB; choose smaller parts", USAGE)
    primary = Slot(form.start, first - form.start, active=True)
    return Disk(total * SECTOR, primary, parts)


def _share(room: int | None, wanted: Mapping[str, int | None]) -> dict[str, int]:
    """How many sectors each part gets of the `room` for all of them."""
    root = wanted.get("root")
    home, usr = wanted.get("home"), wanted.get("usr")
    root = ROOT_SIZE // SECTOR if root is None else root
    if room is None:
        if home is None or usr is None:
            raise UsageError("give the size of the disk, or that of every part of it", USAGE)
        return {"root": root, "home": home, "usr": usr}
    left = max(room - root, 0)
    if home is None:
        home = (left // HOME_SHARE if usr is None else max(left - usr, 0)) // STEP * STEP
    usr = max(left - home, 0) // STEP * STEP if usr is None else usr
    if root + home + usr > room:
        needed, there = (sectors * SECTOR >> 10 for sectors in (root + home + usr, room))
        raise UsageError(f"the parts need {needed} KiB, the disk has {there} KiB for them", USAGE)
    return {"root": root, "home": home, "usr": usr}


def volume(device: BlockDevice, disk: Disk, name: str) -> Slice:
    """The part called `name` as a device of its own; closing it leaves `device` open."""
    slot = disk.parts[name]
    return Slice(device, slot.first * SECTOR, slot.count * SECTOR, name=f"{device.name}:{partition_of(name)}")


def partition_of(name: str) -> str:
    return f"p0s{list(PARTS).index(name)}"


async def clear(device: BlockDevice, disk: Disk) -> None:
    """Unmake what the disk held: no table and no superblock is left in front of the root."""
    await _write(device, 0, bytes(disk.parts["root"].first * SECTOR))
    await device.flush()


async def write_tables(device: BlockDevice, disk: Disk) -> None:
    """Make a disk of it, once every part holds its file system."""
    await device.flush()
    await _write(device, disk.primary.first * SECTOR, sector(list(disk.parts.values())))
    await _write(device, 0, sector([disk.primary]))
    await device.flush()


async def _write(device: BlockDevice, offset: int, data: bytes) -> None:
    if await device.write(offset, [data]) != len(data):
        raise DeviceError(message=f"{device.name}: write at byte {offset} was cut short")


def fstab(disk: Disk) -> bytes:
    """An /etc/fstab for the root, as MINIX's installer writes it."""
    lines = [
        f"/dev/c0d0{partition_of(name)}\t{where.decode()}\tmfs\trw\t0\t{1 if name == 'root' else 2}\n"
        for name, where in PARTS.items()
        if disk.parts[name].count
    ]
    return "".join(lines).encode()
