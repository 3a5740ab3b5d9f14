"""ext2 volumes beside those of mke2fs, in e2fsck, in the kernel, in fuse2fs and in our own mount."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import socket
import stat
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import loop, mounts, peers, tree
from tests.support.command import command

KIB, MIB = 1 << 10, 1 << 20
NOW = 1_600_000_000
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
TREE_SEED = 20050630


@pytest.fixture(autouse=True)
def _needs() -> None:
    peers.require("mke2fs", "e2fsck", "dumpe2fs")
    if os.geteuid():
        pytest.skip("needs root, to give files away and to mount")


def mkfs(*words: str | Path) -> None:
    answer = command("mkfs", "-t", "ext2", "-q", *words)
    assert (answer.code, answer.err) == (0, ""), answer.err


def program(name: str) -> str:
    """Where a program is; those of administrators are not on everybody's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin") or name


def verify(image: Path) -> None:
    verdict = peers.e2fsck(image)
    assert verdict.clean, verdict.output


# ---- shapes --------------------------------------------------------------------------------------------------------


WORDS = {"-b": "-B", "-i": "--bytes-per-inode", "-N": "-i"}
"""Options that are called otherwise there and here."""


def compare(folder: Path, size: int, words: str) -> None:
    """Byte for byte."""
    one, other = folder / "ours", folder / "theirs"
    for image in (one, other):
        with image.open("wb") as file:
            file.truncate(size)
    mine = [WORDS.get(word, word) for word in words.split()]
    answer = command("mkfs", "-t", "ext2", "--json", "--mtime", f"@{NOW}", "--root-owner", "0:0", *mine, one)
    assert answer.code == 0, answer.err
    facts = json.loads(answer.out)
    done = subprocess.run(
        [program("mke2fs"), "-q", "-F", "-t", "ext2", "-U", facts["uuid"],
         "-E", f"hash_seed={facts['hash_seed']}", *words.split(), other],
        env={**os.environ, "E2FSPROGS_FAKE_TIME": str(NOW)}, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with one.open("rb") as ours, other.open("rb") as theirs:
        at = 0
        while a := ours.read(MIB):
            b = theirs.read(MIB)
            assert a == b, f"{size} {words}: differ at {at + next(n for n in range(len(a)) if a[n] != b[n]):#x}"
            at += MIB


SIZES = (200, 1440, 2048, 3068, 3072, 8192, 8252, 9000, 16384, 100_000)
CHOICES = (
    "-b 1024", "-b 2048", "-b 4096", "-I 128", "-b 4096 -I 128", "-r 0", "-O ^resize_inode", "-O none",
    "-O ^large_file", "-O ^resize_inode,^sparse_super", "-O ^dir_index,^filetype,^ext_attr", "-m 0", "-m 12.5",
    "-i 1024", "-i 65536", "-N 3000", "-L label",
)  # fmt: skip


@pytest.mark.parametrize("kib", SIZES)
def test_empty_volumes_are_those_of_mke2fs(kib: int, tmp_path: Path) -> None:
    compare(tmp_path, kib * KIB, "")


@pytest.mark.parametrize("words", CHOICES)
def test_empty_volumes_of_all_kinds_are_those_of_mke2fs(words: str, tmp_path: Path) -> None:
    compare(tmp_path, 20 * MIB, words)


def test_the_reserve_where_a_last_group_was_left_out_for_a_while(tmp_path: Path) -> None:
    compare(tmp_path, 98_680 * 4 * KIB, "-b 4096 -m 1")


@pytest.mark.long
def test_empty_volumes_at_random_are_those_of_mke2fs(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    for _ in range(60):
        size = int(2 ** rng.uniform(18, 30)) // 4096 * 4096
        words = f"-b {rng.choice((1024, 2048, 4096))} -I {rng.choice((128, 256))} -m {rng.choice((0, 1, 5, 20))}"
        print(f"seed {seed}: {size} {words}")
        compare(tmp_path, size, words)


# ---- contents ------------------------------------------------------------------------------------------------------


def acl(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<L", 2) + b"".join(struct.pack("<HHL", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
ACL = acl((1, 7, NOBODY), (2, 6, 1000), (4, 4, NOBODY), (8, 4, 77), (0x10, 1, NOBODY), (0x20, 1, NOBODY))


def populated(top: Path, *, fine: bool = True) -> Path:
    """A tree with one of everything that ext2 can hold and MINIX cannot."""
    top.mkdir()
    tree.populate(top, TREE_SEED, 255, ids_max=(0xFFFFFFFE, 0xFFFFFFFE), big=80 << 20)
    special = top / "special"
    special.mkdir()
    for number, (major, minor) in enumerate(((1, 3), (255, 255), (256, 0), (4095, 1048575))):
        os.mknod(special / f"device{number}", stat.S_IFBLK | 0o600, os.makedev(major, minor))
    (special / "fifo-with-attributes").touch()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(special / "socket"))
    wide = special / "wide"
    wide.mkdir()
    for number in range(2500):
        (wide / f"{number:04}{'w' * (number % 60)}").touch()
    for length in (58, 59, 60, 61, 1000):
        (special / f"link{length}").symlink_to("x" * length)
    with (special / "triple").open("wb") as file:
        for offset in (0, 11 * KIB, 300 * KIB, 66 * MIB, 70 * MIB):
            file.seek(offset)
            file.write(b"data" * 300)
    if fine:
        for number, name in enumerate(("attributes", "also", "again")):
            path = special / name
            path.touch()
            os.setxattr(path, "user.large", bytes(range(250)))
            os.setxattr(path, "user.small", b"%d" % number)
        os.setxattr(special, "trusted.on-directory", b"")
        os.setxattr(special / "also", ACCESS, ACL)
        os.setxattr(special, DEFAULT, ACL)
        os.setxattr(special / "attributes", "security.capability", struct.pack("<LLLLL", 0x02000001, 1, 0, 0, 0))
        for number, seconds in enumerate((-(1 << 31), 1 << 31, 1 << 32, (1 << 33) + 5)):
            path = special / f"time{number}"
            path.touch()
            os.utime(path, ns=(seconds * 10**9 + 7, seconds * 10**9 + 123456789))
    return top


class Source(NamedTuple):
    """A tree, and what can be seen of it."""

    top: Path
    seen: tree.Snapshot
    attributes: dict[str, object]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    top = populated(tmp_path_factory.mktemp("source") / "all")
    return Source(top, snapshot(top), attributes(top))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """For volumes without attributes and later times."""
    top = populated(tmp_path_factory.mktemp("source") / "plain", fine=False)
    return Source(top, snapshot(top), {})


def attributes(top: Path) -> dict[str, object]:
    """What `tree.snapshot` leaves out: extended attributes, and times to the nanosecond."""
    found: dict[str, object] = {}
    for path in (top, *top.rglob("*")):
        name = os.path.relpath(path, top)
        if name == "lost+found":
            continue
        names = sorted(os.listxattr(path, follow_symlinks=False))
        values = [(attribute, os.getxattr(path, attribute, follow_symlinks=False)) for attribute in names]
        found[name] = (path.lstat().st_mtime_ns, values)
    return found


def snapshot(top: Path) -> tree.Snapshot:
    """Without lost+found, and the link of the root to it."""
    found = tree.snapshot(top)
    if found.pop(b"lost+found", None):
        found[b"."] = found[b"."]._replace(nlink=found[b"."].nlink - 1)
    return found


VOLUMES = [
    ("fit", "-B 1K"),
    ("fit", "-B 4K"),
    ("600M", ""),
    ("300M", "-B 2K -O ^resize_inode,^dir_index,^filetype"),
    ("fit+20%", "-O ^sparse_super,^resize_inode -i +500"),
]


@pytest.mark.parametrize(("size", "words"), VOLUMES, ids=lambda value: value or "usual")
def test_kernel_finds_what_was_put_in(size: str, words: str, source: Source, tmp_path: Path) -> None:
    if loop.why_not():
        pytest.skip(loop.why_not() or "")
    image = tmp_path / "image"
    mkfs(*words.split(), "-d", source.top, image, size)
    verify(image)
    with loop.mounted(image, "ext2", "ro,user_xattr,acl") as top:
        assert not tree.diff(source.seen, snapshot(top), ignore=["dir_size"])
        assert attributes(top) == source.attributes
        assert (top / "special" / "triple").stat().st_blocks < 200
    with loop.mounted(image, "ext2") as top:
        (top / "special" / "wide" / "0000").unlink()
        if size != "fit":
            (top / "special" / "more").write_bytes(b"more" * 10_000)
    verify(image)


@pytest.mark.parametrize("words", ["-r 0", "-I 128", "-O none"])
def test_plain_volumes_hold_plain_trees(words: str, plain: Source, tmp_path: Path) -> None:
    if loop.why_not():
        pytest.skip(loop.why_not() or "")
    image = tmp_path / "image"
    mkfs(*words.split(), "-d", plain.top, image)
    verify(image)
    with loop.mounted(image, "ext2", "ro") as top:
        assert not tree.diff(plain.seen, snapshot(top), ignore=["dir_size"])


@contextmanager
def fuse2fs(image: Path, top: Path) -> Iterator[Path]:
    top.mkdir()
    subprocess.run(["fuse2fs", "-o", "ro", str(image), str(top)], check=True, timeout=30, capture_output=True)
    try:
        yield top
    finally:
        subprocess.run(["fusermount3", "-u", str(top)], check=True, timeout=30)


def test_fuse2fs_and_we_find_what_was_put_in(source: Source, tmp_path: Path) -> None:
    peers.require("fuse2fs", "fusermount3")
    image = tmp_path / "image"
    mkfs("-d", source.top, image, "300M")
    with fuse2fs(image, tmp_path / "fuse2fs") as top:
        assert not tree.diff(source.seen, snapshot(top), ignore=["dir_size"])
    with mounts.Mount(image, "ro") as mounted:
        assert not tree.diff(source.seen, snapshot(mounted.path), ignore=["dir_size"])
        assert attributes(mounted.path) == source.attributes
    verify(image)


def test_tar_with_attributes(source: Source, tmp_path: Path) -> None:
    peers.require("tar")
    if loop.why_not():
        pytest.skip(loop.why_not() or "")
    image, archive = tmp_path / "image", tmp_path / "tree.tar"
    subprocess.run(
        ["tar", "--format=pax", "--xattrs", "--xattrs-include=*", "-S", "-C", source.top, "-cf", archive, "."],
        check=True, timeout=60, capture_output=True,
    )  # fmt: skip
    mkfs("-d", archive, image, "300M")
    verify(image)
    with loop.mounted(image, "ext2", "ro,user_xattr,acl") as top:
        seen = {path: entry for path, entry in source.seen.items() if entry.kind != "socket"}
        assert not tree.diff(seen, snapshot(top), ignore=["dir_size"])
        found = attributes(top)
        assert found == {path: source.attributes[path] for path in found}


def test_a_volume_grows_into_its_room(plain: Source, tmp_path: Path) -> None:
    peers.require("resize2fs")
    image = tmp_path / "image"
    mkfs("-B", "1K", "-d", plain.top, image, "fit")
    with image.open("r+b") as file:
        file.truncate(600 * MIB)
    subprocess.run([program("resize2fs"), image], check=True, timeout=60,
                   capture_output=True)  # fmt: skip
    verify(image)


def test_what_was_on_the_disk_before_does_not_matter(plain: Source, tmp_path: Path) -> None:
    one, other = tmp_path / "used", tmp_path / "new"
    one.write_bytes(os.urandom(MIB) * 48)
    for image in (one, other):
        mkfs("-f", "--mtime", f"@{NOW}", "-d", plain.top, image, "48M")
        verify(image)
    words, environment = [program("dumpe2fs"), one], {**os.environ, "LC_ALL": "C"}
    found = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60, env=environment).stdout
    free = re.findall(r"  Free blocks: (\d+)-(\d+)", found)
    used, new = bytearray(one.read_bytes()), bytearray(other.read_bytes())
    for first, last in free:
        start, end = int(first) * KIB, (int(last) + 1) * KIB
        used[start:end] = new[start:end]
    assert used == new


def test_files_are_contiguous(tmp_path: Path) -> None:
    source, image = tmp_path / "source", tmp_path / "image"
    for number in range(40):
        (source / f"d{number % 5}").mkdir(parents=True, exist_ok=True)
        (source / f"d{number % 5}" / f"f{number}").write_bytes(os.urandom(number * 300))
    mkfs("-d", source, image, "32M")
    assert "(0.0% non-contiguous)" in peers.e2fsck(image).output
