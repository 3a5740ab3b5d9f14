"""File names in messages, quoted as coreutils quotes them: what stands there can be pasted into a shell.

    quoted(b"it's\n")      ->  'it'\''s'$'\n'

Nothing that a terminal would obey gets through.
"""

from __future__ import annotations

import os

_ESCAPES = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r"}
_TAME = frozenset("%+,-./:]_@ ")
"""Besides letters and digits: what means the same in double quotes as in single ones."""
_PLAIN = frozenset("%+,-./:]_@{}#~")
"""Besides letters and digits: what a shell takes as it is."""


def quoted(name: bytes | str) -> str:
    """`name` between quotes, always; characters that cannot be printed as ``$'\\n'``."""
    text = os.fsdecode(name)
    if "'" in text and all(_is_tame(text, at) for at in range(len(text))):
        return f'"{text}"'
    result, escaping = "'", False
    for character in text:
        if character.isprintable() and not _is_lone(character):
            if escaping and character != "'":
                result += "''"
            result += "'\\''" if character == "'" else character
            escaping = False
        else:
            result += ("" if escaping else "'$'") + "".join(map(_escape, os.fsencode(character)))
            escaping = True
    return result + "'"


def quoted_if_needed(name: bytes | str) -> str:
    """`name` as it is if a shell would take it so, else `quoted`."""
    text = os.fsdecode(name)
    plain = text and text[0] not in "~#" and all(c.isalnum() or c in _PLAIN for c in text)
    return text if plain and not any(map(_is_lone, text)) else quoted(text)


def _is_tame(text: str, at: int) -> bool:
    character = text[at]
    if character.isascii():
        return character.isalnum() or character in _TAME or character == "'" or (at == 0 and character in "#~")
    return character.isprintable() and not _is_lone(character)


def _is_lone(character: str) -> bool:
    """Whether it stands for a byte that is not UTF-8."""
    return "\udc80" <= character <= "\udcff"


def _escape(byte: int) -> str:
    return f"\\{_ESCAPES[byte]}" if byte in _ESCAPES else f"\\{byte:03o}"
