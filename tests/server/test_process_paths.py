"""Paths of a process, over two mounts: links, dots, jails, mount points (specification: vfs 3)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.system import DRIVERS, System, failure

CREATE = os.O_CREAT | os.O_WRONLY


@pytest.fixture(params=DRIVERS, ids=lambda driver: driver.__name__)
def system(request: pytest.FixtureRequest) -> Iterator[System]:
    system = System(request.param)
    yield system
    system.finish()


def write(p: Any, path: bytes, data: bytes = b"data", flags: int = CREATE, mode: int = 0o666) -> None:
    fd = p.open(path, flags, mode)
    p.write(fd, data)
    p.close(fd)


def read(p: Any, path: bytes) -> bytes:
    fd = p.open(path, os.O_RDONLY)
    try:
        return bytes(p.read(fd, 1000))
    finally:
        p.close(fd)


@pytest.fixture
def p(system: System) -> Any:
    """A process in a tree with files and links on both mounts; each file contains its own path."""
    p = system.root
    for path in (b"/a", b"/a/b", b"/home/u", b"/home/u/deep"):
        p.mkdir(path)
    for path in (b"/f", b"/a/f", b"/a/b/f", b"/home/f", b"/home/u/f"):
        write(p, path, path)
    for target, path in LINKS.items():
        p.symlink(path, target)
    return p


LINKS = {
    b"/abs": b"/a/f",
    b"/rel": b"a/f",
    b"/a/up": b"../f",
    b"/dir": b"a/b",
    b"/absdir": b"/a/b",
    b"/slashed": b"a/b/",
    b"/into": b"home/u",
    b"/absinto": b"/home/u",
    b"/home/out": b"/a/b",
    b"/home/relout": b"../a/b",
    b"/home/u/way": b"../../home/relout/../up",
    b"/a/b/zigzag": b"/into/../relout/../../absinto/f",
    b"/self": b"self",
    b"/one": b"two",
    b"/two": b"/one",
    b"/rootloop": b"/home/loop",
    b"/home/loop": b"../rootloop",
    b"/through": b"f/x",
}

FOUND = {
    b"/f": b"/f",
    b"//a///f": b"/a/f",
    b"/./a/./f": b"/a/f",
    b"/../../f": b"/f",
    b"/a/../a/b/../f": b"/a/f",
    b"/home/f": b"/home/f",
    b"/home/./u/f": b"/home/u/f",
    b"/home/..//f": b"/f",
    b"/home/u/../../a/f": b"/a/f",
    b"/home/../home/../home/f": b"/home/f",
    b"/abs": b"/a/f",
    b"/rel": b"/a/f",
    b"/a/up": b"/f",
    b"/dir/f": b"/a/b/f",
    b"/absdir/f": b"/a/b/f",
    b"/slashed/f": b"/a/b/f",
    b"/into/f": b"/home/u/f",
    b"/into/../f": b"/home/f",
    b"/absinto/../../f": b"/f",
    b"/home/out/f": b"/a/b/f",
    b"/home/out/../f": b"/a/f",
    b"/home/relout/f": b"/a/b/f",
    b"/home/u/way": b"/f",
    b"/a/b/zigzag": b"/home/u/f",
    b"f": b"/f",
    b"home/u/f": b"/home/u/f",
}

FAILING = {
    b"": "ENOENT",
    b"/none": "ENOENT",
    b"/none/f": "ENOENT",
    b"/f/": "ENOTDIR",
    b"/f/.": "ENOTDIR",
    b"/f/x": "ENOTDIR",
    b"/f/..": "ENOTDIR",
    b"/abs/x": "ENOTDIR",
    b"/through": "ENOTDIR",
    b"/self": "ELOOP",
    b"/one": "ELOOP",
    b"/two/x": "ELOOP",
    b"/home/loop": "ELOOP",
    b"/rootloop": "ELOOP",
    b"/" + b"n" * 61: "ENAMETOOLONG",
    b"/a/" + b"n" * 300 + b"/f": "ENAMETOOLONG",
    b"/" * 1024: "ENAMETOOLONG",
}


def test_where_paths_lead(p: Any) -> None:
    for path, expected in FOUND.items():
        assert read(p, path) == expected, path
        if not path.startswith(b"/"):
            continue
        p.chdir(b"/home/u")
        assert read(p, path) == expected, path  # absolute: from wherever
        p.chdir(b"/")


def test_relative_paths_cross_mounts(p: Any) -> None:
    p.chdir(b"/home/u")
    for path, expected in {
        b"f": b"/home/u/f",
        b"../f": b"/home/f",
        b"../../f": b"/f",
        b"../../../../a/f": b"/a/f",
        b"../../home/u/f": b"/home/u/f",
        b"../relout/f": b"/a/b/f",
    }.items():
        assert read(p, path) == expected, path
    p.chdir(b"..")
    assert read(p, b"f") == b"/home/f"
    p.chdir(b"..")
    assert read(p, b"f") == b"/f"


def test_paths_that_lead_nowhere(p: Any) -> None:
    for path, error in FAILING.items():
        assert failure(p.stat, path) == error, path
        assert failure(p.open, path, os.O_RDONLY) == error, path
        assert failure(p.chdir, path) == error, path
        if not path.startswith((b"/f", b"/none", b"/through")) and len(path) < 1000:
            assert failure(p.open, path, CREATE) == error, path


def test_the_longest_path(p: Any) -> None:
    assert p.stat(b"/" * 1022 + b"f").size == 2
    assert failure(p.stat, b"/" * 1023 + b"f") == "ENAMETOOLONG"
    assert failure(p.open, b"/" * 1023 + b"x", CREATE) == "ENAMETOOLONG"
    write(p, b"/" + b"n" * 60)
    assert failure(p.open, b"/" + b"n" * 61, CREATE) == "ENAMETOOLONG"
    assert failure(p.mkdir, b"/" + b"n" * 256) == "ENAMETOOLONG"


def test_a_link_at_the_end(p: Any) -> None:
    assert p.lstat(b"/abs").mode & 0o170000 == 0o120000
    assert p.lstat(b"/dir/").mode & 0o170000 == 0o040000  # a slash follows it
    assert p.readlink(b"/home/out") == b"/a/b"
    assert failure(p.readlink, b"/f") == "EINVAL"
    assert failure(p.readlink, b"/dir/") == "EINVAL"
    assert failure(p.open, b"/abs", os.O_RDONLY | os.O_NOFOLLOW) == "ELOOP"
    assert failure(p.open, b"/abs", CREATE | os.O_NOFOLLOW) == "ELOOP"
    p.unlink(b"/abs")
    assert p.stat(b"/a/f").nlink == 1


@pytest.mark.parametrize("across", [False, True])
def test_sixteen_links_are_followed(p: Any, across: bool) -> None:
    p.symlink(b"/home/f" if across else b"f", b"/l0")
    for number in range(1, 20):
        previous = b"l%d" % (number - 1)
        p.symlink(b"/home/../" + previous if across else previous, b"/l%d" % number)
    assert p.stat(b"/l15").size
    assert failure(p.stat, b"/l16") == "ELOOP"
    assert failure(p.open, b"/l15", CREATE) == ""
    assert failure(p.open, b"/l17", CREATE) == "ELOOP"


# ---- creating --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "made"),
    [
        (b"new", b"/a/new"),
        (b"b/new", b"/a/b/new"),
        (b"../new", b"/new"),
        (b"/new", b"/new"),
        (b"/home/new", b"/home/new"),
        (b"../home/u/new", b"/home/u/new"),
        (b"../home/relout/new", b"/a/b/new"),
    ],
)
def test_creating_through_a_dangling_link(p: Any, target: bytes, made: bytes) -> None:
    p.symlink(target, b"/a/link")
    p.symlink(b"/a/link", b"/home/again")
    assert failure(p.open, b"/home/again", os.O_RDONLY) == "ENOENT"
    assert failure(p.open, b"/home/again", CREATE | os.O_EXCL) == "EEXIST"
    assert failure(p.stat, made) == "ENOENT"
    write(p, b"/home/again", b"made")
    assert read(p, made) == b"made"
    assert p.lstat(b"/a/link").mode & 0o170000 == 0o120000
    assert failure(p.open, b"/a/link", CREATE | os.O_EXCL) == "EEXIST"


def test_creating_where_it_cannot_be(p: Any) -> None:
    p.symlink(b"/none/new", b"/nowhere")
    p.symlink(b"/f/new", b"/under")
    for path, error in [(b"/nowhere", "ENOENT"), (b"/under", "ENOTDIR"), (b"/self", "ELOOP"), (b"/one", "ELOOP")]:
        assert failure(p.open, path, CREATE) == error
    for path in (b"/", b"/a", b"/dir", b".", b"/a/..", b"/absinto", b"/home", b"home", b"/home/", b"/home/..", b".."):
        assert failure(p.open, path, CREATE) == "EISDIR", path
        assert failure(p.open, path, os.O_CREAT | os.O_RDONLY) == "EISDIR", path
    for path in (b"/", b"/a", b"/dir", b"/f", b"/rel", b"home", b"/none/.."):
        expected = "ENOENT" if path == b"/none/.." else "EEXIST"
        assert failure(p.open, path, CREATE | os.O_EXCL) == expected, path
        assert failure(p.mkdir, path) == expected, path
        assert failure(p.mknod, path, 0o010644) == expected, path
        assert failure(p.symlink, b"x", path) == expected, path
        assert failure(p.link, b"/a/f", path) == ("EXDEV" if path == b"home" else expected), path


def test_slashes_after_a_new_name_are_ignored(p: Any) -> None:
    """As MINIX strips them (3.4), for whatever is made."""
    p.mkdir(b"/made///")
    p.rename(b"/made/", b"/renamed//")
    p.rmdir(b"/renamed/")
    assert failure(p.stat, b"/renamed") == "ENOENT"


# ---- jails -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def jail(system: System, p: Any) -> Any:
    """A process whose root and working directory are /home/u."""
    jailed = system.fork(p)
    jailed.chdir(b"/home/u")
    jailed.chroot(b".")
    return jailed


def test_a_jail_has_no_way_out(p: Any, jail: Any) -> None:
    p.symlink(b"/f", b"/home/u/link")
    p.symlink(b"/../../f", b"/home/u/dotted")
    p.symlink(b"../../f", b"/home/u/deep/up")
    for path in (b"/f", b"/../f", b"../../f", b"/deep/../../f", b"/link", b"/dotted", b"/deep/up", b"//..//..//f"):
        assert read(jail, path) == b"/home/u/f", path
    assert failure(jail.stat, b"/home") == "ENOENT"
    assert failure(jail.stat, b"../out") == "ENOENT"
    for path in (b"..", b"/..", b"/deep/../.."):
        assert jail.stat(path).ino == p.stat(b"/home/u").ino
        assert failure(jail.open, path, CREATE) == "EISDIR"
    write(jail, b"../made", b"inside")
    assert read(p, b"/home/u/made") == b"inside"
    jail.mkdir(b"/../../dir")
    assert p.stat(b"/home/u/dir")
    jail.chdir(b"/deep")
    jail.chroot(b"..")
    assert read(jail, b"/f") == b"/home/u/f"


def test_a_jail_at_the_root_of_a_mount(system: System, p: Any) -> None:
    jail = system.fork(p)
    jail.chroot(b"/home")
    jail.chdir(b"/")
    assert read(jail, b"/../f") == b"/home/f"
    assert read(jail, b"../../f") == b"/home/f"
    assert failure(jail.stat, b"/loop") == "ENOENT"  # ../rootloop, which is not in here


def test_a_jail_stops_only_at_its_own_root(system: System, p: Any) -> None:
    """D4: another mount's inode of the same number is an ordinary directory."""
    jail = system.fork(p)
    p.mkdir(b"/a/twin")
    number = p.stat(b"/a/twin").ino
    p.mkdir(b"/home/jail")
    while p.stat(b"/home/jail").ino < number:
        p.rename(b"/home/jail", b"/home/other%d" % p.stat(b"/home/jail").ino)
        p.mkdir(b"/home/jail")
    assert p.stat(b"/home/jail").ino == number
    write(p, b"/home/jail/f", b"jail")
    jail.chdir(b"/a/twin")
    jail.chroot(b"/home/jail")
    assert read(jail, b"../f") == b"/a/f"
    assert read(jail, b"/../f") == b"jail"


