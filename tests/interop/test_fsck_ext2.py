"""The ext2 checker beside e2fsck: the same verdict on every kind of damage, and nothing left to say after a repair.

e2fsck's verdict is its exit code. Where it complains and yet ends with 0 (totals of the superblock, a damaged group
descriptor of which there is a copy), ours may say either.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
from pathlib import Path

import pytest

from minixfs.errors import BadSuperblock, Unsupported
from minixfs.fsck.ext2 import PREEN, check
from minixfs.fsck.report import REPAIR, Report
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from tests.support import peers
from tests.support.ext2_damage import KINDS, SHAPES, Ext2Image, e2fsck, populated

_SILENT = re.compile(r"e2fsck \d.*|Pass [1-5]: .*|.*: \d+/\d+ files \(.*")
_QUICK = {kind: random.Random(kind).choice(list(SHAPES)) for kind in KINDS}
"""The shape that a kind is tried on when there is not much time."""
_OTHER_PREENING = {"place_of_a_bitmap", "counts_of_a_group"}
_MEMORY = 64 << 20


@pytest.fixture(autouse=True)
def _peers() -> None:
    peers.require("mke2fs", "e2fsck")


def complaints(output: str) -> list[str]:
    return [line for line in output.splitlines() if line and not _SILENT.fullmatch(line)]


def judged(data: bytearray, what: str) -> int:
    """The exit code of our report, which must agree with e2fsck's."""
    code, output = e2fsck(data, "-n")
    report = run(check(RamDisk(bytearray(data)), memory_limit=_MEMORY))
    messages = "\n".join(finding.message for finding in report.findings)
    if code or not complaints(output):
        assert (report.exit_code != 0) == (code != 0), f"{what}\n-- e2fsck: {code}\n{output}\n-- ours:\n{messages}"
    return report.exit_code


def repaired(data: bytearray, what: str) -> tuple[Report, Ext2Image]:
    """Repair; insist that neither checker has anything to say then."""
    disk = RamDisk(bytearray(data))
    report = run(check(disk, REPAIR, memory_limit=_MEMORY))
    messages = "\n".join(finding.message for finding in report.findings)
    code, output = e2fsck(disk.snapshot(), "-n")
    assert code == 0, f"{what}\n{messages}\n-- e2fsck afterwards: {code}\n{output}"
    assert not complaints(output), f"{what}\n{messages}\n-- e2fsck afterwards:\n{output}"
    second = run(check(RamDisk(bytearray(disk.snapshot()))))
    assert not second.findings, f"{what}\n{messages}\n-- left:\n" + "\n".join(f.message for f in second.findings)
    assert second.was_clean
    assert report.left == 0
    return report, Ext2Image(bytes(disk.snapshot()))


def nothing_lost(shape: str, after: Ext2Image, touched: set[bytes]) -> None:
    now = after.contents()
    for path, content in populated(shape)[1].items():
        if path not in touched:
            assert now.get(path) == content, f"{path!r} is not what it was"


def _cases() -> list[object]:
    return [
        pytest.param(kind, shape, marks=() if shape == _QUICK[kind] else pytest.mark.long)
        for kind in KINDS
        for shape in SHAPES
    ]


@pytest.mark.parametrize(("kind", "shape"), _cases())
def test_verdict_is_that_of_e2fsck_and_the_repair_leaves_nothing_to_say(kind: str, shape: str) -> None:
    image = Ext2Image(populated(shape)[0])
    touched = KINDS[kind](image, random.Random(kind))
    judged(image.data, kind)
    _, after = repaired(image.data, kind)
    nothing_lost(shape, after, touched)


@pytest.mark.parametrize(("kind", "shape"), [case for case in _cases() if case.values[0] not in _OTHER_PREENING])
def test_preening_stops_where_e2fsck_does(kind: str, shape: str) -> None:
    image = Ext2Image(populated(shape)[0])
    KINDS[kind](image, random.Random(kind))
    before = bytes(image.data)
    code, output = e2fsck(image.data, "-p")
    disk = RamDisk(bytearray(before))
    report = run(check(disk, PREEN))
    messages = "\n".join(finding.message for finding in report.findings)
    assert (report.exit_code >= 4) == (code >= 4), f"-- e2fsck: {code}\n{output}\n-- ours: {messages}"
    if report.exit_code >= 4:
        assert bytes(disk.snapshot()) == before


@pytest.mark.parametrize("seed", [*range(25), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(25, 600))])
def test_pairs_of_faults(seed: int) -> None:
    rng = random.Random(seed)
    shape = rng.choice(list(SHAPES))
    kinds = rng.sample(sorted(KINDS), 2)
    print(f"seed {seed}: {shape} {kinds}")
    image = Ext2Image(populated(shape)[0])
    touched: set[bytes] = set()
    for kind in kinds:
        touched |= KINDS[kind](image, rng)
    try:
        judged(image.data, str(kinds))
    except subprocess.TimeoutExpired:
        return
    repaired(image.data, str(kinds))


def mutate(image: Ext2Image, rng: random.Random) -> None:
    """Rubbish in the metadata, and a little anywhere; the superblock is mostly spared."""
    size = image.block_size
    metadata = [image.descriptor(0)] * 2
    numbers = [image.number(path) for path in image.contents()]
    metadata += [image.inode_offset(number) for number in numbers]
    directories = [number for number in numbers if image.field(number, "i_mode") & 0o170000 == 0o040000]
    metadata += [block * size for number in directories for block in image.blocks(number)]
    metadata += [image.pointer(image.number(path), 12) * size for path in (b"/big", b"/a/big")]
    for _ in range(rng.choice([1, 3, 20])):
        start = (
            rng.choice(metadata) + rng.randrange(128) if rng.random() < 0.9 else rng.randrange(2048, len(image.data))
        )
        width = rng.choice([1, 2, 4])
        image.data[start : start + width] = rng.choice([rng.randbytes(width), bytes(width), b"\xff" * width])
    if rng.random() < 0.05:
        image.data[1024 + rng.randrange(104)] = rng.randrange(256)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "block", [*range(4), *(pytest.param(block, marks=pytest.mark.long) for block in range(4, 150))]
)
def test_rubbish_neither_crashes_nor_stays(block: int) -> None:
    base = int(os.environ.get("MINIXFS_TEST_SEED", "0"))
    for seed in range(base + 10 * block, base + 10 * block + 10):
        rng = random.Random(seed)
        shape = rng.choice(list(SHAPES))
        print(f"seed {seed}: {shape}")
        image = Ext2Image(populated(shape)[0])
        mutate(image, rng)
        try:
            judged(image.data, f"seed {seed}")
            repaired(image.data, f"seed {seed}")
        except (BadSuperblock, Unsupported, subprocess.TimeoutExpired):
            continue


def test_a_damaged_superblock_is_replaced_by_its_copy(tmp_path: Path) -> None:
    data, before = populated("1K-groups")
    image = Ext2Image(data)
    image.write(1024, bytes(1024))
    image.write(2048, bytes(1024))
    image.write(1024 + 56, b"\x53\xef")
    image.write(1024 + 32, (1024).to_bytes(4, "little"))
    _, after = repaired(image.data, "superblock")
    assert after.contents() == before
