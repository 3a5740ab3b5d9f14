"""The hashes by which directories are indexed, of many names at once (specification: file systems, 3.7).

All arithmetic is of 32 bits and wraps around.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

LEGACY, HALF_MD4, TEA = 0, 1, 2
VERSIONS = (LEGACY, HALF_MD4, TEA)
CHUNK = 32
"""Names come padded to a multiple of so many bytes."""
Words = NDArray[np.uint32]

_LAST = np.uint32(0xFFFFFFFE)
_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
_MD4_ROUNDS: tuple[tuple[Callable[[Words, Words, Words], Words], int, tuple[int, ...], tuple[int, ...]], ...] = (
    (lambda x, y, z: z ^ (x & (y ^ z)), 0, (0, 1, 2, 3, 4, 5, 6, 7), (3, 7, 11, 19)),
    (lambda x, y, z: (x & y) + ((x ^ y) & z), 0x5A827999, (1, 3, 5, 7, 0, 2, 4, 6), (3, 5, 9, 13)),
    (lambda x, y, z: x ^ y ^ z, 0x6ED9EBA1, (3, 7, 2, 6, 1, 5, 0, 4), (3, 9, 11, 15)),
)


def hash_names(text: NDArray[np.uint8], lengths: NDArray[np.int64], version: int, signed: bool, seed: bytes) -> Words:
    """The hash of each name. `text` has one name a row, its rest zeroes, in CHUNKs; `signed`: so are its bytes."""
    characters = (text.view(np.int8) if signed else text).astype(np.int32).view(np.uint32)
    if version == LEGACY:
        result = _legacy(characters, lengths)
    else:
        words = tuple(int.from_bytes(seed[at : at + 4], "little") for at in range(0, 16, 4))
        start = words if any(words) else _START
        state = np.tile(np.array(start, np.uint32), (len(text), 1)).T.copy()
        step, transform = (32, _half_md4) if version == HALF_MD4 else (16, _tea)
        for offset in range(0, text.shape[1], step):
            more = np.flatnonzero(lengths > offset)
            if not len(more):
                break
            block = _pack(characters[more, offset : offset + step], lengths[more] - offset)
            state[:, more] = transform(state[:, more], block)
        result = state[1 if version == HALF_MD4 else 0]
    result = result & ~np.uint32(1)
    return np.where(result == _LAST, _LAST - np.uint32(2), result)


def _pack(characters: Words, lengths: NDArray[np.int64]) -> Words:
    """Names, or what is left of them, as words: four characters each, high one first, filled up with the length."""
    size = (lengths & 0xFF).astype(np.uint32)
    filler = size | size << np.uint32(8)
    filler |= filler << np.uint32(16)
    words = np.empty((characters.shape[1] // 4, len(lengths)), np.uint32)
    for index in range(len(words)):
        value = filler.copy()
        for position in range(4 * index, 4 * index + 4):
            inside = lengths > position
            value[inside] = characters[inside, position] + (value[inside] << np.uint32(8))
        words[index] = value
    return words


def _half_md4(state: Words, words: Words) -> Words:
    registers = [*state]
    for mix, constant, order, shifts in _MD4_ROUNDS:
        for step, index in enumerate(order):
            a, b, c, d = (registers[(place - step) % 4] for place in range(4))
            a = a + mix(b, c, d) + words[index] + np.uint32(constant)
            shift = shifts[step % 4]
            registers[-step % 4] = a << np.uint32(shift) | a >> np.uint32(32 - shift)
    return np.array([old + new for old, new in zip(state, registers, strict=True)], np.uint32)


def _tea(state: Words, words: Words) -> Words:
    first, second = state[0], state[1]
    for turn in range(1, 17):
        total = np.uint32(turn * 0x9E3779B9 & 0xFFFFFFFF)
        first = first + ((second << np.uint32(4)) + words[0] ^ second + total ^ (second >> np.uint32(5)) + words[1])
        second = second + ((first << np.uint32(4)) + words[2] ^ first + total ^ (first >> np.uint32(5)) + words[3])
    return np.array([state[0] + first, state[1] + second, state[2], state[3]], np.uint32)


def _legacy(characters: Words, lengths: NDArray[np.int64]) -> Words:
    before = np.full(len(lengths), 0x37ABE8F9, np.uint32)
    now = np.full(len(lengths), 0x12A3FE2D, np.uint32)
    for position in range(characters.shape[1]):
        more = lengths > position
        if not more.any():
            break
        value = before + (now ^ characters[:, position] * np.uint32(7152373))
        value = np.where(value & np.uint32(0x80000000), value - np.uint32(0x7FFFFFFF), value)
        before, now = np.where(more, now, before), np.where(more, value, now)
    return now << np.uint32(1)
