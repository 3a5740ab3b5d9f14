"""The maker of ext2 volumes: where things go, what does not fit, and the same bytes every time."""

from __future__ import annotations

import errno
import json
import os
import random
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minixfs.errors import BadSuperblock, UsageError
from minixfs.fs.ext2 import layout, xattr
from minixfs.fs.ext2.superblock import Superblock
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from minixfs.mkfs.ext2 import Plan, fitted, limits_for, make, plan
from minixfs.mkfs.ext2_geometry import Options, chosen_features, geometry, group_shape
from minixfs.mkfs.ext2_placement import Placement
from minixfs.mkfs.mapping import Mapping
from minixfs.mkfs.populate import gather
from minixfs.trees import host, tar
from minixfs.trees.entry import Entry
from minixfs.trees.untar import TarSource
from tests.support.command import command

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
NOW = 1_600_000_000
SECOND = 10**9


def file(path: bytes, data: bytes = b"", **fields: Any) -> Entry:
    entry = Entry(path, stat.S_IFREG | 0o644, mtime=NOW * SECOND, atime=NOW * SECOND, ctime=NOW * SECOND, **fields)
    if data:
        entry.size, entry.content = len(data), lambda: iter([(0, data)])
    return entry


def directory(path: bytes) -> Entry:
    return Entry(path, stat.S_IFDIR | 0o755, mtime=NOW * SECOND, atime=NOW * SECOND, ctime=NOW * SECOND)


def planned(entries: list[Entry], size: int = 8 * MIB, **options: Any) -> Plan:
    wishes = Options(time=NOW, **options)
    return plan(size, wishes, gather([directory(b""), *entries], limits_for(wishes)))


def made(found: Plan, size: int = 8 * MIB) -> RamDisk:
    disk = RamDisk(size)
    run(make(disk, found))
    return disk


# ---- geometry ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "block_size", "blocks", "inodes", "growth"),
    [
        (200 * KIB, 1024, 200, 24, 0),
        (1440 * KIB, 1024, 1440, 176, 5),
        (3 * MIB, 1024, 3072, 768, 11),
        (8 * MIB + 64 * KIB, 1024, 8193, 2064, 32),  # what is left over is too small for a group
        (64 * MIB, 1024, 65536, 16384, 255),
        (511 * MIB, 1024, 523264, 130560, 256),
        (512 * MIB, 4096, 131072, 32768, 31),
        (5000 * GIB, 4096, 1310720000, 163840000, 711),
    ],
)
def test_usual_shape(size: int, block_size: int, blocks: int, inodes: int, growth: int) -> None:
    found = geometry(size, Options())
    assert (found.block_size, found.blocks, found.inodes) == (block_size, blocks, inodes)
    assert found.reserved_gdt_blocks == growth
    found.validate(size, read_only=False)


def test_a_volume_too_small_for_anything_is_refused() -> None:
    for size in (0, 1024, 40 * KIB):
        with pytest.raises(UsageError, match="too few"):
            geometry(size, Options())
    assert geometry(100 * KIB, Options()).inodes == 16  # where mke2fs makes 8, and then has none for lost+found


