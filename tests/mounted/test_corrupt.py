"""Bad images: whatever is in them, the mount process answers, ends in time, and keeps its memory bounded.

A filled volume is mutated at random, most of all where the metadata is; then it is mounted, walked, read and written
by a child with a deadline. Errors are fine, hangs and crashes are not: the mount process must be there after it, and
end by itself.
"""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path
from typing import Any

import pytest

from minixfs.fs.ext2.superblock import Superblock as Ext2Superblock
from tests.support import mounts, tree
from tests.support.mounts import Mount, MountFailedError, minixfs
from tests.support.users import start

SECONDS = 20.0  # for all that is done to one bad image
GROWTH = 192 << 20  # bytes that a mount of a bad image may take more than the interpreter itself
BASE = 96 << 20
ANYTHING = (".*",)  # lines that the log may hold, but for tracebacks, which are looked for here
SIZE = 4 << 20

SHAPES: dict[str, dict[str, Any]] = {
    "V1": {"version": 1, "name_max": 14},
    "V2": {"version": 2, "name_max": 30},
    "V3": {"version": 3, "block_size": 4096},
    "V3-1K": {"version": 3, "block_size": 1024},
    "ext2": {"ext2": "-b 1024 -I 256 -N 300"},
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A volume of each shape with some of everything, as bytes."""
    images = {}
    for name, shape in SHAPES.items():
        image = tmp_path_factory.mktemp("filled") / "image"
        mounts.make_image(image, size=SIZE, **shape)
        limits = mounts.limits_of(image)
        with Mount(image) as mount:
            tree.populate(mount.path, 1, limits.name_max, ids_max=(0xFFFF, min(limits.gid_max, 0xFFFF)), big=300_000)
        images[name] = image.read_bytes()
    return images


def mutate(data: bytes, rng: random.Random, metadata: int) -> bytearray:
    """Some bytes changed: in the superblock, in the maps and inodes (the first `metadata` bytes), or anywhere."""
    bad = bytearray(data)
    for _ in range(rng.choice((1, 3, 20, 200))):
        low, high = rng.choice(((1024, 1060), (2048, metadata), (2048, metadata), (2048, metadata), (0, len(data))))
        at = rng.randrange(low, high)
        match rng.randrange(4):
            case 0:
                bad[at] ^= 1 << rng.randrange(8)
            case 1:
                bad[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                bad[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\1\0\0\0"))
            case 3:
                other = rng.randrange(2048, metadata - 64)
                bad[at : at + 64] = data[other : other + 64]
    return bad[: len(data)]


def use(root: Path) -> int:
    """Walk, read and change everything, whatever errors that brings; how many objects were seen."""
    seen = 0
    pending = [root]
    while pending and seen < 3000:
        try:
            entries = list(os.scandir(pending.pop()))
        except OSError:
            continue
        for entry in entries:
            seen += 1
            path = Path(entry.path)
            for attempt in (visit, change):
                try:
                    pending += attempt(path)
                except OSError:
                    continue
    for number in range(20):
        try:
            (root / f"n{number}").write_bytes(b"x" * 5000)
            (root / f"d{number}").mkdir()
            os.rename(root / f"n{number}", root / f"d{number}" / "n")
        except OSError:
            continue
    return seen


def visit(path: Path) -> list[Path]:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        os.readlink(path)
    elif stat.S_ISREG(mode):
        with path.open("rb") as file:
            file.read(100_000)
            file.seek(path.lstat().st_size // 2)
            file.read(10_000)
    return [path] if stat.S_ISDIR(mode) else []


def change(path: Path) -> list[Path]:
    kind = sum(os.fsencode(path.name)) % 5
    mode = path.lstat().st_mode
    if stat.S_ISREG(mode) and kind == 0:
        with path.open("r+b") as file:
            file.write(b"changed")
            file.seek(70_000)
            file.write(b"grown")
    elif stat.S_ISREG(mode) and kind == 1:
        os.truncate(path, 100)
    elif kind == 2 and not stat.S_ISDIR(mode):
        path.unlink()
    elif kind == 3:
        path.rename(path.with_name("r" + path.name[:5]))
    return []


def survive(image: Path, *words: str) -> bool:
    """Mount and use a bad image; whether it could be mounted."""
    try:
        with Mount(image, "force", *words, allow=ANYTHING, seconds=60) as mount:
            start(use, mount.path, seconds=SECONDS).result()
            assert mount.resident() < BASE + GROWTH, f"{mount.resident() >> 20} MiB"
            start(os.statvfs, mount.path).result()  # it still answers
            mount.unmount_somehow()
            log = mount.log
    except MountFailedError as failure:
        refused = failure
    else:
        assert "Traceback" not in log, log[-3000:]
        return True
    assert refused.code == 32, refused.output
    assert "Traceback" not in refused.output
    return False


def attack(tmp_path: Path, filled: dict[str, bytes], shape: str, rng: random.Random, rounds: int) -> int:
    """Live through `rounds` mutated images; returns how many of them could be mounted at all."""
    data = filled[shape]
    image = tmp_path / "image"
    image.write_bytes(data)
    superblock = mounts.superblock_of(image)
    end = 150 if isinstance(superblock, Ext2Superblock) else superblock.inode_table_end
    metadata = end * superblock.block_size + 64 * superblock.block_size  # and some directories
    mounted = 0
    for _ in range(rounds):
        seed = rng.getrandbits(32)
        print(f"image seed {seed}")
        image.write_bytes(mutate(data, random.Random(seed), min(metadata, len(data))))
        mounted += survive(image, f"errors={rng.choice(('continue', 'continue', 'remount-ro'))}")
    return mounted


@pytest.mark.parametrize("shape", SHAPES)
def test_mutated_images(tmp_path: Path, filled: dict[str, bytes], shape: str, rng: random.Random) -> None:
    attack(tmp_path, filled, shape, rng, 4)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shape", SHAPES)
def test_many_mutated_images(tmp_path: Path, filled: dict[str, bytes], shape: str, rng: random.Random) -> None:
    assert attack(tmp_path, filled, shape, rng, 60)


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        (b"", "is empty"),
        (b"\0" * 100_000, "no "),
        (b"x" * 600, ""),
        (bytes(range(256)) * 1000, ""),
        (b"\x7fELF" + b"\0" * 4000, ""),
    ],
)
def test_what_is_no_volume_is_refused(tmp_path: Path, directory: Path, contents: bytes, says: str) -> None:
    image = tmp_path / "image"
    image.write_bytes(contents)
    refused = minixfs("mount", image, directory)
    assert refused.returncode == 32
    assert refused.stderr.startswith("minixfs mount: ")
    assert len(refused.stderr.splitlines()) == 1
    assert says in refused.stderr
    assert image.read_bytes() == contents


def test_an_image_that_shrinks_while_mounted(image: Path) -> None:
    """Reads and writes behind its end are EIO, not a crash."""
    with Mount(image) as mount:
        (mount.path / "file").write_bytes(b"x" * 5_000_000)
    with Mount(image, allow=ANYTHING) as mount:
        os.truncate(image, 1 << 20)
        with pytest.raises(OSError, match="Input/output error"):
            (mount.path / "file").read_bytes()
        start(os.statvfs, mount.path).result()
        mount.unmount_somehow()


def test_a_defect_makes_the_mount_read_only(tmp_path: Path, filled: dict[str, bytes]) -> None:
    image = tmp_path / "image"
    damage(image, filled["V3"])
    with Mount(image, allow=["corrupt image", "read-only from now on"]) as mount:
        (mount.path / "before").touch()
        with pytest.raises(OSError, match="Structure needs cleaning"):
            (mount.path / "bad").read_bytes()
        with pytest.raises(OSError, match="Read-only"):
            (mount.path / "after").touch()
        assert "run minixfs fsck" in mount.log
    assert not mounts.superblock_of(image).clean
    assert minixfs("fsck", "-y", image).returncode == 1
    mounts.check_image(image)


def test_errors_continue(tmp_path: Path, filled: dict[str, bytes]) -> None:
    image = tmp_path / "image"
    damage(image, filled["V3"])
    with Mount(image, "errors=continue", allow=["corrupt image"]) as mount:
        with pytest.raises(OSError, match="Structure needs cleaning"):
            (mount.path / "bad").read_bytes()
        (mount.path / "after").touch()
    assert not mounts.superblock_of(image).clean


def test_errors_abort(tmp_path: Path, filled: dict[str, bytes]) -> None:
    image = tmp_path / "image"
    damage(image, filled["V3"])
    with Mount(image, "errors=abort", allow=["corrupt image"]) as mount:
        with pytest.raises(OSError, match=r"not connected|abort|Input/output"):
            (mount.path / "bad").read_bytes()
        assert mount.wait() != 0
        assert "Traceback" not in mount.log


def damage(image: Path, data: bytes) -> None:
    """Write `data` with a new file `bad` whose first zone is far outside the volume."""
    image.write_bytes(data)
    with Mount(image) as mount:
        (mount.path / "bad").write_bytes(b"x" * 10_000)
        number = (mount.path / "bad").stat().st_ino
    superblock = mounts.superblock_of(image)
    assert not isinstance(superblock, Ext2Superblock)
    block, slot = divmod(number - 1, superblock.inodes_per_block)
    at = (superblock.inode_table_block + block) * superblock.block_size + slot * superblock.variant.inode.size
    with image.open("r+b") as file:
        file.seek(at + 24)  # the first zone of a V2 or V3 inode
        file.write(b"\xff\xff\xff\x7f")
