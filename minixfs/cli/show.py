"""How names and sizes are shown to people, and answers to programs."""

from __future__ import annotations

import os
from typing import Any

GAP = 2
"""Spaces between columns."""

_ESCAPES = {"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


def for_terminal(name: bytes) -> bytes:
    """A name without anything that a terminal would obey: as ``ls -b`` writes it, but spaces stay."""
    return "".join(_ESCAPES.get(c) or (c if c.isprintable() else _octal(c)) for c in os.fsdecode(name)).encode()


def _octal(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))


def human(size: int) -> str:
    """A number of bytes in powers of 1024, rounded up, as ``ls -h`` writes it: 512, 1.5K, 10M."""
    if size < 1024:
        return str(size)
    for shift, unit in zip(range(10, 70, 10), "KMGTPE", strict=True):
        tenths, whole = -(-size * 10 >> shift), -(-size >> shift)
        if tenths < 100:
            return f"{tenths // 10}.{tenths % 10}{unit}"
        if whole < 1024:
            break
    return f"{whole}{unit}"


def json_text(answer: Any, indent: int | None = None) -> str:
    """As JSON. What that takes is loaded for those who ask for it alone."""
    import json

    return json.dumps(answer, indent=indent)


def counted(number: int, noun: str) -> str:
    """``1 block``, ``2 blocks``."""
    return f"{number} {noun}{'s' * (number != 1)}"


def columns(cells: list[bytes], width: int) -> list[bytes]:
    """The cells in as few lines as fit into `width` characters, down and then across."""
    lengths = [len(cell.decode()) for cell in cells]
    rows = max(1, -(-(sum(lengths) + GAP * len(cells)) // (width + GAP)))
    while rows < len(cells):
        widths = [max(lengths[start : start + rows]) for start in range(0, len(cells), rows)]
        if sum(widths) + GAP * (len(widths) - 1) <= width:
            break
        rows += 1
    else:
        return cells
    lines = []
    for row in range(rows):
        line = b""
        for column, at in enumerate(range(row, len(cells), rows)):
            last = at + rows >= len(cells)
            line += cells[at] + b" " * (0 if last else widths[column] + GAP - lengths[at])
        lines.append(line)
    return lines
