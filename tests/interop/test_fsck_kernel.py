"""What fsck repaired, the Linux driver mounts and reads."""

from __future__ import annotations

import random
from pathlib import Path

from minixfs.fsck.mfs import check
from minixfs.fsck.report import REPAIR
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from tests.support import peers
from tests.support.damage import KINDS, Map
from tests.support.damage.formats import LINUX, fresh

DAMAGE = (
    ("superblock_wiped", "link_count"),
    ("superblock_two_fields", "zone_in_two_files"),
    ("root_not_a_directory", "maps_wiped"),
    ("loop_of_directories", "inode_wiped"),
    ("rubbish_in_an_indirect_block", "directory_hole"),
)


def test_linux_mounts_what_was_repaired(tmp_path: Path) -> None:
    peers.require("uml")
    images, expected = [], []
    for turn, (name, kinds) in enumerate(zip(LINUX, DAMAGE, strict=True)):
        image, before = fresh(name)
        rng = random.Random(turn)
        where = Map(image, rng)
        touched = frozenset().union(*(KINDS[kind](image, where, rng).touched for kind in kinds))
        disk = RamDisk(image.data)
        assert run(check(disk, REPAIR)).left == 0
        path = tmp_path / name
        path.write_bytes(disk.snapshot())
        images.append(path)
        expected.append(set(before) - touched)
    for snapshot, paths in zip(peers.linux_snapshots(images, "minix"), expected, strict=True):
        assert paths <= {b"/" + path.strip(b"/") for path in snapshot}
