"""Removing names, and files that are open while their last name goes."""

from __future__ import annotations

import errno
import os

from tests.posix.env import Env, behaviour, fails, names, opened, read, touch, write


@behaviour
def removed_name_is_gone(env: Env) -> None:
    touch(b"f")
    os.unlink(b"f")
    fails(errno.ENOENT, os.stat, b"f")
    fails(errno.ENOENT, os.unlink, b"f")
    assert names() == set()


@behaviour
def every_kind_but_directories(env: Env) -> None:
    os.mkfifo(b"p")
    os.symlink(b"none", b"l")
    os.mkdir(b"d")
    for name in (b"p", b"l"):
        os.unlink(name)
    fails((errno.EISDIR, errno.EPERM), os.unlink, b"d")
    assert names() == {b"d"}


@behaviour
def open_file_lives_on(env: Env) -> None:
    write(b"f", b"data")
    with opened(b"f", os.O_RDWR) as fd:
        os.unlink(b"f")
        assert names() == set()
        assert os.fstat(fd).st_nlink == 0
        assert os.read(fd, 9) == b"data"
        os.write(fd, b" and more")
        os.ftruncate(fd, 20_000)
        os.fsync(fd)
        assert os.pread(fd, 30, 0)[:16] == b"data and more\0\0\0"
        assert os.fstat(fd).st_size == 20_000


@behaviour
def name_of_an_open_file_can_be_used_again(env: Env) -> None:
    write(b"f", b"old")
    with opened(b"f", os.O_RDONLY) as old:
        os.unlink(b"f")
        write(b"f", b"new")
        assert not os.path.samestat(os.fstat(old), os.stat(b"f"))
        assert os.read(old, 9) == b"old"
    assert read(b"f") == b"new"


@behaviour
def open_file_can_be_changed_after_its_name_went(env: Env) -> None:
    with opened(b"f") as fd:
        os.unlink(b"f")
        os.fchmod(fd, 0o640)
        os.utime(fd, (1000, 2000))
        state = os.fstat(fd)
        assert state.st_mode & 0o777 == 0o640
        assert state.st_mtime == 2000
        assert not os.pread(fd, 1, 0)


@behaviour
def last_close_frees_the_space(env: Env) -> None:
    """Free counts may come late, so the space is used again, more often than a small image could bear."""
    for turn in range(100):
        with opened(b"f") as fd:
            os.unlink(b"f")
            os.write(fd, bytes([turn]) * (1 << 20))
            assert os.pread(fd, 1, (1 << 20) - 1) == bytes([turn])


@behaviour
def two_descriptors_one_unlinked_file(env: Env) -> None:
    with opened(b"f") as first:
        with opened(b"f", os.O_RDWR) as second:
            os.unlink(b"f")
            os.write(second, b"by second")
        assert os.read(first, 99) == b"by second"


@behaviour
def symbolic_link_goes_and_its_target_stays(env: Env) -> None:
    touch(b"f")
    os.symlink(b"f", b"l")
    os.unlink(b"l")
    assert names() == {b"f"}


@behaviour
def wrong_paths(env: Env) -> None:
    touch(b"f")
    fails(errno.ENOTDIR, os.unlink, b"f/")
    fails(errno.ENOTDIR, os.unlink, b"f/x")
    fails(errno.ENOENT, os.unlink, b"d/x")
    fails(errno.ENOENT, os.unlink, b"")
    fails((errno.EISDIR, errno.EPERM, errno.EINVAL), os.unlink, b".")
    fails((errno.EISDIR, errno.EPERM, errno.EINVAL), os.unlink, b"..")
    assert names() == {b"f"}


@behaviour
def unlink_needs_write_permission_of_the_directory(env: Env) -> None:
    os.mkdir(b"d", 0o755)
    touch(b"d/f", mode=0o666)
    fails(errno.EACCES, env.as_user, 1, os.unlink, b"d/f")
    os.chmod(b"d", 0o777)
    os.chmod(b"d/f", 0)
    env.as_user(1, os.unlink, b"d/f")
    assert names(b"d") == set()


@behaviour
def unlinked_while_another_process_reads(env: Env) -> None:
    write(b"f", b"x" * 50_000)
    has_opened, tell = os.pipe()
    removed, go = os.pipe()

    def reader() -> bytes:
        with opened(b"f", os.O_RDONLY) as fd:
            os.write(tell, b"1")
            os.read(removed, 1)
            return os.read(fd, 100_000)

    child = env.start(reader)
    os.close(tell)  # so that a child that fails does not leave us waiting
    os.read(has_opened, 1)
    os.unlink(b"f")
    os.write(go, b"1")
    assert child.result() == b"x" * 50_000


@behaviour
def removed_by_one_of_many(env: Env) -> None:
    """Of several processes that remove the same name, exactly one succeeds."""
    touch(b"f")
    ready, go = os.pipe()

    def remove() -> bool:
        os.close(go)
        os.read(ready, 1)
        try:
            os.unlink(b"f")
        except FileNotFoundError:
            return False
        return True

    children = [env.start(remove) for _ in range(4)]
    os.close(go)
    assert sorted(child.result() for child in children) == [False, False, False, True]
