"""Directory blocks: the order to write them in always exists, and what was there before never shows."""

from __future__ import annotations

import pytest

from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.blockdev.recorder import Recorder
from tests.support.volumes import DISKS, Served, copy, fresh, repair, verify


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["V3-4K", "ext2-4K"])
def test_a_name_moves_over_one_that_was_just_linked_elsewhere(kind: str) -> None:
    """The link's block comes first, then the target's: by the commit between them, for the move wants the reverse."""
    disk = fresh(DISKS[kind])
    fs = Served(disk)
    fs.make_directory(b"b")
    fs.make_file(b"a", b"linked")
    fs.make_file(b"b/y", b"moved")
    fs.sync()
    with fs.at(b"a") as ino, fs.at(b"b") as directory:
        fs.link(ino, directory, b"x")
    with fs.at(b"b") as source, fs.at(b"") as target:
        fs.rename(source, b"y", target, b"a")
    fs.sync()
    assert fs.tree() == {b"/a": b"moved", b"/b": None, b"/b/x": b"linked"}
    fs.check()
    fs.unmount()
    verify(disk)


@pytest.mark.parametrize("kind", ["V3-4K", "V3-4K-zones-of-4", "ext2-4K"])
def test_what_was_in_a_new_directory_block_is_never_taken_for_entries(kind: str) -> None:
    """Its zone held a directory's entries before; they are gone from the disk before an inode leads to it."""
    disk = fresh(DISKS[kind])
    before = copy(disk).snapshot()
    recorder = Recorder(disk)
    fs = Served(recorder)
    fs.make_directory(b"old")
    for number in range(100):
        fs.make_file(b"old/ghost%d" % number)
    fs.sync()
    block = fs.server.volume.block_size
    image = disk.snapshot()
    at = image.index(b"ghost5") // block * block
    fs.make_file(b"file", image[at : at + block] * (fs.statvfs().bfree - 40))
    fs.unlink(fs.root, b"file")
    fs.sync()
    start = len(recorder.log)
    fs.make_directory(b"new")
    fs.make_file(b"new/child")
    fs.sync()
    for count in range(start, len(recorder.log) + 1):
        cut = RamDisk(recorder.replay(before, count))
        found = Served(repair(cut)).tree()
        assert not [path for path in found if b"ghost" in path and not path.startswith(b"/old/")], found
    fs.check()
