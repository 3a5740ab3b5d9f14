"""Which names there are, how long they may be, and how paths are read."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from tests.posix.env import Env, Skip, behaviour, fails, names, opened, read, same_file, touch, write


@behaviour
def every_byte_but_slash_and_nul(env: Env) -> None:
    wanted = {bytes([byte]) for byte in range(1, 256) if byte not in b"./"}
    touch(*wanted)
    assert names() == wanted
    for name in wanted:
        os.unlink(name)


@behaviour
def names_that_are_not_text(env: Env) -> None:
    wanted = {b"\xff\xfe\x80", b"\xc3\x28", b"a\nb", b" ", b"...", b"-rf", b"\\"}
    wanted |= {b"caf\xc3\xa9", b"cafe\xcc\x81"}  # one word in two spellings: two names
    for name in wanted:
        write(name, name)
    assert names() == wanted
    assert all(read(name) == name for name in wanted)


@behaviour
def case_matters(env: Env) -> None:
    write(b"name", b"small")
    write(b"NAME", b"large")
    assert (read(b"name"), read(b"NAME")) == (b"small", b"large")


@behaviour
def every_length_up_to_the_longest(env: Env) -> None:
    wanted = {b"n" * length for length in range(1, env.limits.name_max + 1)}
    for name in wanted:
        write(name, b"%d" % len(name))
    assert names() == wanted
    assert all(read(name) == b"%d" % len(name) for name in wanted)


@behaviour
def longest_names_differ_in_their_last_byte(env: Env) -> None:
    front = b"n" * (env.limits.name_max - 1)
    write(front + b"a", b"a")
    write(front + b"b", b"b")
    write(front, b"short")
    assert (read(front + b"a"), read(front + b"b"), read(front)) == (b"a", b"b", b"short")


@behaviour
def too_long_names_are_refused(env: Env) -> None:
    if not env.limits.long_names_fail:
        raise Skip("longer names are cut here")
    name = b"n" * (env.limits.name_max + 1)
    touch(b"f")
    for call in (os.stat, touch, os.mkdir, os.mkfifo, os.unlink, os.rmdir, os.readlink):
        fails(errno.ENAMETOOLONG, call, name)
    for two in (os.rename, os.link, os.symlink):
        fails(errno.ENAMETOOLONG, two, b"f", name)
    fails(errno.ENAMETOOLONG, os.rename, name, b"g")
    fails(errno.ENAMETOOLONG, os.stat, name + b"/x")
    assert names() == {b"f"}


@behaviour
def too_long_names_are_cut(env: Env) -> None:
    if env.limits.long_names_fail:
        raise Skip("longer names are refused here")
    name = b"n" * env.limits.name_max
    write(name + b"more", b"data")
    assert names() == {name}
    assert read(name) == read(name + b"other") == b"data"
    os.unlink(name + b"x")
    assert names() == set()


@behaviour
def longest_path(env: Env) -> None:
    touch(b"f")
    path = b"./" * 2047 + b"f"
    assert len(path) == 4095  # PATH_MAX counts the terminator
    assert os.stat(path).st_size == 0
    for call in (os.stat, touch, os.mkdir):
        fails(errno.ENAMETOOLONG, call, b"/" + path)


@behaviour
def empty_path_is_enoent(env: Env) -> None:
    for call in (os.stat, os.mkdir, os.rmdir, os.unlink, os.chdir, os.listdir):
        fails(errno.ENOENT, call, b"")
    fails(errno.ENOENT, os.open, b"", os.O_CREAT | os.O_WRONLY)


@behaviour
def slashes_run_together(env: Env) -> None:
    os.makedirs(b"a/b")
    touch(b"a/b/f")
    for path in (b"a//b///f", b"./a/./b/./f", b"a/b/../b/f", b"a/../a/b/f", b".//a/b/f"):
        assert same_file(path, b"a/b/f")
    assert same_file(b"a/", b"a")
    assert same_file(b"a/b/..//", b"a")


@behaviour
def file_is_no_directory_on_the_way(env: Env) -> None:
    touch(b"f")
    for path in (b"f/x", b"f/", b"f/.", b"f/..", b"f/../f"):
        fails(errno.ENOTDIR, os.stat, path)
    fails(errno.ENOTDIR, os.open, b"f/x", os.O_CREAT | os.O_WRONLY)
    fails(errno.ENOTDIR, os.listdir, b"f/x")


@behaviour
def missing_directory_on_the_way(env: Env) -> None:
    for path in (b"none/x", b"none/", b"none/../x", b"none/."):
        fails(errno.ENOENT, os.stat, path)


@behaviour
def absence_is_forgotten_when_the_name_comes(env: Env) -> None:
    touch(b"f")
    makers: list[Callable[[bytes], None]] = [
        touch,
        os.mkdir,
        os.mkfifo,
        lambda name: os.symlink(b"none", name),
        lambda name: os.link(b"f", name),
        lambda name: os.rename(b"f", name),
    ]
    for number, make in enumerate(makers):
        fails(errno.ENOENT, os.lstat, b"x")
        make(b"x")
        os.lstat(b"x")
        os.rename(b"x", b"gone%d" % number)


@behaviour
def absence_is_forgotten_when_another_process_makes_the_name(env: Env) -> None:
    for number in range(10):
        name = b"f%d" % number
        fails(errno.ENOENT, os.stat, name)
        env.start(touch, name).result()
        assert os.stat(name).st_size == 0
        env.start(os.unlink, name).result()
        fails(errno.ENOENT, os.stat, name)


@behaviour
def name_can_change_its_kind(env: Env) -> None:
    for _ in range(3):
        touch(b"x")
        os.unlink(b"x")
        os.mkdir(b"x")
        touch(b"x/f")
        os.unlink(b"x/f")
        os.rmdir(b"x")
        os.symlink(b"none", b"x")
        os.unlink(b"x")
        os.mkfifo(b"x")
        os.unlink(b"x")
    with opened(b"x") as fd:
        os.write(fd, b"data")
    assert read(b"x") == b"data"
