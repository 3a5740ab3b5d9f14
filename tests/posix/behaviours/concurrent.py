"""Several processes at work in the same files and directories."""

from __future__ import annotations

import errno
import os
import random

from tests.posix.behaviours.readwrite import pattern
from tests.posix.env import Env, behaviour, fails, links, names, opened, read, touch, write

WORKERS = 4
SEED = 7


@behaviour
def writers_of_different_parts_do_not_disturb_each_other(env: Env) -> None:
    size = 50_001  # not a multiple of any block, so that neighbours share blocks
    write(b"f", b"")

    def fill(number: int) -> None:
        data = pattern(size, number)
        with opened(b"f", os.O_WRONLY) as fd:
            for at in range(0, size, 1777):
                os.pwrite(fd, data[at : at + 1777], number * size + at)

    for child in [env.start(fill, number) for number in range(WORKERS)]:
        child.result()
    assert read(b"f") == b"".join(pattern(size, number) for number in range(WORKERS))


@behaviour
def makers_in_one_directory(env: Env) -> None:
    def make(number: int) -> None:
        for turn in range(60):
            write(b"w%d-%d" % (number, turn), b"%d" % turn)

    for child in [env.start(make, number) for number in range(WORKERS)]:
        child.result()
    assert names() == {b"w%d-%d" % (number, turn) for number in range(WORKERS) for turn in range(60)}
    assert all(read(b"w%d-%d" % (number, 59)) == b"59" for number in range(WORKERS))


@behaviour
def exclusive_creation_has_one_winner(env: Env) -> None:
    def claim() -> int:
        won = 0
        for turn in range(50):
            try:
                os.close(os.open(b"f%d" % turn, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                won += 1
            except FileExistsError:
                pass
        return won

    assert sum(child.result() for child in [env.start(claim) for _ in range(WORKERS)]) == 50


@behaviour
def directory_and_link_making_have_one_winner(env: Env) -> None:
    touch(b"f")

    def claim(number: int) -> int:
        won = 0
        for turn in range(30):
            try:
                os.mkdir(b"d%d" % turn) if number % 2 else os.link(b"f", b"d%d" % turn)
                won += 1
            except FileExistsError:
                pass
        return won

    assert sum(child.result() for child in [env.start(claim, n) for n in range(WORKERS)]) == 30
    directories = sum(os.path.isdir(name) for name in names())
    assert links(b"f") == 31 - directories


@behaviour
def work_in_a_tree_that_is_moved_about(env: Env) -> None:
    os.makedirs(b"a/work")
    os.mkdir(b"b")

    def work() -> None:
        for turn in range(100):
            write(b"f", b"%d" % turn)
            assert read(b"f") == b"%d" % turn
            os.rename(b"f", b"g")
            os.unlink(b"g")

    os.chdir(b"a/work")
    child = env.start(work)
    os.chdir(env.root)
    here = b"a"
    for _ in range(50):
        there = b"b" if here == b"a" else b"a"
        try:
            os.rename(here + b"/work", there + b"/work")
        except FileNotFoundError as error:
            raise AssertionError("the directory was lost on the way") from error
        here = there
        if here == b"a":
            assert names(b"b") == set()
    child.result()
    assert names(here + b"/work") == set()


@behaviour
def making_and_removing_the_same_names(env: Env) -> None:
    """Whatever wins, each call ends in one of its lawful results, and the directory is sound afterwards."""

    def meddle(number: int) -> None:
        dice = random.Random(SEED + number)
        lawful = (errno.EEXIST, errno.ENOENT, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR, errno.EINVAL)
        for _ in range(200):
            one, other = b"n%d" % dice.randrange(4), b"n%d/n%d" % (dice.randrange(4), dice.randrange(2))
            call, *arguments = dice.choice(
                (
                    (os.mkdir, one),
                    (os.mkdir, other),
                    (os.rmdir, one),
                    (os.rmdir, other),
                    (touch, one),
                    (os.unlink, one),
                    (os.rename, one, other),
                    (os.rename, other, one),
                )
            )
            try:
                call(*arguments)
            except OSError as error:
                if error.errno not in lawful:
                    raise

    for child in [env.start(meddle, number) for number in range(WORKERS)]:
        child.result()
    count = 0
    for name in names():
        if os.path.isdir(name):
            count += 1
            inner = sum(os.path.isdir(os.path.join(name, sub)) for sub in names(name))
            assert links(name) == 2 + inner
    assert links(b".") == 2 + count


@behaviour
def truncating_while_others_read(env: Env) -> None:
    """A reader sees old data, zeros, or the end; never anything else."""
    write(b"f", b"x" * 40_000)

    def cut() -> None:
        with opened(b"f", os.O_RDWR) as fd:
            for size in range(0, 40_000, 499):
                os.ftruncate(fd, size)
                os.ftruncate(fd, 40_000)

    child = env.start(cut)
    with opened(b"f", os.O_RDONLY) as fd:
        for _ in range(100):
            assert not os.pread(fd, 40_000, 0).strip(b"x\0")
    child.result()
    assert os.stat(b"f").st_size == 40_000


@behaviour
def small_writes_are_whole(env: Env) -> None:
    """Of two writers of the same record one comes last, and its whole record stays."""
    write(b"f", b"a" * 512)

    def rewrite(letter: bytes) -> None:
        with opened(b"f", os.O_WRONLY) as fd:
            for _ in range(200):
                os.pwrite(fd, letter * 512, 0)

    children = [env.start(rewrite, letter) for letter in (b"a", b"b")]
    for child in children:
        child.result()
    assert read(b"f") in (b"a" * 512, b"b" * 512)


@behaviour
def users_work_side_by_side(env: Env) -> None:
    def work(number: int) -> None:
        os.mkdir(b"u%d" % number, 0o700)
        for turn in range(20):
            write(b"u%d/%d" % (number, turn), b"%d" % number)

    for number in (1, 2, 3):
        env.as_user(number, work, number)
    for number in (1, 2, 3):
        assert len(env.as_user(number, names, b"u%d" % number)) == 20
        fails(errno.EACCES, env.as_user, number, names, b"u%d" % (number % 3 + 1))
        assert os.stat(b"u%d/0" % number).st_uid == env.user(number).uid
