"""The ext2 file server: what of ext2 is not in every disk file server (specification: file systems, 3).

The superblock is kept as Linux keeps it: a volume in use has lost its valid mark, and gets back the one it had when it
is unmounted; what was found corrupt is noted in it at once. All of that happens with the first change, so that a mount
that changes nothing writes nothing. Copies of the superblock are left alone.
"""

from __future__ import annotations

import errno
import logging
import os

from minixfs.errors import AccessDenied, Corrupt, Exists, PosixError, Unsupported
from minixfs.fs.disk.inode import Inode
from minixfs.fs.disk.server import DiskFileServer
from minixfs.fs.ext2 import acl, layout, xattr
from minixfs.fs.ext2.attributes import AttributeStore
from minixfs.fs.ext2.directory import Ext2Directories
from minixfs.fs.ext2.group import Groups
from minixfs.fs.ext2.inode import Ext2Codec, Ext2Inode
from minixfs.fs.ext2.superblock import Superblock
from minixfs.fs.ext2.volume import Ext2Volume
from minixfs.fs.protocol import Mounted
from minixfs.fs.server import modifier, reader
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.clock import NS

log = logging.getLogger(__name__)

_JOURNAL_START = 0x1C
"""Where in the journal's superblock it says where the log begins (big-endian); 0: it is empty."""
_POLICIES = {
    layout.ERRORS_CONTINUE: "continue",
    layout.ERRORS_READ_ONLY: "remount-ro",
    layout.ERRORS_PANIC: "abort",
}


async def read_superblock(device: BlockDevice, offset: int) -> Superblock:
    """The superblock (or a copy of it) at byte `offset`. Raises BadSuperblock, DeviceError."""
    raw = bytearray(layout.SUPERBLOCK_SIZE)
    await device.read(offset, [raw])
    return Superblock.parse(bytes(raw))


