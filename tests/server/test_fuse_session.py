"""The session without a kernel: a pair of sockets stands for its descriptor."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from minixfs.daemon.fuse import wire
from minixfs.daemon.fuse.session import REQUESTS_PER_TURN, Handler, Session
from minixfs.daemon.fuse.wire import Feature, Opcode, Request
from minixfs.errors import NotFound
from minixfs.hw.runtime import run


class Answers:
    """A face that can echo names, wait, fail in two ways, and has chores."""

    granularity = 1

    def __init__(self) -> None:
        self.handlers: Mapping[int, Handler] = {
            Opcode.LOOKUP: self._echo,
            Opcode.READ: self._wait,
            Opcode.UNLINK: self._fail,
            Opcode.RMDIR: self._break,
            Opcode.FORGET: self._note,
        }
        self.go_on = trio.Event()
        self.waiting = 0
        self.noted: list[int] = []
        self.has_chores = False

    def choose(self, offered: int) -> int:
        return offered & Feature.CACHE_SYMLINKS

    async def tidy(self, busy: Callable[[], bool]) -> None:
        assert not busy()
        self.has_chores = False

    async def _echo(self, request: Request) -> bytes:
        return request.name()

    async def _wait(self, request: Request) -> bytes:
        self.waiting += 1
        await self.go_on.wait()
        return request.name()

    async def _fail(self, request: Request) -> bytes:
        raise NotFound

    async def _break(self, request: Request) -> bytes:
        raise ZeroDivisionError

    async def _note(self, request: Request) -> None:
        self.noted.append(request.node)


class Device:
    """The kernel's end."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def ask(self, opcode: int, unique: int, body: bytes = b"", node: int = 1) -> None:
        size = wire.REQUEST.size + len(body)
        self._end.send(wire.REQUEST.pack(size, opcode, unique, node, 0, 0, 0, 0, 0) + body)

    async def reply(self) -> tuple[int, int, bytes]:
        """Unique number, error and body."""
        await trio.lowlevel.wait_readable(self._end)
        data = self._end.recv(1 << 16)
        size, error, unique = wire.REPLY.unpack_from(data)
        assert size == len(data)
        return unique, error, data[wire.REPLY.size :]

    def go(self) -> None:
        self._end.close()


@asynccontextmanager
async def serving(tasks: int = 3) -> AsyncIterator[tuple[Device, Answers, Session]]:
    answers = Answers()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    session = Session(ours.fileno(), tasks)
    with ours, trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.serve, answers)
            yield Device(theirs), answers, session
            theirs.close()


@pytest.mark.trio
async def test_versions_and_features_are_settled_first() -> None:
    async with serving() as (device, _, _):
        offered = Feature.CACHE_SYMLINKS | Feature.WRITEBACK_CACHE
        device.ask(Opcode.INIT, 1, wire.INIT_IN.pack(7, 45, 1 << 17, offered))
        unique, error, body = await device.reply()
        major, minor, read_ahead, features, *_ = wire.INIT_OUT.unpack(body)
        assert (unique, error) == (1, 0)
        assert (major, minor, read_ahead, features) == (7, wire.MINOR, 1 << 17, Feature.CACHE_SYMLINKS)
        device.ask(Opcode.INIT, 2, wire.INIT_IN.pack(8, 1, 1 << 17, offered))
        assert wire.INIT_OUT.unpack((await device.reply())[2])[0] == 7  # the kernel will ask again, as version 7


@pytest.mark.trio
@pytest.mark.logs("7.22 of FUSE; 7.23 is needed")
async def test_a_kernel_too_old_is_refused() -> None:
    async with serving() as (device, _, _):
        device.ask(Opcode.INIT, 1, wire.INIT_IN.pack(7, 22, 1 << 17, 0))
        assert (await device.reply())[1] == -errno.EPROTO


@pytest.mark.trio
async def test_replies_and_errors() -> None:
    async with serving() as (device, answers, _):
        device.ask(Opcode.LOOKUP, 7, b"name\0")
        assert await device.reply() == (7, 0, b"name")
        device.ask(Opcode.UNLINK, 8, b"name\0")
        assert await device.reply() == (8, -errno.ENOENT, b"")
        device.ask(4711, 9)
        assert await device.reply() == (9, -errno.ENOSYS, b"")
        device.ask(Opcode.FORGET, 10, node=5)
        device.ask(Opcode.INTERRUPT, 11)
        device.ask(Opcode.DESTROY, 12)
        assert await device.reply() == (12, 0, b"")
        assert answers.noted == [5]


