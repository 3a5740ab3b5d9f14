"""Reading directories, also while they change under the reader."""

from __future__ import annotations

import errno
import os
import stat

from tests.posix.env import Env, behaviour, fails, names, opened, touch
from tests.posix.libc import Entry, all_entries, entries

SMALL = 512  # bytes for one fetch, so that a listing takes many
MANY = 400  # entries; several blocks in every format


def fill(count: int = MANY) -> set[bytes]:
    """Make that many files; their names."""
    made = [b"file%06d" % number for number in range(count)]
    touch(*made)
    return set(made)


def listed(found: list[Entry]) -> list[bytes]:
    """The names in the order found, without "." and ".."; fails if one came twice."""
    got = [entry.name for entry in found if entry.name not in (b".", b"..")]
    assert len(got) == len(set(got)), "a name was listed twice"
    return got


@behaviour
def dot_and_dotdot_are_listed_once(env: Env) -> None:
    os.mkdir(b"d")
    touch(b"d/f")
    with opened(b"d", os.O_RDONLY) as fd:
        found = sorted(entry.name for entry in all_entries(fd))
    assert found == [b".", b"..", b"f"]


@behaviour
def inode_numbers_and_types_are_true(env: Env) -> None:
    touch(b"f")
    os.mkdir(b"d")
    os.mkfifo(b"p")
    os.symlink(b"none", b"l")
    with opened(b".", os.O_RDONLY) as fd:
        found = all_entries(fd)
    for entry in found:
        state = os.lstat(entry.name)
        if entry.name != b"..":  # may be the other side of a mount point
            assert entry.inode == state.st_ino
        assert entry.type in (stat.S_IFMT(state.st_mode) >> 12, 0)


@behaviour
def large_directory_is_listed_whole(env: Env) -> None:
    wanted = fill(1000)
    assert names() == wanted
    for size in (SMALL, 4096, 65536):
        with opened(b".", os.O_RDONLY) as fd:
            assert set(listed(all_entries(fd, size))) == wanted


@behaviour
def buffer_too_small_for_an_entry_is_einval(env: Env) -> None:
    touch(b"file")
    with opened(b".", os.O_RDONLY) as fd:
        fails(errno.EINVAL, entries, fd, 8)
        assert listed(all_entries(fd)) == [b"file"]


@behaviour
def rewinding_starts_again(env: Env) -> None:
    wanted = fill(100)
    with opened(b".", os.O_RDONLY) as fd:
        entries(fd, SMALL)
        touch(b"late")
        os.lseek(fd, 0, os.SEEK_SET)
        assert set(listed(all_entries(fd, SMALL))) == wanted | {b"late"}


@behaviour
def every_position_can_be_returned_to(env: Env) -> None:
    fill(100)
    with opened(b".", os.O_RDONLY) as fd:
        found = all_entries(fd, SMALL)
        for index in (0, 1, 2, 50, 98, 99, 100):
            os.lseek(fd, found[index].next, os.SEEK_SET)
            assert [entry.name for entry in all_entries(fd, SMALL)] == [e.name for e in found[index + 1 :]]


@behaviour
def positions_survive_changes(env: Env) -> None:
    """A position stays good when entries before and after it come and go."""
    fill(200)
    with opened(b".", os.O_RDONLY) as fd:
        found = all_entries(fd, SMALL)
        middle = found[100]
        for entry in found[2:80]:
            os.unlink(entry.name) if entry.name.startswith(b"file") else None
        touch(*(b"new%d" % number for number in range(40)))
        os.lseek(fd, middle.next, os.SEEK_SET)
        rest = set(listed(all_entries(fd, SMALL)))
    assert {entry.name for entry in found[101:] if entry.name.startswith(b"file")} <= rest


@behaviour
def removing_what_was_read_reaches_everything(env: Env) -> None:
    fill()
    removed = 0
    with opened(b".", os.O_RDONLY) as fd:
        while batch := listed(entries(fd, SMALL)):
            for name in batch:
                os.unlink(name)
                removed += 1
    assert removed == MANY
    assert names() == set()


