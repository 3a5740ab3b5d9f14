"""Volumes of every kind in memory, and a file server on one, for tests.

    disk = fresh(KINDS["V3-1K"])                 a new, empty volume on a RAM disk; DISKS has those of ext2 too
    fs = Served(disk)                            mounted; requests are plain calls: fs.mkdir(fs.root, b"name", ...)
    with fs.at(b"a/b") as ino: ...               the inode behind a path, referenced
    fs.check(); fs.remount(); fs.unmount()       invariants; unmount and mount again; the end
    verify(disk)                                 our checker and others' (where they can) find nothing
    repaired = repair(disk)                      what our checker makes of a volume that a crash left

`Served` drives every request to its end without an event loop.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from minixfs.daemon.detect import server_for
from minixfs.fs.disk.volume import Settings
from minixfs.fs.ext2 import superblock as ext2_superblock
from minixfs.fs.mfs import superblock as mfs_superblock
from minixfs.fs.mfs.server import MfsServer
from minixfs.fs.protocol import SUPER_USER, DirEntry, Mounted, Node
from minixfs.fsck.ext2 import check as check_ext2
from minixfs.fsck.mfs.check import check
from minixfs.fsck.report import REPAIR
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.clock import NS
from minixfs.hw.runtime import run
from minixfs.mkfs.mfs import Options, choose_variant, make
from minixfs.vm.pagecache import PageCache
from minixfs.vm.pool import PagePool
from tests.support import peers

DEV = 0x301
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""Where files of short life are."""
POOL_PAGES = 2048
START = 1_000_000_000
"""Where the clock of a served volume begins (seconds)."""


@dataclass(frozen=True)
class Kind(ABC):
    """One kind of volume. `size` in bytes; `direct`: the disk says that the host caches it."""

    name: str
    size: int = 3 << 20
    direct: bool = False
    sector_size: int = 1

    @abstractmethod
    def make(self, disk: RamDisk) -> None:
        """Put an empty volume of 256 inodes on the disk."""

    @property
    def for_fsck_minix(self) -> bool:
        """Whether util-linux's checker understands it."""
        return False


@dataclass(frozen=True)
class MfsKind(Kind):
    options: Options = field(default_factory=Options)

    def make(self, disk: RamDisk) -> None:
        run(make(disk, self.options))

    @property
    def for_fsck_minix(self) -> bool:
        options = self.options
        hybrid = options.variant.name == "hybrid"
        return (options.block_size or 1024) == 1024 and not (options.zone_shift or options.big_endian or hybrid)


@dataclass(frozen=True)
class Ext2Kind(Kind):
    """`options` are those of mke2fs. There is no lost+found, and no reserve."""

    options: tuple[str, ...] = ()

    def make(self, disk: RamDisk) -> None:
        run(disk.write(0, [_mke2fs(self.options, disk.size)]))


@cache
def _mke2fs(options: tuple[str, ...], size: int) -> bytes:
    """The image that mke2fs makes, a little in the past."""
    peers.require("mke2fs", "debugfs")
    with tempfile.NamedTemporaryFile(dir=MEMORY) as file:
        common = ["-m", "0", "-N", "256", "-U", "8c9a2f10-5a0e-4c6b-9d53-3a61f0a7c2e4"]
        peers.mke2fs(Path(file.name), size, options=[*common, *options], now=START)
        peers.debugfs(Path(file.name), "rmdir lost+found", now=START)
        return Path(file.name).read_bytes()


def _mfs(name: str, version: int = 3, name_max: int | None = None, **settings: Any) -> MfsKind:
    size, direct = settings.pop("size", 3 << 20), settings.pop("direct", False)
    sector_size = settings.pop("sector_size", 1)
    variant = choose_variant(version, name_max, settings.pop("hybrid", False))
    options = Options(variant, mtime=START, **{"inodes": 256, **settings})
    return MfsKind(name, size, direct, sector_size, options)


KINDS = {
    kind.name: kind
    for kind in (
        _mfs("V1", 1, 14),
        _mfs("V1-direct", 1, 14, direct=True),
        _mfs("V1L-big", 1, 30, big_endian=True),
        _mfs("V2", 2, 14),
        _mfs("V2L-direct", 2, 30, direct=True),
        _mfs("V2-big", 2, 14, big_endian=True),
        _mfs("hybrid", 2, hybrid=True),
        _mfs("hybrid-big", 2, hybrid=True, big_endian=True),
        _mfs("V3-1K", block_size=1024),
        _mfs("V3-1K-direct", block_size=1024, direct=True),
        _mfs("V3-1K-sectors", block_size=1024, sector_size=512),
        _mfs("V3-1K-zones-of-8", block_size=1024, zone_shift=3),
        _mfs("V3-1536", block_size=1536),
        _mfs("V3-2K-zones-of-2-direct", block_size=2048, zone_shift=1, direct=True),
        _mfs("V3-4K", block_size=4096),
        _mfs("V3-4K-direct", block_size=4096, direct=True),
        _mfs("V3-4K-zones-of-4", block_size=4096, zone_shift=2, size=6 << 20),
        _mfs("V3-8K", block_size=8192),
        _mfs("V3-32K", block_size=32768, size=6 << 20),
        _mfs("V3-65024", block_size=65024, size=8 << 20),
    )
}
"""Volumes of MINIX."""


