"""On-disk records, declared once, used in three ways.

    INODE = Record(i_mode=U16, i_size=U32, i_zone=array(10, U32), i_reserved=octets(4))

names the members in the order of the disk: integers, byte strings and arrays of integers. From that are derived

* `struct`: a `struct.Struct` that packs and unpacks one record in well under a microsecond, members in order, arrays
  flattened; `parse` and `build` do the same with names, `part` with some of the members;
* `dtype`: a numpy dtype for bulk work on whole tables;
* `construct`: a construct `Struct` for dumps and messages, where speed does not matter.

The latter two are made when they are first asked for, since many a command needs neither, nor the time to load numpy
and construct. `big_endian()` is the same record with every integer byte-swapped (MFS of 68000 machines). A unit test
proves that the three views agree byte by byte.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from construct import Struct


class Member(NamedTuple):
    """An integer of `size` bytes, an array of `length` of them unless that is 0, or a byte string (`code` is ``s``)."""

    code: str
    size: int
    length: int = 0


U8, U16, U32, U64 = Member("B", 1), Member("H", 2), Member("L", 4), Member("Q", 8)


def octets(size: int) -> Member:
    """A byte string."""
    return Member("s", size)


def array(length: int, integer: Member) -> Member:
    """So many integers."""
    return integer._replace(length=length)


class Record:
    """One on-disk record. `size` is in bytes, `fields` the member names in disk order, `offsets` where they begin."""

    def __init__(self, order: str = "<", /, **members: Member) -> None:
        self.order = order
        self.fields = list(members)
        self.struct = struct.Struct(order + "".join(_code(member) for member in members.values()))
        self.size = self.struct.size
        self.offsets = _offsets(members)
        self._members = members

    def parse(self, data: bytes | bytearray | memoryview) -> dict[str, Any]:
        """The members of the record at the beginning of `data`; arrays are tuples."""
        values = iter(self.struct.unpack_from(data))
        return {
            name: tuple(islice(values, member.length)) if member.length else next(values)
            for name, member in self._members.items()
        }

    def build(self, fields: Mapping[str, Any]) -> bytes:
        """The bytes of a record with these members, which must be all."""
        values: list[Any] = []
        for name, member in self._members.items():
            values += fields[name] if member.length else (fields[name],)
        return self.struct.pack(*values)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The record as a packed numpy dtype."""
        import numpy as np

        return np.dtype([(name, *_numpy_type(member, self.order)) for name, member in self._members.items()])

    @cached_property
    def construct(self) -> Struct:
        """The record as a construct `Struct`."""
        import construct

        def converted(member: Member) -> Any:
            if member.code == "s":
                return construct.Bytes(member.size)
            integer = construct.FormatField(self.order, member.code)
            return construct.Array(member.length, integer) if member.length else integer

        return construct.Struct(*(name / converted(member) for name, member in self._members.items()))

    def big_endian(self) -> Record:
        return Record(">", **self._members)

    def part(self, first: str, last: str) -> tuple[struct.Struct, int]:
        """The members from `first` to `last` alone: how they are packed, and at which byte of the record."""
        names = self.fields[self.fields.index(first) : self.fields.index(last) + 1]
        codes = (_code(self._members[name]) for name in names)
        return struct.Struct(self.order + "".join(codes)), self.offsets[first]


def _code(member: Member) -> str:
    return f"{member.size}s" if member.code == "s" else f"{member.length or ''}{member.code}"


def _numpy_type(member: Member, order: str) -> tuple[Any, ...]:
    if member.code == "s":
        return (f"V{member.size}",)
    code = f"{order}u{member.size}"
    return (code, (member.length,)) if member.length else (code,)


def _offsets(members: Mapping[str, Member]) -> dict[str, int]:
    offsets, position = {}, 0
    for name, member in members.items():
        offsets[name] = position
        position += member.size * (member.length or 1)
    return offsets
