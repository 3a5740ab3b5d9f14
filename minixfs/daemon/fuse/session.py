"""One attached mount: reads the kernel's requests, has them answered, and writes the replies.

The way of a request is short. A task reads it and runs its handler right there; if that never waits, which is the rule,
the same task writes the reply and reads on. When a handler does wait, another task goes on reading.
Requests come in a row, and parking a task costs more than most of them, so the descriptor is first polled for some
microseconds; then, while no request is being served, the whole loop waits for it for a moment: nobody misses it. Every
so many requests the scheduler gets its turn, so that timers and threads are not starved. What nobody waits for is done
after a reply, a little at a time, while whoever got that wakes up; the rest of it when no request comes.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import time
import types
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import Any, Protocol

import trio

from minixfs.daemon.fuse.wire import (
    INIT_IN,
    INIT_OUT,
    MAJOR,
    MINOR,
    MINOR_MIN,
    NOTIFY_INVAL_INODE,
    NOTIFY_INVAL_INODE_OUT,
    REPLY,
    REQUEST,
    Opcode,
    Request,
)
from minixfs.errors import MinixFsError, PosixError
from minixfs.hw.blockdev.device import Data

log = logging.getLogger(__name__)

SPIN = 50e-6 if len(os.sched_getaffinity(0)) > 1 else 0.0
"""Seconds that the descriptor is polled before the task waits in any other way.

