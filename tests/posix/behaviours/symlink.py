"""Symbolic links: their text, following them, and loops."""

from __future__ import annotations

import errno
import os
import stat

from tests.posix.env import Env, behaviour, fails, links, names, opened, read, same_file, touch, write


@behaviour
def text_is_kept_as_it_is(env: Env) -> None:
    for number, text in enumerate((b"f", b"/a//b/../c/", b"\xff\xfe\n\t ", b"x" * 59, b"x" * 60, b"x" * 61)):
        name = b"l%d" % number
        os.symlink(text, name)
        assert os.readlink(name) == text
        state = os.lstat(name)
        assert stat.S_ISLNK(state.st_mode)
        assert (state.st_size, state.st_nlink) == (len(text), 1)


@behaviour
def longest_text(env: Env) -> None:
    text = (b"0123456789/" * 500)[: env.limits.symlink_max]
    os.symlink(text, b"l")
    assert os.readlink(b"l") == text
    assert os.lstat(b"l").st_size == len(text)


@behaviour
def too_long_or_empty_text(env: Env) -> None:
    fails(errno.ENAMETOOLONG, os.symlink, b"x" * 4096, b"l")
    fails(errno.ENOENT, os.symlink, b"", b"l")
    assert names() == set()


@behaviour
def links_are_followed(env: Env) -> None:
    os.mkdir(b"d")
    write(b"d/f", b"data")
    os.symlink(b"d", b"ld")
    os.symlink(b"ld/f", b"lf")
    os.symlink(env.root + b"/d/f", b"labs")
    os.symlink(b"../lf", b"d/back")
    for name in (b"lf", b"ld/f", b"labs", b"d/back", b"ld/back"):
        assert read(name) == b"data"
    assert os.path.samestat(os.stat(b"ld"), os.stat(b"d"))
    assert not same_file(b"ld", b"d")


@behaviour
def text_is_relative_to_the_link(env: Env) -> None:
    os.mkdir(b"d")
    write(b"f", b"outer")
    write(b"d/f", b"inner")
    os.symlink(b"f", b"d/l")
    assert read(b"d/l") == b"inner"
    os.rename(b"d/l", b"l")
    assert read(b"l") == b"outer"


@behaviour
def dangling_link(env: Env) -> None:
    os.symlink(b"none", b"l")
    fails(errno.ENOENT, os.stat, b"l")
    fails(errno.ENOENT, os.open, b"l", os.O_RDONLY)
    fails(errno.ENOENT, os.chdir, b"l")
    assert stat.S_ISLNK(os.lstat(b"l").st_mode)
    touch(b"none")
    assert os.stat(b"l").st_size == 0


@behaviour
def loops_are_eloop(env: Env) -> None:
    os.symlink(b"self", b"self")
    os.symlink(b"pong", b"ping")
    os.symlink(b"ping", b"pong")
    for name in (b"self", b"ping", b"self/x", b"ping/x"):
        fails(errno.ELOOP, os.stat, name)
        fails(errno.ELOOP, os.open, name, os.O_RDONLY)
    os.unlink(b"self")
    os.rename(b"ping", b"self")


@behaviour
def chains_are_followed(env: Env) -> None:
    write(b"l0", b"data")
    for number in range(1, 9):  # POSIX: at least eight
        os.symlink(b"l%d" % (number - 1), b"l%d" % number)
    assert read(b"l8") == b"data"


@behaviour
def endless_chains_are_eloop(env: Env) -> None:
    touch(b"l0")
    for number in range(1, 60):
        os.symlink(b"l%d" % (number - 1), b"l%d" % number)
    fails(errno.ELOOP, os.stat, b"l59")


@behaviour
def readlink_of_anything_else_is_einval(env: Env) -> None:
    touch(b"f")
    for name in (b"f", b"."):
        fails(errno.EINVAL, os.readlink, name)
    fails(errno.ENOENT, os.readlink, b"none")
    fails(errno.ENOTDIR, os.readlink, b"f/x")


@behaviour
def existing_name_is_eexist(env: Env) -> None:
    touch(b"f")
    os.symlink(b"none", b"l")
    for name in (b"f", b"l", b"."):
        fails(errno.EEXIST, os.symlink, b"x", name)
    assert os.readlink(b"l") == b"none"


@behaviour
def trailing_slash_follows_to_a_directory(env: Env) -> None:
    os.mkdir(b"d")
    touch(b"f")
    os.symlink(b"d", b"ld")
    os.symlink(b"f", b"lf")
    assert stat.S_ISDIR(os.lstat(b"ld/").st_mode)
    fails(errno.ENOTDIR, os.lstat, b"lf/")
    fails((errno.EINVAL, errno.ENOTDIR), os.readlink, b"ld/")


@behaviour
def dotdot_behind_a_link_is_the_targets(env: Env) -> None:
    os.makedirs(b"a/b")
    os.symlink(b"a/b", b"l")
    assert same_file(b"l/..", b"a")


@behaviour
def replaced_link_is_followed_anew(env: Env) -> None:
    write(b"one", b"1")
    write(b"two", b"2")
    for target in (b"one", b"two") * 3:
        os.symlink(target, b"next")
        os.rename(b"next", b"l")
        assert os.readlink(b"l") == target
        assert read(b"l") == read(target)


@behaviour
def owner_of_a_link_can_be_changed(env: Env) -> None:
    user = env.user(1)
    touch(b"f")
    os.symlink(b"f", b"l")
    os.lchown(b"l", user.uid, user.gid)
    assert (os.lstat(b"l").st_uid, os.lstat(b"l").st_gid) == (user.uid, user.gid)
    assert os.stat(b"f").st_uid == 0
    os.chown(b"l", env.user(2).uid, -1)
    assert (os.lstat(b"l").st_uid, os.stat(b"f").st_uid) == (user.uid, env.user(2).uid)


@behaviour
def permissions_of_a_link_do_not_count(env: Env) -> None:
    write(b"f", b"data")
    os.chmod(b"f", 0o644)
    os.symlink(b"f", b"l")
    assert env.as_user(1, read, b"l") == b"data"
    assert env.as_user(1, os.readlink, b"l") == b"f"


@behaviour
def many_links_to_directories(env: Env) -> None:
    os.mkdir(b"d")
    for number in range(50):
        os.symlink(b"../d", b"d/l%d" % number)
    assert links(b"d") == 2
    with opened(b"d/l0/l1/l2/f", os.O_CREAT | os.O_WRONLY):
        pass
    assert b"f" in names(b"d")
