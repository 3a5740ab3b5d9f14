"""O_APPEND: every write goes to the end, whoever moved it."""

from __future__ import annotations

import fcntl
import os

from tests.posix.env import Env, behaviour, opened, read, write

APPEND = os.O_WRONLY | os.O_APPEND


@behaviour
def every_write_goes_to_the_end(env: Env) -> None:
    write(b"f", b"old")
    with opened(b"f", os.O_RDWR | os.O_APPEND) as fd:
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, b"+1")
        assert os.lseek(fd, 0, os.SEEK_CUR) == 5
        os.lseek(fd, 1, os.SEEK_SET)
        assert os.read(fd, 2) == b"ld"
        os.write(fd, b"+2")
    assert read(b"f") == b"old+1+2"


@behaviour
def another_writer_moves_the_end(env: Env) -> None:
    with opened(b"f", APPEND | os.O_CREAT) as one, opened(b"f", APPEND) as other:
        os.write(one, b"a")
        os.write(other, b"bb")
        os.write(one, b"c")
        os.truncate(b"f", 1)
        os.write(other, b"d")
        os.truncate(b"f", 4)
        os.write(one, b"e")
    assert read(b"f") == b"ad\0\0e"


@behaviour
def append_can_be_turned_on_and_off(env: Env) -> None:
    with opened(b"f") as fd:
        os.write(fd, b"abc")
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_APPEND)
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, b"def")
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, b"X")
    assert read(b"f") == b"Xbcdef"


@behaviour
def two_appending_processes_lose_nothing(env: Env) -> None:
    def append(letter: bytes) -> None:
        with opened(b"f", APPEND) as fd:
            for number in range(200):
                os.write(fd, b"%s%03d" % (letter * 60, number))

    write(b"f", b"")
    for child in [env.start(append, letter) for letter in (b"a", b"b")]:
        child.result()
    data = read(b"f")
    records = [data[at : at + 63] for at in range(0, len(data), 63)]
    for letter in (b"a", b"b"):
        own = [record for record in records if record.startswith(letter)]
        assert own == [b"%s%03d" % (letter * 60, number) for number in range(200)]


@behaviour
def append_after_a_hole(env: Env) -> None:
    with opened(b"f", APPEND | os.O_CREAT) as fd:
        os.ftruncate(fd, 10_000)
        os.write(fd, b"end")
    assert read(b"f") == bytes(10_000) + b"end"
