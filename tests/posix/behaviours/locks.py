"""Advisory locks between processes: flock, and fcntl's record locks."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable

from tests.posix.env import Env, behaviour, fails, opened

TRY = fcntl.LOCK_NB
SHARED, EXCLUSIVE, UNLOCK = fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN


def taken(env: Env, lock: Callable[..., None], *arguments: int) -> bool:
    """Whether another process finds the lock taken."""

    def attempt() -> bool:
        with opened(b"f") as fd:
            try:
                lock(fd, *arguments)
            except BlockingIOError:
                return True
            return False

    return bool(env.start(attempt).result())


@behaviour
def flock_excludes_other_processes(env: Env) -> None:
    with opened(b"f") as fd:
        fcntl.flock(fd, EXCLUSIVE)
        assert taken(env, fcntl.flock, EXCLUSIVE | TRY)
        assert taken(env, fcntl.flock, SHARED | TRY)
        fcntl.flock(fd, UNLOCK)
        assert not taken(env, fcntl.flock, EXCLUSIVE | TRY)


@behaviour
def flock_is_shared_by_readers(env: Env) -> None:
    with opened(b"f") as fd:
        fcntl.flock(fd, SHARED)
        assert not taken(env, fcntl.flock, SHARED | TRY)
        assert taken(env, fcntl.flock, EXCLUSIVE | TRY)


@behaviour
def flock_belongs_to_the_open_file(env: Env) -> None:
    with opened(b"f") as one, opened(b"f") as other:
        twin = os.dup(one)
        fcntl.flock(one, EXCLUSIVE)
        fcntl.flock(twin, EXCLUSIVE | TRY)
        fails(errno.EWOULDBLOCK, fcntl.flock, other, EXCLUSIVE | TRY)
        os.close(twin)
        assert taken(env, fcntl.flock, EXCLUSIVE | TRY)


@behaviour
def flock_ends_with_the_last_close(env: Env) -> None:
    fd = os.open(b"f", os.O_CREAT | os.O_RDWR)
    fcntl.flock(fd, EXCLUSIVE)
    os.close(fd)
    assert not taken(env, fcntl.flock, EXCLUSIVE | TRY)


@behaviour
def flock_waits_for_its_turn(env: Env) -> None:
    def count() -> None:
        for _ in range(50):
            with opened(b"f") as fd:
                fcntl.flock(fd, EXCLUSIVE)
                number = int(os.pread(fd, 9, 0) or b"0")
                os.pwrite(fd, b"%d" % (number + 1), 0)

    for child in [env.start(count) for _ in range(3)]:
        child.result()
    with opened(b"f") as fd:
        assert os.pread(fd, 9, 0) == b"150"


@behaviour
def record_locks_exclude_other_processes(env: Env) -> None:
    with opened(b"f") as fd:
        fcntl.lockf(fd, EXCLUSIVE, 10, 100)
        for start, length in ((100, 10), (109, 1), (90, 11), (0, 0)):  # length 0: to the end of everything
            assert taken(env, fcntl.lockf, EXCLUSIVE | TRY, length, start), (start, length)
        for start, length in ((0, 100), (110, 5), (110, 0)):
            assert not taken(env, fcntl.lockf, EXCLUSIVE | TRY, length, start), (start, length)
        fcntl.lockf(fd, UNLOCK, 10, 100)
        assert not taken(env, fcntl.lockf, EXCLUSIVE | TRY, 0, 0)


@behaviour
def record_locks_are_shared_by_readers(env: Env) -> None:
    with opened(b"f") as fd:
        fcntl.lockf(fd, SHARED, 10, 0)
        assert not taken(env, fcntl.lockf, SHARED | TRY, 10, 0)
        assert taken(env, fcntl.lockf, EXCLUSIVE | TRY, 10, 0)


@behaviour
def record_locks_are_split_and_joined(env: Env) -> None:
    with opened(b"f") as fd:
        fcntl.lockf(fd, EXCLUSIVE, 30, 0)
        fcntl.lockf(fd, UNLOCK, 10, 10)
        held = {at for at in (9, 10, 19, 20) if taken(env, fcntl.lockf, EXCLUSIVE | TRY, 1, at)}
        assert held == {9, 20}
        fcntl.lockf(fd, EXCLUSIVE, 10, 10)
        assert taken(env, fcntl.lockf, EXCLUSIVE | TRY, 1, 15)


@behaviour
def record_locks_end_with_any_close_of_the_process(env: Env) -> None:
    with opened(b"f") as fd:
        fcntl.lockf(fd, EXCLUSIVE)
        os.close(os.open(b"f", os.O_RDONLY))
        assert not taken(env, fcntl.lockf, EXCLUSIVE | TRY)


@behaviour
def record_locks_end_with_their_process(env: Env) -> None:
    def lock() -> None:
        fd = os.open(b"f", os.O_CREAT | os.O_RDWR)
        fcntl.lockf(fd, EXCLUSIVE)

    env.start(lock).result()
    assert not taken(env, fcntl.lockf, EXCLUSIVE | TRY)


@behaviour
def record_locks_are_not_inherited(env: Env) -> None:
    with opened(b"f") as fd:
        fcntl.lockf(fd, EXCLUSIVE)
        fails((errno.EAGAIN, errno.EACCES), env.start(fcntl.lockf, fd, EXCLUSIVE | TRY).result)


@behaviour
def record_lock_waits_for_its_turn(env: Env) -> None:
    def count() -> None:
        with opened(b"f") as fd:
            for _ in range(50):
                fcntl.lockf(fd, EXCLUSIVE)
                number = int(os.pread(fd, 9, 0) or b"0")
                os.pwrite(fd, b"%d" % (number + 1), 0)
                fcntl.lockf(fd, UNLOCK)

    for child in [env.start(count) for _ in range(3)]:
        child.result()
    with opened(b"f") as fd:
        assert os.pread(fd, 9, 0) == b"150"


@behaviour
def record_locks_need_the_access_mode(env: Env) -> None:
    os.close(os.open(b"f", os.O_CREAT | os.O_WRONLY))
    with opened(b"f", os.O_RDONLY) as fd:
        fails(errno.EBADF, fcntl.lockf, fd, EXCLUSIVE | TRY)
    with opened(b"f", os.O_WRONLY) as fd:
        fails(errno.EBADF, fcntl.lockf, fd, SHARED | TRY)


@behaviour
def killed_process_leaves_no_lock(env: Env) -> None:
    locked, tell = os.pipe()
    never, _ = os.pipe()

    def lock_and_wait() -> None:
        with opened(b"f") as fd:
            fcntl.flock(fd, EXCLUSIVE)
            fcntl.lockf(fd, EXCLUSIVE)
            os.write(tell, b"1")
            os.read(never, 1)

    child = env.start(lock_and_wait)
    os.close(tell)  # so that a child that fails does not leave us waiting
    os.read(locked, 1)
    assert taken(env, fcntl.flock, EXCLUSIVE | TRY)
    assert taken(env, fcntl.lockf, EXCLUSIVE | TRY)
    child.kill()
    assert not taken(env, fcntl.flock, EXCLUSIVE | TRY)
    assert not taken(env, fcntl.lockf, EXCLUSIVE | TRY)
