"""rename(): atomic replacement, directories that move, and what it refuses."""

from __future__ import annotations

import errno
import os
import stat

from tests.posix.env import Env, behaviour, fails, links, names, opened, read, same_file, touch, write


@behaviour
def file_keeps_its_identity(env: Env) -> None:
    write(b"a", b"data")
    before = os.stat(b"a")
    os.rename(b"a", b"b")
    after = os.stat(b"b")
    assert names() == {b"b"}
    assert read(b"b") == b"data"
    assert (before.st_ino, before.st_nlink, before.st_mtime) == (after.st_ino, after.st_nlink, after.st_mtime)


@behaviour
def old_name_is_free_again(env: Env) -> None:
    write(b"a", b"old")
    os.stat(b"a")
    os.rename(b"a", b"b")
    fails(errno.ENOENT, os.stat, b"a")
    write(b"a", b"new")
    assert (read(b"a"), read(b"b")) == (b"new", b"old")


@behaviour
def existing_file_is_replaced(env: Env) -> None:
    write(b"a", b"new")
    write(b"b", b"old")
    os.rename(b"a", b"b")
    assert names() == {b"b"}
    assert read(b"b") == b"new"
    assert links(b"b") == 1


@behaviour
def replaced_file_lives_while_open(env: Env) -> None:
    write(b"a", b"new")
    write(b"b", b"old")
    with opened(b"b", os.O_RDONLY) as old:
        os.rename(b"a", b"b")
        assert os.read(old, 9) == b"old"
        assert os.fstat(old).st_nlink == 0
    assert read(b"b") == b"new"


@behaviour
def replaced_file_keeps_its_other_names(env: Env) -> None:
    write(b"a", b"new")
    write(b"b", b"old")
    os.link(b"b", b"c")
    os.rename(b"a", b"b")
    assert (read(b"b"), read(b"c"), links(b"c")) == (b"new", b"old", 1)


@behaviour
def open_file_survives_its_renaming(env: Env) -> None:
    os.mkdir(b"d")
    with opened(b"a") as fd:
        os.write(fd, b"one")
        os.rename(b"a", b"d/b")
        os.write(fd, b" two")
        assert read(b"d/b") == b"one two"
        os.rename(b"d/b", b"c")
        assert os.pread(fd, 99, 0) == read(b"c") == b"one two"


@behaviour
def target_is_never_missing(env: Env) -> None:
    """While one process replaces a file again and again, another always finds an old or a new one, whole."""
    write(b"f", b"%04d" % 0)

    def replace() -> None:
        for number in range(200):
            write(b"next", b"%04d" % number)
            os.rename(b"next", b"f")

    child = env.start(replace)
    seen = [read(b"f") for _ in range(300)]
    child.result()
    assert {len(data) for data in seen} == {4}
    assert seen == sorted(seen)
    assert read(b"f") == b"0199"


@behaviour
def onto_itself_does_nothing(env: Env) -> None:
    write(b"f", b"data")
    os.mkdir(b"d")
    os.rename(b"f", b"f")
    os.rename(b"d", b"d")
    assert names() == {b"f", b"d"}
    assert read(b"f") == b"data"


@behaviour
def onto_another_name_of_the_same_file_does_nothing(env: Env) -> None:
    write(b"a", b"data")
    os.link(b"a", b"b")
    os.rename(b"a", b"b")
    assert names() == {b"a", b"b"}
    assert links(b"a") == 2


@behaviour
def between_directories(env: Env) -> None:
    os.mkdir(b"d")
    os.mkdir(b"e")
    write(b"d/f", b"data")
    write(b"e/g", b"old")
    os.rename(b"d/f", b"e/g")
    assert names(b"d") == set()
    assert names(b"e") == {b"g"}
    assert read(b"e/g") == b"data"


@behaviour
def directory_moves_with_its_contents(env: Env) -> None:
    os.makedirs(b"a/b/c")
    write(b"a/b/c/f", b"data")
    os.mkdir(b"z")
    os.rename(b"a/b", b"z/y")
    assert read(b"z/y/c/f") == b"data"
    assert names(b"a") == set()


@behaviour
def moved_directory_knows_its_new_parent(env: Env) -> None:
    os.makedirs(b"a/d")
    os.mkdir(b"b")
    os.rename(b"a/d", b"b/d")
    assert same_file(b"b/d/..", b"b")
    assert (links(b"a"), links(b"b")) == (2, 3)
    with opened(b"b/d", os.O_RDONLY) as fd:
        os.rename(b"b/d", b"a/e")
        assert os.path.samestat(os.stat(b"..", dir_fd=fd), os.stat(b"a"))
    assert (links(b"a"), links(b"b")) == (3, 2)


@behaviour
def empty_directory_is_replaced(env: Env) -> None:
    os.makedirs(b"a/sub")
    os.mkdir(b"b")
    before = links(b".")
    os.rename(b"a", b"b")
    assert names() == {b"b"}
    assert names(b"b") == {b"sub"}
    assert links(b".") == before - 1


@behaviour
def empty_directory_in_another_is_replaced(env: Env) -> None:
    os.makedirs(b"a/x")
    os.makedirs(b"b/x")
    touch(b"a/x/f")
    os.rename(b"a/x", b"b/x")
    assert (names(b"a"), names(b"b/x")) == (set(), {b"f"})
    assert (links(b"a"), links(b"b")) == (2, 3)


@behaviour
def full_directory_is_not_replaced(env: Env) -> None:
    os.mkdir(b"a")
    os.mkdir(b"b")
    touch(b"b/f")
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rename, b"a", b"b")
    assert names() == {b"a", b"b"}


