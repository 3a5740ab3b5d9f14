"""What a behaviour is given, and the list it joins.

A behaviour is a function `def name(env)` marked `@behaviour`. It runs in a process of its own, whose
working directory is a fresh empty directory (mode 0777) of the file system in question, so it uses short
relative names, may change umask, working directory and limits, and leaves no process or descriptor behind.
It passes by returning, fails by raising, and raises `Skip` if the file system or the caller cannot show it.
Names are at most 14 bytes and times are set in whole seconds after 1970, so that the oldest formats can be
asked as well.

Entry points: `behaviour`, `BEHAVIOURS`, `Env`, `Limits`, `Skip`, `fails` and the short file helpers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.users import Child, User, start, users

ANY_ID = (1 << 32) - 2  # the largest id there is; one more means "keep it" to chown


class Skip(Exception):
    """This behaviour cannot be shown here; the text says why."""


@dataclass(frozen=True)
class Limits:
    """What a file system can hold; the defaults are ext2's. None: unknown, or too far away to be tried."""

    name_max: int = 255  # bytes in a name
    long_names_fail: bool = True  # a longer name is ENAMETOOLONG; False: it is cut, as MINIX does
    symlink_max: int = 1023  # bytes in the text of a symbolic link
    link_max: int | None = None  # names of one file
    file_size_max: int | None = None  # bytes
    gid_max: int = ANY_ID  # largest group id; user ids can be as large at least
    time_resolution: float = 1.0  # seconds
    one_time: bool = False  # access, change and modification time are one (MINIX V1)
    atime: bool = True  # reading is remembered


@dataclass(frozen=True)
class Env:
    """The surroundings of one behaviour."""

    root: bytes  # absolute path of its directory, which is also the working directory
    limits: Limits

    def need_root(self) -> None:
        if os.geteuid() != 0:
            raise Skip("needs root")

    def user(self, number: int) -> User:
        """One of the three unprivileged users, 1 to 3; they share no group."""
        self.need_root()
        return users(self.limits.gid_max)[number - 1]

    def as_user(self, number: int, fn: Callable[..., Any], *args: Any, groups: Sequence[int] = ()) -> Any:
        """What `fn(*args)` returns or raises when that user calls it, in a child, in the same directory."""
        return start(fn, *args, user=self.user(number), groups=groups).result()

    def start(self, fn: Callable[..., Any], *args: Any) -> Child:
        """Run `fn(*args)` at the same time, in a child; `.result()` waits for it."""
        return start(fn, *args)

    def is_now(self, moment: float) -> bool:
        """Whether a time stamp can be from the last seconds, at this file system's resolution."""
        coarse = max(self.limits.time_resolution, 0.05)
        return time.time() - 5 - coarse <= moment <= time.time() + coarse


@dataclass(frozen=True)
class Behaviour:
    name: str  # family.behaviour
    run: Callable[[Env], None]

    def __str__(self) -> str:
        return self.name


BEHAVIOURS: list[Behaviour] = []


def behaviour(run: Callable[[Env], None]) -> Callable[[Env], None]:
    """Put a function into the list."""
    family = run.__module__.rpartition(".")[2]
    BEHAVIOURS.append(Behaviour(f"{family}.{run.__name__}", run))
    return run


def fails(number: int | Sequence[int], fn: Callable[..., Any], *args: Any, **options: Any) -> None:
    """Check that the call raises OSError with this errno (or one of these, where POSIX leaves a choice)."""
    allowed = (number,) if isinstance(number, int) else number
    wanted = " or ".join(os.strerror(n) for n in allowed)
    try:
        value = fn(*args, **options)
    except OSError as error:
        if error.errno in allowed:
            return
        raise AssertionError(f"failed with {error}, not with {wanted}") from error
    raise AssertionError(f"succeeded with {value!r}, should fail with {wanted}")


@contextmanager
def opened(path: bytes, flags: int = os.O_RDWR | os.O_CREAT, mode: int = 0o644) -> Iterator[int]:
    """A descriptor for the length of a block."""
    fd = os.open(path, flags, mode)
    try:
        yield fd
    finally:
        os.close(fd)


def link_followed(old: bytes, new: bytes) -> None:
    """link() that follows a symbolic link `old`, such as one in /proc/self/fd."""
    with opened(b".", os.O_RDONLY) as here:  # without a descriptor Python calls link(), which follows nothing
        os.link(old, new, src_dir_fd=here, follow_symlinks=True)


def touch(*paths: bytes, mode: int = 0o644) -> None:
    """Make new empty files with exactly this mode."""
    for path in paths:
        with opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode) as fd:
            os.fchmod(fd, mode)


def write(path: bytes, data: bytes | bytearray) -> None:
    """Make a file hold just `data`."""
    with opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as fd:
        assert os.write(fd, data) == len(data)


def read(path: bytes) -> bytes:
    """All data of a file."""
    with open(path, "rb", buffering=0) as file:
        return file.read()


def names(path: bytes = b".") -> set[bytes]:
    """What a directory lists, without "." and ".."."""
    return set(os.listdir(path))


def mode_of(path: bytes) -> int:
    """The permission bits, set-id and sticky included."""
    return os.lstat(path).st_mode & 0o7777


def links(path: bytes) -> int:
    return os.lstat(path).st_nlink


def same_file(one: bytes, other: bytes) -> bool:
    """Whether two names (not followed) are the same file."""
    return os.path.samestat(os.lstat(one), os.lstat(other))
