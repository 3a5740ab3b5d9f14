"""Calls of an image happen whole: one at a time, and never torn apart by Ctrl-C.

A call is a coroutine that is driven to its end. Another thread in the middle of it, or a KeyboardInterrupt, would leave
references and half a change behind. So each image has a `Guard`: a lock around every call, and, while an image is open,
a handler of SIGINT that waits. When the signal finds the main thread inside a call (a frame of `Guard._drive` on its
stack) or inside what is not to be divided, the handler that was there before gets it afterwards; anywhere else it gets
it at once. A program that sets a handler of its own meanwhile replaces ours. Other threads need no such care: Python
runs handlers in the main one.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

from minixfs.hw.runtime import run

T = TypeVar("T")


class Guard:
    """Drives the calls of one image."""

    def __init__(self) -> None:
        self._closed = ""
        self._lock = threading.RLock()
        _Deferral.begin()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of `coroutine`. Raises ValueError after `close`."""
        try:
            return self._drive(coroutine)
        finally:
            if _Deferral.pending:
                _Deferral.deliver()

    def undivided(self, function: Callable[..., T], *arguments: Any) -> T:
        """The result of a function that makes several calls, which Ctrl-C is not to come between."""
        try:
            return self._undivided(function, *arguments)
        finally:
            if _Deferral.pending:
                _Deferral.deliver()

    def close(self, coroutine: Coroutine[Any, Any, None], said: str) -> None:
        """Drive the last one; later ones are a ValueError that says `said`."""
        try:
            self._drive(coroutine, said)
        finally:
            _Deferral.end()

    def forsake(self, said: str) -> None:
        """As `close`, at once: whoever holds the lock is a thread that a fork has left behind."""
        self._closed = said
        self._lock = threading.RLock()
        _Deferral.end()

    def _drive(self, coroutine: Coroutine[Any, Any, T], closing: str = "") -> T:
        with self._lock:
            if self._closed:
                coroutine.close()
                raise ValueError(self._closed)
            self._closed = closing
            return run(coroutine)

    def _undivided(self, function: Callable[..., T], *arguments: Any) -> T:
        return function(*arguments)


class _Deferral:
    """SIGINT is the process's, so this is too. Changed by the main thread alone, except for the count of users."""

    pending = False
    _users = 0
    _count_lock = threading.Lock()
    _previous: Any = None

    @classmethod
    def begin(cls) -> None:
        with cls._count_lock:
            cls._users += 1
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler) and handler != cls._on_signal:  # not callable: ignored, or the process just ends
                cls._previous = handler
                signal.signal(signal.SIGINT, cls._on_signal)

    @classmethod
    def end(cls) -> None:
        """The last user in the main thread puts the former handler back."""
        with cls._count_lock:
            cls._users -= 1
            last = not cls._users
        if (
            last
            and threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) == cls._on_signal
        ):
            signal.signal(signal.SIGINT, cls._previous)
        if cls.pending:
            cls.deliver()

    @classmethod
    def deliver(cls) -> None:
        """Pass a signal on that has waited, unless this is still part of something undivided."""
        frame = sys._getframe(1)
        if threading.current_thread() is threading.main_thread() and not cls._inside(frame):
            cls.pending = False
            cls._previous(signal.SIGINT, frame)

    @classmethod
    def _on_signal(cls, number: int, frame: FrameType | None) -> None:
        if cls._inside(frame):
            cls.pending = True
        else:
            cls._previous(number, frame)

    @staticmethod
    def _inside(frame: FrameType | None) -> bool:
        while frame is not None:
            if frame.f_code in (Guard._drive.__code__, Guard._undivided.__code__):
                return True
            frame = frame.f_back
        return False