def test_features() -> None:
    assert "dir_index" not in chosen_features("^dir_index")
    assert chosen_features("none,filetype") == {"filetype"}
    assert chosen_features("", revision=0) == frozenset()
    for words, revision in (("extents", 1), ("^sparse_super", 1), ("filetype", 0), ("^", 1)):
        with pytest.raises(UsageError):
            chosen_features(words, revision)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"block_size": 3000}, "block size 3000"),
        ({"inode_size": 512}, "inode size 512"),
        ({"revision": 0, "inode_size": 256, "features": frozenset()}, "128 bytes"),
        ({"revision": 2}, "revision 2"),
        ({"reserve": 51}, "51%"),
        ({"label": b"x" * 17}, "17 bytes"),
        ({"bytes_per_inode": 512}, "every 512 bytes"),
        ({"inodes": 10**9}, "too many"),
        ({"time": 1 << 32}, "1970 to 2106"),
    ],
)
def test_wishes_that_cannot_be(wish: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        geometry(8 * MIB, Options(**wish))


# ---- placement -----------------------------------------------------------------------------------------------------


def test_blocks_are_handed_out_once_and_all_of_them() -> None:
    superblock = geometry(40 * MIB, Options())
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    placement = Placement(superblock)
    seen: set[int] = set()
    while placement.free_blocks:
        count = min(rng.choice((1, 2, 30, 900, 9000)), placement.free_blocks)
        runs = placement.take_blocks(rng.randrange(superblock.groups), count)
        blocks = [block for first, length in runs for block in range(first, first + length)]
        assert len(blocks) == count, seed
        assert seen.isdisjoint(blocks), seed
        seen.update(blocks)
    for number in range(superblock.groups):
        assert group_shape(superblock, number)[3] - 1 not in seen
    assert len(seen) == superblock.free_blocks


def test_top_directories_spread_and_files_stay_with_them() -> None:
    names = [b"%d" % number for number in range(8)]
    entries = [directory(name) for name in names]
    entries += [directory(name + b"/below") for name in names]
    entries += [file(name + b"/below/%02d" % number, b"x" * 3000) for name in names for number in range(20)]
    entries.sort(key=lambda entry: entry.path.split(b"/"))
    contents = planned(entries, 64 * MIB).contents
    placement = contents.placement
    tops = {placement.group_of(contents.numbers[number]) for number in contents.tree.directories[0].files[:-1]}
    assert len(tops) == 8
    for number, found in contents.tree.directories.items():
        group = placement.group_of(contents.numbers[number])
        if number:
            assert all(placement.group_of(contents.numbers[file]) == group for file in found.files)
    assert sorted(placement.directories) == [2] * 6 + [3, 3] or placement.directories == [4] + [2] * 7


def test_a_mapping_over_several_runs_is_that_over_one_run_elsewhere() -> None:
    mapping = Mapping([(0, 5), (11, 300), (70_000, 20)], 256, 3, 12)
    count = mapping.blocks + 325
    pointers, blocks = mapping.place([(1, count)], 4, "<", 1024)
    places = [(1000, 7), (5000, 200), (9000, count - 207)]
    where = [0, *(block for first, length in places for block in range(first, first + length))]
    scattered, others = mapping.place(places, 4, "<", 1024)
    assert scattered == [where[pointer] for pointer in pointers]
    words = zip(memoryview(blocks).cast("I"), memoryview(others).cast("I"), strict=True)
    assert all(where[one] == other for one, other in words)


# ---- what does not fit ---------------------------------------------------------------------------------------------


def test_the_first_file_without_room_is_named() -> None:
    with pytest.raises(UsageError, match=r"/big: no space is left; the contents take 8[0-9]{3} KiB"):
        planned([file(b"a", b"small"), file(b"big", bytes(8 * MIB))])
    with pytest.raises(UsageError, match="/6: no inode is left; 21 are needed, and there are 16"):
        planned([file(b"%d" % number) for number in range(10)], inodes=16)


@pytest.mark.parametrize(
    ("entry", "options", "message"),
    [
        (Entry(b"l", stat.S_IFLNK | 0o777, target=b"x" * 1024), {}, "/l: a symbolic link of 1024 bytes needs larger"),
        (file(b"f", size=18 * GIB, runs=[]), {}, "/f: 19327352832 bytes are too many"),
        (file(b"f", size=2 * GIB, runs=[]), {"features": chosen_features("^large_file")}, "/f: 2147483648 bytes are"),
        (file(b"f", xattrs={b"user.x": bytes(1000)}), {}, "/f: its extended attributes do not fit into 1024 bytes"),
        (file(b"lost+found"), {}, r"lost\+found: ext2 needs a directory"),
        (Entry(b"f", stat.S_IFREG, mtime=(1 << 31) * SECOND), {"inode_size": 128}, "only those from 1901 to 2038"),
        (Entry(b"f", stat.S_IFREG, mtime=(1 << 34) * SECOND), {}, "only those from 1901 to 2446"),
        (Entry(b"f", stat.S_IFBLK, rdev=os.makedev(4096, 0)), {}, "device number 4096:0 is above 4095:1048575"),
    ],
)
def test_a_file_that_ext2_cannot_hold_is_named(entry: Entry, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        planned([entry], **options)


def test_fewer_inodes_where_only_then_there_is_room() -> None:
    size = geometry(8 * MIB, Options()).free_blocks * KIB
    found = planned([file(b"f", bytes(size))])
    assert found.superblock.inodes < geometry(8 * MIB, Options()).inodes


@pytest.mark.parametrize("block_size", [None, 1024, 2048, 4096])
@pytest.mark.parametrize("count", [1, 40, 700])
def test_fitted_is_just_large_enough(block_size: int | None, count: int) -> None:
    options = Options(block_size=block_size, time=NOW)
    tree = gather([directory(b""), *(file(b"%04d" % number, b"x" * 20_000) for number in range(count))],
                  limits_for(options))  # fmt: skip
    size, options = fitted(options, tree)
    superblock = plan(size, options, tree).superblock
    assert superblock.blocks * superblock.block_size == size
    assert superblock.free_blocks <= 50
    roomy, wishes = fitted(Options(block_size=block_size, time=NOW), tree, percent=10, room=MIB, inodes=100)
    superblock = plan(roomy, wishes, tree).superblock
    assert superblock.free_blocks * superblock.block_size >= MIB
    assert superblock.free_inodes >= 100


def test_fitted_has_blocks_that_hold_every_file() -> None:
    options = Options(time=NOW)
    for entry in (Entry(b"l", stat.S_IFLNK | 0o777, target=b"x" * 3000), file(b"f", size=18 * GIB, runs=[(0, 1)])):
        tree = gather([directory(b""), entry], limits_for(options))
        size, wishes = fitted(options, tree)
        assert plan(size, wishes, tree).superblock.block_size == 4096


# ---- writing -------------------------------------------------------------------------------------------------------


def test_nothing_but_the_end_makes_it_a_volume() -> None:
    def broken() -> Iterator[tuple[int, bytes]]:
        raise OSError(errno.EIO, "the disk is gone")

    entry = file(b"f", b"x")
    entry.content = broken
    disk = made(planned([]))
    with pytest.raises(OSError, match="gone"):
        run(make(disk, planned([entry])))
    with pytest.raises(BadSuperblock):
        Superblock.parse(disk.snapshot()[1024:2048])


def test_blocks_are_no_smaller_than_sectors() -> None:
    disk = RamDisk(8 * MIB, 4096)
    before = disk.snapshot()
    with pytest.raises(UsageError, match="sectors of 4096 bytes"):
        run(make(disk, planned([])))
    assert disk.snapshot() == before
    run(make(disk, planned([file(b"f", b"data")], block_size=4096)))
    Superblock.parse(disk.snapshot()[1024:2048]).validate(8 * MIB, read_only=False)


def test_copies_of_the_superblock_say_so() -> None:
    disk = made(planned([], 64 * MIB), 64 * MIB)
    data = disk.snapshot()
    for number in range(8):
        at = (1 + number * 8192) * KIB
        if number in (0, 1, 3, 5, 7):
            copy = Superblock.parse(data[at : at + KIB])
            assert (copy.group_number, copy.clean) == (number, number == 0)
            assert data[at + KIB : at + 2 * KIB] == data[2 * KIB : 3 * KIB]


def test_files_with_the_same_attributes_share_a_block() -> None:
    large = {b"user.large": bytes(range(200)), b"user.small": b"x"}
    entries = [file(b"%04d" % number, xattrs=large) for number in range(layout.XATTR_REFERENCES_MAX + 2)]
    found = planned([*entries, file(b"small", xattrs={b"user.small": b"x"})])
    attributes = found.contents._attributes
    assert len(attributes.blocks) == 2
    assert xattr.parse_block(attributes.block(0), 0) == {b"user.large": bytes(range(200))}
    assert len(attributes.inline) == len(entries) + 1


# ---- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> Path:
    top = tmp_path / "source"
    (top / "etc").mkdir(parents=True)
    (top / "etc" / "motd").write_text("hello\n")
    (top / "link").symlink_to("etc/motd")
    os.setxattr(top / "etc" / "motd", "user.note", b"\0=%\xff")
    return top


def facts(*arguments: str | Path) -> dict[str, Any]:
    answer = command("mkfs", "-t", "ext2", "--json", *arguments)
    assert (answer.code, answer.err) == (0, ""), answer.err
    found: dict[str, Any] = json.loads(answer.out)
    return found


def test_same_wishes_same_bytes(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(NOW))
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    told = facts("-d", source, one)
    assert facts("-d", source, two) | {"image": str(one)} == told
    assert one.read_bytes() == two.read_bytes()
    assert uuid.UUID(told["uuid"]).version == 5
    (source / "more").touch()
    assert facts("-d", source, three)["uuid"] != told["uuid"]


def test_uuid(tmp_path: Path) -> None:
    text = "12345678-9abc-def0-1234-56789abcdef0"
    assert facts("-U", text, tmp_path / "given", "1M")["uuid"] == text
    assert facts("-U", "clear", tmp_path / "clear", "1M")["uuid"] == str(uuid.UUID(int=0))
    one, two = (facts("-U", "random", "--mtime", "5", tmp_path / name, "1M") for name in "ab")
    assert one["uuid"] != two["uuid"]
    assert command("mkfs", "-t", "ext2", "-U", "5", tmp_path / "bad", "1M").code == 16


def test_options_of_other_types_are_refused(tmp_path: Path) -> None:
    for words in (["-t", "ext2", "--padding", "minix"], ["--label", "x"], ["-t", "ext2", "--proto", "/dev/null"]):
        answer = command("mkfs", *words, tmp_path / "image", "1M")
        assert answer.code == 16
        assert not (tmp_path / "image").exists()
    assert command("mkfs", "-m", "1", tmp_path / "image", "1M").err == (
        "minixfs mkfs: --reserve is for ext2; this is to be mfs (see -t)\n"
    )


def test_dry_run_says_what_would_be(source: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    words = ("-L", "test", "--mtime", "5", "-d", source, image, "2M")
    told = facts("--dry-run", *words)
    assert not image.exists()
    assert facts(*words) == told
    before = image.read_bytes()
    assert facts("--dry-run", "-L", "other", image)["label"] == "other"
    assert image.read_bytes() == before


def test_a_lost_and_found_that_comes_along_is_used(source: Path, tmp_path: Path) -> None:
    (source / "lost+found").mkdir(mode=0o750)
    (source / "lost+found" / "#12").write_text("found")
    facts("-d", source, tmp_path / "image")
    assert command("ls", f"{tmp_path / 'image'}:/").out.split() == [b"etc", b"link", b"lost+found"]
    assert command("cat", f"{tmp_path / 'image'}:/lost+found/#12").out == b"found"


def test_mfs_says_that_it_leaves_attributes_out(source: Path, tmp_path: Path) -> None:
    archive = tmp_path / "tree.tar"
    with archive.open("wb") as file:
        tar.write(host.entries(source, xattrs=True), file.write)
    with TarSource(str(archive)) as entries:
        found = {entry.path: entry.xattrs for entry in entries}
    assert found[b"etc/motd"] == {b"user.note": b"\0=%\xff"}
    answer = command("mkfs", "-d", archive, tmp_path / "image")
    assert answer.code == 0
    assert answer.err == "minixfs mkfs: V3 does not keep the extended attributes of 1 files\n"
