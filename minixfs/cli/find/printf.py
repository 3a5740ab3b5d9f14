"""The formats of ``find -printf``.

write = parse("%p %s\\n"); write(file)        bytes; ValueError for what is no format
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable

from minixfs.cli.find.search import File
from minixfs.cli.kinds import letter
from minixfs.errors import MinixFsError

NS = 10**9
_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92}
_DIRECTIVE = re.compile(r"%(?P<flags>[-+ #0]*)(?P<width>\d*)(?:\.(?P<precision>\d*))?(?P<letter>[ABCTaA-Za-z%])")
_TIMES = {"A": "atime", "C": "ctime", "T": "mtime"}


def parse(text: str) -> Callable[[File], bytes]:
    """Unknown directives and escapes stand for themselves, as in GNU find. Raises ValueError for ``%`` at the end."""
    parts: list[bytes | Callable[[File], bytes]] = []
    at = 0
    while at < len(text):
        if text[at] == "\\":
            if text.startswith("\\c", at):
                break
            piece, at = _escape(text, at)
            parts.append(piece)
        elif text[at] == "%":
            if at + 1 == len(text):
                raise ValueError("% at the end of the format")
            piece_or_field, at = _directive(text, at)
            parts.append(piece_or_field)
        else:
            parts.append(os.fsencode(text[at]))
            at += 1
    return lambda file: b"".join(part if isinstance(part, bytes) else part(file) for part in parts)


def _escape(text: str, at: int) -> tuple[bytes, int]:
    octal = re.compile(r"\\([0-7]{1,3})").match(text, at)
    if octal:
        return bytes([int(octal[1], 8) & 0xFF]), octal.end()
    if at + 1 < len(text) and text[at + 1] in _ESCAPES:
        return bytes([_ESCAPES[text[at + 1]]]), at + 2
    return b"\\" + os.fsencode(text[at + 1 : at + 2]), at + 2


def _directive(text: str, at: int) -> tuple[bytes | Callable[[File], bytes], int]:
    match = _DIRECTIVE.match(text, at)
    if match is None:
        return b"%", at + 1
    kind, end = match["letter"], match.end()
    field: Callable[[File], bytes | int]
    if kind == "%":
        return b"%", end
    if kind in _TIMES and end < len(text):
        field = _time(_TIMES[kind], text[end])
        end += 1
    elif kind in _FIELDS:
        field = _FIELDS["#m" if kind == "m" and "#" in match["flags"] else kind]
    else:
        return os.fsencode(match[0]), end
    flags, width = match["flags"], int(match["width"] or 0)
    precision = None if match["precision"] is None else int(match["precision"] or 0)
    return lambda file: _padded(field(file), flags, width, precision), end


def _padded(value: bytes | int, flags: str, width: int, precision: int | None) -> bytes:
    """A field as printf(3) writes it: numbers are decimal strings, whose zero flag and precision count as for text."""
    if isinstance(value, int):
        text = f"{value:+d}" if "+" in flags else f"{value: d}" if " " in flags else str(value)
        raw = text.encode()
        if "0" in flags and "-" not in flags:
            return raw.rjust(width, b"0")
    else:
        raw = value if precision is None else value[:precision]
    return raw.ljust(width) if "-" in flags else raw.rjust(width)


def _time(which: str, kind: str) -> Callable[[File], bytes]:
    def field(file: File) -> bytes:
        moment: int = getattr(file.found, which)
        seconds, part = divmod(moment, NS)
        if kind == "@":
            return f"{seconds}.{part:09d}0".encode()
        local = time.localtime(seconds)
        fraction = f"{part:09d}0"
        if kind in ("T", "S", "+", "X", "c"):
            return _with_fraction(kind, local, fraction).encode()
        return time.strftime(f"%{kind}", local).encode()

    return field


def _with_fraction(kind: str, local: time.struct_time, fraction: str) -> str:
    if kind == "+":
        return time.strftime(f"%Y-%m-%d+%H:%M:%S.{fraction}", local)
    if kind == "S":
        return time.strftime(f"%S.{fraction}", local)
    if kind == "c":
        return time.strftime("%c", local)
    return time.strftime(f"%H:%M:%S.{fraction}", local)


def _whole_time(which: str) -> Callable[[File], bytes]:
    def field(file: File) -> bytes:
        moment: int = getattr(file.found, which)
        local = time.localtime(moment // NS)
        return time.strftime(f"%a %b %e %H:%M:%S.{moment % NS:09d}0 %Y", local).encode()

    return field


def _directory(file: File) -> bytes:
    directory, slash, _ = file.shown.rstrip(b"/").rpartition(b"/")
    return directory if slash else b"." if file.shown.strip(b"/") else b""


def _target_type(file: File) -> bytes:
    """Of what a link leads to: N for nothing, L for a loop."""
    if not stat.S_ISLNK(file.found.mode):
        return letter(file.found.mode).encode()
    try:
        return letter(file.image.attributes(file.visit.full).mode).encode()
    except (FileNotFoundError, NotADirectoryError):
        return b"N"
    except (OSError, MinixFsError) as error:
        return b"L" if getattr(error, "errno", 0) == 40 else b"?"


def _octal(file: File, prefix: str) -> bytes:
    return f"{prefix}{stat.S_IMODE(file.found.mode):o}".encode()


def _sparseness(file: File) -> bytes:
    if not file.found.size:
        return b"1" if not file.found.blocks else b"0"
    return f"{file.found.blocks * 512 / file.found.size:g}".encode()


_FIELDS: dict[str, Callable[[File], bytes | int]] = {
    "p": lambda file: file.shown,
    "f": lambda file: file.name,
    "h": _directory,
    "P": lambda file: file.visit.path,
    "H": lambda file: file.start,
    "s": lambda file: file.found.size,
    "b": lambda file: file.found.blocks,
    "k": lambda file: -(-file.found.blocks // 2),
    "m": lambda file: _octal(file, ""),
    "#m": lambda file: _octal(file, "0"),
    "M": lambda file: stat.filemode(file.found.mode).encode(),
    "n": lambda file: file.found.nlink,
    "i": lambda file: file.found.ino,
    "u": lambda file: str(file.found.uid).encode(),
    "U": lambda file: file.found.uid,
    "g": lambda file: str(file.found.gid).encode(),
    "G": lambda file: file.found.gid,
    "a": _whole_time("atime"),
    "c": _whole_time("ctime"),
    "t": _whole_time("mtime"),
    "y": lambda file: letter(file.found.mode).encode(),
    "Y": _target_type,
    "l": lambda file: file.link_text(),
    "d": lambda file: file.visit.depth,
    "D": lambda file: 0,
    "S": _sparseness,
    "F": lambda file: file.image.type.encode(),
}
