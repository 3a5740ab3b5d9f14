"""MFS volumes of every kind in memory, and a file server on one, for tests.

    disk = fresh(KINDS["V3-1K"])                 a new, empty volume on a RAM disk
    fs = Served(disk)                            mounted; requests are plain calls: fs.mkdir(1, b"name", ...)
    with fs.at(b"a/b") as ino: ...               the inode behind a path, referenced
    fs.check(); fs.remount(); fs.unmount()       invariants; unmount and mount again; the end
    verify(disk)                                 our checker (and util-linux's, where it can) finds nothing

`Served` drives every request to its end without an event loop.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minixfs.fs.disk.volume import Settings
from minixfs.fs.mfs.layout import ROOT_INODE
from minixfs.fs.mfs.server import MfsServer
from minixfs.fs.protocol import SUPER_USER, DirEntry, Mounted, Node
from minixfs.fsck.mfs.check import check
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from minixfs.mkfs.mfs import Options, choose_variant, make
from minixfs.vm.pagecache import PageCache
from minixfs.vm.pool import PagePool
from tests.support.peers import fsck_minix

DEV = 0x301
POOL_PAGES = 2048
START = 1_000_000_000
"""Where the clock of a served volume begins (seconds)."""


@dataclass(frozen=True)
class Kind:
    """One kind of volume. `size` in bytes; `direct`: the disk says that the host caches it."""

    name: str
    size: int = 3 << 20
    options: Options = field(default_factory=Options)
    direct: bool = False
    sector_size: int = 1

    @property
    def for_fsck_minix(self) -> bool:
        """Whether util-linux's checker understands it."""
        options = self.options
        hybrid = options.variant.name == "hybrid"
        return (options.block_size or 1024) == 1024 and not (options.zone_shift or options.big_endian or hybrid)


def _kind(name: str, version: int = 3, name_max: int | None = None, **settings: Any) -> Kind:
    size, direct = settings.pop("size", 3 << 20), settings.pop("direct", False)
    sector_size = settings.pop("sector_size", 1)
    variant = choose_variant(version, name_max, settings.pop("hybrid", False))
    options = Options(variant, mtime=START, **{"inodes": 256, **settings})
    return Kind(name, size, options, direct, sector_size)


KINDS = {
    kind.name: kind
    for kind in (
        _kind("V1", 1, 14),
        _kind("V1-direct", 1, 14, direct=True),
        _kind("V1L-big", 1, 30, big_endian=True),
        _kind("V2", 2, 14),
        _kind("V2L-direct", 2, 30, direct=True),
        _kind("V2-big", 2, 14, big_endian=True),
        _kind("hybrid", 2, hybrid=True),
        _kind("hybrid-big", 2, hybrid=True, big_endian=True),
        _kind("V3-1K", block_size=1024),
        _kind("V3-1K-direct", block_size=1024, direct=True),
        _kind("V3-1K-sectors", block_size=1024, sector_size=512),
        _kind("V3-1K-zones-of-8", block_size=1024, zone_shift=3),
        _kind("V3-1536", block_size=1536),
        _kind("V3-2K-zones-of-2-direct", block_size=2048, zone_shift=1, direct=True),
        _kind("V3-4K", block_size=4096),
        _kind("V3-4K-direct", block_size=4096, direct=True),
        _kind("V3-4K-zones-of-4", block_size=4096, zone_shift=2, size=6 << 20),
        _kind("V3-8K", block_size=8192),
        _kind("V3-32K", block_size=32768, size=6 << 20),
        _kind("V3-65024", block_size=65024, size=8 << 20),
    )
}


def fresh(kind: Kind, **settings: Any) -> RamDisk:
    """A disk with an empty volume; `settings` replace fields of `kind`."""
    size = settings.pop("size", kind.size)
    disk = RamDisk(size, kind.sector_size)
    disk.host_cached = kind.direct
    run(make(disk, kind.options))
    return disk


def copy(disk: RamDisk) -> RamDisk:
    """A disk with the same contents and properties."""
    twin = RamDisk(disk.snapshot(), disk.sector_size)
    twin.host_cached = disk.host_cached
    return twin


class Clock:
    """Seconds since the epoch, moved by the test."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


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
    ) -> None:
        self.device = device
        self.settings = settings or Settings()
        self.clock = Clock()
        self.read_only = read_only
        self.is_root = is_root
        self.pages = PageCache(PagePool(pool_pages))
        self._capacity = capacity
        self.mounted = self._mount()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        request = getattr(self.server, name)
        return lambda *arguments, **named: run(request(*arguments, **named))

    def _mount(self) -> Mounted:
        self.server = MfsServer(self.device, DEV, self.pages, self.settings, self.clock)
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

    # ---- shorthand --------------------------------------------------------------------------------------------------

    def find(self, path: bytes, *, follow: bool = False) -> Node:
        """The node behind a path from the root; it carries a reference."""
        node = self.lookup(ROOT_INODE, ROOT_INODE, path, SUPER_USER, follow=follow)
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
    """Assert that our checker, and with `peer` util-linux's, finds nothing wrong."""
    report = run(check(copy(disk)))
    assert not report.findings, [finding.message for finding in report.findings]
    if peer and shutil.which("fsck.minix", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
        with tempfile.NamedTemporaryFile() as file:
            file.write(disk.snapshot())
            file.flush()
            verdict = fsck_minix(Path(file.name))
        assert verdict.clean, verdict.output
