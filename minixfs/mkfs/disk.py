"""Lays out whole MINIX disks: one primary partition, in it sub-partitions for root, /home and /usr.

    disk = plan(layout, size, wishes)       which sectors belong to whom, or a UsageError why the wish cannot be met
    make(device, disk, fillings)            the file systems, and then the tables
    furnished(entries, names, time)         a root with the fstab and the directories that show the disk as one tree

Two layouts (specification: file systems, 8.2), both with the table of the sub-partitions in the first sector of the
primary partition:

* ``installed``, what MINIX's installer makes: the root 32 sectors into the partition, which are left for boot code,
  then /home (s1) and /usr (s2). The partition itself starts at 1 MiB, where every tool of today starts the first one;
* ``release``, what MINIX is handed out as: tables in sectors 0 and 1, the root from sector 2 on, no /home, then /usr,
  and the whole a multiple of 2048 sectors.
"""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from minixfs.errors import DeviceError, UsageError
from minixfs.fs.mfs.superblock import Superblock
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.blockdev.partition import SECTOR, Slice
from minixfs.hw.blockdev.table import SECTOR_MAX, Slot, sector
from minixfs.mkfs.mfs import USAGE, Options, block_size_for, fitted
from minixfs.mkfs.mfs import make as make_volume
from minixfs.mkfs.mfs import plan as plan_volume
from minixfs.mkfs.mfs_contents import Contents
from minixfs.mkfs.stream import Progress
from minixfs.trees.entry import Entry

PARTS = {"root": b"/", "home": b"/home", "usr": b"/usr"}
"""The parts of a disk, in the order of their sub-partitions ``p0s0``..``p0s2``, and where they belong in the tree."""
FSTAB = b"etc/fstab"
ROOT_SIZE = 64 << 20
"""Bytes that the root has unless said otherwise."""
HOME_SHARE = 5
"""/home has one part in so many of what the root leaves, unless said otherwise."""
STEP = 8
"""Sectors; the sizes that we choose are multiples of it, the usual block size."""


@dataclass(frozen=True, slots=True)
class Layout:
    """`parts` are those that there can be. In sectors: where the primary partition starts, the gap between that and the
    root, and what the disk is a multiple of."""

    start: int
    gap: int
    padding: int
    parts: tuple[str, ...]


