"""Comparing two trees: every aspect alone, files that only one has, and content byte by byte."""

from __future__ import annotations

import stat
from collections.abc import Callable

import pytest

from minixfs.trees.diff import compare, first_difference
from minixfs.trees.entry import Entry

FILE, DIRECTORY = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755


def file(path: bytes, data: bytes = b"", **fields: object) -> Entry:
    entry = Entry(path, FILE, size=len(data), content=lambda: iter([(0, data)] if data else []))
    for name, value in fields.items():
        setattr(entry, name, value)
    return entry


def tree(*entries: Entry) -> list[Entry]:
    return [Entry(b"", DIRECTORY), *entries]


def told(first: list[Entry], second: list[Entry]) -> list[tuple[object, ...]]:
    return [(found.path, found.what, found.first, found.second) for found in compare(first, second)]


@pytest.mark.parametrize(("change", "what", "values"), [
    (lambda e: setattr(e, "mode", stat.S_IFIFO | 0o644), "type", ("file", "fifo")),
    (lambda e: setattr(e, "mode", FILE | 0o4000), "mode", (0o644, 0o4644)),
    (lambda e: setattr(e, "uid", 7), "uid", (0, 7)),
    (lambda e: setattr(e, "gid", 7), "gid", (0, 7)),
    (lambda e: setattr(e, "mtime", 7 * 10**9 + 5), "times", (0, 7)),
    (lambda e: setattr(e, "runs", []), "holes", (3, 0)),
    (lambda e: setattr(e, "content", lambda: iter([(0, b"aXc")])), "content", (1, 1)),
])  # fmt: skip
def test_each_aspect_alone(change: Callable[[Entry], None], what: str, values: tuple[object, ...]) -> None:
    changed = file(b"f", b"abc")
    change(changed)
    assert told(tree(file(b"f", b"abc")), tree(changed)) == [(b"f", what, *values)]
    assert not list(compare(tree(file(b"f", b"abc")), tree(changed), {"size"}))


def test_parts_of_a_second_are_no_difference() -> None:
    assert not told(tree(file(b"f", mtime=5 * 10**9 + 1)), tree(file(b"f", mtime=5 * 10**9)))


def test_devices_and_links() -> None:
    device, link = stat.S_IFCHR | 0o600, stat.S_IFLNK | 0o777
    first = tree(Entry(b"d", device, rdev=0x401), Entry(b"l", link, target=b"x"))
    second = tree(Entry(b"d", device, rdev=0x402), Entry(b"l", link, target=b"y"))
    assert told(first, second) == [(b"d", "device", 0x401, 0x402), (b"l", "target", b"x", b"y")]


def test_which_names_are_one_file() -> None:
    first = tree(file(b"a", link=1), file(b"b", link=1), file(b"c", link=2))
    second = tree(file(b"a"), file(b"b", link=9), file(b"c", link=9))
    assert told(first, second) == [(b"b", "links", b"a", b"b"), (b"c", "links", b"c", b"b")]


def test_what_only_one_has_is_told_once_a_tree() -> None:
    """The order is that of the trees: ``a/x`` comes before ``a-b``, though not in bytes."""
    first = tree(Entry(b"a", DIRECTORY), file(b"a/x"), file(b"a-b"))
    second = tree(file(b"a-b"), Entry(b"z", DIRECTORY), file(b"z/x"))
    assert told(first, second) == [(b"a", "only", "directory", None), (b"z", "only", None, "directory")]


def test_content_in_any_pieces() -> None:
    whole = file(b"f", b"a" * 10 + bytes(5) + b"c" * 5)
    pieces = file(b"f", size=20, content=lambda: iter([(0, b"a" * 3), (3, b"a" * 7), (15, b"c" * 5)]))
    assert first_difference(whole, pieces) is None
    pieces.content = lambda: iter([(0, b"a" * 10), (14, b"x"), (15, b"c" * 5)])
    assert first_difference(whole, pieces) == 14
    assert first_difference(file(b"f", b"abc"), file(b"f", b"abcd")) is None, "as far as both have bytes"


def test_errors_are_told_and_the_rest_goes_on() -> None:
    def broken() -> object:
        raise OSError(5, "bad", "f")

    errors: list[OSError] = []
    first = tree(file(b"f", b"abc", content=broken), file(b"g", b"x"))
    found = list(compare(first, tree(file(b"f", b"abc"), file(b"g", b"y")), on_error=errors.append))
    assert [one.path for one in found] == [b"g"]
    assert len(errors) == 1
    with pytest.raises(OSError):
        list(compare(tree(file(b"f", b"abc", content=broken)), tree(file(b"f", b"abc"))))
