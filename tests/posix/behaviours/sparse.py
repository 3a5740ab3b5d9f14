"""Holes, large offsets, and space asked for in advance."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from tests.posix.env import Env, Skip, behaviour, fails, opened, read
from tests.posix.libc import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate

MIB = 1 << 20


@behaviour
def holes_read_as_zeros(env: Env) -> None:
    with opened(b"f") as fd:
        os.pwrite(fd, b"start", 0)
        os.pwrite(fd, b"end", 200_000)
        assert os.fstat(fd).st_size == 200_003
        assert os.pread(fd, 300_000, 0) == b"start" + bytes(199_995) + b"end"
        assert os.pread(fd, 10, 100_000) == bytes(10)


@behaviour
def holes_take_no_space(env: Env) -> None:
    with opened(b"f") as fd:
        os.pwrite(fd, b"x", 10 * MIB)
        os.fsync(fd)
        assert os.fstat(fd).st_blocks * 512 < MIB


@behaviour
def holes_are_filled_in_any_order(env: Env) -> None:
    step = 3000
    with opened(b"f") as fd:
        for number in (7, 3, 9, 0, 5, 1, 8, 2, 6, 4):
            os.pwrite(fd, bytes([number]) * step, number * step)
    assert read(b"f") == b"".join(bytes([number]) * step for number in range(10))


@behaviour
def every_depth_of_a_file_holds_data(env: Env) -> None:
    """Offsets on both sides of the direct, single and double indirect borders of the usual block sizes."""
    borders = []
    for block in (1024, 2048, 4096):
        for direct in (7, 12):
            borders += [pointers * block for pointers in (direct, direct + block // 2, direct + block // 4)]
    with opened(b"f") as fd:
        for border in borders:
            os.pwrite(fd, b"%08d" % border, border - 4)
        os.fsync(fd)
        for border in borders:
            assert os.pread(fd, 8, border - 4) == b"%08d" % border
        os.ftruncate(fd, min(borders))
        assert os.fstat(fd).st_size == min(borders)


@behaviour
def seek_finds_data_and_holes(env: Env) -> None:
    """A file system that knows no holes may say that all is data, with a hole at the end."""
    with opened(b"f") as fd:
        os.pwrite(fd, b"x", MIB)
        data, hole = os.lseek(fd, 0, os.SEEK_DATA), os.lseek(fd, 0, os.SEEK_HOLE)
        assert (data, hole) == (0, MIB + 1) or (hole == 0 and 0 < data <= MIB)
        assert os.lseek(fd, MIB, os.SEEK_DATA) == MIB
        assert os.lseek(fd, MIB, os.SEEK_HOLE) == MIB + 1
        for whence in (os.SEEK_DATA, os.SEEK_HOLE):
            fails(errno.ENXIO, os.lseek, fd, MIB + 1, whence)


@behaviour
def seeking_data_misses_none(env: Env) -> None:
    places = [0, 70_000, 300_000, 300_001, MIB - 1]
    with opened(b"f") as fd:
        for place in places:
            os.pwrite(fd, b"x", place)
        os.ftruncate(fd, 2 * MIB)
        found = set()
        at = 0
        while True:
            try:
                at = os.lseek(fd, at, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                break
            end = os.lseek(fd, at, os.SEEK_HOLE)
            assert at < end <= 2 * MIB
            piece = os.pread(fd, end - at, at)
            found |= {at + n for n, byte in enumerate(piece) if byte}
            at = end
    assert found == set(places)


@behaviour
def largest_file(env: Env) -> None:
    size = env.limits.file_size_max
    if size is None:
        raise Skip("no largest size given")
    with opened(b"f") as fd:
        os.pwrite(fd, b"end", size - 3)
        assert os.fstat(fd).st_size == size
        assert os.pread(fd, 9, size - 4) == b"\0end"
        fails(errno.EFBIG, os.pwrite, fd, b"x", size)
        fails(errno.EFBIG, os.ftruncate, fd, size + 1)
        assert os.fstat(fd).st_size == size
        os.ftruncate(fd, 0)


@behaviour
def write_stops_at_the_largest_size(env: Env) -> None:
    size = env.limits.file_size_max
    if size is None:
        raise Skip("no largest size given")
    with opened(b"f") as fd:
        assert os.pwrite(fd, b"x" * 10_000, size - 5000) == 5000
        assert os.fstat(fd).st_size == size


@behaviour
def impossible_offsets_are_refused(env: Env) -> None:
    with opened(b"f") as fd:
        fails((errno.EFBIG, errno.EINVAL), os.pwrite, fd, b"xx", (1 << 63) - 1)
        assert os.fstat(fd).st_size == 0


def try_fallocate(mode: int = 0) -> Callable[[int, int, int, int], None]:
    """fallocate; Skip if the file system does not have it in this mode."""
    with opened(b"try") as fd:
        try:
            fallocate(fd, mode, 0, 1)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS):
                raise Skip("no fallocate of this kind here") from error
            raise
    os.unlink(b"try")
    return fallocate


@behaviour
def space_asked_for_is_there(env: Env) -> None:
    allocate = try_fallocate()
    with opened(b"f") as fd:
        os.write(fd, b"data")
        allocate(fd, 0, 1000, 100_000)
        assert os.fstat(fd).st_size == 101_000
        assert os.fstat(fd).st_blocks * 512 >= 100_000
        assert os.pread(fd, 200_000, 0) == b"data" + bytes(100_996)


@behaviour
def space_asked_for_behind_the_end_keeps_the_size(env: Env) -> None:
    allocate = try_fallocate(FALLOC_FL_KEEP_SIZE)
    with opened(b"f") as fd:
        os.write(fd, b"data")
        allocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100_000)
        assert os.fstat(fd).st_size == 4
        assert os.fstat(fd).st_blocks * 512 >= 100_000


@behaviour
def hole_is_punched(env: Env) -> None:
    punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
    allocate = try_fallocate(punch)
    with opened(b"f") as fd:
        os.write(fd, b"x" * 50_000)
        allocate(fd, punch, 10_000, 20_000)
    assert read(b"f") == b"x" * 10_000 + bytes(20_000) + b"x" * 20_000
