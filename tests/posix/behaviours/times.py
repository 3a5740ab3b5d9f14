"""Time stamps: who may set them, and what moves them.

A change shows as a stamp that was set to the past and is recent afterwards, so that a resolution of a
second will do. The change time cannot be set; `change_time_moves` therefore waits once for the clock to
pass a second.
"""

from __future__ import annotations

import errno
import mmap
import os
import time
from collections.abc import Callable

from tests.posix.env import Env, Skip, behaviour, fails, mode_of, names, opened, read, touch, write
from tests.posix.libc import UTIME_NOW as NOW
from tests.posix.libc import UTIME_OMIT as OMIT
from tests.posix.libc import utimensat

CLOCK_REALTIME_COARSE = 5  # the clock of the kernel's time stamps, a tick behind the fine one
OLD = 1_000_000_000  # seconds: September 2001


def age(*paths: bytes) -> None:
    """Set both times to the past."""
    for path in paths:
        os.utime(path, (OLD, OLD), follow_symlinks=False)


def times(path: bytes) -> tuple[float, float]:
    """Access and modification time."""
    state = os.lstat(path)
    return state.st_atime, state.st_mtime


def need_three(env: Env) -> None:
    if env.limits.one_time:
        raise Skip("the file system has one time stamp")


@behaviour
def times_are_kept(env: Env) -> None:
    need_three(env)
    touch(b"f")
    os.mkdir(b"d")
    os.symlink(b"none", b"l")
    for name in (b"f", b"d", b"l"):
        os.utime(name, (OLD, OLD + 77), follow_symlinks=False)
        assert times(name) == (OLD, OLD + 77)


@behaviour
def earliest_and_latest_times(env: Env) -> None:
    touch(b"f")
    for moment in (0, 1, (1 << 31) - 1):
        os.utime(b"f", (moment, moment))
        assert times(b"f") == (moment, moment)


@behaviour
def utime_now(env: Env) -> None:
    touch(b"f")
    age(b"f")
    os.utime(b"f")
    assert all(env.is_now(moment) for moment in times(b"f"))
    age(b"f")
    utimensat(b"f", (0, NOW), (0, NOW))
    assert all(env.is_now(moment) for moment in times(b"f"))


@behaviour
def utime_omit(env: Env) -> None:
    need_three(env)
    touch(b"f")
    age(b"f")
    utimensat(b"f", (0, OMIT), (OLD + 5, 0))
    assert times(b"f") == (OLD, OLD + 5)
    utimensat(b"f", (OLD + 6, 0), (0, OMIT))
    assert times(b"f") == (OLD + 6, OLD + 5)
    utimensat(b"f", (0, OMIT), (0, OMIT))
    assert times(b"f") == (OLD + 6, OLD + 5)
    utimensat(b"f", (0, OMIT), (0, NOW))
    access, modification = times(b"f")
    assert access == OLD + 6
    assert env.is_now(modification)


@behaviour
def utime_through_descriptors_and_links(env: Env) -> None:
    touch(b"f")
    os.symlink(b"f", b"l")
    with opened(b"f", os.O_RDONLY) as fd:
        os.utime(fd, (OLD, OLD))
    assert times(b"f") == (OLD, OLD)
    os.utime(b"l", (OLD + 1, OLD + 1))
    assert times(b"f") == (OLD + 1, OLD + 1)
    assert env.is_now(times(b"l")[1])


@behaviour
def given_times_are_set_by_the_owner_only(env: Env) -> None:
    touch(b"f", mode=0o666)
    os.chown(b"f", env.user(1).uid, env.user(1).gid)
    fails(errno.EPERM, env.as_user, 2, os.utime, b"f", (OLD, OLD))
    fails(errno.EPERM, env.as_user, 2, utimensat, b"f", (0, NOW), (0, OMIT))
    os.chmod(b"f", 0o444)
    env.as_user(1, os.utime, b"f", (OLD, OLD))
    assert times(b"f") == (OLD, OLD)


