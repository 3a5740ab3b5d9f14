"""Hard links."""

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
    links,
    names,
    opened,
    read,
    same_file,
    touch,
    write,
)


@behaviour
def two_names_one_file(env: Env) -> None:
    write(b"a", b"data")
    os.link(b"a", b"b")
    assert same_file(b"a", b"b")
    assert links(b"a") == links(b"b") == 2
    write(b"b", b"changed")
    os.chmod(b"b", 0o600)
    assert read(b"a") == b"changed"
    assert stat.S_IMODE(os.stat(b"a").st_mode) == 0o600


@behaviour
def last_name_takes_the_file(env: Env) -> None:
    write(b"a", b"data")
    os.link(b"a", b"b")
    os.unlink(b"a")
    assert read(b"b") == b"data"
    assert links(b"b") == 1
    fails(errno.ENOENT, os.stat, b"a")


@behaviour
def link_count_of_an_open_file_follows(env: Env) -> None:
    with opened(b"a") as fd:
        counts = [os.fstat(fd).st_nlink]
        os.link(b"a", b"b")
        for name in (b"a", b"b"):
            counts.append(os.fstat(fd).st_nlink)
            os.unlink(name)
        counts.append(os.fstat(fd).st_nlink)
    assert counts == [1, 2, 1, 0]


@behaviour
def existing_name_is_eexist(env: Env) -> None:
    touch(b"a", b"b")
    os.mkdir(b"d")
    os.symlink(b"none", b"l")
    for name in (b"a", b"b", b"d", b"l"):
        fails(errno.EEXIST, os.link, b"a", name)
    assert links(b"a") == 1


@behaviour
def directories_have_one_name(env: Env) -> None:
    os.mkdir(b"d")
    fails(errno.EPERM, os.link, b"d", b"e")
    fails((errno.EPERM, errno.EEXIST), os.link, b"d", b"d/e")
    assert names() == {b"d"}


@behaviour
def missing_files_and_directories(env: Env) -> None:
    touch(b"a")
    fails(errno.ENOENT, os.link, b"none", b"b")
    fails(errno.ENOENT, os.link, b"a", b"none/b")
    fails(errno.ENOTDIR, os.link, b"a", b"a/b")
    fails(errno.ENOTDIR, os.link, b"a/b", b"c")
    assert links(b"a") == 1


@behaviour
def link_to_a_symbolic_link_is_to_itself(env: Env) -> None:
    touch(b"f")
    os.symlink(b"f", b"l")
    os.link(b"l", b"m", follow_symlinks=False)
    assert same_file(b"l", b"m")
    assert os.readlink(b"m") == b"f"
    assert (links(b"l"), links(b"f")) == (2, 1)


@behaviour
def link_can_follow_a_symbolic_link(env: Env) -> None:
    touch(b"f")
    os.symlink(b"f", b"l")
    link_followed(b"l", b"m")
    assert same_file(b"f", b"m")


@behaviour
def special_files_can_be_linked(env: Env) -> None:
    os.mkfifo(b"p")
    os.link(b"p", b"q")
    assert same_file(b"p", b"q")
    os.unlink(b"p")
    assert stat.S_ISFIFO(os.stat(b"q").st_mode)


@behaviour
def unlinked_file_gets_no_new_name(env: Env) -> None:
    with opened(b"f") as fd:
        os.unlink(b"f")
        fails(errno.ENOENT, link_followed, b"/proc/self/fd/%d" % fd, b"g")
    assert names() == set()


@behaviour
def link_needs_write_permission_of_the_directory(env: Env) -> None:
    touch(b"f", mode=0o666)
    os.mkdir(b"d", 0o755)
    fails(errno.EACCES, env.as_user, 1, os.link, b"f", b"d/f")
    os.chmod(b"d", 0o777)
    env.as_user(1, os.link, b"f", b"d/f")
    assert links(b"f") == 2


@behaviour
def link_crosses_directories(env: Env) -> None:
    os.mkdir(b"d")
    os.mkdir(b"e")
    write(b"d/f", b"data")
    os.link(b"d/f", b"e/g")
    os.unlink(b"d/f")
    os.rmdir(b"d")
    assert read(b"e/g") == b"data"


@behaviour
def link_across_file_systems_is_exdev(env: Env) -> None:
    touch(b"f")
    other = b"/proc/self/status"
    assert os.stat(other).st_dev != os.stat(b"f").st_dev
    fails(errno.EXDEV, os.link, other, b"g")


@behaviour
def many_links(env: Env) -> None:
    touch(b"f")
    for number in range(200):
        os.link(b"f", b"l%d" % number)
    assert links(b"f") == 201
    for number in range(200):
        os.unlink(b"l%d" % number)
    assert links(b"f") == 1


@behaviour
def one_link_too_many_is_emlink(env: Env) -> None:
    most = env.limits.link_max
    if most is None:
        raise Skip("no link limit given")
    touch(b"f")
    for number in range(1, most):
        os.link(b"f", b"l%d" % number)
    fails(errno.EMLINK, os.link, b"f", b"more")
    os.unlink(b"l1")
    os.link(b"f", b"again")
    assert links(b"f") == most
