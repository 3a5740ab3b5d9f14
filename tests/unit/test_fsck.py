"""The MFS checker: what it tolerates, where lost things go, questions, limits, interrupted repairs, the clean mark."""

from __future__ import annotations

import random
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from minixfs.errors import BadSuperblock, ReadOnly, Unsupported
from minixfs.fs.mfs.bitorder import BitOrder, from_bits, to_bits
from minixfs.fs.mfs.layout import VARIANTS
from minixfs.fsck.blocks import Progress
from minixfs.fsck.mfs import check, is_clean
from minixfs.fsck.mfs.context import Kind
from minixfs.fsck.report import REPAIR, REPORT, Finding, Policy, Report
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from minixfs.mkfs.mfs import Options
from tests.support.damage import KINDS, SUPERBLOCK_KINDS, Map
from tests.support.mfs_image import Image, Inode, populated

VARIANT = {variant.name: variant for variant in VARIANTS}
MKFS_MINIX = shutil.which("mkfs.minix") or shutil.which("mkfs.minix", path="/usr/sbin:/sbin")
V3 = Options(block_size=1024, inodes=400)


def image(options: Options = V3) -> Image:
    return populated(options, size=400 << 10)


def checked(target: Image, policy: Policy = REPORT, padding: bool | None = None) -> tuple[Report, Image]:
    disk = RamDisk(target.data)
    report = run(check(disk, policy, padding=padding))
    return report, Image(bytearray(disk.snapshot()), target.order)


def fill(target: Image, inode: Inode, *, indirect: int, first: int = 0) -> None:
    """Give a file all free zones, from its zone `first` on; so many of them become indirect ones."""
    zones = range(target.superblock.zone_bits)
    free = sum(not target.bit("zone", number) for number in zones)
    target.write(inode, b"x" * target.superblock.zone_size * (free - indirect), first)
    assert all(target.bit("zone", number) for number in zones)


def damaged(kind: str, seed: int = 0) -> Image:
    target = image()
    rng = random.Random(seed)
    KINDS[kind](target, Map(target, rng), rng)
    return target


# ---- what is fine -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIANT)
@pytest.mark.parametrize("zone_shift", [0, 1, 4])
@pytest.mark.parametrize("order", BitOrder)
def test_sound_volume_of_every_variant_order_and_zone_size(name: str, zone_shift: int, order: BitOrder) -> None:
    variant = VARIANT[name]
    big_endian = order is not BitOrder.LE
    if big_endian and not variant.swappable:
        return
    options = Options(variant, inodes=400, zone_shift=zone_shift, big_endian=big_endian)
    block_size = 4096 if variant.version == 3 else 1024
    target = populated(options, size=400 * block_size << zone_shift)
    if order is BitOrder.BE32:
        start, end = target.map_offset("inode"), target.superblock.inode_table_block * block_size
        data = bytes(target.data[start:end])
        bits = to_bits(data, BitOrder.BE16, 8 * len(data))
        target.data[start:end] = from_bits(bits, BitOrder.BE32, len(data), padding=True)
    assert not checked(target)[0].findings


