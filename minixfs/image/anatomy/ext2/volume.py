"""The anatomy of one ext2 volume, or ext3; of ext4 as far as its superblock goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from minixfs.errors import BadSuperblock
from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.superblock import Superblock
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.runtime import run
from minixfs.image.anatomy.ext2.meanings import ERRORS, state_words, uuid_words
from minixfs.image.anatomy.volume import Anatomy, Facts, read_bytes
from minixfs.image.anatomy.words import moment

if TYPE_CHECKING:  # numpy and the checker are loaded when they are needed
    from minixfs.image.anatomy.blocks import BlockMap, Layout
    from minixfs.image.anatomy.ext2.reader import Reader
    from minixfs.image.anatomy.fields import Section


ASSUMED = {"ext2": layout.MAGIC}
"""What `assume` can take a volume for."""
_MAGIC = layout.SUPERBLOCK.offsets["s_magic"]
_JOURNAL_UUID = layout.SUPERBLOCK.offsets["s_journal_uuid"]
_OLD_RO_COMPAT = layout.RO_COMPAT_SPARSE_SUPER | layout.RO_COMPAT_LARGE_FILE | 0x4
_OLD_INCOMPAT = layout.INCOMPAT_FILETYPE | 0x10
"""What the first drivers of ext2 knew: others are of ext3 and ext4."""
_JOURNAL_DEVICE = 0x8


def probe(device: BlockDevice) -> Ext2Anatomy | None:
    try:
        superblock = Superblock.parse(read_bytes(device, layout.SUPERBLOCK_OFFSET, layout.SUPERBLOCK_SIZE))
    except BadSuperblock:
        return None
    return Ext2Anatomy(device, superblock)


def assume(device: BlockDevice, name: str) -> Ext2Anatomy:
    """The volume as if its magic number, which is lost, were there."""
    raw = read_bytes(device, layout.SUPERBLOCK_OFFSET, layout.SUPERBLOCK_SIZE).ljust(layout.SUPERBLOCK_SIZE, b"\0")
    superblock = Superblock.parse(raw[:_MAGIC] + ASSUMED[name].to_bytes(2, "little") + raw[_MAGIC + 2 :])
    superblock.raw = raw
    return Ext2Anatomy(device, superblock)


class Ext2Anatomy(Anatomy):
    """See `Anatomy`."""

    title = "ext2"

    def __init__(self, device: BlockDevice, superblock: Superblock) -> None:
        super().__init__(device)
        self.superblock = superblock

    @cached_property
    def _reader(self) -> Reader:
        from minixfs.image.anatomy.ext2.reader import Reader

        return Reader(self.device, self.superblock)

    @property
    def type(self) -> str:
        """ext2, ext3 or ext4, by the features; jbd is the journal of another volume."""
        superblock = self.superblock
        if superblock.incompat & _JOURNAL_DEVICE:
            return "jbd"
        journal = superblock.compat & layout.COMPAT_HAS_JOURNAL
        known = _OLD_INCOMPAT | (layout.INCOMPAT_RECOVER if journal else 0)
        if superblock.ro_compat & ~_OLD_RO_COMPAT or superblock.incompat & ~known:
            return "ext4"
        return "ext3" if journal else "ext2"

    @property
    def summary(self) -> str:
        return f"{self.type}, {'clean' if self.superblock.clean else 'not clean'}"

    def facts(self) -> Facts:
        superblock = self.superblock
        block_size = superblock.block_size if superblock.log_block_size <= 6 else None
        groups = superblock.groups if superblock.blocks_per_group else None
        return {
            "format": self.type,
            "revision": superblock.revision,
            "features": superblock.features(),
            "label": _text(superblock.label),
            "uuid": uuid_words(superblock.uuid),
            "clean": superblock.clean,
            "state": superblock.state,
            "errors": superblock.errors,
            "error_count": superblock.error_count,
            "last_error": superblock.last_error_time or None,
            "made": superblock.mkfs_time or None,
            "mounted": superblock.mount_time or None,
            "mounted_on": _text(superblock.last_mounted),
            "written": superblock.write_time or None,
            "checked": superblock.last_check or None,
            "check_interval": superblock.check_interval,
            "mount_count": superblock.mount_count,
            "mount_count_max": superblock.max_mount_count if superblock.max_mount_count < 0x8000 else None,
            "size": block_size and superblock.blocks * block_size,
            "device_size": self.device.size,
            "block_size": block_size,
            "blocks": superblock.blocks,
            "blocks_reserved": superblock.reserved_blocks,
            "first_data_block": superblock.first_data_block,
            "groups": groups,
            "blocks_per_group": superblock.blocks_per_group,
            "inodes_per_group": superblock.inodes_per_group,
            "descriptor_blocks_reserved": superblock.reserved_gdt_blocks,
            "inodes": superblock.inodes,
            "inode_size": superblock.inode_size,
            "file_size_max": superblock.max_file_size if block_size else None,
        }

    def lines(self, size: Callable[[int | None], str]) -> dict[str, str]:
        facts = self.facts()
        cut = ", which cuts it short" if facts["size"] and facts["size"] > facts["device_size"] else ""
        limit = f" of {facts['mount_count_max']} until a check" if facts["mount_count_max"] else ""
        where = f" on {_safe(self.superblock.last_mounted)}" if facts["mounted_on"] else ""
        faults = f", {facts['error_count']} errors since the last check" if facts["error_count"] else ""
        due = f", every {facts['check_interval'] // 86400} days" if facts["check_interval"] else ""

        def when(seconds: int | None) -> str:
            return moment(seconds) if seconds else "never"

        return {
            "Format": f"{self.type}, revision {facts['revision']}",
            "Features": " ".join(facts["features"]) or "none",
            "Label": _safe(self.superblock.label) or "none",
            "UUID": facts["uuid"] or "none",
            "State": f"{state_words(facts['state'])}{faults}; on errors: {ERRORS.get(facts['errors'], 'unknown')}",
            "Made": when(facts["made"]),
            "Mounted": f"{when(facts['mounted'])}{where}; {facts['mount_count']} times since a check{limit}",
            "Written": when(facts["written"]),
            "Checked": when(facts["checked"]) + due,
            "Size": f"{size(facts['size'])} on a device of {size(facts['device_size'])}{cut}",
            "Blocks": f"{facts['blocks']} of {size(facts['block_size'])}, {facts['blocks_reserved']} reserved",
            "Groups": f"{facts['groups'] or 'impossible'}: {facts['blocks_per_group']} blocks and"
            f" {facts['inodes_per_group']} inodes each, room for {facts['descriptor_blocks_reserved']} more blocks of"
            " descriptors",
            "Inode size": size(facts["inode_size"]),
            "Largest file": size(facts["file_size_max"]),
            "Inodes": str(facts["inodes"]),
        }

    def tags(self) -> dict[str, str]:
        superblock, kind = self.superblock, self.type
        tags = {"LABEL": os.fsdecode(superblock.label.split(b"\0")[0]), "UUID": uuid_words(superblock.uuid)}
        if superblock.compat & layout.COMPAT_HAS_JOURNAL:
            tags["EXT_JOURNAL"] = uuid_words(superblock.raw[_JOURNAL_UUID : _JOURNAL_UUID + 16])
        if kind != "ext2" and not superblock.incompat & ~_OLD_INCOMPAT:
            tags["SEC_TYPE"] = "ext2"
        tags["VERSION"] = f"{superblock.revision}.{_minor(superblock)}"
        if superblock.log_block_size < 32:
            tags["BLOCK_SIZE"] = str(superblock.block_size)
        tags |= {"TYPE": kind, "USAGE": "other" if kind == "jbd" else "filesystem"}
        return {key: value for key, value in tags.items() if value}

    def table(self) -> list[tuple[str, ...]]:
        reader = self._reader
        superblock = self.superblock
        rows: list[tuple[str, ...]] = [("group", "blocks", "free", "inodes", "free", "directories", "holds")]
        groups = min(superblock.groups, -(-reader.blocks // superblock.blocks_per_group))
        for group, descriptor in enumerate(reader.descriptors(groups)):
            start = superblock.group_start(group)
            inode = group * superblock.inodes_per_group + 1
            counts = [str(descriptor[f"bg_{name}_count"]) for name in ("free_blocks", "free_inodes", "used_dirs")]
            rows.append((
                str(group), f"{start}-{start + superblock.group_blocks(group) - 1}", counts[0],
                f"{inode}-{inode + superblock.inodes_per_group - 1}", counts[1], counts[2],
                "superblock" if not group else "copy of the superblock" if superblock.has_copy(group) else "",
            ))  # fmt: skip
        return rows

    def find(self, path: bytes) -> int:
        self._reader.require_mapped_files()
        return self._reader.find(path).number

    def layout_of(self, inode: int) -> Layout:
        from minixfs.image.anatomy.ext2.structures import layout_of

        return layout_of(self._reader, inode)

    def survey(self, seconds: float | None = None) -> BlockMap:
        from minixfs.image.anatomy.ext2.survey import survey

        return run(survey(self._reader, seconds))

    def names(self, inodes: Sequence[int]) -> dict[int, bytes]:
        from minixfs.image.anatomy.ext2.survey import names

        return run(names(self._reader, inodes))

    def dump(self, what: Sequence[str]) -> list[Section]:
        from minixfs.image.anatomy.ext2.structures import dump

        return dump(self.device, self.superblock, what)


def _minor(superblock: Superblock) -> int:
    at = layout.SUPERBLOCK.offsets["s_minor_rev_level"]
    return int.from_bytes(superblock.raw[at : at + 2], "little")


def _text(field: bytes) -> str:
    """A string of the superblock, which a NUL may end."""
    return field.split(b"\0")[0].decode(errors="backslashreplace")


def _safe(field: bytes) -> str:
    """The same for a terminal."""
    from minixfs.fsck.report import printable

    return printable(field.split(b"\0")[0])
