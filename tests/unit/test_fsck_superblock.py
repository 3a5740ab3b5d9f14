"""A damaged superblock is derived where the volume says what it must be, and refused where a guess could hurt."""

from __future__ import annotations

import random

import pytest

from minixfs.errors import BadSuperblock, Unsupported
from minixfs.fsck.mfs import check
from minixfs.fsck.mfs.context import Kind
from minixfs.fsck.report import REPAIR, REPORT, Policy, Report
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from minixfs.mkfs.mfs import Options
from tests.support.damage import KINDS, SUPERBLOCK_KINDS, Map
from tests.support.damage.superblock import put_field
from tests.support.mfs_image import Image, populated

V3 = Options(block_size=1024, inodes=400)
SIZE = 400 << 10


def repaired(data: bytes | bytearray, policy: Policy = REPAIR) -> tuple[Report, bytes]:
    disk = RamDisk(data)
    return run(check(disk, policy)), disk.snapshot()


@pytest.mark.parametrize(
    ("block_size", "zone_shift"), [(1024, 0), (1024, 2), (1536, 0), (4096, 0), (4096, 1), (32768, 0)]
)
def test_a_wiped_superblock_is_derived_for_every_block_and_zone_size(block_size: int, zone_shift: int) -> None:
    options = Options(inodes=200, block_size=block_size, zone_shift=zone_shift)
    image = populated(options, size=200 * block_size << zone_shift)
    should = image.superblock
    image.data[1024:2048] = bytes(1024)
    report, after = repaired(image.data)
    assert report.kinds[Kind.SUPERBLOCK]
    now = Image(bytearray(after)).superblock
    assert (now.block_size, now.zone_shift, now.zones) == (block_size, zone_shift, should.zones)
    assert now.inodes >= should.inodes
    assert Image(bytearray(after)).contents() == image.contents()


def test_a_whole_new_superblock_says_what_it_changes_and_asks_once() -> None:
    image = populated(V3, size=SIZE)
    put_field(image, "s_imap_blocks", 9)
    put_field(image, "s_zones", 77)
    asked: list[str] = []
    run(check(RamDisk(image.data), Policy(write=True, ask=lambda finding: not asked.append(finding.message))))
    assert asked[0] == "superblock: blocks of the inode map 9, should be 1; number of zones 77, should be 400"
    assert len(asked) == 1


@pytest.mark.parametrize("kind", sorted(SUPERBLOCK_KINDS))
def test_declined_repairs_of_the_superblock_leave_it_as_it_is(kind: str) -> None:
    image = populated(V3, size=SIZE)
    rng = random.Random(3)
    KINDS[kind](image, Map(image, rng), rng)
    try:
        report, after = repaired(image.data, Policy(write=True, ask=lambda finding: False))
    except (BadSuperblock, Unsupported):
        return
    assert report.left > 0
    assert after[2048:] == image.data[2048:]


def test_a_volume_smaller_than_its_device_is_in_order() -> None:
    image = populated(V3, size=SIZE)
    report, _ = repaired(image.data + bytes(100 << 10), REPORT)
    assert not report.findings


def test_other_contents_are_never_taken_for_a_volume_without_a_magic_number() -> None:
    """A MINIX volume was here; now another superblock is, and most of the old metadata is still there."""
    image = populated(V3, size=SIZE)
    image.data[1024:2048] = random.Random(7).randbytes(1024)
    with pytest.raises(BadSuperblock, match="no MINIX file system"):
        repaired(image.data)


def test_unknown_mandatory_features_are_no_damage() -> None:
    image = populated(V3, size=SIZE)
    put_field(image, "s_flags", 0x4000)
    with pytest.raises(Unsupported, match="feature"):
        repaired(image.data)


def test_what_was_cut_off_is_given_up_when_nobody_needs_it() -> None:
    image = populated(V3, size=SIZE)
    used = max(bit for bit in range(image.superblock.zone_bits) if image.bit("zone", bit))
    report, after = repaired(image.data[: (used + image.superblock.first_data_zone) << 10])
    assert report.kinds == {Kind.SUPERBLOCK: 1}
    assert Image(bytearray(after)).contents() == image.contents()
