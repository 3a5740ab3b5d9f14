"""Volumes that mkfs has filled, in the kernel's minix driver and in fsck.minix: identical to what they were made of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import mounts, peers, tree
from tests.support.command import command

SEED = 20050630


class Volume(NamedTuple):
    """`big`: how far sparse files reach in bytes."""

    words: str
    name_max: int
    gid_max: int = 0xFFFF
    big: int = 8 << 20

    def __str__(self) -> str:
        return self.words


VOLUMES = [
    Volume("--version 1 -n 14", 14, 0xFF, 1 << 20),
    Volume("--version 1", 30, 0xFF),
    Volume("--version 2 -n 14", 14),
    Volume("--version 2", 30, big=70 << 20),
    Volume("-B 1K", 60, big=70 << 20),
    Volume("-B 2K", 60),
    Volume("", 60),
]


@pytest.fixture(autouse=True)
def _needs() -> None:
    peers.require("uml", "fsck.minix", "tar")
    if os.geteuid():
        pytest.skip("needs root, to give files away")


def test_linux_finds_what_was_put_in(tmp_path: Path) -> None:
    sources, images = [], []
    for number, volume in enumerate(VOLUMES):
        source = tmp_path / f"source{number}"
        source.mkdir()
        tree.populate(source, SEED, volume.name_max, ids_max=(0xFFFF, volume.gid_max), big=volume.big)
        image = tmp_path / f"image{number}"
        assert command("mkfs", *volume.words.split(), "-d", source, image, "fit").code == 0
        mounts.check_image(image)
        sources.append(tree.snapshot(source))
        images.append(image)
    for volume, ours, theirs in zip(VOLUMES, sources, peers.linux_snapshots(images, "minix"), strict=True):
        assert not tree.diff(ours, theirs, ignore=["dir_size"]), volume
