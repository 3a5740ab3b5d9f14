"""Names: making, linking, removing, renaming, reading directories (specification: file systems, 2.6, 5.2)."""

from __future__ import annotations

import random
import stat
from collections.abc import Iterator
from dataclasses import replace

import pytest

from minixfs.errors import (
    Busy,
    CrossDevice,
    Exists,
    FileTooBig,
    IdOverflow,
    InvalidArgument,
    IsDirectory,
    NameTooLong,
    NoSpace,
    NotDirectory,
    NotEmpty,
    NotFound,
    NotPermitted,
    TooManyLinks,
    TooManyOpen,
)
from minixfs.fs.disk.directory import SEARCHES
from minixfs.fs.disk.volume import Settings
from minixfs.fs.protocol import DirEntry
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from tests.support.volumes import DISKS, Kind, MfsKind, Served, fresh, verify


@pytest.fixture(params=["V3-1K", "ext2-1K"])
def disk(request: pytest.FixtureRequest) -> RamDisk:
    return fresh(DISKS[request.param])


@pytest.fixture
def fs(disk: RamDisk) -> Iterator[Served]:
    served = Served(disk)
    yield served
    served.check()
    served.unmount()
    verify(disk, peer=True)


def links(fs: Served, path: bytes) -> int:
    with fs.at(path) as ino:
        count: int = fs.stat(ino).nlink
        return count


# ---- making --------------------------------------------------------------------------------------------------------


def test_every_kind_of_file(kind: Kind) -> None:
    disk = fresh(kind)
    fs = Served(disk)
    fs.clock.now += 5
    made = fs.create(fs.root, b"file", 0o4755, 100, 200)
    assert (made.mode, made.size, made.uid, made.gid, made.rdev) == (0o104755, 0, 100, 200, None)
    fs.putnode(made.ino, 1)
    fs.mkdir(fs.root, b"dir", 0o1777, 1, 2)
    fs.symlink(fs.root, b"link", b"to/there", 3, 4)
    for name, kind_bits in ((b"fifo", stat.S_IFIFO), (b"socket", stat.S_IFSOCK), (b"plain", stat.S_IFREG)):
        fs.mknod(fs.root, name, kind_bits | 0o600, 5, 6, 0x1234)
    fs.mknod(fs.root, b"char", stat.S_IFCHR | 0o600, 5, 6, 0xFFFF)
    fs.mknod(fs.root, b"block", stat.S_IFBLK | 0o600, 5, 6, 0x0300)
    for _ in range(2):
        found = {}
        for name in fs.names():
            with fs.at(name) as ino:
                status = fs.stat(ino)
                found[name] = (status.mode, status.nlink, status.uid, status.gid, status.rdev, status.size)
        empty = 2 * kind.options.variant.dirent.size if isinstance(kind, MfsKind) else fs.server.volume.block_size
        assert found == {
            b"file": (0o104755, 1, 100, 200, 0, 0),
            b"dir": (0o041777, 2, 1, 2, 0, empty),
            b"link": (0o120777, 1, 3, 4, 0, 8),
            b"fifo": (0o010600, 1, 5, 6, 0, 0),
            b"socket": (0o140600, 1, 5, 6, 0, 0),
            b"plain": (0o100600, 1, 5, 6, 0, 0),
            b"char": (0o020600, 1, 5, 6, 0xFFFF, 0),
            b"block": (0o060600, 1, 5, 6, 0x0300, 0),
        }
        assert links(fs, b"") == 3
        with fs.at(b"link") as ino:
            assert fs.readlink(ino) == b"to/there"
        fs.remount()
    fs.unmount()
    verify(disk, peer=kind.for_fsck_minix)