Several times as long spares a wait now and then, but loses more when others want the processors: who polls while the
other side waits for its turn is himself without one when the request comes. On a single processor polling is in vain.
"""
PAUSE = 2
"""Milliseconds that the loop may wait for nothing but the descriptor. A signal or a commit can wait as long."""
REQUESTS_PER_TURN = 128
"""Requests that may be taken in a row before other tasks get to run."""
PAGE = 4096
MAX_PAGES = 256
"""Pages of data in one request, either way: 1 MiB."""
_BUFFER_SIZE = (MAX_PAGES + 1) * PAGE

Handler = Callable[[Request], Coroutine[Any, Any, Data | None]]
"""Answers a request with the body of the reply, with None if there is to be no reply, or with an error."""


class Face(Protocol):
    """Whoever answers."""

    @property
    def handlers(self) -> Mapping[int, Handler]:
        """By opcode."""
        ...

    @property
    def granularity(self) -> int:
        """Times are multiples of so many nanoseconds."""
        ...

    def choose(self, offered: int) -> int:
        """Which of the `offered` features (bits of `wire.Feature`) are to be used; from now on they are."""
        ...

    @property
    def has_chores(self) -> bool:
        """Whether `tidy` has anything to do."""
        ...

    async def tidy(self, busy: Callable[[], bool]) -> None:
        """Do a little of what can wait until nobody does; stop when a request comes (`busy`)."""
        ...


class Session:
    """The kernel's requests on `descriptor`. At most `tasks` of them are being served at once.

    `_serving` counts the requests that were read and not yet answered, `_spare` the tasks that may still be started,
    and `_buffers` are those of tasks that have ended.
    """

    def __init__(self, descriptor: int, tasks: int) -> None:
        self._descriptor = descriptor
        self._face: Face
        self._handlers: dict[int, Handler]
        self._nursery: trio.Nursery
        self._is_reading = False
        self._is_tidying = False
        self._spare = tasks
        self._serving = 0
        self._in_a_row = 0
        self._buffers: list[bytearray] = []
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        os.set_blocking(descriptor, False)

    async def serve(self, face: Face) -> None:
        """Have requests answered by `face` until the mount is gone."""
        self._face = face
        self._handlers = {
            **face.handlers, Opcode.INIT: self._init, Opcode.DESTROY: _agree, Opcode.INTERRUPT: _ignore
        }  # fmt: skip
        async with trio.open_nursery() as self._nursery:
            self._start_reading()

    def stop(self) -> None:
        """End `serve`, whatever the kernel still wants."""
        self._nursery.cancel_scope.cancel()

    def attributes_changed(self, node: int) -> None:
        """Have the kernel ask for a node's attributes again. For attributes alone this is safe inside a request."""
        self._send(NOTIFY_INVAL_INODE, 0, NOTIFY_INVAL_INODE_OUT.pack(node, -1, 0))

    def _is_busy(self) -> bool:
        return self._serving > 0

    # ---- reading ---------------------------------------------------------------------------------------------------

    def _start_reading(self) -> None:
        """Have another task read on, if there may be one more."""
        self._is_reading = self._spare > 0
        if self._is_reading:
            self._spare -= 1
            self._nursery.start_soon(self._read_on)

    async def _read_on(self) -> None:
        """Read requests and serve them, until one has waited and another task is reading."""
        buffer = self._buffers.pop() if self._buffers else bytearray(_BUFFER_SIZE)
        view = memoryview(buffer)
        while size := await self._read(view):
            serving = self._serve(view[:size])
            try:
                waits_for = serving.send(None)
            except StopIteration:
                continue
            self._start_reading()
            await _finish(serving, waits_for)
            if self._is_reading:
                self._spare += 1
                self._buffers.append(buffer)
                return
            self._is_reading = True
        self.stop()

    async def _read(self, buffer: memoryview) -> int:
        """Wait for a request and read it; return its size in bytes, 0 when the mount is gone."""
        while True:
            self._in_a_row += 1
            if self._in_a_row >= REQUESTS_PER_TURN or not self._is_readable_soon():
                self._in_a_row = 0
                if self._face.has_chores and not self._is_tidying:
                    self._nursery.start_soon(self._tidy_up)
                await trio.lowlevel.wait_readable(self._descriptor)
            try:
                return os.readv(self._descriptor, (buffer,))
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return 0
                if error.errno not in (errno.EAGAIN, errno.ENOENT):  # it was taken back before we had read it
                    raise

    def _is_readable_soon(self) -> bool:
        poll, now = self._poll.poll, time.monotonic
        if poll(0):
            return True
        end = now() + SPIN
        while now() < end:
            if poll(0):
                return True
        return not self._serving and not self._face.has_chores and bool(poll(PAUSE))

    async def _tidy_up(self) -> None:
        """Do all chores, while nothing is being served."""
        self._is_tidying = True
        while self._face.has_chores and not self._serving:
            await self._face.tidy(self._is_busy)
            await trio.lowlevel.checkpoint()
        self._is_tidying = False

    # ---- answering -------------------------------------------------------------------------------------------------

    async def _serve(self, message: memoryview) -> None:
        _, opcode, unique, node, uid, gid, _, _, _ = REQUEST.unpack_from(message)
        self._serving += 1
        body: Data | None
        number = 0
        handler = self._handlers.get(opcode, _refuse)
        try:
            body = await handler(Request(node, uid, gid, message[REQUEST.size :]))
        except MinixFsError as error:
            number, body = error.errno, b""
        except Exception:
            log.exception("internal error in %s", handler.__name__.strip("_"))
            number, body = errno.EIO, b""
        finally:
            self._serving -= 1
        if body is None:
            return  # whoever asked goes on without a reply, and may well ask again before a chore is done
        self._send(-number, unique, body)
        if self._face.has_chores and not self._serving:  # while whoever asked wakes up
            await self._face.tidy(self._is_busy)

    def _send(self, error: int, unique: int, body: Data) -> None:
        try:
            os.writev(self._descriptor, (REPLY.pack(REPLY.size + len(body), error, unique), body))
        except OSError as problem:
            if problem.errno not in (errno.ENOENT, errno.ENODEV):  # nobody waits for it any more, or the mount is gone
                log.error("the kernel did not take a reply: %s", problem)

    async def _init(self, request: Request) -> bytes:
        """Settle with the kernel which version of the protocol and which features to use."""
        major, minor, read_ahead, offered = INIT_IN.unpack_from(request.body)
        if major < MAJOR or (major == MAJOR and minor < MINOR_MIN):
            log.error("this kernel speaks version %d.%d of FUSE; %d.%d is needed", major, minor, MAJOR, MINOR_MIN)
            raise PosixError(errno.EPROTO)
        features = self._face.choose(offered) if major == MAJOR else 0  # else it will ask again
        return INIT_OUT.pack(
            MAJOR, MINOR, read_ahead, features, 0, 0, MAX_PAGES * PAGE, self._face.granularity, MAX_PAGES, *[0] * 9
        )  # fmt: skip


@types.coroutine
def _finish(begun: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """Go on with a coroutine that was begun in this task and has just said what it `waits_for`."""
    try:
        while True:
            try:
                value = yield waits_for
            except BaseException as error:  # noqa: BLE001 - all are its own to handle
                waits_for = begun.throw(error)
            else:
                waits_for = begun.send(value)
    except StopIteration:
        pass


async def _agree(_: Request) -> bytes:
    return b""


async def _ignore(_: Request) -> None:
    """An interrupt: what takes long is the disk, and that cannot be called back."""


async def _refuse(_: Request) -> None:
    raise PosixError(errno.ENOSYS)
