"""The daemon dies between any two writes of a scenario: what is on the disk then, and what a checker makes of it.

Every prefix of the write log is an image that must be repairable without losing a file that was synced before: it is
there byte for byte, under a name that it had since the sync. What was deleted or changed since may be in either state,
but what is there must be whole.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minixfs.fs.disk.volume import Settings
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.blockdev.recorder import Recorder, Write
from tests.support.peers import require
from tests.support.volumes import DISKS, EXT2_KINDS, Kind, Served, fresh, repair, repair_with_e2fsck

Tree = dict[bytes, bytes | None]
SPARE = b".xchg0"
"""What a file may be called while it is exchanged."""


def SYNC() -> None:  # noqa: N802 - a mark in the scenario
    """Everything so far is to be durable."""


def scenario(fs: Served, seed: int) -> Iterator[Callable[[], object]]:
    """Requests that make the order of writing matter. Every file has contents of its own."""
    noise = random.Random(seed)

    def file(path: bytes, size: int) -> Callable[[], object]:
        return lambda: fs.make_file(path, noise.randbytes(size))

    def directory(path: bytes) -> Callable[[], object]:
        return lambda: fs.make_directory(path)

    def inside(request: str, path: bytes, *arguments: object) -> Callable[[], object]:
        def step() -> None:
            parent, _, name = path.rpartition(b"/")
            with fs.at(parent) as ino:
                getattr(fs, request)(ino, name, *arguments)

        return step

    def both(request: str, old: bytes, new: bytes) -> Callable[[], object]:
        def step() -> None:
            (one, _, old_name), (two, _, new_name) = old.rpartition(b"/"), new.rpartition(b"/")
            with fs.at(one) as first, fs.at(two) as second:
                getattr(fs, request)(first, old_name, second, new_name)

        return step

    def rename(old: bytes, new: bytes) -> Callable[[], object]:
        return both("rename", old, new)

    def resize(path: bytes, size: int) -> Callable[[], object]:
        def step() -> None:
            with fs.at(path) as ino:
                fs.truncate(ino, size)

        return step

    def link(path: bytes, new: bytes) -> Callable[[], object]:
        def step() -> None:
            parent, _, name = new.rpartition(b"/")
            with fs.at(path) as ino, fs.at(parent) as directory:
                fs.link(ino, directory, name)

        return step

    def write(path: bytes, position: int, size: int) -> Callable[[], object]:
        def step() -> None:
            with fs.at(path) as ino:
                fs.write(ino, position, noise.randbytes(size))

        return step

    for name in (b"a", b"b", b"c", b"a/deep"):
        yield directory(name)
    for index in range(30):  # several blocks of names in each of them
        for name in (b"a", b"b"):
            yield file(b"%s/%02d" % (name, index), 200 + index)
    for index in range(3):
        yield file(b"large%d" % index, 30_000 + index)
    yield file(b"c/victim", 9_000)
    yield SYNC
    # blocks of a deleted file go to new ones
    yield inside("unlink", b"large0")
    yield inside("unlink", b"a/03")
    yield file(b"c/reuser", 31_000)
    yield file(b"a/reuser", 1_500)
    yield SYNC
    # rename over existing ones, within and across directories
    yield rename(b"a/04", b"a/05")
    yield rename(b"b/06", b"a/07")
    yield rename(b"large1", b"c/victim")
    yield fs.write_back
    # orders that form a circle
    yield rename(b"a/10", b"b/ten")
    yield rename(b"b/11", b"a/eleven")
    yield rename(b"a/12", b"c/twelve")
    yield rename(b"c/twelve", b"b/twelve")
    yield rename(b"b/13", b"c/thirteen")
    yield rename(b"c/thirteen", b"a/thirteen")
    yield rename(b"a/29", b"a/twenty-nine")
    yield rename(b"a/01", b"a/one")
    yield SYNC
    # a file that shrinks and grows again, one that loses its name while it grows
    yield resize(b"large2", 1_100)
    yield write(b"large2", 2_000, 12_000)
    yield write(b"a/20", 100, 3_000)
    yield inside("unlink", b"a/20")
    yield file(b"b/after", 5_000)
    yield fs.write_back
    # new directories, links, and what is left of old ones
    yield directory(b"fresh")
    yield rename(b"b/15", b"fresh/15")
    yield directory(b"fresh/er")
    yield link(b"b/16", b"fresh/er/16")
    yield inside("unlink", b"b/16")
    yield directory(b"c/fresh")
    yield rename(b"a/06", b"c/fresh/06")
    yield directory(b"c/fresher")
    yield link(b"a/08", b"c/fresher/08")
    yield inside("unlink", b"a/08")
    yield link(b"a/16", b"b/linked")
    yield inside("unlink", b"a/16")
    yield link(b"b/17", b"a/seventeen")
    yield rename(b"a/18", b"b/17")
    yield directory(b"short")
    yield directory(b"short/er")
    yield SYNC
    yield rename(b"b/18", b"short/er/18")
    yield SYNC
    yield rename(b"short/er/18", b"c/18")
    yield inside("rmdir", b"short/er")
    yield rename(b"c/18", b"short/18")
    yield rename(b"short/18", b"b/eighteen")
    yield directory(b"c/empty")
    yield rename(b"c/empty", b"short")
    yield fs.write_back
    # directories that grow, move and go
    for index in range(40):
        yield file(b"c/%02d" % index, 30)
    yield rename(b"b/25", b"c/from-b")
    yield rename(b"a/deep", b"c/deep")
    yield rename(b"b/26", b"c/deep/from-b")
    yield directory(b"brief")
    yield rename(b"b/27", b"brief/moved")
    yield SYNC
    yield rename(b"brief/moved", b"b/back")
    yield inside("rmdir", b"brief")
    yield both("exchange", b"a/00", b"b/00")
    yield both("exchange", b"a/02", b"a/28")
    yield both("exchange", b"c/deep", b"b/14")
    yield SYNC
    for index in range(30):
        yield inside("unlink", b"c/%02d" % index)
    yield file(b"last", 20_000)


class History:
    """A scenario that was played: the write log, block by block, and the tree after each step with its length then."""

    def __init__(self, kind: Kind, *, capacity: int | None = None, seed: int = 7) -> None:
        self.disk = fresh(kind)
        self.initial = self.disk.snapshot()
        recorder = Recorder(self.disk)
        fs = Served(recorder, Settings(atime="noatime"), capacity=capacity)
        self.trees: list[Tree] = [fs.tree()]
        self.ends = [0]
        self.synced = [0]  # steps after which everything was on the disk
        self.log: list[Write] = []
        block_size = fs.server.volume.block_size
        for number, step in enumerate(scenario(fs, seed), 1):
            if step is SYNC:
                fs.sync()
            else:
                step()
            fs.check()
            self.trees.append(fs.tree())
            self._note(recorder, block_size)
            if step is SYNC:
                self.synced.append(number)
        fs.unmount()
        self.trees.append(self.trees[-1])
        self._note(recorder, block_size)
        self.synced.append(len(self.trees) - 1)

    def _note(self, recorder: Recorder, block_size: int) -> None:
        for entry in recorder.log:
            if isinstance(entry, Write):
                for start in range(0, len(entry.data), block_size):
                    self.log.append(Write(entry.offset + start, entry.data[start : start + block_size]))
        recorder.log.clear()
        self.ends.append(len(self.log))

    def cuts(self) -> list[int]:
        """Every log length, but only the ends of rows of data blocks."""
        ends = range(1, len(self.log))
        return [0, *(n for n in ends if not (self._is_data(n - 1) and self._is_data(n))), len(self.log)]

    def _is_data(self, index: int) -> bool:
        """Whether it is a block of file data, which is noise; metadata has few different bytes."""
        return len(set(self.log[index].data)) > 100

    def disk_at(self, cut: int) -> RamDisk:
        image = bytearray(self.initial)
        for entry in self.log[:cut]:
            image[entry.offset : entry.offset + len(entry.data)] = entry.data
        disk = RamDisk(image)
        disk.host_cached = self.disk.host_cached
        return disk

    def judge(self, cut: int, found: Tree) -> None:
        """Assert that what was synced before the cut survived it."""
        first = max(step for step in self.synced if self.ends[step] <= cut)
        last = min((step for step, end in enumerate(self.ends) if end > cut), default=len(self.ends) - 1)
        window = self.trees[first : last + 1]
        present: dict[bytes, set[bytes]] = {}
        for path, content in found.items():
            if content is not None and not path.startswith(b"/lost+found/"):
                present.setdefault(content, set()).add(path.rpartition(b"/")[2])
        for content in set(window[0].values()) - {None}:
            if not all(content in tree.values() for tree in window):
                continue  # deleted or changed since
            names = {path.rpartition(b"/")[2] for tree in window for path, data in tree.items() if data == content}
            assert present.get(content, set()) & (names | {SPARE}), (
                f"cut {cut}: {sorted(names)} is lost (sync {first}, step {last})"
            )
        for path, content in found.items():
            states = {tree.get(path) for tree in window}
            if len(states - {None}) == 1:  # a new file is whole, or empty as it was made
                allowed = states | ({b""} if None in states else set())
                assert content in allowed, f"cut {cut}: {path!r} has contents that it never had"


def survive(history: History, cut: int, repair: Callable[[RamDisk], RamDisk] = repair) -> None:
    fs = Served(repair(history.disk_at(cut)))
    history.judge(cut, fs.tree())
    fs.unmount()
    fs.pages.pool.close()


def repair_with_util_linux(history: History, cut: int, image: Path) -> None:
    """fsck.minix -a. Not for V3, where it writes the repaired tables over data (util-linux 2.38)."""
    image.write_bytes(history.disk_at(cut).snapshot())
    program = shutil.which("fsck.minix", path="/usr/sbin:/sbin:/usr/bin:/bin") or "fsck.minix"
    done = subprocess.run([program, "-a", "-f", str(image)], capture_output=True, timeout=60, check=False)
    assert done.returncode in (0, 1, 3), (cut, done.returncode, done.stdout)
    disk = RamDisk(image.read_bytes())
    fs = Served(disk, Settings(force=True))
    history.judge(cut, fs.tree())
    fs.unmount()


@pytest.mark.parametrize(("kind", "step"), [("V3-1K", 1), ("V3-1K-direct", 1), ("ext2-1K-groups", 3)])
def test_every_cut_is_repaired(kind: str, step: int) -> None:
    history = History(DISKS[kind])
    for cut in history.cuts()[::step]:
        survive(history, cut)


@pytest.mark.parametrize(("kind", "step"), [("V3-1K", 3), ("ext2-1K", 7)])
def test_cuts_with_a_tiny_cache(kind: str, step: int) -> None:
    """Buffers are written early to make room: never those whose order matters."""
    history = History(DISKS[kind], capacity=10)
    for cut in history.cuts()[::step]:
        survive(history, cut)


def test_cuts_are_repaired_by_e2fsck() -> None:
    history = History(DISKS["ext2-1K-groups"])
    for cut in history.cuts()[1::9]:
        survive(history, cut, repair_with_e2fsck)


@pytest.mark.parametrize("kind", ["V1", "V2"])
def test_cuts_are_repaired_by_util_linux(kind: str, tmp_path: Path) -> None:
    require("fsck.minix")
    history = History(DISKS[kind])
    for cut in history.cuts()[::4]:
        repair_with_util_linux(history, cut, tmp_path / "image")


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("capacity", [None, 10])
@pytest.mark.parametrize("kind", DISKS)
def test_every_cut_on_every_kind(kind: str, capacity: int | None, seed: int, tmp_path: Path) -> None:
    history = History(DISKS[kind], capacity=capacity, seed=seed)
    for cut in history.cuts():
        survive(history, cut)
        if kind in EXT2_KINDS:
            survive(history, cut, repair_with_e2fsck)
        if kind in ("V1", "V1-direct", "V2") and shutil.which("fsck.minix", path="/usr/sbin:/sbin"):
            repair_with_util_linux(history, cut, tmp_path / "image")
