"""The peers themselves and the harness around them: what they agree on, our own images are held to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.support import peers, tree, uml

SEED = 20130601
SIZE = 8 << 20  # of the volumes, bytes
BIG = 1 << 20  # reach of sparse files, bytes: into the double indirect blocks of 1K blocks


class Volume(NamedTuple):
    version: int
    name_len: int
    gid_max: int

    @property
    def name(self) -> str:
        return f"v{self.version}-{self.name_len}"


VOLUMES = [
    Volume(1, 14, 255),
    Volume(1, 30, 255),
    Volume(2, 14, 65535),
    Volume(2, 30, 65535),
    Volume(3, 60, 65535),
]


def test_linux_fills_and_changes_every_minix_volume(tmp_path: Path) -> None:
    """A tree that the Linux driver wrote is the same after unmounting, and fsck.minix has no complaint."""
    peers.require("uml", "mkfs.minix", "fsck.minix")
    images = [tmp_path / volume.name for volume in VOLUMES]
    for image, volume in zip(images, VOLUMES, strict=True):
        peers.mkfs_minix(image, SIZE, volume.version, name_len=volume.name_len)

    populated = under_linux(
        images, "populate", lambda volume: (SEED, volume.name_len, 65535, volume.gid_max, BIG)
    )
    mutated = under_linux(images, "mutate", lambda volume: (SEED,))
    seen = peers.linux_snapshots(images, "minix")

    for volume, first, second, last in zip(VOLUMES, populated, mutated, seen, strict=True):
        assert {entry.kind for entry in first.values()} == set(tree.KINDS.values()), volume
        assert max(len(os.path.basename(path)) for path in first) == volume.name_len
        assert len(tree.diff(first, second)) > 100, volume
        assert tree.diff(second, last) == [], volume
    # V1 and V2 differ in the ids they can hold; a tree with names of the same length is the same otherwise.
    assert tree.diff(seen[0], seen[2], ignore=["gid"]) == []
    assert tree.diff(seen[1], seen[3], ignore=["gid"]) == []


def under_linux(
    images: list[Path], command: str, arguments: Callable[[Volume], tuple[int, ...]]
) -> list[tree.Snapshot]:
    """Do `command` of `tree.py` to each volume, check them, and return what Linux saw before unmounting."""
    share = images[0].parent / command
    share.mkdir()
    mounts: list[str] = []
    commands: list[tuple[str | int, ...]] = []
    for (letter, _), volume in zip(uml.disks(images), VOLUMES, strict=True):
        root = f"/mnt/{letter}"
        mounts.append(f"mount -t minix /dev/ubd{letter} {root}")
        commands.append((command, root, *arguments(volume)))
        commands.append(("snapshot", root, f"/mnt/share/{letter}"))
    uml.run(images, "\n".join([*mounts, uml.tree_command(*commands)]), share=share)
    for image in images:
        verdict = peers.fsck_minix(image)
        assert verdict.clean, f"{image.name}, seed {SEED}: {verdict.output}"
    return [tree.loads((share / letter).read_text()) for letter, _ in uml.disks(images)]
