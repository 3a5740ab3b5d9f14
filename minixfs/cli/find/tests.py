"""The tests of find: each function takes the search and the test's argument and answers with a predicate.

`TESTS` has those with an argument, `PLAIN` those without. Wrong arguments are ValueErrors.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable

from minixfs.cli import dates, modes
from minixfs.cli.find.patterns import glob, regex
from minixfs.cli.find.search import DAY, File, Predicate, Search
from minixfs.cli.kinds import LETTERS
from minixfs.errors import MinixFsError
from minixfs.fs.protocol import Stat

Test = Callable[[Search, str], Predicate]

_SIZE_UNITS = {"b": 512, "c": 1, "w": 2, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30}
NS = 10**9


# ---- names ---------------------------------------------------------------------------------------------------------


def _named(text: Callable[[File], bytes], *, ignore_case: bool = False) -> Test:
    def test(search: Search, pattern: str) -> Predicate:
        matches = glob(pattern, ignore_case=ignore_case).fullmatch
        return lambda file: matches(os.fsdecode(text(file))) is not None

    return test


def _link_named(*, ignore_case: bool = False) -> Test:
    def test(search: Search, pattern: str) -> Predicate:
        matches = glob(pattern, ignore_case=ignore_case).fullmatch

        def check(file: File) -> bool:
            return stat.S_ISLNK(file.found.mode) and matches(os.fsdecode(file.link_text())) is not None

        return check

    return test


def _regex(*, ignore_case: bool = False) -> Test:
    def test(search: Search, pattern: str) -> Predicate:
        matches = regex(pattern, search.syntax, ignore_case=ignore_case).fullmatch
        return lambda file: matches(os.fsdecode(file.shown)) is not None

    return test


# ---- numbers -------------------------------------------------------------------------------------------------------


def _compared(text: str) -> tuple[str, str]:
    """The sign of ``+n``, ``-n`` or ``n``, and the rest."""
    return (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)


def compare(sign: str, value: float, wanted: float) -> bool:
    if sign == "+":
        return value > wanted
    return value < wanted if sign == "-" else value == wanted


def _number(value: Callable[[Stat], int]) -> Test:
    def test(search: Search, text: str) -> Predicate:
        sign, digits = _compared(text)
        if not re.fullmatch("[0-9]+", digits):
            raise ValueError
        wanted = int(digits)
        return lambda file: compare(sign, value(file.found), wanted)

    return test


def _owner(value: Callable[[Stat], int]) -> Test:
    def test(search: Search, text: str) -> Predicate:
        if not re.fullmatch("[0-9]+", text):
            raise ValueError("owners of files in an image are numbers")
        return lambda file: value(file.found) == int(text)

    return test


def _size(search: Search, text: str) -> Predicate:
    sign, rest = _compared(text)
    match = re.fullmatch("([0-9]+)([bcwkMG]?)", rest)
    if match is None:
        raise ValueError
    wanted, unit = int(match[1]), _SIZE_UNITS[match[2] or "b"]
    return lambda file: compare(sign, -(-file.found.size // unit), wanted)


# ---- times ---------------------------------------------------------------------------------------------------------


def _days(stamp: Callable[[Stat], int]) -> Test:
    def test(search: Search, text: str) -> Predicate:
        sign, days = _interval(text)
        start = search.reference + (DAY - 1 if sign == "-" else 0)
        return _aged(stamp, sign, start - days * DAY, DAY)

    return test


def _minutes(stamp: Callable[[Stat], int]) -> Test:
    def test(search: Search, text: str) -> Predicate:
        sign, minutes = _interval(text)
        return _aged(stamp, sign, search.moment - minutes * 60, 60)

    return test


def _interval(text: str) -> tuple[str, float]:
    sign, number = _compared(text)
    if not re.fullmatch(r"[0-9]+\.?[0-9]*|\.[0-9]+", number):
        raise ValueError
    return sign, float(number)


def _aged(stamp: Callable[[Stat], int], sign: str, limit: float, window: float) -> Predicate:
    """``+``: before `limit` (seconds), ``-``: after it; else in the `window` that begins there."""

    def check(file: File) -> bool:
        moment = stamp(file.found) / NS
        if sign == "+":
            return moment < limit
        if sign == "-":
            return moment > limit
        return limit < moment <= limit + window

    return check


_STAMPS: dict[str, Callable[[Stat], int]] = {
    "a": lambda found: found.atime,
    "c": lambda found: found.ctime,
    "m": lambda found: found.mtime,
}


def _newer(which: str, than: str = "m") -> Test:
    def test(search: Search, argument: str) -> Predicate:
        if than == "t":
            limit = dates.parse(argument, search.now)
        else:
            try:
                image, target = search.image_of(argument)
                limit = _STAMPS[than](image.attributes(target.path, follow_symlinks=False))
            except OSError as error:
                raise MinixFsError(f"{target.quoted}: {error.strerror}") from error
        value = _STAMPS[which]
        return lambda file: value(file.found) > limit

    return test


# ---- the rest ------------------------------------------------------------------------------------------------------


def _type(search: Search, text: str) -> Predicate:
    letters = text.split(",")
    if not all(letter in LETTERS for letter in letters):
        raise ValueError
    wanted = {LETTERS[letter] for letter in letters}
    return lambda file: stat.S_IFMT(file.found.mode) in wanted


def _permissions(search: Search, text: str) -> Predicate:
    kind, mode = (text[0], text[1:]) if text[:1] in ("-", "/") else ("", text)
    change = modes.parse(mode)
    wanted = {directory: change(0, directory=directory) for directory in (False, True)}

    def check(file: File) -> bool:
        bits = wanted[stat.S_ISDIR(file.found.mode)]
        have = stat.S_IMODE(file.found.mode)
        if kind == "-":
            return have & bits == bits
        if kind == "/":
            return not bits or bool(have & bits)
        return have == bits

    return check


def _same_file(search: Search, argument: str) -> Predicate:
    image, target = search.image_of(argument)
    try:
        number = image.attributes(target.path, follow_symlinks=False).ino
    except OSError as error:
        raise MinixFsError(f"{target.quoted}: {error.strerror}") from error
    return lambda file: file.image is image and file.found.ino == number


def _empty(search: Search) -> Predicate:
    def check(file: File) -> bool:
        if stat.S_ISDIR(file.found.mode):
            return not file.image.entries(file.visit.full)
        return stat.S_ISREG(file.found.mode) and not file.found.size

    return check


TESTS: dict[str, Test] = {
    "-name": _named(lambda file: file.name),
    "-iname": _named(lambda file: file.name, ignore_case=True),
    "-path": _named(lambda file: file.shown),
    "-wholename": _named(lambda file: file.shown),
    "-ipath": _named(lambda file: file.shown, ignore_case=True),
    "-lname": _link_named(),
    "-ilname": _link_named(ignore_case=True),
    "-regex": _regex(),
    "-iregex": _regex(ignore_case=True),
    "-size": _size,
    "-links": _number(lambda found: found.nlink),
    "-inum": _number(lambda found: found.ino),
    "-uid": _number(lambda found: found.uid),
    "-gid": _number(lambda found: found.gid),
    "-user": _owner(lambda found: found.uid),
    "-group": _owner(lambda found: found.gid),
    "-type": _type,
    "-perm": _permissions,
    "-newer": _newer("m"),
    "-anewer": _newer("a"),
    "-cnewer": _newer("c"),
    "-samefile": _same_file,
    **{f"-{letter}time": _days(stamp) for letter, stamp in _STAMPS.items()},
    **{f"-{letter}min": _minutes(stamp) for letter, stamp in _STAMPS.items()},
    **{f"-newer{which}{than}": _newer(which, than) for which in _STAMPS for than in (*_STAMPS, "t")},
}
PLAIN: dict[str, Callable[[Search], Predicate]] = {
    "-empty": _empty,
    "-true": lambda search: lambda file: True,
    "-false": lambda search: lambda file: False,
}
