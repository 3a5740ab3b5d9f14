"""Extended attributes and access lists of a mounted ext2 volume, as users meet them."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from tests.mounted.conftest import Mounted
from tests.support import mounts
from tests.support.mounts import Mount
from tests.support.users import start, users

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
EXT2 = {"ext2": "-b 4096"}
NONE = 0xFFFFFFFF


def access_list(user: int, permissions: int, mask: int = 7) -> bytes:
    """All for the owner, `permissions` for one user, nothing for others."""
    entries = ((1, 7, NONE), (2, permissions, user), (4, 0, NONE), (0x10, mask, NONE), (0x20, 0, NONE))
    return struct.pack("<L", 2) + b"".join(struct.pack("<HHL", *entry) for entry in entries)


@pytest.fixture(autouse=True)
def _needs_root() -> None:
    if os.geteuid():
        pytest.skip("needs root, to be several users")


def test_attributes_are_kept_over_a_mount(mounted: Mounted) -> None:
    mount = mounted(**EXT2)
    path = mount.path / "file"
    path.write_bytes(b"data")
    values = {"user.a": b"1", "user.empty": b"", "trusted.t": bytes(range(256)), "security.s": b"x" * 900}
    for name, value in values.items():
        os.setxattr(path, name, value)
    for _ in range(2):
        assert {name: os.getxattr(path, name) for name in os.listxattr(path)} == values
        mount.remount()
    with pytest.raises(OSError, match="exists"):
        os.setxattr(path, "user.a", b"2", os.XATTR_CREATE)
    with pytest.raises(OSError) as caught:
        os.setxattr(path, "user.b", b"2", os.XATTR_REPLACE)
    assert caught.value.errno == errno.ENODATA
    os.removexattr(path, "user.a")
    assert sorted(os.listxattr(path)) == ["security.s", "trusted.t", "user.empty"]
    path.unlink()


@pytest.mark.parametrize("words", [(), ("allow_other",)], ids=["root alone", "all"])
def test_the_mode_follows_the_access_list(mounted: Mounted, words: tuple[str, ...]) -> None:
    path = mounted(*words, **EXT2).path / "file"
    path.write_bytes(b"data")
    path.chmod(0o644)
    os.setxattr(path, ACCESS, access_list(1, 4, mask=6))
    assert path.stat().st_mode & 0o777 == 0o760
    path.chmod(0o740)
    assert os.getxattr(path, ACCESS) == access_list(1, 4, mask=4)
    os.removexattr(path, ACCESS)
    assert ACCESS not in os.listxattr(path)


@pytest.mark.parametrize("words", [(), ("allow_other",)], ids=["root alone", "all"])
def test_an_access_list_for_new_objects_takes_the_place_of_the_umask(mounted: Mounted, words: tuple[str, ...]) -> None:
    root = mounted(*words, **EXT2).path
    before = os.umask(0o077)
    try:
        (root / "plain").write_bytes(b"")
        (root / "directory").mkdir(0o775)
        os.setxattr(root / "directory", DEFAULT, access_list(1, 6))
        (root / "directory" / "file").write_bytes(b"")
    finally:
        os.umask(before)
    assert (root / "plain").stat().st_mode & 0o777 == 0o600
    assert (root / "directory").stat().st_mode & 0o777 == 0o700
    assert (root / "directory" / "file").stat().st_mode & 0o777 == 0o660


def test_capabilities_go_with_a_write(mounted: Mounted) -> None:
    path = mounted(**EXT2).path / "file"
    path.write_bytes(b"program")
    capability = struct.pack("<5I", 0x02000000, 1, 0, 0, 0)
    with path.open("r+b", buffering=0) as file:
        for _ in range(2):
            os.setxattr(path, "security.capability", capability)
            assert os.getxattr(path, "security.capability") == capability
            file.write(b"other")
            assert "security.capability" not in os.listxattr(path)


def test_the_kernel_enforces_access_lists(mounted: Mounted) -> None:
    mount = mounted("allow_other", **EXT2)
    friend, stranger, _ = users()
    path = mount.path / "file"
    path.write_bytes(b"secret")
    path.chmod(0o600)
    os.setxattr(path, ACCESS, access_list(friend.uid, 4))
    for _ in range(2):
        assert start(path.read_bytes, user=friend).result() == b"secret"
        for user, request in ((friend, lambda: path.write_bytes(b"x")), (stranger, path.read_bytes)):
            with pytest.raises(PermissionError):
                start(request, user=user).result()
        assert path.stat().st_mode & 0o777 == 0o770, "the group's bits are the mask"
        mount.remount()
    path.chmod(0o700)
    with pytest.raises(PermissionError):
        start(path.read_bytes, user=friend).result()
    path.chmod(0o770)
    assert start(path.read_bytes, user=friend).result() == b"secret"
    os.removexattr(path, ACCESS)
    with pytest.raises(PermissionError):
        start(path.read_bytes, user=friend).result()


def test_default_lists_are_inherited(mounted: Mounted) -> None:
    """They replace the umask."""
    mount = mounted("allow_other", **EXT2)
    friend, stranger, _ = users()
    directory = mount.path / "d"
    directory.mkdir()
    os.setxattr(directory, DEFAULT, access_list(friend.uid, 6))
    os.setxattr(directory, ACCESS, access_list(friend.uid, 7))
    before = os.umask(0o077)
    try:
        (directory / "file").write_bytes(b"data")
        (directory / "sub").mkdir()
    finally:
        os.umask(before)
    assert (directory / "file").stat().st_mode & 0o777 == 0o660
    assert start((directory / "file").read_bytes, user=friend).result() == b"data"
    with pytest.raises(PermissionError):
        start((directory / "file").read_bytes, user=stranger).result()
    assert os.getxattr(directory / "sub", DEFAULT) == access_list(friend.uid, 6)


def test_what_must_be_there_or_not(mounted: Mounted) -> None:
    path = mounted(**EXT2).path / "file"
    path.touch()
    with pytest.raises(OSError, match=os.strerror(errno.ENODATA)):
        os.setxattr(path, "user.a", b"b", os.XATTR_REPLACE)
    os.setxattr(path, "user.a", b"b", os.XATTR_CREATE)
    with pytest.raises(FileExistsError):
        os.setxattr(path, "user.a", b"b", os.XATTR_CREATE)
    os.setxattr(path, "user.a", b"c", os.XATTR_REPLACE)
    assert os.getxattr(path, "user.a") == b"c"


def test_without_them_a_mount_says_that_there_are_none(mounted: Mounted) -> None:
    for mount in (mounted(), mounted("noxattr", **EXT2)):
        (mount.path / "file").touch()
        with pytest.raises(OSError) as caught:
            os.setxattr(mount.path / "file", "user.a", b"b")
        assert caught.value.errno == errno.EOPNOTSUPP


def test_a_copy_of_the_superblock_shows_the_files_of_a_volume_that_lost_its_own(tmp_path: Path) -> None:
    image = mounts.make_image(tmp_path / "image", size=40 << 20, ext2="-b 1024")
    with Mount(image) as mount:
        (mount.path / "file").write_bytes(b"data")
    with image.open("r+b") as file:
        file.seek(1024)
        file.write(bytes(1024))
    with Mount(image, "sb=8193", allow=["not cleanly unmounted", "with a copy of the superblock"]) as mount:
        assert (mount.path / "file").read_bytes() == b"data"
        with pytest.raises(OSError, match="Read-only"):
            (mount.path / "other").touch()