def test_only_the_super_user_makes_jails(system: System, p: Any) -> None:
    assert failure(system.process(uid=7).chroot, b"/home") == "EPERM"
    assert failure(p.chroot, b"/f") == "ENOTDIR"
    assert failure(p.chroot, b"/none") == "ENOENT"


# ---- mount points ----------------------------------------------------------------------------------------------------


def test_what_crosses_mounts(system: System, p: Any) -> None:
    for old, new in [(b"/f", b"/home/new"), (b"/home/f", b"/new"), (b"/a", b"/home/new"), (b"/home", b"/new")]:
        assert failure(p.rename, old, new) == "EXDEV"
        if old != b"/a":
            assert failure(p.link, old, new) == "EXDEV"
    assert failure(p.rename, b"/a", b"/home") == "EXDEV"
    user = system.process(uid=7)
    assert failure(user.rename, b"/f", b"/home/new") == "EACCES"  # which wins
    assert failure(user.link, b"/f", b"/home/new") == "EACCES"
    p.rename(b"/home/u/f", b"/home/../home/moved")
    assert read(p, b"/home/moved") == b"/home/u/f"


def test_a_mount_point_cannot_be_removed(system: System, p: Any) -> None:
    assert failure(p.rmdir, b"/home") == "EINVAL"  # the name is a dot by then
    assert failure(p.unlink, b"/home") == "EPERM"
    assert failure(p.rmdir, b"/") == "EINVAL"
    p.rmdir(b"/home/u/deep")


def test_busy_mounts(system: System, p: Any) -> None:
    fd = p.open(b"/home/f", os.O_RDONLY)
    assert failure(system.unmount, b"/home") == "EBUSY"
    p.close(fd)
    p.chdir(b"/home/u")
    assert failure(system.unmount, b"/home") == "EBUSY"
    p.chdir(b"../..")
    system.unmount(b"/home")
    assert failure(p.stat, b"/home/f") == "ENOENT"
    write(p, b"/home/covered")
    fd = p.open(b"/home", os.O_RDONLY)
    assert failure(system.mount, b"/home") == "EBUSY"
    p.close(fd)
    system.mount(b"/home")
    assert read(p, b"/home/f") == b"/home/f"
    assert failure(p.stat, b"/home/covered") == "ENOENT"


def test_the_directory_above_shows_the_covered_name(p: Any) -> None:
    fd = p.open(b"/", os.O_RDONLY)
    assert b"home" in [entry.name for entry in p.getdents(fd, 100)]
    assert p.stat(b"/home/..").ino == p.stat(b"/").ino
    assert p.statvfs(b"/home").fsid != p.statvfs(b"/home/..").fsid
