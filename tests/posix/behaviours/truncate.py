"""truncate and ftruncate: shrinking, growing, and what must not come back."""

from __future__ import annotations

import errno
import os

from tests.posix.behaviours.readwrite import pattern
from tests.posix.env import Env, behaviour, fails, opened, read, touch, write


@behaviour
def shrinking_keeps_the_front(env: Env) -> None:
    data = pattern(300_000)
    write(b"f", data)
    for size in (299_999, 270_000, 40_000, 12_288, 8193, 4096, 1024, 1000, 1, 0):
        os.truncate(b"f", size)
        assert os.stat(b"f").st_size == size
        assert read(b"f") == data[:size]


@behaviour
def growing_adds_zeros(env: Env) -> None:
    write(b"f", b"abc")
    for size in (4, 1024, 1025, 4096, 10_000, 300_000):
        os.truncate(b"f", size)
        assert read(b"f") == b"abc" + bytes(size - 3)


@behaviour
def old_data_does_not_come_back(env: Env) -> None:
    for small, large in ((10, 500), (1000, 3000), (4100, 12_000), (0, 20_000)):
        write(b"f", b"x" * 20_000)
        os.truncate(b"f", small)
        os.truncate(b"f", large)
        assert read(b"f") == b"x" * small + bytes(large - small)


@behaviour
def old_data_does_not_come_back_behind_a_write(env: Env) -> None:
    write(b"f", b"x" * 9000)
    with opened(b"f", os.O_RDWR) as fd:
        os.ftruncate(fd, 100)
        os.pwrite(fd, b"end", 8000)
    assert read(b"f") == b"x" * 100 + bytes(7900) + b"end"


@behaviour
def ftruncate_keeps_the_position(env: Env) -> None:
    with opened(b"f") as fd:
        os.write(fd, b"0123456789")
        os.ftruncate(fd, 4)
        assert os.lseek(fd, 0, os.SEEK_CUR) == 10
        assert os.read(fd, 1) == b""
        os.write(fd, b"x")
    assert read(b"f") == b"0123\0\0\0\0\0\0x"


@behaviour
def truncating_reaches_open_readers(env: Env) -> None:
    write(b"f", b"x" * 10_000)
    with opened(b"f", os.O_RDONLY) as fd:
        assert len(os.pread(fd, 20_000, 0)) == 10_000
        os.truncate(b"f", 5000)
        assert os.pread(fd, 20_000, 0) == b"x" * 5000
        os.truncate(b"f", 6000)
        assert os.pread(fd, 20_000, 4999) == b"x" + bytes(1000)


@behaviour
def truncating_frees_blocks(env: Env) -> None:
    with opened(b"f") as fd:
        os.write(fd, b"x" * 500_000)
        os.fsync(fd)
        assert os.fstat(fd).st_blocks * 512 >= 500_000
        os.ftruncate(fd, 0)
        assert os.fstat(fd).st_blocks == 0


@behaviour
def wrong_kinds_and_sizes(env: Env) -> None:
    touch(b"f")
    os.mkdir(b"d")
    fails(errno.EISDIR, os.truncate, b"d", 0)
    fails(errno.ENOENT, os.truncate, b"none", 0)
    fails(errno.ENOTDIR, os.truncate, b"f/x", 0)
    fails(errno.EINVAL, os.truncate, b"f", -1)
    with opened(b"f", os.O_RDWR) as fd:
        fails(errno.EINVAL, os.ftruncate, fd, -1)
    with opened(b"d", os.O_RDONLY) as fd:
        fails((errno.EINVAL, errno.EBADF), os.ftruncate, fd, 0)


@behaviour
def truncate_needs_write_permission(env: Env) -> None:
    write(b"f", b"data")
    fails(errno.EACCES, env.as_user, 1, os.truncate, b"f", 0)
    os.chmod(b"f", 0o622)
    env.as_user(1, os.truncate, b"f", 2)
    assert read(b"f") == b"da"


@behaviour
def descriptor_truncates_what_the_name_forbids(env: Env) -> None:
    def make_and_truncate() -> None:
        with opened(b"f", os.O_CREAT | os.O_RDWR, 0) as fd:
            os.write(fd, b"data")
            fails(errno.EACCES, os.truncate, b"f", 1)
            os.ftruncate(fd, 2)

    env.as_user(1, make_and_truncate)
    assert read(b"f") == b"da"


@behaviour
def truncate_follows_links(env: Env) -> None:
    write(b"f", b"data")
    os.symlink(b"f", b"l")
    os.truncate(b"l", 1)
    assert read(b"f") == b"d"
    assert os.readlink(b"l") == b"f"
