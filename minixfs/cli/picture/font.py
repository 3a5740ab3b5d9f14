"""Letters, digits and signs of 5 by 7 points, for pictures that hold no text of their own."""

from __future__ import annotations

from collections.abc import Iterator

WIDTH = 6
"""Points from one character to the next."""

_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ,.:-/()%_+=@#'\"~;?"
_SHAPES = """
    ehhvhhh uhhuhhu ehggghe uhhhhhu vgguggv vgguggg ehgnhhe hhhvhhh e44444e 72222ic hikokih ggggggv hrllhhh
    hpljhhh ehhhhhe uhhuggg ehhhlid uhhukih fgge11u v444444 hhhhhhe hhhhha4 hhhllla hha4ahh hha4444 v1248gv
    00e1fhf gguhhhu 00egghe 11fhhhf 00ehvge 698s888 00fhhhf1e gguhhhh 40c444e 2062222ic ggikoki c44444e 00qllll
    00mphhh 00ehhhe 00uhhhugg 00fhhhf11 00mpggg 00fge1u 88s8896 00hhhjd 00hhha4 00hhlla 00ha4ah 00hhhhf1e 00v248v
    ehjlphe 4c4444e eh1248v v2421he 26aiv22 vgu11he 68guhhe v124888 ehhehhe ehhf12c
    0000000 0000648 00000cc 0cc0cc0 000e000 01248g0 2488842 8422248 op248j3 000000v 044v440 00v0v00 eh1dlle
    aavavaa c480000 aaa0000 008l200 0cc0c48 eh12404
"""
"""Seven lines each, nine where something hangs down, in base 32; the highest of five bits is the left one."""
_GLYPHS = dict(zip(_CHARACTERS, _SHAPES.split(), strict=True))


def points(text: str) -> Iterator[tuple[int, int]]:
    """Column and line of every point that is set. Unknown characters look like ``?``."""
    for index, character in enumerate(text):
        for line, bits in enumerate(_GLYPHS.get(character, _GLYPHS["?"])):
            for column in range(5):
                if int(bits, 32) >> 4 - column & 1:
                    yield index * WIDTH + column, line
