"""On-disk records, declared once with construct, used three ways.

`Record(declaration)` takes a construct `Struct` whose members are integers, byte strings and arrays of integers, and
derives from it

* `construct`: the declaration itself, for superblocks, dumps and messages, where speed does not matter;
* `struct`: a `struct.Struct` that packs and unpacks one record in well under a microsecond, fields in order, arrays
  flattened, and `part` the same of some of its members;
* `dtype`: a numpy dtype for bulk work on whole tables.

`big_endian()` is the same record with every integer byte-swapped (MFS of 68000 machines). A unit test proves that the
three views agree byte by byte.
"""

from __future__ import annotations

import struct
from functools import cached_property
from typing import TYPE_CHECKING, Any

import construct

if TYPE_CHECKING:
    import numpy as np

_CODES = {1: "B", 2: "H", 4: "L", 8: "Q"}


class Record:
    """One on-disk record. `size` is in bytes, `fields` the member names in disk order."""

    def __init__(self, declaration: construct.Struct, order: str = "<") -> None:
        self.construct = _with_order(declaration, order)
        self.order = order
        self.fields = [member.name for member in declaration.subcons]
        self.struct = struct.Struct(order + "".join(_code(member.subcon) for member in declaration.subcons))
        self.size = self.struct.size
        self.offsets = _offsets(declaration)
        self._declaration = declaration

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The record as a packed numpy dtype."""
        import numpy as np

        return np.dtype([(m.name, *_numpy_type(m.subcon, self.order)) for m in self._declaration.subcons])

    def big_endian(self) -> Record:
        return Record(self._declaration, ">")

    def part(self, first: str, last: str) -> tuple[struct.Struct, int]:
        """The members from `first` to `last` alone: how they are packed, and at which byte of the record."""
        names = self.fields[self.fields.index(first) : self.fields.index(last) + 1]
        codes = [_code(member.subcon) for member in self._declaration.subcons if member.name in names]
        return struct.Struct(self.order + "".join(codes)), self.offsets[first]


def _element(member: Any) -> tuple[Any, int]:
    """The integer or byte-string type under `member`, and how many of it (0: not an array)."""
    return (member.subcon, member.count) if isinstance(member, construct.Array) else (member, 0)


def _code(member: Any) -> str:
    kind, count = _element(member)
    if isinstance(kind, construct.Bytes):
        return f"{kind.length}s"
    return f"{count or ''}{_CODES[kind.length]}"


def _numpy_type(member: Any, order: str) -> tuple[Any, ...]:
    kind, count = _element(member)
    if isinstance(kind, construct.Bytes):
        return (f"V{kind.length}",)
    code = f"{order}u{kind.length}"
    return (code, (count,)) if count else (code,)


def _with_order(declaration: construct.Struct, order: str) -> construct.Struct:
    def convert(member: Any) -> Any:
        kind, count = _element(member)
        if not isinstance(kind, construct.Bytes):
            kind = construct.FormatField(order, _CODES[kind.length])
        return construct.Array(count, kind) if count else kind

    return construct.Struct(*(member.name / convert(member.subcon) for member in declaration.subcons))


def _offsets(declaration: construct.Struct) -> dict[str, int]:
    offsets, position = {}, 0
    for member in declaration.subcons:
        offsets[member.name] = position
        position += member.subcon.sizeof()
    return offsets
