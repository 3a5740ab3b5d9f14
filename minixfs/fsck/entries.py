"""All directory entries of a volume as arrays, and from them the path of an inode for messages."""

from __future__ import annotations

import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from minixfs.fsck.context import Context
from minixfs.fsck.report import MAX_KEPT

_Context = TypeVar("_Context", bound=Context)


class NameKind(IntEnum):
    PLAIN = 0
    DOT = 1
    DOTDOT = 2
    EMPTY = 3
    ILLEGAL = 4
    """Has a slash, or a NUL where that does not end a name."""


@dataclass(eq=False, repr=False)  # without what has no use for arrays, and takes time to make
class Entries:
    """All entries in use, ordered by directory row and position.

    `rows`: the directory; `position` in it; `inodes`: number stored; `kind`: NameKind; `hash` of the name; `block`
    where it lies.
    """

    rows: NDArray[np.int64]
    position: NDArray[np.int64]
    inodes: NDArray[np.int64]
    kind: NDArray[np.uint8]
    hash: NDArray[np.uint64]
    block: NDArray[np.int64]

    DTYPES: ClassVar[tuple[str, ...]] = ("i8", "i8", "i8", "u1", "u8", "i8")

    def select(self, which: NDArray[Any]) -> Self:
        return type(self)(*(column[which] for column in vars(self).values()))

    @classmethod
    def join(cls, parts: list[Self]) -> Self:
        if not parts:
            return cls(*(np.zeros(0, dtype) for dtype in cls.DTYPES))
        if len(parts) == 1:
            return parts[0]
        return cls(*map(np.concatenate, zip(*(vars(part).values() for part in parts), strict=True)))


async def find_paths(
    context: _Context,
    rows: NDArray[np.int64],
    scan: Callable[[_Context, NDArray[np.int64]], Awaitable[Entries]],
) -> None:
    """See to it that `context.paths` has the paths of these inodes, as far as directories lead to them.

    `scan` gives the entries of directories.
    """
    numbers = context.table.numbers[rows[:MAX_KEPT]]
    missing = [number for number in numbers.tolist() if number not in context.paths]
    if not missing:
        return
    if context.links is None:
        everything = await scan(context, context.table.rows_of_type(stat.S_IFDIR))
        plain = everything.select((everything.kind != NameKind.DOT) & (everything.kind != NameKind.DOTDOT))
        context.links = plain.select(np.argsort(plain.inodes, kind="stable"))
    for number in missing:
        await _find_path(context, context.links, number)


async def _find_path(context: Context, links: Entries, number: int) -> None:
    """Follow the first link to each inode upwards, until a known path or nothing more."""
    chain: list[tuple[int, bytes]] = []
    seen = set()
    while number not in context.paths and number not in seen:
        seen.add(number)
        at = int(np.searchsorted(links.inodes, number))
        if at == len(links.inodes) or links.inodes[at] != number:
            return
        chain.append((number, await context.entry_name(int(links.block[at]), int(links.position[at]))))
        number = int(context.table.numbers[links.rows[at]])
    path = context.paths.get(number)
    if path is None:
        return
    for number, name in reversed(chain):
        path = path.rstrip(b"/") + b"/" + name
        context.paths[number] = path