def test_what_cannot_be_made(fs: Served) -> None:
    free = fs.statvfs().ffree
    fs.make_file(b"f")
    too_long = b"n" * (fs.server.volume.shape.name_max + 1)
    with fs.at(b"f") as file:
        for directory, name, error in (
            (fs.root, b"f", Exists),
            (fs.root, b".", Exists),
            (fs.root, b"..", Exists),
            (fs.root, too_long, NameTooLong),
            (fs.root, b"", InvalidArgument),
            (fs.root, b"a/b", InvalidArgument),
            (fs.root, b"a\0b", InvalidArgument),
            (file, b"x", NotDirectory),
            (99, b"x", InvalidArgument),
        ):
            for request in (
                lambda d=directory, n=name: fs.create(d, n, 0o644, 0, 0),
                lambda d=directory, n=name: fs.mkdir(d, n, 0o755, 0, 0),
                lambda d=directory, n=name: fs.mknod(d, n, stat.S_IFIFO, 0, 0, 0),
                lambda d=directory, n=name: fs.symlink(d, n, b"t", 0, 0),
            ):
                with pytest.raises(error):
                    request()
                fs.check()
    for mode in (stat.S_IFDIR, stat.S_IFLNK, 0, 0o050000):
        with pytest.raises(InvalidArgument):
            fs.mknod(fs.root, b"n", mode, 0, 0, 0)
    for rdev in (fs.server.volume.shape.device_max + 1, -1):
        with pytest.raises(IdOverflow):
            fs.mknod(fs.root, b"n", stat.S_IFBLK, 0, 0, rdev)
    assert fs.names() == [b"f"]
    assert fs.statvfs().ffree == free - 1, "a failed request keeps no inode"


@pytest.mark.parametrize("target", [b"x" * 1024, b"a\0b"])
def test_symlink_texts_that_are_refused(fs: Served, target: bytes) -> None:
    with pytest.raises(NameTooLong):
        fs.symlink(fs.root, b"l", target, 0, 0)
    with pytest.raises(NotFound):
        fs.symlink(fs.root, b"l", b"", 0, 0)
    assert fs.names() == []


def test_the_longest_symlink(kind: Kind) -> None:
    fs = Served(fresh(kind))
    fs.symlink(fs.root, b"l", b"x" * 1023, 0, 0)
    fs.remount()
    with fs.at(b"l") as ino:
        assert fs.readlink(ino) == b"x" * 1023


def test_names_fill_their_field_exactly(kind: Kind) -> None:
    fs = Served(fresh(kind))
    name = (bytes(range(0x80, 0x100)) * 2)[: fs.server.volume.shape.name_max]
    fs.make_file(name)
    fs.remount()
    assert fs.names() == [name]
    with pytest.raises(NameTooLong):
        fs.find(name + b"x")
    with pytest.raises(NameTooLong):
        fs.make_file(name + b"x")


def test_long_names_are_cut_if_the_mount_says_so(disk: RamDisk) -> None:
    """As MINIX does, at creation and at look-up."""
    fs = Served(disk, Settings(truncate_names=True))
    limit = fs.server.volume.shape.name_max
    fs.make_file(b"n" * (limit + 10))
    assert fs.names() == [b"n" * limit]
    assert fs.find(b"n" * 300).ino == fs.find(b"n" * limit).ino
    with pytest.raises(Exists):
        fs.make_file(b"n" * (limit + 1))
    fs.rename(fs.root, b"n" * (limit + 20), fs.root, b"m" * (limit + 20))
    fs.unlink(fs.root, b"m" * (limit + 30))
    assert fs.names() == []


@pytest.mark.parametrize(("name", "uid", "gid"), [("V1", 65536, 0), ("V1", 0, 256), ("V3-1K", 65536, 0),
                                                  ("V3-1K", 0, 65536), ("V3-1K", -1, 0), ("ext2-1K", 0xFFFFFFFF, 0),
                                                  ("ext2-1K", 0, 1 << 32)])  # fmt: skip
def test_ids_that_do_not_fit_are_refused_and_never_cut(name: str, uid: int, gid: int) -> None:
    """Defect D-11: EOVERFLOW."""
    fs = Served(fresh(DISKS[name]))
    fs.make_file(b"f")
    with fs.at(b"f") as ino:
        for request in (
            lambda: fs.create(fs.root, b"n", 0o644, uid, gid),
            lambda: fs.mkdir(fs.root, b"n", 0o644, uid, gid),
            lambda: fs.chown(ino, uid, gid),
        ):
            with pytest.raises(IdOverflow):
                request()
        assert (fs.stat(ino).uid, fs.stat(ino).gid) == (0, 0)
    assert fs.names() == [b"f"]
    fs.check()


def test_no_inodes_left(fs: Served) -> None:
    for index in range(fs.statvfs().ffree):
        fs.make_file(b"%d" % index)
    for request in (lambda: fs.create(fs.root, b"n", 0, 0, 0), lambda: fs.mkdir(fs.root, b"n", 0, 0, 0)):
        with pytest.raises(NoSpace):
            request()
    fs.unlink(fs.root, b"17")
    fs.make_file(b"at once")
    assert fs.statvfs().ffree == 0


