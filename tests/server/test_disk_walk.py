"""The path walk of a file server (specification: file systems, 5.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from minixfs.errors import (
    AccessDenied,
    Busy,
    InvalidArgument,
    NameTooLong,
    NotDirectory,
    NotFound,
    TooManySymlinks,
)
from minixfs.fs.protocol import SUPER_USER, AbsoluteSymlink, Credentials, EnterMount, LeaveMount, Node
from tests.support.volumes import DISKS, KINDS, Served, fresh


@pytest.fixture(params=["V3-1K", "ext2-1K"])
def fs(request: pytest.FixtureRequest) -> Iterator[Served]:
    served = Served(fresh(DISKS[request.param]), is_root=False)
    served.make_directory(b"d")
    served.make_directory(b"d/e")
    served.make_file(b"d/e/f", b"12345", 0o640)
    served.symlink(served.root, b"rel", b"d/e", 0, 0)
    served.symlink(served.root, b"abs", b"/x/y", 0, 0)
    served.symlink(served.root, b"loop", b"loop", 0, 0)
    served.symlink(served.root, b"nowhere", b"missing", 0, 0)
    yield served
    served.check()
    served.unmount()


def walk(fs: Served, path: bytes, start: bytes = b"", root: int = 0, who: Credentials = SUPER_USER, *,
         follow: bool = True) -> Any:  # fmt: skip
    """A walk whose reference is given back at once."""
    with fs.at(start) as ino:
        result = fs.lookup(ino, root, path, who, follow=follow)
    if isinstance(result, Node):
        fs.putnode(result.ino, 1)
    return result


def number(fs: Served, path: bytes) -> int:
    with fs.at(path) as ino:
        return ino


def test_a_path_leads_to_a_node(fs: Served) -> None:
    node = walk(fs, b"d/e/f")
    assert (node.mode, node.size, node.uid, node.gid, node.rdev) == (0o100640, 5, 0, 0, None)
    assert walk(fs, b"//d///e//f").ino == node.ino
    assert walk(fs, b"f", b"d/e").ino == node.ino
    assert walk(fs, b"").ino == walk(fs, b"/").ino == walk(fs, b".").ino == fs.root
    assert walk(fs, b"", b"d").ino == number(fs, b"d")


def test_dots(fs: Served) -> None:
    assert walk(fs, b"./d/./e/../.").ino == number(fs, b"d")
    assert walk(fs, b"..", b"d").ino == fs.root


def test_a_trailing_slash_means_dot(fs: Served) -> None:
    assert walk(fs, b"d/e/").ino == number(fs, b"d/e")
    with pytest.raises(NotDirectory):
        walk(fs, b"d/e/f/")
    assert walk(fs, b"rel/", follow=False).ino == number(fs, b"d/e")


@pytest.mark.parametrize(
    ("path", "error"),
    [
        (b"x", NotFound),
        (b"d/x/f", NotFound),
        (b"d/e/f/g", NotDirectory),
        (b"d/e/f/..", NotDirectory),
        (b"n" * 256, NameTooLong),
        (b"a/" * 600, NameTooLong),
        (b"loop", TooManySymlinks),
        (b"nowhere", NotFound),
        (b"d/" + b"n" * 256 + b"/x", NameTooLong),
    ],
)
def test_errors(fs: Served, path: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        walk(fs, path)


def test_symlinks_are_followed_and_counted(fs: Served) -> None:
    assert walk(fs, b"rel/f").ino == number(fs, b"d/e/f")
    assert walk(fs, b"rel").ino == number(fs, b"d/e")
    assert walk(fs, b"rel", follow=False).mode & 0o170000 == 0o120000
    assert walk(fs, b"loop", follow=False).size == 4


def test_sixteen_symlinks_are_allowed(fs: Served) -> None:
    fs.symlink(fs.root, b"s0", b"d", 0, 0)
    for index in range(1, 17):
        fs.symlink(fs.root, b"s%d" % index, b"s%d" % (index - 1), 0, 0)
    assert walk(fs, b"s15").ino == number(fs, b"d")
    with pytest.raises(TooManySymlinks):
        walk(fs, b"s16")


def test_an_absolute_symlink_goes_back_to_vfs(fs: Served) -> None:
    """ESYMLINK: the rest is the text and what followed; no reference is kept."""
    assert walk(fs, b"abs/z/q") == AbsoluteSymlink(b"/x/y/z/q", 1)
    fs.symlink(fs.root, b"to-abs", b"d/../abs", 0, 0)
    assert walk(fs, b"to-abs/k") == AbsoluteSymlink(b"/x/y/k", 2)
    assert walk(fs, b"abs") == AbsoluteSymlink(b"/x/y", 1)


def test_a_path_may_not_grow_beyond_its_limit(fs: Served) -> None:
    fs.symlink(fs.root, b"long", b"d/" * 500, 0, 0)
    with pytest.raises(NameTooLong):
        walk(fs, b"long/" + b"e/" * 50)


def test_a_mount_point_ends_the_walk(fs: Served) -> None:
    """EENTERMOUNT at the mount point, for the path that is left."""
    d = fs.find(b"d")
    fs.mountpoint(d.ino)
    assert walk(fs, b"d") == EnterMount(b"", 0, d.ino)
    assert walk(fs, b"d/e/f") == EnterMount(b"e/f", 0, d.ino)
    assert walk(fs, b"d/") == EnterMount(b".", 0, d.ino)
    assert walk(fs, b"rel/f") == EnterMount(b"e/f", 1, d.ino)
    with pytest.raises(Busy):
        fs.mountpoint(d.ino)
    fs.putnode(d.ino, 1)
    assert walk(fs, b"d/e").ino, "the mark goes with the last reference"


def test_coming_back_from_above_a_mount_point(fs: Served) -> None:
    """The first component is taken as '..' and needs no permission."""
    d = fs.find(b"d")
    fs.chmod(d.ino, 0)
    fs.mountpoint(d.ino)
    result = fs.lookup(d.ino, 0, b"../rel", Credentials(5, 5), follow=False)
    assert isinstance(result, Node)
    fs.putnode(result.ino, 1)
    fs.putnode(d.ino, 1)


def test_leaving_through_the_root(fs: Served) -> None:
    """ELEAVEMOUNT; at the process's root '..' stays."""
    assert walk(fs, b"../a/b") == LeaveMount(b"../a/b", 0)
    assert walk(fs, b"d/../../a") == LeaveMount(b"../a", 0)
    assert walk(fs, b"rel/../../..") == LeaveMount(b"..", 1)
    assert walk(fs, b"../d", root=fs.root).ino == number(fs, b"d")
    d = number(fs, b"d")
    assert walk(fs, b"e/../..", b"d", root=d).ino == d


