"""Dumps of the structures of an ext2 volume.

`dump` finds the structure by its name in `STRUCTURES`. Records are decoded by their declarations in the layout module;
what is added here is where they lie and what the values mean.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from minixfs.errors import MinixFsError, PosixError, UsageError
from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.superblock import Superblock
from minixfs.fsck.report import printable
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.runtime import run
from minixfs.image.anatomy.blocks import BlockMap, Kind, Layout, join_runs
from minixfs.image.anatomy.ext2 import journal, meanings
from minixfs.image.anatomy.ext2.attributes import attributes_in_block, attributes_in_inode
from minixfs.image.anatomy.ext2.reader import Inode, Reader
from minixfs.image.anatomy.ext2.survey import names, survey, users_of_attributes
from minixfs.image.anatomy.fields import Field, Section, Structure, decode, show
from minixfs.image.anatomy.volume import image_offset, number, read_bytes
from minixfs.image.anatomy.words import mode_words

MANY = 100_000
"""Inodes or runs that one dump shows at most."""
_HEAD = layout.DIRENT


def dump(device: BlockDevice, superblock: Superblock, what: Sequence[str]) -> list[Section]:
    """See `Anatomy.dump`."""
    return show(STRUCTURES, _Volume(device, superblock), what)


def layout_of(reader: Reader, inode: int) -> Layout:
    """See `Anatomy.layout_of`."""
    found = reader.inode(inode)
    reader.require_mapped_files()
    places, blocks = reader.blocks_of(found)
    indirect = [part.zones[reader.is_block(part.zones)] for part in reader.references(found) if part.level]
    numbers = np.concatenate(indirect).tolist() if indirect else []
    return Layout(inode, found.size, reader.block_size, join_runs(places, blocks), numbers)


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
    data = read_bytes(volume.device, 0, layout.SUPERBLOCK_OFFSET)
    return [Section("boot area" + (": all zeroes" if not any(data) else ""), offset=volume.base, data=data)]


def _superblock(volume: _Volume) -> list[Section]:
    return [_superblock_section(volume, volume.superblock.raw, layout.SUPERBLOCK_OFFSET, "superblock")]


def _copy(volume: _Volume, text: str) -> list[Section]:
    group, superblock = number(text, "a group"), volume.superblock
    volume.reader.descriptor_offset(group)
    if not group or not superblock.has_copy(group):
        copies = [str(one) for one in range(1, min(superblock.groups, MANY)) if superblock.has_copy(one)]
        raise UsageError(f"group {group} has no copy; there are copies in groups {', '.join(copies) or '(none)'}")
    offset = superblock.group_start(group) * volume.reader.block_size
    raw = read_bytes(volume.device, offset, layout.SUPERBLOCK.size)
    if len(raw) < layout.SUPERBLOCK.size:
        raise UsageError(f"the copy in group {group} lies behind the end of the device")
    return [_superblock_section(volume, raw, offset, f"copy of the superblock in group {group}")]


def _superblock_section(volume: _Volume, raw: bytes, offset: int, title: str) -> Section:
    meaning = meanings.superblock_meaning(volume.superblock)
    return Section(title, list(decode(layout.SUPERBLOCK, raw, volume.base + offset, meaning)))


def _group(volume: _Volume, text: str) -> list[Section]:
    group, superblock = number(text, "a group"), volume.superblock
    offset = volume.reader.descriptor_offset(group)
    raw = read_bytes(volume.device, offset, layout.GROUP_DESCRIPTOR.size).ljust(layout.GROUP_DESCRIPTOR.size, b"\0")
    start = superblock.group_start(group)
    title = f"group {group}, blocks {start}-{start + superblock.group_blocks(group) - 1}"
    title += ", with a copy of the superblock" if group and superblock.has_copy(group) else ""
    meaning = meanings.group_meaning(superblock)
    return [Section(title, list(decode(layout.GROUP_DESCRIPTOR, raw, volume.base + offset, meaning)))]


def _bitmaps(volume: _Volume, text: str) -> list[Section]:
    group, superblock = number(text, "a group"), volume.superblock
    descriptor = volume.reader.descriptor(group)
    blocks = superblock.group_start(group), superblock.group_blocks(group)
    inodes = group * superblock.inodes_per_group + 1, superblock.inodes_per_group
    return [
        _map(volume, "block", descriptor["bg_block_bitmap"], *blocks),
        _map(volume, "inode", descriptor["bg_inode_bitmap"], *inodes),
    ]


def _map(volume: _Volume, noun: str, block: int, first: int, count: int) -> Section:
    """Runs of used and of free numbers, of which `first` is bit 0. What is shown raw is the byte with a run's first
    bit."""
    data = volume.reader.block(block)
    used = np.unpackbits(np.frombuffer(data, np.uint8)[: -(-count // 8)], bitorder="little")[:count]
    starts = np.flatnonzero(np.diff(used, prepend=~used[:1])).tolist()
    fields = []
    for start, end in zip(starts[:MANY], [*starts[1:], len(used)], strict=False):
        name = f"{noun} {first + start}" + (f"-{first + end - 1}" if end - start > 1 else "")
        raw = data[start // 8 : start // 8 + 1]
        value = "used" if used[start] else "free"
        fields.append(Field(volume.block_at(block) + start // 8, name, raw, value, f"{end - start}"))
    return Section(f"{noun} bitmap in block {block}, {noun}s {first}-{first + count - 1}", fields)


def _journal(volume: _Volume) -> list[Section]:
    superblock = volume.superblock
    if not superblock.compat & layout.COMPAT_HAS_JOURNAL:
        raise UsageError("this volume has no journal")
    inode = volume.reader.inode(superblock.journal_inode or layout.JOURNAL_INODE)
    _, blocks = volume.reader.blocks_of(inode)
    if not len(blocks):
        raise UsageError("the journal has no blocks")
    block = int(blocks[0])
    fields = decode(journal.RECORD, volume.reader.block(block), volume.block_at(block), journal.meaning)
    return [Section(f"superblock of the journal in inode {inode.number}, block {block}", list(fields))]


# ---- inodes --------------------------------------------------------------------------------------------------------


def _inode(volume: _Volume, text: str) -> list[Section]:
    return _inode_sections(volume, volume.inode(text))


def _inodes(volume: _Volume, text: str) -> list[Section]:
    first, dash, last = text.partition("-")
    low = number(first, "an inode")
    high = number(last, "an inode") if dash else low
    if low > high:
        raise UsageError(f"'{text}' goes backwards; write it like 1-10")
    if high - low >= MANY:
        raise UsageError(f"'{text}' are more than {MANY} inodes; ask for fewer")
    wanted = (_inode_sections(volume, volume.reader.inode(one)) for one in range(low, high + 1))
    return [section for sections in wanted for section in sections]


def _inode_sections(volume: _Volume, inode: Inode) -> list[Section]:
    meaning = meanings.inode_meaning(volume.superblock, inode.mode, inode.size)
    offset = volume.base + inode.offset
    sections = [Section(f"inode {inode.number}", list(decode(layout.INODE, inode.raw, offset, meaning)))]
    core, record = layout.INODE.size, layout.INODE_EXTRA
    if len(inode.raw) > core:
        tail = inode.raw[core:]
        length = max(int.from_bytes(tail[:2], "little"), 4)
        fields = decode(record, tail.ljust(record.size, b"\0"), offset + core, meaning)
        shown = [field for field in fields if field.offset - offset - core + len(field.raw) <= length]
        sections.append(Section(f"extra fields of inode {inode.number}", shown))
        sections += attributes_in_inode(inode, volume.base)
    if inode.attributes:
        try:
            data = volume.reader.block(inode.attributes)
        except UsageError:
            return sections
        sections.append(attributes_in_block(inode.attributes, data, volume.block_at(inode.attributes)))
    return sections


# ---- directories ---------------------------------------------------------------------------------------------------


def _directory(volume: _Volume, text: str) -> list[Section]:
    inode = volume.inode(text)
    if inode.type != stat.S_IFDIR:
        raise UsageError(f"inode {inode.number} is no directory ({mode_words(inode.mode)})")
    meaning = meanings.entry_meaning(volume.superblock)
    fields: list[Field] = []
    for index, slot in enumerate(volume.reader.slots(inode)):
        at = volume.base + slot.offset
        fields += decode(_HEAD, slot.raw, at, meaning, f"{index}: ")
        fields.append(Field(at + _HEAD.size, f"{index}: name", slot.name, slot.name))
    indexed = int.from_bytes(inode.raw[_FLAGS : _FLAGS + 4], "little") & layout.FLAG_INDEX
    words = ", with an index in what looks free" if indexed else ""
    return [Section(f"directory inode {inode.number}, {inode.size} bytes{words}", fields)]


_FLAGS = layout.INODE.offsets["i_flags"]


# ---- blocks --------------------------------------------------------------------------------------------------------


def _block(volume: _Volume, text: str) -> list[Section]:
    block = number(text, "a block")
    data = volume.reader.block(block)
    return [Section(f"block {block}: {_purpose(volume, block, data)}", [], volume.block_at(block), data)]


def _indirect(volume: _Volume, text: str) -> list[Section]:
    block, reader = number(text, "a block"), volume.reader
    data = reader.block(block)
    pointers = np.frombuffer(data, "<u4").tolist()
    offset = volume.block_at(block)
    fields = [
        Field(offset + 4 * index, f"block[{index}]", data[4 * index : 4 * index + 4], pointers[index], words)
        for index in np.flatnonzero(pointers).tolist()
        for words in ("" if pointers[index] < reader.blocks else "outside the volume",)
    ]
    purpose = _purpose(volume, block, data)
    return [Section(f"block {block}: {purpose}; {len(fields)} of {len(pointers)} block numbers are not 0", fields)]


def _attributes(volume: _Volume, text: str) -> list[Section]:
    block = number(text, "a block")
    return [attributes_in_block(block, volume.reader.block(block), volume.block_at(block))]


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
    if kind is Kind.ATTRIBUTES:
        users = run(users_of_attributes(volume.reader, block))
        shown = ", ".join(map(str, users[:_USERS_SHOWN])) + (", ..." if len(users) > _USERS_SHOWN else "")
        return f"{kind.label} of inode {shown}"
    if not owner:
        group = (block - volume.superblock.first_data_block) // volume.superblock.blocks_per_group
        return f"{kind.label}, in group {group}" if group >= 0 else kind.label
    path = run(names(volume.reader, [owner])).get(owner)
    where = f"inode {owner}" + (f", {printable(path)}" if path else ", which has no name")
    return f"{kind.label}, {'leads to' if kind is Kind.INDIRECT else 'its'} block {place} of {where}"


_USERS_SHOWN = 8


def _look(volume: _Volume, data: bytes) -> str:
    if not any(data):
        return "nothing (all zeroes)"
    if int.from_bytes(data[:4], "little") == layout.XATTR_MAGIC:
        return "extended attributes"
    if data[8:9] == b"." and data[20:22] == b"..":
        return "the beginning of a directory"
    if data.rstrip(b"\0").translate(None, _TEXT) == b"":
        return "text"
    pointers = np.frombuffer(data, "<u4")
    used = pointers[pointers != 0]
    if ((used > volume.superblock.first_data_block) & (used < volume.reader.blocks)).all():
        return "block numbers"
    return "data"


_TEXT = bytes([*range(0x20, 0x7F), *b"\t\n\r\f\x1b"])


STRUCTURES = {
    "superblock": Structure(_superblock),
    "copy": Structure(_copy, "the number of a group", "1"),
    "boot": Structure(_boot),
    "group": Structure(_group, "the number of a group", "0"),
    "bitmaps": Structure(_bitmaps, "the number of a group", "0"),
    "journal": Structure(_journal),
    "inode": Structure(_inode, "the number or path of a file", "2"),
    "inodes": Structure(_inodes, "a range of numbers", "1-10"),
    "directory": Structure(_directory, "the number or path of a directory", "/"),
    "block": Structure(_block, "a number", "100"),
    "indirect": Structure(_indirect, "the number of a block", "100"),
    "attributes": Structure(_attributes, "the number of a block", "100"),
}
