"""Extended attributes as ext2 stores them: in a block that files may share, and in large inodes (file systems, 3.9).

`parse_block`, `parse_inline` give a set of attributes by full name; `build_block`, `build_inline` make the bytes again,
or None when the set is too large. `attributes` of a file are those of both places; where each belongs is decided in
`Ext2Server`. What an ACL looks like on the disk and to users is in `acl`.
"""

from __future__ import annotations

import errno
import struct

from minixfs.errors import Corrupt, PosixError
from minixfs.fs.ext2 import acl, layout

Attributes = dict[bytes, bytes]
"""Value by full name, such as ``user.mime_type``."""

_PREFIXES = {
    2: b"system.posix_acl_access",
    3: b"system.posix_acl_default",
    1: b"user.",
    4: b"trusted.",
    6: b"security.",
    7: b"system.",
}
"""What stands for the start of a name. The first two are whole names."""
_LISTS = (2, 3)
_HEADER, _ENTRY = layout.XATTR_HEADER, layout.XATTR_ENTRY
_MAGIC = struct.Struct("<L")
_END = bytes(4)
_U32 = 0xFFFFFFFF


def parse_block(data: bytes | memoryview, block: int) -> Attributes:
    """The set in a block. Raises Corrupt."""
    magic, references, blocks = _HEADER.struct.unpack_from(data)[:3]
    if magic != layout.XATTR_MAGIC or blocks != 1 or not 1 <= references <= layout.XATTR_REFERENCES_MAX:
        raise Corrupt("this is no block of extended attributes", block=block)
    try:
        return _parse(data, _HEADER.size, 0)
    except ValueError as error:
        raise Corrupt(str(error), block=block) from None


def parse_inline(area: bytes | memoryview, inode: int) -> Attributes:
    """The set in what is left of an inode's record; none without the magic number. Raises Corrupt."""
    if len(area) < _MAGIC.size + len(_END) or _MAGIC.unpack_from(area)[0] != layout.XATTR_MAGIC:
        return {}
    try:
        return _parse(area, _MAGIC.size, _MAGIC.size)
    except ValueError as error:
        raise Corrupt(str(error), inode=inode) from None


def build_block(attributes: Attributes, size: int, references: int = 1) -> bytes | None:
    """A block of `size` bytes with the set; None if it does not fit."""
    body = _build(attributes, size - _HEADER.size, _HEADER.size, ordered=True)
    if body is None:
        return None
    hashes = [_ENTRY.struct.unpack_from(body, offset)[5] for offset in _offsets(body)]
    total = 0
    for number in hashes:
        total = (total << 16 ^ total >> 16 ^ number) & _U32 if number else 0
    header = _HEADER.struct.pack(layout.XATTR_MAGIC, references, 1, 0 if 0 in hashes else total, 0, bytes(12))
    return header + body


def build_inline(attributes: Attributes, size: int) -> bytes | None:
    """What to put into `size` bytes of an inode's record; None if the set does not fit."""
    if not attributes:
        return bytes(size)
    if size < _MAGIC.size + _ENTRY.size:
        return None
    body = _build(attributes, size - _MAGIC.size, 0, ordered=False)
    return None if body is None else _MAGIC.pack(layout.XATTR_MAGIC) + body


def supported(name: bytes) -> bool:
    """Whether the format has a place for attributes of this name."""
    return any(_matches(name, index) for index in _PREFIXES)


# ---- inside --------------------------------------------------------------------------------------------------------


def _parse(data: bytes | memoryview, start: int, base: int) -> Attributes:
    """Entries from `start` on; offsets of values count from `base`. Raises ValueError."""
    found: Attributes = {}
    offset = start
    while True:
        if offset + len(_END) > len(data):
            raise ValueError("a list of extended attributes without an end")
        if bytes(data[offset : offset + 4]) == _END:
            return found
        if offset + _ENTRY.size > len(data):
            raise ValueError("an extended attribute that is cut off")
        length, index, value_offset, elsewhere, size, _ = _ENTRY.struct.unpack_from(data, offset)
        tail = bytes(data[offset + _ENTRY.size : offset + _ENTRY.size + length])
        value_start = base + value_offset
        if len(tail) != length or elsewhere or (size and not start <= value_start <= len(data) - size):
            raise ValueError("an extended attribute whose value is elsewhere")
        if b"\0" in tail:
            raise ValueError("an extended attribute whose name holds a zero byte")
        if index in _PREFIXES:
            value = bytes(data[value_start : value_start + size])
            found[_PREFIXES[index] + tail] = acl.from_disk(value) if index in _LISTS else value
        offset += _ENTRY.size + (length + 3 & ~3)


def _build(attributes: Attributes, room: int, base: int, *, ordered: bool) -> bytes | None:
    """Entries from the front of `room` bytes, values from their end; `base` is what offsets of values count besides."""
    rows = []
    for name, value in attributes.items():
        index, tail = _split(name)
        rows.append((index, tail, acl.to_disk(value) if index in _LISTS else value))
    if ordered:
        rows.sort(key=lambda row: (row[0], len(row[1]), row[1]))
    data = bytearray(room)
    front, back = 0, room
    for index, tail, value in rows:
        padded = value.ljust(len(value) + 3 & ~3, b"\0")
        back -= len(padded)
        end = front + _ENTRY.size + (len(tail) + 3 & ~3)
        if end + len(_END) > back:
            return None
        data[back : back + len(padded)] = padded
        where = base + back if value else 0
        _ENTRY.struct.pack_into(data, front, len(tail), index, where, 0, len(value), _hash(tail, padded))
        data[front + _ENTRY.size : front + _ENTRY.size + len(tail)] = tail
        front = end
    return bytes(data)


def _offsets(body: bytes) -> list[int]:
    """Where the entries of what `_build` made begin."""
    offsets, offset = [], 0
    while body[offset : offset + 4] != _END:
        offsets.append(offset)
        offset += _ENTRY.size + (body[offset] + 3 & ~3)
    return offsets


def _hash(tail: bytes, padded: bytes) -> int:
    number = 0
    for byte in tail:
        number = (number << 5 ^ number >> 27 ^ byte) & _U32
    for (word,) in struct.iter_unpack("<L", padded):
        number = (number << 16 ^ number >> 16 ^ word) & _U32
    return number


def _split(name: bytes) -> tuple[int, bytes]:
    """The number for the start of a name, and the rest. EOPNOTSUPP for a name that the format has no place for."""
    for index, prefix in _PREFIXES.items():
        if _matches(name, index):
            return index, name[len(prefix) :]
    raise PosixError(errno.EOPNOTSUPP)


def _matches(name: bytes, index: int) -> bool:
    prefix = _PREFIXES[index]
    return name.startswith(prefix) and len(name) > len(prefix) if prefix.endswith(b".") else name == prefix
