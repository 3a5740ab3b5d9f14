"""How code below the mount waits, without knowing an event loop.

Everything under `fs`, `vm` and `hw` is ``async def`` but suspends only in two places: a device that really has to wait,
and a lock that somebody else holds. Both do it through the `Runtime` that the device carries. `INLINE` serves programs
without an event loop (offline commands, plain Python, unit tests): blocking work runs in place, and since nobody
else is running, waiting for an event can never end, so it is an error at once instead of a hang. The mount hands in a
runtime that is made of trio.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Event(Protocol):
    """One-shot event: `set` wakes every waiter; waiting for a set event returns at once."""

    def set(self) -> None: ...

    def wait(self) -> Awaitable[object]: ...


class Runtime(Protocol):
    """What the embedding program provides."""

    def event(self) -> Event:
        """A fresh event that is not set."""
        ...

    async def offload(self, function: Callable[..., T], *args: Any) -> T:
        """Run blocking `function(*args)` where it disturbs nobody, to its end even when the caller is cancelled."""
        ...


class _InlineEvent:
    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    async def wait(self) -> None:
        if not self._set:
            raise RuntimeError("would wait for ever: nothing else runs without an event loop")


class _Inline:
    def event(self) -> Event:
        return _InlineEvent()

    async def offload(self, function: Callable[..., T], *args: Any) -> T:
        return function(*args)


INLINE: Runtime = _Inline()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Drive `coroutine` to its end without an event loop and return its result.

    Raises RuntimeError if it tries to suspend, which code on the `INLINE` runtime never does.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine suspended outside an event loop")
