"""Patterns of ``-name`` (as fnmatch(3) has them) and ``-regex`` (as GNU regex has them) as Python's own.

Both match text as the file system's bytes decode (`os.fsdecode`), and always the whole of it.
"""

from __future__ import annotations

import re
import string

_CLASSES = {
    "alpha": r"^\W\d_",
    "digit": "0-9",
    "alnum": r"^\W_",
    "lower": "a-z",
    "upper": "A-Z",
    "space": r"\s",
    "blank": r" \t",
    "punct": "".join("\\" + c for c in string.punctuation),
    "print": r"\x20-\x7e\xa0-\U0010ffff",
    "graph": r"\x21-\x7e\xa1-\U0010ffff",
    "cntrl": r"\x00-\x1f\x7f",
    "xdigit": "0-9A-Fa-f",
}


def glob(pattern: str, *, ignore_case: bool = False) -> re.Pattern[str]:
    """``*`` and ``?`` match slashes and leading dots too; a backslash takes the special meaning away."""
    result, at = "", 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            result += ".*"
        elif character == "?":
            result += "."
        elif character == "[" and (found := _bracket(pattern, at, "!^", True)):
            part, at = found
            result += part
        elif character == "\\" and at < len(pattern):
            result += re.escape(pattern[at])
            at += 1
        else:
            result += r"(?!)" if character == "\\" else re.escape(character)  # a lone backslash matches nothing
    return re.compile(result, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


SYNTAXES = {
    "findutils-default": (True, False),
    "emacs": (True, False),
    "posix-basic": (True, True),
    "sed": (True, True),
    "grep": (True, True),
    "posix-extended": (False, True),
    "egrep": (False, True),
    "posix-egrep": (False, True),
}
"""Whether groups and alternatives are written with a backslash; whether there are intervals (``\\{1,2\\}``)."""


def regex(pattern: str, syntax: str = "findutils-default", *, ignore_case: bool = False) -> re.Pattern[str]:
    """Raises ValueError."""
    escaped, intervals = SYNTAXES[syntax]
    basic = escaped and intervals
    result, at, begins = "", 0, True
    while at < len(pattern):
        token = pattern[at]
        at += 1
        if token == "\\":
            if at == len(pattern):
                raise ValueError("trailing backslash")
            token += pattern[at]
            at += 1
        if token == "[":
            found = _bracket(pattern, at, "^", False)
            if found is None:
                raise ValueError("unmatched [")
            part, at = found
            result, begins = result + part, False
            continue
        special = token[-1] if (len(token) == 2) == escaped and token[-1] in "()|" else ""
        if not special and intervals and (len(token) == 2) == escaped and token[-1] in "{}":
            special = token[-1]
        if not special and token in ("\\+", "\\?") and basic:
            special = token[1]
        if not special and (token in "*.^$" or (token in "+?" and not basic)):
            special = token
        if special in ("*", "+", "?") and begins:
            special = ""  # nothing to repeat: the character itself
        if special == "^" and basic and not begins:
            special = ""
        result += special.replace(".", "(?s:.)") if special else _plain(token)
        begins = special in ("(", "|", "^")
    try:
        return re.compile(result, re.IGNORECASE if ignore_case else 0)
    except re.error as error:
        raise ValueError(str(error)) from error


_ESCAPES = {"\\w": r"\w", "\\W": r"\W", "\\b": r"\b", "\\B": r"\B", "\\<": r"\b(?=\w)", "\\>": r"\b(?<=\w)",
            "\\s": r"\s", "\\S": r"\S", "\\`": r"\A", "\\'": r"\Z"}  # fmt: skip


def _plain(token: str) -> str:
    """A character, or an escape that all syntaxes have."""
    if len(token) == 1:
        return re.escape(token)
    if token[1] in "123456789":
        return f"(?:{token})"
    return _ESCAPES.get(token) or re.escape(token[1])


def _bracket(pattern: str, at: int, negations: str, escapes: bool) -> tuple[str, int] | None:
    """A bracket expression whose ``[`` is before `at`, as Python writes it, and where it ends; None if it does not."""
    negated = at < len(pattern) and pattern[at] in negations
    at += negated
    members, excluded = "", ""
    first = at
    while at < len(pattern):
        character = pattern[at]
        if character == "]" and at > first:
            body = f"[{members}]" if members else "(?!)"
            body = f"(?:{body}{excluded})" if excluded else body
            return (f"(?!{body})(?s:.)" if negated else body), at + 1
        if pattern.startswith("[:", at) and (end := pattern.find(":]", at)) > 0:
            known = _CLASSES.get(pattern[at + 2 : end])
            if known is None:
                return None
            if known.startswith("^"):
                excluded += f"|[{known}]"
            else:
                members += known
            at = end + 2
            continue
        if character == "\\" and escapes and at + 1 < len(pattern):
            at += 1
            character = pattern[at]
        at += 1
        if at + 1 < len(pattern) and pattern[at] == "-" and pattern[at + 1] != "]":
            last = pattern[at + 1]
            at += 2
            if last == "\\" and escapes and at < len(pattern):
                last = pattern[at]
                at += 1
            if character <= last:
                members += f"{re.escape(character)}-{re.escape(last)}"
            continue
        members += re.escape(character)
    return None
