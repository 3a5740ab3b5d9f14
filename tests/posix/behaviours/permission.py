"""Who may do what: three users, their groups, and root."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from tests.posix.env import Env, behaviour, fails, mode_of, names, opened, read, touch, write

READ, WRITE, EXECUTE = os.R_OK, os.W_OK, os.X_OK


def rights(path: bytes) -> int:
    """What the caller may do with a file, found out by trying."""
    may = 0
    for right, flags in ((READ, os.O_RDONLY), (WRITE, os.O_WRONLY)):
        try:
            os.close(os.open(path, flags))
            may |= right
        except PermissionError:
            pass
    return may


@behaviour
def owner_group_and_others_each_have_their_bits(env: Env) -> None:
    owner, member = env.user(1), env.user(2)
    touch(b"f")
    os.chown(b"f", owner.uid, member.gid)
    for mode in range(8):
        for shift, number in ((6, 1), (3, 2), (0, 3)):
            os.chmod(b"f", mode << shift)
            assert env.as_user(number, rights, b"f") == mode & (READ | WRITE), (mode, number)


@behaviour
def first_class_that_fits_decides(env: Env) -> None:
    """The owner is bound by the owner's bits even if the group's or others' would allow more."""
    owner, member = env.user(1), env.user(2)
    touch(b"f")
    os.chown(b"f", owner.uid, member.gid)
    os.chmod(b"f", 0o077)
    assert env.as_user(1, rights, b"f") == 0
    os.chmod(b"f", 0o707)
    assert env.as_user(2, rights, b"f") == 0
    os.chmod(b"f", 0o770)
    assert env.as_user(3, rights, b"f") == 0


@behaviour
def supplementary_groups_count(env: Env) -> None:
    group = env.user(1).gid
    touch(b"f")
    os.chown(b"f", 0, group)
    os.chmod(b"f", 0o060)
    assert env.as_user(3, rights, b"f") == 0
    assert env.as_user(3, rights, b"f", groups=(env.user(2).gid, group)) == READ | WRITE


@behaviour
def access_agrees_with_the_bits(env: Env) -> None:
    def accessible() -> list[bool]:
        return [os.access(b"f", right) for right in (READ, WRITE, EXECUTE)]

    touch(b"f")
    for mode in range(8):
        os.chmod(b"f", mode)
        assert env.as_user(1, accessible) == [bool(mode & 4), bool(mode & 2), bool(mode & 1)]


@behaviour
def root_may_all_but_execute_what_nobody_may(env: Env) -> None:
    env.need_root()
    write(b"f", b"data")
    os.chmod(b"f", 0)
    assert read(b"f") == b"data"
    write(b"f", b"more")
    assert not os.access(b"f", EXECUTE)
    os.chmod(b"f", 0o001)
    assert os.access(b"f", EXECUTE)
    os.mkdir(b"d", 0)
    touch(b"d/f")
    assert names(b"d") == {b"f"}


@behaviour
def search_permission_is_needed_on_the_way(env: Env) -> None:
    os.makedirs(b"a/b")
    write(b"a/b/f", b"data")
    os.chmod(b"a/b/f", 0o666)
    for mode in (0o700, 0o766):
        os.chmod(b"a", mode)
        for call in (os.stat, os.unlink, os.listdir, read):
            fails(errno.EACCES, env.as_user, 1, call, b"a/b/f")
        fails(errno.EACCES, env.as_user, 1, os.stat, b"a/b/none")
    os.chmod(b"a", 0o711)
    assert env.as_user(1, read, b"a/b/f") == b"data"


@behaviour
def stat_needs_no_permission_of_the_file(env: Env) -> None:
    write(b"f", b"data")
    os.chmod(b"f", 0)
    assert env.as_user(1, os.stat, b"f").st_size == 4


@behaviour
def creating_needs_write_and_search(env: Env) -> None:
    makers: list[Callable[[bytes], None]] = [
        touch,
        os.mkdir,
        os.mkfifo,
        lambda name: os.symlink(b"none", name),
        lambda name: os.rename(b"f", name),
    ]

    def denied() -> None:
        for make in makers:
            fails(errno.EACCES, make, b"d/x")

    def allowed() -> None:
        for number, make in enumerate(makers):
            make(b"d/%d" % number)

    touch(b"f")
    os.mkdir(b"d")
    for mode in (0o775, 0o772, 0o771):
        os.chmod(b"d", mode)
        env.as_user(1, denied)
    assert names(b"d") == set()
    os.chmod(b"d", 0o773)
    env.as_user(1, allowed)
    assert len(names(b"d")) == len(makers)


