"""The extended attributes of the files of a volume: where each is kept, and blocks that files share.

An attribute goes into the inode's record if there is room, else into the file's block. A block that another file has
too is never changed: who changes his attributes gets a block of his own. The block says how many share it.
"""

from __future__ import annotations

from minixfs.errors import Corrupt, NoSpace
from minixfs.fs.disk.inode import InodeTable
from minixfs.fs.ext2 import layout, xattr
from minixfs.fs.ext2.inode import Ext2Inode
from minixfs.fs.ext2.volume import Ext2Volume
from minixfs.fs.ext2.xattr import Attributes
from minixfs.fs.libminixfs.write_order import Order

_REFERENCES = layout.XATTR_HEADER.offsets["h_refcount"]


class AttributeStore:
    """Reads and changes the attributes of inodes that are in use."""

    def __init__(self, volume: Ext2Volume, inodes: InodeTable) -> None:
        self._volume = volume
        self._inodes = inodes

    async def read(self, inode: Ext2Inode) -> Attributes:
        """All attributes. Raises Corrupt, DeviceError."""
        inline = self._inline(inode)
        return inline if not inode.acl_block else await self._in_block(inode) | inline

    async def change(self, inode: Ext2Inode, name: bytes, value: bytes | None) -> None:
        """Set an attribute, or remove it (None). Raises NoSpace when there is no place for it."""
        inline, shared = self._inline(inode), await self._in_block(inode)
        in_block = dict(shared)
        inline.pop(name, None)
        in_block.pop(name, None)
        if value is not None:
            room = self._room(inode)
            (inline if xattr.build_inline({**inline, name: value}, room) else in_block)[name] = value
        if in_block != shared:
            await self._store_block(inode, in_block)
        self._store_inline(inode, inline)
        self._inodes.mark_dirty(inode)

    async def release(self, inode: Ext2Inode) -> None:
        """The inode goes: so does its share of its block."""
        if inode.acl_block:
            await self._let_go(inode.acl_block, inode.num)
            inode.acl_block = 0

    # ---- in the inode ----------------------------------------------------------------------------------------------

    def _room(self, inode: Ext2Inode) -> int:
        return len(inode.raw) - inode.attributes_at

    def _inline(self, inode: Ext2Inode) -> Attributes:
        return xattr.parse_inline(bytes(inode.raw[inode.attributes_at :]), inode.num)

    def _store_inline(self, inode: Ext2Inode, attributes: Attributes) -> None:
        built = xattr.build_inline(attributes, self._room(inode))
        if built:
            inode.raw[inode.attributes_at :] = built

    # ---- in a block ------------------------------------------------------------------------------------------------

    async def _in_block(self, inode: Ext2Inode) -> Attributes:
        if not inode.acl_block:
            return {}
        self._volume.check_zones(inode.acl_block, 1, inode.num)
        with await self._volume.cache.get(inode.acl_block) as buf:
            return xattr.parse_block(bytes(buf.data), inode.acl_block)

    async def _store_block(self, inode: Ext2Inode, attributes: Attributes) -> None:
        volume, old = self._volume, inode.acl_block
        built = xattr.build_block(attributes, volume.block_size) if attributes else None
        if attributes and built is None:
            raise NoSpace(message="the extended attributes do not fit into a block")
        if built is not None and old and await self._references(old) == 1:
            with await volume.cache.get(old) as buf:
                buf.data[:] = built
                volume.cache.mark_dirty(buf, Order.INDIRECT)
            return
        new = 0
        if built is not None:
            new, _ = await volume.allocate_zones(volume.goal(inode), 1)
            try:
                with await volume.cache.get(new, read=False) as buf:
                    buf.data[:] = built
                    volume.cache.mark_dirty(buf, Order.INDIRECT)
            except BaseException:
                volume.free_zones(new, 1)
                raise
        try:
            if old:
                await self._let_go(old, inode.num)
        except BaseException:
            if new:
                volume.free_zones(new, 1)
            raise
        inode.acl_block = new

    async def _references(self, block: int) -> int:
        with await self._volume.cache.get(block) as buf:
            return int.from_bytes(buf.data[_REFERENCES : _REFERENCES + 4], "little")

    async def _let_go(self, block: int, inode: int) -> None:
        """One file less has the block; after the last one it is free."""
        self._volume.check_zones(block, 1, inode)
        with await self._volume.cache.get(block) as buf:
            magic = int.from_bytes(buf.data[:4], "little")
            references = int.from_bytes(buf.data[_REFERENCES : _REFERENCES + 4], "little")
            if magic != layout.XATTR_MAGIC or not references:
                raise Corrupt("this is no block of extended attributes", block=block, inode=inode)
            if references > 1:
                buf.data[_REFERENCES : _REFERENCES + 4] = (references - 1).to_bytes(4, "little")
                self._volume.cache.mark_dirty(buf, Order.INDIRECT)
        if references == 1:
            self._volume.free_zones(block, 1)
