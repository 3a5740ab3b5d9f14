"""The replies to a listing of a directory: as many entries as the kernel has room for."""

from __future__ import annotations

import stat

from minixfs.daemon.call import Call
from minixfs.daemon.calls import readwrite
from minixfs.daemon.fuse.known import KnownNodes
from minixfs.daemon.fuse.wire import DIRENT, ENTRY_SIZE
from minixfs.daemon.objects import Vnode
from minixfs.fs.protocol import DirEntry

USUAL_NAME = 16
"""Bytes of a name and of what fills it up: the guess by which entries are asked for."""
FEW = 8
"""Entries that are not worth an effort of their own."""
_PADDING = [bytes(-length % 8) for length in range(8)]


async def names(call: Call, directory: Vnode, position: int, room: int) -> bytes:
    """The names from `position` on in `room` bytes, with inode numbers, and of what type these are where names tell.

    Those of a large directory are told as columns; for the rest of a small one numpy need not be loaded.
    """
    key_of = directory.vmnt.key_of
    entries = await readwrite.getdents_at(call, directory, position, FEW)
    if len(entries) < FEW:
        return b"".join(_packed(key_of(entry.ino), entry, 0) for entry in entries)
    table = await readwrite.getdents_table_at(call, directory, position, room // (DIRENT.size + USUAL_NAME))
    return table.packed(directory.vmnt.keys_of(table.inos), room)


async def nodes(call: Call, directory: Vnode, position: int, room: int, known: KnownNodes) -> bytes:
    """The names from `position` on in `room` bytes, each with the node that it leads to."""
    key_of = directory.vmnt.key_of
    reply: list[bytes] = []
    while entries := await _that_fit(call, directory, position, room, bool(reply)):
        for entry, (told, mode) in zip(entries, await known.entries(directory, entries), strict=True):
            reply.append(told + _packed(key_of(entry.ino), entry, stat.S_IFMT(mode) >> 12))
            room -= len(reply[-1])
        position = entries[-1].next
    return b"".join(reply)


def _packed(key: int, entry: DirEntry, kind: int) -> bytes:
    name = entry.name
    return DIRENT.pack(key, entry.next, len(name), kind) + name + _PADDING[len(name) % 8]


async def _that_fit(call: Call, directory: Vnode, position: int, room: int, has_some: bool) -> list[DirEntry]:
    """The next entries that fit: none at the end of the directory, or when asking once more is not worth while."""
    wanted = room // (ENTRY_SIZE + DIRENT.size + USUAL_NAME)
    if wanted < FEW and has_some:
        return []
    entries = await readwrite.getdents_at(call, directory, position, wanted)
    for index, entry in enumerate(entries):
        room -= ENTRY_SIZE + DIRENT.size + len(entry.name) + -len(entry.name) % 8
        if room < 0:
            return entries[:index]
    return entries
