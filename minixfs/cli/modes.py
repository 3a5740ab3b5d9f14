"""The modes of chmod: octal, or symbolic as in ``u+rwX,g=u,o-w`` (POSIX chmod, and what GNU adds to it).

    change = parse("u+x,go=")           once; ValueError for what is no mode
    new = change(old, directory=False, umask=0o022)

`text` shows a mode as ``ls -l`` does, without the letter of its type.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass

ALL = 0o7777
SET_ID = 0o6000
_WHO = {"u": 0o4700, "g": 0o2070, "o": 0o1007, "a": ALL}
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111, "X": 0, "s": SET_ID, "t": 0o1000}
_CLASS_SHIFT = {"u": 6, "g": 3, "o": 0}
_CLAUSE = re.compile(r"([ugoa]*)(?:([-+=][0-7]+)|((?:[-+=](?:[ugo]|[rwxXst]*))+))")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_LONG = 5
"""Octal digits from which on the set-id bits of a directory are meant too: ``00755`` clears what ``0755`` leaves."""


@dataclass(frozen=True, slots=True)
class _Action:
    """One operation: on the bits of `who` (0: of all, but for the umask), with `what`: letters, or a number."""

    operator: str
    who: int
    what: str | int
    named: int
    """Bits that the user spelled out: only these change a directory's set-id bits."""

    def __call__(self, mode: int, *, directory: bool, umask: int) -> int:
        kept = SET_ID & ~self.named if directory else 0
        value = self._value(mode, directory) & (self.who or ~umask) & ~kept
        if self.operator == "+":
            return mode | value
        if self.operator == "-":
            return mode & ~value
        return mode & ((~self.who if self.who else 0) | kept) | value

    def _value(self, mode: int, directory: bool) -> int:
        if isinstance(self.what, int):
            return self.what
        if self.what in _CLASS_SHIFT:
            return (mode >> _CLASS_SHIFT[self.what] & 0o7) * 0o111
        executable = 0o111 if "X" in self.what and (directory or mode & 0o111) else 0
        return _letters(self.what) | executable


@dataclass(frozen=True, slots=True)
class Change:
    """From an old mode to the new one, twelve bits each."""

    actions: tuple[_Action, ...]

    def __call__(self, mode: int, *, directory: bool = False, umask: int = 0) -> int:
        mode &= ALL
        for action in self.actions:
            mode = action(mode, directory=directory, umask=umask)
        return mode


def parse(text: str) -> Change:
    """Raises ValueError."""
    if re.fullmatch(r"[0-7]+", text):
        bits = _octal(text)
        return Change((_Action("=", ALL, bits, ALL if len(text) >= _LONG else bits & SET_ID),))
    return Change(tuple(action for clause in text.split(",") for action in _clause(clause)))


def set_to(mode: int) -> Change:
    """Make the mode exactly this one."""
    return Change((_Action("=", ALL, mode & ALL, ALL),))


def _clause(text: str) -> list[_Action]:
    match = _CLAUSE.fullmatch(text)
    if match is None or (match[1] and match[2]):  # ``u=7`` says twice whose bits
        raise ValueError(f"no mode: {text}")
    who = 0
    for letter in match[1]:
        who |= _WHO[letter]
    if match[2]:
        return [_Action(match[2][0], ALL, _octal(match[2][1:]), ALL)]
    return [_Action(operator, who, what, _letters(what) & (who or ALL)) for operator, what in _ACTION.findall(match[3])]


def _letters(what: str) -> int:
    """The bits that are named; copying from a class names no set-id bit."""
    bits = 0
    for letter in what:
        bits |= _BITS.get(letter, 0)
    return bits


def _octal(text: str) -> int:
    bits = int(text, 8)
    if bits > ALL:
        raise ValueError(f"no mode: {text}")
    return bits


def text(mode: int) -> str:
    """``rwxr-sr-x``"""
    return stat.filemode(mode & ALL)[1:]