@behaviour
def present_time_is_set_by_whoever_may_write(env: Env) -> None:
    touch(b"f", mode=0o644)
    age(b"f")
    fails(errno.EACCES, env.as_user, 2, os.utime, b"f")
    os.chmod(b"f", 0o646)
    env.as_user(2, os.utime, b"f")
    assert env.is_now(times(b"f")[1])
    os.chown(b"f", env.user(1).uid, env.user(1).gid)
    os.chmod(b"f", 0o444)
    age(b"f")
    env.as_user(1, os.utime, b"f")
    assert env.is_now(times(b"f")[1])


@behaviour
def omitting_both_needs_nothing(env: Env) -> None:
    touch(b"f", mode=0)
    age(b"f")
    env.as_user(1, utimensat, b"f", (0, OMIT), (0, OMIT))
    assert times(b"f") == (OLD, OLD)


@behaviour
def wrong_times_and_names(env: Env) -> None:
    touch(b"f")
    fails(errno.ENOENT, os.utime, b"none", (OLD, OLD))
    fails(errno.ENOTDIR, os.utime, b"f/x", (OLD, OLD))
    fails(errno.EINVAL, utimensat, b"f", (OLD, 1_000_000_000), (OLD, 0))
    fails(errno.EINVAL, utimensat, b"f", (OLD, -1), (OLD, 0))


@behaviour
def new_files_are_new(env: Env) -> None:
    touch(b"f")
    os.mkdir(b"d")
    os.symlink(b"none", b"l")
    os.mkfifo(b"p")
    for name in (b"f", b"d", b"l", b"p"):
        state = os.lstat(name)
        assert all(env.is_now(moment) for moment in (state.st_atime, state.st_mtime, state.st_ctime))


@behaviour
def writing_moves_the_modification_time(env: Env) -> None:
    changes: list[Callable[[int], object]] = [
        lambda fd: os.write(fd, b"x"),
        lambda fd: os.pwrite(fd, b"x", 9000),
        lambda fd: os.ftruncate(fd, 1),
        lambda fd: os.ftruncate(fd, 100),
    ]
    for number, change in enumerate(changes):
        name = b"f%d" % number
        write(name, b"data")
        age(name)
        with opened(name, os.O_RDWR) as fd:
            assert os.fstat(fd).st_mtime == OLD
            change(fd)
            assert env.is_now(os.fstat(fd).st_mtime), number
        assert env.is_now(os.stat(name).st_mtime), number


@behaviour
def o_trunc_moves_the_modification_time(env: Env) -> None:
    write(b"f", b"data")
    age(b"f")
    os.close(os.open(b"f", os.O_WRONLY | os.O_TRUNC))
    assert env.is_now(times(b"f")[1])


@behaviour
def mapped_writing_moves_the_modification_time(env: Env) -> None:
    write(b"f", b"data" * 1000)
    age(b"f")
    with opened(b"f", os.O_RDWR) as fd, mmap.mmap(fd, 4000) as view:
        view[0] = 0
        view.flush()
        assert env.is_now(os.fstat(fd).st_mtime)


@behaviour
def what_does_not_change_data_leaves_the_modification_time(env: Env) -> None:
    need_three(env)
    write(b"f", b"data")
    age(b"f")
    read(b"f")
    os.chmod(b"f", 0o600)
    os.link(b"f", b"g")
    os.rename(b"f", b"h")
    os.chown(b"h", -1, -1)
    with opened(b"h", os.O_RDWR) as fd:
        os.write(fd, b"")
        os.fsync(fd)
    os.close(os.open(b"h", os.O_WRONLY | os.O_CREAT))
    assert times(b"h")[1] == OLD


@behaviour
def set_time_survives_pending_writes(env: Env) -> None:
    """Data that is still on its way to the file system must not undo a time that was set later."""
    with opened(b"f") as fd:
        os.write(fd, b"data")
        os.utime(fd, (OLD, OLD))
        assert os.fstat(fd).st_mtime == OLD
        os.fsync(fd)
    assert times(b"f") == (OLD, OLD)


