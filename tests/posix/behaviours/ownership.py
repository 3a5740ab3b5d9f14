"""chmod and chown: who may, and what they do to set-id bits; setgid directories."""

from __future__ import annotations

import errno
import os
import stat

from tests.posix.env import ANY_ID, Env, Skip, behaviour, fails, mode_of, opened, read, touch, write

KEEP = -1


def owned(env: Env, number: int, path: bytes = b"f", mode: int = 0o644) -> None:
    """A new file of that user and the user's group."""
    user = env.user(number)
    touch(path)
    os.chown(path, user.uid, user.gid)
    os.chmod(path, mode)


@behaviour
def chmod_is_the_owners(env: Env) -> None:
    owned(env, 1, mode=0o666)
    fails(errno.EPERM, env.as_user, 2, os.chmod, b"f", 0o777)
    env.as_user(1, os.chmod, b"f", 0o600)
    assert mode_of(b"f") == 0o600


@behaviour
def fchmod_is_chmod(env: Env) -> None:
    with opened(b"f", os.O_CREAT | os.O_RDONLY, 0o600) as fd:
        os.fchmod(fd, 0o751)
        assert os.fstat(fd).st_mode == stat.S_IFREG | 0o751
    assert mode_of(b"f") == 0o751
    with opened(b".", os.O_RDONLY) as fd:
        os.fchmod(fd, 0o1777)
    assert mode_of(b".") == 0o1777


@behaviour
def chmod_keeps_the_type_and_the_data(env: Env) -> None:
    write(b"f", b"data")
    os.mkfifo(b"p")
    os.mkdir(b"d")
    for name, kind in ((b"f", stat.S_IFREG), (b"p", stat.S_IFIFO), (b"d", stat.S_IFDIR)):
        os.chmod(name, 0o705)
        assert os.stat(name).st_mode == kind | 0o705
    assert read(b"f") == b"data"


@behaviour
def chmod_and_chown_of_nothing(env: Env) -> None:
    touch(b"f")
    fails(errno.ENOENT, os.chmod, b"none", 0o600)
    fails(errno.ENOTDIR, os.chmod, b"f/x", 0o600)
    fails(errno.ENOENT, os.chown, b"none", KEEP, KEEP)
    fails(errno.ENOTDIR, os.chown, b"f/x", KEEP, KEEP)


@behaviour
def chmod_follows_links(env: Env) -> None:
    touch(b"f")
    os.symlink(b"f", b"l")
    os.chmod(b"l", 0o600)
    assert mode_of(b"f") == 0o600


@behaviour
def owner_is_changed_by_root_only(env: Env) -> None:
    owned(env, 1)
    two = env.user(2)
    fails(errno.EPERM, env.as_user, 1, os.chown, b"f", two.uid, KEEP)
    fails(errno.EPERM, env.as_user, 2, os.chown, b"f", two.uid, KEEP)
    os.chown(b"f", two.uid, KEEP)
    assert (os.stat(b"f").st_uid, os.stat(b"f").st_gid) == (two.uid, env.user(1).gid)


@behaviour
def owner_gives_the_file_to_own_groups_only(env: Env) -> None:
    owned(env, 1)
    one, two, three = (env.user(number) for number in (1, 2, 3))
    fails(errno.EPERM, env.as_user, 1, os.chown, b"f", KEEP, three.gid, groups=(two.gid,))
    fails(errno.EPERM, env.as_user, 2, os.chown, b"f", KEEP, two.gid)
    env.as_user(1, os.chown, b"f", KEEP, two.gid, groups=(two.gid,))
    assert (os.stat(b"f").st_uid, os.stat(b"f").st_gid) == (one.uid, two.gid)
    env.as_user(1, os.chown, b"f", one.uid, one.gid)
    assert os.stat(b"f").st_gid == one.gid


@behaviour
def chown_of_every_kind(env: Env) -> None:
    user = env.user(1)
    touch(b"f")
    os.mkdir(b"d")
    os.mkfifo(b"p")
    for name in (b"f", b"d", b"p"):
        os.chown(name, user.uid, user.gid)
        assert (os.stat(name).st_uid, os.stat(name).st_gid) == (user.uid, user.gid)
    with opened(b"f", os.O_RDONLY) as fd:
        os.fchown(fd, KEEP, env.user(2).gid)
        assert (os.fstat(fd).st_uid, os.fstat(fd).st_gid) == (user.uid, env.user(2).gid)


@behaviour
def largest_ids_are_kept(env: Env) -> None:
    env.need_root()
    most = env.limits.gid_max
    touch(b"f")
    os.chown(b"f", most, most)
    assert (os.stat(b"f").st_uid, os.stat(b"f").st_gid) == (most, most)


@behaviour
def larger_ids_are_refused_not_cut(env: Env) -> None:
    env.need_root()
    if env.limits.gid_max >= ANY_ID:
        raise Skip("every id can be kept")
    touch(b"f")
    for group in (env.limits.gid_max + 1, ANY_ID):
        fails((errno.EOVERFLOW, errno.EINVAL), os.chown, b"f", KEEP, group)
    assert os.stat(b"f").st_gid == 0