@behaviour
def entries_that_stay_are_listed_once(env: Env) -> None:
    """Others come and go during the listing; they may be listed or not."""
    wanted = fill()
    found: list[Entry] = []
    with opened(b".", os.O_RDONLY) as fd:
        turn = 0
        while batch := entries(fd, SMALL):
            found += batch
            touch(b"in%d" % turn)
            if turn % 2:
                os.unlink(b"in%d" % (turn - 1))
            turn += 1
            assert turn < 10 * MANY, "the listing does not end"
    assert wanted <= set(listed(found))


@behaviour
def removed_ahead_is_not_listed_later(env: Env) -> None:
    """What is gone before a listing starts never shows, even if an earlier listing has seen it."""
    wanted = fill()
    assert names() == wanted
    for number in range(0, MANY, 3):
        os.unlink(b"file%06d" % number)
        wanted.remove(b"file%06d" % number)
    assert names() == wanted


@behaviour
def renaming_during_a_listing_keeps_the_others(env: Env) -> None:
    wanted = fill()
    moved = {b"file%06d" % number for number in range(0, MANY, 10)}
    found: list[Entry] = []
    with opened(b".", os.O_RDONLY) as fd:
        found += entries(fd, SMALL)
        for name in moved:
            os.rename(name, b"moved" + name[4:])
        found += all_entries(fd, SMALL)
    assert wanted - moved <= set(listed(found))
    assert len(names()) == MANY


@behaviour
def slots_are_used_again(env: Env) -> None:
    """A directory in which files come and go does not grow without end."""
    fill(100)
    size = os.stat(b".").st_size
    for turn in range(20):
        for number in range(50):
            os.unlink(b"file%06d" % number)
        touch(*(b"file%06d" % number for number in range(50)))
        assert len(names()) == 100, turn
    assert os.stat(b".").st_size <= 2 * size


@behaviour
def two_listings_at_once_do_not_disturb_each_other(env: Env) -> None:
    wanted = fill(200)
    first: list[Entry] = []
    second: list[Entry] = []
    with opened(b".", os.O_RDONLY) as one, opened(b".", os.O_RDONLY) as other:
        while batch := entries(one, SMALL):
            first += batch
            second += entries(other, 2 * SMALL)
    assert set(listed(first)) == wanted
    assert set(listed(second)) == wanted


@behaviour
def listing_while_others_work(env: Env) -> None:
    wanted = fill(100)

    def come_and_go() -> None:
        for number in range(200):
            touch(b"x%d" % number)
            os.rename(b"x%d" % number, b"y%d" % number)
            os.unlink(b"y%d" % number)

    child = env.start(come_and_go)
    for _ in range(30):
        with opened(b".", os.O_RDONLY) as fd:
            assert wanted <= set(listed(all_entries(fd, SMALL)))
    child.result()
    assert names() == wanted


@behaviour
def listing_needs_read_permission_only(env: Env) -> None:
    os.mkdir(b"d")
    touch(b"d/f")
    os.chmod(b"d", 0o744)
    assert env.as_user(1, names, b"d") == {b"f"}
    fails(errno.EACCES, env.as_user, 1, os.stat, b"d/f")
    os.chmod(b"d", 0o711)
    fails(errno.EACCES, env.as_user, 1, os.listdir, b"d")
    assert env.as_user(1, os.stat, b"d/f").st_size == 0


@behaviour
def only_directories_are_listed(env: Env) -> None:
    touch(b"f")
    fails(errno.ENOTDIR, os.listdir, b"f")
    fails(errno.ENOENT, os.listdir, b"none")
    with opened(b"f", os.O_RDONLY) as fd:
        fails(errno.ENOTDIR, entries, fd)


@behaviour
def listed_by_path_and_descriptor_alike(env: Env) -> None:
    wanted = {os.fsdecode(name) for name in fill(50)}
    with opened(b".", os.O_RDONLY) as fd:
        assert set(os.listdir(fd)) == wanted
        assert {entry.name for entry in os.scandir(fd) if entry.is_file()} == wanted
