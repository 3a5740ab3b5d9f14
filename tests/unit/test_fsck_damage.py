"""FS-68: every planted fault is reported, repaired in one run, and a second run finds nothing; nothing else is lost."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from minixfs.errors import BadSuperblock, Unsupported
from minixfs.fs.mfs.layout import VARIANTS
from minixfs.fsck.mfs import check
from minixfs.fsck.report import REPAIR, Report
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from minixfs.mkfs.mfs import Options
from tests.support.damage import KINDS, Harm, Map
from tests.support.mfs_image import Image, populated

VARIANT = {variant.name: variant for variant in VARIANTS}
FORMATS = {
    "V1": (Options(variant=VARIANT["V1"], inodes=400), 400),
    "V1L": (Options(variant=VARIANT["V1L"], inodes=400), 400),
    "V2": (Options(variant=VARIANT["V2"], inodes=400), 400),
    "V2L": (Options(variant=VARIANT["V2L"], inodes=400), 400),
    "V3": (Options(variant=VARIANT["V3"], inodes=400, block_size=1024), 400),
    "V3-4K": (Options(variant=VARIANT["V3"], inodes=400), 1600),
    "V3-1536": (Options(variant=VARIANT["V3"], inodes=400, block_size=1536), 600),
    "V1-zones": (Options(variant=VARIANT["V1"], inodes=400, zone_shift=2), 1600),
    "hybrid-big-endian": (Options(variant=VARIANT["hybrid"], inodes=400, big_endian=True), 400),
    "V1-big-endian": (Options(variant=VARIANT["V1"], inodes=400, big_endian=True), 400),
}
LINUX = ("V1", "V1L", "V2", "V2L", "V3")
FSCK_MINIX = shutil.which("fsck.minix") or shutil.which("fsck.minix", path="/usr/sbin:/sbin")
_originals: dict[str, tuple[Image, dict[bytes, tuple[object, ...]]]] = {}


def fresh(name: str) -> tuple[Image, dict[bytes, tuple[object, ...]]]:
    """A populated image, and what it contains."""
    if name not in _originals:
        options, kilobytes = FORMATS[name]
        image = populated(options, size=kilobytes << 10)
        _originals[name] = image, image.contents()
    image, contents = _originals[name]
    return Image(bytearray(image.data), image.order), contents


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


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_fs_68_planted_fault_is_reported_and_repaired(kind: str, format_name: str, tmp_path: Path) -> None:
    for seed in range(2):
        image, before = fresh(format_name)
        rng = random.Random(seed)
        harm = KINDS[kind](image, Map(image, rng), rng)
        print(f"seed {seed}")
        report, after = repaired(image, tmp_path, format_name in LINUX)
        assert harm.kind in report.kinds, [finding.message for finding in report.findings]
        nothing_lost(before, after, [harm])


@pytest.mark.parametrize(
    "seed", [*range(120), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(120, 1000))]
)
def test_pairs_of_faults_are_repaired_in_one_run(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    name = rng.choice(list(FORMATS))
    image, before = fresh(name)
    where = Map(image, rng)
    kinds = rng.sample(sorted(KINDS), 2)
    print(f"seed {seed}: {name} {kinds}")
    harms = [KINDS[kind](image, where, rng) for kind in kinds]
    _, after = repaired(image, tmp_path, name in LINUX)
    nothing_lost(before, after, harms)


def mutate(image: Image, rng: random.Random) -> None:
    """Rubbish anywhere, most of it in the metadata; the superblock is mostly spared."""
    size = image.superblock.block_size
    metadata = (image.superblock.first_data_zone + 1) * image.superblock.zone_size
    style = rng.randrange(4)
    for _ in range(rng.choice([1, 10, 300])):
        start = rng.randrange(2 * size, metadata if rng.random() < 0.6 else len(image.data))
        if style == 0:
            image.data[start] ^= 1 << rng.randrange(8)
        elif style == 1:
            image.data[start : start + 8] = rng.randbytes(8)[: len(image.data) - start]
        else:
            start -= start % size
            image.data[start : start + size] = (
                rng.randbytes(size) if style == 2 else rng.choice([b"\0", b"\xff"]) * size
            )
    if rng.random() < 0.1:
        image.data[1024 + rng.randrange(32)] = rng.randrange(256)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "block", [*range(8), *(pytest.param(block, marks=pytest.mark.long) for block in range(8, 100))]
)
def test_rubbish_neither_crashes_nor_stays(block: int, tmp_path: Path) -> None:
    base = int(os.environ.get("MINIXFS_TEST_SEED", "0"))
    for seed in range(base + 15 * block, base + 15 * block + 15):
        rng = random.Random(seed)
        name = rng.choice(list(FORMATS))
        print(f"seed {seed}: {name}")
        image, _ = fresh(name)
        mutate(image, rng)
        try:
            repaired(image, tmp_path, name in LINUX)
        except (BadSuperblock, Unsupported):
            continue