@behaviour
def chown_clears_set_ids_of_programs(env: Env) -> None:
    group = env.user(2).gid
    owned(env, 1, mode=0o6755)
    env.as_user(1, os.chown, b"f", KEEP, group, groups=(group,))
    assert mode_of(b"f") == 0o755


@behaviour
def chown_by_root_clears_set_ids_of_programs(env: Env) -> None:
    """POSIX leaves it to the system; Linux does."""
    owned(env, 1, mode=0o6755)
    os.chown(b"f", env.user(2).uid, KEEP)
    assert mode_of(b"f") == 0o755


@behaviour
def chown_keeps_set_ids_of_directories(env: Env) -> None:
    os.mkdir(b"d")
    os.chmod(b"d", 0o2775)
    os.chown(b"d", env.user(1).uid, env.user(1).gid)
    assert mode_of(b"d") == 0o2775


@behaviour
def writing_clears_set_ids(env: Env) -> None:
    def put() -> None:
        with opened(b"f", os.O_WRONLY) as fd:
            os.write(fd, b"x")

    owned(env, 1)
    for number in (1, 2):  # the owner too
        os.chmod(b"f", 0o6777)
        env.as_user(number, put)
        assert mode_of(b"f") == 0o777


@behaviour
def truncating_clears_set_ids(env: Env) -> None:
    def cut() -> None:
        with opened(b"f", os.O_WRONLY) as fd:
            os.ftruncate(fd, 10)

    def empty() -> None:
        os.close(os.open(b"f", os.O_WRONLY | os.O_TRUNC))

    owned(env, 1)
    for change in (cut, lambda: os.truncate(b"f", 1), empty):
        write(b"f", b"data")
        os.chmod(b"f", 0o6777)
        env.as_user(2, change)
        assert mode_of(b"f") == 0o777


@behaviour
def root_writes_and_keeps_set_ids(env: Env) -> None:
    owned(env, 1, mode=0o6755)
    with opened(b"f", os.O_WRONLY) as fd:
        os.write(fd, b"x")
    assert mode_of(b"f") == 0o6755


@behaviour
def reading_keeps_set_ids(env: Env) -> None:
    owned(env, 1, mode=0o6755)
    env.as_user(2, read, b"f")
    env.as_user(1, os.utime, b"f")
    assert mode_of(b"f") == 0o6755


@behaviour
def setgid_of_a_strange_group_is_dropped(env: Env) -> None:
    """The owner may set any mode, but set-group-id only for a group of their own."""
    owned(env, 1)
    os.chown(b"f", KEEP, env.user(2).gid)
    env.as_user(1, os.chmod, b"f", 0o2755)
    assert mode_of(b"f") == 0o755
    env.as_user(1, os.chmod, b"f", 0o2755, groups=(env.user(2).gid,))
    assert mode_of(b"f") == 0o2755


@behaviour
def setgid_directory_gives_its_group(env: Env) -> None:
    group = env.user(3).gid
    os.mkdir(b"d")
    os.chown(b"d", 0, group)
    os.chmod(b"d", 0o2777)

    def make() -> None:
        os.umask(0o022)
        touch(b"d/f")
        os.mkdir(b"d/sub", 0o755)
        os.symlink(b"f", b"d/l")
        os.mkfifo(b"d/p")
        os.mkdir(b"d/sub/sub")

    env.as_user(1, make)
    for name in (b"d/f", b"d/sub", b"d/l", b"d/p", b"d/sub/sub"):
        assert (os.lstat(name).st_uid, os.lstat(name).st_gid) == (env.user(1).uid, group)


@behaviour
def setgid_passes_to_subdirectories_only(env: Env) -> None:
    os.mkdir(b"d")
    os.chmod(b"d", 0o2777)
    os.mkdir(b"d/sub", 0o755)
    touch(b"d/f")
    os.mkdir(b"plain")
    assert (mode_of(b"d/sub"), mode_of(b"d/f"), mode_of(b"plain")) == (0o2755, 0o644, 0o755)


@behaviour
def setgid_directory_makes_no_setgid_programs_for_strangers(env: Env) -> None:
    os.mkdir(b"d")
    os.chown(b"d", 0, env.user(3).gid)
    os.chmod(b"d", 0o2777)

    def make() -> None:
        os.umask(0)
        os.close(os.open(b"d/f", os.O_CREAT | os.O_WRONLY, 0o2775))

    env.as_user(1, make)
    assert os.stat(b"d/f").st_gid == env.user(3).gid
    assert mode_of(b"d/f") == 0o775


@behaviour
def without_setgid_the_group_is_the_makers(env: Env) -> None:
    os.mkdir(b"d")
    os.chown(b"d", 0, env.user(3).gid)
    os.chmod(b"d", 0o777)
    env.as_user(1, touch, b"d/f")
    assert os.stat(b"d/f").st_gid == env.user(1).gid
