"""The directories from the top of a tree down to the one that is worked on, each kept open while it is of use.

    chain = Chain(top, enter, leave)
    chain.at(b"usr/bin")                 a handle of that directory, good until the next call
    chain.close()

`enter(handle, name)` opens a child of a directory and must not follow a symbolic link; `leave(handle)` closes it. So no
path is ever given to the system below as a whole: it may be longer than that takes, and nothing in it leads out of the
tree. Going from one directory to the next costs only the steps between them. `top` is the caller's own.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Generic, TypeVar

H = TypeVar("H")

OPEN_AT_ONCE = 128
"""Of a deeper chain only the lower end is open."""


class Chain(Generic[H]):
    """Parallel stacks: the names from the top on, and the handles of the lowest of these directories."""

    def __init__(self, top: H, enter: Callable[[H, bytes], H], leave: Callable[[H], None]) -> None:
        self._top = top
        self._enter = enter
        self._leave = leave
        self._path = b""
        self._names: list[bytes] = []
        self._handles: list[H | None] = []

    def at(self, path: bytes) -> H:
        """A handle of directory `path`. Raises what `enter` raises; OSError for ``.`` or ``..`` in the path."""
        if path == self._path and self._handles and self._handles[-1] is not None:
            return self._handles[-1]
        names = path.split(b"/") if path else []
        common = 0
        for ours, wanted in zip(self._names, names, strict=False):
            if ours != wanted:
                break
            common += 1
        while common and self._handles[common - 1] is None:  # closed for want of room: begin again at the top
            common -= 1
        self._cut(common)
        handle = self._handles[-1] if self._handles else self._top
        for name in names[common:]:
            handle = self._enter(handle, checked(name))  # type: ignore[arg-type]  # what is below a None was cut
            self._names.append(name)
            self._handles.append(handle)
            surplus = len(self._handles) - OPEN_AT_ONCE - 1
            if surplus >= 0 and (old := self._handles[surplus]) is not None:
                self._handles[surplus] = None
                self._leave(old)
        self._path = path
        return handle  # type: ignore[return-value]

    def close(self) -> None:
        """Close everything but the top."""
        self._cut(0)

    def _cut(self, length: int) -> None:
        self._path = b"/".join(self._names[:length])
        while len(self._handles) > length:
            handle = self._handles.pop()
            self._names.pop()
            if handle is not None:
                self._leave(handle)


def checked(name: bytes) -> bytes:
    """`name` if it can be one in a directory. Raises OSError (EINVAL): bad images and archives hold others."""
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
    return name
