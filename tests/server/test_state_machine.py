"""Random operations on a file server against a model of dictionaries, over every kind of volume."""

from __future__ import annotations

import random
import stat
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from minixfs.errors import MinixFsError, NoSpace
from tests.support.model import Model, Thing
from tests.support.volumes import DISKS, EXT2_KINDS, KINDS, Kind, Served, fresh, some_ext2, verify

LARGEST = 600_000
NAMES = st.sampled_from(
    [b"a", b"b", b"c", b"d", b"e", b"fourteen-chars", b"thirty-characters-in-this-name", b".", b".."]
)
INDEX = st.integers(0, 30)


class Machine(RuleBasedStateMachine):
    """The rules. A thing is chosen by an index into the model's list, which shrinks well."""

    kind: Kind
    capacity: int | None = None

    @initialize()
    def mount(self) -> None:
        self.disk = fresh(self.kind)
        self.fs = Served(self.disk, capacity=self.capacity)
        shape = self.fs.server.volume.shape
        self.model = Model(shape.name_max, shape.link_max)
        self.model.root.ino = self.fs.root
        self.open: list[Thing] = []
        self.writes = 0
        zone, direct, per_block = shape.zone_size, shape.direct, shape.pointers_per_block
        edges = [1, 2, direct, direct + 1, direct + per_block, direct + 2 * per_block]
        self.edges = [0, *(zone * edge for edge in edges if zone * edge < LARGEST)]

    # ---- names -----------------------------------------------------------------------------------------------------

    @rule(at=INDEX, name=NAMES, kind=st.sampled_from(["file", "directory", "symlink", "fifo", "device"]))
    def make(self, at: int, name: bytes, kind: str) -> None:
        directory = self._directory(at)
        match kind:
            case "file":
                thing = Thing(stat.S_IFREG | 0o640, 3, 4)
                request = lambda ino: self.fs.putnode(self.fs.create(ino, name, 0o640, 3, 4).ino, 1)  # noqa: E731
            case "directory":
                thing = Thing(stat.S_IFDIR | 0o750, 5, 6)
                request = lambda ino: self.fs.mkdir(ino, name, 0o750, 5, 6)  # noqa: E731
            case "symlink":
                thing = Thing(stat.S_IFLNK | 0o777, 1, 2, target=name * 30)
                request = lambda ino: self.fs.symlink(ino, name, name * 30, 1, 2)  # noqa: E731
            case _:
                mode, rdev = (stat.S_IFIFO, 0) if kind == "fifo" else (stat.S_IFBLK, 0x1234)
                thing = Thing(mode | 0o600, rdev=rdev)
                request = lambda ino: self.fs.mknod(ino, name, mode | 0o600, 0, 0, rdev)  # noqa: E731
        self._both(lambda: request(directory.ino), lambda: self.model.make(directory, name, thing), directory)
        if directory.names.get(name) is thing:
            with self.fs.at(self._path(directory) + b"/" + name) as ino:
                thing.ino = ino

    @rule(what=INDEX, at=INDEX, name=NAMES)
    def link(self, what: int, at: int, name: bytes) -> None:
        others = [*self.model.others(), *self.open]
        if not others:
            return
        thing, directory = others[what % len(others)], self._directory(at)
        self._both(
            lambda: self.fs.link(thing.ino, directory.ino, name),
            lambda: self.model.link(thing, directory, name),
            thing,
            directory,
        )

    @rule(at=INDEX, name=NAMES)
    def unlink(self, at: int, name: bytes) -> None:
        directory = self._directory(at)
        self._both(lambda: self.fs.unlink(directory.ino, name), lambda: self.model.unlink(directory, name), directory)

    @rule(at=INDEX, name=NAMES)
    def rmdir(self, at: int, name: bytes) -> None:
        directory = self._directory(at)
        self._both(lambda: self.fs.rmdir(directory.ino, name), lambda: self.model.rmdir(directory, name), directory)

    @rule(at=INDEX, old=NAMES, to=INDEX, new=NAMES, exchange=st.booleans())
    def rename(self, at: int, old: bytes, to: int, new: bytes, exchange: bool) -> None:
        one, two = self._directory(at), self._directory(to)
        request = self.fs.exchange if exchange else self.fs.rename
        expected = self.model.exchange if exchange else self.model.rename
        self._both(lambda: request(one.ino, old, two.ino, new), lambda: expected(one, old, two, new), one, two)

    # ---- data ------------------------------------------------------------------------------------------------------

    @rule(what=INDEX, edge=INDEX, before=st.integers(0, 300), size=st.integers(1, 5000), many=st.sampled_from([1, 9]))
    def write(self, what: int, edge: int, before: int, size: int, many: int) -> None:
        thing = self._file(what)
        if thing is None:
            return
        position = max(0, self.edges[edge % len(self.edges)] - before)
        self.writes += 1
        data = random.Random(self.writes).randbytes(size) * many
        with _held(self.fs, self._path_of(thing), thing):
            written = self._attempt(lambda: self.fs.write(thing.ino, position, data))
        if isinstance(written, int):
            self.model.write(thing, position, data[:written])

    @rule(what=INDEX, edge=INDEX, before=st.integers(-300, 300))
    def truncate(self, what: int, edge: int, before: int) -> None:
        thing = self._file(what)
        if thing is None:
            return
        size = max(0, self.edges[edge % len(self.edges)] - before)
        self._both(lambda: self.fs.truncate(thing.ino, size), lambda: self.model.truncate(thing, size), thing)

    @rule(what=INDEX, first=INDEX, last=INDEX, before=st.integers(-300, 300))
    def free_range(self, what: int, first: int, last: int, before: int) -> None:
        thing = self._file(what)
        if thing is None:
            return
        start, end = max(0, self.edges[first % len(self.edges)] - before), self.edges[last % len(self.edges)] + before
        self._both(
            lambda: self.fs.free_range(thing.ino, start, end), lambda: self.model.free_range(thing, start, end), thing
        )

    @rule(what=INDEX, edge=INDEX, before=st.integers(0, 300), size=st.integers(0, 9000))
    def read(self, what: int, edge: int, before: int, size: int) -> None:
        thing = self._file(what)
        if thing is None:
            return
        position = max(0, self.edges[edge % len(self.edges)] - before)
        with _held(self.fs, self._path_of(thing), thing):
            self.fs.peek(thing.ino, position, size)
            assert bytes(self.fs.read(thing.ino, position, size)) == thing.data[position : position + size]

    @rule(what=INDEX, mode=st.sampled_from([0o644, 0o755, 0o600]), ids=st.sampled_from([(0, 0), (200, 100)]))
    def attributes(self, what: int, mode: int, ids: tuple[int, int]) -> None:
        things = [*self.model.directories(), *self.model.others()]
        thing = things[what % len(things)]
        with _held(self.fs, self._path_of(thing), thing):
            assert self.fs.chmod(thing.ino, mode) == stat.S_IFMT(thing.mode) | mode
            self.fs.chown(thing.ino, *ids)
        thing.mode = stat.S_IFMT(thing.mode) | mode
        thing.uid, thing.gid = ids

    # ---- life ------------------------------------------------------------------------------------------------------

    @rule(what=INDEX)
    def hold(self, what: int) -> None:
        others = self.model.others()
        if others:
            thing = others[what % len(others)]
            self.fs.find(self._path_of(thing))
            thing.held += 1
            self.open.append(thing)

    @precondition(lambda self: self.open)
    @rule(what=INDEX)
    def let_go(self, what: int) -> None:
        thing = self.open.pop(what % len(self.open))
        if thing.is_file:
            assert bytes(self.fs.read(thing.ino, 0, 1 << 31)) == thing.data
        self.fs.putnode(thing.ino, 1)
        thing.held -= 1

    @rule()
    def sync(self) -> None:
        self.fs.sync()
        assert not self.fs.cache.dirty

    @rule()
    def drop_caches(self) -> None:
        self.fs.drop_caches()

    @precondition(lambda self: not self.open)
    @rule()
    def remount(self) -> None:
        self.fs.remount()
        verify(self.disk)

    @rule()
    def compare(self) -> None:
        assert self.fs.tree() == self.model.contents()
        for path, thing in self.model.walk():
            with self.fs.at(path) as ino:
                found = self.fs.stat(ino)
            assert ino == thing.ino
            assert (found.mode, found.uid, found.gid) == (thing.mode, thing.uid, thing.gid)
            assert (found.nlink, found.rdev) == (thing.links, thing.rdev)
            if thing.is_file:
                assert found.size == len(thing.data)

    @invariant()
    def consistent(self) -> None:
        if hasattr(self, "fs"):
            self.fs.check()

    def teardown(self) -> None:
        if not hasattr(self, "fs"):
            return
        while self.open:
            self.let_go(0)
        self.compare()
        self.fs.remount()
        self.compare()
        self.fs.unmount()
        verify(self.disk)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _directory(self, index: int) -> Thing:
        directories = self.model.directories()
        return directories[index % len(directories)]

    def _file(self, index: int) -> Thing | None:
        files = self.model.files() + [thing for thing in self.open if thing.is_file]
        return files[index % len(files)] if files else None

    def _path_of(self, thing: Thing) -> bytes | None:
        """One of its paths; None for what is open and has no name any more."""
        if thing is self.model.root:
            return b""
        return next((path for path, found in self.model.walk() if found is thing), None)

    def _path(self, directory: Thing) -> bytes:
        path = self._path_of(directory)
        assert path is not None
        return path

    def _attempt(self, request: Callable[[], object]) -> object:
        try:
            return request()
        except MinixFsError as error:
            return type(error)

    def _both(self, request: Callable[[], object], expected: Callable[[], object], *things: Thing) -> None:
        """Do it to both and compare the errors; a full disk is the server's own affair."""
        held = [_held(self.fs, self._path_of(thing), thing) for thing in things]
        for guard in held:
            guard.__enter__()
        got = self._attempt(request)
        for guard in held:
            guard.__exit__(None, None, None)
        if got is NoSpace:
            return
        wanted = self._attempt(expected)
        got, wanted = (None if not isinstance(result, type) else result for result in (got, wanted))
        assert got is wanted


