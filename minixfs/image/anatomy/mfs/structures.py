"""Dumps of the structures of an MFS volume.

`dump` finds the structure by its name in `STRUCTURES`. Records are decoded by their declarations in the layout module;
what is added here is where they lie and what the values mean.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from minixfs.errors import MinixFsError, PosixError, UsageError
from minixfs.fs.mfs import layout
from minixfs.fs.mfs.bitorder import BitOrder, byte_index, candidates, to_bits
from minixfs.fs.mfs.superblock import Superblock
from minixfs.fsck.report import printable
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.runtime import run
from minixfs.image.anatomy.blocks import BlockMap, Kind, Layout, join_runs
from minixfs.image.anatomy.fields import Field, Section, Structure, decode, show
from minixfs.image.anatomy.mfs import meanings
from minixfs.image.anatomy.mfs.reader import Inode, Reader
from minixfs.image.anatomy.mfs.survey import bit_order, load, names, survey
from minixfs.image.anatomy.volume import image_offset, number, read_bytes
from minixfs.image.anatomy.words import mode_words

MANY = 100_000
"""Inodes or runs that one dump shows at most."""


def dump(device: BlockDevice, superblock: Superblock, what: Sequence[str]) -> list[Section]:
    """See `Anatomy.dump`."""
    return show(STRUCTURES, _Volume(device, superblock), what)


def layout_of(reader: Reader, inode: int) -> Layout:
    """See `Anatomy.layout_of`."""
    found, shift = reader.inode(inode), reader.superblock.zone_shift
    places, zones = reader.zones_of(found)
    runs = join_runs(places, zones, 1 << shift)
    indirect = [part.zones[reader.is_zone(part.zones)] for part in reader.references(found) if part.level]
    blocks = (np.concatenate(indirect) << shift).tolist() if indirect else []
    return Layout(inode, found.size, reader.block_size, runs, blocks)


class _Volume:
    """What all dumps share: the reader, and where its bytes lie in the image."""

    def __init__(self, device: BlockDevice, superblock: Superblock) -> None:
        self.device = device
        self.superblock = superblock
        self.base = image_offset(device)

    @cached_property
    def reader(self) -> Reader:
        return Reader(self.device, self.superblock)

    def inode(self, text: str) -> Inode:
        """The inode that a number or an absolute path names."""
        if not text.startswith("/"):
            return self.reader.inode(number(text, "an inode"))
        try:
            return self.reader.find(text.encode(errors="surrogateescape"))
        except PosixError as error:
            raise UsageError(f"{text}: {error}") from error

    def block_at(self, block: int) -> int:
        """The byte of the image where a block begins."""
        return self.base + block * self.reader.block_size


# ---- the volume ----------------------------------------------------------------------------------------------------


def _boot(volume: _Volume) -> list[Section]:
    data = read_bytes(volume.device, 0, layout.BOOT_SIZE)
    return [Section("boot area" + (": all zeroes" if not any(data) else ""), offset=volume.base, data=data)]


def _superblock(volume: _Volume) -> list[Section]:
    superblock = volume.superblock
    record = superblock.variant.superblock
    record = record.big_endian() if superblock.swapped else record
    offset = volume.base + layout.SUPERBLOCK_OFFSET
    fields = decode(record, superblock.raw, offset, meanings.superblock_meaning(superblock))
    return [Section(f"superblock of MINIX {superblock.variant.name}", list(fields))]


def _inode_map(volume: _Volume) -> list[Section]:
    superblock = volume.superblock
    return [_map(volume, "inode", layout.START_BLOCK, superblock.imap_blocks, superblock.inode_bits, 0)]


def _zone_map(volume: _Volume) -> list[Section]:
    superblock = volume.superblock
    start = layout.START_BLOCK + superblock.imap_blocks
    base = superblock.first_data_zone - 1
    return [_map(volume, "zone", start, superblock.zmap_blocks, superblock.zone_bits, base)]


def _map(volume: _Volume, noun: str, start: int, blocks: int, bits: int, base: int) -> Section:
    """Runs of used and of free numbers; bit n speaks of number n + `base`, bit 0 of nothing. What is shown raw is the
    byte with a run's first bit."""
    data = volume.reader.bitmap(start, blocks)
    order = _bit_order(volume.reader, data)
    bits = max(1, min(bits, 8 * len(data)))
    used = to_bits(data, order, bits)
    changes = np.diff(used, prepend=~used[:1])
    changes[1:2] = True
    starts = np.flatnonzero(changes).tolist()
    fields = []
    for first, end in zip(starts[:MANY], [*starts[1:], bits], strict=False):
        numbers = f"{noun} {first + base}" + (f"-{end - 1 + base}" if end - first > 1 else "")
        name, value = (numbers, "used" if used[first] else "free") if first else (noun, "reserved")
        at = byte_index(order, first)
        fields.append(Field(volume.block_at(start) + at, name, data[at : at + 1], value, f"{end - first}"))
    cut = f"; the first {MANY} of {len(starts)} runs" if len(starts) > MANY else ""
    return Section(f"{noun} map, bits 0-{bits - 1}{cut}", fields)


def _bit_order(reader: Reader, data: bytes) -> BitOrder:
    """As a mount finds it; where the inodes cannot be read, what the map itself suggests."""
    try:
        return bit_order(reader, run(load(reader)).table)
    except MinixFsError:
        return candidates(data[:4], reader.superblock.swapped)[0]


# ---- inodes --------------------------------------------------------------------------------------------------------


def _inode(volume: _Volume, text: str) -> list[Section]:
    return [_inode_section(volume, volume.inode(text))]


