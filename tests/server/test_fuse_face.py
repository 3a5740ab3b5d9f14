"""The FUSE face without a kernel: what it asks the file server for, and what it keeps of the answers."""

from __future__ import annotations

import os
import stat
from types import SimpleNamespace
from typing import Any

import pytest
from pyfuse3 import FUSEError

from minixfs.daemon.fuse import FuseFace
from minixfs.daemon.path import ByPath
from minixfs.daemon.process import Process
from minixfs.daemon.vfs import Vfs
from minixfs.daemon.view import View
from tests.support.fakefs import FakeFs, check, mount, mounted

ROOT = 1
CTX: Any = SimpleNamespace(uid=1, gid=2, pid=3, umask=0)


def asked(fs: FakeFs) -> list[str]:
    """The requests since the last time."""
    names = [request.name for request in fs.requests]
    fs.requests.clear()
    return names


async def finish(face: FuseFace, vfs: Vfs, *servers: FakeFs) -> None:
    await face.close()
    for fs in servers:
        fs.violations = [what for what in fs.violations if "stat" not in what]  # the face asks that without a lock
    check(vfs, *servers)


@pytest.mark.trio
async def test_a_lookup_is_one_request() -> None:
    fs = FakeFs({"f": b"text"})
    vfs = await mounted(fs)
    face = FuseFace(vfs, View())
    asked(fs)
    entry = await face.lookup(ROOT, b"f", CTX)
    assert (entry.st_size, stat.S_IFMT(entry.st_mode)) == (4, stat.S_IFREG)
    assert (await face.lookup(ROOT, b"f", CTX)).st_ino == entry.st_ino
    assert (await face.lookup(ROOT, b"absent", CTX)).st_ino == 0
    assert asked(fs) == ["lookup_stat"] * 3
    await face.forget([(entry.st_ino, 2)])
    assert asked(fs) == ["putnode"]
    await finish(face, vfs, fs)


@pytest.mark.trio
async def test_a_lookup_of_a_mount_point_finds_what_is_mounted_there() -> None:
    fs, below = FakeFs({"home": {}}), FakeFs({"x": b"X"}, mode=0o700)
    vfs = await mounted(fs)
    process = Process(vfs)
    await mount(vfs, below, ByPath(process, b"/home"))
    await process.exit()
    face = FuseFace(vfs, View())
    home = await face.lookup(ROOT, b"home", CTX)
    assert (home.st_ino >> 32, stat.S_IMODE(home.st_mode)) == (1, 0o700)
    assert (await face.lookup(home.st_ino, b"x", CTX)).st_size == 1
    await finish(face, vfs, fs, below)


@pytest.mark.trio
async def test_a_new_file_is_not_looked_up_again() -> None:
    fs = FakeFs({"old": b"text"})
    vfs = await mounted(fs)
    face = FuseFace(vfs, View())
    asked(fs)
    info, entry = await face.create(ROOT, b"new", stat.S_IFREG | 0o640, os.O_RDWR | os.O_EXCL, CTX)
    assert asked(fs) == ["create", "stat"]
    assert (entry.st_uid, entry.st_gid, entry.st_mode) == (1, 2, stat.S_IFREG | 0o640)
    await face.release(info.fh)
    info, entry = await face.create(ROOT, b"old", stat.S_IFREG | 0o640, os.O_RDWR, CTX)
    assert entry.st_size == 4
    await face.release(info.fh)
    with pytest.raises(FUSEError):
        await face.create(ROOT, b"old", stat.S_IFREG | 0o640, os.O_RDWR | os.O_EXCL, CTX)
    await finish(face, vfs, fs)