def test_the_limit_of_inodes_in_use(disk: RamDisk) -> None:
    """ENFILE; specification: file systems, 2.2."""
    fs = Served(disk, Settings(inode_limit=3))
    fs.make_file(b"a")
    fs.make_file(b"b")
    fs.make_file(b"c")
    held = [fs.find(b"a"), fs.find(b"b")]
    with pytest.raises(TooManyOpen):
        fs.create(fs.root, b"d", 0o644, 0, 0)
    for node in held:
        fs.putnode(node.ino, 1)
    fs.make_file(b"d")
    fs.unmount()


# ---- links ---------------------------------------------------------------------------------------------------------


def test_hard_links(fs: Served) -> None:
    fs.make_file(b"a", b"data")
    fs.make_directory(b"d")
    with fs.at(b"a") as ino, fs.at(b"d") as directory:
        fs.link(ino, directory, b"b")
        assert fs.stat(ino).nlink == 2
        with pytest.raises(Exists):
            fs.link(ino, fs.root, b"a")
        with pytest.raises(NotPermitted):
            fs.link(directory, fs.root, b"x")
        with pytest.raises(NotDirectory):
            fs.link(ino, ino, b"x")
    fs.unlink(fs.root, b"a")
    assert links(fs, b"d/b") == 1
    assert fs.contents(b"d/b") == b"data"


@pytest.mark.parametrize(("name", "limit"), [("V1", 250), ("V3-1K", 32767), ("ext2-1K", 32000)])
def test_the_link_limit(name: str, limit: int) -> None:
    """EMLINK; defect D-11."""
    fs = Served(fresh(DISKS[name]))
    fs.make_file(b"a")
    fs.make_directory(b"d")
    fs.make_directory(b"d/sub")
    with fs.at(b"a") as ino, fs.at(b"d") as directory:
        fs.server.inodes.open(ino).nlinks = limit - 1
        fs.link(ino, fs.root, b"b")
        with pytest.raises(TooManyLinks):
            fs.link(ino, fs.root, b"c")
        fs.server.inodes.open(directory).nlinks = limit
        with pytest.raises(TooManyLinks):
            fs.mkdir(directory, b"x", 0o755, 0, 0)
        fs.make_directory(b"other")
        with pytest.raises(TooManyLinks):
            fs.rename(fs.root, b"other", directory, b"other")
        fs.rename(fs.root, b"other", directory, b"sub")  # takes the place of another one
        fs.make_directory(b"e")
        fs.make_file(b"d/file")
        with pytest.raises(TooManyLinks):
            fs.exchange(fs.root, b"e", directory, b"file")
    fs.check()


def test_an_open_file_lives_without_a_name(fs: Served) -> None:
    free = fs.statvfs()
    fs.make_file(b"a", b"data" * 500)
    node = fs.find(b"a")
    fs.unlink(fs.root, b"a")
    assert fs.names() == []
    assert fs.stat(node.ino).nlink == 0
    fs.write(node.ino, 0, b"DATA")
    assert bytes(fs.read(node.ino, 0, 8)) == b"DATAdata"
    with pytest.raises(NotFound):
        fs.link(node.ino, fs.root, b"back")
    fs.sync()
    assert fs.statvfs().bfree < free.bfree
    fs.putnode(node.ino, 1)
    fs.check()
    assert (fs.statvfs().bfree, fs.statvfs().ffree) == (free.bfree, free.ffree)


# ---- removing ------------------------------------------------------------------------------------------------------


def test_unlink_and_rmdir(fs: Served) -> None:
    fs.make_file(b"f")
    fs.make_directory(b"d")
    fs.make_directory(b"d/e")
    with fs.at(b"d") as d:
        for request, error in (
            (lambda: fs.unlink(fs.root, b"x"), NotFound),
            (lambda: fs.unlink(fs.root, b"d"), NotPermitted),
            (lambda: fs.unlink(fs.root, b"."), NotPermitted),
            (lambda: fs.rmdir(fs.root, b"x"), NotFound),
            (lambda: fs.rmdir(fs.root, b"f"), NotDirectory),
            (lambda: fs.rmdir(fs.root, b"d"), NotEmpty),
            (lambda: fs.rmdir(fs.root, b"."), InvalidArgument),
            (lambda: fs.rmdir(d, b".."), NotEmpty),
        ):
            with pytest.raises(error):
                request()
            fs.check()
        fs.rmdir(d, b"e")
        assert fs.stat(d).nlink == 2
    fs.rmdir(fs.root, b"d")
    fs.unlink(fs.root, b"f")
    assert links(fs, b"") == 2