@pytest.mark.skipif(MKFS_MINIX is None, reason="mkfs.minix is not installed")
@pytest.mark.parametrize("arguments", ["-1", "-1 -n14", "-2", "-2 -n14", "-3", "-1 -i100", "-3 -i7777"])
def test_volumes_of_mkfs_minix_are_clean(arguments: str, tmp_path: Path) -> None:
    assert MKFS_MINIX
    path = tmp_path / "image"
    path.write_bytes(bytes(5000 << 10))
    command = [MKFS_MINIX, *arguments.split(), str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert not checked(Image(bytearray(path.read_bytes())))[0].findings


def test_bad_blocks_inode_of_linux_is_accepted() -> None:
    """mkfs.minix -l keeps bad blocks in inode 2, here without a name."""
    target = image()
    moved = target.inode(2)
    at, number = next((at, n) for at, n, _ in target.slots(target.inode(1)) if n == 2)
    new = target.create(moved.fields["i_mode"])
    new.fields, new.zones = moved.fields, moved.zones
    target.put_inode(new)
    target.put_slot(at, new.number, b"a")
    slots = list(target.slots(new))
    target.put_slot(slots[0][0], new.number, b".")
    for offset, child, name in slots[2:]:
        if target.inode(child).type == stat.S_IFDIR:
            _, (parent, _, _), *_ = target.slots(target.inode(child))
            target.put_slot(parent, new.number, b"..")
        assert offset
        assert name
    bad = target.inode(2)
    bad.fields = dict.fromkeys(bad.fields, 0) | {"i_mode": stat.S_IFREG, "i_nlinks": 1}
    bad.zones = [0] * len(bad.zones)
    target.write(bad, b"?" * 9000)
    assert number == 2
    assert not checked(target)[0].findings


def test_junk_behind_names_and_deleted_entries_is_tolerated() -> None:
    target = image()
    slots = list(target.slots(target.inode(1)))
    at, number, name = slots[2]
    target.put_slot(at, number, name + b"\0junk/junk")
    gone = slots[-1]
    target.put_slot(gone[0], 0, b"/gone")
    inode = target.inode(gone[1])
    target.set_bit("inode", inode.number, False)
    inode.fields = dict.fromkeys(inode.fields, 0)
    inode.zones = [5] * len(inode.zones)
    target.put_inode(inode)
    assert not checked(target)[0].findings


def test_padding_is_only_touched_on_request() -> None:
    target = image(Options(block_size=1024, inodes=400, padding=False))
    assert not checked(target)[0].findings
    report, after = checked(target, REPAIR, padding=True)
    assert report.kinds == {"padding": 2}
    assert not checked(after, padding=True)[0].findings


def test_triple_indirect_blocks_are_followed() -> None:
    target = image()
    target.superblock.max_size = 0x7FFFFFFF
    target.store_superblock()
    inode = target.inode(target.entry(b"/holes")[1])
    target.write(inode, b"far", first=7 + 256 + 65536 + 70000)
    assert inode.zones[9]
    assert not checked(target)[0].findings
    last = target.place(7 + 256 + 65536 + 70000)
    zone = inode.zones[9]
    for position in last[1:-1]:
        zone = target.pointer(zone, position)
    target.pointer(zone, last[-1], 1)
    assert checked(target)[0].kinds == {Kind.BAD_ZONE: 1, Kind.ZONE_MAP: 1}


# ---- directories with holes -------------------------------------------------------------------------------


def with_a_hole_for_an_indirect_zone() -> tuple[Image, set[bytes]]:
    """A volume with a directory whose map goes on behind an indirect zone that is missing; and its names."""
    target = image()
    home = target.mkdir(target.inode(1), b"home")
    per_zone = target.superblock.zone_size // target.superblock.dirent_record.size
    names = {b"f%d" % number for number in range(7 * per_zone - 2)}
    for name in sorted(names):
        target.link(home, target.create(stat.S_IFREG | 0o644).number, name)
    late = target.create(stat.S_IFREG | 0o644, b"late").number
    index = 7 + target.superblock.pointers_per_block + 5
    zone = target.map_zone(home, index)
    target.put_slot(zone * target.superblock.zone_size, late, b"late")
    target.put_slot(zone * target.superblock.zone_size + 64, home.number, b"again")
    home.fields["i_size"] = (index + 1) * target.superblock.zone_size
    target.put_inode(home)
    return target, names | {b"late"}


def names_in(target: Image, directory: bytes) -> set[bytes]:
    below = directory + b"/"
    return {path.removeprefix(below) for path in target.contents() if path.startswith(below)}


def test_zones_behind_a_hole_in_a_directory_move_forward() -> None:
    target, names = with_a_hole_for_an_indirect_zone()
    report, after = checked(target, REPAIR)
    assert report.kinds[Kind.DIRECTORY_HOLE] == 1
    assert names_in(after, b"/home") == names
    assert not checked(after)[0].findings


def test_a_hole_in_a_directory_stays_while_there_is_no_room_to_close_it() -> None:
    target, names = with_a_hole_for_an_indirect_zone()
    filler = target.create(stat.S_IFREG | 0o644)
    at = target.inode(1).fields["i_size"]
    target.link(target.inode(1), filler.number, b"filler")
    fill(target, filler, indirect=1)
    report, after = checked(target, REPAIR)
    assert [finding.kind for finding in report.findings if not finding.fixed] == [Kind.DIRECTORY_HOLE]
    assert "no room" in next(finding.message for finding in report.findings if not finding.fixed)
    assert not report.is_clean
    zone = after.zone_at(after.inode(1), at // after.superblock.zone_size)
    after.put_slot(zone * after.superblock.zone_size + at % after.superblock.zone_size, 0, b"")
    inode = after.inode(filler.number)
    inode.fields["i_nlinks"] = 0
    after.put_inode(inode)
    _, freed = checked(after, REPAIR)
    assert names_in(freed, b"/home") == names
    assert not checked(freed)[0].findings


def test_a_hole_in_a_directory_that_is_to_stay_does_not_harm_what_is_behind_it() -> None:
    target, names = with_a_hole_for_an_indirect_zone()
    report, after = checked(target, Policy(write=True, ask=lambda finding: finding.kind != Kind.DIRECTORY_HOLE))
    assert report.kinds[Kind.DIRECTORY_LINK] == 1  # the second name, which is behind the hole, went
    report, after = checked(after, REPAIR)
    assert Kind.DIRECTORY_LINK not in report.kinds
    assert names_in(after, b"/home") == names


# ---- lost and found ---------------------------------------------------------------------------------------


def test_directory_without_a_name_comes_back_whole_in_lost_and_found() -> None:
    target = image()
    before = target.contents()
    at, number = target.entry(b"/b/deep")
    target.put_slot(at, 0, b"")
    report, after = checked(target, REPAIR)
    assert Kind.ORPHAN in report.kinds
    now = after.contents()
    found = b"/lost+found/#%d" % number
    below = {path: value for path, value in before.items() if path.startswith(b"/b/deep/")}
    assert below
    for path, value in below.items():
        assert now[path.replace(b"/b/deep", found)] == value


def test_file_without_a_name_is_kept_if_it_has_data_and_freed_if_not() -> None:
    target = image()
    content = target.contents()[b"/a/big"]
    at, number = target.entry(b"/a/big")
    target.put_slot(at, 0, b"")
    target.put_slot(target.entry(b"/a/none")[0], 0, b"")
    _, after = checked(target, REPAIR)
    now = after.contents()
    assert {path for path in now if path.startswith(b"/lost+found/")} == {b"/lost+found/#%d" % number}
    assert now[b"/lost+found/#%d" % number] == content


def test_file_that_was_being_deleted_is_freed() -> None:
    target = image()
    at, number = target.entry(b"/a/big")
    target.put_slot(at, 0, b"")
    inode = target.inode(number)
    inode.fields["i_nlinks"] = 0
    target.put_inode(inode)
    _, after = checked(target, REPAIR)
    assert b"/lost+found" not in after.contents()
    assert not after.bit("inode", number)


def test_existing_lost_and_found_is_used_and_names_there_are_kept() -> None:
    target = image()
    at, number = target.entry(b"/a/big")
    home = target.mkdir(target.inode(1), b"lost+found")
    taken = target.create(stat.S_IFREG | 0o644, b"mine")
    target.link(home, taken.number, b"#%d" % number)
    target.put_slot(at, 0, b"")
    _, after = checked(target, REPAIR)
    names = {path for path in after.contents() if path.startswith(b"/lost+found/")}
    assert names == {b"/lost+found/#%d" % number, b"/lost+found/#%d_" % number}


def test_lost_and_found_may_take_the_inode_of_a_directory_just_given_up() -> None:
    target = image()
    at, freed = target.entry(b"/b/deep/empty")
    target.put_slot(at, 0, b"")
    inode = target.inode(freed)
    inode.fields["i_nlinks"] = 0
    target.put_inode(inode)
    at, number = target.entry(b"/a/big")
    target.put_slot(at, 0, b"")
    report, after = checked(target, REPAIR)
    assert report.left == 0
    assert after.entry(b"/lost+found")[1] == freed
    assert b"/lost+found/#%d" % number in after.contents()
    assert not checked(after)[0].findings


def test_without_a_free_inode_lost_things_go_to_the_root() -> None:
    target = image()
    at, number = target.entry(b"/a/big")
    target.put_slot(at, 0, b"")
    root = target.inode(1)
    for index in range(400 - sum(target.bit("inode", n) for n in range(1, 401))):
        target.link(root, target.create(stat.S_IFREG | 0o644).number, b"filler%d" % index)
    report, after = checked(target, REPAIR)
    assert report.left == 0
    assert b"/#%d" % number in after.contents()


def test_with_no_room_at_all_the_fault_is_left_and_nothing_is_thrown_away() -> None:
    target = image()
    at, number = target.entry(b"/a/big")
    target.put_slot(at, 0, b"")
    root, none = target.inode(1), target.inode(target.entry(b"/a/none")[1])
    while root.fields["i_size"] % target.superblock.zone_size:
        target.link(root, none.number, b"filler%d" % none.fields["i_nlinks"])
        none.fields["i_nlinks"] += 1
    target.put_inode(none)
    big = target.inode(target.entry(b"/b/big")[1])
    fill(target, big, first=10, indirect=2)
    report, after = checked(target, REPAIR)
    assert report.kinds == {Kind.ORPHAN: 1}
    assert "no room" in report.findings[0].message
    assert (report.left, report.exit_code, report.is_clean) == (1, 4, False)
    assert after.inode(number) == target.inode(number)
    assert checked(after)[0].kinds == {Kind.ORPHAN: 1}


# ---- policies ---------------------------------------------------------------------------------------------


def test_report_changes_nothing() -> None:
    target = damaged("zone_in_two_files")
    report, after = checked(target)
    assert report.exit_code == 4
    assert after.data == target.data
    assert all(not finding.fixed for finding in report.findings)


def test_messages_are_one_line_and_name_path_and_inode() -> None:
    target = image()
    at, number = target.entry(b"/a/deep/small1")
    target.put_slot(at, number, b"new\nline\xff")
    inode = target.inode(number)
    inode.zones[0] = 1
    target.put_inode(inode)
    report, _ = checked(target)
    finding = next(finding for finding in report.findings if finding.kind == Kind.BAD_ZONE)
    assert (finding.inode, finding.zone, finding.path) == (number, 1, b"/a/deep/new\nline\xff")
    assert finding.message.startswith(f"/a/deep/new\\nline\\xff (inode {number}): ")
    assert finding.to_dict()["path"] == "/a/deep/new\\nline\\xff"


USABLE_KINDS = sorted(set(KINDS) - SUPERBLOCK_KINDS)
"""What leaves a superblock to go by when its repair is declined."""


@pytest.mark.parametrize("kind", USABLE_KINDS)
def test_declined_repairs_are_asked_once_and_change_nothing(kind: str) -> None:
    asked: list[str] = []

    def no(finding: Finding) -> bool:
        asked.append(finding.message)
        return False

    target = damaged(kind)
    report, after = checked(target, Policy(write=True, ask=no))
    assert asked
    assert len(asked) == len(set(asked))
    assert report.left == len(asked)
    assert not report.is_clean
    assert after.data[2048:] == target.data[2048:]
    assert not after.superblock.clean


@pytest.mark.parametrize("kind", USABLE_KINDS)
def test_answers_at_random_never_crash_and_a_later_repair_is_complete(kind: str) -> None:
    for seed in range(2):
        rng = random.Random(seed)
        target = damaged(kind, seed)
        _, after = checked(target, Policy(write=True, ask=lambda finding: rng.random() < 0.5))  # noqa: B023
        report, after = checked(after, REPAIR)
        assert report.left == 0
        assert not checked(after)[0].findings


# ---- limits and ends --------------------------------------------------------------------------------------


def test_volume_that_needs_too_much_memory_is_refused() -> None:
    with pytest.raises(Unsupported, match="memory"):
        run(check(RamDisk(image().data), memory_limit=5000))


def test_volume_that_was_cut_off_is_refused_with_advice() -> None:
    disk = RamDisk(image().data[: 90 << 10])
    with pytest.raises(BadSuperblock, match=f"truncate -s {400 << 10} "):
        run(check(disk, REPAIR))
    assert disk.snapshot() == image().data[: 90 << 10]


def test_no_volume_at_all_is_refused() -> None:
    for data in (b"", bytes(1000), bytes(1 << 20)):
        with pytest.raises(BadSuperblock):
            run(check(RamDisk(data)))


def test_read_only_device_is_refused_for_repairs_only() -> None:
    disk = RamDisk(image().data)
    disk.read_only = True
    run(check(disk))
    with pytest.raises(ReadOnly):
        run(check(disk, REPAIR))


def test_tick_may_stop_the_check_before_anything_is_written() -> None:
    target = damaged("maps_wiped")
    stages: list[str] = []
    disk = RamDisk(target.data)
    run(check(disk, REPAIR, tick=lambda progress: stages.append(progress.stage)))
    assert stages[-1] == "writing"
    assert len(set(stages)) == 6

    def stop(progress: Progress) -> None:
        if progress.stage == "writing":
            raise KeyboardInterrupt

    disk = RamDisk(target.data)
    with pytest.raises(KeyboardInterrupt):
        run(check(disk, REPAIR, tick=stop))
    assert disk.snapshot() == target.data


@pytest.mark.parametrize("name", ["V1", "V2L", "V3", "hybrid"])
def test_clean_mark_is_set_by_a_repair_and_the_tail_of_the_superblock_is_kept(name: str) -> None:
    target = image(Options(VARIANT[name], inodes=400, block_size=1024))
    target.superblock.mark(clean=False)
    if target.superblock.variant.has_state:
        target.superblock.state |= 2
    target.store_superblock()
    target.data[1024 + 500 : 1024 + 510] = b"boot notes"
    assert not run(is_clean(RamDisk(target.data)))
    report, after = checked(target, REPAIR)
    assert (report.exit_code, report.was_clean, report.is_clean) == (0, False, True)
    assert after.superblock.clean
    assert after.data[1024 + 500 : 1024 + 510] == b"boot notes"
