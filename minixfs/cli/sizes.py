"""Sizes as truncate takes them: ``10M``, ``+1K``, ``<4096``, ``%512``.

resize = parse("+1K"); resize(old)      the new size in bytes; ValueError for what is no size
"""

from __future__ import annotations

import re
from collections.abc import Callable

Resize = Callable[[int], int]

_NUMBER = re.compile(r"\s*([<>/%]?)\s*([-+]?)([0-9]*)([a-zA-Z]*)")
_LETTERS = "KMGTPEZYRQ"
LARGEST = (1 << 63) - 1


def unit(suffix: str) -> int:
    """Bytes in ``K``, ``KiB`` (1024), ``KB`` (1000) and so on. Raises ValueError."""
    match = re.fullmatch(r"([kKmgtMGTPEZYRQ])(B|iB)?", suffix)
    if match is None:
        raise ValueError(f"no unit: {suffix}")
    return int((1000 if match[2] == "B" else 1024) ** (_LETTERS.index(match[1].upper()) + 1))


def parse(text: str, scale: int = 1) -> Resize:
    """`scale` is how many bytes one counts. Raises ValueError."""
    match = _NUMBER.fullmatch(text)
    if match is None or not (match[3] or match[4]) or (match[1] and match[2]):
        raise ValueError(f"no size: {text}")
    operator, sign, digits, suffix = match.groups()
    operator = operator or sign
    amount = int(digits or "1") * (unit(suffix) if suffix else 1)
    if amount > LARGEST:
        raise ValueError(f"too large: {text}")
    amount *= scale
    if operator in ("/", "%") and not amount:
        raise ZeroDivisionError("division by zero")
    return _RESIZE[operator](amount)


_RESIZE: dict[str, Callable[[int], Resize]] = {
    "": lambda amount: lambda old: amount,
    "+": lambda amount: lambda old: old + amount,
    "-": lambda amount: lambda old: max(old - amount, 0),
    "<": lambda amount: lambda old: min(old, amount),
    ">": lambda amount: lambda old: max(old, amount),
    "/": lambda amount: lambda old: old // amount * amount,
    "%": lambda amount: lambda old: -(-old // amount) * amount,
}
