"""Files mapped into memory, shared and private."""

from __future__ import annotations

import errno
import mmap
import os
import resource
import signal

from tests.posix.behaviours.readwrite import pattern
from tests.posix.env import Env, behaviour, fails, opened, read, touch, write
from tests.support.users import ChildFailedError

PAGE = mmap.PAGESIZE
SHARED, PRIVATE = mmap.MAP_SHARED, mmap.MAP_PRIVATE


@behaviour
def mapping_shows_the_file(env: Env) -> None:
    data = pattern(5 * PAGE + 123)
    write(b"f", data)
    with opened(b"f", os.O_RDONLY) as fd:
        for kind in (SHARED, PRIVATE):
            with mmap.mmap(fd, len(data), kind, mmap.PROT_READ) as view:
                assert view[:] == data


@behaviour
def shared_writes_reach_the_file(env: Env) -> None:
    data = bytearray(pattern(4 * PAGE))
    write(b"f", data)
    with opened(b"f", os.O_RDWR) as fd, mmap.mmap(fd, len(data)) as view:
        for at in (0, PAGE - 1, PAGE, 3 * PAGE + 17):
            view[at : at + 1] = data[at : at + 1] = b"\xaa"
        assert os.pread(fd, len(data), 0) == data
        view.flush()
    assert read(b"f") == data


@behaviour
def shared_writes_reach_the_file_without_msync(env: Env) -> None:
    write(b"f", bytes(PAGE))
    with opened(b"f", os.O_RDWR) as fd:
        view = mmap.mmap(fd, PAGE)
    view[:5] = b"after"
    view.close()
    assert read(b"f")[:5] == b"after"


@behaviour
def file_writes_reach_the_mapping(env: Env) -> None:
    write(b"f", bytes(2 * PAGE))
    with opened(b"f", os.O_RDWR) as fd, mmap.mmap(fd, 2 * PAGE, SHARED, mmap.PROT_READ) as view:
        assert view[PAGE : PAGE + 4] == bytes(4)
        os.pwrite(fd, b"data", PAGE)
        assert view[PAGE : PAGE + 4] == b"data"
        with opened(b"f", os.O_WRONLY) as other:
            os.pwrite(other, b"more", PAGE - 2)
        assert view[PAGE - 2 : PAGE + 4] == b"moreta"


@behaviour
def private_writes_stay_private(env: Env) -> None:
    write(b"f", b"x" * PAGE)
    with opened(b"f", os.O_RDONLY) as fd:
        with mmap.mmap(fd, PAGE, PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as view:
            view[:4] = b"mine"
            assert view[:5] == b"minex"
            assert os.pread(fd, 5, 0) == b"xxxxx"
    assert read(b"f") == b"x" * PAGE


@behaviour
def mapping_outlives_descriptor_and_name(env: Env) -> None:
    write(b"f", b"x" * PAGE)
    with opened(b"f", os.O_RDWR) as fd:
        view = mmap.mmap(fd, PAGE)
    os.unlink(b"f")
    view[0:1] = b"y"
    view.flush()
    assert view[:3] == b"yxx"
    view.close()


@behaviour
def mapping_survives_renaming(env: Env) -> None:
    write(b"f", b"x" * PAGE)
    with opened(b"f", os.O_RDWR) as fd, mmap.mmap(fd, PAGE) as view:
        os.rename(b"f", b"g")
        view[0:1] = b"y"
    assert read(b"g")[:3] == b"yxx"


@behaviour
def tail_of_the_last_page_is_zero_and_stays_out(env: Env) -> None:
    write(b"f", b"abc")
    with opened(b"f", os.O_RDWR) as fd, mmap.mmap(fd, 3) as view:
        assert view[:] == b"abc"
        view[:] = b"ABC"
        view.flush()
        assert os.fstat(fd).st_size == 3
        os.ftruncate(fd, 100)
        assert os.pread(fd, 200, 0) == b"ABC" + bytes(97)


@behaviour
def processes_share_a_mapping(env: Env) -> None:
    write(b"f", bytes(PAGE))

    def fill() -> None:
        with opened(b"f", os.O_RDWR) as own, mmap.mmap(own, PAGE) as mine:
            mine[10:15] = b"child"

    with opened(b"f", os.O_RDWR) as fd, mmap.mmap(fd, PAGE) as view:
        view[:6] = b"parent"
        env.start(fill).result()
        assert view[10:15] == b"child"
    assert read(b"f")[:15] == b"parent" + bytes(4) + b"child"


@behaviour
def holes_read_as_zeros_and_can_be_filled(env: Env) -> None:
    with opened(b"f") as fd:
        os.ftruncate(fd, 20 * PAGE)
        with mmap.mmap(fd, 20 * PAGE) as view:
            assert view[7 * PAGE : 8 * PAGE] == bytes(PAGE)
            view[7 * PAGE] = 7
            view.flush()
        assert os.pread(fd, 1, 7 * PAGE) == b"\x07"
        os.fsync(fd)
        assert os.pread(fd, PAGE, 6 * PAGE) == bytes(PAGE)


@behaviour
def mapping_of_a_grown_file(env: Env) -> None:
    with opened(b"f") as fd:
        os.ftruncate(fd, PAGE)
        with mmap.mmap(fd, PAGE) as view:
            view[0] = 1
            os.ftruncate(fd, 3 * PAGE)
            view.resize(3 * PAGE)
            view[2 * PAGE] = 2
        assert os.pread(fd, 1, 2 * PAGE) == b"\x02"


@behaviour
def access_behind_the_end_is_sigbus(env: Env) -> None:
    write(b"f", b"x" * 2 * PAGE)

    def touch_behind() -> None:
        signal.signal(signal.SIGBUS, signal.SIG_DFL)  # whatever the test program does with it
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with opened(b"f", os.O_RDWR) as fd, mmap.mmap(fd, 2 * PAGE) as view:
            os.ftruncate(fd, 100)
            assert view[:101] == b"x" * 100 + b"\0"
            view[PAGE]

    died_of: int | None = None
    try:
        env.start(touch_behind).result()
    except ChildFailedError as error:
        died_of = error.signal
    assert died_of == signal.SIGBUS


@behaviour
def access_mode_binds_the_mapping(env: Env) -> None:
    write(b"f", bytes(PAGE))
    with opened(b"f", os.O_RDONLY) as fd:
        fails(errno.EACCES, mmap.mmap, fd, PAGE, SHARED, mmap.PROT_WRITE)
    with opened(b"f", os.O_WRONLY) as fd:
        fails(errno.EACCES, mmap.mmap, fd, PAGE, SHARED, mmap.PROT_READ)
    with opened(b".", os.O_RDONLY) as fd:
        fails((errno.ENODEV, errno.EACCES), mmap.mmap, fd, PAGE, SHARED, mmap.PROT_READ)


@behaviour
def empty_file_grows_under_a_later_mapping(env: Env) -> None:
    touch(b"f")
    with opened(b"f", os.O_RDWR) as fd:
        os.pwrite(fd, b"end", PAGE + 5)
        with mmap.mmap(fd, PAGE + 8) as view:
            assert view[PAGE + 4 :] == b"\0end"
