"""A picture as PNG: a palette image, so that even large pictures take some ten kilobytes."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from minixfs.cli.picture.font import WIDTH, points
from minixfs.cli.picture.geometry import CELLS, Geometry
from minixfs.cli.picture.picture import Picture

_PAPER, _INK, _FRAME = 0xFFFFFF, 0x24292F, 0x8A8F98
_SCALE = 2
"""Pixels that a point of the font is wide."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def draw(picture: Picture) -> bytes:
    cells = picture.cells(CELLS)
    geometry = Geometry.fit(len(cells.paint), len(picture.legend), len(picture.notes))
    palette = [*(swatch.rgb for swatch in picture.swatches), _PAPER, _INK, _FRAME]
    paper, ink, frame = range(len(picture.swatches), len(palette))
    pixels = np.full((geometry.height, geometry.width), paper, np.uint8)
    _write(pixels, picture.title, geometry.margin, geometry.title_y - 4, ink)
    _write(pixels, geometry.unit(cells), geometry.margin, geometry.title_y + 18, ink)
    for row in geometry.rows(cells):
        x, y, wide, high = geometry.box(row)
        pixels[y : y + high, x : x + wide] = row.swatch
    for swatch, (x, y) in zip(picture.legend, geometry.legend_places(), strict=True):
        pixels[y : y + 14, x : x + 14] = frame
        pixels[y + 1 : y + 13, x + 1 : x + 13] = picture.swatches.index(swatch)
        text = f"{swatch.label}: {swatch.blocks:,} ({100 * swatch.blocks / len(picture.paint):.1f}%)"
        _write(pixels, text, x + 20, y, ink)
    for note, y in zip(picture.notes, geometry.note_places(), strict=True):
        _write(pixels, note, geometry.margin, y, ink)
    return encode(pixels, palette)


def encode(pixels: NDArray[np.uint8], palette: list[int]) -> bytes:
    """`pixels` (lines, columns) index `palette`, which holds RGB colours (PNG, second edition: 11.2)."""
    height, width = pixels.shape
    lines = np.zeros((height, width + 1), np.uint8)  # every line begins with its filter: none
    lines[:, 1:] = pixels
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    colours = b"".join(colour.to_bytes(3, "big") for colour in palette)
    data = zlib.compress(lines.tobytes(), 9)
    chunks = ((b"IHDR", header), (b"PLTE", colours), (b"IDAT", data), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def _write(pixels: NDArray[np.uint8], text: str, x: int, y: int, ink: int) -> None:
    """Text with its upper left corner at x, y, as much as there is room for."""
    room = (pixels.shape[1] - x) // (WIDTH * _SCALE)
    for column, line in points(text[:room]):
        left, top = x + column * _SCALE, y + line * _SCALE
        pixels[top : top + _SCALE, left : left + _SCALE] = ink
