"""Who may do what, and what new objects look like (specification: vfs, appendix A)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Any

import pytest

from minixfs.fs.protocol import TimeUpdate
from tests.support.system import DRIVERS, System, failure

CREATE = os.O_CREAT | os.O_RDWR
OWNER, GROUP, OTHER = 10, 20, 30
S = 10**9


@pytest.fixture(params=DRIVERS, ids=lambda driver: driver.__name__)
def system(request: pytest.FixtureRequest) -> Iterator[System]:
    system = System(request.param)
    yield system
    system.finish()


@pytest.fixture
def p(system: System) -> Any:
    return system.root


def make(p: Any, path: bytes, mode: int, uid: int = OWNER, gid: int = GROUP) -> None:
    p.close(p.open(path, CREATE))
    p.chown(path, uid, gid)
    p.chmod(path, mode)


def mode_of(p: Any, path: bytes) -> int:
    return stat.S_IMODE(p.stat(path).mode)


# ---- the test itself -------------------------------------------------------------------------------------------------


def test_one_class_decides_alone(system: System, p: Any) -> None:
    owner, member = system.process(OWNER, 1), system.process(1, GROUP)
    supplementary, other = system.process(2, 2, (5, GROUP)), system.process(OTHER, OTHER)
    make(p, b"/f", 0o642)
    for process, reads, writes in [
        (owner, True, True),
        (member, True, False),
        (supplementary, True, False),
        (other, False, True),
        (p, True, True),
    ]:
        assert failure(process.open, b"/f", os.O_RDONLY) == ("" if reads else "EACCES")
        assert failure(process.open, b"/f", os.O_WRONLY) == ("" if writes else "EACCES")
        assert failure(process.open, b"/f", os.O_RDWR) == ("" if reads and writes else "EACCES")
        assert failure(process.open, b"/f", os.O_RDONLY | os.O_TRUNC) == ("" if reads and writes else "EACCES")
        assert failure(process.truncate, b"/f", 0) == ("" if writes else "EACCES")
        assert failure(process.access, b"/f", os.R_OK) == ("" if reads else "EACCES")
        assert failure(process.access, b"/f", os.W_OK) == ("" if writes else "EACCES")
        assert failure(process.access, b"/f", os.X_OK) == "EACCES"
        assert failure(process.access, b"/f", os.F_OK) == ""
    p.chmod(b"/f", 0o077)
    assert failure(owner.open, b"/f", os.O_RDONLY) == "EACCES"
    assert failure(p.access, b"/f", os.X_OK) == ""
    assert failure(p.access, b"/f", 8) == "EINVAL"


def test_directories(system: System, p: Any) -> None:
    user = system.process(OTHER, OTHER)
    p.mkdir(b"/d")
    make(p, b"/d/f", 0o666)
    p.chmod(b"/d", 0o754)  # r: may list, not search
    assert failure(user.stat, b"/d/f") == failure(user.open, b"/d/f", os.O_RDONLY) == "EACCES"
    assert failure(user.chdir, b"/d") == failure(user.open, b"/d/new", CREATE) == "EACCES"
    fd = user.open(b"/d", os.O_RDONLY)
    assert len(user.getdents(fd)) == 3
    assert failure(user.fchdir, fd) == "EACCES"
    p.chmod(b"/d", 0o751)  # x: may search, not list or change
    assert failure(user.open, b"/d", os.O_RDONLY) == "EACCES"
    user.chdir(b"/d")
    user.stat(b"f")
    changes = [
        (user.open, b"new", CREATE),
        (user.mkdir, b"new"),
        (user.mknod, b"new", stat.S_IFIFO),
        (user.symlink, b"x", b"new"),
        (user.link, b"f", b"new"),
        (user.unlink, b"f"),
        (user.rmdir, b"f"),
        (user.rename, b"f", b"new"),
    ]
    for call, *arguments in changes:
        assert failure(call, *arguments) == "EACCES", arguments
    p.chmod(b"/d", 0o752)  # w without x changes nothing
    for call, *arguments in changes:
        assert failure(call, *arguments) == "EACCES", arguments
    p.chmod(b"/d", 0o000)
    p.stat(b"/d/f")  # root searches anything


# ---- new objects -----------------------------------------------------------------------------------------------------


def test_umask_and_owners_of_new_objects(system: System, p: Any) -> None:
    p.chmod(b"/", 0o777)
    user = system.process(OWNER, GROUP, umask=0o027)
    user.close(user.open(b"/f", CREATE, 0o777))
    user.mkdir(b"/d", 0o777)
    user.mknod(b"/fifo", stat.S_IFIFO | 0o666)
    user.symlink(b"x", b"/l")
    assert [mode_of(p, path) for path in (b"/f", b"/d", b"/fifo")] == [0o750, 0o750, 0o640]
    assert all((p.lstat(path).uid, p.lstat(path).gid) == (OWNER, GROUP) for path in (b"/f", b"/d", b"/fifo", b"/l"))
    assert stat.S_IMODE(p.lstat(b"/l").mode) == 0o777
    assert user.umask(0o7777) == 0o027
    assert user.umask(0) == 0o777


def test_a_set_gid_directory_passes_its_group_on(system: System, p: Any) -> None:
    p.mkdir(b"/d")
    p.chown(b"/d", 0, 77)
    p.chmod(b"/d", 0o2777)
    user = system.process(OWNER, GROUP, umask=0)
    user.close(user.open(b"/d/f", CREATE, 0o666))
    user.mkdir(b"/d/sub")
    user.mknod(b"/d/fifo", stat.S_IFIFO)
    user.symlink(b"x", b"/d/l")
    assert {p.lstat(b"/d/" + name).gid for name in (b"f", b"sub", b"fifo", b"l")} == {77}
    assert [mode_of(p, b"/d/f"), mode_of(p, b"/d/sub")] == [0o666, 0o2777]


def test_who_may_make_nodes(system: System, p: Any) -> None:
    p.chmod(b"/", 0o777)
    user = system.process(OWNER)
    for kind in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFREG):
        assert failure(user.mknod, b"/n", kind | 0o644, 0x0403) == "EPERM"
    user.mknod(b"/fifo", stat.S_IFIFO)
    user.mknod(b"/socket", stat.S_IFSOCK)
    p.mknod(b"/tty", stat.S_IFCHR | 0o600, 0x0401)
    assert p.stat(b"/tty").rdev == 0x0401
    assert failure(p.mknod, b"/fifo/x", stat.S_IFIFO) == "ENOTDIR"
    assert failure(p.symlink, b"", b"/l") == "ENOENT"
    assert failure(p.symlink, b"x" * 1024, b"/l") == "ENAMETOOLONG"
    p.symlink(b"x" * 1023, b"/l")
    assert p.readlink(b"/l") == b"x" * 1023


# ---- removal ---------------------------------------------------------------------------------------------------------


def test_a_sticky_directory(system: System, p: Any) -> None:
    p.mkdir(b"/tmp")
    p.mkdir(b"/all")
    p.chmod(b"/tmp", 0o1777)
    p.chmod(b"/all", 0o777)
    make(p, b"/tmp/f", 0o666)
    make(p, b"/all/g", 0o666, OTHER)
    other, owner = system.process(OTHER), system.process(OWNER)
    assert failure(other.unlink, b"/tmp/f") == "EPERM"
    assert failure(other.rename, b"/tmp/f", b"/tmp/new") == "EPERM"
    assert failure(other.rename, b"/tmp/f", b"/all/new") == "EPERM"
    assert failure(other.rename, b"/all/g", b"/tmp/f") == "EPERM"  # it would remove the target
    assert failure(other.unlink, b"/tmp/none") == "ENOENT"
    owner.mkdir(b"/tmp/d")
    assert failure(other.rmdir, b"/tmp/d") == "EPERM"
    owner.rename(b"/tmp/f", b"/tmp/moved")
    owner.unlink(b"/tmp/moved")
    p.rmdir(b"/tmp/d")


# ---- changing attributes ---------------------------------------------------------------------------------------------


def test_chmod(system: System, p: Any) -> None:
    make(p, b"/f", 0o644)
    owner, outsider = system.process(OWNER, GROUP), system.process(OTHER, GROUP)
    assert failure(outsider.chmod, b"/f", 0o666) == "EPERM"
    owner.chmod(b"/f", 0o6755)
    assert mode_of(p, b"/f") == 0o6755
    p.chown(b"/f", OWNER, 99)
    assert mode_of(p, b"/f") == 0o755  # taking the set-id bits along
    owner.chmod(b"/f", 0o6755)
    assert mode_of(p, b"/f") == 0o4755  # not of the file's group
    fd = owner.open(b"/f", os.O_RDONLY)
    owner.fchmod(fd, 0o100600)
    assert p.stat(b"/f").mode == stat.S_IFREG | 0o600


def test_chown(system: System, p: Any) -> None:
    make(p, b"/f", 0o6755)
    owner = system.process(OWNER, 1, (5,))
    assert failure(owner.chown, b"/f", OTHER, -1) == "EPERM"
    assert failure(owner.chown, b"/f", -1, 6) == "EPERM"
    assert failure(system.process(OTHER, 5).chown, b"/f", -1, 5) == "EPERM"
    assert mode_of(p, b"/f") == 0o6755
    owner.chown(b"/f")  # D13: -1 leaves an id as it is, also if the caller is not in that group
    assert (p.stat(b"/f").uid, p.stat(b"/f").gid) == (OWNER, GROUP)
    owner.chown(b"/f", OWNER, 5)
    owner.chown(b"/f", -1, 1)
    assert (p.stat(b"/f").gid, mode_of(p, b"/f")) == (1, 0o755)
    assert failure(p.chown, b"/f", 1 << 20, 0) == "EOVERFLOW"
    p.symlink(b"f", b"/l")
    p.chown(b"/l", 3, 4, follow=False)
    assert (p.lstat(b"/l").uid, p.stat(b"/f").uid) == (3, OWNER)
    fd = p.open(b"/f", os.O_RDONLY)
    p.fchown(fd, 8)
    assert (p.fstat(fd).uid, p.fstat(fd).gid) == (8, 1)


def test_new_contents_take_the_set_id_bits_away(system: System, p: Any) -> None:
    user = system.process(OTHER)
    for change in (
        lambda: user.write(user.open(b"/f", os.O_WRONLY), b"x"),
        lambda: user.truncate(b"/f", 100),
        lambda: user.open(b"/f", os.O_WRONLY | os.O_TRUNC),
    ):
        make(p, b"/f", 0o6777)
        fd = p.open(b"/f", os.O_RDONLY)
        change()
        assert mode_of(p, b"/f") == 0o777
        vnode = system.processes[0]._filps[fd].vnode
        assert vnode.mode == p.fstat(fd).mode  # what VFS remembers agrees
        assert vnode.size == p.fstat(fd).size
        p.unlink(b"/f")


def test_utimens(system: System, p: Any) -> None:
    """VFS-52, VFS-53."""
    make(p, b"/f", 0o644)
    p.symlink(b"f", b"/l")
    owner, other = system.process(OWNER), system.process(OTHER)
    owner.utimens(b"/f", 5 * S + 999, 6 * S)
    assert (p.stat(b"/f").atime, p.stat(b"/f").mtime) == (5 * S, 6 * S)
    owner.utimens(b"/f", TimeUpdate.OMIT, 7 * S)
    assert (p.stat(b"/f").atime, p.stat(b"/f").mtime) == (5 * S, 7 * S)
    owner.utimens(b"/f", TimeUpdate.NOW, TimeUpdate.OMIT)
    assert p.stat(b"/f").atime > 10**9 * S
    assert p.stat(b"/f").mtime == 7 * S
    for stamps in [(1, 1), (TimeUpdate.NOW, TimeUpdate.OMIT), (TimeUpdate.OMIT, TimeUpdate.NOW)]:
        assert failure(other.utimens, b"/f", *stamps) == "EPERM"
    assert failure(other.utimens, b"/f") == "EACCES"
    p.chmod(b"/f", 0o646)
    other.utimens(b"/f")
    assert p.stat(b"/f").mtime > 10**9 * S
    p.utimens(b"/l", 3 * S, 4 * S, follow=False)
    assert (p.lstat(b"/l").mtime, p.stat(b"/f").mtime > 4 * S) == (4 * S, True)
    fd = p.open(b"/f", os.O_RDONLY)
    p.futimens(fd, 1 * S, 2 * S)
    assert (p.fstat(fd).atime, p.fstat(fd).mtime) == (1 * S, 2 * S)


# ---- a read-only mount -----------------------------------------------------------------------------------------------


def test_a_read_only_mount(system: System, p: Any) -> None:
    make(p, b"/home/f", 0o666)
    p.mkdir(b"/home/d")
    system.unmount(b"/home")
    system.mount(b"/home", read_only=True)
    user = system.process(OTHER)
    p.chdir(b"/home")
    for call, *arguments in [
        (p.open, b"f", os.O_WRONLY),
        (p.open, b"f", os.O_RDONLY | os.O_TRUNC),
        (p.open, b"new", CREATE),
        (p.truncate, b"f", 0),
        (p.mkdir, b"new"),
        (p.mknod, b"new", stat.S_IFIFO),
        (p.symlink, b"x", b"new"),
        (p.link, b"f", b"new"),
        (p.unlink, b"f"),
        (p.rmdir, b"d"),
        (p.rename, b"f", b"new"),
        (p.chmod, b"f", 0),
        (p.chown, b"f", 1, 1),
        (user.chown, b"/home/f", 1, 1),
        (p.utimens, b"f"),
        (p.access, b"f", os.W_OK),
    ]:
        assert failure(call, *arguments) == "EROFS", (call, arguments)
    assert failure(user.mkdir, b"/home/new") == "EACCES"
    assert p.stat(b"f").size == 0
    p.close(p.open(b"f", os.O_RDONLY | os.O_CREAT))
    p.access(b"f", os.R_OK)
    assert p.statvfs(b".").read_only
    p.chdir(b"/")