def test_the_root_file_system_is_its_own_parent() -> None:
    fs = Served(fresh(KINDS["V3-1K"]), is_root=True)
    fs.make_directory(b"d")
    assert fs.find(b"../../d").ino == fs.find(b"d").ino


def test_search_permission(fs: Served) -> None:
    with fs.at(b"d/e") as ino:
        fs.chown(ino, 10, 20)
        for mode, who, allowed in (
            (0o700, Credentials(10, 0), True),
            (0o700, Credentials(11, 20), False),
            (0o710, Credentials(11, 20), True),
            (0o710, Credentials(11, 1, frozenset({3, 20})), True),
            (0o701, Credentials(11, 20), False),
            (0o701, Credentials(11, 1), True),
            (0o077, Credentials(10, 20), False),
            (0o000, Credentials(0, 0), True),
        ):
            fs.chmod(ino, mode)
            if allowed:
                assert walk(fs, b"d/e/f", who=who).size == 5
            else:
                for path in (b"d/e/f", b"d/e/.", b"d/e/.."):
                    with pytest.raises(AccessDenied):
                        walk(fs, path, who=who)
                assert walk(fs, b"d/e", who=who).ino == ino, "only what is searched needs permission"


def test_a_removed_directory_leads_nowhere(fs: Served) -> None:
    fs.make_directory(b"gone")
    node = fs.find(b"gone")
    fs.rmdir(fs.root, b"gone")
    for path in (b"", b"..", b"x"):
        with pytest.raises(NotFound):
            fs.lookup(node.ino, 0, path, SUPER_USER, follow=True)
    with pytest.raises(NotFound):
        fs.lookup_entry(node.ino, b"..")
    with pytest.raises(NotFound):
        fs.create(node.ino, b"x", 0o644, 0, 0)
    assert fs.getdents(node.ino, 0, 10) == []
    fs.putnode(node.ino, 1)


def test_one_entry_is_looked_up_without_crossing_anything(fs: Served) -> None:
    d = fs.find(b"d")
    fs.mountpoint(d.ino)
    for name, mode in ((b"d", 0o040755), (b"abs", 0o120777)):
        node = fs.lookup_entry(fs.root, name)
        assert node.mode == mode
        fs.putnode(node.ino, 1)
        node, status = fs.lookup_stat(fs.root, name)
        assert (node.mode, status) == (mode, fs.stat(node.ino))
        fs.putnode(node.ino, 1)
    for lookup in (fs.lookup_entry, fs.lookup_stat):
        with pytest.raises(NotFound):
            lookup(fs.root, b"x")
    with fs.at(b"rel") as link:
        with pytest.raises(NotDirectory):
            fs.lookup_entry(link, b"x")
        assert fs.readlink(link) == b"d/e"
    with pytest.raises(InvalidArgument):
        fs.readlink(fs.root)
    fs.putnode(d.ino, 1)


def test_device_nodes_carry_their_number_and_new_files_none(fs: Served) -> None:
    """FS-27."""
    fs.mknod(fs.root, b"disk", 0o060600, 0, 0, 0x0302)
    node = walk(fs, b"disk")
    assert node.rdev == 0x0302
    made = fs.create(fs.root, b"new", 0o644, 0, 0)
    assert made.rdev is None
    fs.putnode(made.ino, 1)
    with fs.at(b"disk") as ino:
        with pytest.raises(NotDirectory):
            fs.mountpoint(ino)