def test_mount_points_are_busy(fs: Served) -> None:
    fs.make_directory(b"m")
    fs.make_directory(b"d")
    fs.make_file(b"f")
    m, f = fs.find(b"m"), fs.find(b"f")
    fs.mountpoint(m.ino)
    fs.mountpoint(f.ino)
    for request, error in (
        (lambda: fs.rmdir(fs.root, b"m"), Busy),
        (lambda: fs.unlink(fs.root, b"f"), Busy),
        (lambda: fs.rename(fs.root, b"m", fs.root, b"n"), CrossDevice),
        (lambda: fs.rename(fs.root, b"d", fs.root, b"m"), Busy),
        (lambda: fs.exchange(fs.root, b"d", fs.root, b"m"), Busy),
    ):
        with pytest.raises(error):
            request()
        fs.check()
    for node in (m, f):
        fs.putnode(node.ino, 1)
    fs.rmdir(fs.root, b"m")
    fs.unlink(fs.root, b"f")


# ---- renaming ------------------------------------------------------------------------------------------------------


def test_rename_errors_in_their_order(fs: Served) -> None:
    fs.make_directory(b"d")
    fs.make_directory(b"d/e")
    fs.make_directory(b"empty")
    fs.make_file(b"f")
    fs.make_directory(b"gone")
    gone = fs.find(b"gone")
    fs.rmdir(fs.root, b"gone")
    with fs.at(b"d") as d, fs.at(b"d/e") as e, fs.at(b"f") as f:
        for request, error in (
            (lambda: fs.rename(fs.root, b"x", fs.root, b"y"), NotFound),
            (lambda: fs.rename(fs.root, b"f", gone.ino, b"y"), NotFound),
            (lambda: fs.rename(fs.root, b"f", f, b"y"), NotDirectory),
            (lambda: fs.rename(fs.root, b"d", e, b"y"), InvalidArgument),
            (lambda: fs.rename(fs.root, b"d", d, b"y"), InvalidArgument),
            (lambda: fs.rename(fs.root, b".", fs.root, b"y"), InvalidArgument),
            (lambda: fs.rename(d, b"..", fs.root, b"y"), InvalidArgument),
            (lambda: fs.rename(fs.root, b"f", fs.root, b"."), InvalidArgument),
            (lambda: fs.rename(fs.root, b"f", fs.root, b".."), InvalidArgument),
            (lambda: fs.rename(fs.root, b"f", fs.root, b"empty"), IsDirectory),
            (lambda: fs.rename(fs.root, b"empty", fs.root, b"f"), NotDirectory),
            (lambda: fs.rename(fs.root, b"empty", fs.root, b"d"), NotEmpty),
            (lambda: fs.rename(fs.root, b"f", fs.root, b"n" * 256), NameTooLong),
            (lambda: fs.exchange(fs.root, b"f", fs.root, b"x"), NotFound),
            (lambda: fs.exchange(fs.root, b"x", fs.root, b"f"), NotFound),
            (lambda: fs.exchange(fs.root, b"d", d, b"e"), InvalidArgument),
            (lambda: fs.exchange(fs.root, b".", d, b"e"), InvalidArgument),
        ):
            with pytest.raises(error):
                request()
            fs.check()
    fs.putnode(gone.ino, 1)
    assert fs.names() == [b"d", b"empty", b"f"]


def test_renaming_one_link_to_another_does_nothing(fs: Served) -> None:
    fs.make_file(b"a")
    with fs.at(b"a") as ino:
        fs.link(ino, fs.root, b"b")
    fs.rename(fs.root, b"a", fs.root, b"b")
    fs.exchange(fs.root, b"a", fs.root, b"b")
    assert fs.names() == [b"a", b"b"]


def test_directories_that_move_keep_the_link_counts_right(fs: Served) -> None:
    for path in (b"a", b"b", b"a/x", b"b/y", b"a/z", b"b/z"):
        fs.make_directory(path)
    with fs.at(b"a") as a, fs.at(b"b") as b:
        fs.rename(a, b"x", b, b"x")
        assert (links(fs, b"a"), links(fs, b"b")) == (3, 5)
        assert fs.find(b"b/x/..").ino == b
        fs.putnode(b, 1)
        fs.rename(a, b"z", b, b"z")
        assert (links(fs, b"a"), links(fs, b"b")) == (2, 5)
    fs.make_file(b"f", b"contents")
    with fs.at(b"b") as b:
        fs.exchange(fs.root, b"f", b, b"x")
        assert links(fs, b"b") == 4
        assert links(fs, b"") == 5
        fs.sync()
        assert fs.find(b"f/..").ino == fs.root
        fs.putnode(fs.root, 1)
        assert fs.contents(b"b/x") == b"contents"
        fs.exchange(b, b"y", fs.root, b"a")
        assert fs.find(b"a/..").ino == fs.root
        fs.putnode(fs.root, 1)
        assert fs.find(b"b/y/..").ino == b
        fs.putnode(b, 1)


