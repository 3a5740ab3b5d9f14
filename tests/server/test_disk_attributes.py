"""Attributes: modes, owners, set-id bits, times (specification: file systems, 2.3)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from minixfs.errors import FileTooBig, MinixFsError
from minixfs.fs.disk.volume import Settings
from minixfs.fs.protocol import TimeUpdate
from minixfs.hw.blockdev.recorder import Recorder
from tests.support.volumes import DISKS, KINDS, START, Kind, Served, fresh

NS = 10**9
DAY = 86400


def stamps(fs: Served, path: bytes) -> tuple[int, int, int]:
    """Access, modification and change time, in seconds since the clock began."""
    with fs.at(path) as ino:
        found = fs.stat(ino)
    return tuple(stamp // NS - START for stamp in (found.atime, found.mtime, found.ctime))  # type: ignore[return-value]


def act(fs: Served, now: int, path: bytes, request: Callable[[int], object]) -> None:
    """A request about what is behind `path`, at second `now`."""
    with fs.at(path) as ino:
        fs.clock.now = START + now
        request(ino)


@pytest.mark.parametrize("kind", ["V3-1K", "ext2-1K-direct"])
def test_who_is_stamped_by_what(kind: str) -> None:
    fs = Served(fresh(DISKS[kind]), Settings(atime="strictatime"))
    fs.clock.now = START + 10
    fs.make_directory(b"d")
    fs.make_file(b"d/f", b"")
    assert stamps(fs, b"d/f") == (10, 10, 10)
    assert stamps(fs, b"d") == (10, 10, 10)
    act(fs, 20, b"d/f", lambda ino: fs.write(ino, 0, b"x" * 5000))
    assert stamps(fs, b"d/f") == (10, 20, 20)
    act(fs, 21, b"d/f", lambda ino: fs.read(ino, 0, 1))
    assert stamps(fs, b"d/f") == (21, 20, 20)
    act(fs, 22, b"d/f", lambda ino: fs.read(ino, 9000, 1))
    assert stamps(fs, b"d/f") == (22, 20, 20), "even when nothing is read"
    act(fs, 23, b"d/f", lambda ino: fs.chmod(ino, 0o600))
    assert stamps(fs, b"d/f") == (22, 20, 23)
    act(fs, 24, b"d/f", lambda ino: fs.chown(ino, 1, 1))
    assert stamps(fs, b"d/f") == (22, 20, 24)
    act(fs, 25, b"d/f", lambda ino: fs.truncate(ino, 4000))
    assert stamps(fs, b"d/f") == (22, 25, 25)
    act(fs, 26, b"d/f", lambda ino: fs.free_range(ino, 0, 1024))
    assert stamps(fs, b"d/f") == (22, 26, 26)
    act(fs, 27, b"d/f", lambda ino: fs.link(ino, fs.root, b"g"))
    assert stamps(fs, b"d/f") == (22, 26, 27)
    assert stamps(fs, b"")[1:] == (27, 27)
    act(fs, 28, b"", lambda ino: fs.unlink(ino, b"g"))
    assert stamps(fs, b"d/f") == (22, 26, 28)
    assert stamps(fs, b"")[1:] == (28, 28)
    act(fs, 29, b"d", lambda ino: fs.getdents(ino, 0, 10))
    assert stamps(fs, b"d") == (29, 10, 10)
    fs.make_directory(b"d/sub")
    act(fs, 30, b"d", lambda ino: fs.rename(ino, b"f", fs.root, b"f"))
    assert stamps(fs, b"f") == (22, 26, 28), "a moved file is not stamped"
    assert stamps(fs, b"d")[1:] == stamps(fs, b"")[1:] == (30, 30)
    act(fs, 31, b"d", lambda ino: fs.rename(ino, b"sub", fs.root, b"sub"))
    assert stamps(fs, b"sub")[1:] == (31, 31), "its '..' was rewritten"
    act(fs, 32, b"", lambda ino: fs.rmdir(ino, b"sub"))
    assert stamps(fs, b"")[1:] == (32, 32)
    fs.symlink(fs.root, b"l", b"f", 0, 0)
    act(fs, 40, b"l", fs.readlink)
    act(fs, 41, b"f", lambda ino: fs.peek(ino, 0, 100))
    assert stamps(fs, b"l") == (32, 32, 32)
    assert stamps(fs, b"f") == (22, 26, 28)
    expected = {path: stamps(fs, path) for path in (b"f", b"d", b"l")}
    fs.remount()
    assert {path: stamps(fs, path) for path in expected} == expected


@pytest.mark.parametrize("kind", ["V3-1K", "ext2-1K-direct"])
def test_a_failed_change_stamps_nothing(kind: str) -> None:
    fs = Served(fresh(DISKS[kind]))
    fs.make_file(b"f", b"x")
    before = stamps(fs, b"f"), stamps(fs, b"")
    fs.clock.now += 50
    with fs.at(b"f") as ino:
        for request in (
            lambda: fs.mkdir(fs.root, b"f", 0o755, 0, 0),
            lambda: fs.link(ino, fs.root, b"f"),
            lambda: fs.write(ino, 1 << 50, b"x"),
            lambda: fs.truncate(ino, 1 << 50),
            lambda: fs.chown(ino, 1 << 32, 0),
        ):
            with pytest.raises(MinixFsError):
                request()
    assert (stamps(fs, b"f"), stamps(fs, b"")) == before


@pytest.mark.parametrize(
    ("policy", "seen"),
    [
        ("strictatime", [5, 6, DAY + 7, DAY + 8]),
        ("relatime", [5, 5, DAY + 7, DAY + 7]),
        ("noatime", [0, 0, 0, 0]),
    ],
)
def test_access_time_policies(policy: str, seen: list[int]) -> None:
    """relatime: only after a change, or once a day."""
    fs = Served(fresh(KINDS["V3-1K"]), Settings(atime=policy))
    fs.make_file(b"f", b"x")
    found = []
    for now in (5, 6, DAY + 7, DAY + 8):
        act(fs, now, b"f", lambda ino: fs.read(ino, 0, 1))
        found.append(stamps(fs, b"f")[0])
    assert found == seen
    act(fs, 2 * DAY, b"f", lambda ino: fs.write(ino, 0, b"y"))
    act(fs, 2 * DAY + 1, b"f", lambda ino: fs.read(ino, 0, 1))
    assert stamps(fs, b"f")[0] == (0 if policy == "noatime" else 2 * DAY + 1)


@pytest.mark.parametrize("kind", ["V2", "V3-1K", "hybrid-big"])
def test_utime(kind: str) -> None:
    """FS-32: whole seconds; omitted, now, or given."""
    fs = Served(fresh(KINDS[kind]))
    fs.make_file(b"f")
    act(fs, 5, b"f", lambda ino: fs.utime(ino, (START + 100) * NS + 999_999_999, TimeUpdate.OMIT))
    assert stamps(fs, b"f") == (100, 0, 5)
    act(fs, 6, b"f", lambda ino: fs.utime(ino, TimeUpdate.NOW, (START + 200) * NS))
    assert stamps(fs, b"f") == (6, 200, 6)
    act(fs, 7, b"f", lambda ino: fs.utime(ino, TimeUpdate.OMIT, TimeUpdate.OMIT))
    assert stamps(fs, b"f") == (6, 200, 7)
    act(fs, 8, b"f", lambda ino: fs.utime(ino, TimeUpdate.OMIT, TimeUpdate.OMIT, (START + 300) * NS))
    assert stamps(fs, b"f") == (6, 200, 300)
    fs.remount()
    assert stamps(fs, b"f") == (6, 200, 300)
    act(fs, 9, b"f", lambda ino: fs.utime(ino, -5 * NS, (1 << 40) * NS))
    fs.remount()
    with fs.at(b"f") as ino:
        assert (fs.stat(ino).atime, fs.stat(ino).mtime) == (0, 0xFFFFFFFF * NS), "the nearest that fits"


def test_v1_keeps_one_stamp() -> None:
    """Specification: file systems, 1.6. Reading is no reason to write then."""
    recorder = Recorder(fresh(KINDS["V1"]))
    fs = Served(recorder, Settings(atime="strictatime"))
    fs.make_file(b"f", b"x")
    act(fs, 5, b"f", lambda ino: fs.utime(ino, START * NS, (START + 77) * NS))
    fs.remount()
    assert stamps(fs, b"f") == (77, 77, 77)
    written = len(recorder.log)
    act(fs, 99, b"f", lambda ino: fs.read(ino, 0, 1))
    assert fs.names() == [b"f"]
    fs.unmount()
    assert not recorder.log[written + 1 :], "a flush, no writes"


def test_chmod_replaces_twelve_bits(some_kind: Kind) -> None:
    fs = Served(fresh(some_kind))
    fs.make_file(b"f")
    with fs.at(b"f") as ino:
        assert fs.chmod(ino, 0o7123) == 0o107123
        assert fs.chmod(ino, 0o177777) == 0o107777
    assert fs.chmod(fs.root, 0o1700) == 0o041700
    fs.remount()
    assert fs.find(b"f").mode == 0o107777


@pytest.mark.parametrize("change", ["write", "truncate", "chown"])
@pytest.mark.parametrize(
    ("mode", "left"),
    [(0o4755, 0o755), (0o2755, 0o755), (0o6755, 0o755), (0o2745, 0o2745), (0o6744, 0o2744), (0o755, 0o755)],
)
def test_set_id_bits_go_with_a_change(change: str, mode: int, left: int) -> None:
    """The set-gid bit without group execute means mandatory locking, and stays."""
    fs = Served(fresh(KINDS["V3-1K"]))
    fs.make_file(b"f", b"data", mode)
    with fs.at(b"f") as ino:
        fs.chmod(ino, mode)
        fs.read(ino, 0, 4)
        assert fs.stat(ino).mode & 0o7777 == mode
        match change:
            case "write":
                fs.write(ino, 0, b"x")
            case "truncate":
                fs.truncate(ino, 2)
            case "chown":
                assert fs.chown(ino, 1, 1) & 0o7777 == left
        assert fs.stat(ino).mode & 0o7777 == left
    fs.remount()
    assert fs.find(b"f").mode & 0o7777 == left


def test_a_write_that_fails_leaves_the_set_id_bits() -> None:
    fs = Served(fresh(KINDS["V3-1K"]))
    fs.make_file(b"f", mode=0o4755)
    with fs.at(b"f") as ino:
        with pytest.raises(FileTooBig):
            fs.write(ino, 1 << 50, b"x")
        assert fs.stat(ino).mode & 0o7777 == 0o4755


def test_a_directory_keeps_its_set_gid_bit_when_it_is_given_away(some_kind: Kind) -> None:
    fs = Served(fresh(some_kind))
    fs.mkdir(fs.root, b"d", 0o2755, 0, 0)
    with fs.at(b"d") as ino:
        assert fs.chown(ino, 5, 6) == 0o042755