@behaviour
def entries_move_the_times_of_their_directory(env: Env) -> None:
    os.mkdir(b"d")
    touch(b"f")
    changes: list[Callable[[], None]] = [
        lambda: touch(b"d/f"),
        lambda: os.unlink(b"d/f"),
        lambda: os.mkdir(b"d/sub"),
        lambda: os.rmdir(b"d/sub"),
        lambda: os.symlink(b"none", b"d/l"),
        lambda: os.rename(b"d/l", b"d/m"),
        lambda: os.link(b"f", b"d/g"),
        lambda: os.rename(b"d/g", b"g"),
        lambda: os.rename(b"g", b"d/g"),
        lambda: os.mkfifo(b"d/p"),
    ]
    for number, change in enumerate(changes):
        age(b"d")
        change()
        assert env.is_now(times(b"d")[1]), number


@behaviour
def looking_and_failing_leave_the_times_of_a_directory(env: Env) -> None:
    os.mkdir(b"d")
    write(b"d/f", b"data")
    age(b"d")
    fails(errno.EEXIST, os.mkdir, b"d/f")
    fails(errno.ENOENT, os.unlink, b"d/none")
    fails(errno.ENOENT, os.stat, b"d/none")
    write(b"d/f", b"changed")
    os.chmod(b"d/f", 0o600)
    assert times(b"d")[1] == OLD


@behaviour
def reading_moves_the_access_time(env: Env) -> None:
    if not env.limits.atime or os.statvfs(b".").f_flag & os.ST_NOATIME:
        raise Skip("access times are not kept")
    need_three(env)
    write(b"f", b"data")
    os.mkdir(b"d")
    touch(b"d/f")
    for name, look in ((b"f", read), (b"d", names)):
        os.utime(name, (OLD, OLD + 1))  # older than the modification, so that relatime moves it too
        look(name)
        access, modification = times(name)
        assert env.is_now(access), name
        assert modification == OLD + 1


@behaviour
def change_time_moves(env: Env) -> None:
    need_three(env)
    changes: list[tuple[str, Callable[[bytes], object]]] = [
        ("write", lambda name: write(name, b"x")),
        ("truncate", lambda name: os.truncate(name, 3)),
        ("chmod", lambda name: os.chmod(name, 0o600)),
        ("chown", lambda name: os.chown(name, os.geteuid(), os.getegid())),
        ("utime", lambda name: os.utime(name, (OLD, OLD))),
        ("link", lambda name: os.link(name, name + b"l")),
        ("unlink", lambda name: os.unlink(name + b"u")),
        ("being replaced", lambda name: os.rename(name + b"t", name + b"r")),
    ]
    for number in range(len(changes)):
        name = b"f%d" % number
        write(name, b"data")
        os.link(name, name + b"u")
        os.link(name, name + b"r")
        touch(name + b"t")
    os.mkdir(b"d")
    touch(b"same")
    before = {name: os.stat(name).st_ctime for name in names()}
    wait_until_later(max(before.values()))
    for number, (_, change) in enumerate(changes):
        change(b"f%d" % number)
    touch(b"d/f")
    read(b"same")
    fails(errno.EEXIST, os.link, b"f0", b"same")
    after = {name: os.stat(name).st_ctime for name in before if name in names()}
    assert [what for n, (what, _) in enumerate(changes) if after[b"f%d" % n] <= before[b"f%d" % n]] == []
    assert os.stat(b"d").st_ctime > before[b"d"]
    assert os.stat(b"same").st_ctime == before[b"same"]
    assert mode_of(b"same") == 0o644


def wait_until_later(moment: float) -> None:
    """Return once new time stamps are later than `moment`, even in whole seconds."""
    deadline = time.monotonic() + 5
    while int(time.clock_gettime(CLOCK_REALTIME_COARSE)) <= int(moment):
        assert time.monotonic() < deadline, "the file system's clock is ahead of the system's"
        time.sleep(0.01)
