"""The ext2 superblock: its geometry, its features, what is refused, and writing it back.

`Superblock.parse` recognises a superblock and never fails on odd field values; `validate` is the gate in front of a
mount (specification: file systems, 3.1-3.5). `build` writes only the fields that we own and carries every other byte of
the 1024 through unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

from minixfs.errors import BadSuperblock, Unsupported
from minixfs.fs.ext2 import layout

SUPPORTED_INCOMPAT = layout.INCOMPAT_FILETYPE
SUPPORTED_RO_COMPAT = (
    layout.RO_COMPAT_SPARSE_SUPER
    | layout.RO_COMPAT_LARGE_FILE
    | layout.RO_COMPAT_DIR_NLINK
    | layout.RO_COMPAT_EXTRA_ISIZE
)

_OTHERS = "use fuse2fs or the kernel"
_HELP = {
    "needs_recovery": "its journal must be replayed first: run e2fsck -p on it",
    "journal_dev": "it is the journal of another file system",
    "extents": f"it is an ext4 file system: {_OTHERS}",
    "64bit": f"it is an ext4 file system: {_OTHERS}",
}

_DISK = {
    "inodes": "s_inodes_count",
    "blocks": "s_blocks_count",
    "reserved_blocks": "s_r_blocks_count",
    "free_blocks": "s_free_blocks_count",
    "free_inodes": "s_free_inodes_count",
    "first_data_block": "s_first_data_block",
    "log_block_size": "s_log_block_size",
    "log_frag_size": "s_log_frag_size",
    "blocks_per_group": "s_blocks_per_group",
    "inodes_per_group": "s_inodes_per_group",
    "mount_time": "s_mtime",
    "write_time": "s_wtime",
    "mount_count": "s_mnt_count",
    "max_mount_count": "s_max_mnt_count",
    "state": "s_state",
    "errors": "s_errors",
    "last_check": "s_lastcheck",
    "check_interval": "s_checkinterval",
    "creator": "s_creator_os",
    "revision": "s_rev_level",
    "reserved_uid": "s_def_resuid",
    "reserved_gid": "s_def_resgid",
    "stored_first_inode": "s_first_ino",
    "stored_inode_size": "s_inode_size",
    "group_number": "s_block_group_nr",
    "compat": "s_feature_compat",
    "incompat": "s_feature_incompat",
    "ro_compat": "s_feature_ro_compat",
    "uuid": "s_uuid",
    "label": "s_volume_name",
    "last_mounted": "s_last_mounted",
    "reserved_gdt_blocks": "s_reserved_gdt_blocks",
    "journal_inode": "s_journal_inum",
    "last_orphan": "s_last_orphan",
    "hash_seed": "s_hash_seed",
    "default_hash": "s_def_hash_version",
    "mkfs_time": "s_mkfs_time",
    "want_extra_isize": "s_want_extra_isize",
    "flags": "s_flags",
    "error_count": "s_error_count",
    "first_error_time": "s_first_error_time",
    "first_error_inode": "s_first_error_ino",
    "first_error_block": "s_first_error_block",
    "last_error_time": "s_last_error_time",
    "last_error_inode": "s_last_error_ino",
    "last_error_block": "s_last_error_block",
}
_MAGIC = layout.MAGIC.to_bytes(2, "little")
_MAGIC_OFFSET = layout.SUPERBLOCK.offsets["s_magic"]
_FEATURE_WORDS = ("s_feature_compat", "s_feature_incompat", "s_feature_ro_compat")


@dataclass(slots=True)
class Superblock:
    """One volume's parameters. Counts are of blocks or inodes; times are seconds since 1970.

    `raw` are the 1024 bytes that it was read from; `_DISK` says where each other field is in them.
    """

    raw: bytes
    inodes: int
    blocks: int
    reserved_blocks: int
    free_blocks: int
    free_inodes: int
    first_data_block: int
    log_block_size: int
    log_frag_size: int
    blocks_per_group: int
    inodes_per_group: int
    mount_time: int
    write_time: int
    mount_count: int
    max_mount_count: int
    state: int
    errors: int
    last_check: int
    check_interval: int
    creator: int
    revision: int
    reserved_uid: int
    reserved_gid: int
    stored_first_inode: int
    stored_inode_size: int
    group_number: int
    compat: int
    incompat: int
    ro_compat: int
    uuid: bytes
    label: bytes
    last_mounted: bytes
    reserved_gdt_blocks: int
    journal_inode: int
    last_orphan: int
    hash_seed: bytes
    default_hash: int
    mkfs_time: int
    want_extra_isize: int
    flags: int
    error_count: int
    first_error_time: int
    first_error_inode: int
    first_error_block: int
    last_error_time: int
    last_error_inode: int
    last_error_block: int

    # ---- derived geometry ------------------------------------------------------------------------------------------

    @property
    def block_size(self) -> int:
        return 1024 << self.log_block_size

    @property
    def inode_size(self) -> int:
        return self.stored_inode_size if self.revision else layout.INODE_SIZE_REVISION_0

    @property
    def first_inode(self) -> int:
        """The first inode that is not reserved."""
        return self.stored_first_inode if self.revision else layout.FIRST_INODE_REVISION_0

    @property
    def groups(self) -> int:
        return -(-(self.blocks - self.first_data_block) // self.blocks_per_group)

    @property
    def inodes_per_block(self) -> int:
        return self.block_size // self.inode_size

    @property
    def inode_table_blocks(self) -> int:
        """Blocks of one group's piece of the inode table."""
        return self.inodes_per_group // self.inodes_per_block

    @property
    def descriptor_block(self) -> int:
        """Where the group descriptors begin."""
        return self.first_data_block + 1

    @property
    def descriptor_blocks(self) -> int:
        return -(-self.groups * layout.GROUP_DESCRIPTOR.size // self.block_size)

    def group_start(self, group: int) -> int:
        """The first block of a group."""
        return self.first_data_block + group * self.blocks_per_group

    def group_blocks(self, group: int) -> int:
        """How many blocks a group has: the last one is shorter."""
        return min(self.blocks_per_group, self.blocks - self.group_start(group))

    def has_copy(self, group: int) -> bool:
        """Whether the group begins with a superblock and the group descriptors."""
        if group <= 1 or not self.ro_compat & layout.RO_COMPAT_SPARSE_SUPER:
            return True
        return any(_is_power(group, base) for base in (3, 5, 7))

    def copy_blocks(self, group: int) -> int:
        """Blocks at the start of the group that hold the copies, and room for more group descriptors."""
        return 1 + self.descriptor_blocks + self.reserved_gdt_blocks if self.has_copy(group) else 0

    @property
    def max_file_size(self) -> int:
        """Bytes that block pointers can map, if the 32-bit count of sectors can tell them and their indirect blocks."""
        per_block = self.block_size // 4
        mapped = layout.DIRECT_BLOCKS + per_block + per_block**2 + per_block**3
        countable = ((1 << 32) - 1) // (self.block_size // layout.SECTOR)
        return min(mapped, countable - _indirect_blocks(min(mapped, countable), per_block)) * self.block_size

    def allow_large_files(self) -> None:
        """Files may be as large as their sizes have bits: in the second revision, and with the feature that says so."""
        if not self.revision:
            self.revision = 1
            self.stored_first_inode = layout.FIRST_INODE_REVISION_0
            self.stored_inode_size = layout.INODE_SIZE_REVISION_0
        self.ro_compat |= layout.RO_COMPAT_LARGE_FILE

    # ---- state -----------------------------------------------------------------------------------------------------

    @property
    def clean(self) -> bool:
        return self.state & (layout.STATE_VALID | layout.STATE_ERROR) == layout.STATE_VALID

    def has_feature(self, name: str) -> bool:
        return name in self.features()

    def features(self) -> list[str]:
        """The features of the volume, as tune2fs names them; a bit without a name is shown as its number."""
        words = (
            ("compat", self.compat, layout.COMPAT_NAMES),
            ("incompat", self.incompat, layout.INCOMPAT_NAMES),
            ("ro_compat", self.ro_compat, layout.RO_COMPAT_NAMES),
        )
        return [name for kind, word, names in words for name in _names(kind, word, names)]

    # ---- bytes -----------------------------------------------------------------------------------------------------

    @classmethod
    def parse(cls, raw: bytes) -> Superblock:
        """Recognise 1024 bytes. Raises BadSuperblock when they are no superblock; checks nothing else."""
        raw = bytes(raw[: layout.SUPERBLOCK_SIZE])
        if len(raw) < layout.SUPERBLOCK_SIZE or raw[_MAGIC_OFFSET : _MAGIC_OFFSET + 2] != _MAGIC:
            raise BadSuperblock("no ext2 file system found (no magic number at byte 1080)")
        stored = layout.SUPERBLOCK.parse(raw)
        if not stored["s_rev_level"]:  # these words have no meaning in revision 0
            stored.update(dict.fromkeys(_FEATURE_WORDS, 0))
        return cls(raw, **{ours: stored[disk] for ours, disk in _DISK.items()})

    def build(self) -> bytes:
        """The 1024 bytes to write. What no field of ours covers is as it was read."""
        stored = layout.SUPERBLOCK.parse(self.raw)
        meaningless = _FEATURE_WORDS if not self.revision else ()
        stored.update({disk: getattr(self, ours) for ours, disk in _DISK.items() if disk not in meaningless})
        built = layout.SUPERBLOCK.build(stored)
        return built + self.raw[len(built) :]

    # ---- the gate in front of a mount ------------------------------------------------------------------------------

    def validate(self, device_size: int, read_only: bool) -> None:
        """Raise BadSuperblock or Unsupported for a volume that must not be mounted. `device_size` is in bytes."""
        self._check_features(read_only)
        size = self.block_size if self.log_block_size <= 6 else 0
        _demand(bool(size), f"block size 1024 << {self.log_block_size} is above {layout.MAX_BLOCK_SIZE}")
        _demand(self.log_frag_size == self.log_block_size, "fragments are not as large as blocks")
        inode_size = self.inode_size
        legal = layout.INODE_SIZE_REVISION_0 <= inode_size <= size and inode_size & (inode_size - 1) == 0
        _demand(legal, f"inode size {inode_size} is not a power of two from 128 to {size}")
        _demand(0 < self.blocks_per_group <= 8 * size, f"{self.blocks_per_group} blocks in a group")
        per_group = self.inodes_per_group
        _demand(0 < per_group <= 8 * size and per_group % self.inodes_per_block == 0, f"{per_group} inodes in a group")
        first = int(size == 1024)
        _demand(self.first_data_block == first, f"first data block {self.first_data_block} is not {first}")
        _demand(self.blocks > self.first_data_block + 1, f"{self.blocks} blocks in all")
        _demand(
            self.inodes == self.groups * per_group,
            f"{self.inodes} inodes do not fill {self.groups} groups of {per_group}",
        )
        _demand(self.copy_blocks(0) + 2 + self.inode_table_blocks < self.blocks_per_group, "the groups are too small")
        _demand(layout.ROOT_INODE < self.first_inode <= self.inodes, f"first inode {self.first_inode}")
        if self.blocks * size > device_size:
            _demand(
                read_only,
                f"the volume has {self.blocks * size} bytes, the device {device_size};"
                " mount it with -o ro to save what is there",
            )

    def _check_features(self, read_only: bool) -> None:
        unknown = _names("incompat", self.incompat & ~SUPPORTED_INCOMPAT, layout.INCOMPAT_NAMES)
        if unknown:
            helps = next((_HELP[name] for name in unknown if name in _HELP), _OTHERS)
            raise Unsupported(f"the volume has features that we cannot read: {', '.join(unknown)}", helps)
        unknown = _names("ro_compat", self.ro_compat & ~SUPPORTED_RO_COMPAT, layout.RO_COMPAT_NAMES)
        if unknown and not read_only:
            raise Unsupported(
                f"the volume has features that we cannot write: {', '.join(unknown)}",
                f"mount it with -o ro, or {_OTHERS}",
            )


def _demand(condition: bool, message: str) -> None:
    if not condition:
        raise BadSuperblock(f"bad superblock: {message}; try a copy of it: -o sb=, or e2fsck -b")


def _indirect_blocks(mapped: int, per_block: int) -> int:
    """How many a file of so many blocks has, with `per_block` pointers in each."""
    count, rest = 0, mapped - layout.DIRECT_BLOCKS
    for level in range(1, layout.LEVELS + 1):
        span = min(rest, per_block**level)
        count += sum(-(-span // per_block**step) for step in range(1, level + 1))
        rest -= span
    return count


def _is_power(number: int, base: int) -> bool:
    while number % base == 0:
        number //= base
    return number == 1


def _names(kind: str, word: int, names: dict[int, str]) -> list[str]:
    """The names of the bits that are set in one word of features."""
    bits = [1 << position for position in range(32) if word >> position & 1]
    return [names.get(bit, f"{kind} {bit:#x}") for bit in bits]