def _ext2(name: str, options: str, **settings: Any) -> Ext2Kind:
    return Ext2Kind(name, options=tuple(options.split()), **settings)


EXT2_KINDS = {
    kind.name: kind
    for kind in (
        _ext2("ext2-1K", "-b 1024 -I 128"),
        _ext2("ext2-1K-direct", "-b 1024 -I 256", direct=True),
        _ext2("ext2-1K-groups", "-b 1024 -I 256 -g 256 -O ^resize_inode,^meta_bg"),
        _ext2("ext2-1K-revision-0", "-r 0 -b 1024"),
        _ext2("ext2-1K-sectors", "-b 1024 -I 128 -O ^filetype,^dir_index", sector_size=512),
        _ext2("ext2-2K", "-b 2048 -I 512"),
        _ext2("ext2-4K", "-b 4096 -I 256"),
        _ext2("ext2-4K-direct", "-b 4096 -I 128", direct=True),
        _ext2("ext2-64K", "-b 65536 -I 256", size=8 << 20),
        _ext2("ext3", "-b 1024 -I 256 -j -J size=1", size=4 << 20),
    )
}
"""Volumes of ext2 that differ in what matters to a file server."""
_SOME = ("ext2-1K-revision-0", "ext2-1K-groups", "ext2-4K-direct", "ext2-64K")


def some_ext2(names: Iterable[str]) -> list[Any]:
    """Parameters: what differs most of these kinds, the rest for the long run."""
    return [name if name in _SOME else pytest.param(name, marks=pytest.mark.long) for name in names]


DISKS: dict[str, Kind] = {**KINDS, **EXT2_KINDS}


def fresh(kind: Kind, **settings: Any) -> RamDisk:
    """A disk with an empty volume; `settings` replace fields of `kind`."""
    size = settings.pop("size", kind.size)
    disk = RamDisk(size, kind.sector_size)
    disk.host_cached = kind.direct
    kind.make(disk)
    return disk


def copy(disk: RamDisk) -> RamDisk:
    """A disk with the same contents and properties."""
    twin = RamDisk(disk.snapshot(), disk.sector_size)
    twin.host_cached = disk.host_cached
    return twin


