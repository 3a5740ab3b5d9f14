"""Python API and offline commands on ext2: extended attributes, fine times, large ids and device numbers."""

from __future__ import annotations

import errno
import os
import stat
import struct
from pathlib import Path

import pytest

from minixfs.image.image import Image
from tests.support import peers
from tests.support.command import command
from tests.support.images import new_image

ACCESS = struct.pack("<L" + "HHL" * 5, 2, *(1, 6, 0xFFFFFFFF, 2, 6, 1234, 4, 4, 0xFFFFFFFF), 16, 6, 0xFFFFFFFF,
                     32, 4, 0xFFFFFFFF)  # fmt: skip
"""user::rw-, user:1234:rw-, group::r--, mask::rw-, other::r--"""
BEFORE_1970, AFTER_2038 = -300_000_000_999_999_999, 4_105_310_706_123_456_789


@pytest.fixture
def image(tmp_path: Path) -> Path:
    peers.require("mke2fs", "e2fsck")
    path = tmp_path / "image"
    peers.mke2fs(path, 4 << 20, options=["-I", "256", "-N", "256"])
    return path


def grow(path: Path) -> None:
    """One file of each kind below /top, with all that a file of ext2 can have."""
    with Image(path, "r+") as image:
        image.makedirs("/top/sub")
        image.write_bytes("/top/file", b"data")
        image.link("/top/file", "/top/sub/again")
        image.write_bytes("/top/sparse", b"x")
        image.truncate("/top/sparse", 30 << 20)
        image.symlink("file", "/top/link")
        image.mknod("/top/device", stat.S_IFCHR | 0o600, os.makedev(4000, 1_000_000))
        image.setxattr("/top/file", "user.note", b"small")
        image.setxattr("/top/file", "system.posix_acl_access", ACCESS)
        image.setxattr("/top/sub", "user.large", bytes(range(256)) * 3)
        image.setxattr("/top/link", "trusted.of a link", b"", follow_symlinks=False)
        image.chown("/top/file", 70_000, 80_000)
        for name, time in (("file", BEFORE_1970), ("device", AFTER_2038), ("sub", AFTER_2038 + 1)):
            image.utime(f"/top/{name}", ns=(time, time))


# ---- the Python API ------------------------------------------------------------------------------------------------


def test_extended_attributes_are_those_of_os(image: Path) -> None:
    with Image(image, "r+") as volume:
        volume.write_bytes("/file", b"")
        volume.symlink("file", "/link")
        volume.setxattr("/link", "user.a", b"1")
        volume.setxattr("/link", b"trusted.b", b"2", follow_symlinks=False)
        assert volume.listxattr("/file") == ["user.a"]
        assert volume.listxattr("/link", follow_symlinks=False) == ["trusted.b"]
        assert volume.getxattr(b"/file", "user.a") == b"1"
        volume.setxattr("/file", "user.a", b"x" * 500, os.XATTR_REPLACE)
        for number, call in (
            (errno.EEXIST, lambda: volume.setxattr("/file", "user.a", b"", os.XATTR_CREATE)),
            (errno.ENODATA, lambda: volume.setxattr("/file", "user.b", b"", os.XATTR_REPLACE)),
            (errno.ENODATA, lambda: volume.getxattr("/file", "user.b")),
            (errno.ENODATA, lambda: volume.removexattr("/file", "user.b")),
            (errno.EOPNOTSUPP, lambda: volume.setxattr("/file", "other.a", b"")),
            (errno.EPERM, lambda: volume.setxattr("/link", "user.a", b"", follow_symlinks=False)),
            (errno.ERANGE, lambda: volume.setxattr("/file", "user." + "a" * 255, b"")),
            (errno.ENOENT, lambda: volume.listxattr("/none")),
        ):
            with pytest.raises(OSError) as raised:
                call()
            assert raised.value.errno == number
        volume.removexattr("/file", "user.a")
        assert volume.listxattr("/file") == []
    assert peers.e2fsck(image).clean


def test_formats_without_attributes_say_so(tmp_path: Path) -> None:
    with Image(new_image(tmp_path / "minix"), "r+") as volume:
        assert (volume.type, volume.has_xattrs, volume.granularity) == ("minix", False, 10**9)
        for call in (
            lambda: volume.listxattr("/"),
            lambda: volume.getxattr("/", "user.a"),
            lambda: volume.setxattr("/", "user.a", b""),
            lambda: volume.removexattr("/", "user.a"),
        ):
            with pytest.raises(OSError) as raised:
                call()
            assert raised.value.errno == errno.EOPNOTSUPP


def test_an_access_list_changes_the_mode(image: Path) -> None:
    with Image(image, "r+") as volume:
        volume.write_bytes("/file", b"")
        volume.setxattr("/file", "system.posix_acl_access", ACCESS)
        assert stat.S_IMODE(volume.stat("/file").st_mode) == 0o664


