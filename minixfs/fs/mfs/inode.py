"""MFS inodes on the disk: one table behind the bitmaps (specification: file systems, 1.6)."""

from __future__ import annotations

from minixfs.fs.disk.inode import Codec, Inode
from minixfs.fs.mfs import layout
from minixfs.fs.mfs.superblock import Superblock
from minixfs.hw.clock import NS


class MfsCodec(Codec):
    """Records of 32 (V1) or 64 bytes. V1 keeps one time stamp and no more than 255 links."""

    def __init__(self, superblock: Superblock) -> None:
        self._struct = superblock.inode_record.struct
        self.size = self._struct.size
        self._old = superblock.variant.version == 1
        self._pointers = layout.DIRECT_ZONES + superblock.variant.levels
        self._per_block = superblock.inodes_per_block
        self._table_block = superblock.inode_table_block

    def locate(self, number: int) -> tuple[int, int]:
        block, index = divmod(number - 1, self._per_block)
        return self._table_block + block, index * self.size

    def load(self, number: int, data: memoryview, offset: int) -> Inode:
        inode = Inode(number)
        if self._old:
            inode.mode, inode.uid, inode.size, mtime, inode.gid, inode.nlinks, *inode.zones = self._struct.unpack_from(
                data, offset
            )
            inode.atime = inode.mtime = inode.ctime = mtime * NS
        else:
            (
                inode.mode, inode.nlinks, inode.uid, inode.gid, inode.size, atime, mtime, ctime, *inode.zones
            ) = self._struct.unpack_from(data, offset)  # fmt: skip
            inode.atime, inode.mtime, inode.ctime = atime * NS, mtime * NS, ctime * NS
        return inode

    def store(self, inode: Inode, data: memoryview, offset: int) -> None:
        mtime = inode.mtime // NS
        if self._old:
            head = (inode.mode, inode.uid, inode.size, mtime, inode.gid, inode.nlinks)
            self._struct.pack_into(data, offset, *head, *inode.zones)
        else:
            owner = (inode.mode, inode.nlinks, inode.uid, inode.gid, inode.size)
            self._struct.pack_into(data, offset, *owner, inode.atime // NS, mtime, inode.ctime // NS, *inode.zones)

    def fresh(self, number: int, mode: int, parent: Inode, now: int) -> Inode:
        inode = Inode(number)
        inode.size = 0
        inode.zones = [0] * self._pointers
        return inode