class Clock:
    """Stands still at `now`, in seconds since the epoch, until a test moves that."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now * NS


class Served:
    """A mounted volume. Every request of the protocol is a method, without ``await``."""

    def __init__(
        self,
        device: BlockDevice,
        settings: Settings | None = None,
        *,
        read_only: bool = False,
        is_root: bool = True,
        pool_pages: int = POOL_PAGES,
        capacity: int | None = None,
        superblock_copy: int | None = None,
    ) -> None:
        self.device = device
        self.settings = settings or Settings()
        self.clock = Clock()
        self.read_only = read_only
        self.is_root = is_root
        self.pages = PageCache(PagePool(pool_pages))
        self._capacity = capacity
        self._superblock_copy = superblock_copy
        self.mounted = self._mount()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        request = getattr(self.server, name)
        return lambda *arguments, **named: run(request(*arguments, **named))

    def _mount(self) -> Mounted:
        kind = run(server_for(self.device, self._superblock_copy))
        self.server = kind(self.device, DEV, self.pages, self.settings, self.clock)
        self.server.superblock_copy = self._superblock_copy
        mounted = run(self.server.readsuper(read_only=self.read_only, is_root=self.is_root))
        if self._capacity is not None:
            self.server.volume.cache.resize(self._capacity)
        return mounted

    def unmount(self) -> None:
        run(self.server.unmount())
        self.pages.check()
        assert self.pages.cached_pages == 0
        assert self.pages.pool.free_frames == self.pages.pool.frames - 1, "pages were lost"

    def remount(self, *, read_only: bool | None = None) -> Mounted:
        self.unmount()
        if read_only is not None:
            self.read_only = read_only
        self.mounted = self._mount()
        return self.mounted

    def drop_caches(self) -> None:
        """Write everything, then forget it, so that all that follows must be read from the device."""
        self.sync()
        self.cache.invalidate()
        self.pages.clear(DEV)

    def check(self) -> None:
        """All invariants, and that no request left anything in use but what VFS holds."""
        self.server.gate.check()
        self.server.inodes.check()
        self.cache.check()
        assert self.cache.statistics.in_use == 0

    @property
    def cache(self) -> Any:
        return self.server.volume.cache

    @property
    def root(self) -> int:
        """The inode number of the root."""
        return self.server.root_inode

    # ---- shorthand --------------------------------------------------------------------------------------------------

    def find(self, path: bytes, *, follow: bool = False) -> Node:
        """The node behind a path from the root; it carries a reference."""
        node = self.lookup(self.root, self.root, path, SUPER_USER, follow=follow)
        assert isinstance(node, Node), node
        return node

    @contextmanager
    def at(self, path: bytes) -> Iterator[int]:
        """The inode number behind a path, referenced while the block runs."""
        node = self.find(path)
        try:
            yield node.ino
        finally:
            self.putnode(node.ino, 1)

    def make_file(self, path: bytes, data: bytes = b"", mode: int = 0o644, position: int = 0) -> None:
        directory, _, name = path.rpartition(b"/")
        with self.at(directory) as parent:
            node = self.create(parent, name, mode, 0, 0)
        try:
            if data:
                assert self.write(node.ino, position, data) == len(data)
        finally:
            self.putnode(node.ino, 1)

    def make_directory(self, path: bytes) -> None:
        directory, _, name = path.rpartition(b"/")
        with self.at(directory) as parent:
            self.mkdir(parent, name, 0o755, 0, 0)

    def contents(self, path: bytes) -> bytes:
        with self.at(path) as ino:
            return bytes(self.read(ino, 0, 1 << 31))

    def names(self, path: bytes = b"") -> list[bytes]:
        """The names in a directory, in order, without the dots, read a few at a time."""
        return [entry.name for entry in self.entries(path) if entry.name not in (b".", b"..")]

    def entries(self, path: bytes = b"", at_once: int = 7) -> list[DirEntry]:
        found: list[DirEntry] = []
        with self.at(path) as ino:
            while part := self.getdents(ino, found[-1].next if found else 0, at_once):
                found += part
        return found

    def tree(self) -> dict[bytes, bytes | None]:
        """Every path below the root: contents of files and links, None for the rest."""
        found: dict[bytes, bytes | None] = {}

        def walk(prefix: bytes) -> None:
            for name in self.names(prefix):
                path = prefix + b"/" + name
                with self.at(path) as ino:
                    mode = self.stat(ino).mode
                    if stat.S_ISREG(mode):
                        found[path] = bytes(self.read(ino, 0, 1 << 31))
                    else:
                        found[path] = self.readlink(ino) if stat.S_ISLNK(mode) else None
                if stat.S_ISDIR(mode):
                    walk(path)

        walk(b"")
        return found


def verify(disk: RamDisk, *, peer: bool = False) -> None:
    """Assert that checkers find nothing wrong: ours and, on ext2 or with `peer`, others'."""
    ext2 = _is_ext2(disk)
    report = run((check_ext2 if ext2 else check)(copy(disk)))
    assert not report.findings, [finding.message for finding in report.findings]
    if ext2:
        assert_clean(disk, peers.e2fsck)
    elif peer and shutil.which("fsck.minix", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
        assert_clean(disk, peers.fsck_minix)


def is_clean(disk: BlockDevice) -> bool:
    """Whether the superblock says that the volume was cleanly unmounted and holds no errors."""
    raw = bytearray(1024)
    run(disk.read(1024, [raw]))
    module = mfs_superblock if run(server_for(disk)) is MfsServer else ext2_superblock
    return bool(module.Superblock.parse(bytes(raw)).clean)


def repair(disk: RamDisk) -> RamDisk:
    """A disk with what our checker makes of the volume; then nobody finds anything wrong with it."""
    repaired = copy(disk)
    report = run((check_ext2 if _is_ext2(disk) else check)(repaired, REPAIR))
    assert not report.left, [finding.message for finding in report.findings]
    verify(repaired)
    return repaired


def repair_with_e2fsck(disk: RamDisk) -> RamDisk:
    """The same of e2fsck."""
    with tempfile.NamedTemporaryFile(dir=MEMORY) as file:
        file.write(disk.snapshot())
        file.flush()
        peers.repair_ext2(Path(file.name))
        repaired = RamDisk(Path(file.name).read_bytes(), disk.sector_size)
    repaired.host_cached = disk.host_cached
    verify(repaired)
    return repaired


def _is_ext2(disk: RamDisk) -> bool:
    return run(server_for(disk)) is not MfsServer


def assert_clean(disk: RamDisk, checker: Callable[[Path], peers.Verdict]) -> None:
    """Assert that somebody's checker finds nothing wrong."""
    with tempfile.NamedTemporaryFile(dir=MEMORY) as file:
        file.write(disk.snapshot())
        file.flush()
        verdict = checker(Path(file.name))
    assert verdict.clean, verdict.output
