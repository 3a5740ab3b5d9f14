"""Our ext2 beside the kernel's and fuse2fs on the same volumes, both ways.

What one writes the others must read identically, to the nanosecond, the attribute, the access list and the hole, and
may change; after each of them e2fsck has nothing to say.
"""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from minixfs.daemon import mountpoint
from tests.support import loop, mounts, peers, tree
from tests.support.mounts import Mount

SEED = 19930113
SIZE = 32 << 20
BIG = 70 << 20  # reach of sparse files: triple indirect blocks, with 1K blocks
KINDS = [
    "-b 1024 -I 128",
    "-b 1024 -I 256 -g 4096",
    pytest.param("-b 4096 -I 256", marks=pytest.mark.long),
    pytest.param("-b 2048 -I 128 -O ^filetype,^dir_index", marks=pytest.mark.long),
    pytest.param("-b 1024 -I 256 -j -J size=1", marks=pytest.mark.long),
]
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
NAMED = bytes.fromhex(
    "02000000 01000700ffffffff 02000600d2040000 04000500ffffffff 080004004d000000 10000700ffffffff 20000000ffffffff"
)


@pytest.fixture(autouse=True)
def _needs() -> None:
    if reason := loop.why_not() or mounts.why_not():
        pytest.skip(reason)


@contextmanager
def fuse2fs(image: Path) -> Iterator[Path]:
    peers.require("fuse2fs")
    point = Path(tempfile.mkdtemp(prefix="fuse2fs-"))
    try:
        with subprocess.Popen(["fuse2fs", "-f", image, point], stdout=subprocess.DEVNULL) as server:
            wait_for_mount(point, server)
            try:
                yield point
            finally:
                mountpoint.unmount(str(point))
                server.wait(30)
    finally:
        point.rmdir()


def wait_for_mount(point: Path, server: subprocess.Popen[bytes]) -> None:
    with open("/proc/self/mounts") as mounts_file:
        changes = select.poll()
        changes.register(mounts_file, select.POLLPRI)
        while mountpoint.find(str(point)) is None:
            assert server.poll() is None
            changes.poll(1000)


@contextmanager
def ours(image: Path) -> Iterator[Path]:
    with Mount(image, "noatime", "allow_other") as mount:
        yield mount.path


def kernel(image: Path) -> AbstractContextManager[Path]:
    return loop.mounted(image, "ext2", "noatime")


def kernel_ext4(image: Path) -> AbstractContextManager[Path]:
    """The driver that knows attributes in inodes."""
    return loop.mounted(
        image, "ext4", "noatime,noload" if mounts.superblock_of(image).has_feature("has_journal") else "noatime"
    )


View = Callable[[Path], AbstractContextManager[Path]]


def adorn(root: Path) -> None:
    """Attributes of all kinds on what `tree.populate` made."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    directories = sorted(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())
    for number, path in enumerate(files[:40]):
        os.setxattr(path, "user.number", b"%d" % number)
        if number % 3 == 0:
            os.setxattr(path, "trusted.some", os.fsencode(path.name)[:70] * 2)
        if number % 5 == 0:
            os.setxattr(path, "user.long", bytes(range(200)))
        if number % 7 == 0:
            os.setxattr(path, ACCESS, NAMED)
        if number % 11 == 0:
            os.setxattr(path, "user.\u00ff\u00e9", b"\x80\xff")
    for path in directories[:6]:
        os.setxattr(path, DEFAULT, NAMED)
        (path / "heir").write_bytes(b"data")
        (path / "heir-dir").mkdir()


def seen(root: Path) -> dict[bytes, Any]:
    """Everything that a user can see of a tree."""
    found: dict[bytes, Any] = {}
    for path, entry in tree.snapshot(root).items():
        full = os.path.join(os.fsencode(root), path)
        status = os.lstat(full)
        names = sorted(os.listxattr(full, follow_symlinks=False))
        found[path] = (
            entry,
            (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns),
            status.st_blocks,
            {name: os.getxattr(full, name, follow_symlinks=False) for name in names},
        )
    return found


def assert_same(one: dict[bytes, Any], other: dict[bytes, Any]) -> None:
    differences = [(path, one.get(path), other.get(path)) for path in sorted(one.keys() | other.keys())
                   if one.get(path) != other.get(path)]  # fmt: skip
    assert not differences, "\n".join(map(str, differences[:5]))


def coarse(found: dict[bytes, Any]) -> dict[bytes, Any]:
    """As fuse2fs shows a tree: whole seconds, and times of reading of its own."""
    return {
        path: (entry, [stamp // 10**9 for stamp in stamps[1:]], *rest) for path, (entry, stamps, *rest) in found.items()
    }


def look(image: Path, view: View) -> dict[bytes, Any]:
    with view(image) as root:
        found = seen(root)
    mounts.check_image(image)
    return found


def fill(image: Path, view: View) -> dict[bytes, Any]:
    """Fill the volume through `view` and return what it shows once the volume was mounted again."""
    with view(image) as root:
        tree.populate(root, SEED, 255, ids_max=(0xFFFFFFFE, 0xFFFFFFFE), big=BIG)
        adorn(root)
    mounts.check_image(image)
    return look(image, view)


def change(image: Path, view: View, seed: int) -> dict[bytes, Any]:
    with view(image) as root:
        tree.mutate(root, seed)
    mounts.check_image(image)
    return look(image, view)


@pytest.mark.parametrize("options", KINDS)
def test_others_read_and_change_what_we_wrote(options: str, tmp_path: Path) -> None:
    image = mounts.make_image(tmp_path / "image", size=SIZE, ext2=options)
    written = fill(image, ours)
    assert_same(written, look(image, kernel_ext4))
    assert_same(coarse(written), coarse(look(image, fuse2fs)))
    changed = change(image, kernel_ext4, SEED + 1)
    assert_same(changed, look(image, ours))
    changed = change(image, fuse2fs, SEED + 2)
    assert_same(coarse(changed), coarse(look(image, ours)))


@pytest.mark.parametrize("options", KINDS)
def test_we_read_and_change_what_the_kernel_wrote(options: str, tmp_path: Path) -> None:
    image = mounts.make_image(tmp_path / "image", size=SIZE, ext2=options)
    written = fill(image, kernel)
    assert_same(written, look(image, ours))
    changed = change(image, ours, SEED + 1)
    assert_same(changed, look(image, kernel_ext4))
    again = change(image, kernel, SEED + 2)
    assert_same(again, look(image, ours))


def test_we_read_and_change_what_fuse2fs_wrote(tmp_path: Path) -> None:
    image = mounts.make_image(tmp_path / "image", size=SIZE, ext2="-b 1024 -I 256")
    with fuse2fs(image) as root:
        tree.populate(root, SEED, 255, big=BIG)
    mounts.check_image(image)
    written = look(image, fuse2fs)
    assert_same(coarse(written), coarse(look(image, ours)))
    changed = change(image, ours, SEED + 1)
    assert_same(changed, look(image, kernel_ext4))
    assert_same(coarse(changed), coarse(look(image, fuse2fs)))
