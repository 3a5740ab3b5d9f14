"""Lines of the shell as words: quotes, backslashes, comments, ``;`` between commands, patterns.

    for command in commands("cd /etc; rm '*.bak' *.old  # clean up"):
        [word.text for word in command]

Quoting is that of sh, without variables. What of sh is not there (pipes, redirections, ...) is refused, so that nobody
removes a file called ``>`` by mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from minixfs.errors import UsageError

_SPACES = " \t\r"
_ENDS = ";\n"
_REFUSED = "|&<>()`"
_SPECIAL = re.compile(r"""([\s;|&<>()`'"\\*?\[\]#~!$])""")


@dataclass(slots=True)
class Word:
    """`text` is what it says; `pattern` the same as a file name pattern, None if nothing in it is one."""

    text: str
    pattern: str | None
    start: int
    """Where it begins in the line."""


def escaped(text: str) -> str:
    """As it has to be typed."""
    return _SPECIAL.sub(r"\\\1", text)


def commands(line: str, *, partial: bool = False) -> list[list[Word]]:
    """The commands of a line; `partial`: it is still being typed, so that an open quote is no mistake.

    Raises UsageError.
    """
    found: list[list[Word]] = [[]]
    for word in _words(line, partial):
        if word is None:
            found.append([])
        else:
            found[-1].append(word)
    return found if partial else [command for command in found if command]


def _words(line: str, partial: bool) -> Iterator[Word | None]:
    """The words, and None where a command ends."""
    at = 0
    while at < len(line):
        character = line[at]
        if character in _SPACES:
            at += 1
        elif character in _ENDS:
            at += 1
            yield None
        elif character == "#":
            end = line.find("\n", at)
            at = len(line) if end < 0 else end
        elif character in _REFUSED:
            raise UsageError(f"'{character}' means nothing here: this shell has no pipes and redirections; quote it")
        else:
            word, at = _word(line, at, partial)
            yield word


def _word(line: str, at: int, partial: bool) -> tuple[Word, int]:
    start, text, pattern, is_pattern = at, "", "", False
    while at < len(line) and line[at] not in _SPACES + _ENDS + _REFUSED:
        character = line[at]
        at += 1
        if character == "'":
            end = _closing(line, at, "'", partial)
            literal, at = line[at:end], end + 1
        elif character == '"':
            literal, at = _double_quoted(line, at, partial)
        elif character == "\\":
            literal, at = line[at : at + 1], at + 1
        else:
            text += character
            pattern += character
            is_pattern = is_pattern or character in "*?["
            continue
        text += literal
        pattern += re.sub(r"([\\*?\[\]])", r"\\\1", literal)
    return Word(text, pattern if is_pattern else None, start), min(at, len(line))


def _double_quoted(line: str, at: int, partial: bool) -> tuple[str, int]:
    text = ""
    while at < len(line):
        if line[at] == '"':
            return text, at + 1
        if line[at] == "\\" and line[at + 1 : at + 2] in ('"', "\\", "$", "`"):
            at += 1
        text += line[at : at + 1]
        at += 1
    if not partial:
        raise UsageError('a quote is not closed: "')
    return text, at


def _closing(line: str, at: int, quote: str, partial: bool) -> int:
    end = line.find(quote, at)
    if end < 0:
        if not partial:
            raise UsageError(f"a quote is not closed: {quote}")
        return len(line)
    return end
