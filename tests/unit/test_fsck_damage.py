"""FS-68: every planted fault is reported, repaired in one run, and a second run finds nothing; nothing else is lost."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from minixfs.errors import BadSuperblock
from minixfs.fsck.mfs import check
from minixfs.fsck.report import REPAIR, Report
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from tests.support.damage import KINDS, ROOT_KINDS, SUPERBLOCK_KINDS, Harm, Map
from tests.support.damage.formats import FORMATS, LINUX, fresh
from tests.support.mfs_image import Image

FSCK_MINIX = shutil.which("fsck.minix") or shutil.which("fsck.minix", path="/usr/sbin:/sbin")


def repaired(image: Image, tmp_path: Path, linux: bool) -> tuple[Report, Image]:
    """Repair; insist on a clean second check, ours and (with `linux`) util-linux's."""
    disk = RamDisk(image.data)
    report = run(check(disk, REPAIR))
    messages = "\n".join(finding.message for finding in report.findings)
    second = run(check(disk))
    assert not second.findings, f"{messages}\n-- left:\n" + "\n".join(f.message for f in second.findings)
    assert report.left == 0
    assert second.was_clean
    superblock = Image(bytearray(disk.snapshot())).superblock
    if linux and FSCK_MINIX and superblock.first_data_zone == superblock.computed_first_data_zone:
        path = tmp_path / "image"
        path.write_bytes(disk.snapshot())
        done = subprocess.run(
            [FSCK_MINIX, "-f", str(path)], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60
        )
        assert done.returncode == 0, f"{messages}\n-- fsck.minix:\n{done.stdout}{done.stderr}"
    return report, Image(bytearray(disk.snapshot()), image.order)


def nothing_lost(before: dict[bytes, tuple[object, ...]], after: Image, harms: list[Harm]) -> None:
    touched = frozenset().union(*(harm.touched for harm in harms))
    now = after.contents()
    for path, content in before.items():
        if path not in touched:
            assert now.get(path) == content, f"{path!r} is not what it was"


def planted(kinds: list[str], format_name: str, seed: int, tmp_path: Path) -> None:
    """Harm an image in these ways; it must be found, repaired in one run, and nothing else be lost."""
    print(f"seed {seed}: {format_name} {kinds}")
    image, before = fresh(format_name)
    rng = random.Random(seed)
    where = Map(image, rng)
    harms = [KINDS[kind](image, where, rng) for kind in kinds]
    try:
        report, after = repaired(image, tmp_path, format_name in LINUX)
    except BadSuperblock:
        hurt = SUPERBLOCK_KINDS & set(kinds)
        assert hurt, "a superblock that is in order was refused"
        assert ROOT_KINDS & set(kinds) or len(hurt) > 1, "the root is in order, and was not found"
        return
    if len(kinds) == 1:
        assert harms[0].kind in report.kinds, [finding.message for finding in report.findings]
    assert report.kinds
    nothing_lost(before, after, harms)


def cases() -> list[Any]:
    """Each kind once, in the formats by turns, and some pairs; with `long` each kind in each format and 1,000 pairs."""
    names = list(FORMATS)
    every = [([kind], name) for name in names for kind in KINDS]
    short = [([kind], names[turn % len(names)]) for turn, kind in enumerate(KINDS)]
    long = [pytest.param(*case, marks=pytest.mark.long) for case in every if case not in short]
    return [*short, *long]


@pytest.mark.parametrize(("kinds", "format_name"), cases())
def test_fs_68_planted_fault_is_reported_and_repaired(kinds: list[str], format_name: str, tmp_path: Path) -> None:
    for seed in range(2):
        planted(kinds, format_name, seed, tmp_path)


@pytest.mark.parametrize(
    "seed", [*range(90), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(90, 1000))]
)
def test_fs_68_pairs_of_faults_are_repaired_in_one_run(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    planted(rng.sample(sorted(KINDS), 2), rng.choice(list(FORMATS)), seed, tmp_path)
