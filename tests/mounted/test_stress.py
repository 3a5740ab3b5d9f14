"""Several processes at work at once, each compared with a shadow copy of its own on the host; and all in one place."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path
from typing import Any

import pytest

from tests.mounted.conftest import Mounted
from tests.support import tree
from tests.support.mounts import COMMAND, FORGETFUL
from tests.support.users import start

WORKERS = 4


class Worker:
    """Does the same random things to a directory on the mount and to its shadow, and compares the outcomes."""

    def __init__(self, place: Path, shadow: Path, seed: int, name_max: int) -> None:
        self.roots = (place, shadow)
        self.rng = random.Random(seed)
        self.name_max = name_max
        self.names: list[str] = ["a", "b/c", "b"]

    def run(self, steps: int) -> None:
        for root in self.roots:
            root.mkdir()
        for step in range(steps):
            self.step(step)

    def step(self, step: int) -> None:
        rng = self.rng
        if rng.random() < 0.2:
            parent = rng.choice(["", *(f"{name}/" for name in self.names if name.count("/") < 4)])
            self.names.append(parent + "x" * rng.randrange(self.name_max - 6) + str(step))
        one, two = rng.choice(self.names), rng.choice(self.names)
        offset, data = rng.randrange(300_000), rng.randbytes(rng.choice((1, 100, 4096, 50_000)))
        mode = rng.randrange(0o1000) | 0o700
        action = rng.choice(("make", "write", "write", "append", "read", "cut", "unlink", "mkdir", "rmdir", "rename"))
        action = rng.choice((action, action, action, "link", "symlink", "chmod", "list", "stat"))
        outcomes = [self.outcome(action, root, one, two, offset, data, mode) for root in self.roots]
        assert outcomes[0] == outcomes[1], f"step {step}: {action} {one} {two} {offset}"

    def outcome(self, action: str, root: Path, one: str, two: str, offset: int, data: bytes, mode: int) -> object:
        """What a call gives, or its errno."""
        path, other = root / one, root / two
        try:
            match action:
                case "make":
                    os.close(os.open(path, os.O_CREAT | os.O_EXCL, mode))
                case "write":
                    with path.open("r+b") as file:
                        file.seek(offset)
                        file.write(data)
                case "append":
                    with path.open("ab") as file:
                        file.write(data)
                case "read":
                    with path.open("rb") as file:
                        file.seek(offset)
                        return file.read(60_000)
                case "cut":
                    os.truncate(path, offset)
                case "unlink":
                    path.unlink()
                case "mkdir":
                    path.mkdir(mode)
                case "rmdir":
                    path.rmdir()
                case "rename":
                    os.rename(path, other)
                case "link":
                    os.link(path, other, follow_symlinks=False)
                case "symlink":
                    os.symlink(two, path)
                case "chmod":
                    path.chmod(mode)
                case "list":
                    return sorted(os.listdir(path))
                case "stat":
                    found = path.lstat()
                    size = found.st_size if path.is_file() else 0
                    return (found.st_mode, found.st_nlink, size)
        except OSError as error:
            # Where two errors apply at once the systems may differ in which one they tell.
            return "ENOTEMPTY" if error.errno in (errno.ENOTEMPTY, errno.EEXIST) else errno.errorcode[error.errno or 0]
        return None


def work(place: Path, shadow: Path, seed: int, name_max: int, steps: int) -> tree.Snapshot:
    Worker(place, shadow, seed, name_max).run(steps)
    return tree.snapshot(shadow)


def stress(mounted: Mounted, tmp_path: Path, rng: random.Random, steps: int, **shape: Any) -> None:
    mount = mounted("cache_size=2M", "commit=0.05", size=60 << 20, inodes=8000, **shape)
    name_max = os.statvfs(mount.path).f_namemax
    children = [
        start(work, mount.path / f"w{n}", tmp_path / f"w{n}", rng.getrandbits(32), name_max, steps, seconds=90)
        for n in range(WORKERS)
    ]
    shadows = [child.result() for child in children]
    mount.remount()
    ignore = ["dir_size", "mtime", "uid", "gid"]
    for number, shadow in enumerate(shadows):
        assert tree.diff(shadow, tree.snapshot(mount.path / f"w{number}"), ignore=ignore) == []


@pytest.mark.parametrize("shape", [
    {"version": 3, "name_max": 60, "block_size": 4096},
    {"version": 1, "name_max": 14, "block_size": 1024, "command": FORGETFUL},
])  # fmt: skip
def test_workers_with_shadows(mounted: Mounted, tmp_path: Path, rng: random.Random, shape: dict[str, Any]) -> None:
    stress(mounted, tmp_path, rng, 400, **shape)


@pytest.mark.long
@pytest.mark.parametrize(("version", "name_max", "block_size"), [(3, 60, 4096), (3, 60, 1024), (2, 30, 1024)])
def test_long_work_with_shadows(
    mounted: Mounted, tmp_path: Path, rng: random.Random, version: int, name_max: int, block_size: int
) -> None:
    stress(mounted, tmp_path, rng, 5000, version=version, name_max=name_max, block_size=block_size)


def scramble(root: Path, seed: int, steps: int) -> None:
    """Work where others work too; only errors that this must lead to are taken."""
    rng = random.Random(seed)
    names = [root / name for name in ("a", "b", "c", "a/x", "a/y", "b/x", "b/y", "c/x/z")]
    expected = {errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.EINVAL, errno.EPERM}
    for _ in range(steps):
        one, two = rng.choice(names), rng.choice(names)
        try:
            match rng.randrange(8):
                case 0:
                    one.mkdir()
                case 1:
                    one.write_bytes(rng.randbytes(rng.choice((10, 20_000))))
                case 2:
                    one.rename(two)
                case 3:
                    os.link(one, two)
                case 4:
                    one.unlink()
                case 5:
                    one.rmdir()
                case 6:
                    os.listdir(one)
                case 7:
                    one.read_bytes()
        except OSError as error:
            if error.errno not in expected:
                raise


@pytest.mark.parametrize("command", [COMMAND, FORGETFUL], ids=["", "forgetful"])
def test_workers_in_each_others_way(mounted: Mounted, rng: random.Random, command: tuple[str, ...]) -> None:
    mount = mounted("commit=0.02", command=command)
    children = [start(scramble, mount.path, rng.getrandbits(32), 600, seconds=60) for _ in range(WORKERS)]
    for child in children:
        child.result()


def test_killed_workers_leave_nothing_behind(mounted: Mounted, rng: random.Random) -> None:
    mount = mounted("commit=0.02")
    for _ in range(6):
        children = [start(scramble, mount.path, rng.getrandbits(32), 100_000, seconds=60) for _ in range(3)]
        scramble(mount.path, rng.getrandbits(32), 60)
        for child in children:
            child.kill()
