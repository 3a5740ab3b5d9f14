"""Ext2 images to be harmed: made by mke2fs with a small tree in them, read in tests' own way, judged by e2fsck.

`SHAPES` are ways to make one; `populated(shape)` makes it.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from minixfs.fs.ext2 import layout
from minixfs.fs.ext2.superblock import Superblock
from tests.support import peers

SHAPES = {
    "1K": (1024, 4096, ("-O", "^dir_index")),
    "1K-128": (1024, 4096, ("-I", "128", "-N", "160", "-O", "^resize_inode")),
    "1K-groups": (1024, 5000, ("-g", "1024", "-N", "200")),
    "4K": (4096, 8192, ("-N", "160")),
    "revision-0": (1024, 4096, ("-r", "0", "-N", "160")),
    "indexed": (1024, 4096, ("-N", "700")),
}
"""Block size, kilobytes, and options of mke2fs. The directories of the last one have search trees."""
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""Where files of short life are."""
E2FSCK_SECONDS = 10
"""e2fsck does not come to an end with some images; a test leaves those out."""
_DIRENT = layout.DIRENT.struct
Contents = dict[bytes, tuple[Any, ...]]


@dataclass(frozen=True)
class Entry:
    """A directory entry: its byte offset in the image, inode, whole length, name, type."""

    offset: int
    inode: int
    length: int
    name: bytes
    type: int


