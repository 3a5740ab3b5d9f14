"""ext2 inodes on the disk: a piece of the table in each group (specification: file systems, 3.3).

A record keeps what we do not know: it is stored over the bytes that it was loaded from. Stamps have 32 signed bits, and
in large inodes two more and nanoseconds.
"""

from __future__ import annotations

import random
import stat
import struct
from functools import lru_cache

from minixfs.fs.disk.inode import Codec, Inode
from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.group import Groups
from minixfs.fs.ext2.superblock import Superblock
from minixfs.hw.clock import NS

_POINTERS = layout.DIRECT_BLOCKS + layout.LEVELS
_RECORD = layout.INODE.struct
_HEAD, _HEAD_AT = layout.INODE.part("i_mode", "i_mtime")
_COUNTS, _COUNTS_AT = layout.INODE.part("i_gid", "i_flags")
_BLOCKS, _BLOCKS_AT = layout.INODE.part("i_block", "i_block")
_GENERATION, _GENERATION_AT = layout.INODE.part("i_generation", "i_generation")
_ACL, _ACL_AT = layout.INODE.part("i_file_acl", "i_size_high")
_OWNER, _OWNER_AT = layout.INODE.part("i_uid_high", "i_gid_high")

_XATTR_MAGIC = layout.XATTR_MAGIC.to_bytes(4, "little")
_EXTRA_AT = layout.INODE.size
_BIRTH, _BIRTH_AT = layout.INODE_EXTRA.part("i_crtime", "i_crtime_extra")
_FINE = [layout.INODE_EXTRA.part("i_ctime_extra", last)[0] for last in layout.INODE_EXTRA.fields[2:5]]
"""The finer parts of the ctime, of that and the mtime, of these and the atime."""
_FINE_AT = layout.INODE_EXTRA.offsets["i_ctime_extra"]


