"""The formats of ``stat -c``: ``%n``, ``%08s``, ``%-5a``, ...

    show = parse("%n: %s", FILE); show(subject)       bytes

`FILE` and `SYSTEM` are the directives for a file and, with ``-f``, for a file system: letter -> value of a subject.
Numbers are padded and given signs and zeros as printf(3) does it, text is padded and cut.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from minixfs.cli.kinds import is_device, kind
from minixfs.cli.quoting import quoted
from minixfs.fs.protocol import Stat

NS = 10**9
_DIRECTIVE = re.compile(
    r"%(?P<flags>[-'+ #0]*)(?P<width>\d*)(?:\.(?P<precision>\d*))?(?P<letter>[HL][dr]|.)", re.DOTALL
)
_ESCAPES = {"a": 7, "b": 8, "e": 27, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34}


@dataclass(frozen=True, slots=True)
class Number:
    """An integer, shown in base 10, 8 or 16; a `signed` one may be given a plus or a space."""

    value: int
    base: int = 10
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in nanoseconds since 1970, shown in seconds; the precision says with how many digits after the point."""

    nanoseconds: int


Value = bytes | Number | Moment
Field = Callable[["Subject"], Value]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is shown: a file by its `name`; `target` is the text of a link, `usage` and `system` are the file
    system it is on and the type of that."""

    name: bytes
    found: Stat
    target: bytes | None
    usage: os.statvfs_result
    system: str


def parse(text: str, fields: Mapping[str, Field], *, escapes: bool = False) -> Callable[[Subject], bytes]:
    """`escapes`: a backslash begins an escape, as for ``--printf``. Raises ValueError for a directive that is none."""
    parts: list[bytes | Callable[[Subject], bytes]] = []
    at = 0
    while at < len(text):
        if text[at] == "%":
            match = _DIRECTIVE.match(text, at)
            if match is None or match["letter"] == "%":
                if match is not None and match.end() != at + 2:
                    raise ValueError(f"{match[0]!r}: invalid directive")
                parts.append(b"%")
                at += 1 if match is None else 2
                continue
            parts.append(_padded(match, fields.get(match["letter"], lambda subject: b"?")))
            at = match.end()
        elif text[at] == "\\" and escapes:
            octal = re.compile(r"\\([0-7]{1,3})|\\x([0-9a-fA-F]{1,2})").match(text, at)
            if octal:
                parts.append(bytes([int(octal[1], 8) & 0xFF if octal[1] else int(octal[2], 16)]))
                at = octal.end()
            else:
                letter = text[at + 1 : at + 2]
                parts.append(bytes([_ESCAPES[letter]]) if letter in _ESCAPES else os.fsencode(letter or "\\"))
                at += 2
        else:
            parts.append(os.fsencode(text[at]))
            at += 1
    return lambda subject: b"".join(part if isinstance(part, bytes) else part(subject) for part in parts)


def _padded(match: re.Match[str], field: Field) -> Callable[[Subject], bytes]:
    flags, width, precision = match["flags"], int(match["width"] or 0), match["precision"]

    def show(subject: Subject) -> bytes:
        value = field(subject)
        if isinstance(value, Number):
            text = _number(value, flags, None if precision is None else int(precision or 0))
        elif isinstance(value, Moment):
            text = _moment(value, flags, precision)
        else:
            cut = value if precision is None else value[: int(precision or 0)]
            return cut.ljust(width) if "-" in flags else cut.rjust(width)
        zeros = "0" in flags and "-" not in flags and (precision is None or isinstance(value, Moment))
        if zeros:
            sign = len(text) - len(text.lstrip("+- "))
            prefix = sign + 2 * text[sign:].startswith("0x")
            text = text[:prefix] + text[prefix:].rjust(width - prefix, "0")
        return (text.ljust(width) if "-" in flags else text.rjust(width)).encode()

    return show


def _number(number: Number, flags: str, precision: int | None) -> str:
    digits = {10: "d", 8: "o", 16: "x"}[number.base]
    text = f"{number.value:{digits}}".rjust(precision or 0, "0")
    if precision == 0 and not number.value:
        text = "0" if "#" in flags and number.base == 8 else ""
    if "#" in flags and number.value:
        prefix = {10: "", 8: "" if text.startswith("0") else "0", 16: "0x"}[number.base]
        text = prefix + text
    if not number.signed:
        return text
    return ("+" if "+" in flags else " " if " " in flags else "") + text


def _moment(moment: Moment, flags: str, precision: str | None) -> str:
    seconds, part = divmod(moment.nanoseconds, NS)
    text = f"{seconds:+d}" if "+" in flags else f"{seconds: d}" if " " in flags else str(seconds)
    if precision is None:
        return text
    digits = int(precision or 9)
    return text + (f".{part:09d}"[: digits + 1].ljust(digits + 1, "0") if digits else "")


def date(nanoseconds: int) -> str:
    """``2024-01-31 12:00:00.000000000 +0100``"""
    local = time.localtime(nanoseconds // NS)
    return time.strftime(f"%Y-%m-%d %H:%M:%S.{nanoseconds % NS:09d} %z", local)


def _rdev(subject: Subject) -> int:
    return subject.found.rdev if is_device(subject.found.mode) else 0


def _quoted_name(subject: Subject) -> bytes:
    arrow = f" -> {quoted(subject.target)}" if subject.target is not None else ""
    return os.fsencode(quoted(subject.name) + arrow)


def plain_name(subject: Subject) -> bytes:
    """``link -> text``"""
    return subject.name if subject.target is None else subject.name + b" -> " + subject.target


FILE: dict[str, Field] = {
    "a": lambda subject: Number(stat.S_IMODE(subject.found.mode), 8),
    "A": lambda subject: stat.filemode(subject.found.mode).encode(),
    "b": lambda subject: Number(subject.found.blocks),
    "B": lambda subject: Number(512),
    "C": lambda subject: b"?",
    "d": lambda subject: Number(0),
    "D": lambda subject: Number(0, 16),
    "Hd": lambda subject: Number(0),
    "Ld": lambda subject: Number(0),
    "f": lambda subject: Number(subject.found.mode, 16),
    "F": lambda subject: kind(subject.found.mode, subject.found.size).encode(),
    "g": lambda subject: Number(subject.found.gid),
    "G": lambda subject: str(subject.found.gid).encode(),
    "h": lambda subject: Number(subject.found.nlink),
    "i": lambda subject: Number(subject.found.ino),
    "m": lambda subject: b"/",
    "n": lambda subject: subject.name,
    "N": _quoted_name,
    "o": lambda subject: Number(subject.found.blksize),
    "r": lambda subject: Number(_rdev(subject)),
    "R": lambda subject: Number(_rdev(subject), 16),
    "s": lambda subject: Number(subject.found.size, signed=True),
    "t": lambda subject: Number(os.major(_rdev(subject)), 16),
    "T": lambda subject: Number(os.minor(_rdev(subject)), 16),
    "Hr": lambda subject: Number(os.major(_rdev(subject))),
    "Lr": lambda subject: Number(os.minor(_rdev(subject))),
    "u": lambda subject: Number(subject.found.uid),
    "U": lambda subject: str(subject.found.uid).encode(),
    "w": lambda subject: b"-",
    "W": lambda subject: Moment(0),
    "x": lambda subject: date(subject.found.atime).encode(),
    "X": lambda subject: Moment(subject.found.atime),
    "y": lambda subject: date(subject.found.mtime).encode(),
    "Y": lambda subject: Moment(subject.found.mtime),
    "z": lambda subject: date(subject.found.ctime).encode(),
    "Z": lambda subject: Moment(subject.found.ctime),
}
SYSTEM: dict[str, Field] = {
    "a": lambda subject: Number(subject.usage.f_bavail),
    "b": lambda subject: Number(subject.usage.f_blocks),
    "c": lambda subject: Number(subject.usage.f_files),
    "d": lambda subject: Number(subject.usage.f_ffree),
    "f": lambda subject: Number(subject.usage.f_bfree),
    "i": lambda subject: Number(0, 16),
    "l": lambda subject: Number(subject.usage.f_namemax),
    "n": lambda subject: subject.name,
    "s": lambda subject: Number(subject.usage.f_bsize),
    "S": lambda subject: Number(subject.usage.f_frsize),
    "T": lambda subject: subject.system.encode(),
}

FILE_TEXT = """  File: %N
  Size: %-10s\tBlocks: %-10b IO Block: %-6o %F
Inode: %-10i  Links: %h
Access: (%04a/%10.10A)  Uid: (%5u)   Gid: (%5g)
Access: %x
Modify: %y
Change: %z
"""
DEVICE_TEXT = FILE_TEXT.replace("Links: %h", "Links: %-5h Device type: %Hr,%Lr")
SYSTEM_TEXT = """  File: "%n"
Namelen: %-7l Type: %T
Block size: %-10s Fundamental block size: %S
Blocks: Total: %-10b Free: %-10f Available: %a
Inodes: Total: %-10c Free: %d
"""
FILE_TERSE = "%n %s %b %f %u %g %D %i %h %t %T %X %Y %Z %W %o\n"
SYSTEM_TERSE = "%n %i %l %T %s %S %b %f %a %c %d\n"
