"""renameat2(): not replacing, and exchanging, which a file system may lack."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from tests.posix.env import Env, Skip, behaviour, fails, links, names, read, same_file, touch, write
from tests.posix.libc import RENAME_EXCHANGE, RENAME_NOREPLACE, renameat2


def rename(old: bytes, new: bytes) -> None:
    """Rename, but replace nothing."""
    renameat2(old, new, RENAME_NOREPLACE)


def supported_exchange() -> Callable[[bytes, bytes], None]:
    """Rename both ways at once; Skip if the file system refuses that, which must leave both names alone."""
    write(b"try1", b"1")
    write(b"try2", b"2")
    try:
        renameat2(b"try1", b"try2", RENAME_EXCHANGE)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        assert (read(b"try1"), read(b"try2")) == (b"1", b"2")
        raise Skip("no exchange of names here") from error
    os.unlink(b"try1")
    os.unlink(b"try2")
    return lambda old, new: renameat2(old, new, RENAME_EXCHANGE)


@behaviour
def noreplace_renames_to_a_free_name(env: Env) -> None:
    os.mkdir(b"d")
    write(b"a", b"data")
    rename(b"a", b"b")
    rename(b"b", b"d/c")
    rename(b"d", b"e")
    assert read(b"e/c") == b"data"


@behaviour
def noreplace_refuses_an_existing_name(env: Env) -> None:
    write(b"a", b"a")
    write(b"b", b"b")
    os.mkdir(b"d")
    os.symlink(b"none", b"l")
    for name in (b"a", b"b", b"d", b"l"):
        fails(errno.EEXIST, rename, b"a", name)
    assert (read(b"a"), read(b"b")) == (b"a", b"b")


@behaviour
def exchange_swaps_files(env: Env) -> None:
    exchange = supported_exchange()
    os.mkdir(b"d")
    write(b"a", b"a")
    write(b"d/b", b"b")
    exchange(b"a", b"d/b")
    assert (read(b"a"), read(b"d/b")) == (b"b", b"a")
    assert (names(), names(b"d")) == ({b"a", b"d"}, {b"b"})


@behaviour
def exchange_swaps_a_file_and_a_directory(env: Env) -> None:
    exchange = supported_exchange()
    os.makedirs(b"d/e")
    os.mkdir(b"x")
    write(b"x/f", b"data")
    exchange(b"x/f", b"d/e")
    assert read(b"d/e") == b"data"
    assert same_file(b"x/f/..", b"x")
    assert (links(b"d"), links(b"x")) == (2, 3)


@behaviour
def exchange_needs_both(env: Env) -> None:
    exchange = supported_exchange()
    touch(b"a")
    fails(errno.ENOENT, exchange, b"a", b"none")
    fails(errno.ENOENT, exchange, b"none", b"a")
    assert names() == {b"a"}


@behaviour
def exchange_does_not_enter_itself(env: Env) -> None:
    exchange = supported_exchange()
    os.makedirs(b"a/b")
    fails(errno.EINVAL, exchange, b"a", b"a/b")
    fails(errno.EINVAL, exchange, b"a/b", b"a")
    assert names(b"a") == {b"b"}


@behaviour
def both_flags_together_are_einval(env: Env) -> None:
    touch(b"a", b"b")
    fails(errno.EINVAL, renameat2, b"a", b"b", RENAME_NOREPLACE | RENAME_EXCHANGE)
    fails(errno.EINVAL, renameat2, b"a", b"b", 1 << 20)
    assert names() == {b"a", b"b"}