LAYOUTS = {
    "installed": Layout(start=2048, gap=32, padding=1, parts=tuple(PARTS)),
    "release": Layout(start=1, gap=1, padding=64 * 32, parts=("root", "usr")),
}


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk to make. `size` in bytes; `parts` has a slot for each of `PARTS`, with a count of 0 for none."""

    size: int
    primary: Slot
    parts: dict[str, Slot]


def plan(layout: str, size: int | None, wishes: Mapping[str, int | None]) -> Disk:
    """A disk of at most `size` bytes, or with None one with room for its parts. `wishes` are sizes of parts in bytes.

    The root has 64 MiB unless said otherwise, /home a fifth of the rest, /usr what is left; /home what is left if
    only /usr has a size. A part of 0 bytes is left out. Raises UsageError.
    """
    form = LAYOUTS[layout]
    names = present(layout, wishes)
    first = form.start + form.gap
    end = None if size is None else size // SECTOR // form.padding * form.padding
    wanted = {name: -(-wish // SECTOR) for name, wish in wishes.items() if wish is not None}
    counts = _share(None if end is None else end - first, names, wanted)
    parts = dict.fromkeys(PARTS, Slot())
    for name in names:
        parts[name] = Slot(first, counts[name], active=name == "root")
        first += counts[name]
    total = -(-max(first, end or 0) // form.padding) * form.padding
    if total > SECTOR_MAX:
        raise UsageError("a partition table reaches 2 TiB; choose smaller parts", USAGE)
    primary = Slot(form.start, first - form.start, active=True)
    return Disk(total * SECTOR, primary, parts)


def present(layout: str, wishes: Mapping[str, int | None]) -> list[str]:
    """The parts that a disk will have. Raises UsageError."""
    for name, wish in wishes.items():
        if wish and name not in LAYOUTS[layout].parts:
            raise UsageError(f"the {layout} layout has no /{name}", USAGE)
    if wishes.get("root") == 0:
        raise UsageError("a disk needs a root", USAGE)
    return [name for name in LAYOUTS[layout].parts if wishes.get(name) != 0]


def _share(room: int | None, names: Collection[str], wanted: Mapping[str, int]) -> dict[str, int]:
    """How many sectors each part gets of the `room` for all of them."""
    counts = {"root": ROOT_SIZE // SECTOR, **wanted}
    open_ones = [name for name in names if name not in counts]
    if room is None:
        if open_ones:
            raise UsageError("give the size of the disk, or that of every part of it", USAGE)
        return counts
    left = room - sum(counts[name] for name in names if name in counts)
    if len(open_ones) == 2:
        counts["home"] = max(left, 0) // HOME_SHARE // STEP * STEP
        left -= counts["home"]
    if open_ones:
        counts[open_ones[-1]] = max(left, 0) // STEP * STEP
    if left < 0 or not all(counts[name] for name in names):
        needed, there = (sectors * SECTOR >> 10 for sectors in (room - left, max(room, 0)))
        more = f", and nothing is left for /{open_ones[-1]}" if open_ones else ""
        raise UsageError(f"the parts need {needed} KiB{more}; the disk has {there} KiB for them", USAGE)
    return counts


def partition_of(name: str) -> str:
    return f"p0s{list(PARTS).index(name)}"


@dataclass(frozen=True, slots=True)
class Filled:
    """What is to be made in one part."""

    options: Options
    contents: Contents

    def fitted(self, percent: int) -> Filled:
        """The same in a file system that is just large enough, and has `percent` of room."""
        return Filled(fitted(self.options, self.contents, percent=percent), self.contents)

    @property
    def size(self) -> int | None:
        """Bytes of the file system; None if it fills its part."""
        blocks = self.options.blocks
        return None if blocks is None else blocks * block_size_for(self.options)


def check(device_size: int, disk: Disk, fillings: Mapping[str, Filled]) -> None:
    """Raise UsageError if the disk, or what is to be in a part of it, does not fit."""
    if device_size < disk.size:
        raise UsageError(f"the disk takes {disk.size} bytes, there are only {device_size}", USAGE)
    for name, filled in fillings.items():
        try:
            plan_volume(disk.parts[name].count * SECTOR, filled.options, filled.contents)
        except UsageError as error:
            raise UsageError(f"{PARTS[name].decode()}: {error}", error.exit_code) from error


async def make(
    device: BlockDevice, disk: Disk, fillings: Mapping[str, Filled], progress: Progress | None = None
) -> dict[str, Superblock]:
    """Write the disk and return the superblock of each part.

    First nothing is left in front of the root that could be mistaken for a table or a file system, the tables come
    last: until then there is no disk, after that it is whole. Raises UsageError or ReadOnly before anything is written,
    DeviceError or the OSError of a content after.
    """
    check(device.size, disk, fillings)
    device.check_writable()
    parts = {name: _part(device, disk, name) for name in fillings}
    await _write(device, 0, bytes(disk.parts["root"].first * SECTOR))
    await device.flush()
    made = {
        name: await make_volume(parts[name], filled.options, filled.contents, progress)
        for name, filled in fillings.items()
    }
    await _write(device, disk.primary.first * SECTOR, sector(list(disk.parts.values())))
    await _write(device, 0, sector([disk.primary]))
    await device.flush()
    return made


def _part(device: BlockDevice, disk: Disk, name: str) -> Slice:
    slot = disk.parts[name]
    return Slice(device, slot.first * SECTOR, slot.count * SECTOR, name=f"{device.name}:{partition_of(name)}")


async def _write(device: BlockDevice, offset: int, data: bytes) -> None:
    if await device.write(offset, [data]) != len(data):
        raise DeviceError(message=f"{device.name}: write at byte {offset} was cut short")


def fstab(names: Iterable[str]) -> bytes:
    """An /etc/fstab for a disk with these parts, as MINIX's installer writes it."""
    lines = [
        f"/dev/c0d0{partition_of(name)}\t{PARTS[name].decode()}\tmfs\trw\t0\t{1 if name == 'root' else 2}\n"
        for name in names
    ]
    return "".join(lines).encode()


def furnished(root: Iterable[Entry], names: Collection[str], time: int) -> Iterator[Entry]:
    """The entries of a root, with an /etc/fstab for a disk with these parts instead of any that it has, and with the
    directories that this needs. They are owned by the super-user and of `time`, in nanoseconds since 1970.

    Raises UsageError when something else is where a directory must be.
    """
    text = fstab(names)

    def made(path: bytes, mode: int) -> Entry:
        return Entry(path, mode, mtime=time, atime=time, ctime=time, origin=f"/{path.decode()}")

    missing = {path: made(path, stat.S_IFDIR | 0o755) for path in (b"etc", *(PARTS[name][1:] for name in names))}
    del missing[b""]
    for entry in root:
        if entry.path in missing:
            if not entry.is_directory:
                raise UsageError(f"{entry.origin}: must be a directory for the fstab")
            del missing[entry.path]
        if entry.path != FSTAB:
            yield entry
    yield from missing.values()
    table = made(FSTAB, stat.S_IFREG | 0o644)
    table.size = len(text)
    table.content = lambda: iter([(0, text)])
    yield table
