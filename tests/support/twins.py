"""The same tree twice, in a host directory and in an image, so that a verb can be held against its host twin.

    twins = Twins(tmp_path)                     empty
    twins.grow(random.Random(seed))             files, directories and links of all kinds
    ours, real = twins.run("rm", ["-rv"], ["a", "b"])
    assert ours == real                         exit code, output, messages
    twins.compare(); twins.verify()             both trees are the same; the checkers find nothing

Names of files are relative to the top. Messages are compared without the program's name and the image's.
"""

from __future__ import annotations

import os
import random
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minixfs.fsck.mfs.check import check
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.runtime import run
from minixfs.image.image import Image
from minixfs.mkfs.mfs import Options, choose_variant, make
from tests.support.command import command
from tests.support.peers import fsck_minix

START = 1_600_000_000
Outcome = tuple[int, bytes, list[str]]
"""Exit code, standard output, messages."""


class Twins:
    """`host` is a directory, `image` a file with a MINIX file system."""

    def __init__(self, folder: Path, size: int = 4 << 20, version: int = 3) -> None:
        self.host = folder / "host"
        self.host.mkdir(mode=0o755)
        self.image = folder / "img"
        disk = RamDisk(size)
        options = Options(
            choose_variant(version, None, False), inodes=512, **({"block_size": 1024} if version == 3 else {})
        )
        run(make(disk, options))
        self.image.write_bytes(disk.snapshot())
        self.paths: list[str] = []

    # ---- the trees -------------------------------------------------------------------------------------------------

    def grow(
        self,
        rng: random.Random,
        count: int = 25,
        names: Sequence[str] = ("a", "b", "cc", ".d", "e.txt"),
        *,
        links: bool = True,
        hard: bool = True,
        set_id: bool = True,
    ) -> None:
        """Up to `count` files of random kinds, modes and times; with symbolic `links`, `hard` links, `set_id` bits."""
        modes = [0o644, 0o755, 0o600, 0o1777, 0o444, 0o700] + [0o4755, 0o2750] * set_id
        directories = [""]
        for _ in range(count):
            path = os.path.join(rng.choice(directories), rng.choice(names))
            if os.path.lexists(self.host / path):
                continue
            self.paths.append(path)
            kind = rng.choice(["file", "file", "directory", "directory", "fifo"] + ["hard"] * hard + ["link"] * links)
            if kind == "directory":
                (self.host / path).mkdir()
                directories.append(path)
            elif kind == "link":
                os.symlink(rng.choice([*self.paths, "nowhere"]), self.host / path)
            elif kind == "fifo":
                os.mkfifo(self.host / path)
            elif kind == "hard" and (
                others := [p for p in self.paths if (self.host / p).is_file() and not (self.host / p).is_symlink()]
            ):
                os.link(self.host / rng.choice(others), self.host / path)
            else:
                (self.host / path).write_bytes(rng.randbytes(rng.choice([0, 0, 1, 511, 513, 3000])))
            if kind not in ("link", "hard"):
                os.chmod(self.host / path, rng.choice(modes))
        for path in reversed(self.paths):
            when = START + rng.randrange(100) * 3600
            os.utime(self.host / path, (when, when + rng.randrange(3)), follow_symlinks=False)
        os.utime(self.host, (START, START))
        self.carry()

    def carry(self) -> None:
        """Make the (empty) image hold what the host directory holds."""
        known: dict[int, str] = {}
        with Image(self.image, "r+") as image:
            for path in self.walk():
                found = (self.host / path).lstat()
                if found.st_ino in known and not stat.S_ISDIR(found.st_mode):
                    image.link(known[found.st_ino], path)
                    continue
                known[found.st_ino] = path
                if stat.S_ISDIR(found.st_mode):
                    image.mkdir(path)
                elif stat.S_ISLNK(found.st_mode):
                    image.symlink(os.readlink(self.host / path), path)
                else:
                    image.mknod(path, stat.S_IFMT(found.st_mode) | 0o600)
                    if stat.S_ISREG(found.st_mode):
                        image.write_bytes(path, (self.host / path).read_bytes())
                        os.utime(self.host / path, ns=(found.st_atime_ns, found.st_mtime_ns))
            for path in [*self.walk(), ""][::-1]:
                found = (self.host / path).lstat()
                image.chown(path, found.st_uid, found.st_gid, follow_symlinks=False)
                if not stat.S_ISLNK(found.st_mode):
                    image.chmod(path, stat.S_IMODE(found.st_mode))
                image.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)

    def agree_on_times(self) -> None:
        """Give what commands made in both trees, one after the other, the same times."""
        with Image(self.image, "r+") as image:
            for path in [*self.walk(), ""][::-1]:
                os.utime(self.host / path, (START, START), follow_symlinks=False)
                image.utime(path, (START, START), follow_symlinks=False)

    def walk(self) -> list[str]:
        """Every path of the host's tree, parents first."""
        found = []
        for directory, directories, files in os.walk(self.host):
            directories.sort()
            found += [os.path.relpath(os.path.join(directory, name), self.host) for name in sorted(directories + files)]
        return found

    # ---- comparing -------------------------------------------------------------------------------------------------

    def run(
        self, verb: str, options: Sequence[str], paths: Sequence[str], *, tail: Sequence[str] = (), stdin: str = ""
    ) -> tuple[Outcome, Outcome]:
        """What our verb and the host's answer to the same words: options, files, and words after these."""
        real = subprocess.run(
            [verb, *options, *paths, *tail], cwd=self.host, capture_output=True, timeout=20, input=stdin.encode(),
            env=os.environ | {"LC_ALL": "C", "TZ": os.environ.get("TZ", "UTC")},
        )  # fmt: skip
        ours = command(verb, *options, self.image, *paths, *tail)
        messages = [
            line.replace(f"minixfs {verb}: ", "").replace(f"{self.image}:/", "") for line in ours.err.splitlines()
        ]
        output = ours.out.replace(f"{self.image}:/".encode(), b"").replace(b"minixfs ", b"")
        theirs = [
            line.removeprefix(f"{verb}: ") for line in real.stderr.decode().splitlines() if not line.startswith("Try ")
        ]
        return (ours.code, output, messages), (real.returncode, real.stdout, theirs)

    def compare(self, *, times: bool = True) -> None:
        """Assert that both trees hold the same: names, kinds, modes, owners, links, contents; and, but for links and
        directories, whose times reading changes, access and modification times in seconds."""
        with Image(self.image) as image:
            ours = {path.lstrip("/"): self._facts(image, path) for path in _all(image)}
        theirs = {path: self._host_facts(path) for path in self.walk()}
        assert ours.keys() == theirs.keys()
        for path, facts in theirs.items():
            mine = ours[path]
            if not times or facts["kind"] in (stat.S_IFDIR, stat.S_IFLNK):
                facts = {name: value for name, value in facts.items() if name not in ("atime", "mtime")}
            assert {name: mine[name] for name in facts} == facts, path

    def _facts(self, image: Image, path: str) -> dict[str, Any]:
        found = image.lstat(path)
        target = image.readlink(path) if stat.S_ISLNK(found.st_mode) else None
        data = image.read_bytes(path) if stat.S_ISREG(found.st_mode) else None
        return _facts(found, target, data)

    def _host_facts(self, path: str) -> dict[str, Any]:
        place = self.host / path
        found = place.lstat()
        target = os.readlink(place) if stat.S_ISLNK(found.st_mode) else None
        data = None
        if stat.S_ISREG(found.st_mode):
            data = place.read_bytes()
            os.utime(place, ns=(found.st_atime_ns, found.st_mtime_ns))
        return _facts(found, target, data)

    def verify(self) -> None:
        """Assert that the checkers find nothing wrong with the image."""
        report = run(check(RamDisk(bytearray(self.image.read_bytes()))))
        assert not report.findings, [finding.message for finding in report.findings]
        verdict = fsck_minix(self.image)
        assert verdict.clean, verdict.output


def _facts(found: os.stat_result, target: str | None, data: bytes | None) -> dict[str, Any]:
    return {
        "kind": stat.S_IFMT(found.st_mode),
        "mode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
        "links": None if stat.S_ISDIR(found.st_mode) else found.st_nlink,
        "atime": int(found.st_atime),
        "mtime": int(found.st_mtime),
        "target": target,
        "data": data,
    }


def _all(image: Image) -> list[str]:
    found = []
    for directory, directories, files in image.walk("/"):
        found += [os.path.join(directory, name) for name in directories + files]
    return found