class Ext2Server(DiskFileServer):
    """Serves one ext2 volume."""

    kind = "ext2"
    root_inode = layout.ROOT_INODE
    _state_before = layout.STATE_VALID
    _untold = False
    """Whether the superblock in memory has something that the disk must know soon."""

    # ---- mounting --------------------------------------------------------------------------------------------------

    async def readsuper(self, *, read_only: bool, is_root: bool) -> Mounted:
        offset = layout.SUPERBLOCK_OFFSET if self.superblock_copy is None else self.superblock_copy << 10
        superblock = await read_superblock(self.device, offset)
        read_only = read_only or self.device.read_only
        superblock.validate(self.device.size, read_only)
        warnings: list[str] = []
        if not read_only:
            warnings = self._warnings(superblock)
            if self.superblock_copy is not None:
                read_only = True
                warnings.append("with a copy of the superblock, whose counts are old, it is mounted read-only")
            elif superblock.state & layout.STATE_ERROR and not self._settings.force:
                read_only = True
                warnings.append("it is mounted read-only; run minixfs fsck -p on the image, or use -o force")
        groups = await Groups.read(self.device, superblock, offset // superblock.block_size + 1)
        cache = self._open_cache(superblock.block_size)
        volume = Ext2Volume(superblock, groups, cache, self._settings, self.commit, self._clock)
        if self._settings.errors == "default":
            self._errors = _POLICIES.get(superblock.errors, "continue")
        self._superblock = superblock
        self._groups = groups
        self._stored_features = self._features()
        root = await self._start(
            volume,
            Ext2Codec(superblock, groups),
            lambda inodes, zones: Ext2Directories(volume, inodes, zones),
            read_only=read_only,
            is_root=is_root,
            was_clean=True,
        )
        try:
            self._attributes = AttributeStore(volume, self.inodes)
            self.has_xattrs = superblock.revision > 0
            if superblock.compat & layout.COMPAT_HAS_JOURNAL:
                await self._require_empty_journal()
        except BaseException:
            cache.close()
            raise
        return Mounted(root, read_only, warnings)

    def _warnings(self, superblock: Superblock) -> list[str]:
        now = self._clock() // NS
        due = 0 < superblock.check_interval <= now - superblock.last_check
        limited = superblock.max_mount_count not in (0, 0xFFFF)
        reasons = {
            "it holds errors": superblock.state & layout.STATE_ERROR,
            "it was not cleanly unmounted": not superblock.state & layout.STATE_VALID,
            "it was mounted as often as it may without a check": limited
            and superblock.mount_count >= superblock.max_mount_count,
            "the time for its regular check has come": due,
        }
        return [f"{reason}; run minixfs fsck -p on the image" for reason, holds in reasons.items() if holds]

    async def _require_empty_journal(self) -> None:
        inode = await self.inodes.get(self._superblock.journal_inode or layout.JOURNAL_INODE)
        try:
            block = await self._zones.zone_at(inode, 0)
            with await self.volume.cache.get(block) as buf:
                start = int.from_bytes(buf.data[_JOURNAL_START : _JOURNAL_START + 4], "big")
        finally:
            self.inodes.put(inode)
        if start:
            raise Unsupported("the journal of the volume is not empty", "run e2fsck -p on the image")

    # ---- extended attributes ---------------------------------------------------------------------------------------

    async def getxattr(self, ino: int, name: bytes) -> bytes:
        if self.gate.open and not self._file(ino).may_have_attributes:
            raise PosixError(errno.ENODATA)
        return await self._read_attribute(ino, name)

    @reader
    async def _read_attribute(self, ino: int, name: bytes) -> bytes:
        found = await self._attributes.read(self._file(ino))
        if name not in found:
            raise PosixError(errno.ENODATA)
        return found[name]

    @reader
    async def listxattr(self, ino: int) -> list[bytes]:
        return sorted(await self._attributes.read(self._file(ino)))

    @modifier
    async def setxattr(self, ino: int, name: bytes, value: bytes, flags: int = 0) -> int:
        inode = self._file(ino)
        if not self.has_xattrs or not xattr.supported(name):
            raise PosixError(errno.EOPNOTSUPP)
        known = name in await self._attributes.read(inode)
        if known and flags & os.XATTR_CREATE:
            raise Exists
        if not known and flags & os.XATTR_REPLACE:
            raise PosixError(errno.ENODATA)
        stored: bytes | None = value
        mode = inode.mode
        if name in (acl.ACCESS, acl.DEFAULT):
            entries = acl.parse(value)
            if name == acl.DEFAULT and not inode.is_directory:
                raise AccessDenied
            if name == acl.ACCESS and entries:
                mode = acl.mode_of(entries, mode)
            if not entries or (name == acl.ACCESS and acl.is_plain(entries)):
                stored = None
        await self._attributes.change(inode, name, stored)
        inode.mode = mode
        inode.ctime = self.volume.now()
        self._superblock.compat |= layout.COMPAT_EXT_ATTR
        return inode.mode

    @modifier
    async def removexattr(self, ino: int, name: bytes) -> None:
        inode = self._file(ino)
        if name not in await self._attributes.read(inode):
            raise PosixError(errno.ENODATA)
        await self._attributes.change(inode, name, None)
        inode.ctime = self.volume.now()

    async def inherits_acl(self, directory: int) -> bool:
        if self.gate.open and not self._file(directory).may_have_attributes:
            return False
        return await self._has_default(directory)

    @reader
    async def _has_default(self, directory: int) -> bool:
        return acl.DEFAULT in await self._attributes.read(self._file(directory))

    async def adorn(self, inode: Inode, parent: Inode) -> None:
        assert isinstance(inode, Ext2Inode)
        assert isinstance(parent, Ext2Inode)
        default = (await self._attributes.read(parent)).get(acl.DEFAULT)
        if default is None or inode.is_symlink:
            return
        entries, mode = acl.inherit(acl.parse(default), inode.mode)
        if not acl.is_plain(entries):
            await self._attributes.change(inode, acl.ACCESS, acl.build(entries))
        if inode.is_directory:
            await self._attributes.change(inode, acl.DEFAULT, default)
        inode.mode = mode

    async def _mode_changes(self, inode: Inode, mode: int) -> None:
        assert isinstance(inode, Ext2Inode)
        if not inode.may_have_attributes:
            return
        value = (await self._attributes.read(inode)).get(acl.ACCESS)
        if value is not None:
            entries = acl.with_mode(acl.parse(value), mode)
            await self._attributes.change(inode, acl.ACCESS, acl.build(entries))

    async def _release(self, inode: Inode) -> None:
        assert isinstance(inode, Ext2Inode)
        await self._attributes.release(inode)

    def _file(self, number: int) -> Ext2Inode:
        """An inode that VFS holds a reference to."""
        inode = self.inodes.open(number)
        assert isinstance(inode, Ext2Inode)
        return inode

    # ---- the superblock --------------------------------------------------------------------------------------------

    async def _mark(self, clean: bool) -> None:
        superblock = self._superblock
        now = self._clock() // NS & 0xFFFFFFFF
        if clean:
            superblock.state = self._state_before
        else:
            self._state_before = superblock.state
            superblock.state &= ~layout.STATE_VALID
            superblock.mount_count = min(superblock.mount_count + 1, 0xFFFF)
            superblock.mount_time = now
            superblock.last_mounted = self.mounted_on[:63].ljust(64, b"\0")
        superblock.write_time = now
        await self._write_superblock()

    async def _store_totals(self) -> None:
        await self._groups.store(self.volume.cache)
        if self._untold or self._features() != self._stored_features:
            await self._write_superblock()

    async def _write_superblock(self) -> None:
        superblock, groups = self._superblock, self._groups
        superblock.free_blocks, superblock.free_inodes = groups.free_blocks, groups.free_inodes
        built = superblock.build()
        await self.device.write(layout.SUPERBLOCK_OFFSET, [built])
        self._untold = False
        self._stored_features = self._features()
        block, offset = divmod(layout.SUPERBLOCK_OFFSET, superblock.block_size)
        buf = self.volume.cache.get_cached(block)
        if buf is not None:  # block 0 of larger blocks also has the boot record: a copy in the cache stays right
            with buf:
                buf.data[offset : offset + len(built)] = built

    def _features(self) -> tuple[int, int]:
        """The words that writing can change: the first file of 2 GiB, the first extended attribute."""
        return self._superblock.compat, self._superblock.ro_compat

    def found_corruption(self, error: Corrupt) -> None:
        superblock = self._superblock
        superblock.state |= layout.STATE_ERROR
        now = self._clock() // NS & 0xFFFFFFFF
        if not superblock.error_count:
            superblock.first_error_time = now
            superblock.first_error_inode, superblock.first_error_block = error.inode or 0, error.block or 0
        superblock.last_error_time = now
        superblock.last_error_inode, superblock.last_error_block = error.inode or 0, error.block or 0
        superblock.error_count = min(superblock.error_count + 1, 0xFFFFFFFF)
        self._untold = True
        super().found_corruption(error)