class Ext2Image:
    """The bytes of an image, `data`, to be harmed. Things are found, and read, where they were before that."""

    def __init__(self, data: bytes) -> None:
        self.original = data
        self.data = bytearray(data)
        self.superblock = Superblock.parse(bytes(data[1024:2048]))
        self.block_size = self.superblock.block_size

    def descriptor(self, group: int) -> int:
        """The byte offset of a group descriptor."""
        return self.superblock.descriptor_block * self.block_size + group * layout.GROUP_DESCRIPTOR.size

    def inode_offset(self, number: int) -> int:
        group, index = divmod(number - 1, self.superblock.inodes_per_group)
        (table,) = struct.unpack_from("<L", self.original, self.descriptor(group) + 8)
        return int(table) * self.block_size + index * self.superblock.inode_size

    def field(self, number: int, name: str) -> int:
        code = {2: "<H", 4: "<L"}[self._width(name)]
        return int(struct.unpack_from(code, self.original, self.inode_offset(number) + layout.INODE.offsets[name])[0])

    def put(self, number: int, name: str, value: int) -> None:
        width = self._width(name)
        at = self.inode_offset(number) + layout.INODE.offsets[name]
        self.data[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")

    def _width(self, name: str) -> int:
        return 4 if name == "i_block" else int(layout.INODE.dtype[name].itemsize)

    def pointer(self, number: int, index: int) -> int:
        return self._pointers(number)[index]

    def put_pointer(self, number: int, index: int, block: int) -> None:
        at = self.inode_offset(number) + layout.INODE.offsets["i_block"] + 4 * index
        struct.pack_into("<L", self.data, at, block)

    def _pointers(self, number: int) -> tuple[int, ...]:
        at = self.inode_offset(number) + layout.INODE.offsets["i_block"]
        return struct.unpack_from("<15L", self.original, at)

    def blocks(self, number: int) -> Iterator[int]:
        """The data blocks of a file, as far as its size goes (0: a hole)."""
        pointers = self._pointers(number)
        per_block = self.block_size // 4
        found = [*pointers[:12]]
        if pointers[12]:
            found += struct.unpack_from(f"<{per_block}L", self.original, pointers[12] * self.block_size)
        yield from found[: -(-self.field(number, "i_size") // self.block_size)]

    def entries(self, number: int) -> Iterator[Entry]:
        for block in self.blocks(number):
            offset, end = block * self.block_size, (block + 1) * self.block_size
            while offset < end:
                inode, length, name_length, kind = _DIRENT.unpack_from(self.original, offset)
                name = bytes(self.original[offset + 8 : offset + 8 + name_length])
                if inode:
                    yield Entry(offset, inode, length, name, kind)
                offset += length

    def entry(self, path: bytes) -> Entry:
        number = layout.ROOT_INODE
        found = None
        for name in path.strip(b"/").split(b"/"):
            found = next(entry for entry in self.entries(number) if entry.name == name)
            number = found.inode
        assert found is not None
        return found

    def number(self, path: bytes) -> int:
        return self.entry(path).inode if path.strip(b"/") else layout.ROOT_INODE

    def write(self, offset: int, data: bytes) -> None:
        self.data[offset : offset + len(data)] = data

    def contents(self) -> Contents:
        """Path -> mode, owner, size and data of everything that can be reached."""
        found: Contents = {}
        todo = [(b"", layout.ROOT_INODE)]
        while todo:
            path, number = todo.pop()
            mode = self.field(number, "i_mode")
            size = self.field(number, "i_size")
            data = b""
            if stat.S_ISREG(mode):
                data = b"".join(self._block(block) for block in self.blocks(number))[:size]
            elif stat.S_ISLNK(mode) and size < 60:
                data = struct.pack("<15L", *self._pointers(number))[:size]
            elif stat.S_ISLNK(mode):
                data = self._block(self.pointer(number, 0))[:size]
            elif stat.S_ISDIR(mode):
                todo += [
                    (path + b"/" + entry.name, entry.inode)
                    for entry in self.entries(number)
                    if entry.name not in (b".", b"..")
                ]
            found[path] = (mode, self.field(number, "i_uid"), 0 if stat.S_ISDIR(mode) else size, data)
        return found

    def _block(self, block: int) -> bytes:
        return (
            bytes(self.original[block * self.block_size : (block + 1) * self.block_size])
            if block
            else bytes(self.block_size)
        )


@cache
def populated(shape: str) -> tuple[bytes, Contents]:
    """An image of that shape with a small tree in it, and what it contains."""
    block_size, kilobytes, options = SHAPES[shape]
    with tempfile.TemporaryDirectory(prefix="ext2-damage-", dir=MEMORY) as directory:
        source, image = Path(directory) / "tree", Path(directory) / "image"
        _plant(source)
        peers.mke2fs(image, kilobytes << 10, block_size=block_size, options=[*options, "-d", str(source)])
        if shape == "indexed":
            _run_e2fsck("-f", "-y", "-D", str(image))
        data = image.read_bytes()
    return data, Ext2Image(data).contents()


def e2fsck(data: bytes | bytearray, option: str) -> tuple[int, str]:
    """What e2fsck says of an image, and its exit code."""
    with tempfile.NamedTemporaryFile(prefix="ext2-damage-", dir=MEMORY) as file:
        file.write(data)
        file.flush()
        done = _run_e2fsck("-f", option, file.name)
    return done.returncode, done.stdout


def _run_e2fsck(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("e2fsck", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    assert program is not None
    return subprocess.run(
        [program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C"},
        encoding="utf-8",
        errors="surrogateescape",
        timeout=E2FSCK_SECONDS,
        check=False,
    )


def _plant(top: Path) -> None:
    rng = random.Random(5)
    for directory in ("a/b/c", "d/e", "empty", "many"):
        (top / directory).mkdir(parents=True)
    for number in range(12):
        (top / f"file{number}").write_bytes(rng.randbytes(rng.choice([10, 1500, 9000, 20000])))
    for name in ("big", "a/big"):
        (top / name).write_bytes(rng.randbytes(200_000))
    (top / "a/b/c/deep").write_bytes(b"deep" * 1000)
    (top / "none").touch()
    (top / "fast").symlink_to("a/b/c/deep")
    (top / "slow").symlink_to("x" * 100)
    os.mkfifo(top / "pipe")
    os.link(top / "file1", top / "d/e/link")
    for number in range(60):
        (top / "many" / f"a-rather-long-name-of-a-file-{number:04}").touch()
    for path, size in (("file2", 5), ("file3", 300), ("file4", 300)):
        os.setxattr(top / path, "user.test", b"v" * size)
