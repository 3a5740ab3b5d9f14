"""Our mount and the Linux kernel's minix driver on the same volumes, both ways (FS-63).

What one writes the other must read identically and may change, every format that both know, and neither fsck.minix
nor our checker may find anything after either of them. Booting a kernel takes seconds, so all volumes go through each
stage together.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import mounts, peers, tree, uml
from tests.support.mounts import Mount, minixfs
from tests.support.tree import Snapshot

SEED = 19870101
SIZE = 12 << 20  # of a volume, bytes
BIG = 1 << 20  # reach of sparse files: double indirect blocks, with 1K blocks
BIGGER = 8 << 20  # the same with larger blocks
HUGE = 70 << 20  # triple indirect blocks, with 1K blocks; Linux's mkfs allows them
UID_MAX = 65535


class Volume(NamedTuple):
    version: int
    name_max: int
    block_size: int = 1024
    big: int = BIG

    def __str__(self) -> str:
        return f"v{self.version}-{self.name_max}-{self.block_size}"

    @property
    def gid_max(self) -> int:
        return 255 if self.version == 1 else 65535


OURS = [
    Volume(1, 14),
    Volume(1, 30),
    Volume(2, 14),
    Volume(2, 30),
    Volume(3, 60),
    Volume(3, 60, 2048, BIGGER),
    Volume(3, 60, 4096, BIGGER),
]
LINUX = [
    Volume(1, 14),
    Volume(1, 30),
    Volume(2, 14),
    Volume(2, 30),
    Volume(3, 60, big=HUGE),
]


@pytest.fixture(autouse=True)
def _needs() -> None:
    peers.require("uml", "mkfs.minix", "fsck.minix")
    if os.geteuid():
        pytest.skip("needs root, to give files away")
    if reason := mounts.why_not():
        pytest.skip(reason)


def test_linux_reads_and_changes_what_we_wrote(tmp_path: Path) -> None:
    images = [
        mounts.make_image(tmp_path / str(volume), *volume[:2], size=SIZE, block_size=volume.block_size)
        for volume in OURS
    ]
    written = []
    for volume, image in zip(OURS, images, strict=True):
        with Mount(image) as mount:
            populate(mount.path, volume)
        mounts.check_image(image)
        with Mount(image) as mount:
            tree.mutate(mount.path, SEED)
            written.append(tree.snapshot(mount.path))
        mounts.check_image(image)
    assert_same(OURS, written, peers.linux_snapshots(images, "minix"))

    changed = under_linux(images, tmp_path, [("mutate", SEED + 1)] * len(images))
    for before, after in zip(written, changed, strict=True):
        assert len(tree.diff(before, after)) > 100
    for image in images:
        mounts.check_image(image)
    assert_same(OURS, changed, [ours(image) for image in images])


def test_we_read_and_change_what_linux_wrote(tmp_path: Path) -> None:
    images = [tmp_path / str(volume) for volume in LINUX]
    for volume, image in zip(LINUX, images, strict=True):
        peers.mkfs_minix(image, SIZE, volume.version, name_len=volume.name_max)
    written = under_linux(images, tmp_path, [("populate", SEED, v.name_max, UID_MAX, v.gid_max, v.big) for v in LINUX])
    for volume, image in zip(LINUX, images, strict=True):
        mounts.check_image(image, clean=volume.version < 3)  # Linux does not know the clean mark of V3
        assert minixfs("fsck", "-p", image).returncode == 0
        mounts.check_image(image)
    assert_same(LINUX, written, [ours(image) for image in images])

    changed = []
    for image in images:
        with Mount(image) as mount:
            tree.mutate(mount.path, SEED + 1)
            changed.append(tree.snapshot(mount.path))
        mounts.check_image(image)
    assert_same(LINUX, changed, peers.linux_snapshots(images, "minix"))


def test_both_take_turns(tmp_path: Path) -> None:
    """Each goes on where the other stopped; the same changes lead to the same tree."""
    volume = Volume(3, 60)
    both = mounts.make_image(tmp_path / "both", size=SIZE, block_size=1024)
    alone = mounts.make_image(tmp_path / "alone", size=SIZE, block_size=1024)
    for image in (both, alone):
        with Mount(image) as mount:
            populate(mount.path, volume)
    for turn in range(1, 3):
        for image in (both, alone):
            if image == both and turn % 2:
                under_linux([image], tmp_path, [("mutate", SEED + turn)])
            else:
                with Mount(image) as mount:
                    tree.mutate(mount.path, SEED + turn)
            mounts.check_image(image)
    assert_same([volume], [ours(alone)], [ours(both)])


def populate(root: Path, volume: Volume) -> None:
    tree.populate(root, SEED, volume.name_max, ids_max=(UID_MAX, volume.gid_max), big=volume.big)


def ours(image: Path) -> Snapshot:
    """What our mount shows; looking must not change a byte that matters."""
    with Mount(image, "ro") as mount:
        return tree.snapshot(mount.path)


def under_linux(images: Sequence[Path], share: Path, commands: Sequence[tuple[str | int, ...]]) -> list[Snapshot]:
    """Do one command of `tree.py` to each volume in one boot; what Linux saw afterwards."""
    mount_lines: list[str] = []
    steps: list[tuple[str | int, ...]] = []
    disks = uml.disks(images)
    for (letter, _), (command, *arguments) in zip(disks, commands, strict=True):
        (share / letter).unlink(missing_ok=True)
        mount_lines.append(f"mount -t minix /dev/ubd{letter} /mnt/{letter}")
        steps.append((command, f"/mnt/{letter}", *arguments))
        steps.append(("snapshot", f"/mnt/{letter}", f"/mnt/share/{letter}"))
    uml.run(images, "\n".join([*mount_lines, uml.tree_command(*steps)]), share=share)
    return [tree.loads((share / letter).read_text()) for letter, _ in disks]


def assert_same(volumes: Sequence[Volume], one: Sequence[Snapshot], other: Sequence[Snapshot]) -> None:
    for volume, first, second in zip(volumes, one, other, strict=True):
        differences = tree.diff(first, second)
        assert not differences, f"{volume}: " + "\n".join(differences[:20])
