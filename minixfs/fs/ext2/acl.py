"""Access control lists: on the disk, as the attribute that users see, and what they mean for the mode (acl(5)).

On the disk (specification: file systems, 3.9) an entry has an id only where the tag needs one; in the attribute
``system.posix_acl_*`` each has. `mode_of` and `with_mode` keep a list and the permission bits of its file in step;
`inherit` is what a new object gets from its directory's default list.
"""

from __future__ import annotations

import errno
import struct
from typing import NamedTuple

from minixfs.errors import PosixError

ACCESS, DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"

_OWNER, _USER, _GROUP_OWNER, _GROUP, _MASK, _OTHER = 1, 2, 4, 8, 0x10, 0x20
_NAMED = (_USER, _GROUP)
_DISK_VERSION, _USER_VERSION = 1, 2
_NOBODY = 0xFFFFFFFF
_LONG, _SHORT, _ENTRY, _VERSION = (
    struct.Struct("<HHL"),
    struct.Struct("<HH"),
    struct.Struct("<HHL"),
    struct.Struct("<L"),
)


class Entry(NamedTuple):
    """What one user, group or class may do: `permissions` are rwx bits; `number` is the id of a named one."""

    tag: int
    permissions: int
    number: int = _NOBODY


def parse(value: bytes) -> list[Entry]:
    """The entries of an attribute's value. Raises PosixError (EINVAL)."""
    if len(value) < _VERSION.size or _VERSION.unpack_from(value)[0] != _USER_VERSION or (len(value) - 4) % _ENTRY.size:
        raise PosixError(errno.EINVAL)
    entries = [Entry(*fields) for fields in _ENTRY.iter_unpack(value[_VERSION.size :])]
    tags = [entry.tag for entry in entries]
    legal = {_OWNER, _USER, _GROUP_OWNER, _GROUP, _MASK, _OTHER}
    single = all(tags.count(tag) == 1 for tag in (_OWNER, _GROUP_OWNER, _OTHER)) and tags.count(_MASK) <= 1
    masked = _MASK in tags or not any(tag in _NAMED for tag in tags)
    if entries and (not legal.issuperset(tags) or not single or not masked or any(e.permissions > 7 for e in entries)):
        raise PosixError(errno.EINVAL)
    return entries


def build(entries: list[Entry]) -> bytes:
    """The value of the attribute."""
    rows = (_ENTRY.pack(entry.tag, entry.permissions, entry.number) for entry in entries)
    return _VERSION.pack(_USER_VERSION) + b"".join(rows)


def from_disk(value: bytes) -> bytes:
    """The attribute for what is stored. Raises ValueError."""
    if len(value) < _VERSION.size or _VERSION.unpack_from(value)[0] != _DISK_VERSION:
        raise ValueError("an access control list of an unknown form")
    entries, offset = [], _VERSION.size
    try:
        while offset < len(value):
            tag, permissions = _SHORT.unpack_from(value, offset)
            number = _LONG.unpack_from(value, offset)[2] if tag in _NAMED else _NOBODY
            entries.append(Entry(tag, permissions, number))
            offset += _LONG.size if tag in _NAMED else _SHORT.size
    except struct.error:
        raise ValueError("an access control list that is cut off") from None
    return build(entries)


def to_disk(value: bytes) -> bytes:
    """What is stored for an attribute. Raises PosixError (EINVAL)."""
    rows = (
        _LONG.pack(entry.tag, entry.permissions, entry.number)
        if entry.tag in _NAMED
        else _SHORT.pack(entry.tag, entry.permissions)
        for entry in parse(value)
    )
    return _VERSION.pack(_DISK_VERSION) + b"".join(rows)


def mode_of(entries: list[Entry], mode: int) -> int:
    """`mode` with the permission bits that an access list gives the three classes."""
    found = {entry.tag: entry.permissions for entry in entries}
    group = found.get(_MASK, found[_GROUP_OWNER])
    return mode & ~0o777 | found[_OWNER] << 6 | group << 3 | found[_OTHER]


def is_plain(entries: list[Entry]) -> bool:
    """Whether the permission bits of a mode say as much as the list."""
    return {entry.tag for entry in entries} == {_OWNER, _GROUP_OWNER, _OTHER}


def with_mode(entries: list[Entry], mode: int) -> list[Entry]:
    """The list after a chmod: the group's bits go to the mask, if there is one."""
    group = _MASK if any(entry.tag == _MASK for entry in entries) else _GROUP_OWNER
    bits = {_OWNER: mode >> 6 & 7, group: mode >> 3 & 7, _OTHER: mode & 7}
    return [Entry(entry.tag, bits.get(entry.tag, entry.permissions), entry.number) for entry in entries]


def inherit(default: list[Entry], mode: int) -> tuple[list[Entry], int]:
    """The access list of an object made with `mode` in a directory with this default list, and its mode.

    No class may do more than both allow.
    """
    wanted = mode_of(default, 0)
    allowed = mode & wanted & 0o777
    entries = with_mode(default, allowed)
    return entries, mode & ~0o777 | allowed