class Ext2Inode(Inode):
    """`flags` are those of chattr(1); `acl_block` holds extended attributes; `raw` is the record as it was loaded, in
    which others begin at byte `attributes_at`."""

    __slots__ = ("acl_block", "attributes_at", "flags", "raw")

    flags: int
    acl_block: int
    raw: bytearray
    attributes_at: int

    @property
    def has_zones(self) -> bool:
        kind = self.mode & 0o170000
        if kind == stat.S_IFLNK:
            return self.size > layout.FAST_SYMLINK_MAX
        return kind in (stat.S_IFREG, stat.S_IFDIR)

    @property
    def may_have_attributes(self) -> bool:
        return self.acl_block != 0 or self.raw.startswith(_XATTR_MAGIC, self.attributes_at)

    @property
    def zones_besides(self) -> int:
        return int(self.acl_block != 0)

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
        self._sectors = superblock.block_size // layout.SECTOR
        self._per_group = superblock.inodes_per_group
        self._per_block = superblock.inodes_per_block
        self._blank = bytearray(self.size)
        if self.size > _EXTRA_AT:
            extra = min(max(superblock.want_extra_isize, 4), self.size - _EXTRA_AT) & ~3
            self._blank[_EXTRA_AT : _EXTRA_AT + 2] = extra.to_bytes(2, "little")
        self._blank_attributes_at = self._attributes_at(self._blank)
        self._has_birth = self._extra(self._blank) >= _BIRTH_AT + _BIRTH.size

    def locate(self, number: int) -> tuple[int, int]:
        group, index = divmod(number - 1, self._per_group)
        block, index = divmod(index, self._per_block)
        return self._groups.table[group].inode_table + block, index * self.size

    def load(self, number: int, data: memoryview, offset: int) -> Ext2Inode:
        inode = Ext2Inode(number)
        inode.raw = raw = bytearray(data[offset : offset + self.size])
        inode.attributes_at = self._attributes_at(raw)
        (
            inode.mode, uid, size, atime, ctime, mtime, _, gid, inode.nlinks, sectors, inode.flags, _, *rest
        ) = _RECORD.unpack_from(raw)  # fmt: skip
        inode.zones = rest[:_POINTERS]
        _, acl_block, size_high, _, _, _, uid_high, gid_high, _, _ = rest[_POINTERS:]
        inode.acl_block = acl_block
        inode.uid, inode.gid = uid_high << 16 | uid, gid_high << 16 | gid
        inode.size = size_high << 32 | size if inode.is_regular else size
        count = self._fine_stamps(raw)
        fine = _FINE[count - 1].unpack_from(raw, _EXTRA_AT + _FINE_AT) if count else ()
        if count < len(_FINE):
            fine += (0,) * (len(_FINE) - count)
        inode.ctime, inode.mtime, inode.atime = _join(ctime, fine[0]), _join(mtime, fine[1]), _join(atime, fine[2])
        inode.zones_used = max(sectors // self._sectors - (acl_block != 0), 0)
        return inode

    def store(self, inode: Inode, data: memoryview, offset: int) -> None:
        assert isinstance(inode, Ext2Inode)
        raw, size, uid, gid = inode.raw, inode.size, inode.uid, inode.gid
        atime, ctime, mtime = _split(inode.atime), _split(inode.ctime), _split(inode.mtime)
        _HEAD.pack_into(raw, _HEAD_AT, inode.mode, uid & 0xFFFF, size & 0xFFFFFFFF, atime[0], ctime[0], mtime[0])
        acl_block = inode.acl_block
        sectors = (max(inode.zones_used or 0, 0) + (acl_block != 0)) * self._sectors
        _COUNTS.pack_into(raw, _COUNTS_AT, gid & 0xFFFF, inode.nlinks, sectors, inode.flags)
        _BLOCKS.pack_into(raw, _BLOCKS_AT, *inode.zones)
        _ACL.pack_into(raw, _ACL_AT, acl_block, size >> 32 if inode.is_regular else 0)
        _OWNER.pack_into(raw, _OWNER_AT, uid >> 16, gid >> 16)
        count = self._fine_stamps(raw)
        if count:
            _FINE[count - 1].pack_into(raw, _EXTRA_AT + _FINE_AT, *(ctime[1], mtime[1], atime[1])[:count])
        if size > layout.LARGE_FILE and inode.is_regular:
            self._superblock.allow_large_files()
        data[offset : offset + self.size] = raw

    def fresh(self, number: int, mode: int, parent: Inode, now: int) -> Ext2Inode:
        assert isinstance(parent, Ext2Inode)
        inode = Ext2Inode(number)
        inode.size = 0
        inode.zones = [0] * _POINTERS
        inode.acl_block = 0
        inode.flags = parent.flags & _inherited(mode)
        inode.raw = raw = bytearray(self._blank)
        inode.attributes_at = self._blank_attributes_at
        _GENERATION.pack_into(raw, _GENERATION_AT, random.getrandbits(32))
        if self._has_birth:
            _BIRTH.pack_into(raw, _EXTRA_AT + _BIRTH_AT, *_split(now))
        return inode

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _extra(self, raw: bytearray) -> int:
        """How many bytes behind the first 128 the record has, as far as it says so."""
        return min(raw[_EXTRA_AT] | raw[_EXTRA_AT + 1] << 8, self.size - _EXTRA_AT) if self.size > _EXTRA_AT else 0

    def _attributes_at(self, raw: bytearray) -> int:
        """Behind the fields that the record says it has; where it says nothing, there is no place for attributes."""
        return _EXTRA_AT + (self._extra(raw) or len(raw) - _EXTRA_AT)

    def _fine_stamps(self, raw: bytearray) -> int:
        """How many of the three stamps have finer parts in the record."""
        return min(max(self._extra(raw) - _FINE_AT, 0) // 4, len(_FINE))


def _join(seconds: int, fine: int) -> int:
    """The stamp that `_split` made two words of."""
    seconds += ((fine & 3) << 32) - ((seconds & 0x80000000) << 1)
    return seconds * NS + min(fine >> 2, NS - 1)


@lru_cache(16)  # the stamps of an inode are often the same
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
