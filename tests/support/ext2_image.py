"""ext2 volumes made and looked at with e2fsprogs, on RAM disks.

disk = made("-b 1024 -O ^filetype")          what mke2fs makes, with its lost+found and its defaults
disk = changed(disk, "sif <12> mode 0", ...) what debugfs makes of it
disk = optimized(disk)                       what e2fsck -D makes of it: large directories get a search tree
value = superblock(disk)["s_state"]          a field of the superblock, by its name on the disk
text = ask(disk, "stat <12>")                what debugfs says
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minixfs.fs.ext2 import layout
from minixfs.hw.blockdev.ramdisk import RamDisk
from tests.support import peers
from tests.support.volumes import MEMORY, START


@contextmanager
def as_file(disk: RamDisk) -> Iterator[Path]:
    """The contents of a disk in a file."""
    with tempfile.NamedTemporaryFile(dir=MEMORY) as file:
        file.write(disk.snapshot())
        file.flush()
        yield Path(file.name)


def through(disk: RamDisk, change: Callable[[Path], object]) -> RamDisk:
    """A disk with what `change` makes of a file with the contents of `disk`."""
    with as_file(disk) as path:
        change(path)
        return RamDisk(path.read_bytes(), disk.sector_size)


def made(options: str, size: int = 3 << 20) -> RamDisk:
    peers.require("mke2fs", "debugfs", "e2fsck")
    return through(RamDisk(0), lambda path: peers.mke2fs(path, size, options=options.split(), now=START))


def changed(disk: RamDisk, *requests: str) -> RamDisk:
    return through(disk, lambda path: peers.debugfs(path, *requests, now=START))


def optimized(disk: RamDisk) -> RamDisk:
    def optimize(path: Path) -> None:
        done = subprocess.run(["e2fsck", "-f", "-y", "-D", str(path)], capture_output=True, timeout=60, check=False)
        assert done.returncode in (0, 1), done.stdout

    return through(disk, optimize)


def ask(disk: RamDisk, request: str) -> str:
    with as_file(disk) as path:
        return peers.debugfs(path, request)


def superblock(disk: RamDisk, offset: int = layout.SUPERBLOCK_OFFSET) -> Any:
    """The fields of the superblock, or of the copy at `offset`."""
    return layout.SUPERBLOCK.construct.parse(disk.snapshot()[offset : offset + layout.SUPERBLOCK_SIZE])