@behaviour
def permission_is_checked_at_open_not_at_use(env: Env) -> None:
    env.need_root()
    write(b"f", b"data")
    os.chmod(b"f", 0o666)
    has_opened, tell = os.pipe()
    changed, go = os.pipe()

    def use() -> bytes:
        with opened(b"f", os.O_RDWR) as fd:
            os.write(tell, b"1")
            os.read(changed, 1)
            os.pwrite(fd, b"DA", 0)
            return os.pread(fd, 9, 0)

    def use_as_user() -> bytes:
        return bytes(env.as_user(1, use))

    child = env.start(use_as_user)
    os.close(tell)  # so that a child that fails does not leave us waiting
    os.read(has_opened, 1)
    os.chmod(b"f", 0)
    os.write(go, b"1")
    assert child.result() == b"DAta"


@behaviour
def change_of_mode_counts_at_once(env: Env) -> None:
    write(b"f", b"data")
    for mode, allowed in ((0o604, READ), (0o600, 0), (0o602, WRITE), (0o606, READ | WRITE)):
        os.chmod(b"f", mode)
        assert env.as_user(1, rights, b"f") == allowed


@behaviour
def change_of_directory_mode_counts_at_once(env: Env) -> None:
    os.mkdir(b"d")
    write(b"d/f", b"data")
    for mode, allowed in ((0o711, True), (0o700, False), (0o711, True)):
        os.chmod(b"d", mode)
        if allowed:
            assert env.as_user(1, read, b"d/f") == b"data"
        else:
            fails(errno.EACCES, env.as_user, 1, read, b"d/f")


@behaviour
def sticky_directory_guards_other_peoples_files(env: Env) -> None:
    os.mkdir(b"d")
    os.chmod(b"d", 0o1777)
    env.as_user(1, touch, b"d/f")
    env.as_user(1, os.mkdir, b"d/sub")
    env.as_user(2, touch, b"d/own")
    denied = (errno.EPERM, errno.EACCES)
    fails(denied, env.as_user, 2, os.unlink, b"d/f")
    fails(denied, env.as_user, 2, os.rmdir, b"d/sub")
    fails(denied, env.as_user, 2, os.rename, b"d/f", b"d/g")
    fails(denied, env.as_user, 2, os.rename, b"d/own", b"d/f")
    fails(denied, env.as_user, 2, os.rename, b"d/f", b"moved")
    assert names(b"d") == {b"f", b"sub", b"own"}


@behaviour
def sticky_directory_lets_owners_work(env: Env) -> None:
    os.mkdir(b"d")
    os.chmod(b"d", 0o1777)
    env.as_user(1, touch, b"d/a", b"d/b")
    env.as_user(1, os.mkdir, b"d/sub")
    env.as_user(1, os.rename, b"d/a", b"d/c")
    env.as_user(1, os.rename, b"d/c", b"d/b")
    env.as_user(1, os.rmdir, b"d/sub")
    env.as_user(1, os.unlink, b"d/b")
    env.as_user(1, touch, b"d/f")
    os.unlink(b"d/f")
    assert names(b"d") == set()


@behaviour
def owner_of_a_sticky_directory_may_remove(env: Env) -> None:
    os.mkdir(b"d")
    os.chown(b"d", env.user(3).uid, env.user(3).gid)
    os.chmod(b"d", 0o1777)
    env.as_user(1, touch, b"d/f", b"d/g")
    env.as_user(3, os.unlink, b"d/f")
    env.as_user(3, os.rename, b"d/g", b"d/h")
    assert names(b"d") == {b"h"}


@behaviour
def o_path_and_chdir_need_search_only(env: Env) -> None:
    os.mkdir(b"d")
    os.chmod(b"d", 0o711)
    env.as_user(1, os.chdir, b"d")
    os.chmod(b"d", 0o766)
    fails(errno.EACCES, env.as_user, 1, os.chdir, b"d")
    touch(b"f")
    fails(errno.ENOTDIR, os.chdir, b"f")


@behaviour
def mode_bits_are_kept_exactly(env: Env) -> None:
    touch(b"f")
    os.mkdir(b"d")
    for mode in (0, 0o1, 0o777, 0o421, 0o1777, 0o2770, 0o4711, 0o7777):
        for name in (b"f", b"d"):
            os.chmod(name, mode)
            assert mode_of(name) == mode
    os.chmod(b"d", 0o755)
