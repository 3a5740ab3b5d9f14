"""Which file system is on a device, found by its magic number.

ext2 is asked for first: where it keeps its number, an MFS superblock can have anything. A server is imported only when
it is wanted, since a command that reads one image should not pay for the other format.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from minixfs.errors import BadSuperblock
from minixfs.hw.blockdev.device import BlockDevice

if TYPE_CHECKING:
    from minixfs.fs.disk.server import DiskFileServer

_START, _SIZE = 1024, 1024
_EXT2_MAGIC_OFFSET, _EXT2_MAGIC = 56, 0xEF53


async def server_for(device: BlockDevice, superblock_copy: int | None = None) -> type[DiskFileServer]:
    """The file server for what is on `device`. Raises BadSuperblock when nothing known is there, DeviceError.

    Where a `superblock_copy` is named (in KiB), it is that which must be known: the superblock itself may be lost.
    """
    raw = bytearray(_SIZE)
    await device.read(_START if superblock_copy is None else superblock_copy << 10, [raw])
    if struct.unpack_from("<H", raw, _EXT2_MAGIC_OFFSET)[0] == _EXT2_MAGIC:
        from minixfs.fs.ext2.server import Ext2Server

        return Ext2Server
    if superblock_copy is not None:
        raise BadSuperblock(f"there is no ext2 superblock {superblock_copy} KiB from the start")
    from minixfs.fs.mfs.server import MfsServer, probe

    if not await probe(device):
        raise BadSuperblock("no MINIX file system found, and no ext2 (no magic number at byte 1040, 1048 or 1080)")
    return MfsServer


async def probe(device: BlockDevice) -> bool:
    """Whether a known file system is on the device."""
    try:
        await server_for(device)
    except BadSuperblock:
        return False
    return True