@pytest.mark.trio
@pytest.mark.logs("internal error in break")
async def test_an_internal_error_fails_one_request_and_is_logged() -> None:
    async with serving() as (device, _, _):
        device.ask(Opcode.RMDIR, 1, b"name\0")
        assert await device.reply() == (1, -errno.EIO, b"")
        device.ask(Opcode.LOOKUP, 2, b"name\0")
        assert await device.reply() == (2, 0, b"name")


@pytest.mark.trio
async def test_while_requests_wait_others_are_served() -> None:
    async with serving(tasks=3) as (device, answers, _):
        device.ask(Opcode.READ, 1, b"one\0")
        device.ask(Opcode.READ, 2, b"two\0")
        device.ask(Opcode.LOOKUP, 3, b"three\0")
        assert await device.reply() == (3, 0, b"three")
        assert answers.waiting == 2
        device.ask(Opcode.READ, 4, b"four\0")
        device.ask(Opcode.LOOKUP, 5, b"five\0")
        await trio.testing.wait_all_tasks_blocked()
        assert answers.waiting == 3  # nobody is left to read the fifth
        answers.go_on.set()
        replies = [await device.reply() for _ in range(4)]
        assert sorted(replies) == [(1, 0, b"one"), (2, 0, b"two"), (4, 0, b"four"), (5, 0, b"five")]
        device.ask(Opcode.LOOKUP, 6, b"six\0")
        assert await device.reply() == (6, 0, b"six")


@pytest.mark.trio
async def test_housekeeping_is_done_when_nothing_is_being_served() -> None:
    async with serving() as (device, answers, _):
        answers.has_chores = True
        device.ask(Opcode.READ, 1, b"one\0")
        device.ask(Opcode.LOOKUP, 2, b"two\0")
        await device.reply()
        assert answers.has_chores
        answers.go_on.set()
        await device.reply()
        device.ask(Opcode.LOOKUP, 3, b"three\0")
        await device.reply()
        assert not answers.has_chores


@pytest.mark.trio
async def test_what_is_left_of_it_is_done_when_no_request_comes() -> None:
    async with serving() as (device, answers, _):
        device.ask(Opcode.FORGET, 1, b"", node=7)
        await trio.testing.wait_all_tasks_blocked()
        answers.has_chores = True
        device.ask(Opcode.FORGET, 2, b"", node=8)
        await trio.testing.wait_all_tasks_blocked()
        assert answers.noted == [7, 8]
        assert not answers.has_chores


@pytest.mark.trio
async def test_stopped_while_a_request_waits() -> None:
    async with serving() as (device, answers, session):
        device.ask(Opcode.READ, 1, b"one\0")
        await trio.testing.wait_all_tasks_blocked()
        assert answers.waiting == 1
        session.stop()


@pytest.mark.trio
async def test_the_kernel_is_told_that_attributes_changed() -> None:
    async with serving() as (device, _, session):
        session.attributes_changed(5)
        assert await device.reply() == (0, wire.NOTIFY_INVAL_INODE, wire.NOTIFY_INVAL_INODE_OUT.pack(5, -1, 0))


# ---- waiting for requests ------------------------------------------------------------------------------------------


class Parked(Exception):
    """Instead of parking the task."""


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Session, socket.socket]]:
    async def park(descriptor: int) -> None:
        raise Parked

    monkeypatch.setattr(trio.lowlevel, "wait_readable", park)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        session = Session(ours.fileno(), 1)
        session._face = Answers()
        yield session, theirs


def parks(session: Session) -> bool:
    """Whether reading a request lets other tasks run."""
    try:
        return not run(session._read(memoryview(bytearray(100))))
    except Parked:
        return True


def test_a_request_that_is_there_does_not_park_the_task(waiting: tuple[Session, socket.socket]) -> None:
    session, device = waiting
    device.send(b"request")
    assert not parks(session)


@pytest.mark.parametrize("busy", [False, True])
def test_only_while_nothing_is_served_a_request_is_waited_for_in_place(
    waiting: tuple[Session, socket.socket], busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minixfs.daemon.fuse.session.PAUSE", 20_000)
    session, device = waiting
    session._serving = int(busy)
    timer = threading.Timer(0.05, device.send, (b"request",))
    timer.start()
    assert parks(session) == busy
    timer.join()


def test_other_tasks_run_when_no_request_comes(waiting: tuple[Session, socket.socket]) -> None:
    assert parks(waiting[0])


def test_other_tasks_run_while_requests_keep_coming(waiting: tuple[Session, socket.socket]) -> None:
    session, device = waiting
    device.send(b"request")
    for number in range(1, 3 * REQUESTS_PER_TURN):
        if number % REQUESTS_PER_TURN:
            assert not parks(session)
            device.send(b"request")
        else:
            assert parks(session)
