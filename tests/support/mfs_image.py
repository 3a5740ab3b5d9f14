"""A small, slow, independent way to fill and read MFS images in memory, for tests of the checker.

`populated(options)` makes a volume with files of every kind; `Image` reads and changes single fields;
`Image.contents()` reads the whole tree by walking it object by object. Nothing here uses arrays or the
checker's code.
"""

from __future__ import annotations

import random
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from minixfs.fs.mfs.bitorder import BitOrder, byte_index
from minixfs.fs.mfs.layout import DIRECT_ZONES, START_BLOCK
from minixfs.fs.mfs.superblock import Superblock
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from minixfs.mkfs.mfs import Options, make


@dataclass
class Inode:
    """One inode as read; `Image.put_inode` stores it."""

    number: int
    fields: dict[str, int]
    zones: list[int]

    @property
    def type(self) -> int:
        return stat.S_IFMT(self.fields["i_mode"])


@dataclass
class Image:
    """The bytes of a volume and what one needs to find things in them."""

    data: bytearray
    order: BitOrder = BitOrder.LE
    superblock: Superblock = field(init=False)

    def __post_init__(self) -> None:
        self.superblock = Superblock.parse(bytes(self.data[1024:2048]))

    def store_superblock(self) -> None:
        self.data[1024:2048] = self.superblock.build()

    # ---- inodes -------------------------------------------------------------------------------------------

    def inode_offset(self, number: int) -> int:
        index, slot = divmod(number - 1, self.superblock.inodes_per_block)
        block = self.superblock.inode_table_block + index
        return block * self.superblock.block_size + slot * self.superblock.variant.inode.size

    def inode(self, number: int) -> Inode:
        record = self.superblock.inode_record
        values = list(record.struct.unpack_from(self.data, self.inode_offset(number)))
        scalars = [name for name in record.fields if name != "i_zone"]
        return Inode(number, dict(zip(scalars, values, strict=False)), values[len(scalars) :])

    def put_inode(self, inode: Inode) -> None:
        record = self.superblock.inode_record
        record.struct.pack_into(self.data, self.inode_offset(inode.number), *inode.fields.values(), *inode.zones)

    # ---- maps ---------------------------------------------------------------------------------------------

    def map_offset(self, which: str) -> int:
        block = START_BLOCK + (self.superblock.imap_blocks if which == "zone" else 0)
        return block * self.superblock.block_size

    def bit(self, which: str, number: int) -> bool:
        return bool(self.data[self.map_offset(which) + byte_index(self.order, number)] >> number % 8 & 1)

    def set_bit(self, which: str, number: int, value: bool) -> None:
        at = self.map_offset(which) + byte_index(self.order, number)
        self.data[at] = self.data[at] & ~(1 << number % 8) | value << number % 8

    def zone_bit(self, zone: int) -> int:
        return zone - self.superblock.first_data_zone + 1

    def take(self, which: str) -> int:
        """The first free bit, now set."""
        count = self.superblock.inode_bits if which == "inode" else self.superblock.zone_bits
        number = next(n for n in range(1, count) if not self.bit(which, n))
        self.set_bit(which, number, True)
        return number

    def take_zone(self) -> int:
        zone = self.take("zone") + self.superblock.first_data_zone - 1
        start = zone * self.superblock.zone_size
        self.data[start : start + self.superblock.zone_size] = bytes(self.superblock.zone_size)
        return zone

    # ---- files --------------------------------------------------------------------------------------------

    def pointer(self, zone: int, index: int, value: int | None = None) -> int:
        """Zone number `index` of an indirect block; sets it when `value` is given."""
        size = self.superblock.variant.pointer_size
        at = zone * self.superblock.zone_size + index * size
        order = "big" if self.superblock.swapped else "little"
        if value is not None:
            self.data[at : at + size] = value.to_bytes(size, order)
        return int.from_bytes(self.data[at : at + size], order)

    def place(self, index: int) -> list[int]:
        """Slot in the inode and then positions in indirect blocks that lead to file zone `index`."""
        if index < DIRECT_ZONES:
            return [index]
        count, index, level = self.superblock.pointers_per_block, index - DIRECT_ZONES, 1
        while index >= count**level:
            index -= count**level
            level += 1
        return [DIRECT_ZONES + level - 1] + [index // count**n % count for n in reversed(range(level))]

    def zone_at(self, inode: Inode, index: int) -> int:
        slot, *positions = self.place(index)
        zone = inode.zones[slot]
        for position in positions:
            zone = self.pointer(zone, position) if zone else 0
        return zone

    def map_zone(self, inode: Inode, index: int) -> int:
        """A fresh zone for file zone `index`, with the indirect blocks that lead to it."""
        slot, *positions = self.place(index)
        inode.zones[slot] = zone = inode.zones[slot] or self.take_zone()
        for position in positions:
            zone = self.pointer(zone, position) or self.pointer(zone, position, self.take_zone())
        return zone

    def read(self, inode: Inode) -> bytes | int:
        """The contents; the size of a file that would be nearly all hole."""
        size, unit = inode.fields["i_size"], self.superblock.zone_size
        if size > 8 * len(self.data):
            return size
        parts = []
        for index in range(-(-size // unit)):
            zone = self.zone_at(inode, index)
            parts.append(bytes(self.data[zone * unit : (zone + 1) * unit]) if zone else bytes(unit))
        return b"".join(parts)[:size]

    def write(self, inode: Inode, content: bytes, first: int = 0) -> None:
        """Store `content` from file zone `first` on; a hole before it."""
        unit = self.superblock.zone_size
        for start in range(0, len(content), unit):
            zone = self.map_zone(inode, first + start // unit)
            part = content[start : start + unit]
            self.data[zone * unit : zone * unit + len(part)] = part
        inode.fields["i_size"] = max(inode.fields["i_size"], first * unit + len(content))
        self.put_inode(inode)

    def create(self, mode: int, content: bytes = b"", links: int = 1) -> Inode:
        inode = self.inode(self.take("inode"))
        inode.fields |= {"i_mode": mode, "i_nlinks": links}
        self.write(inode, content)
        return inode

    # ---- directories --------------------------------------------------------------------------------------

    def slots(self, directory: Inode) -> Iterator[tuple[int, int, bytes]]:
        """Byte offset in the image, inode number and name of every slot, also free ones."""
        record, unit = self.superblock.dirent_record, self.superblock.zone_size
        for offset in range(0, directory.fields["i_size"], record.size):
            zone = self.zone_at(directory, offset // unit)
            at = zone * unit + offset % unit
            number, name = record.struct.unpack_from(self.data, at)
            yield at, number, name.split(b"\0", 1)[0]

    def put_slot(self, at: int, number: int, name: bytes) -> None:
        self.superblock.dirent_record.struct.pack_into(self.data, at, number, name)

    def link(self, directory: Inode, number: int, name: bytes) -> None:
        record, unit = self.superblock.dirent_record, self.superblock.zone_size
        offset = directory.fields["i_size"]
        if offset % unit == 0:
            self.map_zone(directory, offset // unit)
        directory.fields["i_size"] += record.size
        self.put_inode(directory)
        self.put_slot(self.zone_at(directory, offset // unit) * unit + offset % unit, number, name)

    def mkdir(self, parent: Inode, name: bytes) -> Inode:
        inode = self.create(stat.S_IFDIR | 0o755, links=2)
        self.link(inode, inode.number, b".")
        self.link(inode, parent.number, b"..")
        self.link(parent, inode.number, name)
        parent.fields["i_nlinks"] += 1
        self.put_inode(parent)
        return inode

    def entry(self, path: bytes) -> tuple[int, int]:
        """Byte offset of the slot and inode number that `path` (absolute) leads to."""
        at, number = 0, 1
        for part in path.split(b"/")[1:]:
            at, number = next((at, n) for at, n, name in self.slots(self.inode(number)) if n and name == part)
        return at, number

    def contents(self) -> dict[bytes, tuple[object, ...]]:
        """Path -> type and contents of everything that the root leads to."""
        found: dict[bytes, tuple[object, ...]] = {}
        pending = [(b"", 1)]
        while pending:
            path, number = pending.pop()
            for _, child, name in self.slots(self.inode(number)):
                if not child or name in (b".", b".."):
                    continue
                inode = self.inode(child)
                below = path + b"/" + name
                if inode.type == stat.S_IFDIR:
                    found[below] = (inode.type,)
                    pending.append((below, child))
                elif inode.type in (stat.S_IFREG, stat.S_IFLNK):
                    found[below] = (inode.type, self.read(inode))
                else:
                    found[below] = (inode.type, inode.zones[0])
        return found


def populated(options: Options, size: int = 1 << 20, seed: int = 0) -> Image:
    """A volume with directories (one large), files (empty, direct, single and double indirect, with holes),
    hard links, symbolic links, a device and a FIFO."""
    rng = random.Random(seed)
    disk = RamDisk(size)
    run(make(disk, options))
    image = Image(bytearray(disk.snapshot()), BitOrder.BE16 if options.big_endian else BitOrder.LE)
    unit = image.superblock.zone_size
    root = image.inode(1)

    def add(directory: Inode, name: bytes, mode: int, content: bytes = b"") -> Inode:
        inode = image.create(mode, content)
        image.link(directory, inode.number, name)
        return inode

    for name in (b"a", b"b"):
        directory = image.mkdir(root, name)
        deeper = image.mkdir(directory, b"deep")
        image.mkdir(deeper, b"empty")
        for number in range(6):
            add(directory, b"file%d" % number, stat.S_IFREG | 0o644, rng.randbytes(rng.randrange(1, 4 * unit)))
            add(deeper, b"small%d" % number, stat.S_IFREG | 0o600, rng.randbytes(rng.randrange(1, 100)))
        add(directory, b"big", stat.S_IFREG | 0o644, rng.randbytes(9 * unit + 17))
        add(directory, b"none", stat.S_IFREG | 0o644)
        link = add(directory, b"link", stat.S_IFLNK | 0o777, b"../a/file1")
        image.link(directory, link.number, b"link2")
        link.fields["i_nlinks"] = 2
        image.put_inode(link)
    many = image.mkdir(root, b"many")
    for number in range(image.superblock.zone_size // image.superblock.variant.dirent.size + 3):
        name = b"entry%d" % number
        if number < 20:
            add(many, name, stat.S_IFREG | 0o644, b"text %d" % number)
        else:
            shared = image.inode(image.entry(b"/%c/file%d" % (b"ab"[number % 2], number % 6))[1])
            image.link(many, shared.number, name)
            shared.fields["i_nlinks"] += 1
            image.put_inode(shared)
    holes = add(root, b"holes", stat.S_IFREG | 0o644, b"head")
    image.write(holes, b"tail" * 20, first=DIRECT_ZONES + image.superblock.pointers_per_block + 3)
    device = add(root, b"device", stat.S_IFCHR | 0o600)
    device.zones[0] = 0x0403
    image.put_inode(device)
    add(root, b"fifo", stat.S_IFIFO | 0o600)
    return image
