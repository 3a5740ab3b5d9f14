"""Compare two trees, attribute by attribute.

    for difference in compare(first, second, ("mode", "content")):
        print(difference.path, difference.what, difference.first, difference.second)

Both are sources as `minixfs.trees.entry` has them. They are walked side by side, so that neither is ever held as a
whole; only the names of files with several names are remembered.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass

from minixfs.trees.entry import KINDS, Entry
from minixfs.trees.sink import dense, started

NS = 10**9
ASPECTS = ("type", "mode", "uid", "gid", "times", "links", "size", "device", "target", "xattrs", "content", "holes")
"""What can differ. ``times`` is the time of modification; ``links`` says which names are one file; ``xattrs`` are
extended attributes, each a difference of its own: what is given is its name, an equals sign and its value;
``content`` is the first byte that differs, counted from 0."""

Value = str | int | bytes | None


@dataclass(frozen=True, slots=True)
class Difference:
    """`what` is one of `ASPECTS`, or "only" for a file that one tree does not have: its value there is None."""

    path: bytes
    what: str
    first: Value
    second: Value


class _Side:
    """One of the trees on its way past."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = iter(entries)
        self._names: dict[Hashable, bytes] = {}
        self.advance()

    def advance(self) -> None:
        """Go to the next file; `key` orders files as the trees have them."""
        self.entry = next(self._entries, None)
        self.key = None if self.entry is None else tuple(self.entry.path.split(b"/")) if self.entry.path else ()

    def first_name(self, entry: Entry) -> bytes:
        """The first name by which the file was met."""
        return entry.path if entry.link is None else self._names.setdefault(entry.link, entry.path)


def compare(
    first: Iterable[Entry],
    second: Iterable[Entry],
    aspects: Iterable[str] = ASPECTS,
    granularity: int = NS,
    on_error: Callable[[OSError], object] | None = None,
) -> Iterator[Difference]:
    """All differences in `aspects`, in the order of the trees; of a directory that one tree lacks only itself.

    Times are compared as multiples of `granularity` nanoseconds: no tree can be asked for more than it keeps.

    Raises OSError when content cannot be read; with `on_error` that is told, and the comparison goes on.
    """
    one, other = _Side(first), _Side(second)
    wanted = frozenset(aspects)
    while one.entry is not None or other.entry is not None:
        if other.key is None or (one.key is not None and one.key < other.key):
            yield from _only(one, True)
        elif one.key is None or other.key < one.key:
            yield from _only(other, False)
        elif one.entry is not None and other.entry is not None:
            try:
                yield from _differences(one, one.entry, other, other.entry, wanted, granularity)
            except OSError as error:
                if on_error is None:
                    raise
                on_error(error)
            one.advance()
            other.advance()


def _only(side: _Side, is_first: bool) -> Iterator[Difference]:
    """A file that the other tree does not have, and all that is in it."""
    entry, key = side.entry, side.key
    if entry is None or key is None:
        return
    kind = KINDS[stat.S_IFMT(entry.mode)]
    yield Difference(entry.path, "only", *((kind, None) if is_first else (None, kind)))
    side.advance()
    while side.key is not None and side.key[: len(key)] == key:
        side.advance()


def _differences(
    one: _Side, a: Entry, other: _Side, b: Entry, wanted: frozenset[str], granularity: int
) -> Iterator[Difference]:
    names = one.first_name(a), other.first_name(b)
    kinds = stat.S_IFMT(a.mode), stat.S_IFMT(b.mode)
    pairs: list[tuple[str, Value, Value]] = []
    if kinds[0] == kinds[1]:
        pairs += (
            ("size", a.size, b.size),
            ("device", a.rdev if a.is_device else None, b.rdev if b.is_device else None),
            ("target", a.target, b.target),
            ("holes", None, None) if not a.is_file else ("holes", _data(a), _data(b)),
        )
    else:
        pairs.append(("type", KINDS[kinds[0]], KINDS[kinds[1]]))
    pairs += (
        ("mode", stat.S_IMODE(a.mode), stat.S_IMODE(b.mode)),
        ("uid", a.uid, b.uid),
        ("gid", a.gid, b.gid),
        ("times", *_times(a.mtime, b.mtime, granularity)),
        ("links", names[0], names[1]),
    )
    for what, mine, theirs in pairs:
        if mine != theirs and what in wanted:
            yield Difference(a.path, what, mine, theirs)
    if "xattrs" in wanted and a.xattrs != b.xattrs:
        yield from _xattr_differences(a, b)
    seen_before = names[0] == names[1] != a.path
    if "content" in wanted and a.is_file and b.is_file and not seen_before:
        at = first_difference(a, b)
        if at is not None:
            yield Difference(a.path, "content", at, at)


def _times(first: int, second: int, granularity: int) -> tuple[Value, Value]:
    """Seconds; with a fraction where times are finer."""
    if granularity >= NS:
        return first // NS, second // NS
    shown = (f"{time // NS}.{time % NS // granularity * granularity:09}" for time in (first, second))
    return next(shown), next(shown)


def _xattr_differences(a: Entry, b: Entry) -> Iterator[Difference]:
    mine, theirs = a.xattrs or {}, b.xattrs or {}
    for name in sorted(mine.keys() | theirs.keys()):
        if mine.get(name) != theirs.get(name):
            pair = (name + b"=" + side[name] if name in side else None for side in (mine, theirs))
            yield Difference(a.path, "xattrs", next(pair), next(pair))


def _data(entry: Entry) -> int:
    """Bytes that are not in holes."""
    return entry.size if entry.runs is None else sum(length for _, length in entry.runs)


def first_difference(a: Entry, b: Entry) -> int | None:
    """The offset of the first byte in which two regular files differ, as far as both have bytes. Raises OSError."""
    left = (memoryview(data) for _, data in dense(started(a), a.size))
    right = (memoryview(data) for _, data in dense(started(b), b.size))
    at = 0
    mine = theirs = memoryview(b"")
    while True:
        mine = mine or next(left, mine)
        theirs = theirs or next(right, theirs)
        length = min(len(mine), len(theirs))
        if not length:
            return None
        if mine[:length] != theirs[:length]:
            return at + _differing(mine[:length], theirs[:length])
        mine, theirs = mine[length:], theirs[length:]
        at += length


def _differing(one: memoryview, other: memoryview) -> int:
    """Where two different pieces of one length differ first."""
    low, high = 0, len(one)
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
