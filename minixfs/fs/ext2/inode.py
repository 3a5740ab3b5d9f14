"""ext2 inodes on the disk: a piece of the table in each group (specification: file systems, 3.3).

A record keeps what we do not know: it is stored over the bytes that it was loaded from. Stamps have 32 signed bits, and
in large inodes two more and nanoseconds.
"""

from __future__ import annotations

import random
import stat
import struct

from minixfs.fs.disk.inode import Codec, Inode
from minixfs.fs.disk.volume import NS
from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.group import Groups
from minixfs.fs.ext2.superblock import Superblock

_EXTRA_OFFSET = layout.INODE.size
_EXTRA = layout.INODE_EXTRA.offsets
_STAMPS = (("atime", "i_atime_extra"), ("ctime", "i_ctime_extra"), ("mtime", "i_mtime_extra"))
_POINTERS = layout.DIRECT_BLOCKS + layout.LEVELS
_BLOCK_OFFSET = layout.INODE.offsets["i_block"]


class Ext2Inode(Inode):
    """`flags` are those of chattr(1); `acl_block` holds extended attributes; `raw` is the record as it was loaded."""

    __slots__ = ("acl_block", "flags", "raw")

    flags: int
    acl_block: int
    raw: bytearray

    @property
    def has_zones(self) -> bool:
        kind = self.mode & 0o170000
        if kind == stat.S_IFLNK:
            return self.size > layout.FAST_SYMLINK_MAX
        return kind in (stat.S_IFREG, stat.S_IFDIR)

    @property
    def rdev(self) -> int:
        """The old form of 8 + 8 bits if there is one, else the new form, which has the same low 16 bits."""
        return self.zones[0] or self.zones[1]

    @rdev.setter
    def rdev(self, number: int) -> None:
        self.zones[:2] = (number, 0) if number <= 0xFFFF else (0, number)

    @property
    def fast_text(self) -> bytes | None:
        if not self.is_symlink or self.size > layout.FAST_SYMLINK_MAX:
            return None
        return struct.pack(f"<{_POINTERS}L", *self.zones)[: self.size]

    @fast_text.setter
    def fast_text(self, text: bytes) -> None:
        self.zones = list(struct.unpack(f"<{_POINTERS}L", text.ljust(4 * _POINTERS, b"\0")))
        self.size = len(text)


