"""Structures of a disk as rows that can be shown: offset, name, raw bytes, value, meaning.

`decode` makes the rows of any record declared in a `layout` module, so that a dump shows what the format declares and
nothing is written down twice. A *meaning* puts a value into words; it must accept every value, since disks lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minixfs.errors import UsageError
from minixfs.layouts import Record

Meaning = Callable[[str, Any], str]
"""From the name of a field (of an array: with its index, like ``i_zone[3]``) and its value to words, or to nothing."""


@dataclass(frozen=True, slots=True)
class Field:
    """`offset` is the byte in the image where `raw` was read."""

    offset: int
    name: str
    raw: bytes
    value: int | bytes | str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One structure. `data` is shown as a hex dump from byte `offset` of the image on."""

    title: str
    fields: list[Field] = field(default_factory=list)
    offset: int = 0
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Structure:
    """A kind of structure that can be asked for: `dump` makes it of a volume, and of what `takes` says, if anything."""

    dump: Callable[..., list[Section]]
    takes: str = ""
    example: str = ""


def show(structures: Mapping[str, Structure], volume: object, what: Sequence[str]) -> list[Section]:
    """The structure named by the first word of `what`. Raises UsageError, also what the structure raises."""
    name, *arguments = what
    if name not in structures:
        raise UsageError(f"there is no structure '{name}'; there are {', '.join(structures)}")
    structure = structures[name]
    if len(arguments) != bool(structure.takes):
        wanted = f"'{name}' takes {structure.takes}" if structure.takes else f"'{name}' takes nothing more"
        raise UsageError(f"{wanted}, like: {f'{name} {structure.example}'.strip()}")
    return structure.dump(volume, *arguments)


def decode(record: Record, data: bytes, offset: int, meaning: Meaning, prefix: str = "") -> Iterator[Field]:
    """The fields of the record at the beginning of `data`, which lies at byte `offset` of the image."""
    parsed = record.construct.parse(data)
    ends = [*list(record.offsets.values())[1:], record.size]
    for (name, start), end in zip(record.offsets.items(), ends, strict=True):
        value = parsed[name]
        values = value if isinstance(value, list) else [value]
        width = (end - start) // len(values)
        for index, item in enumerate(values):
            at = start + index * width
            label = f"{prefix}{name}[{index}]" if isinstance(value, list) else prefix + name
            yield Field(offset + at, label, data[at : at + width], item, meaning(label.removeprefix(prefix), item))