# ---- carrying ------------------------------------------------------------------------------------------------------


def test_a_tree_is_the_same_after_all_ways(image: Path, tmp_path: Path) -> None:
    """Copied within the image, packed and unpacked, and copied by the Python API."""
    grow(image)
    archive = tmp_path / "top.tar"
    for answer in (
        command("cp", "-a", f"{image}:/top", f"{image}:/copied"),
        command("tar", "-cf", archive, f"{image}:/top"),
        command("mkdir", f"{image}:/unpacked"),
        command("tar", "-xf", archive, f"{image}:/unpacked"),
    ):
        assert (answer.code, answer.err) == (0, "")
    with Image(image, "r+") as volume:
        volume.copy("/top", "/copy", owner=True)
    for other in (f"{image}:/copied", archive, f"{image}:/unpacked", f"{image}:/copy"):
        answer = command("diff", "--holes", f"{image}:/top", other)
        assert (answer.code, answer.out) == (0, b""), other
    assert peers.e2fsck(image).clean


def test_out_of_an_image_and_back(image: Path, tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root gives files away")
    grow(image)
    with Image(image, "r+") as volume:
        volume.removexattr("/top/link", "trusted.of a link", follow_symlinks=False)
        volume.removexattr("/top/file", "system.posix_acl_access")
    host = tmp_path / "host"
    host.mkdir()
    assert command("cp", "-a", f"{image}:/top/.", host).err == ""
    try:
        os.setxattr(host, "user.test", b"")
        os.removexattr(host, "user.test")
    except OSError:
        pytest.skip("this host's files have no extended attributes")
    assert os.getxattr(host / "file", "user.note") == b"small"
    assert command("diff", f"{image}:/top", host).out == b""
    assert command("cp", "-a", f"{host}/.", f"{image}:/back").err == ""
    assert command("diff", f"{image}:/top", f"{image}:/back").out == b""
    assert peers.e2fsck(image).clean


def test_what_is_not_kept_is_not_carried(image: Path) -> None:
    grow(image)
    for options, kept in (
        ([], []),
        (["-p"], ["system.posix_acl_access"]),
        (["--preserve=xattr"], ["user.note"]),
        (["-a", "--no-preserve=xattr"], ["system.posix_acl_access"]),
    ):
        assert command("cp", *options, f"{image}:/top/file", f"{image}:/new").code == 0
        with Image(image, "r+") as volume:
            assert volume.listxattr("/new") == kept, options
            volume.remove("/new")


def test_differences_are_told_as_finely_as_both_keep_them(image: Path, tmp_path: Path) -> None:
    with Image(image, "r+") as volume:
        for name, time in (("a", 1_000_000_000_000_000_001), ("b", 1_000_000_000_000_000_002)):
            volume.mkdir(f"/{name}")
            volume.write_bytes(f"/{name}/file", b"")
            volume.setxattr(f"/{name}/file", "user.only" + name, b"1")
            volume.utime(f"/{name}/file", ns=(time, time))
            volume.utime(f"/{name}", ns=(time // 10**9 * 10**9,) * 2)
    assert command("diff", f"{image}:/a", f"{image}:/b").lines == [
        "file: times 1000000000.000000001 != 1000000000.000000002",
        "file: xattrs 'user.onlya=1' != None",
        "file: xattrs None != 'user.onlyb=1'",
    ]
    minix = new_image(tmp_path / "minix")
    assert command("cp", "-a", f"{image}:/a/.", f"{minix}:/").err == ""
    assert command("diff", f"{image}:/a", minix).out == b""


# ---- other commands ------------------------------------------------------------------------------------------------


def test_device_numbers_are_shown_whole(image: Path) -> None:
    assert command("mknod", f"{image}:/device", "b", "4000", "1000000").code == 0
    assert "4000, 1000000" in command("ls", "-l", image).out.decode()
    assert command("stat", "-c", "%Hr,%Lr", f"{image}:/device").lines == ["4000,1000000"]
    assert "4000, 1000000" in command("find", f"{image}:/device", "-ls").out.decode()
    answer = command("mknod", f"{image}:/larger", "b", "5000", "1")
    assert answer.code == 1
    assert "does not fit" in answer.err


def test_the_type_and_the_reserve_are_told(image: Path) -> None:
    with Image(image) as volume:
        usage = volume.statvfs()
    assert usage.f_bavail < usage.f_bfree
    assert command("df", "-T", image).lines[1].split()[1:5:3] == ["ext2", str(usage.f_bavail)]
    assert command("stat", "-f", "-c", "%T", image).lines == ["ext2"]
    assert command("find", image, "-maxdepth", "0", "-printf", "%F").out == b"ext2"