@behaviour
def kinds_do_not_replace_each_other(env: Env) -> None:
    touch(b"f")
    os.mkdir(b"d")
    fails(errno.EISDIR, os.rename, b"f", b"d")
    fails(errno.ENOTDIR, os.rename, b"d", b"f")
    assert stat.S_ISREG(os.stat(b"f").st_mode)
    assert stat.S_ISDIR(os.stat(b"d").st_mode)


@behaviour
def directory_cannot_enter_itself(env: Env) -> None:
    os.makedirs(b"a/b/c")
    for inside in (b"a/x", b"a/b/x", b"a/b/c/x"):
        fails(errno.EINVAL, os.rename, b"a", inside)
    fails(errno.EINVAL, os.rename, b"a", b"a/b")
    assert names(b"a/b") == {b"c"}


@behaviour
def directory_cannot_replace_its_ancestor(env: Env) -> None:
    os.makedirs(b"a/b/c")
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rename, b"a/b", b"a")
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rename, b"a/b/c", b"a")
    assert names(b"a/b") == {b"c"}


@behaviour
def dot_and_dotdot_are_refused(env: Env) -> None:
    os.makedirs(b"d/e")
    for old, new in ((b"d/.", b"x"), (b"d/..", b"x"), (b"d/e", b"d/."), (b"d/e", b"d/..")):
        fails((errno.EINVAL, errno.EBUSY, errno.ENOTEMPTY, errno.EEXIST), os.rename, old, new)
    assert names() == {b"d"}
    assert names(b"d") == {b"e"}


@behaviour
def missing_names_and_wrong_paths(env: Env) -> None:
    touch(b"f")
    fails(errno.ENOENT, os.rename, b"none", b"x")
    fails(errno.ENOENT, os.rename, b"f", b"none/x")
    fails(errno.ENOTDIR, os.rename, b"f", b"f/x")
    fails(errno.ENOTDIR, os.rename, b"f/x", b"g")
    fails(errno.ENOENT, os.rename, b"f", b"")
    fails(errno.ENOTDIR, os.rename, b"f", b"g/")
    assert names() == {b"f"}


@behaviour
def directory_takes_a_trailing_slash(env: Env) -> None:
    os.mkdir(b"d")
    os.rename(b"d/", b"e/")
    assert names() == {b"e"}


@behaviour
def symbolic_links_are_renamed_and_replaced_themselves(env: Env) -> None:
    write(b"f", b"data")
    os.symlink(b"f", b"l")
    os.rename(b"l", b"m")
    assert os.readlink(b"m") == b"f"
    write(b"g", b"new")
    os.rename(b"g", b"m")
    assert (read(b"m"), read(b"f")) == (b"new", b"data")
    os.symlink(b"d", b"l")
    os.mkdir(b"d")
    fails(errno.ENOTDIR, os.rename, b"d", b"l")


@behaviour
def every_kind_can_move(env: Env) -> None:
    os.mkdir(b"d")
    os.mkfifo(b"p")
    os.symlink(b"none", b"l")
    for name in (b"p", b"l"):
        os.rename(name, b"d/" + name)
    assert stat.S_ISFIFO(os.lstat(b"d/p").st_mode)
    assert os.readlink(b"d/l") == b"none"


@behaviour
def across_file_systems_is_exdev(env: Env) -> None:
    touch(b"f")
    fails(errno.EXDEV, os.rename, b"f", b"/proc/self/x")
    assert names() == {b"f"}


@behaviour
def rename_needs_write_permission_of_both_directories(env: Env) -> None:
    os.mkdir(b"a", 0o777)
    os.mkdir(b"b")
    os.chmod(b"a", 0o777)
    touch(b"a/f", b"b/g")
    fails(errno.EACCES, env.as_user, 1, os.rename, b"a/f", b"b/f")
    fails(errno.EACCES, env.as_user, 1, os.rename, b"b/g", b"a/g")
    os.chmod(b"b", 0o777)
    env.as_user(1, os.rename, b"a/f", b"b/f")
    assert names(b"b") == {b"f", b"g"}


@behaviour
def moving_a_directory_needs_write_permission_of_itself(env: Env) -> None:
    """Its ".." changes; staying in the same parent does not change it."""
    os.mkdir(b"to")
    os.chmod(b"to", 0o777)
    os.mkdir(b"d", 0o755)
    fails(errno.EACCES, env.as_user, 1, os.rename, b"d", b"to/d")
    env.as_user(1, os.rename, b"d", b"e")
    assert names() == {b"to", b"e"}


@behaviour
def names_of_every_length_replace_each_other(env: Env) -> None:
    lengths = [length for length in (1, 2, 13, 14, 29, 30, 59, 60, 255) if length <= env.limits.name_max]
    for old in lengths:
        for new in lengths:
            write(b"o" * old, b"%d" % old)
            os.rename(b"o" * old, b"n" * new)
            assert read(b"n" * new) == b"%d" % old
    assert names() == {b"n" * length for length in lengths}


@behaviour
def crossing_renames_keep_every_file(env: Env) -> None:
    """Two processes move files between two directories in opposite directions; nothing is lost or doubled."""
    for place in (b"a", b"b"):
        os.mkdir(place)
        for number in range(20):
            touch(b"%s/%s%d" % (place, place, number))

    def move(old: bytes, new: bytes) -> None:
        for _ in range(3):
            for number in range(20):
                name = b"%s%d" % (old, number)
                os.rename(old + b"/" + name, new + b"/" + name)
                os.rename(new + b"/" + name, old + b"/" + name)

    for child in [env.start(move, b"a", b"b"), env.start(move, b"b", b"a")]:
        child.result()
    assert names(b"a") == {b"a%d" % number for number in range(20)}
    assert names(b"b") == {b"b%d" % number for number in range(20)}
