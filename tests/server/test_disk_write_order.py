"""The order in which directory blocks are written always exists: no change waits for another in a circle."""

from __future__ import annotations

import pytest

from tests.support.volumes import DISKS, Served, fresh, verify


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
