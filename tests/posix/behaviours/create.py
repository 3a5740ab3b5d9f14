"""Opening and creating files: what each open flag means."""

from __future__ import annotations

import errno
import os
import stat

from tests.posix.env import (
    Env,
    Skip,
    behaviour,
    fails,
    link_followed,
    mode_of,
    names,
    opened,
    read,
    touch,
    write,
)


@behaviour
def new_file_is_empty_and_has_one_name(env: Env) -> None:
    with opened(b"f", os.O_CREAT | os.O_WRONLY, 0o640) as fd:
        state = os.fstat(fd)
    assert stat.S_ISREG(state.st_mode)
    assert (state.st_size, state.st_nlink) == (0, 1)
    assert names() == {b"f"}


@behaviour
def new_file_belongs_to_its_maker(env: Env) -> None:
    user = env.user(2)
    env.as_user(2, touch, b"f")
    state = os.stat(b"f")
    assert (state.st_uid, state.st_gid) == (user.uid, user.gid)


@behaviour
def umask_is_taken_from_the_mode(env: Env) -> None:
    os.umask(0o027)
    with opened(b"f", os.O_CREAT | os.O_WRONLY, 0o666):
        pass
    os.mkdir(b"d", 0o777)
    os.mkfifo(b"p", 0o666)
    assert [mode_of(name) for name in (b"f", b"d", b"p")] == [0o640, 0o750, 0o640]


@behaviour
def mode_does_not_bind_the_creating_descriptor(env: Env) -> None:
    def create() -> None:
        with opened(b"f", os.O_CREAT | os.O_RDWR, 0) as fd:
            assert os.write(fd, b"x") == 1
            assert os.pread(fd, 9, 0) == b"x"

    env.as_user(1, create)
    fails(errno.EACCES, env.as_user, 1, os.open, b"f", os.O_RDONLY)


@behaviour
def existing_file_keeps_data_and_mode(env: Env) -> None:
    write(b"f", b"data")
    os.chmod(b"f", 0o600)
    with opened(b"f", os.O_CREAT | os.O_RDWR, 0o777) as fd:
        assert os.read(fd, 9) == b"data"
    assert mode_of(b"f") == 0o600


@behaviour
def missing_file_is_enoent(env: Env) -> None:
    fails(errno.ENOENT, os.open, b"f", os.O_RDONLY)
    fails(errno.ENOENT, os.open, b"d/f", os.O_RDWR | os.O_CREAT)
    fails(errno.ENOENT, os.stat, b"f")
    assert names() == set()


@behaviour
def exclusive_creates_once(env: Env) -> None:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    os.close(os.open(b"f", flags))
    fails(errno.EEXIST, os.open, b"f", flags)
    os.mkdir(b"d")
    fails(errno.EEXIST, os.open, b"d", flags)


@behaviour
def exclusive_does_not_follow_a_dangling_link(env: Env) -> None:
    os.symlink(b"nowhere", b"l")
    fails(errno.EEXIST, os.open, b"l", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    assert names() == {b"l"}


@behaviour
def create_follows_a_dangling_link(env: Env) -> None:
    os.symlink(b"target", b"l")
    write(b"l", b"through")
    assert read(b"target") == b"through"
    assert stat.S_ISLNK(os.lstat(b"l").st_mode)


@behaviour
def o_trunc_empties(env: Env) -> None:
    write(b"f", b"x" * 5000)
    with opened(b"f", os.O_WRONLY | os.O_TRUNC) as fd:
        assert os.fstat(fd).st_size == 0
    assert read(b"f") == b""


@behaviour
def o_trunc_empties_for_those_who_have_it_open(env: Env) -> None:
    write(b"f", b"x" * 5000)
    with opened(b"f", os.O_RDONLY) as reader:
        assert os.read(reader, 10) == b"x" * 10
        with opened(b"f", os.O_WRONLY | os.O_TRUNC):
            pass
        assert os.fstat(reader).st_size == 0
        assert os.read(reader, 10) == b""


@behaviour
def o_trunc_needs_write_permission(env: Env) -> None:
    write(b"f", b"data")
    fails(errno.EACCES, env.as_user, 1, os.open, b"f", os.O_WRONLY | os.O_TRUNC)
    fails(errno.EACCES, env.as_user, 1, os.open, b"f", os.O_RDONLY | os.O_TRUNC)
    assert read(b"f") == b"data"


@behaviour
def o_trunc_with_excl_leaves_the_file_alone(env: Env) -> None:
    write(b"f", b"data")
    fails(errno.EEXIST, os.open, b"f", os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_WRONLY)
    assert read(b"f") == b"data"


@behaviour
def o_directory_takes_directories_only(env: Env) -> None:
    touch(b"f")
    os.symlink(b".", b"l")
    fails(errno.ENOTDIR, os.open, b"f", os.O_RDONLY | os.O_DIRECTORY)
    for name in (b".", b"l"):
        with opened(name, os.O_RDONLY | os.O_DIRECTORY) as fd:
            assert stat.S_ISDIR(os.fstat(fd).st_mode)


@behaviour
def o_nofollow_refuses_the_last_link_only(env: Env) -> None:
    touch(b"f")
    os.symlink(b"f", b"l")
    os.symlink(b".", b"here")
    fails(errno.ELOOP, os.open, b"l", os.O_RDONLY | os.O_NOFOLLOW)
    with opened(b"here/f", os.O_RDONLY | os.O_NOFOLLOW):
        pass


@behaviour
def directory_cannot_be_opened_for_writing(env: Env) -> None:
    os.mkdir(b"d")
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_RDONLY | os.O_CREAT):
        fails(errno.EISDIR, os.open, b"d", flags)


