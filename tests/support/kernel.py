"""The kernel's part in talking to the FUSE face: makes requests, and reads replies."""

from __future__ import annotations

from typing import NamedTuple

from minixfs.daemon.fuse import wire
from minixfs.daemon.fuse.face import FuseFace
from minixfs.daemon.fuse.wire import Opcode, Request
from minixfs.hw.blockdev.device import Data

ROOT = wire.ROOT_NODE
ROOM = 4096


class Entry(NamedTuple):
    """What the kernel is told of a node."""

    node: int
    size: int
    mode: int
    nlink: int
    uid: int
    gid: int


class Listed(NamedTuple):
    """An entry of a listing. `node` is that of its inode; `entry` is None where the kernel is told nothing of it."""

    name: bytes
    node: int
    next: int
    kind: int
    entry: Entry | None


def _attributes(data: bytes) -> Entry:
    node, size, _, _, _, _, _, _, _, mode, nlink, uid, gid, _, _, _ = wire.ATTRIBUTES.unpack_from(data)
    return Entry(node, size, mode, nlink, uid, gid)


class Kernel:
    """Asks `face`, as user 1 of group 2. What a handler raises comes through."""

    def __init__(self, face: FuseFace) -> None:
        self._face = face

    async def ask(self, opcode: int, node: int, body: bytes = b"") -> bytes:
        reply: Data | None = await self._face.handlers[opcode](Request(node, 1, 2, memoryview(body)))
        return b"" if reply is None else bytes(reply)

    async def lookup(self, directory: int, name: bytes) -> Entry:
        """Node 0: there is no such name."""
        return self._entry(await self.ask(Opcode.LOOKUP, directory, name + b"\0"))

    def _entry(self, reply: bytes) -> Entry:
        node = wire.ENTRY_OUT.unpack_from(reply)[0]
        entry = _attributes(reply[wire.ENTRY_OUT.size :])
        assert entry.node == node
        return entry

    async def getattr(self, node: int) -> Entry:
        return _attributes((await self.ask(Opcode.GETATTR, node))[wire.GETATTR_OUT.size :])

    async def forget(self, *nodes: int, count: int = 1) -> None:
        if len(nodes) == 1:
            await self.ask(Opcode.FORGET, nodes[0], wire.FORGET_IN.pack(count))
        else:
            pairs = b"".join(wire.FORGET_ONE.pack(node, count) for node in nodes)
            await self.ask(Opcode.BATCH_FORGET, 0, wire.BATCH_FORGET_IN.pack(len(nodes), 0) + pairs)

    async def create(self, directory: int, name: bytes, mode: int, flags: int) -> Entry:
        body = wire.CREATE_IN.pack(flags, mode, 0, 0) + name + b"\0"
        return self._entry(await self.ask(Opcode.CREATE, directory, body))

    async def unlink(self, directory: int, name: bytes) -> None:
        await self.ask(Opcode.UNLINK, directory, name + b"\0")

    async def rename(self, directory: int, name: bytes, new_directory: int, new_name: bytes) -> None:
        body = wire.RENAME_IN.pack(new_directory) + name + b"\0" + new_name + b"\0"
        await self.ask(Opcode.RENAME, directory, body)

    async def access(self, node: int, wanted: int) -> None:
        await self.ask(Opcode.ACCESS, node, wire.ACCESS_IN.pack(wanted, 0))

    async def read(self, node: int, offset: int = 0, size: int = ROOM) -> bytes:
        return await self.ask(Opcode.READ, node, wire.READ_IN.pack(0, offset, size, 0, 0, 0, 0))

    async def write(self, node: int, offset: int, data: bytes, flags: int = 0) -> int:
        body = wire.WRITE_IN.pack(0, offset, len(data), flags, 0, 0, 0) + data
        count, _ = wire.WRITE_OUT.unpack(await self.ask(Opcode.WRITE, node, body))
        return int(count)

    async def list(self, node: int, offset: int = 0, room: int = ROOM, *, plus: bool = False) -> list[Listed]:
        opcode = Opcode.READDIRPLUS if plus else Opcode.READDIR
        reply = await self.ask(opcode, node, wire.READ_IN.pack(0, offset, room, 0, 0, 0, 0))
        assert len(reply) <= room
        found, at = [], 0
        while at < len(reply):
            entry = None
            if plus:
                if wire.ENTRY_OUT.unpack_from(reply, at)[0]:
                    entry = self._entry(reply[at : at + wire.ENTRY_SIZE])
                at += wire.ENTRY_SIZE
            ino, position, length, kind = wire.DIRENT.unpack_from(reply, at)
            at += wire.DIRENT.size
            found.append(Listed(reply[at : at + length], ino, position, kind, entry))
            at += length + -length % 8
        return found
