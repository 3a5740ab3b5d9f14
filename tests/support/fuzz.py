"""Rubbish in images, and everything that must put up with it: fsck, the file server, ls, dump.

    python -m tests.support.fuzz FIRST COUNT        images of so many seeds, in this process, within MEMORY

It names each seed before it begins. What is wrong ends it: an exception that is no error of ours, more than MEMORY,
more than SECONDS for one image, or a repaired image that is not clean.
"""

from __future__ import annotations

import random
import resource
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from minixfs.errors import BadSuperblock, MinixFsError, Unsupported
from minixfs.fs.mfs.layout import ROOT_INODE
from minixfs.fs.protocol import SUPER_USER, Node
from minixfs.fsck.mfs import check
from minixfs.fsck.report import REPAIR, REPORT
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from tests.support.command import command
from tests.support.damage.formats import FORMATS, fresh
from tests.support.mfs_image import Image
from tests.support.volumes import Served

MEMORY = 256 << 20
"""Bytes, besides the programs themselves."""
SECONDS = 30
_PIECE = 64 << 10
_STRUCTURES = ("superblock", "imap", "inodes 1-99", "directory 1", "indirect 40", "block 9")


def mutate(image: Image, rng: random.Random) -> None:
    """Rubbish anywhere, most of it in the metadata, in a third of the images in the superblock too."""
    size = image.superblock.block_size
    metadata = (image.superblock.first_data_zone + 1) * image.superblock.zone_size
    style = rng.randrange(4)
    for _ in range(rng.choice([1, 10, 300])):
        start = rng.randrange(2 * size, metadata if rng.random() < 0.6 else len(image.data))
        if style == 0:
            image.data[start] ^= 1 << rng.randrange(8)
        elif style == 1:
            image.data[start : start + 8] = rng.randbytes(8)[: len(image.data) - start]
        else:
            start -= start % size
            image.data[start : start + size] = (
                rng.randbytes(size) if style == 2 else rng.choice([b"\0", b"\xff"]) * size
            )
    if rng.random() < 0.3:
        for _ in range(rng.choice([1, 1, 2, 32])):
            image.data[1024 + rng.randrange(32)] = rng.choice([0, 1, 0x7F, 0xFF, rng.randrange(256)])


def try_all(data: bytes, path: Path) -> None:
    """Do everything to one image. `path` is for a file."""
    path.write_bytes(data)
    with suppress(BadSuperblock, Unsupported):
        run(check(RamDisk(data), REPORT))
        disk = RamDisk(data)
        if not run(check(disk, REPAIR)).left:
            left = [finding.message for finding in run(check(disk)).findings]
            assert not left, left
    with suppress(MinixFsError):
        walk(Served(RamDisk(data), read_only=True))
    for words in (["ls", "-lR", path], *(["dump", path, *structure.split()] for structure in _STRUCTURES)):
        answer = command(*words)
        assert "internal error" not in answer.err, (words, answer.err)
    assert path.read_bytes() == data


def walk(fs: Served) -> None:
    """Look at everything that the root leads to, once, and read a little of each."""
    pending, seen = [ROOT_INODE], {ROOT_INODE}
    while pending:
        number = pending.pop()
        for name in names(fs, number):
            with suppress(MinixFsError):
                node = fs.lookup(number, ROOT_INODE, name, SUPER_USER, follow=False)
                assert isinstance(node, Node)
                look(fs, node)
                if stat.S_ISDIR(node.mode) and node.ino not in seen:
                    seen.add(node.ino)
                    pending.append(node.ino)
                else:
                    fs.putnode(node.ino, 1)
    fs.cache.check()


def names(fs: Served, number: int) -> Iterator[bytes]:
    position = 0
    with suppress(MinixFsError):
        while part := fs.getdents(number, position, 100):
            yield from (entry.name for entry in part if entry.name not in (b".", b".."))
            position = part[-1].next


def look(fs: Served, node: Node) -> None:
    size = fs.stat(node.ino).size
    if stat.S_ISLNK(node.mode):
        fs.readlink(node.ino)
    elif stat.S_ISREG(node.mode):
        for position in {0, max(0, size - _PIECE)}:
            fs.read(node.ino, position, _PIECE)


def main(first: int, count: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "image"
        for name in FORMATS:
            try_all(bytes(fresh(name)[0].data), path)  # loads everything that will be needed
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        for seed in range(first, first + count):
            rng = random.Random(seed)
            name = rng.choice(list(FORMATS))
            print(f"seed {seed}: {name}", flush=True)
            image, _ = fresh(name)
            mutate(image, rng)
            signal.alarm(SECONDS)
            try_all(bytes(image.data), path)
            signal.alarm(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