@behaviour
def directory_cannot_be_read_as_a_file(env: Env) -> None:
    with opened(b".", os.O_RDONLY) as fd:
        fails(errno.EISDIR, os.read, fd, 10)
        fails((errno.EBADF, errno.EISDIR), os.write, fd, b"x")


@behaviour
def trailing_slash_does_not_create(env: Env) -> None:
    fails((errno.EISDIR, errno.ENOENT), os.open, b"f/", os.O_CREAT | os.O_WRONLY)
    touch(b"f")
    fails((errno.ENOTDIR, errno.EISDIR), os.open, b"f/", os.O_RDONLY)
    assert names() == {b"f"}


@behaviour
def access_mode_binds_the_descriptor(env: Env) -> None:
    write(b"f", b"data")
    with opened(b"f", os.O_RDONLY) as fd:
        fails(errno.EBADF, os.write, fd, b"x")
        fails((errno.EINVAL, errno.EBADF), os.ftruncate, fd, 0)
    with opened(b"f", os.O_WRONLY) as fd:
        fails(errno.EBADF, os.read, fd, 1)
    assert read(b"f") == b"data"


@behaviour
def write_only_file_can_be_overwritten_in_part(env: Env) -> None:
    write(b"f", b"abcdef" * 1000)
    with opened(b"f", os.O_WRONLY) as fd:
        os.pwrite(fd, b"XY", 4097)
    wanted = bytearray(b"abcdef" * 1000)
    wanted[4097:4099] = b"XY"
    assert read(b"f") == wanted


@behaviour
def o_path_names_without_opening(env: Env) -> None:
    touch(b"f", mode=0)
    with opened(b"f", os.O_PATH) as fd:
        assert os.path.samestat(os.fstat(fd), os.stat(b"f"))
        fails(errno.EBADF, os.read, fd, 1)


@behaviour
def openat_is_relative_to_its_directory(env: Env) -> None:
    os.mkdir(b"d")
    with opened(b"d", os.O_RDONLY) as at:
        os.rename(b"d", b"e")
        os.close(os.open(b"f", os.O_CREAT | os.O_WRONLY, dir_fd=at))
        fails(errno.ENOENT, os.open, b"g", os.O_RDONLY, dir_fd=at)
    assert names(b"e") == {b"f"}


@behaviour
def unnamed_temporary_file_gets_a_name_by_link(env: Env) -> None:
    try:
        fd = os.open(b".", os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOSYS):
            raise Skip("no O_TMPFILE here") from error
        raise
    os.write(fd, b"data")
    assert (names(), os.fstat(fd).st_nlink) == (set(), 0)
    link_followed(b"/proc/self/fd/%d" % fd, b"f")
    assert (read(b"f"), os.fstat(fd).st_nlink) == (b"data", 1)
    os.close(fd)
