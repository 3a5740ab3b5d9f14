"""Reading and writing: positions, partial blocks, scattered buffers, descriptors that share a position."""

from __future__ import annotations

import errno
import os
import random
import resource

from tests.posix.env import Env, behaviour, fails, links, opened, read, touch, write

SIZES = (1, 511, 512, 1023, 1024, 1025, 4095, 4096, 4097, 8192, 40_000, 300_001)


def pattern(size: int, seed: int = 0) -> bytes:
    """Data in which no two places look alike; always the same for the same seed."""
    return random.Random(seed).randbytes(size)


@behaviour
def what_is_written_is_read(env: Env) -> None:
    for size in SIZES:
        data = pattern(size, size)
        write(b"f", data)
        assert read(b"f") == data
        assert os.stat(b"f").st_size == size


@behaviour
def small_pieces_make_a_whole(env: Env) -> None:
    data = pattern(30_000)
    with opened(b"f") as fd:
        for at in range(0, len(data), 777):
            os.write(fd, data[at : at + 777])
        os.lseek(fd, 0, os.SEEK_SET)
        pieces = []
        while piece := os.read(fd, 1001):
            pieces.append(piece)
    assert b"".join(pieces) == data


@behaviour
def overwriting_changes_only_its_bytes(env: Env) -> None:
    wanted = bytearray(pattern(20_000))
    write(b"f", wanted)
    with opened(b"f", os.O_RDWR) as fd:
        for at, size in ((0, 1), (1023, 2), (4095, 2), (5000, 3000), (8192, 1024), (19_999, 1)):
            piece = pattern(size, at)
            assert os.pwrite(fd, piece, at) == size
            wanted[at : at + size] = piece
    assert read(b"f") == wanted


@behaviour
def random_writes_read_back(env: Env) -> None:
    dice = random.Random(42)
    wanted = bytearray()
    with opened(b"f") as fd:
        for _ in range(200):
            at = dice.randrange(60_000)
            piece = dice.randbytes(dice.randrange(1, 5000))
            os.pwrite(fd, piece, at)
            wanted.extend(bytes(max(0, at + len(piece) - len(wanted))))
            wanted[at : at + len(piece)] = piece
        assert os.pread(fd, len(wanted) + 1, 0) == wanted
    assert read(b"f") == wanted


@behaviour
def one_large_write(env: Env) -> None:
    data = pattern(3 << 20)
    with opened(b"f") as fd:
        assert os.write(fd, data) == len(data)
        os.fsync(fd)
        assert os.pread(fd, len(data), 0) == data


@behaviour
def reading_stops_at_the_end(env: Env) -> None:
    write(b"f", b"0123456789")
    with opened(b"f", os.O_RDONLY) as fd:
        assert os.read(fd, 100) == b"0123456789"
        assert os.read(fd, 100) == b""
        assert os.pread(fd, 100, 7) == b"789"
        assert os.pread(fd, 100, 10) == b""
        assert os.pread(fd, 100, 1 << 20) == b""


@behaviour
def nothing_is_written_by_an_empty_write(env: Env) -> None:
    with opened(b"f") as fd:
        assert os.pwrite(fd, b"", 100) == 0
        assert os.fstat(fd).st_size == 0


@behaviour
def positioned_calls_leave_the_position(env: Env) -> None:
    with opened(b"f") as fd:
        os.write(fd, b"abcdef")
        os.lseek(fd, 2, os.SEEK_SET)
        os.pwrite(fd, b"XY", 4)
        assert os.pread(fd, 2, 0) == b"ab"
        assert os.lseek(fd, 0, os.SEEK_CUR) == 2
        assert os.read(fd, 9) == b"cdXY"
        fails(errno.EINVAL, os.pread, fd, 1, -1)
        fails(errno.EINVAL, os.pwrite, fd, b"x", -1)


@behaviour
def lseek_from_start_position_and_end(env: Env) -> None:
    write(b"f", b"0123456789")
    with opened(b"f", os.O_RDWR) as fd:
        assert os.lseek(fd, -3, os.SEEK_END) == 7
        assert os.read(fd, 1) == b"7"
        assert os.lseek(fd, -2, os.SEEK_CUR) == 6
        assert os.lseek(fd, 100, os.SEEK_SET) == 100
        assert os.fstat(fd).st_size == 10
        fails(errno.EINVAL, os.lseek, fd, -1, os.SEEK_SET)
        fails(errno.EINVAL, os.lseek, fd, -11, os.SEEK_END)
        fails(errno.EINVAL, os.lseek, fd, 0, 99)
        assert os.lseek(fd, 0, os.SEEK_CUR) == 100


@behaviour
def duplicates_share_the_position(env: Env) -> None:
    write(b"f", b"abcdef")
    with opened(b"f", os.O_RDONLY) as fd, opened(b"f", os.O_RDONLY) as other:
        twin = os.dup(fd)
        assert os.read(fd, 2) == b"ab"
        assert os.read(twin, 2) == b"cd"
        assert os.read(other, 2) == b"ab"
        os.close(fd)
        assert os.read(twin, 9) == b"ef"
        os.dup2(twin, fd)
        os.close(twin)
        assert os.lseek(fd, 0, os.SEEK_CUR) == 6


