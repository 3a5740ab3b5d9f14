"""Open files of a process: positions, sharing, limits, lifetimes (specification: vfs, appendix A)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Any

import pytest

from minixfs.daemon.vfs import Limits
from tests.support.system import DRIVERS, System, failure, inline

CREATE = os.O_CREAT | os.O_RDWR


@pytest.fixture(params=DRIVERS, ids=lambda driver: driver.__name__)
def system(request: pytest.FixtureRequest) -> Iterator[System]:
    system = System(request.param)
    yield system
    system.finish()


@pytest.fixture
def p(system: System) -> Any:
    return system.root


# ---- open ------------------------------------------------------------------------------------------------------------


def test_access_modes(p: Any) -> None:
    p.close(p.open(b"/f", CREATE))
    for flags, reads, writes in [(os.O_RDONLY, True, False), (os.O_WRONLY, False, True), (os.O_RDWR, True, True)]:
        fd = p.open(b"/f", flags)
        assert (failure(p.read, fd, 1) == "") is reads
        assert (failure(p.write, fd, b"x") == "") is writes
        assert (failure(p.pread, fd, 1, 0) == "") is reads
        assert (failure(p.pwrite, fd, b"x", 0) == "") is writes
        assert failure(p.ftruncate, fd, 0) == ("" if writes else "EBADF")
    assert failure(p.open, b"/f", os.O_ACCMODE) == "EINVAL"
    assert failure(p.open, b"/f", os.O_ACCMODE | os.O_CREAT) == "EINVAL"


def test_directories_are_opened_for_reading_only(p: Any) -> None:
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC):
        assert failure(p.open, b"/home", flags) == "EISDIR"
    fd = p.open(b"/home", os.O_RDONLY | os.O_DIRECTORY)
    assert failure(p.read, fd, 1) == "EISDIR"
    assert failure(p.write, fd, b"x") == "EBADF"
    assert failure(p.ftruncate, fd, 0) == "EBADF"
    assert failure(p.truncate, b"/home", 0) == "EISDIR"
    p.close(p.open(b"/f", CREATE))
    assert failure(p.open, b"/f", os.O_RDONLY | os.O_DIRECTORY) == "ENOTDIR"


def test_truncation_by_open(p: Any) -> None:
    fd = p.open(b"/f", CREATE)
    p.write(fd, b"0123456789")
    p.close(p.open(b"/f", os.O_WRONLY | os.O_TRUNC))
    assert p.fstat(fd).size == 0
    assert p.lseek(fd, 0, os.SEEK_END) == 0
    p.write(fd, b"again")
    p.close(p.open(b"/f", os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    assert p.fstat(fd).size == 0
    p.pwrite(fd, b"x", 5)
    assert bytes(p.pread(fd, 10, 0)) == b"\0" * 5 + b"x"


def test_descriptors_are_the_lowest_free(system: System, p: Any) -> None:
    assert [p.open(b"/f", CREATE) for _ in range(4)] == [0, 1, 2, 3]
    p.close(1)
    p.close(2)
    assert p.dup(3) == 1
    assert p.dup(3, 10) == 10
    assert p.open(b"/f", os.O_RDONLY) == 2
    assert failure(p.dup, 3, 255) == failure(p.dup, 3, -1) == "EINVAL"
    for call in (p.close, p.fstat, p.fsync, p.dup, p.fchdir, p.getdents, p.fchown, p.futimens):
        assert failure(call, 77) == "EBADF"
    for call in (p.lseek, p.read, p.ftruncate, p.fchmod):
        assert failure(call, 77, 0) == "EBADF"
    assert failure(p.write, 77, b"") == failure(p.pread, 77, 0, 0) == failure(p.pwrite, 77, b"", 0) == "EBADF"


# ---- positions -------------------------------------------------------------------------------------------------------


def test_reading_and_writing_move_the_position(p: Any) -> None:
    fd = p.open(b"/f", CREATE)
    assert p.write(fd, b"0123456789") == 10
    assert p.write(fd, b"") == 0
    assert bytes(p.read(fd, 5)) == b""
    assert p.lseek(fd, 2) == 2
    assert bytes(p.read(fd, 3)) == b"234"
    assert bytes(p.read(fd, 0)) == b""
    assert bytes(p.pread(fd, 2, 8)) == b"89"
    assert p.pwrite(fd, b"XY", 0) == 2
    assert p.lseek(fd, 0, os.SEEK_CUR) == 5
    p.write(fd, b"ab")
    assert bytes(p.pread(fd, 20, 0)) == b"XY234ab789"
    assert failure(p.read, fd, -1) == "EINVAL"
    assert failure(p.pread, fd, 1, -1) == failure(p.pwrite, fd, b"x", -1) == "EINVAL"


def test_lseek(p: Any) -> None:
    fd = p.open(b"/f", CREATE)
    p.write(fd, b"0123456789")
    assert p.lseek(fd, -4, os.SEEK_END) == 6
    assert p.lseek(fd, -2, os.SEEK_CUR) == 4
    assert p.lseek(fd, 100) == 100
    assert bytes(p.read(fd, 1)) == b""
    assert failure(p.lseek, fd, -1) == failure(p.lseek, fd, -11, os.SEEK_END) == "EINVAL"
    assert failure(p.lseek, fd, 0, 3) == failure(p.lseek, fd, 2**63) == "EINVAL"
    assert p.lseek(fd, 0, os.SEEK_CUR) == 100
    p.write(fd, b"x")
    assert p.fstat(fd).size == 101


def test_appending_goes_to_the_end_whoever_moved_it(system: System, p: Any) -> None:
    one, two = p.open(b"/f", CREATE | os.O_APPEND), p.open(b"/f", os.O_WRONLY | os.O_APPEND)
    p.write(one, b"1")
    p.write(two, b"22")
    p.lseek(one, 0)
    p.write(one, b"333")
    assert p.lseek(one, 0, os.SEEK_CUR) == 6
    assert bytes(p.pread(one, 10, 0)) == b"122333"
    p.pwrite(one, b"X", 1)  # an explicit position is one
    assert bytes(p.pread(one, 10, 0)) == b"1X2333"


def test_dup_and_fork_share_the_position_and_open_does_not(system: System, p: Any) -> None:
    fd = p.open(b"/f", CREATE)
    p.write(fd, b"0123456789")
    again, own = p.dup(fd), p.open(b"/f", os.O_RDONLY)
    child = system.fork(p)
    assert child.lseek(fd, 3) == 3
    assert bytes(p.read(again, 2)) == b"34"
    assert bytes(child.read(again, 2)) == b"56"
    assert p.lseek(fd, 0, os.SEEK_CUR) == 7
    assert bytes(p.read(own, 1)) == b"0"
    p.close(fd)
    assert bytes(p.read(again, 1)) == b"7"
    p.exit()
    assert bytes(child.read(fd, 5)) == b"89"


def test_getdents_positions(p: Any) -> None:
    p.mkdir(b"/d")
    for number in range(40):
        p.close(p.open(b"/d/%02d" % number, CREATE))
    fd = p.open(b"/d", os.O_RDONLY)
    seen = [entry for _ in range(30) for entry in p.getdents(fd, 3)]
    assert [entry.name for entry in seen] == [b".", b"..", *(b"%02d" % number for number in range(40))]
    assert p.getdents(fd) == []
    p.lseek(fd, seen[9].next)
    p.unlink(b"/d/08")
    p.unlink(b"/d/20")
    rest = [entry.name for entry in p.getdents(fd, 100)]
    assert rest == [b"%02d" % number for number in range(9, 40) if number != 20]
    p.lseek(fd, 0)
    assert p.getdents(fd, 1)[0].name == b"."
    assert failure(p.getdents, p.open(b"/d/00", os.O_RDONLY)) == "EBADF"


# ---- sizes -----------------------------------------------------------------------------------------------------------


def test_truncate(p: Any) -> None:
    fd = p.open(b"/f", CREATE)
    p.write(fd, b"0123456789")
    p.truncate(b"/f", 4)
    p.ftruncate(fd, 6)
    assert bytes(p.pread(fd, 10, 0)) == b"0123\0\0"
    assert failure(p.truncate, b"/f", -1) == failure(p.ftruncate, fd, -1) == "EINVAL"
    assert failure(p.truncate, b"/none", 0) == "ENOENT"
    p.utimens(b"/f", 5 * 10**9, 6 * 10**9)
    p.truncate(b"/f", 6)
    assert p.stat(b"/f").mtime == 6 * 10**9  # the same size is no request
    p.mknod(b"/fifo", stat.S_IFIFO | 0o644)
    assert failure(p.truncate, b"/fifo", 0) == "EINVAL"


def test_files_live_until_the_last_close(system: System, p: Any) -> None:
    free = p.statvfs(b"/")
    fd = p.open(b"/f", CREATE)
    p.write(fd, b"x" * 5000)
    p.unlink(b"/f")
    assert failure(p.stat, b"/f") == "ENOENT"
    assert p.fstat(fd).nlink == 0
    assert bytes(p.pread(fd, 3, 4000)) == b"xxx"
    child = system.fork(p)
    p.close(fd)
    assert p.statvfs(b"/").ffree == free.ffree - 1
    child.close(fd)
    p.sync()
    after = p.statvfs(b"/")
    assert (after.ffree, after.bfree) == (free.ffree, free.bfree)


def test_a_replaced_file_lives_until_the_last_close(p: Any) -> None:
    fd = p.open(b"/old", CREATE)
    p.write(fd, b"old")
    p.close(p.open(b"/new", CREATE))
    p.rename(b"/new", b"/old")
    assert bytes(p.pread(fd, 3, 0)) == b"old"
    assert p.stat(b"/old").size == 0


def test_a_removed_directory_can_be_left(system: System, p: Any) -> None:
    p.mkdir(b"/d")
    child = system.fork(p)
    child.chdir(b"/d")
    fd = child.open(b".", os.O_RDONLY)
    p.rmdir(b"/d")
    assert failure(child.open, b"new", CREATE) == "ENOENT"
    assert failure(child.stat, b"..") == "ENOENT"
    assert child.getdents(fd) == []
    child.chdir(b"/")
    child.close(fd)


def test_fsync_and_sync_on_both_mounts(system: System, p: Any) -> None:
    for path in (b"/f", b"/home/f"):
        fd = p.open(path, CREATE)
        p.write(fd, path * 300)
        p.fsync(fd)
    p.sync()
    for path, disk in system.disks.items():
        assert os.path.join(path, b"f") * 300 in disk.snapshot()


# ---- limits ----------------------------------------------------------------------------------------------------------


def test_limits_of_the_tables() -> None:
    system = System(inline, limits=Limits(vnodes=4, descriptors=3))
    p = system.root  # in use: both roots and the mount point
    fd = p.open(b"/f", CREATE)
    assert failure(p.open, b"/g", CREATE) == "ENFILE"
    assert failure(p.stat, b"/g") == "ENOENT"  # it was not made
    assert failure(p.mkdir, b"/d") == ""
    assert failure(p.stat, b"/d") == "ENFILE"
    assert [p.open(b"/f", os.O_RDONLY), p.dup(fd)] == [1, 2]
    assert failure(p.open, b"/none", os.O_RDONLY) == failure(p.dup, fd) == "EMFILE"
    assert failure(p.open, b"/h", CREATE) == "EMFILE"
    for descriptor in range(3):
        p.close(descriptor)
    assert p.stat(b"/d")
    assert failure(p.stat, b"/h") == "ENOENT"
    system.finish()


def test_a_synchronous_process_shows_its_state(p: Any) -> None:
    assert p.credentials.uid == 0
    assert p.umask(0o027) == 0
    assert p.umask(0) == 0o027