def test_an_exchange_over_two_blocks_leaves_no_spare_name(fs: Served) -> None:
    for index in range(40):
        fs.make_file(b"%02d" % index, b"%d" % index)
    fs.make_file(b".xchg0", b"somebody's own")
    fs.exchange(fs.root, b"00", fs.root, b"39")
    assert fs.contents(b"00") == b"39"
    assert fs.contents(b"39") == b"0"
    assert len(fs.names()) == 41


def test_the_first_names_of_a_large_directory_are_found_without_an_index(
    some_kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither parts of names nor what removed ones leave behind are taken for names."""
    monkeypatch.setattr("minixfs.fs.disk.directory.SEARCHED_BLOCKS", 2)
    fs = Served(fresh(some_kind))
    directories, longest = fs.server._directories, min(fs.server.volume.shape.name_max, 60)
    fs.make_directory(b"d")
    with fs.at(b"d") as d:
        names = [b"1", b"11", b"1-", *((b"%03d-" % index).ljust(longest, b"1") for index in range(180))]
        numbers = {}
        for name in names:
            fs.make_file(b"d/" + name)
            numbers[name] = fs.find(b"d/" + name).ino
        gone = [b"11", *names[50:60], names[100], names[-1]]
        for name in gone:
            fs.unlink(d, name)
        absent = [*gone, b"111", b"-1", b"", b"001", b"d", names[5] + b"1", names[5][:-1]]
        assert fs.stat(d).size > fs.server.volume.block_size
        for start in range(0, len(names), SEARCHES):
            fs.drop_caches()
            directories.drop_index(d)
            part = [name for name in names[start : start + SEARCHES] if name not in gone]
            for name in part:
                assert run(directories.find(fs.server.inodes.open(d), name)) == numbers[name]
            assert d not in directories._indexes
        for name in absent:
            directories.drop_index(d)
            if len(name) <= fs.server.volume.shape.name_max:
                assert not run(directories.find(fs.server.inodes.open(d), name))
                assert d in directories._indexes, "that there is no such name is known from the index"
        directories.drop_index(d)
        for _ in range(SEARCHES + 1):
            run(directories.find(fs.server.inodes.open(d), names[0]))
        assert d in directories._indexes, "a directory that is asked more often gets one"
    fs.check()


# ---- reading directories -------------------------------------------------------------------------------------------


def test_positions_stay_valid_while_names_come_and_go(some_kind: Kind, rng: random.Random) -> None:
    """Specification: file systems, 5.2: what is there all the time is seen once."""
    fs = Served(fresh(some_kind))
    steady = {b"s%d" % index for index in range(90)}
    for name in sorted(steady):
        fs.make_file(name)
        fs.make_file(b"t" + name)
    seen: list[bytes] = []
    position = 0
    extra = 0
    while part := fs.getdents(fs.root, position, rng.randrange(1, 9)):
        seen += [entry.name for entry in part]
        position = part[-1].next
        for name in rng.sample(fs.names(), 3):
            if name not in steady:
                fs.unlink(fs.root, name)
        fs.make_file(b"x%d" % extra)
        extra += 1
    assert steady <= set(seen)
    assert all(seen.count(name) == 1 for name in steady)
    fs.check()


def test_dots_come_first(kind: Kind) -> None:
    fs = Served(fresh(kind))
    fs.make_directory(b"d")
    with fs.at(b"d") as d:
        size = fs.server.volume.block_size
        first, second, third = (1, 2, 3) if isinstance(kind, MfsKind) else (12, 24, size)
        dots = [DirEntry(fs.root, first, b"."), DirEntry(fs.root, second, b"..")]
        assert fs.getdents(fs.root, 0, 10) == [*dots, DirEntry(d, third, b"d")]
        end = second if isinstance(kind, MfsKind) else size
        assert fs.getdents(d, 0, 10) == [DirEntry(d, first, b"."), DirEntry(fs.root, end, b"..")]
        assert fs.getdents(fs.root, second, 10) == [DirEntry(d, third, b"d")]
        assert fs.getdents(fs.root, third, 10) == fs.getdents(fs.root, 100_000, 10) == []
        with pytest.raises(NotFound):
            fs.getdents(fs.root, -1, 10)


def test_getdents_of_a_file(fs: Served) -> None:
    fs.make_file(b"f")
    with fs.at(b"f") as ino:
        with pytest.raises(NotDirectory):
            fs.getdents(ino, 0, 10)
        with pytest.raises(NotDirectory):
            fs.getdents_table(ino, 0, 10)


def test_a_listing_as_columns_has_the_same_entries(kind: Kind, rng: random.Random) -> None:
    fs = Served(fresh(kind))
    longest = fs.server.volume.shape.name_max
    names = [(b"%d-" % index).ljust(rng.randrange(5, longest + 1), b"x") for index in range(150)]
    for name in names:
        fs.make_file(name)
    for name in [*names[20:90], *rng.sample(names[90:], 20)]:  # a gap of whole blocks, and small ones
        fs.unlink(fs.root, name)
    fs.make_directory(b"d")
    entries = fs.getdents(fs.root, 0, 1000)
    for start in [0, *(entry.next for entry in entries), 10**6, 2**63]:
        wanted = [entry for entry in entries if entry.next > start]
        for count in (1, 7, 1000):
            table = fs.getdents_table(fs.root, start, count)
            found = list(map(DirEntry, table.inos, table.next, table.names))
            assert found == wanted[: len(found)]
            assert len(found) >= min(count, len(wanted), 1)
            assert set(table.types) <= {0, stat.S_IFDIR >> 12, stat.S_IFREG >> 12}
    assert found == []


def test_a_removed_directory_lists_as_empty(fs: Served) -> None:
    fs.make_directory(b"d")
    with fs.at(b"d") as ino:
        fs.rmdir(fs.root, b"d")
        assert fs.getdents(ino, 0, 10) == []
        assert not len(fs.getdents_table(ino, 0, 10).inos)


def test_the_first_free_slot_of_a_minix_directory_is_used_first() -> None:
    fs = Served(fresh(DISKS["V3-1K"]))
    for index in range(40):
        fs.make_file(b"%02d" % index)
    for name in (b"30", b"03", b"17"):
        fs.unlink(fs.root, name)
    for name in (b"a", b"b", b"c", b"d"):
        fs.make_file(name)
    names = fs.names()
    assert [names.index(name) for name in (b"a", b"b", b"c", b"d")] == [3, 17, 30, 40]
    fs.remount()
    assert fs.names() == names


def test_nodes_of_entries_carry_references(fs: Served) -> None:
    fs.make_file(b"a", b"12345")
    fs.make_directory(b"d")
    entries = fs.getdents(fs.root, 0, 10)[2:]
    for entry, found in zip(entries, fs.getnodes(entries), strict=True):
        assert found is not None
        node, status = found
        assert node.ino == status.ino == entry.ino
        fs.putnode(node.ino, 1)
    fs.unlink(fs.root, b"a")
    fs.sync()
    assert [found is None for found in fs.getnodes(entries)] == [True, False], "one was removed meanwhile"
    assert not fs.server.corrupt
    fs.putnode(entries[1].ino, 1)


def test_a_directory_grows_through_all_levels(some_kind: Kind) -> None:
    disk = fresh(some_kind)
    fs = Served(disk)
    fs.make_file(b"f")
    per_zone = fs.server.volume.zone_size // 16
    many = min(int(per_zone * 13.5), 2000)
    with fs.at(b"f") as ino:
        names = [b"%06d" % index for index in range(min(many, fs.server.volume.shape.link_max - 2))]
        for name in names:
            fs.link(ino, fs.root, name)
    assert fs.names() == [b"f", *names]
    fs.remount()
    assert fs.names() == [b"f", *names]
    for name in names[::2]:
        fs.unlink(fs.root, name)
    fs.remount()
    assert fs.names() == [b"f", *names[1::2]]
    fs.unmount()
    verify(disk)


def test_a_directory_at_its_limit(fs: Served) -> None:
    fs.make_directory(b"d")
    volume = fs.server.volume
    volume.shape = replace(volume.shape, max_file_size=1024)
    long = b"n" * 57
    for index in range(14):
        fs.make_file(b"d/%02d" % index + long)
    with pytest.raises(FileTooBig):
        fs.make_file(b"d/mo" + long)
    fs.check()
    fs.unlink(fs.find(b"d").ino, b"03" + long)
    fs.make_file(b"d/mo" + long)
    fs.putnode(fs.find(b"d").ino, 2)
