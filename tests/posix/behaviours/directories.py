"""Making and removing directories, their link counts, and a working directory that goes away."""

from __future__ import annotations

import errno
import os
import stat

from tests.posix.env import Env, behaviour, fails, links, mode_of, names, opened, same_file, touch


@behaviour
def new_directory_is_empty(env: Env) -> None:
    os.mkdir(b"d", 0o751)
    state = os.stat(b"d")
    assert stat.S_ISDIR(state.st_mode)
    assert mode_of(b"d") == 0o751
    assert names(b"d") == set()
    assert (state.st_uid, state.st_gid) == (os.geteuid(), os.getegid())


@behaviour
def dot_and_dotdot(env: Env) -> None:
    os.makedirs(b"d/e")
    assert same_file(b"d/.", b"d")
    assert same_file(b"d/e/..", b"d")
    assert same_file(b"d/e/../../d/./e", b"d/e")
    assert same_file(b"d/..", b".")


@behaviour
def link_count_is_two_and_the_subdirectories(env: Env) -> None:
    before = links(b".")
    os.mkdir(b"d")
    counts = [links(b"d")]
    for step, name in (
        (os.mkdir, b"d/a"),
        (os.mkdir, b"d/b"),
        (touch, b"d/f"),
        (os.mkfifo, b"d/p"),
        (os.rmdir, b"d/a"),
        (os.rmdir, b"d/b"),
    ):
        step(name)
        counts.append(links(b"d"))
    assert counts == [2, 3, 4, 4, 4, 3, 2]
    assert links(b".") == before + 1


@behaviour
def existing_name_is_eexist(env: Env) -> None:
    touch(b"f")
    os.mkdir(b"d")
    os.symlink(b"none", b"l")
    for name in (b"f", b"d", b"l", b".", b"..", b"d/."):
        fails(errno.EEXIST, os.mkdir, name)
    assert names() == {b"f", b"d", b"l"}


@behaviour
def wrong_parents(env: Env) -> None:
    touch(b"f")
    fails(errno.ENOENT, os.mkdir, b"none/d")
    fails(errno.ENOTDIR, os.mkdir, b"f/d")
    fails(errno.ENOENT, os.mkdir, b"")


@behaviour
def trailing_slash_is_fine(env: Env) -> None:
    os.mkdir(b"d/")
    os.mkdir(b"d//e///")
    os.rmdir(b"d/e/")
    assert names(b"d/") == set()


@behaviour
def rmdir_takes_only_empty_directories(env: Env) -> None:
    os.mkdir(b"d")
    for make, remove in ((touch, os.unlink), (os.mkdir, os.rmdir), (os.mkfifo, os.unlink)):
        make(b"d/x")
        fails((errno.ENOTEMPTY, errno.EEXIST), os.rmdir, b"d")
        remove(b"d/x")
    os.rmdir(b"d")
    fails(errno.ENOENT, os.rmdir, b"d")


@behaviour
def rmdir_takes_only_directories(env: Env) -> None:
    touch(b"f")
    os.symlink(b".", b"l")
    fails(errno.ENOTDIR, os.rmdir, b"f")
    fails(errno.ENOTDIR, os.rmdir, b"l")
    fails(errno.ENOTDIR, os.rmdir, b"f/x")
    assert names() == {b"f", b"l"}


@behaviour
def rmdir_of_dot_and_dotdot(env: Env) -> None:
    os.makedirs(b"d/e")
    fails(errno.EINVAL, os.rmdir, b"d/e/.")
    fails((errno.ENOTEMPTY, errno.EEXIST, errno.EINVAL), os.rmdir, b"d/e/..")
    assert names(b"d") == {b"e"}


@behaviour
def rmdir_needs_write_permission_of_the_parent(env: Env) -> None:
    os.mkdir(b"d", 0o755)
    os.mkdir(b"d/e", 0o777)
    fails(errno.EACCES, env.as_user, 1, os.rmdir, b"d/e")
    fails(errno.EACCES, env.as_user, 1, os.mkdir, b"d/x")
    assert names(b"d") == {b"e"}


@behaviour
def removed_working_directory_is_a_dead_end(env: Env) -> None:
    os.mkdir(b"d")
    os.chdir(b"d")
    os.rmdir(b"../d")
    fails(errno.ENOENT, os.getcwd)
    fails(errno.ENOENT, os.mkdir, b"x")
    fails(errno.ENOENT, os.open, b"f", os.O_CREAT | os.O_WRONLY)
    fails(errno.ENOENT, os.symlink, b"none", b"l")
    assert os.listdir(b".") == []
    os.chdir(env.root)
    assert names() == set()


@behaviour
def removed_open_directory_has_no_links(env: Env) -> None:
    os.mkdir(b"d")
    with opened(b"d", os.O_RDONLY) as fd:
        os.rmdir(b"d")
        assert os.fstat(fd).st_nlink == 0
        assert os.listdir(fd) == []
        fails(errno.ENOENT, os.open, b"f", os.O_CREAT | os.O_WRONLY, dir_fd=fd)


@behaviour
def directory_of_the_same_name_is_another(env: Env) -> None:
    os.mkdir(b"d")
    with opened(b"d", os.O_RDONLY) as old:
        os.rmdir(b"d")
        os.mkdir(b"d")
        touch(b"d/f")
        assert not os.path.samestat(os.fstat(old), os.stat(b"d"))
        assert os.listdir(old) == []
    assert names(b"d") == {b"f"}


@behaviour
def working_directory_follows_its_renaming(env: Env) -> None:
    os.mkdir(b"d")
    os.mkdir(b"e")
    os.chdir(b"d")
    os.rename(b"../d", b"../e/x")
    touch(b"f")
    assert same_file(b"..", os.path.join(env.root, b"e"))
    assert os.getcwdb() == os.path.join(os.path.realpath(env.root), b"e/x")
    os.chdir(env.root)
    assert names(b"e/x") == {b"f"}


@behaviour
def deep_trees(env: Env) -> None:
    for _ in range(100):
        os.mkdir(b"deeper")
        os.chdir(b"deeper")
    touch(b"bottom")
    os.chdir(env.root)
    assert os.path.exists(b"deeper/" * 100 + b"bottom")
    assert same_file(b"deeper/" * 100 + b"../" * 99, b"deeper")


@behaviour
def deeper_than_any_path(env: Env) -> None:
    """A tree can be deeper than PATH_MAX; only a path cannot say so in one piece."""
    name = b"d" * 14
    for _ in range(300):
        os.mkdir(name)
        os.chdir(name)
    touch(b"f")
    os.chdir(env.root)
    fails(errno.ENAMETOOLONG, os.stat, (name + b"/") * 300 + b"f")
    os.chdir((name + b"/") * 200)
    assert names((name + b"/") * 100) == {b"f"}


@behaviour
def many_subdirectories(env: Env) -> None:
    before = links(b".")
    for number in range(150):
        os.mkdir(b"d%d" % number)
    assert links(b".") == before + 150
    for number in range(150):
        os.rmdir(b"d%d" % number)
    assert links(b".") == before


@behaviour
def making_is_seen_by_other_processes(env: Env) -> None:
    fails(errno.ENOENT, os.stat, b"d")
    env.start(os.mkdir, b"d").result()
    assert names(b"d") == set()
    env.start(os.rmdir, b"d").result()
    fails(errno.ENOENT, os.stat, b"d")
