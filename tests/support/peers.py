"""Other people's makers and checkers of MINIX and ext2 images, and the Linux kernel's view of an image.

`require(...)` comes first in a test: it skips where a peer is missing, but fails under continuous integration
(environment variable CI), where nothing may be missing silently. The checkers are used strictly: they may end
with 0 in spite of what they print, so an image is clean only when there is not one line of complaint.

`fsck.minix` has limits of its own; an image beyond them is reported unclean though nothing is wrong:

* V3 volumes must have 1K blocks, and zones must be of one block;
* it counts links in 8 bits: at most 255 names of a file, 253 subdirectories of a directory;
* it descends 50 directories.

It never looks at file sizes, at names that occur twice, or (V3) at a clean flag. It also calls sync(2), so
whoever runs it while he himself serves a FUSE mount with dirty pages, waits for himself.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import tree, uml

_SECONDS = 60  # for one run of a tool

_MINIX_SILENT = re.compile(r"Forcing filesystem check on .*\.")
_EXT2_SILENT = re.compile(r"e2fsck \d.*|Pass [1-5]: .*|.*: \d+/\d+ files \(\d+\.\d+% non-contiguous\), \d+/\d+ blocks")


class Verdict(NamedTuple):
    """What a checker said about an image."""

    clean: bool
    output: str


def require(*peers: str) -> None:
    """Skip the running test, or fail it under CI, when one of `peers` is missing: programs, or "uml"."""
    for peer in peers:
        reason = uml.available() if peer == "uml" else None if _program(peer) else f"{peer} is not installed"
        if reason and os.environ.get("CI"):
            pytest.fail(reason)
        if reason:
            pytest.skip(reason)


def mkfs_minix(path: Path, size: int, version: int, *, name_len: int | None = None, inodes: int | None = None) -> None:
    """Make a MINIX volume of `size` bytes in the new or emptied file `path`.

    `version` is 1, 2 or 3, `name_len` 14 or 30 (60 in V3), `inodes` their number (by default a third of that
    of the blocks).
    """
    _make_empty(path, size)
    options = [f"-{version}"]
    if name_len is not None:
        options += ["-n", str(name_len)]
    if inodes is not None:
        options += ["-i", str(inodes)]
    _must("mkfs.minix", *options, str(path))


def mke2fs(
    path: Path, size: int, *, block_size: int = 1024, options: Sequence[str] = (), now: int | None = None
) -> None:
    """Make an ext2 volume of `size` bytes in the new or emptied file `path`; `options` are mke2fs's own.

    It says that it was made at second `now`.
    """
    _make_empty(path, size)
    _must("mke2fs", "-q", "-F", "-t", "ext2", "-b", str(block_size), *options, str(path), now=now)


def debugfs(path: Path, *requests: str, now: int | None = None) -> str:
    """What debugfs says while it changes an ext2 volume, request by request."""
    return "".join(_must("debugfs", "-w", "-R", request, str(path), now=now) for request in requests)


def fsck_minix(image: Path) -> Verdict:
    """Check an unmounted MINIX volume with util-linux, without changing it."""
    return _check(_MINIX_SILENT, "fsck.minix", "-f", str(image))


def e2fsck(image: Path) -> Verdict:
    """Check an unmounted ext2 volume with e2fsprogs, without changing it."""
    return _check(_EXT2_SILENT, "e2fsck", "-f", "-n", str(image))


def repair_ext2(image: Path) -> str:
    """Repair an ext2 volume as at boot (e2fsck -p), or with yes to every question if that is not enough."""
    done = _run("e2fsck", "-p", str(image))
    output = done.stdout
    if done.returncode & 4:
        done = _run("e2fsck", "-f", "-y", str(image))
        output += done.stdout
    if done.returncode not in (0, 1):
        raise RuntimeError(f"e2fsck: exit code {done.returncode}\n{output}")
    return output


def linux_snapshots(images: Sequence[Path], fs_type: str) -> list[tree.Snapshot]:
    """What the Linux driver `fs_type` ("minix" or "ext2") sees in each of `images`, mounted read-only."""
    with tempfile.TemporaryDirectory(prefix="snapshots-") as share:
        disks = uml.disks(images)
        mounts = [f"mount -o ro -t {fs_type} /dev/ubd{letter} /mnt/{letter}" for letter, _ in disks]
        views = [("snapshot", f"/mnt/{letter}", f"/mnt/share/{letter}") for letter, _ in disks]
        uml.run(images, "\n".join([*mounts, uml.tree_command(*views)]), share=Path(share))
        return [tree.loads((Path(share) / letter).read_text()) for letter, _ in disks]


def _make_empty(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def _check(silent: re.Pattern[str], *command: str) -> Verdict:
    done = _run(*command)
    complaints = [line for line in done.stdout.splitlines() if line and not silent.fullmatch(line)]
    return Verdict(done.returncode == 0 and not complaints, f"{done.stdout}exit code {done.returncode}")


def _must(*command: str, now: int | None = None) -> str:
    done = _run(*command, now=now)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def _run(name: str, *arguments: str, now: int | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_program(name) or name, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C", **({} if now is None else {"E2FSPROGS_FAKE_TIME": str(now)})},
        encoding="utf-8",
        errors="surrogateescape",
        timeout=_SECONDS,
        check=False,
    )


def _program(name: str) -> str | None:
    """Where a program is; those of administrators are not on everybody's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
