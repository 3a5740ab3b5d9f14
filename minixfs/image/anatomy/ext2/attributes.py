"""Dumps of extended attributes: entry by entry, with names and values, as far as they lie where they can."""

from __future__ import annotations

from collections.abc import Iterator

from minixfs.fs.ext2 import layout
from minixfs.image.anatomy.ext2.meanings import attribute_meaning
from minixfs.image.anatomy.ext2.reader import Inode
from minixfs.image.anatomy.fields import Field, Section, decode

_MAGIC = 4
"""Bytes of the magic number in front of the entries in an inode."""
_HEADER, _ENTRY = layout.XATTR_HEADER, layout.XATTR_ENTRY


def attributes_in_block(block: int, data: bytes, offset: int) -> Section:
    """What is in a block of attributes, which lies at byte `offset` of the image."""
    fields = list(decode(_HEADER, data, offset, attribute_meaning))
    if fields[0].value == layout.XATTR_MAGIC:
        fields += _entries(data, _HEADER.size, 0, offset)
    return Section(f"extended attributes in block {block}", fields)


def attributes_in_inode(inode: Inode, base: int) -> list[Section]:
    """What is behind the extra fields of an inode; nothing without the magic number. The volume is at byte `base`."""
    core = layout.INODE.size
    start = core + int.from_bytes(inode.raw[core : core + 2], "little")
    area = inode.raw[start:]
    if int.from_bytes(area[:_MAGIC], "little") != layout.XATTR_MAGIC:
        return []
    offset = base + inode.offset + start
    magic = Field(
        offset, "h_magic", area[:_MAGIC], layout.XATTR_MAGIC, attribute_meaning("h_magic", layout.XATTR_MAGIC)
    )
    return [Section(f"extended attributes in inode {inode.number}", [magic, *_entries(area, _MAGIC, _MAGIC, offset)])]


def _entries(data: bytes, start: int, base: int, offset: int) -> Iterator[Field]:
    """Entries from `start` of `data` on; places of values count from `base`."""
    at, index = start, 0
    while at + _ENTRY.size <= len(data) and any(data[at : at + _MAGIC]):
        prefix = f"{index}: "
        fields = list(decode(_ENTRY, data[at:], offset + at, attribute_meaning, prefix))
        yield from fields
        values = {field.name.removeprefix(prefix): int(field.value) for field in fields}
        name = data[at + _ENTRY.size : at + _ENTRY.size + values["e_name_len"]]
        yield Field(offset + at + _ENTRY.size, f"{prefix}name", name, name)
        place = base + values["e_value_offs"]
        value = data[place : place + values["e_value_size"]]
        if value and not values["e_value_inum"]:
            words = "" if len(value) == values["e_value_size"] else "crosses the end"
            yield Field(offset + place, f"{prefix}value", value, value, words)
        at += _ENTRY.size + (values["e_name_len"] + 3 & ~3)
        index += 1