class Ext2Codec(Codec):
    """Records of 128 bytes or more."""

    def __init__(self, superblock: Superblock, groups: Groups) -> None:
        self.size = superblock.inode_size
        self._superblock = superblock
        self._groups = groups
        self._struct = layout.INODE.struct
        self._sectors = superblock.block_size // layout.SECTOR

    def locate(self, number: int) -> tuple[int, int]:
        group, index = divmod(number - 1, self._superblock.inodes_per_group)
        block, index = divmod(index, self._superblock.inodes_per_block)
        return self._groups.table[group].inode_table + block, index * self.size

    def load(self, number: int, data: memoryview, offset: int) -> Ext2Inode:
        inode = Ext2Inode(number)
        inode.raw = bytearray(data[offset : offset + self.size])
        (
            inode.mode, uid, size, atime, ctime, mtime, _, gid, inode.nlinks, sectors, inode.flags, _,
            *rest
        ) = self._struct.unpack_from(inode.raw)  # fmt: skip
        inode.zones = rest[:_POINTERS]
        _, inode.acl_block, size_high, _, _, _, uid_high, gid_high, _, _ = rest[_POINTERS:]
        inode.uid, inode.gid = uid_high << 16 | uid, gid_high << 16 | gid
        inode.size = size_high << 32 | size if inode.is_regular else size
        inode.atime, inode.ctime, inode.mtime = (
            self._time(inode.raw, seconds, extra)
            for seconds, (_, extra) in zip((atime, ctime, mtime), _STAMPS, strict=True)
        )
        inode.zones_used = max(sectors // self._sectors - bool(inode.acl_block), 0)
        return inode

    def store(self, inode: Inode, data: memoryview, offset: int) -> None:
        assert isinstance(inode, Ext2Inode)
        raw = inode.raw
        fields = list(self._struct.unpack_from(raw))
        regular = inode.is_regular
        fields[:6] = (inode.mode, inode.uid & 0xFFFF, inode.size & 0xFFFFFFFF, *self._stamps(inode))
        fields[7:11] = (inode.gid & 0xFFFF, inode.nlinks, self._sectors_of(inode), inode.flags)
        fields[12 : 12 + _POINTERS] = inode.zones
        fields[12 + _POINTERS + 1 : 12 + _POINTERS + 3] = (inode.acl_block, inode.size >> 32 if regular else 0)
        fields[-4:-2] = (inode.uid >> 16, inode.gid >> 16)
        self._struct.pack_into(raw, 0, *fields)
        for name, extra in _STAMPS:
            if self._has(raw, extra):
                struct.pack_into("<L", raw, _EXTRA_OFFSET + _EXTRA[extra], _split(getattr(inode, name))[1])
        if regular and inode.size > layout.LARGE_FILE:
            self._superblock.allow_large_files()
        data[offset : offset + self.size] = raw

    def fresh(self, number: int, mode: int, parent: Inode, now: int) -> Ext2Inode:
        assert isinstance(parent, Ext2Inode)
        inode = Ext2Inode(number)
        inode.size = 0
        inode.zones = [0] * _POINTERS
        inode.acl_block = 0
        inode.flags = parent.flags & _inherited(mode)
        inode.raw = bytearray(self.size)
        struct.pack_into("<L", inode.raw, layout.INODE.offsets["i_generation"], random.getrandbits(32))
        if self.size > _EXTRA_OFFSET:
            extra = min(max(self._superblock.want_extra_isize, 4), self.size - _EXTRA_OFFSET) & ~3
            struct.pack_into("<H", inode.raw, _EXTRA_OFFSET, extra)
        if self._has(inode.raw, "i_crtime_extra"):
            struct.pack_into("<LL", inode.raw, _EXTRA_OFFSET + _EXTRA["i_crtime"], *_split(now))
        return inode

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _has(self, raw: bytearray, field: str) -> bool:
        """Whether the record reaches as far as this field of its second part."""
        if self.size <= _EXTRA_OFFSET:
            return False
        extra = int.from_bytes(raw[_EXTRA_OFFSET : _EXTRA_OFFSET + 2], "little")
        return _EXTRA[field] + 4 <= min(extra, self.size - _EXTRA_OFFSET)

    def _time(self, raw: bytearray, seconds: int, extra: str) -> int:
        seconds -= (seconds & 0x80000000) << 1
        if not self._has(raw, extra):
            return seconds * NS
        word = int.from_bytes(raw[_EXTRA_OFFSET + _EXTRA[extra] : _EXTRA_OFFSET + _EXTRA[extra] + 4], "little")
        return (seconds + ((word & 3) << 32)) * NS + min(word >> 2, NS - 1)

    @staticmethod
    def _stamps(inode: Inode) -> tuple[int, ...]:
        return tuple(time // NS & 0xFFFFFFFF for time in (inode.atime, inode.ctime, inode.mtime))

    def _sectors_of(self, inode: Ext2Inode) -> int:
        return (max(inode.zones_used or 0, 0) + bool(inode.acl_block)) * self._sectors


def _split(time: int) -> tuple[int, int]:
    """A stamp as two words: its low seconds; nanoseconds and what the seconds have above 32 bits."""
    seconds, fine = divmod(time, NS)
    return seconds & 0xFFFFFFFF, fine << 2 | (seconds + (1 << 31)) >> 32 & 3


def _inherited(mode: int) -> int:
    if stat.S_ISDIR(mode):
        return layout.FLAGS_INHERITED
    if stat.S_ISREG(mode):
        return layout.FLAGS_INHERITED & ~layout.FLAGS_OF_DIRECTORIES
    return layout.FLAGS_OF_OTHERS & layout.FLAGS_INHERITED
