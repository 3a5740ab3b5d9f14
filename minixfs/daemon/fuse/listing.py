"""The replies to a listing of a directory: as many entries as the kernel has room for."""

from __future__ import annotations

import stat
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate, chain, repeat

from minixfs.daemon.call import Call
from minixfs.daemon.calls import readwrite
from minixfs.daemon.fuse.known import KnownNodes
from minixfs.daemon.fuse.wire import DIRENT, ENTRY_SIZE
from minixfs.daemon.objects import Vnode
from minixfs.fs.protocol import DirEntry, DirTable

USUAL_NAME = 16
"""Bytes of a name and of what fills it up: the guess by which entries are asked for."""
FEW = 8
"""Entries that are not worth an effort of their own."""
_FILLED = [length + -length % 8 for length in range(256)]
_SIZES = [DIRENT.size + filled for filled in _FILLED]
"""Bytes that a name of each length takes, and an entry with it."""


async def names(call: Call, directory: Vnode, position: int, room: int) -> bytes:
    """The names from `position` on in `room` bytes, with inode numbers, and of what type these are where names tell."""
    table = await readwrite.getdents_table_at(call, directory, position, room // (DIRENT.size + USUAL_NAME))
    return pack(table, directory.vmnt.keys_of(table.inos), room)


def pack(table: DirTable, keys: Iterable[int], room: int) -> bytes:
    """As many entries as fit into `room` bytes. Each step is one call for all of them."""
    lengths = list(map(len, table.names))
    ends = list(accumulate(map(_SIZES.__getitem__, lengths), initial=0))
    heads = map(DIRENT.pack, keys, table.next, lengths, table.types)
    names = map(bytes.ljust, table.names, map(_FILLED.__getitem__, lengths), repeat(b"\0"))
    return b"".join(chain.from_iterable(zip(heads, names, strict=True)))[: ends[bisect_right(ends, room) - 1]]


async def nodes(call: Call, directory: Vnode, position: int, room: int, known: KnownNodes) -> bytes:
    """The names from `position` on in `room` bytes, each with the node that it leads to."""
    key_of = directory.vmnt.key_of
    reply: list[bytes] = []
    while entries := await _that_fit(call, directory, position, room, bool(reply)):
        for entry, (told, mode) in zip(entries, await known.entries(directory, entries), strict=True):
            name = entry.name
            dirent = DIRENT.pack(key_of(entry.ino), entry.next, len(name), stat.S_IFMT(mode) >> 12)
            reply.append(told + dirent + name.ljust(_FILLED[len(name)], b"\0"))
            room -= len(reply[-1])
        position = entries[-1].next
    return b"".join(reply)


async def _that_fit(call: Call, directory: Vnode, position: int, room: int, has_some: bool) -> list[DirEntry]:
    """The next entries that fit: none at the end of the directory, or when asking once more is not worth while."""
    wanted = room // (ENTRY_SIZE + DIRENT.size + USUAL_NAME)
    if wanted < FEW and has_some:
        return []
    entries = await readwrite.getdents_at(call, directory, position, wanted)
    for index, entry in enumerate(entries):
        room -= ENTRY_SIZE + _SIZES[len(entry.name)]
        if room < 0:
            return entries[:index]
    return entries
