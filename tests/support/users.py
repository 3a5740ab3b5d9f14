"""Work done in a forked child, under another user's identity where asked.

Entry points: `users(gid_max)` makes the three unprivileged users; `start(fn, ...)` forks a `Child`;
`Child.result()` returns what `fn` returned or raises what it raised, with the child's traceback as a note.

A child never outlives its work: it dies with the thread that started it (PR_SET_PDEATHSIG), by its own
alarm, or by the parent's kill, whichever comes first, and takes with it the process group that it leads. It
leaves through `os._exit`, so that no handler or buffer of the parent runs twice. A child that even SIGKILL
cannot end, because a file system does not answer it, is reported and left behind; nobody waits for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import select
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
GRACE = 1.0  # seconds between a child's own alarm and our kill, and between our kill and giving it up

_libc = ctypes.CDLL(None, use_errno=True)


class ChildFailedError(Exception):
    """The child gave no answer: killed by `signal`, out of time, or its answer could not be sent."""

    def __init__(self, message: str, signal: int | None = None) -> None:
        super().__init__(message)
        self.signal = signal


@dataclass(frozen=True)
class User:
    uid: int
    gid: int


def users(gid_max: int = 65535) -> tuple[User, User, User]:
    """Three users who share no group; ids up to `gid_max` (255 for formats with an 8-bit group id)."""
    base = 1000 if gid_max > 1003 else 200
    first, second, third = (User(base + n, base + n) for n in (1, 2, 3))
    return first, second, third


class Child:
    """One forked child at work; `result` once, from the process that started it."""

    def __init__(self, pid: int, answer: int, seconds: float) -> None:
        self.pid = pid
        self._answer = answer
        self._deadline = time.monotonic() + seconds + GRACE
        self._status: int | None = None

    def result(self) -> Any:
        data = self._read_answer()
        self._reap()
        if not data:
            raise self._failure()
        ok, value = pickle.loads(data)
        if ok:
            return value
        raise value

    def kill(self) -> None:
        """End the child at once, whatever it does."""
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._deadline = time.monotonic()
            self._reap()
        os.close(self._answer)

    def _read_answer(self) -> bytes:
        chunks: list[bytes] = []
        poll = select.poll()
        poll.register(self._answer, select.POLLIN)
        try:
            while poll.poll(max(0.0, self._deadline - time.monotonic()) * 1000):
                chunk = os.read(self._answer, 1 << 16)
                if not chunk:
                    return b"".join(chunks)
                chunks.append(chunk)
        finally:
            os.close(self._answer)
        return b""

    def _reap(self) -> None:
        watch = os.pidfd_open(self.pid)
        try:
            poll = select.poll()
            poll.register(watch, select.POLLIN)
            if not poll.poll(max(0.0, self._deadline - time.monotonic()) * 1000):
                os.kill(self.pid, signal.SIGKILL)
                if not poll.poll(GRACE * 1000):
                    return
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)  # before the wait, which sets the number free
            self._status = os.waitpid(self.pid, 0)[1]
        finally:
            os.close(watch)

    def _failure(self) -> ChildFailedError:
        if self._status is None:
            return ChildFailedError("the child is stuck in the kernel, not even SIGKILL ends it")
        code = os.waitstatus_to_exitcode(self._status)
        if code >= 0:
            return ChildFailedError(f"the child ended without an answer, exit code {code}")
        cause = "ran out of time" if -code in (signal.SIGALRM, signal.SIGKILL) else "died"
        return ChildFailedError(f"the child {cause} ({signal.Signals(-code).name})", -code)


def start(
    fn: Callable[..., Any],
    *args: Any,
    user: User | None = None,
    groups: Sequence[int] = (),
    seconds: float = 10.0,
) -> Child:
    """Fork a child that runs `fn(*args)` for at most `seconds`, as `user` with more `groups` if given."""
    answer, sender = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(answer)
        _work(fn, args, user, groups, seconds, sender)
    os.close(sender)
    return Child(pid, answer, seconds)


def _work(
    fn: Callable[..., Any],
    args: Sequence[Any],
    user: User | None,
    groups: Sequence[int],
    seconds: float,
    sender: int,
) -> NoReturn:
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        _become(user, groups)
        answer = _packed(True, fn(*args))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent raises it
        error.add_note("in the child:\n" + traceback.format_exc())
        answer = _packed(False, error)
    try:
        while answer:
            answer = answer[os.write(sender, answer) :]
    finally:
        os._exit(0)


def _become(user: User | None, groups: Sequence[int]) -> None:
    if user is not None:
        os.setgroups(list(groups))
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    # After the change of identity, which clears it.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _packed(ok: bool, value: Any) -> bytes:
    try:
        return pickle.dumps((ok, value))
    except Exception as error:  # noqa: BLE001 - pickling raises whatever the value's class likes
        return pickle.dumps((False, ChildFailedError(f"cannot send {value!r}: {error}")))
