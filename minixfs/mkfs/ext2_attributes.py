"""The extended attributes of the files of a new ext2 volume: small ones in the inodes, the rest in blocks (3.9).

Files that have the same attributes share one block for them, as many as the format lets.
"""

from __future__ import annotations

from collections.abc import Mapping

from minixfs.errors import MinixFsError
from minixfs.fs.ext2.layout import XATTR_REFERENCES_MAX


class TooLarge(MinixFsError):
    """The attributes of file `number` do not fit."""

    def __init__(self, number: int) -> None:
        super().__init__("extended attributes that are too large")
        self.number = number


class Attributes:
    """By file: `inline` is what fills the last `room` bytes of its inode, `block_of` which of `blocks` it has."""

    def __init__(self, attributes: Mapping[int, dict[bytes, bytes]], block_size: int, room: int) -> None:
        self.inline: dict[int, bytes] = {}
        self.block_of: dict[int, int] = {}
        self.blocks: list[dict[bytes, bytes]] = []
        self._block_size = block_size
        self._users: list[int] = []
        if not attributes:
            return
        from minixfs.fs.ext2.xattr import build_block, build_inline

        known: dict[tuple[tuple[bytes, bytes], ...], int] = {}
        for number, wanted in attributes.items():
            inline: dict[bytes, bytes] = {}
            rest: dict[bytes, bytes] = {}
            for name in sorted(wanted):
                grown = {**inline, name: wanted[name]}
                if room and build_inline(grown, room) is not None:
                    inline = grown
                else:
                    rest[name] = wanted[name]
            if inline:
                self.inline[number] = build_inline(inline, room) or b""
            if not rest:
                continue
            key = tuple(rest.items())
            block = known.get(key)
            if block is None or self._users[block] == XATTR_REFERENCES_MAX:
                if build_block(rest, block_size) is None:
                    raise TooLarge(number)
                block = known[key] = len(self.blocks)
                self.blocks.append(rest)
                self._users.append(0)
            self._users[block] += 1
            self.block_of[number] = block

    def block(self, number: int) -> bytes:
        """One of `blocks` as it is on the disk."""
        from minixfs.fs.ext2.xattr import build_block

        return build_block(self.blocks[number], self._block_size, self._users[number]) or b""