class _held:  # noqa: N801 - used like a function
    """A reference to a thing while a request uses it."""

    def __init__(self, fs: Served, path: bytes | None, thing: Thing) -> None:
        self.fs, self.path, self.thing = fs, path, thing

    def __enter__(self) -> None:
        if self.path is not None:
            assert self.fs.find(self.path).ino == self.thing.ino

    def __exit__(self, *_: object) -> None:
        if self.path is not None:
            self.fs.putnode(self.thing.ino, 1)


def explore(kind: str, capacity: int | None, examples: int, steps: int) -> None:
    machine = type("Machine", (Machine,), {"kind": DISKS[kind], "capacity": capacity})
    health = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=health,
            print_blob=True,
        ),
    )


@pytest.mark.parametrize("kind", [*KINDS, *some_ext2(EXT2_KINDS)])
def test_random_operations(kind: str) -> None:
    explore(kind, None, examples=6, steps=40)


@pytest.mark.parametrize("kind", ["V1", "V3-1K-direct", "V3-1K-zones-of-8", "V3-4K", "ext2-1K-groups"])
def test_random_operations_in_a_tiny_cache(kind: str) -> None:
    explore(kind, 10, examples=6, steps=40)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("capacity", [None, 10])
@pytest.mark.parametrize("kind", DISKS)
def test_many_random_operations(kind: str, capacity: int | None) -> None:
    explore(kind, capacity, examples=150, steps=80)
