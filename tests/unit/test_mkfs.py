"""Making MFS volumes: the figures of the specification (7.1, 1.11), what is refused, and what reference tools say."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from minixfs.errors import DeviceError, ReadOnly, UsageError
from minixfs.fs.mfs.layout import VARIANTS
from minixfs.fs.mfs.superblock import Superblock, blocks_for
from minixfs.fsck.mfs import check
from minixfs.hw.blockdev.device import Data
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from minixfs.mkfs.mfs import Options, choose_variant, default_inodes, make, plan
from tests.support.mfs_image import Image

VARIANT = {variant.name: variant for variant in VARIANTS}
FSCK_MINIX = shutil.which("fsck.minix") or shutil.which("fsck.minix", path="/usr/sbin:/sbin")
FOUR_MIB = 4 << 20


def made(options: Options, size: int = FOUR_MIB) -> tuple[RamDisk, Superblock]:
    disk = RamDisk(size)
    return disk, run(make(disk, options))


@pytest.mark.parametrize(
    ("name", "inodes", "zones", "first_data_zone", "max_size"),
    [
        ("V3", 2048, 1024, 36, 0x7FFFFFFF),
        ("V2", 2048, 4096, 132, 67378176),
        ("V2L", 2048, 4096, 132, 67378176),
        ("V1", 2048, 4096, 68, 268966912),
        ("V1L", 2048, 4096, 68, 268966912),
        ("hybrid", 2048, 4096, 132, 67378176),
    ],
)
def test_fs_60_figures_of_a_4_mib_volume(
    name: str, inodes: int, zones: int, first_data_zone: int, max_size: int
) -> None:
    _, superblock = made(Options(variant=VARIANT[name]))
    assert superblock.inodes == inodes
    assert superblock.zones == zones
    assert (superblock.imap_blocks, superblock.zmap_blocks) == (1, 1)
    assert superblock.stored_first_data_zone == first_data_zone
    assert superblock.max_size == max_size
    assert superblock.clean


COMBINATIONS = list(itertools.product(VARIANT, (None, 63, 2000), (None, 1000), (0, 1, 3)))


@pytest.mark.parametrize(("name", "inodes", "blocks", "shift"), COMBINATIONS)
def test_fs_60_every_variant_and_option_follows_the_layout_rules(
    name: str, inodes: int | None, blocks: int | None, shift: int
) -> None:
    options = Options(variant=VARIANT[name], inodes=inodes, blocks=blocks, zone_shift=shift, block_size=None)
    disk, superblock = made(options, size=8 << 20)
    size = superblock.block_size
    total = blocks or disk.size // size
    kilobytes = total * size // 1024
    assert superblock.inodes == (
        inodes or blocks_for(kilobytes // 2, superblock.inodes_per_block) * superblock.inodes_per_block
    )
    assert superblock.zones == total >> shift
    assert superblock.imap_blocks == blocks_for(1 + superblock.inodes, 8 * size)
    assert superblock.zmap_blocks == blocks_for(superblock.zones, 8 * size)
    assert superblock.stored_first_data_zone == superblock.computed_first_data_zone
    superblock.validate(disk.size, read_only=False)
    assert Superblock.parse(disk.snapshot()[1024:2048]) == superblock
    assert not run(check(disk, padding=True)).findings


def test_fs_60_v1_with_more_than_65535_zones_is_refused() -> None:
    with pytest.raises(UsageError, match="65535") as raised:
        plan(65536 * 1024, Options(variant=VARIANT["V1"]))
    assert raised.value.exit_code == 16
    assert plan(65536 * 1024, Options(variant=VARIANT["V1"], blocks=65535)).zones == 65535
    assert plan(65536 * 1024, Options(variant=VARIANT["V1"], zone_shift=1)).zones == 32768


@pytest.mark.parametrize(
    ("kilobytes", "ratio"),
    [(4096, 2), (10**5 - 4, 2), (10**5, 4), (10**6, 6), (10**7, 8), (10**8, 10), (10**9, 12)],
)
def test_default_inode_counts(kilobytes: int, ratio: int) -> None:
    found = default_inodes(VARIANT["V3"], kilobytes // 4, 4096)
    assert found == blocks_for(kilobytes // ratio, 64) * 64


@pytest.mark.parametrize("name", ["V1", "V1L", "V2", "V2L"])
def test_16_bit_inode_counts_are_capped(name: str) -> None:
    assert default_inodes(VARIANT[name], 1 << 20, 1024) == 65535


def test_first_data_zone_that_does_not_fit_is_stored_as_zero() -> None:
    superblock = plan(200 << 30, Options())
    assert superblock.stored_first_data_zone == 0
    assert superblock.first_data_zone > 0xFFFF


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(blocks=4), "too few"),
        (Options(blocks=1025), "do not fit"),
        (Options(inodes=0), "holds 1 to"),
        (Options(inodes=66000), "no room for data"),
        (Options(variant=VARIANT["V2"], inodes=65536), "holds 1 to 65535"),
        (Options(block_size=1000), "not a multiple"),
        (Options(block_size=512), "not a multiple"),
        (Options(block_size=65536), "not a multiple"),
        (Options(variant=VARIANT["V1"], block_size=2048), "always have 1024"),
        (Options(zone_shift=5), "zone shift"),
        (Options(big_endian=True), "no big-endian form"),
        (Options(variant=VARIANT["V1"], root_gid=256), "group id"),
        (Options(root_uid=65536), "user id"),
        (Options(root_mode=0o10000), "file mode"),
    ],
)
def test_impossible_wishes_are_refused_before_anything_is_written(options: Options, message: str) -> None:
    disk = RamDisk(b"\xaa" * FOUR_MIB)
    with pytest.raises(UsageError, match=message) as raised:
        run(make(disk, options))
    assert raised.value.exit_code == 16
    assert disk.snapshot() == b"\xaa" * FOUR_MIB


@pytest.mark.parametrize(
    ("version", "length", "hybrid", "name"),
    [
        (None, None, False, "V3"),
        (1, None, False, "V1L"),
        (1, 14, False, "V1"),
        (2, 30, False, "V2L"),
        (2, 14, False, "V2"),
        (3, 60, False, "V3"),
        (None, None, True, "hybrid"),
        (2, 60, True, "hybrid"),
    ],
)
def test_variants_by_version_and_name_length(version: int | None, length: int | None, hybrid: bool, name: str) -> None:
    assert choose_variant(version, length, hybrid).name == name


@pytest.mark.parametrize(
    ("version", "length", "hybrid"), [(4, None, False), (3, 30, False), (1, 60, False), (3, None, True), (2, 14, True)]
)
def test_unknown_variants_are_refused(version: int, length: int | None, hybrid: bool) -> None:
    with pytest.raises(UsageError):
        choose_variant(version, length, hybrid)


@pytest.mark.parametrize("name", VARIANT)
@pytest.mark.parametrize("big_endian", [False, True])
def test_root_directory_and_clean_metadata_on_a_used_disk(name: str, big_endian: bool) -> None:
    variant = VARIANT[name]
    if big_endian and not variant.swappable:
        return
    disk = RamDisk(np.random.default_rng(1).bytes(FOUR_MIB))
    before = disk.snapshot()
    options = Options(variant, big_endian=big_endian, root_mode=0o1777, root_uid=7, root_gid=8, mtime=1234567)
    superblock = run(make(disk, options))
    after = disk.snapshot()
    assert after[:1024] == bytes(1024)
    data = (superblock.first_data_zone + 1) * superblock.zone_size
    assert after[data:] == before[data:]
    assert not run(check(disk)).findings
    image = Image(bytearray(after))
    root = image.inode(1)
    assert root.fields["i_mode"] == 0o041777
    assert (root.fields["i_uid"], root.fields["i_gid"], root.fields["i_nlinks"]) == (7, 8, 2)
    assert root.fields["i_mtime"] == 1234567
    assert [(number, text) for _, number, text in image.slots(root)] == [(1, b"."), (1, b"..")]


@pytest.mark.parametrize("padding", [True, False])
def test_bitmap_padding_in_either_personality(padding: bool) -> None:
    disk, _ = made(Options(padding=padding, inodes=20000), size=64 << 20)
    assert not run(check(disk, padding=padding)).findings
    assert run(check(disk, padding=not padding)).kinds == {"padding": 2}


@pytest.mark.parametrize("block_size", [1024, 1536, 2048, 4096, 8192, 61440, 65024])
def test_block_sizes(block_size: int) -> None:
    disk, superblock = made(Options(block_size=block_size))
    assert superblock.block_size == block_size
    assert not run(check(disk)).findings


def test_devices_with_large_sectors() -> None:
    disk = RamDisk(FOUR_MIB, sector_size=4096)
    run(make(disk, Options()))
    assert not run(check(disk)).findings
    with pytest.raises(UsageError, match="sectors"):
        run(make(disk, Options(block_size=1024)))


def test_read_only_device_is_refused() -> None:
    disk = RamDisk(FOUR_MIB)
    disk.read_only = True
    with pytest.raises(ReadOnly):
        run(make(disk, Options()))


class _Breaking(RamDisk):
    """Fails at the write number `left`."""

    left = 0

    async def write(self, offset: int, buffers: list[Data]) -> int:  # type: ignore[override]
        if self.left == 0:
            raise DeviceError()
        self.left -= 1
        return await super().write(offset, buffers)


def test_interrupted_mkfs_leaves_no_file_system() -> None:
    disk, _ = made(Options(variant=VARIANT["V1"]))
    old = disk.snapshot()
    for writes in itertools.count(1):
        breaking = _Breaking(old)
        breaking.left = writes
        try:
            run(make(breaking, Options()))
        except DeviceError:
            assert breaking.snapshot()[:2048] == bytes(2048)
        else:
            assert writes > 3
            break


@pytest.mark.skipif(FSCK_MINIX is None, reason="fsck.minix is not installed")
@pytest.mark.parametrize("padding", [True, False])
@pytest.mark.parametrize("name", ["V1", "V1L", "V2", "V2L", "V3"])
def test_fsck_minix_finds_our_volumes_clean(name: str, padding: bool, tmp_path: Path) -> None:
    assert FSCK_MINIX
    disk, _ = made(Options(variant=VARIANT[name], block_size=1024, padding=padding))
    path = tmp_path / "image"
    path.write_bytes(disk.snapshot())
    done = subprocess.run([FSCK_MINIX, "-f", str(path)], capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
