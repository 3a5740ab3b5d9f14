"""`minixfs mkfs`: make an empty file system in an image file, a partition of one, or a block device."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING

import click

from minixfs.cli.failures import USAGE, exit_codes
from minixfs.errors import UsageError

if TYPE_CHECKING:
    from minixfs.fs.mfs.superblock import Superblock
    from minixfs.hw.blockdev.device import BlockDevice
    from minixfs.mkfs.mfs import Options


@click.command()
@click.argument("image", type=click.Path())
@click.argument("size", required=False)
@click.option("-t", "--type", "fstype", default="mfs", type=click.Choice(["mfs"]), help="File system to make.")
@click.option("--version", type=int, help="MINIX file system version: 1, 2 or 3 (the default).")
@click.option("--variant", type=click.Choice(["hybrid"]), help="hybrid: the V2 that MINIX 3 makes, with 60-byte names.")
@click.option("-n", "--name-length", type=int, metavar="BYTES", help="Longest name: 14 or 30 (V1, V2), 60 (V3).")
@click.option("-B", "--block-size", metavar="SIZE", help="1024 to 65024 in steps of 512; default 4096 (V3 only).")
@click.option("-i", "--inodes", type=int, metavar="N", help="Number of inodes; default by size.")
@click.option("-z", "--zone-shift", type=int, default=0, metavar="N", help="Blocks in a zone, as a power of 2.")
@click.option("--big-endian", is_flag=True, help="The byte order of 68000 machines (V1, V2).")
@click.option(
    "--minix-padding", is_flag=True, help="Leave unused bitmap bits clear, as MINIX does; Linux wants them set."
)
@click.option("--root-owner", metavar="UID:GID", help="Owner of the root directory; default: you.")
@click.option("-f", "--force", is_flag=True, help="Overwrite what is there without asking.")
@click.option("-v", "--verbose", is_flag=True, help="Say more about what was made.")
@click.option("--json", "as_json", is_flag=True, help="Describe what was made as JSON.")
def mkfs(
    image: str,
    size: str | None,
    fstype: str,
    version: int | None,
    variant: str | None,
    name_length: int | None,
    block_size: str | None,
    inodes: int | None,
    zone_shift: int,
    big_endian: bool,
    minix_padding: bool,
    root_owner: str | None,
    force: bool,
    verbose: bool,
    as_json: bool,
) -> int:
    """Make a MINIX file system in IMAGE (or IMAGE:p0s1, IMAGE@@OFFSET).

    SIZE is a number of blocks, or of bytes with K, M or G behind it; a missing IMAGE is created with that
    size. By default the file system fills IMAGE.
    """
    with exit_codes():
        from minixfs.mkfs.mfs import Options, block_size_for, choose_variant

        chosen = choose_variant(version, name_length, hybrid=variant == "hybrid")
        uid, gid = _owner(root_owner, chosen.id_max, chosen.gid_max)
        options = Options(
            variant=chosen,
            block_size=None if block_size is None else _bytes(block_size),
            inodes=inodes,
            zone_shift=zone_shift,
            big_endian=big_endian,
            padding=not minix_padding,
            root_uid=uid,
            root_gid=gid,
        )
        blocks = None if size is None else _blocks(size, block_size_for(options))
        superblock = _make(image, options, blocks, force)
        _describe(image, superblock, verbose, as_json)
    return 0


mkfs.usage_exit_code = USAGE  # type: ignore[attr-defined]  # read by main for errors in options


def _make(image: str, options: Options, blocks: int | None, force: bool) -> Superblock:
    from dataclasses import replace

    from minixfs.hw.blockdev.open import open_device
    from minixfs.hw.runtime import run
    from minixfs.mkfs.mfs import block_size_for, make, plan

    options = replace(options, blocks=blocks)
    if not _exists(image):
        if blocks is None:
            raise UsageError(f"there is no {image}; give a size to create it, for example: mkfs {image} 64M", USAGE)
        length = blocks * block_size_for(options)
        plan(length, options)
        with open(image, "ab") as file:
            file.truncate(length)
    device = run(open_device(image))
    try:
        plan(device.size, options)
        if not force:
            _confirm(image, run(_contents(device)))
        return run(make(device, options))
    finally:
        device.close()


def _exists(image: str) -> bool:
    """Whether `image` names something that can be opened; an empty file is as good as none."""
    if os.path.isfile(image):
        return os.path.getsize(image) > 0
    path = image.rpartition("@@")[0] or image.rpartition(":")[0]
    return os.path.lexists(image) or bool(path and os.path.lexists(path))


def _confirm(image: str, contents: str | None) -> None:
    """Let nobody overwrite `contents` by accident. Raises UsageError."""
    if contents is None:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{image} holds {contents}; use -f to overwrite it")
    if not click.confirm(f"{image} holds {contents}. Overwrite it?", err=True):
        raise UsageError(f"{image} is left as it was")


async def _contents(device: BlockDevice) -> str | None:
    """What is on the device, in words; None if nothing is known to be."""
    from minixfs.errors import BadSuperblock
    from minixfs.fs.mfs.superblock import Superblock
    from minixfs.hw.blockdev.partition import choices, scan

    sector = device.sector_size
    head = bytearray(-(-4096 // sector) * sector)
    await device.read(0, [head])
    if head[1080:1082] == b"\x53\xef":
        return "an ext2 file system"
    try:
        return f"a MINIX {Superblock.parse(bytes(head[1024:2048])).variant.name} file system"
    except BadSuperblock:
        pass
    return "partitions" if choices(await scan(device)) else None


def _describe(image: str, superblock: Superblock, verbose: bool, as_json: bool) -> None:
    facts = {
        "image": image,
        "variant": superblock.variant.name,
        "big_endian": superblock.swapped,
        "block_size": superblock.block_size,
        "zone_size": superblock.zone_size,
        "zones": superblock.zones,
        "first_data_zone": superblock.first_data_zone,
        "inodes": superblock.inodes,
        "imap_blocks": superblock.imap_blocks,
        "zmap_blocks": superblock.zmap_blocks,
        "max_file_size": superblock.max_size,
        "name_max": superblock.variant.name_max,
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(
        f"{image}: MINIX {superblock.variant.name}, {superblock.zones} zones of {superblock.zone_size} bytes,"
        f" {superblock.inodes} inodes"
    )
    if verbose:
        for name, value in facts.items():
            click.echo(f"  {name.replace('_', ' ')}: {value}")


def _bytes(text: str) -> int:
    from minixfs.hw.blockdev.open import parse_size

    try:
        return parse_size(text.removesuffix("B").removesuffix("b"))
    except UsageError as error:
        raise UsageError(str(error), USAGE) from error


def _blocks(text: str, block_size: int) -> int:
    """A size given as a number of blocks, or in bytes with a unit."""
    return int(text) if re.fullmatch("[0-9]+", text) else _bytes(text) // block_size


def _owner(text: str | None, uid_max: int, gid_max: int) -> tuple[int, int]:
    """The root directory's owner: as given, else the caller, with 0 for an id that the format has no room for."""
    if text is None:
        uid, gid = os.getuid(), os.getgid()
        return (uid if uid <= uid_max else 0), (gid if gid <= gid_max else 0)
    match = re.fullmatch("([0-9]+):([0-9]+)", text)
    if match is None:
        raise UsageError(f"'{text}' is no owner: write two numbers, like 1000:100", USAGE)
    return int(match[1]), int(match[2])
