"""What a file system says of itself and of its files' sizes."""

from __future__ import annotations

import errno
import os
import subprocess

from tests.posix.env import Env, behaviour, fails, opened, touch, write


@behaviour
def numbers_make_sense(env: Env) -> None:
    said = os.statvfs(b".")
    assert said.f_bsize > 0
    assert said.f_frsize > 0
    assert said.f_blocks >= said.f_bfree >= said.f_bavail
    assert said.f_files >= said.f_ffree
    assert said.f_namemax >= env.limits.name_max


@behaviour
def every_file_tells_the_same(env: Env) -> None:
    touch(b"f")
    os.mkdir(b"d")
    with opened(b"f", os.O_RDONLY) as fd:
        answers = [os.statvfs(b"."), os.statvfs(b"f"), os.statvfs(b"d"), os.fstatvfs(fd)]
    assert len({(said.f_blocks, said.f_files, said.f_frsize, said.f_namemax) for said in answers}) == 1
    fails(errno.ENOENT, os.statvfs, b"none")


@behaviour
def df_agrees(env: Env) -> None:
    done = subprocess.run(["df", "-P", "-B1", "."], stdout=subprocess.PIPE, check=True, timeout=5, text=True)
    total = int(done.stdout.splitlines()[1].split()[1])
    said = os.statvfs(b".")
    assert total == said.f_blocks * said.f_frsize


@behaviour
def large_file_takes_space(env: Env) -> None:
    """Other programs use the file system too, so only the file's own share is looked at."""
    with opened(b"f") as fd:
        os.write(fd, b"x" * (2 << 20))
        os.fsync(fd)
        taken = os.fstat(fd).st_blocks * 512
    assert 2 << 20 <= taken < 3 << 20


@behaviour
def sizes_are_counted_in_bytes_and_sectors(env: Env) -> None:
    write(b"f", b"x" * 10_000)
    os.sync()
    state = os.stat(b"f")
    assert state.st_size == 10_000
    assert 10_000 <= state.st_blocks * 512 <= 10_000 + 2 * 65536
    assert state.st_blksize > 0
    os.mkdir(b"d")
    assert os.stat(b"d").st_size >= 0


@behaviour
def files_of_one_file_system_share_a_device(env: Env) -> None:
    touch(b"f")
    os.makedirs(b"d/e")
    os.symlink(b"f", b"l")
    assert len({os.lstat(name).st_dev for name in (b".", b"f", b"d", b"d/e", b"l")}) == 1


@behaviour
def sync_leaves_everything_as_it_is(env: Env) -> None:
    write(b"f", b"data" * 1000)
    before = os.stat(b"f")
    os.sync()
    after = os.stat(b"f")
    assert (before.st_ino, before.st_size, before.st_mtime) == (after.st_ino, after.st_size, after.st_mtime)
