"""The kernel's side of a mount: what /proc says about it, and taking it away."""

from __future__ import annotations

import ctypes
import os
import re
from contextlib import suppress
from typing import NamedTuple

from minixfs.errors import UsageError

FSTYPE = "fuse.minixfs"
READ_AHEAD_KB = 1024
"""Eight times the kernel's own choice: a request to us costs more than one to a disk, so it should carry more."""
_LIBC = ctypes.CDLL(None, use_errno=True)
_MNT_DETACH = 2


class KernelMount(NamedTuple):
    """One line of /proc/self/mountinfo. `device` is "major:minor", unique to the mount while it lives.

    `user` is who mounted it, where the file system says so (FUSE does), else root.
    """

    device: str
    path: str
    fstype: str
    source: str
    user: int = 0


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def mounts() -> list[KernelMount]:
    """All mounts of this name space, the newest last."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            before, _, after = line.partition(" - ")
            fields, (fstype, source, *words) = before.split(), after.split()
            user = re.search(r"user_id=(\d+)", " ".join(words))
            uid = int(user[1]) if user else 0
            found.append(KernelMount(fields[2], _unescape(fields[4]), fstype, _unescape(source), uid))
    return found


def find(path: str) -> KernelMount | None:
    """The topmost mount on exactly this directory. Does not touch the mount itself, which may hang."""
    wanted = os.path.normpath(
        os.path.join(os.path.realpath(os.path.dirname(os.path.abspath(path))), os.path.basename(path))
    )
    return next((mount for mount in reversed(mounts()) if mount.path in (wanted, os.path.abspath(path))), None)


def raise_read_ahead(device: str) -> None:
    """Let the kernel read `READ_AHEAD_KB` ahead on the mount with this device number; only root may say so."""
    with suppress(OSError), open(f"/sys/class/bdi/{device}/read_ahead_kb", "w", encoding="ascii") as setting:
        setting.write(str(READ_AHEAD_KB))


def sync(path: str) -> None:
    """Have the kernel write back what it holds dirty for the file system at `path` (syncfs(2)). Blocks."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _LIBC.syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)


def unmount(path: str, *, lazy: bool = False) -> None:
    """Unmount as root or, through fusermount3, as the user who mounted. Raises UsageError with the reason. Blocks."""
    if os.geteuid() == 0:
        if _LIBC.umount2(os.fsencode(path), _MNT_DETACH if lazy else 0):
            number = ctypes.get_errno()
            raise UsageError(f"{path}: {os.strerror(number)}", 32)
        return
    import shutil  # all this is slow to load, and not for root
    import subprocess

    helper = shutil.which("fusermount3") or shutil.which("fusermount")
    if helper is None:
        raise UsageError("fusermount3 is not installed; it is in the package fuse3", 32)
    command = [helper, "-u", *(["-z"] if lazy else []), path]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise UsageError(result.stderr.strip() or f"{path}: unmounting failed", 32)
