"""Volumes made with files in them: every format holds them unchanged, and what does not fit is said by name."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace

import pytest

from minixfs.errors import UsageError
from minixfs.fs.mfs.layout import MAX_FILE_SIZE, VARIANTS
from minixfs.fs.mfs.superblock import Superblock
from minixfs.fsck.mfs import check
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from minixfs.mkfs.mfs import Options, contents_for, fitted, limits_for, make, plan
from minixfs.mkfs.mfs_contents import Contents
from minixfs.mkfs.populate import adjusted, gather
from minixfs.trees.entry import Content, Entry
from tests.support.mfs_image import Image
from tests.support.volumes import KINDS, Kind, Served, verify

VARIANT = {variant.name: variant for variant in VARIANTS}
NOW = 1_234_567_890
SECOND = 10**9


def content(*pieces: tuple[int, bytes]) -> Content:
    return lambda: iter(pieces)


def entry(
    path: bytes, kind: int = stat.S_IFREG, mode: int = 0o644, data: bytes | None = None, **fields: object
) -> Entry:
    stamps = {"mtime": NOW * SECOND, "atime": (NOW + 1) * SECOND, "ctime": (NOW + 2) * SECOND}
    made = Entry(path, kind | mode, 7, 8, origin="source/" + os.fsdecode(path), **stamps, **fields)  # type: ignore[arg-type]
    if data is not None:
        made.size, made.content = len(data), content((0, data)) if data else None
    return made


def directory(path: bytes, mode: int = 0o755) -> Entry:
    return entry(path, stat.S_IFDIR, mode)


def sample(zone_size: int) -> list[Entry]:
    """One of everything; files end before, at and behind the borders of the mapping."""
    data = os.urandom(9 * zone_size)
    sparse = entry(b"sparse", size=300 * zone_size + 5)
    sparse.runs = [(0, 3), (8 * zone_size - 1, 2), (300 * zone_size, 5)]
    sparse.content = content((0, b"one"), (8 * zone_size - 1, b"ab"), (300 * zone_size, b"three"))
    found = [directory(b"", 0o1777), directory(b"big")]
    found += [entry(b"big/%05d" % number, data=b"%d" % number) for number in range(300)]
    found += [
        entry(b"block", stat.S_IFBLK, 0o600, rdev=os.makedev(3, 255)),
        entry(b"char", stat.S_IFCHR, 0o666, rdev=os.makedev(255, 0)),
        directory(b"dir", 0o2750),
        directory(b"dir/inner", 0o700),
        entry(b"dir/inner/name", link="same", data=b"several names"),
        entry(b"empty", data=b""),
        entry(b"fifo", stat.S_IFIFO),
        entry(b"link", stat.S_IFLNK, 0o777, target=b"t" * 1023),
        entry(b"name", link="same", data=b"several names"),
        entry(b"setid", mode=0o6755, data=b"#!"),
        *(entry(b"size%d" % size, data=data[:size]) for size in (1, zone_size, 7 * zone_size, 7 * zone_size + 1)),
        entry(b"socket", stat.S_IFSOCK),
        sparse,
        entry(b"vacant", size=20 * zone_size, runs=[]),
    ]
    return sorted(found, key=lambda entry: entry.path.split(b"/"))


def laid_out(entries: list[Entry], options: Options) -> Contents:
    return contents_for(gather(entries, limits_for(options)), options)


def filled(entries: list[Entry], options: Options, *, sector_size: int = 1, **room: int) -> tuple[RamDisk, Superblock]:
    """A disk that is just large enough."""
    contents = laid_out(entries, options)
    options = fitted(options, contents, **room)
    assert options.blocks
    block_size = options.block_size or (4096 if options.variant.version == 3 else 1024)
    disk = RamDisk(options.blocks * block_size, sector_size)
    return disk, run(make(disk, options, contents))


def data_of(entry: Entry) -> bytes:
    found = bytearray(entry.size)
    for offset, piece in entry.content() if entry.content else ():
        found[offset : offset + len(piece)] = piece
    return bytes(found)


def assert_holds(disk: RamDisk, entries: list[Entry], *, has_times: bool) -> None:
    served = Served(disk, read_only=True)
    numbers: dict[object, int] = {}
    for wanted in entries:
        with served.at(b"/" + wanted.path if wanted.path else b"") as number:
            found = served.stat(number)
            assert (found.mode, found.uid, found.gid) == (wanted.mode, wanted.uid, wanted.gid), wanted.path
            assert found.mtime == wanted.mtime
            assert (found.atime, found.ctime) == (wanted.atime, wanted.ctime) or not has_times
            if wanted.is_file:
                assert found.size == wanted.size
                assert bytes(served.read(number, 0, 1 << 31)) == data_of(wanted), wanted.path
            elif wanted.is_symlink:
                assert served.readlink(number) == wanted.target
            elif wanted.is_device:
                assert found.rdev == os.major(wanted.rdev) << 8 | os.minor(wanted.rdev)
            if wanted.link is not None:
                assert numbers.setdefault(wanted.link, number) == number
                assert found.nlink == 2
    names = {path.rpartition(b"/")[2] for path in served.tree()}
    assert names == {wanted.name for wanted in entries} - {b""}
    served.unmount()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_format_holds_every_kind_of_file(kind: Kind) -> None:
    options = replace(kind.options, inodes=None)
    block_size = options.block_size or (4096 if options.variant.version == 3 else 1024)
    entries = sample(block_size << options.zone_shift)
    if options.variant.name_max == 14:
        assert max(len(entry.name) for entry in entries) <= 14
    disk, superblock = filled(entries, options, sector_size=kind.sector_size)
    verify(disk, peer=kind.for_fsck_minix and superblock.zones < 60000)
    assert_holds(disk, entries, has_times=options.variant.has_times)


@pytest.mark.parametrize("name", ["V2", "V3"])
def test_triple_indirect_zones_where_the_volume_is_not_for_minix(name: str) -> None:
    options = Options(VARIANT[name], block_size=1024)
    double = (7 + 256 + 256**2) * 1024
    far = entry(b"far", size=double + 300 * 1024 + 1)
    far.runs = [(double - 1024, 1024 + 300 * 1024 + 1)]
    far.content = content((double - 1024, b"d" * 1024 + b"t" * (300 * 1024)), (double + 300 * 1024, b"!"))
    disk, superblock = filled([directory(b""), far], options)
    assert superblock.max_size == MAX_FILE_SIZE
    verify(disk, peer=True)
    assert_holds(disk, [directory(b""), far], has_times=True)
    with pytest.raises(UsageError, match=f"source/far: size {far.size} is too large; {name} holds at most {double}"):
        laid_out([directory(b""), far], replace(options, padding=False))
    _, superblock = filled([directory(b"")], options)
    assert superblock.max_size == double


def test_inodes_and_zones_ascend_without_gaps() -> None:
    entries = sample(4096)
    disk, superblock = filled(entries, Options())
    image = Image(bytearray(disk.snapshot()))
    next_zone = superblock.first_data_zone
    files = len({entry.link or entry.path for entry in entries})
    for number in range(1, files + 1):
        inode = image.inode(number)
        if stat.S_IFMT(inode.fields["i_mode"]) in (stat.S_IFBLK, stat.S_IFCHR):
            continue
        indirect = [zone for zone in inode.zones[7:] if zone]
        count = -(-inode.fields["i_size"] // 4096)
        data = [zone for zone in (image.zone_at(inode, index) for index in range(count)) if zone]
        assert [*indirect, *data] == list(range(next_zone, next_zone + len(indirect) + len(data)))
        next_zone += len(indirect) + len(data)
    assert next_zone == superblock.zones


def test_a_fitted_volume_has_room_for_what_was_asked_and_no_more() -> None:
    entries = sample(4096)
    contents = laid_out(entries, Options())
    files = len(contents.tree)
    least = fitted(Options(), contents)
    assert least.blocks
    assert least.inodes
    assert plan(least.blocks * 4096, least, contents).zones == least.blocks
    with pytest.raises(UsageError, match="no space is left"):
        plan(least.blocks * 4096, replace(least, blocks=least.blocks - 1), contents)
    assert files <= least.inodes < files + 64
    assert fitted(Options(), contents, inodes=1000).inodes == -(-(files + 1000) // 64) * 64
    assert fitted(replace(Options(), inodes=files), contents).inodes == files
    for room in ({"percent": 50}, {"room": 3 << 20}):
        options = fitted(Options(), contents, **room)
        assert options.blocks
        assert options.inodes
        superblock = plan(options.blocks * 4096, options, contents)
        free = superblock.zones - superblock.first_data_zone - contents.total
        assert free == (-(-contents.total // 2) if "percent" in room else (3 << 20) // 4096)
        assert options.inodes >= files * 1.5


@pytest.mark.parametrize("size", [1, 7, 8, 1031, 1032, 70000])
@pytest.mark.parametrize("name", ["V1", "V3"])
def test_fitted_volumes_around_the_borders_of_maps_and_mappings(size: int, name: str) -> None:
    options = Options(VARIANT[name], block_size=1024)
    hole = entry(b"file", size=size * 1024)
    hole.runs, hole.content = [(0, min(size, 9000) * 1024)], content((0, b"x"))
    disk, superblock = filled([directory(b""), hole], options)
    assert superblock.zones * 1024 == disk.size
    assert not run(check(disk)).findings


@pytest.mark.parametrize(
    ("variant", "bad", "message"),
    [
        ("V3", entry(b"n" * 61), "source/n+: the name has 61 bytes; V3 holds 1 to 60"),
        ("V1", entry(b"n" * 15), "the name has 15 bytes; V1 holds 1 to 14"),
        ("V3", replace(entry(b"f"), uid=65536), "source/f: user id 65536 is too large; V3 holds at most 65535"),
        ("V1", replace(entry(b"f"), gid=256), "source/f: group id 256 is too large; V1 holds at most 255"),
        ("V3", replace(entry(b"f"), mtime=-1), "source/f: V3 cannot hold its times"),
        ("V3", replace(entry(b"f"), atime=SECOND << 32), "source/f: V3 cannot hold its times"),
        ("V3", entry(b"f", size=1 << 31), "source/f: size 2147483648 is too large"),
        ("V1", entry(b"f", size=268966913), "source/f: size 268966913 is too large"),
        ("V3", entry(b"f", stat.S_IFLNK, target=b"t" * 1024), "source/f: the text of the link has 1024 bytes"),
        ("V3", entry(b"f", stat.S_IFLNK), "source/f: the text of the link has 0 bytes"),
        ("V3", entry(b"f", stat.S_IFBLK, rdev=os.makedev(256, 0)), "source/f: device number 256:0 is above 255:255"),
        ("V3", entry(b"f", stat.S_IFCHR, rdev=os.makedev(0, 256)), "source/f: device number 0:256 is above 255:255"),
        ("V3", entry(b"no/f"), "source/no/f: there is no directory that holds it"),
    ],
)
def test_what_a_format_cannot_hold_is_named(variant: str, bad: Entry, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        laid_out([directory(b""), bad], Options(VARIANT[variant]))


def test_too_many_links_and_subdirectories_are_named() -> None:
    options = Options(VARIANT["V1"])
    names = [entry(b"n%03d" % number, link="same") for number in range(251)]
    laid_out([directory(b""), *names[:250]], options)
    with pytest.raises(UsageError, match="source/n250: the file has too many names; V1 counts 250 links"):
        laid_out([directory(b""), *names], options)
    inner = [directory(b"d%03d" % number) for number in range(249)]
    laid_out([directory(b""), *inner[:248]], options)
    with pytest.raises(UsageError, match="source/d248: its directory has too many subdirectories"):
        laid_out([directory(b""), *inner], options)


def test_names_in_any_order_but_each_once() -> None:
    names = [b"b", b"a", b"c"]
    disk, _ = filled([directory(b""), *map(entry, names)], Options())
    assert Served(disk, read_only=True).names() == names
    for twice in ([b"a", b"a"], [b"b", b"a", b"b"]):
        with pytest.raises(UsageError, match=r"source/[ab]: comes twice"):
            laid_out([directory(b""), *map(entry, twice)], Options())


def test_a_volume_that_is_too_small_names_the_first_file_without_room_and_is_left_alone() -> None:
    entries = [directory(b""), directory(b"d"), *(entry(b"d/%d" % n, data=bytes(4096)) for n in range(10))]
    disk = RamDisk(b"\xaa" * (16 * 4096))
    contents = laid_out(entries, Options())
    for options, message in (
        (
            Options(blocks=14, inodes=64),
            "/d/7: no space is left; the contents take 48 KiB, and there is room for 36 KiB",
        ),
        (Options(inodes=8), "/d/6: no inode is left; there are 12 files, and 8 inodes"),
    ):
        with pytest.raises(UsageError, match=message):
            run(make(disk, options, contents))
    assert disk.snapshot() == b"\xaa" * (16 * 4096)


def test_files_have_inodes_even_where_there_are_usually_fewer() -> None:
    entries = [directory(b""), *(entry(b"%03d" % number) for number in range(600))]
    assert plan(1 << 20, Options(), laid_out(entries, Options())).inodes == 640


def test_a_volume_in_which_contents_fit_only_with_few_inodes_gets_few() -> None:
    contents = laid_out(sample(4096), Options())
    options = fitted(Options(), contents)
    assert options.blocks
    assert plan(options.blocks * 4096, Options(), contents).inodes == options.inodes


def test_content_that_fails_leaves_no_file_system() -> None:
    def failing() -> Iterator[tuple[int, bytes]]:
        yield 0, b"x"
        raise OSError(5, "gone", b"file")

    bad = entry(b"f", size=5000)
    bad.content = failing
    disk, _ = filled(sample(4096), Options(), room=1 << 20)
    with pytest.raises(OSError, match="gone"):
        run(make(disk, Options(), laid_out([directory(b""), bad], Options())))
    assert disk.snapshot()[:4096] == bytes(4096)


@pytest.mark.parametrize("length", [4095, 4097, 9000])
def test_content_of_another_length_than_promised_never_reaches_other_files(length: int) -> None:
    liar = entry(b"f", size=4096)
    liar.content = content((0, b"x" * length))
    entries = [directory(b""), liar, entry(b"g", data=b"g" * 5000)]
    if length > 4096:
        with pytest.raises(ValueError, match="is behind"):
            filled(entries, Options())
    else:
        disk, _ = filled(entries, Options())
        assert Served(disk, read_only=True).contents(b"/f") == b"x" * length + b"\0"


def test_large_contents_are_written_in_parts() -> None:
    big = entry(b"big", size=40 << 20)
    big.content = lambda: ((number << 20, bytes([number]) * (1 << 20)) for number in range(40))
    steps: list[int] = []
    contents = laid_out([directory(b""), big], Options())
    options = fitted(Options(), contents)
    assert options.blocks
    disk = RamDisk(options.blocks * 4096)
    run(make(disk, options, contents, steps.append))
    assert sum(steps) == contents.length
    assert max(steps) <= 6 << 20
    assert_holds(disk, [directory(b""), big], has_times=True)


def test_owners_and_times_for_all() -> None:
    entries = sample(1024)
    assert {(e.uid, e.gid) for e in adjusted(sample(1024), owner=(1, 2))} == {(1, 2)}
    stamps = {stamp for e in adjusted(entries, mtime=5) for stamp in (e.mtime, e.atime, e.ctime)}
    assert stamps == {5 * SECOND}
    old, new = replace(entry(b"old"), mtime=3 * SECOND), entry(b"new")
    assert [(e.mtime, e.atime, e.ctime) for e in adjusted([old, new], latest=9)] == [
        (3 * SECOND,) * 3,
        (9 * SECOND,) * 3,
    ]


def test_the_same_files_make_the_same_bytes() -> None:
    entries = sample(4096)
    assert filled(entries, Options())[0].snapshot() == filled(entries, Options())[0].snapshot()
