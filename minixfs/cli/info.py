"""`minixfs info`: what an image holds. A file system: format, sizes, usage, state. A disk: its partitions.

Of a volume that cannot be mounted everything that its superblock says is shown, and then why; the exit code is 1.
MFS superblocks hold no dates; the age of the root directory is the best that they can tell.
"""

from __future__ import annotations

import json
import time
from typing import Any

import click

from minixfs.cli.offline import complain, opened
from minixfs.cli.show import human
from minixfs.errors import BadSuperblock, MinixFsError, UsageError
from minixfs.fs.mfs.layout import MAX_ZONE_SHIFT, SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE
from minixfs.fs.mfs.superblock import Superblock
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.blockdev.open import open_device
from minixfs.hw.blockdev.partition import Partition, Slice, scan
from minixfs.hw.runtime import run

Facts = dict[str, Any]
"""What is known, as ``--json`` gives it: sizes in bytes, times in seconds since 1970."""


@click.command()
@click.argument("image")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def info(image: str, as_json: bool) -> int:
    """Show what IMAGE (or IMAGE:p0s1, IMAGE@@OFFSET) is and how full it is."""
    failure: MinixFsError | None = None
    device = run(open_device(image, read_only=True))
    try:
        superblock = _superblock(device)
        facts = _disk(device) if superblock is None else _volume(superblock, device.size)
    finally:
        device.close()
    if superblock is not None:
        try:
            facts |= _usage(image)
        except MinixFsError as error:
            failure = error
    elif not facts["partitions"]:
        raise UsageError(f"{image}: neither a MINIX file system nor a partition table was found")
    if as_json:
        click.echo(json.dumps({"image": image, **facts, "mountable": failure is None}, indent=1))
    else:
        click.echo("\n".join(_volume_lines(facts) if superblock is not None else _disk_lines(facts)))
    if failure is None:
        return 0
    complain(failure)
    return 1


def _superblock(device: BlockDevice) -> Superblock | None:
    raw = bytearray(SUPERBLOCK_SIZE)
    run(device.read(SUPERBLOCK_OFFSET, [raw]))
    try:
        return Superblock.parse(bytes(raw))
    except BadSuperblock:
        return None


# ---- one volume ----------------------------------------------------------------------------------------------------


def _volume(superblock: Superblock, device_size: int) -> Facts:
    variant = superblock.variant
    zone_size = superblock.zone_size if superblock.zone_shift <= MAX_ZONE_SHIFT else None
    return {
        "format": "mfs",
        "variant": variant.name,
        "version": variant.version,
        "name_max": variant.name_max,
        "byte_order": "big" if superblock.swapped else "little",
        "clean": superblock.clean,
        "size": zone_size and superblock.zones * zone_size,
        "device_size": device_size,
        "block_size": superblock.block_size,
        "zone_size": zone_size,
        "zones": superblock.zones,
        "first_data_zone": superblock.first_data_zone,
        "inodes": superblock.inodes,
        "inode_map_blocks": superblock.imap_blocks,
        "zone_map_blocks": superblock.zmap_blocks,
        "file_size_max": superblock.max_size,
    }


def _usage(image: str) -> Facts:
    with opened(image) as process:
        usage, root = process.statvfs(b"/"), process.stat(b"/")
        return {
            "free": usage.bfree * usage.frsize,
            "inodes_free": usage.ffree,
            "root_modified": root.mtime // 10**9,
        }


def _volume_lines(facts: Facts) -> list[str]:
    name = f"V{facts['version']}, as MINIX 3 makes it" if facts["variant"] == "hybrid" else facts["variant"]
    state = "clean" if facts["clean"] else "not marked clean: in use, not cleanly unmounted, or never checked"
    cut = ", which cuts it short" if facts["size"] and facts["size"] > facts["device_size"] else ""
    lines = {
        "Format": f"MINIX {name}, {facts['byte_order']}-endian, names of up to {facts['name_max']} bytes",
        "State": state,
        "Size": f"{_size(facts['size'])} on a device of {_size(facts['device_size'])}{cut}",
        "Blocks": f"{_size(facts['block_size'])}, zones of {_size(facts['zone_size'])}",
        "Zones": f"{facts['zones']}, data from zone {facts['first_data_zone']} on",
        "Maps": f"{facts['inode_map_blocks']} blocks for inodes, {facts['zone_map_blocks']} for zones",
        "Largest file": _size(facts["file_size_max"]),
        "Inodes": str(facts["inodes"]),
    }
    if "free" in facts:
        used = facts["size"] - facts["free"]
        lines["Inodes"] = _share(facts["inodes"] - facts["inodes_free"], facts["inodes"], str)
        lines["Space"] = _share(used, facts["size"], human)
        changed = time.localtime(facts["root_modified"])
        lines["Root changed"] = time.strftime("%Y-%m-%d %H:%M:%S", changed)
    width = max(map(len, lines))
    return [f"{label:{width}}  {text}" for label, text in lines.items()]


def _share(used: int, total: int, shown: Any) -> str:
    return f"{shown(used)} of {shown(total)} used ({100 * used // total}%), {shown(total - used)} free"


def _size(size: int | None) -> str:
    if size is None:
        return "impossible"
    return f"{size} bytes" if size < 1024 else f"{human(size)} ({size} bytes)"


# ---- a whole disk --------------------------------------------------------------------------------------------------


def _disk(device: BlockDevice) -> Facts:
    partitions = [_partition(device, partition) for partition in run(scan(device))]
    return {"format": "disk", "device_size": device.size, "partitions": partitions}


def _partition(disk: BlockDevice, partition: Partition) -> Facts:
    facts: Facts = {
        "name": partition.name,
        "description": str(partition),
        "type": partition.type,
        "active": partition.active,
        "start": partition.start,
        "size": partition.size,
    }
    superblock = _superblock(Slice(disk, partition.start, partition.size))
    return facts if superblock is None else facts | {"volume": _volume(superblock, partition.size)}


def _disk_lines(facts: Facts) -> list[str]:
    lines = [f"Disk of {_size(facts['device_size'])}"]
    for part in facts["partitions"]:
        indent = "  " * (len(part["name"]) > 2)
        volume = part.get("volume")
        holds = f": MINIX {volume['variant']}, {'clean' if volume['clean'] else 'not clean'}" if volume else ""
        lines.append(f"{indent + part['name']:8}at byte {part['start']:<12}{part['description']}{holds}")
    return lines
