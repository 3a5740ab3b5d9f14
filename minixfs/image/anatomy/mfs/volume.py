"""The anatomy of one MFS volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from minixfs.errors import BadSuperblock
from minixfs.fs.mfs.layout import MAX_ZONE_SHIFT, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE, VARIANTS, Variant
from minixfs.fs.mfs.superblock import Superblock
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.runtime import run
from minixfs.image.anatomy.volume import Anatomy, Facts, read_bytes

if TYPE_CHECKING:  # numpy and the checker are loaded when they are needed
    from minixfs.image.anatomy.blocks import BlockMap, Layout
    from minixfs.image.anatomy.fields import Section
    from minixfs.image.anatomy.mfs.reader import Reader


ASSUMED: dict[str, Variant] = {variant.name: variant for variant in VARIANTS}
"""What `assume` can take a volume for."""


def probe(device: BlockDevice) -> MfsAnatomy | None:
    try:
        superblock = Superblock.parse(read_bytes(device, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE))
    except BadSuperblock:
        return None
    return MfsAnatomy(device, superblock)


def assume(device: BlockDevice, name: str) -> MfsAnatomy:
    """The volume as if its magic number, which is lost, were that of the variant `name`."""
    variant = ASSUMED[name]
    raw = read_bytes(device, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE).ljust(SUPERBLOCK_SIZE, b"\0")
    magic, at = variant.magic.to_bytes(2, "little"), variant.magic_offset
    superblock = Superblock.parse(raw[:at] + magic + raw[at + 2 :])
    return MfsAnatomy(device, replace(superblock, raw=raw))


class MfsAnatomy(Anatomy):
    """See `Anatomy`."""

    title = "MINIX"

    def __init__(self, device: BlockDevice, superblock: Superblock) -> None:
        super().__init__(device)
        self.superblock = superblock

    @cached_property
    def _reader(self) -> Reader:
        from minixfs.image.anatomy.mfs.reader import Reader

        return Reader(self.device, self.superblock)

    @property
    def summary(self) -> str:
        return f"MINIX {self.superblock.variant.name}, {'clean' if self.superblock.clean else 'not clean'}"

    def facts(self) -> Facts:
        superblock, variant = self.superblock, self.superblock.variant
        zone_size = superblock.zone_size if superblock.zone_shift <= MAX_ZONE_SHIFT else None
        return {
            "format": "mfs",
            "variant": variant.name,
            "version": variant.version,
            "name_max": variant.name_max,
            "byte_order": "big" if superblock.swapped else "little",
            "clean": superblock.clean,
            "size": zone_size and superblock.zones * zone_size,
            "device_size": self.device.size,
            "block_size": superblock.block_size,
            "zone_size": zone_size,
            "zones": superblock.zones,
            "first_data_zone": superblock.stored_first_data_zone,
            "inodes": superblock.inodes,
            "inode_map_blocks": superblock.imap_blocks,
            "zone_map_blocks": superblock.zmap_blocks,
            "file_size_max": superblock.max_size,
        }

    def lines(self, size: Callable[[int | None], str]) -> dict[str, str]:
        facts = self.facts()
        name = f"V{facts['version']}, as MINIX 3 makes it" if facts["variant"] == "hybrid" else facts["variant"]
        state = "clean" if facts["clean"] else "not marked clean: in use, not cleanly unmounted, or never checked"
        cut = ", which cuts it short" if facts["size"] and facts["size"] > facts["device_size"] else ""
        return {
            "Format": f"MINIX {name}, {facts['byte_order']}-endian, names of up to {facts['name_max']} bytes",
            "State": state,
            "Size": f"{size(facts['size'])} on a device of {size(facts['device_size'])}{cut}",
            "Blocks": f"{size(facts['block_size'])}, zones of {size(facts['zone_size'])}",
            "Zones": f"{facts['zones']}, data from zone {facts['first_data_zone']} on",
            "Maps": f"{facts['inode_map_blocks']} blocks for inodes, {facts['zone_map_blocks']} for zones",
            "Largest file": size(facts["file_size_max"]),
            "Inodes": str(facts["inodes"]),
        }

    def tags(self) -> dict[str, str]:
        return {
            "VERSION": str(self.superblock.variant.version),
            "BLOCK_SIZE": str(self.superblock.block_size),
            "TYPE": "minix",
            "USAGE": "filesystem",
        }

    def find(self, path: bytes) -> int:
        return self._reader.find(path).number

    def layout_of(self, inode: int) -> Layout:
        from minixfs.image.anatomy.mfs.structures import layout_of

        return layout_of(self._reader, inode)

    def survey(self, seconds: float | None = None) -> BlockMap:
        from minixfs.image.anatomy.mfs.survey import survey

        return run(survey(self._reader, seconds))

    def names(self, inodes: Sequence[int]) -> dict[int, bytes]:
        from minixfs.image.anatomy.mfs.survey import names

        return run(names(self._reader, inodes))

    def dump(self, what: Sequence[str]) -> list[Section]:
        from minixfs.image.anatomy.mfs.structures import dump

        return dump(self.device, self.superblock, what)
