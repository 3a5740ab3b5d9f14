"""A command line of bash as far as it is typed: its words, and how what follows has to be quoted.

Readline replaces the end of the last word, from its last break (a colon is one) or from its opening quote on; what
stands before stays as the user typed it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_SPECIAL = re.compile(r"""([\s|&;<>()$`\\"'*?\[\]#!{}])""")
_IN_DOUBLE = re.compile(r'(["$`\\])')


class Line:
    """`words` have no quotes any more; the last one is being typed. `quote` is the one that is open at the end."""

    def __init__(self, text: str) -> None:
        self._start = 0
        self._text = text
        self.quote = ""
        self.words: Sequence[str] = self._split(text)

    def value_before(self, replaced: str) -> str:
        """What the last word says before its part that is to be replaced."""
        raw = self._text[self._start :]
        kept = raw[: len(raw) - len(replaced)] if replaced and raw.endswith(replaced) else raw if not replaced else ""
        return Line(kept).words[-1]

    def quoted(self, text: str) -> str:
        """`text` as it has to be typed there."""
        if self.quote == "'":
            return text.replace("'", "'\\''")
        if self.quote == '"':
            return _IN_DOUBLE.sub(r"\\\1", text)
        return _SPECIAL.sub(r"\\\1", text)

    def _split(self, text: str) -> list[str]:
        words, word, inside, at = [""], "", False, 0
        while at < len(text):
            character = text[at]
            at += 1
            if self.quote:
                if character == self.quote:
                    self.quote = ""
                    continue
                if character == "\\" and self.quote == '"' and text[at : at + 1] in ('"', "$", "`", "\\"):
                    character, at = text[at], at + 1
            elif character in "'\"":
                self.quote, inside = character, True
                continue
            elif character == "\\":
                character, at = text[at : at + 1], at + 1
            elif character.isspace():
                if inside:
                    words[-1:] = [word, ""]
                word, inside, self._start = "", False, at
                continue
            word += character
            inside = True
        words[-1] = word
        return words
