"""The MFS superblock: finding it, its derived geometry, what is refused, and writing it back.

`Superblock.parse` recognises the six variants in either byte order and never fails on odd field values; `validate` is
the gate in front of a mount (specification: file systems, 1.2-1.5, 1.9, 1.10). `build` writes only the fields that we
own and carries every other byte of the 1024 through unchanged.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from minixfs.errors import BadSuperblock, Unsupported
from minixfs.fs.mfs import layout
from minixfs.fs.mfs.layout import VARIANTS, Variant
from minixfs.layouts import Record


def blocks_for(items: int, per_block: int) -> int:
    """How many blocks hold `items` things."""
    return -(-items // per_block)


@dataclass(slots=True)
class Superblock:
    """One volume's parameters. Counts are of inodes, zones or blocks; sizes are bytes.

    `zones` is the volume size in zones, counted from byte 0. `state` and `flags` are the Linux and the MINIX clean
    mark; a variant has one of them. `swapped` says that integers are big-endian on disk.
    """

    variant: Variant
    swapped: bool
    inodes: int
    zones: int
    imap_blocks: int
    zmap_blocks: int
    stored_first_data_zone: int
    zone_shift: int
    max_size: int
    block_size: int
    flags: int
    state: int
    raw: bytes

    # ---- derived geometry ------------------------------------------------------------------------------------------

    @property
    def order(self) -> str:
        """Byte order of the volume as `struct` and numpy write it."""
        return ">" if self.swapped else "<"

    @property
    def inode_record(self) -> Record:
        return self.variant.inode.big_endian() if self.swapped else self.variant.inode

    @property
    def dirent_record(self) -> Record:
        return self.variant.dirent.big_endian() if self.swapped else self.variant.dirent

    @property
    def inodes_per_block(self) -> int:
        return self.block_size // self.variant.inode.size

    @property
    def inode_table_block(self) -> int:
        """First block of the inode table."""
        return layout.START_BLOCK + self.imap_blocks + self.zmap_blocks

    @property
    def inode_table_end(self) -> int:
        """First block behind the inode table."""
        return self.inode_table_block + blocks_for(self.inodes, self.inodes_per_block)

    @property
    def first_data_zone(self) -> int:
        """As stored, or computed when the stored field is 0 (it does not fit 16 bits on large volumes)."""
        return self.stored_first_data_zone or self.computed_first_data_zone

    @property
    def computed_first_data_zone(self) -> int:
        return blocks_for(self.inode_table_end, 1 << self.zone_shift)

    @property
    def zone_size(self) -> int:
        """Bytes in a zone."""
        return self.block_size << self.zone_shift

    @property
    def inode_bits(self) -> int:
        """Valid bits of the inode bitmap; bit 0 is reserved."""
        return self.inodes + 1

    @property
    def zone_bits(self) -> int:
        """Valid bits of the zone bitmap; bit 0 is reserved, bit 1 is the first data zone."""
        return self.zones - self.first_data_zone + 1

    @property
    def pointers_per_block(self) -> int:
        return self.block_size // self.variant.pointer_size

    @property
    def mapped_zones(self) -> int:
        """Zones of a file that direct, single and double indirect pointers reach."""
        per_block = self.pointers_per_block
        return layout.DIRECT_ZONES + per_block + per_block**2

    @property
    def natural_max_size(self) -> int:
        """The file size limit that the pointers without triple indirection give, capped as the format caps it."""
        return min(self.mapped_zones * self.zone_size, layout.MAX_FILE_SIZE)

    @property
    def clean(self) -> bool:
        if self.variant.has_state:
            return bool(self.state & layout.STATE_VALID) and not self.state & layout.STATE_ERROR
        return bool(self.flags & layout.FLAG_CLEAN)

    def mark(self, clean: bool) -> None:
        """Set or clear the variant's clean mark (in memory)."""
        if self.variant.has_state:
            self.state = self.state & ~layout.STATE_VALID | (layout.STATE_VALID if clean else 0)
        else:
            self.flags = self.flags & ~layout.FLAG_CLEAN | (layout.FLAG_CLEAN if clean else 0)

    # ---- bytes -----------------------------------------------------------------------------------------------------

    @classmethod
    def parse(cls, raw: bytes) -> Superblock:
        """Recognise 1024 bytes. Raises `BadSuperblock` when no magic number is there; checks nothing else."""
        variant, swapped = _recognise(raw)
        record = variant.superblock.big_endian() if swapped else variant.superblock
        fields = record.parse(raw)
        return cls(
            variant=variant,
            swapped=swapped,
            inodes=fields["s_ninodes"],
            zones=fields["s_nzones"] if variant.version == 1 and variant.has_state else fields["s_zones"],
            imap_blocks=fields["s_imap_blocks"],
            zmap_blocks=fields["s_zmap_blocks"],
            stored_first_data_zone=fields["s_firstdatazone"],
            zone_shift=fields["s_log_zone_size"],
            max_size=fields["s_max_size"],
            block_size=fields["s_block_size"] if variant.version == 3 else 1024,
            flags=fields.get("s_flags", 0),
            state=fields.get("s_state", 0),
            raw=bytes(raw),
        )

    def build(self) -> bytes:
        """The 1024 bytes to write. Bytes that no field of ours covers are those that were read."""
        variant = self.variant
        record = variant.superblock.big_endian() if self.swapped else variant.superblock
        old_style_v1 = variant.version == 1 and variant.has_state
        fields = record.parse(self.raw)
        fields |= {
            "s_ninodes": self.inodes,
            "s_nzones": self.zones if old_style_v1 else 0,
            "s_zones": fields["s_zones"] if old_style_v1 else self.zones,
            "s_imap_blocks": self.imap_blocks,
            "s_zmap_blocks": self.zmap_blocks,
            "s_firstdatazone": self.stored_first_data_zone,
            "s_log_zone_size": self.zone_shift,
            "s_max_size": self.max_size,
            "s_magic": variant.magic,
        }
        fields |= {"s_state": self.state} if variant.has_state else {"s_flags": self.flags}
        if variant.version == 3:
            fields["s_block_size"] = self.block_size
        packed = record.build(fields)
        return packed + self.raw[len(packed) :]

    # ---- the gate in front of a mount ------------------------------------------------------------------------------

    def validate(self, device_size: int, read_only: bool) -> None:
        """Raise `BadSuperblock` or `Unsupported` for a volume that must not be mounted.

        `device_size` is in bytes; a volume that reaches beyond its device may still be read.
        """
        size = self.block_size
        if self.flags & layout.FLAG_MANDATORY_MASK:
            raise Unsupported(
                f"unknown mandatory feature flags {self.flags & layout.FLAG_MANDATORY_MASK:#06x}",
                "the image comes from a newer MINIX",
            )
        legal = layout.MIN_BLOCK_SIZE <= size <= layout.MAX_BLOCK_SIZE and size % layout.BLOCK_SIZE_STEP == 0
        _demand(legal, f"block size {size} is not a multiple of 512 from 1024 to 65024")
        _demand(self.inodes >= 1, "no inodes")
        _demand(self.zones >= 1, "no zones")
        _demand(self.imap_blocks >= 1 and self.zmap_blocks >= 1, "a bitmap has no blocks")
        _demand(self.zone_shift <= layout.MAX_ZONE_SHIFT, f"zone size shift {self.zone_shift} is too large")
        _demand(
            self.computed_first_data_zone <= self.first_data_zone < self.zones,
            f"first data zone {self.first_data_zone} is outside {self.computed_first_data_zone}..{self.zones - 1}",
        )
        _demand(self.imap_blocks >= blocks_for(self.inode_bits, 8 * size), "the inode bitmap is too small")
        _demand(self.zmap_blocks >= blocks_for(self.zone_bits, 8 * size), "the zone bitmap is too small")
        if self.zones * self.zone_size > device_size:
            sizes = f"the volume has {self.zones * self.zone_size} bytes, the device {device_size}"
            _demand(self.inode_table_end * size <= device_size, f"{sizes}: not even its inodes are there")
            _demand(read_only, f"{sizes}; mount it with -o ro to save what is there")


def _demand(condition: bool, message: str) -> None:
    if not condition:
        raise BadSuperblock(f"bad superblock: {message}")


def _recognise(raw: bytes) -> tuple[Variant, bool]:
    if len(raw) >= layout.SUPERBLOCK_SIZE:
        for variant in VARIANTS:
            if struct.unpack_from("<H", raw, variant.magic_offset)[0] == variant.magic:
                return variant, False
            if variant.swappable and struct.unpack_from(">H", raw, variant.magic_offset)[0] == variant.magic:
                return variant, True
    raise BadSuperblock("no MINIX file system found (no magic number at byte 1040 or 1048)")