@behaviour
def children_share_the_position(env: Env) -> None:
    with opened(b"f") as fd:
        os.write(fd, b"parent")
        env.start(os.write, fd, b" child").result()
        os.write(fd, b" parent")
    assert read(b"f") == b"parent child parent"


@behaviour
def written_data_is_seen_by_other_descriptors(env: Env) -> None:
    with opened(b"f") as writer, opened(b"f", os.O_RDONLY) as reader:
        for turn in range(20):
            os.write(writer, b"%04d" % turn)
            assert os.fstat(reader).st_size == 4 * turn + 4
            assert os.read(reader, 99) == b"%04d" % turn


@behaviour
def written_data_is_seen_by_other_processes(env: Env) -> None:
    with opened(b"f") as fd:
        os.write(fd, b"first")
        assert env.start(read, b"f").result() == b"first"
        os.write(fd, b" second")
        assert env.start(os.stat, b"f").result().st_size == 12
        assert env.start(read, b"f").result() == b"first second"


@behaviour
def scattered_buffers(env: Env) -> None:
    with opened(b"f") as fd:
        assert os.writev(fd, [b"abc", b"", b"defg", b"h" * 5000]) == 5007
        assert os.pwritev(fd, [b"12", b"34"], 2) == 4
        parts = [bytearray(3), bytearray(5), bytearray(9000)]
        assert os.preadv(fd, parts, 0) == 5007
        assert [bytes(part[:5]) for part in parts] == [b"ab1", b"234gh", b"hhhhh"]


@behaviour
def file_size_limit_of_a_process_is_efbig(env: Env) -> None:
    def write_beyond() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with opened(b"f") as fd:
            assert os.write(fd, b"x" * 2000) == 1000
            fails(errno.EFBIG, os.write, fd, b"x")
            fails(errno.EFBIG, os.ftruncate, fd, 1001)
            assert os.fstat(fd).st_size == 1000

    env.start(write_beyond).result()


@behaviour
def closed_descriptor_is_ebadf(env: Env) -> None:
    fd = os.open(b"f", os.O_CREAT | os.O_RDWR)
    os.close(fd)
    for call in (os.fstat, os.fsync, os.close):
        fails(errno.EBADF, call, fd)
    fails(errno.EBADF, os.write, fd, b"x")


@behaviour
def synchronous_writes(env: Env) -> None:
    with opened(b"f", os.O_CREAT | os.O_WRONLY | os.O_SYNC) as fd:
        os.write(fd, b"sync")
    with opened(b"f", os.O_WRONLY | os.O_DSYNC | os.O_APPEND) as fd:
        os.write(fd, b" dsync")
    assert read(b"f") == b"sync dsync"


@behaviour
def fsync_of_files_and_directories(env: Env) -> None:
    os.mkdir(b"d")
    with opened(b"d/f") as fd, opened(b"d", os.O_RDONLY) as directory:
        os.write(fd, b"data")
        os.fsync(fd)
        os.fdatasync(fd)
        os.fsync(directory)
        os.unlink(b"d/f")
        os.fsync(fd)
        os.fsync(directory)
    with opened(b"d/g"), opened(b"d/g", os.O_RDONLY) as reader:
        os.fsync(reader)


@behaviour
def data_moves_inside_the_kernel(env: Env) -> None:
    data = pattern(50_000)
    write(b"a", data)
    with opened(b"a", os.O_RDONLY) as source, opened(b"b") as sent, opened(b"c") as copied:
        done = 0
        while done < len(data):
            done += os.sendfile(sent, source, done, len(data) - done)
        done = 0
        while done < len(data):
            done += os.copy_file_range(source, copied, len(data) - done, done, done)
    assert read(b"b") == data
    assert read(b"c") == data


@behaviour
def data_goes_through_a_pipe(env: Env) -> None:
    data = pattern(10_000)
    write(b"a", data)
    out, into = os.pipe()
    with opened(b"a", os.O_RDONLY) as source, opened(b"b") as target:
        assert os.splice(source, into, len(data), offset_src=0) == len(data)
        done = 0
        while done < len(data):
            done += os.splice(out, target, len(data) - done, offset_dst=done)
    assert read(b"b") == data


@behaviour
def many_files_open_at_once(env: Env) -> None:
    fds = [os.open(b"f%d" % n, os.O_CREAT | os.O_RDWR) for n in range(100)]
    for n, fd in enumerate(fds):
        os.write(fd, b"%d" % n)
    for n, fd in enumerate(fds):
        assert os.pread(fd, 9, 0) == b"%d" % n
        os.close(fd)


@behaviour
def inode_numbers_tell_files_apart(env: Env) -> None:
    touch(b"a", b"b")
    os.link(b"a", b"c")
    a, b, c = (os.stat(name) for name in (b"a", b"b", b"c"))
    assert a.st_dev == b.st_dev
    assert a.st_ino == c.st_ino != b.st_ino
    assert links(b"a") == links(b"c") == 2
