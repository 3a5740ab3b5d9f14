"""Extended attributes: their form in blocks and in inodes, and the count of the users of a block.

A set of attributes that does not add up is dropped as a whole: nobody can tell which of them was right.
"""

from __future__ import annotations

import numpy as np

from minixfs.fs.ext2 import layout
from minixfs.fsck.ext2.context import Context
from minixfs.fsck.ext2.entries import name_rows
from minixfs.fsck.ext2.kinds import Kind

XATTR_OFFSET = 4
"""Bytes of the magic number in an inode; the entries follow."""
_WRONG_HASH, _ELSEWHERE, _TOO_LONG = "a hash is wrong", "a value is in another inode", "a value is too long"
_ENTRY = layout.XATTR_ENTRY
_HEADER = layout.XATTR_HEADER
_MASK = 0xFFFFFFFF


def entry_hash(name: bytes, value: bytes) -> int:
    """The hash of one attribute, over its name and its value in whole words."""
    result = 0
    for byte in name:
        result = (result << 5 ^ result >> 27 ^ byte) & _MASK
    padded = value + bytes(-len(value) % 4)
    for start in range(0, len(padded), 4):
        result = (result << 16 ^ result >> 16 ^ int.from_bytes(padded[start : start + 4], "little")) & _MASK
    return result


def kind_of(fault: str) -> Kind:
    """The kind of a fault; of the first one no set of attributes that anybody could read is lost."""
    return Kind.XATTR_VALUE if fault in (_WRONG_HASH, _ELSEWHERE, _TOO_LONG) else Kind.XATTR


def fault_in_inode(data: bytes) -> str | None:
    """What is wrong with the attributes in `data`, the end of an inode from where their magic number may be."""
    if int.from_bytes(data[:4], "little") != layout.XATTR_MAGIC:
        return None
    return _fault(data, XATTR_OFFSET, XATTR_OFFSET, in_inode=True)


def fault_in_block(data: bytes) -> str | None:
    """What is wrong with an attribute block, apart from the count of its users."""
    magic, _, blocks, *_ = _HEADER.struct.unpack_from(data)
    if magic != layout.XATTR_MAGIC:
        return "no attributes are in it"
    if blocks != 1:
        return f"of {blocks} blocks"
    return _fault(data, _HEADER.size, 0, in_inode=False)


def _fault(data: bytes, start: int, base: int, in_inode: bool) -> str | None:
    """Entries from `start` on; offsets of values count from `base`. Nothing may overlap."""
    taken = bytearray(len(data))
    taken[:start] = b"\1" * start

    def claim(offset: int, length: int) -> bool:
        if offset + length > len(data) or any(taken[offset : offset + length]):
            return False
        taken[offset : offset + length] = b"\1" * length
        return True

    position, room = start, len(data) - start
    while position + 4 <= len(data) and data[position : position + 4] != bytes(4):
        if in_inode and position + _ENTRY.size > len(data):
            break
        if position + _ENTRY.size > len(data):
            return "an entry crosses the end"
        name_length, index, offset, inode, size, digest = _ENTRY.struct.unpack_from(data, position)
        if not claim(position, _ENTRY.size + (name_length + 3 & ~3)):
            return "an entry crosses the end"
        if not index and not in_inode:
            return "an entry has no name"
        if inode:
            return _ELSEWHERE
        room -= _ENTRY.size + (name_length + 3 & ~3) + size
        if in_inode and room < 0:
            return _TOO_LONG
        if size and not claim(base + offset, size + 3 & ~3):
            return "a value lies outside, or on something else"
        name = data[position + _ENTRY.size : position + _ENTRY.size + name_length]
        value = data[base + offset : base + offset + (size + 3 & ~3)]
        if digest != entry_hash(name, value) and not (in_inode and not digest):
            return _WRONG_HASH
        position += _ENTRY.size + (name_length + 3 & ~3)
    return None if claim(position, 4) else "there is no end of the entries"


async def check_xattr_blocks(context: Context) -> None:
    """Clear references to what is no attribute block; count the users of those that are."""
    context.volume.begin(1, "attributes")
    table, volume = context.table, context.volume
    rows = np.flatnonzero(table.ordinary & (table.columns["i_file_acl"] != 0))
    if not len(rows):
        return
    blocks = table.columns["i_file_acl"][rows].astype(np.int64)
    legal = context.is_zone(blocks) & bool(context.superblock.compat & layout.COMPAT_EXT_ATTR)
    faults = dict.fromkeys(blocks[~legal].tolist(), "cannot be one")
    distinct, users = np.unique(blocks[legal], return_counts=True)
    for start in range(0, len(distinct), volume.batch_blocks):
        part = slice(start, start + volume.batch_blocks)
        data = (await volume.read_blocks(distinct[part])).copy()
        for block, count, row in zip(distinct[part].tolist(), users[part].tolist(), data, strict=True):
            content = row.tobytes()
            fault = fault_in_block(content)
            if fault is not None:
                faults[block] = fault
                continue
            stored = _HEADER.struct.unpack_from(content)[1]
            if stored != count:
                what = f"attribute block {block} has {count} users, its count says {stored}"
                user = int(table.numbers[rows[np.flatnonzero(blocks == block)[0]]])
                if context.found(Kind.XATTR_REFERENCES, user, what, zone=block):
                    at = _HEADER.offsets["h_refcount"]
                    (await volume.edit(block))[at : at + 4] = count.to_bytes(4, "little")
    bad = rows[np.isin(blocks, list(faults))] if faults else rows[:0]
    await name_rows(context, bad)
    for row in bad.tolist():
        block = int(table.columns["i_file_acl"][row])
        what = f"attribute block {block}: {faults[block]}"
        if context.found(kind_of(faults[block]), int(table.numbers[row]), what, zone=block):
            table.put(row, "i_file_acl", 0)
