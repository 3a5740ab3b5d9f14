"""The partition tables of a disk, field by field: the one in its first sector, and those that its entries lead to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.blockdev.partition import ENTRY, EXTENDED, MINIX, SECTOR, SIGNATURE, TABLE, UNUSED, Partition, type_name
from minixfs.image.anatomy.fields import Field, Section, decode
from minixfs.image.anatomy.volume import image_offset, read_bytes

_IDENTIFIER = 440


def identifier(device: BlockDevice) -> str:
    """The disk's identifier as blkid writes it; empty without one."""
    value = int.from_bytes(read_bytes(device, _IDENTIFIER, 4), "little")
    return f"{value:08x}" if value else ""


def dump_table(device: BlockDevice, title: str = "partition table", start: int = 0) -> Section:
    """The table in the sector at byte `start`; where there is none the bytes are shown as if there were."""
    sector = read_bytes(device, start, SECTOR).ljust(SECTOR, b"\0")
    base = image_offset(device) + start
    fields: list[Field] = []
    for index in range(4):
        at = TABLE + index * ENTRY.size
        rows = decode(ENTRY, sector[at : at + ENTRY.size], base + at, _meaning, f"{index}: ")
        fields += (replace(row, value=row.raw.hex()) if isinstance(row.value, bytes) else row for row in rows)
    signature = sector[-2:]
    words = "valid" if signature == SIGNATURE else "not that of a partition table"
    fields.append(Field(base + SECTOR - 2, "signature", signature, signature.hex(), words))
    return Section(f"{title} at sector {start // SECTOR}", fields)


def dump_tables(device: BlockDevice, partitions: list[Partition]) -> list[Section]:
    """All tables of a disk whose `partitions` are these."""
    frames = [part for part in partitions if part.type in (MINIX, *EXTENDED) and len(part.name) == 2]
    inner = {part.name[:2] for part in partitions if len(part.name) > 2}
    tables = [dump_table(device)]
    return tables + [dump_table(device, f"table of {part.name}", part.start) for part in frames if part.name in inner]


def _meaning(name: str, value: Any) -> str:
    return _MEANINGS.get(name, lambda value: "")(value)


_MEANINGS: dict[str, Callable[[Any], str]] = {
    "flag": lambda value: {0: "", 0x80: "active"}.get(value, "not a legal value"),
    "type": lambda value: "unused" if value == UNUSED else type_name(value),
    "chs_first": lambda value: _chs(value),
    "chs_last": lambda value: _chs(value),
    "first": lambda value: f"sector, byte {value * SECTOR}",
    "count": lambda value: f"sectors, {value * SECTOR} bytes",
}


def _chs(value: bytes) -> str:
    """Cylinder, head and sector."""
    head, sector, low = value
    return f"cylinder {low | sector >> 6 << 8}, head {head}, sector {sector & 0x3F}" if any(value) else ""