def _inodes(volume: _Volume, text: str) -> list[Section]:
    first, dash, last = text.partition("-")
    low = number(first, "an inode")
    high = number(last, "an inode") if dash else low
    if low > high:
        raise UsageError(f"'{text}' goes backwards; write it like 1-10")
    if high - low >= MANY:
        raise UsageError(f"'{text}' are more than {MANY} inodes; ask for fewer")
    return [_inode_section(volume, volume.reader.inode(one)) for one in range(low, high + 1)]


def _inode_section(volume: _Volume, inode: Inode) -> Section:
    superblock = volume.superblock
    meaning = meanings.inode_meaning(superblock, inode.mode, volume.reader.zones)
    fields = decode(superblock.inode_record, inode.raw, volume.base + inode.offset, meaning)
    return Section(f"inode {inode.number}", list(fields))


# ---- directories ---------------------------------------------------------------------------------------------------


def _directory(volume: _Volume, text: str) -> list[Section]:
    inode = volume.inode(text)
    if inode.type != stat.S_IFDIR:
        raise UsageError(f"inode {inode.number} is no directory ({mode_words(inode.mode)})")
    width = volume.superblock.dirent_record.offsets["d_name"]
    fields = []
    for index, slot in enumerate(volume.reader.slots(inode)):
        at, name = volume.base + slot.offset, slot.raw[width:].rstrip(b"\0")
        words = meanings.entry_words(slot.inode, volume.superblock.inodes)
        fields.append(Field(at, f"{index}: d_ino", slot.raw[:width], slot.inode, words))
        fields.append(Field(at + width, f"{index}: d_name", name, slot.name))
    return [Section(f"directory inode {inode.number}, {inode.size} bytes", fields)]


# ---- blocks --------------------------------------------------------------------------------------------------------


def _block(volume: _Volume, text: str) -> list[Section]:
    block = number(text, "a block")
    data = volume.reader.block(block)
    return [Section(f"block {block}: {_purpose(volume, block, data)}", [], volume.block_at(block), data)]


def _zone(volume: _Volume, text: str) -> list[Section]:
    zone, reader = number(text, "a zone"), volume.reader
    if not 0 <= zone < reader.zones:
        raise UsageError(f"there is no zone {zone}: the volume has zones 0 to {reader.zones - 1}")
    shift = reader.superblock.zone_shift
    blocks = range(zone << shift, zone + 1 << shift)
    data = b"".join(map(reader.block, blocks))
    purpose = _purpose(volume, blocks.start, data)
    return [Section(f"zone {zone}: {purpose}", [], volume.block_at(blocks.start), data)]


def _indirect(volume: _Volume, text: str) -> list[Section]:
    zone, superblock = number(text, "a zone"), volume.superblock
    reader = volume.reader
    if not 0 <= zone < reader.zones:
        raise UsageError(f"there is no zone {zone}: the volume has zones 0 to {reader.zones - 1}")
    block = zone << superblock.zone_shift
    data, width = reader.block(block), superblock.variant.pointer_size
    pointers = np.frombuffer(data, f"{superblock.order}u{width}").tolist()
    offset, fields = volume.block_at(block), []
    for index in np.flatnonzero(pointers).tolist():
        raw = data[index * width : (index + 1) * width]
        words = meanings.pointer_words(superblock, pointers[index], reader.zones)
        fields.append(Field(offset + index * width, f"zone[{index}]", raw, pointers[index], words))
    purpose = _purpose(volume, block, data)
    return [Section(f"zone {zone}: {purpose}; {len(fields)} of {len(pointers)} zone numbers are not 0", fields)]


def _purpose(volume: _Volume, block: int, data: bytes) -> str:
    """What a block is for and whose, as the volume has it, and what it looks like."""
    try:
        found = run(survey(volume.reader))
        told = _owner(volume, found, block) if block < len(found) else "behind the file system"
    except MinixFsError as error:
        told = f"whose is not known ({error})"
    return f"{told}; looks like {_look(volume, data)}"


def _owner(volume: _Volume, found: BlockMap, block: int) -> str:
    kind, owner, place = Kind(found.kind[block]), int(found.owner[block]), int(found.place[block])
    if not owner:
        return kind.label
    path = run(names(volume.reader, [owner])).get(owner)
    where = f"inode {owner}" + (f", {printable(path)}" if path else ", which has no name")
    return f"{kind.label}, {'leads to' if kind is Kind.INDIRECT else 'its'} block {place} of {where}"


def _look(volume: _Volume, data: bytes) -> str:
    if not any(data):
        return "nothing (all zeroes)"
    record = volume.superblock.dirent_record
    starts = [record.struct.unpack_from(data, slot * record.size)[1].rstrip(b"\0") for slot in (0, 1)]
    if starts == [b".", b".."]:
        return "the beginning of a directory"
    if data.rstrip(b"\0").translate(None, _TEXT) == b"":
        return "text"
    pointers = np.frombuffer(data, f"{volume.superblock.order}u{volume.superblock.variant.pointer_size}")
    used = pointers[pointers != 0]
    if ((used >= volume.superblock.first_data_zone) & (used < volume.reader.zones)).all():
        return "zone numbers"
    return "data"


_TEXT = bytes([*range(0x20, 0x7F), *b"\t\n\r\f\x1b"])


STRUCTURES = {
    "superblock": Structure(_superblock),
    "boot": Structure(_boot),
    "imap": Structure(_inode_map),
    "zmap": Structure(_zone_map),
    "inode": Structure(_inode, "the number or path of a file", "1"),
    "inodes": Structure(_inodes, "a range of numbers", "1-10"),
    "directory": Structure(_directory, "the number or path of a directory", "/"),
    "zone": Structure(_zone, "a number", "100"),
    "block": Structure(_block, "a number", "100"),
    "indirect": Structure(_indirect, "the number of a zone", "100"),
}
