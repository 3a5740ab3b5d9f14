"""Loop mounts of image files, through the kernel's own drivers: what our mounts are measured by.

Entry points: `why_not()` says why this machine cannot do it; `make_ext2` and `check_ext2` wrap e2fsprogs;
`mounted(image, ...)` is the mount as a context manager. Every command has a timeout, and the mount and the
loop device are gone when the block is left, by a lazy unmount if a proper one fails (an error of the block
then).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 30


def why_not() -> str | None:
    """The reason why nothing can be loop-mounted here, or None if it can."""
    if os.geteuid() != 0:
        return "loop mounts need root"
    if not os.path.exists("/dev/loop-control"):
        return "no loop devices (/dev/loop-control)"
    missing = [tool for tool in ("losetup", "mount", "umount", "mke2fs", "e2fsck") if not _tool(tool)]
    return f"missing: {', '.join(missing)}" if missing else None


def make_ext2(image: Path, size: int, *options: str) -> None:
    """A fresh ext2 file system of `size` bytes in `image`, made by mke2fs with more `options`."""
    with open(image, "wb") as file:
        file.truncate(size)
    run("mke2fs", "-q", "-F", "-t", "ext2", *options, str(image))


def check_ext2(image: Path) -> str:
    """e2fsck's complaints about an unmounted `image`, changing nothing; empty if it is clean."""
    done = subprocess.run(
        [_tool("e2fsck"), "-fn", str(image)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
        text=True,
    )
    return done.stdout if done.returncode else ""


@contextmanager
def mounted(image: Path, fstype: str, options: str = "") -> Iterator[Path]:
    """Mount `image` and give the mount point, which any user can reach; OSError if the kernel refuses it."""
    point = Path(tempfile.mkdtemp(prefix="loop-"))
    point.chmod(0o755)
    try:
        device = run("losetup", "--find", "--show", str(image)).strip()
        try:
            run("mount", "-t", fstype, *(["-o", options] if options else []), device, str(point))
            try:
                yield point
            finally:
                _unmount(point)
        finally:
            run("losetup", "--detach", device)
    finally:
        point.rmdir()


def run(tool: str, *arguments: str) -> str:
    """Run a system tool and return its output; OSError with its message if it fails or takes too long."""
    try:
        done = subprocess.run(
            [_tool(tool), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
            text=True,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{tool} took more than {SECONDS} s") from error
    if done.returncode:
        raise OSError(f"{tool} {' '.join(arguments)}: exit code {done.returncode}: {done.stdout.strip()}")
    return done.stdout


def _unmount(point: Path) -> None:
    try:
        run("umount", str(point))
    except OSError:
        run("umount", "-l", str(point))
        raise


def _tool(name: str) -> str:
    """Path of a system tool ("" if there is none), which an ordinary PATH may leave out."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or ""
