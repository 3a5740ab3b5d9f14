"""What `minixfs mkfs` must know of each type of file system: its own options, and a maker.

maker = MAKERS[fstype](words)               from the type's own words on the command line
maker.take(gather(entries, maker.limits))   what goes in
maker.fit(...) or maker.ask(blocks, spare)  how large it shall be
maker.plan(device_size); run(maker.make(device, tick)); maker.facts()
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from minixfs.cli.failures import USAGE
from minixfs.errors import UsageError

if TYPE_CHECKING:
    from minixfs.hw.blockdev.device import BlockDevice
    from minixfs.mkfs.populate import Limits, Tree

Facts = dict[str, object]
Command = Callable[..., int]
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class OwnOption(click.Option):
    """An option that only one type of file system has."""

    def __init__(self, *words: Any, fstype: str, **settings: Any) -> None:
        super().__init__(*words, **settings)
        self.fstype = fstype


def mfs_options(command: Command) -> Command:
    for words, settings in reversed(_MFS_OPTIONS):
        command = click.option(*words, cls=OwnOption, fstype="mfs", **settings)(command)
    return command


def ext2_options(command: Command) -> Command:
    for words, settings in reversed(_EXT2_OPTIONS):
        command = click.option(*words, cls=OwnOption, fstype="ext2", **settings)(command)
    return command


def own_words(context: click.Context, fstype: str, words: dict[str, Any]) -> dict[str, Any]:
    """Those of `words` that belong to `fstype`. Raises UsageError if others were given."""
    found = {}
    for option in context.command.params:
        if not isinstance(option, OwnOption) or option.name is None:
            continue
        if option.fstype == fstype:
            found[option.name] = words[option.name]
        elif context.get_parameter_source(option.name) is click.core.ParameterSource.COMMANDLINE:
            name = max(option.opts, key=len)
            raise UsageError(f"{name} is for {option.fstype}; this is to be {fstype} (see -t)", USAGE)
    return found


_MFS_OPTIONS: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (("--version",), {"type": int, "help": "MINIX file system version: 1, 2 or 3 (the default)."}),
    (("--variant",), {"type": click.Choice(["hybrid"]),
                      "help": "hybrid: the V2 that MINIX 3 makes, with 60-byte names."}),
    (("-n", "--name-length"), {"type": int, "metavar": "BYTES",
                               "help": "Longest name: 14 or 30 (V1, V2), 60 (V3)."}),
    (("-z", "--zone-shift"), {"type": int, "default": 0, "metavar": "N",
                              "help": "Blocks in a zone, as a power of 2."}),
    (("--big-endian",), {"is_flag": True, "help": "The byte order of 68000 machines (V1, V2)."}),
    (("--padding",), {"type": click.Choice(["linux", "minix"]), "default": "linux", "show_default": True,
                      "help": "Unused bits of the bitmaps: set, as Linux wants them, or clear, as MINIX leaves them."}),
]  # fmt: skip
_EXT2_OPTIONS: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (("-r", "--revision"), {"type": int, "default": 1, "help": "ext2: 1, or 0 for kernels before 1995."}),
    (("-O", "--features"), {"metavar": "LIST", "default": "",
                            "help": "ext2: features, with ^ to leave one out: ^resize_inode,^dir_index."}),
    (("-I", "--inode-size"), {"type": int, "metavar": "BYTES", "help": "ext2: 256, or 128 (times end in 2038)."}),
    (("--bytes-per-inode",), {"metavar": "SIZE", "help": "ext2: an inode for so many bytes of the volume."}),
    (("-L", "--label"), {"help": "ext2: name of the volume, up to 16 bytes."}),
    (("-U", "--uuid"), {"help": "ext2: an UUID, random or clear."}),
    (("-m", "--reserve"), {"type": float, "default": 5.0, "metavar": "PERCENT", "show_default": True,
                           "help": "ext2: kept for the super-user."}),
]  # fmt: skip


def bytes_of(text: str) -> int:
    """A size on the command line. Raises UsageError."""
    from minixfs.hw.blockdev.open import parse_size

    try:
        return parse_size(text.removesuffix("B").removesuffix("b"))
    except UsageError as error:
        raise UsageError(str(error), USAGE) from error


class Maker(ABC):
    """`limits` say what can go in. In bytes: `unit`, the block in which a size is asked for, and `length`, what `make`
    tells of while it writes."""

    limits: Limits
    unit: int
    length: int

    @abstractmethod
    def take(self, tree: Tree) -> None:
        """What goes in. Raises UsageError."""

    @abstractmethod
    def fit(self, percent: int, room: int, spare: int) -> int:
        """Ask for a volume just large enough, with `percent` more, `room` bytes more, `spare` inodes more. Returns its
        size in bytes."""

    @abstractmethod
    def ask(self, blocks: int | None, spare: int | None) -> None:
        """Ask for so many blocks, by default as many as there are, and for `spare` inodes besides those in use."""

    @abstractmethod
    def plan(self, device_size: int) -> None:
        """Raise UsageError for what cannot be."""

    @abstractmethod
    async def make(self, device: BlockDevice, tick: Callable[[int], object]) -> None:
        """Write it."""

    @abstractmethod
    def facts(self) -> Facts:
        """What was planned, or made."""

    @abstractmethod
    def summary(self) -> str:
        """The same in a line."""


class MfsMaker(Maker):
    def __init__(self, block_size: int | None, inodes: int | None, time: int | None, words: dict[str, Any]) -> None:
        from minixfs.mkfs.mfs import Options, block_size_for, choose_variant, limits_for

        self._options = Options(
            variant=choose_variant(words["version"], words["name_length"], hybrid=words["variant"] == "hybrid"),
            block_size=block_size,
            inodes=inodes,
            zone_shift=words["zone_shift"],
            big_endian=words["big_endian"],
            padding=words["padding"] == "linux",
        )
        self.limits = limits_for(self._options)
        self.unit = block_size_for(self._options)

    def take(self, tree: Tree) -> None:
        from minixfs.mkfs.mfs import contents_for

        self._contents = contents_for(tree, self._options)
        self.length = self._contents.length

    def fit(self, percent: int, room: int, spare: int) -> int:
        from minixfs.mkfs.mfs import fitted

        self._options = fitted(self._options, self._contents, percent=percent, room=room, inodes=spare)
        return (self._options.blocks or 0) * self.unit

    def ask(self, blocks: int | None, spare: int | None) -> None:
        if spare is not None:
            self._options = replace(self._options, inodes=len(self._contents.tree) + spare)
        self._options = replace(self._options, blocks=blocks)

    def plan(self, device_size: int) -> None:
        from minixfs.mkfs.mfs import plan

        self._superblock = plan(device_size, self._options, self._contents)

    async def make(self, device: BlockDevice, tick: Callable[[int], object]) -> None:
        from minixfs.mkfs.mfs import make

        self._superblock = await make(device, self._options, self._contents, tick)

    def facts(self) -> Facts:
        superblock, contents = self._superblock, self._contents
        files = len(contents.tree)
        return {
            "variant": superblock.variant.name,
            "big_endian": superblock.swapped,
            "block_size": superblock.block_size,
            "zone_size": superblock.zone_size,
            "zones": superblock.zones,
            "first_data_zone": superblock.first_data_zone,
            "free_zones": superblock.zones - superblock.first_data_zone - contents.total,
            "files": files,
            "inodes": superblock.inodes,
            "free_inodes": superblock.inodes - files,
            "imap_blocks": superblock.imap_blocks,
            "zmap_blocks": superblock.zmap_blocks,
            "max_file_size": superblock.max_size,
            "name_max": superblock.variant.name_max,
        }

    def summary(self) -> str:
        superblock, files = self._superblock, len(self._contents.tree)
        return (
            f"MINIX {superblock.variant.name}, {superblock.zones} zones of {superblock.zone_size} bytes,"
            f" {superblock.inodes} inodes{_held(files)}"
        )


class Ext2Maker(Maker):
    """UUID and hash seed are random, but if the time is given: then the same wishes and files give the same image."""

    def __init__(self, block_size: int | None, inodes: int | None, time: int | None, words: dict[str, Any]) -> None:
        from minixfs.hw.clock import coarse_seconds
        from minixfs.mkfs.ext2 import limits_for
        from minixfs.mkfs.ext2_geometry import Options, chosen_features

        ratio = words["bytes_per_inode"]
        self._options = Options(
            block_size=block_size,
            inodes=inodes,
            bytes_per_inode=None if ratio is None else bytes_of(ratio),
            inode_size=words["inode_size"],
            revision=words["revision"],
            features=chosen_features(words["features"], words["revision"]),
            reserve=words["reserve"],
            label=os.fsencode(words["label"] or ""),
            time=coarse_seconds() if time is None else time,
        )
        self._uuid = words["uuid"]
        if self._uuid not in (None, "random", "clear") and not _UUID.fullmatch(self._uuid):
            raise UsageError(f"'{self._uuid}' is no UUID, nor random or clear", USAGE)
        self._repeatable = time is not None
        self._size: int | None = None
        self.limits = limits_for(self._options)
        self.unit = block_size or 1024

    def take(self, tree: Tree) -> None:
        from minixfs.mkfs.ext2 import fingerprint

        self._tree = tree
        self.length = 0
        uuid, seed = fingerprint(self._options, tree) if self._repeatable else (_random_uuid(), _random_uuid())
        if self._uuid == "random":
            uuid = _random_uuid()
        elif self._uuid is not None:
            uuid = bytes(16) if self._uuid == "clear" else bytes.fromhex(self._uuid.replace("-", ""))
        self._options = replace(self._options, uuid=uuid, hash_seed=seed)

    def fit(self, percent: int, room: int, spare: int) -> int:
        from minixfs.mkfs.ext2 import fitted

        self._size, self._options = fitted(self._options, self._tree, percent=percent, room=room, inodes=spare)
        return self._size

    def ask(self, blocks: int | None, spare: int | None) -> None:
        from minixfs.mkfs.ext2 import inodes_needed

        if spare is not None:
            self._options = replace(self._options, inodes=inodes_needed(self._options, self._tree) + spare)
        self._size = None if blocks is None else blocks * self.unit

    def plan(self, device_size: int) -> None:
        from minixfs.mkfs.ext2 import plan

        size = device_size if self._size is None else self._size
        if size > device_size:
            raise UsageError(f"{size >> 10} KiB do not fit on the device, which has {device_size >> 10}", USAGE)
        self._plan = plan(size, self._options, self._tree)
        self.length = self._plan.contents.length

    async def make(self, device: BlockDevice, tick: Callable[[int], object]) -> None:
        from minixfs.mkfs.ext2 import make

        await make(device, self._plan, tick)

    def facts(self) -> Facts:
        superblock = self._plan.superblock
        return {
            "type": "ext2",
            "revision": superblock.revision,
            "label": os.fsdecode(superblock.label.rstrip(b"\0")),
            "uuid": _written(superblock.uuid),
            "hash_seed": _written(superblock.hash_seed),
            "features": superblock.features(),
            "block_size": superblock.block_size,
            "blocks": superblock.blocks,
            "free_blocks": superblock.free_blocks,
            "reserved_blocks": superblock.reserved_blocks,
            "groups": superblock.groups,
            "blocks_per_group": superblock.blocks_per_group,
            "reserved_gdt_blocks": superblock.reserved_gdt_blocks,
            "files": len(self._tree),
            "inode_size": superblock.inode_size,
            "inodes": superblock.inodes,
            "free_inodes": superblock.free_inodes,
            "inodes_per_group": superblock.inodes_per_group,
            "max_file_size": superblock.max_file_size,
        }

    def summary(self) -> str:
        superblock = self._plan.superblock
        label = os.fsdecode(superblock.label.rstrip(b"\0"))
        return (
            f"ext2{f' {label!r}' if label else ''}, {superblock.blocks} blocks of {superblock.block_size} bytes in"
            f" {superblock.groups} group{'s' * (superblock.groups != 1)}, {superblock.inodes} inodes"
            f"{_held(len(self._tree) - 1)}; UUID {_written(superblock.uuid)}"
        )


MAKERS: dict[str, Callable[[int | None, int | None, int | None, dict[str, Any]], Maker]] = {
    "mfs": MfsMaker,
    "ext2": Ext2Maker,
}
"""How to make each type, from the block size, the number of inodes, the time if all shall have one, and own words."""


def _held(files: int) -> str:
    return f"; holds {files} files" if files > 1 else ""


def _random_uuid() -> bytes:
    made = bytearray(os.urandom(16))
    made[6] = made[6] & 0x0F | 0x40
    made[8] = made[8] & 0x3F | 0x80
    return bytes(made)


def _written(uuid: bytes) -> str:
    text = uuid.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
