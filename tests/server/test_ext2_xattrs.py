"""Extended attributes and access lists of ext2: where they are, who shares them, what e2fsprogs says (3.9)."""

from __future__ import annotations

import errno
import os
import random
import struct

import pytest

from minixfs.errors import Corrupt, MinixFsError, NoSpace
from minixfs.fs.disk.volume import Settings
from minixfs.fs.ext2 import layout
from minixfs.hw.blockdev.fault import FaultDevice
from minixfs.hw.blockdev.ramdisk import RamDisk
from tests.support.ext2_image import ask, changed, made, superblock
from tests.support.volumes import EXT2_KINDS, Served, copy, fresh, verify

SIZES = ["ext2-1K", "ext2-1K-direct", "ext2-2K", "ext2-4K", "ext2-64K"]
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"


def access_list(*entries: tuple[int, int, int]) -> bytes:
    """The value of an access list: tag, permissions, id."""
    return struct.pack("<L", 2) + b"".join(struct.pack("<HHL", *entry) for entry in entries)


NONE = 0xFFFFFFFF
PLAIN = access_list((1, 6, NONE), (4, 4, NONE), (0x20, 4, NONE))
NAMED = access_list((1, 7, NONE), (2, 6, 1234), (4, 5, NONE), (8, 4, 77), (0x10, 7, NONE), (0x20, 0, NONE))


def attributes(fs: Served, path: bytes) -> dict[bytes, bytes]:
    with fs.at(path) as ino:
        return {name: bytes(fs.getxattr(ino, name)) for name in fs.listxattr(ino)}


def set_on(fs: Served, path: bytes, name: bytes, value: bytes, flags: int = 0) -> None:
    with fs.at(path) as ino:
        fs.setxattr(ino, name, value, flags)


def block_of(fs: Served, path: bytes) -> int:
    with fs.at(path) as ino:
        block: int = fs.server.inodes.open(ino).acl_block
        return block


# ---- setting and removing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SIZES)
def test_attributes_are_kept(kind: str) -> None:
    disk = fresh(EXT2_KINDS[kind])
    fs = Served(disk)
    fs.make_file(b"f", b"data")
    fs.make_directory(b"d")
    fs.mknod(fs.root, b"fifo", 0o010600, 0, 0, 0)
    fs.symlink(fs.root, b"l", b"x" * 70, 0, 0)
    wanted = {
        b"user.a": b"1",
        b"user.empty": b"",
        b"user.long": b"v" * 150,
        b"user.\xff\x80 odd": bytes(range(120, 250)),
        b"trusted.t": b"t",
        b"security.selinux": b"label\0",
        b"user." + b"n" * 200: b"long name",
    }
    free = fs.statvfs().bfree
    for path in (b"f", b"d"):
        for name, value in wanted.items():
            set_on(fs, path, name, value)
    set_on(fs, b"fifo", b"trusted.x", b"y")
    set_on(fs, b"l", b"trusted.x", b"y" * 300)
    for _ in range(2):
        assert attributes(fs, b"f") == attributes(fs, b"d") == wanted
        assert attributes(fs, b"fifo") == {b"trusted.x": b"y"}
        assert attributes(fs, b"l") == {b"trusted.x": b"y" * 300}
        with fs.at(b"l") as ino:
            assert fs.readlink(ino) == b"x" * 70
        fs.remount()
    fs.unmount()
    verify(disk)
    fs = Served(disk)
    for path in (b"f", b"d"):
        with fs.at(path) as ino:
            for name in wanted:
                fs.removexattr(ino, name)
            assert fs.listxattr(ino) == []
            with pytest.raises(MinixFsError) as caught:
                fs.removexattr(ino, b"user.a")
            assert caught.value.errno == errno.ENODATA
    for name in (b"fifo", b"l"):
        fs.unlink(fs.root, name)
    fs.sync()
    assert fs.statvfs().bfree == free + 1, "every block came back, and that of the slow link"
    fs.unmount()
    verify(disk)


def test_flags_and_names(fs: Served) -> None:
    with fs.at(b"f") as ino:
        fs.setxattr(ino, b"user.a", b"1", os.XATTR_CREATE)
        fs.setxattr(ino, b"user.a", b"2", os.XATTR_REPLACE)
        for name, value, flags, error in (
            (b"user.a", b"3", os.XATTR_CREATE, errno.EEXIST),
            (b"user.b", b"3", os.XATTR_REPLACE, errno.ENODATA),
            (b"other.b", b"3", 0, errno.EOPNOTSUPP),
            (b"user.", b"3", 0, errno.EOPNOTSUPP),
            (b"user.big", bytes(1 << 16), 0, errno.ENOSPC),
            (ACCESS.encode(), b"rubbish", 0, errno.EINVAL),
            (DEFAULT.encode(), NAMED, 0, errno.EACCES),
        ):
            with pytest.raises(MinixFsError) as caught:
                fs.setxattr(ino, name, value, flags)
            assert caught.value.errno == error, name
            fs.check()
        assert bytes(fs.getxattr(ino, b"user.a")) == b"2"


@pytest.fixture(params=["ext2-1K", "ext2-4K"])
def fs(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    """A volume with a file; clean in the end."""
    disk = fresh(EXT2_KINDS[request.param])
    served = Served(disk)
    served.make_file(b"f", b"data")
    yield served
    served.check()
    served.unmount()
    verify(disk)


def test_random_attributes(fs: Served, rng: random.Random) -> None:
    """They move between the inode and its block, and nothing else changes."""
    names = [b"user.%d" % index for index in range(12)] + [b"trusted." + b"x" * 40, b"security.a"]
    expected: dict[bytes, bytes] = {}
    for step in range(400):
        name = rng.choice(names)
        with fs.at(b"f") as ino:
            if name in expected and rng.random() < 0.4:
                fs.removexattr(ino, name)
                del expected[name]
            else:
                value = rng.randbytes(rng.choice([0, 1, 3, 20, 90, 300]))
                try:
                    fs.setxattr(ino, name, value, 0)
                    expected[name] = value
                except NoSpace:
                    pass
        assert attributes(fs, b"f") == expected
        if step % 100 == 99:
            fs.remount()
            verify(fs.device)
    assert fs.contents(b"f") == b"data"


def test_the_feature_comes_with_the_first_attribute() -> None:
    disk = made("-b 1024 -O ^ext_attr")
    fs = Served(disk)
    fs.make_file(b"f")
    fs.sync()
    assert not superblock(disk)["s_feature_compat"] & layout.COMPAT_EXT_ATTR
    set_on(fs, b"f", b"user.a", b"b")
    fs.unmount()
    assert superblock(disk)["s_feature_compat"] & layout.COMPAT_EXT_ATTR
    verify(disk)


# ---- others' attributes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["-b 1024 -I 128", "-b 1024 -I 256", "-b 4096 -I 256"])
def test_what_debugfs_sets_we_read_and_the_other_way_round(options: str) -> None:
    disk = changed(
        changed(made(options), "write /dev/null f"),
        "ea_set f user.small abc", "ea_set f user.other " + "o" * 200, "ea_set f trusted.t x",
    )  # fmt: skip
    verify(disk)
    expected = {b"user.small": b"abc", b"user.other": b"o" * 200, b"trusted.t": b"x"}
    fs = Served(disk)
    assert attributes(fs, b"f") == expected
    set_on(fs, b"f", b"user.ours", b"ours")
    set_on(fs, b"f", b"user.small", b"changed")
    fs.unmount()
    verify(disk)
    said = ask(disk, "ea_list f")
    for name, value in (
        ("user.ours", "ours"),
        ("user.small", "changed"),
        ("trusted.t", "x"),
        ("user.other", "o" * 200),
    ):
        assert f'{name} ({len(value)}) = "{value}"' in said or f"{name} ({len(value)})" in said, said


# ---- shared blocks -------------------------------------------------------------------------------------------------


def shared(names: int = 3) -> tuple[RamDisk, int]:
    """A volume whose files `0`, `1`, ... have one block of attributes together, and its number."""
    disk = made("-b 1024 -I 128 -m 0")
    fs = Served(disk)
    for index in range(names):
        fs.make_file(b"%d" % index, b"%d" % index)
    set_on(fs, b"0", b"user.shared", b"by all")
    fs.sync()
    block = block_of(fs, b"0")
    inos = [fs.find(b"%d" % index).ino for index in range(names)]
    for ino in inos:
        fs.putnode(ino, 1)
    fs.unmount()
    requests = []
    for ino in inos[1:]:
        requests += [f"sif <{ino}> file_acl {block}", f"sif <{ino}> blocks 4"]
    disk = changed(disk, *requests)
    image = bytearray(disk.snapshot())
    image[block * 1024 + 4 : block * 1024 + 8] = struct.pack("<L", names)
    disk = RamDisk(image)
    verify(disk)
    return disk, block


def references(disk: RamDisk, block: int) -> int:
    magic, count = struct.unpack_from("<2L", disk.snapshot(), block * 1024)
    return int(count) if magic == layout.XATTR_MAGIC else 0


def test_a_shared_block_is_copied_before_it_is_changed() -> None:
    disk, block = shared()
    fs = Served(disk)
    set_on(fs, b"1", b"user.mine", b"alone")
    assert block_of(fs, b"1") != block
    fs.remount()
    assert attributes(fs, b"0") == attributes(fs, b"2") == {b"user.shared": b"by all"}
    assert attributes(fs, b"1") == {b"user.shared": b"by all", b"user.mine": b"alone"}
    assert references(disk, block) == 2
    fs.unmount()
    verify(disk)


def test_a_shared_block_goes_with_its_last_file() -> None:
    disk, block = shared()
    fs = Served(disk)
    free = fs.statvfs().bfree
    for left in (2, 1, 0):
        fs.unlink(fs.root, b"%d" % left)
        fs.remount()
        verify(disk)
        if left:
            assert references(disk, block) == left
            assert attributes(fs, b"0") == {b"user.shared": b"by all"}
    assert fs.statvfs().bfree == free + 3 + 1
    fs.unmount()


def test_removing_the_attribute_of_one_file_leaves_the_others() -> None:
    disk, block = shared()
    fs = Served(disk)
    with fs.at(b"0") as ino:
        fs.removexattr(ino, b"user.shared")
    fs.remount()
    assert attributes(fs, b"0") == {}
    assert attributes(fs, b"1") == {b"user.shared": b"by all"}
    assert references(disk, block) == 2
    fs.unmount()
    verify(disk)


def test_a_copy_that_finds_no_room_changes_nothing() -> None:
    disk, block = shared()
    fs = Served(disk)
    fs.make_file(b"fill")
    with fs.at(b"fill") as ino:
        position = 0
        while fs.statvfs().bfree:
            position += fs.write(ino, position, bytes(10_000))
    with pytest.raises(NoSpace):
        set_on(fs, b"1", b"user.mine", b"alone")
    fs.check()
    with fs.at(b"1") as ino:
        inode = fs.server.inodes.open(ino)
        with pytest.raises(NoSpace):
            fs.setxattr(ino, ACCESS.encode(), NAMED, 0)
        assert inode.mode & 0o777 == 0o644
    assert attributes(fs, b"1") == {b"user.shared": b"by all"}
    fs.unmount()
    assert references(disk, block) == 3
    verify(disk)


def test_the_device_fails_at_every_step_of_a_copy() -> None:
    disk, _ = shared()
    for n in range(1, 60):
        inner = copy(disk)
        device = FaultDevice(inner)
        fs = Served(device)
        device.arm(n)
        failed = False
        for _ in range(2):
            try:
                set_on(fs, b"1", b"user.mine", b"alone")
                fs.unlink(fs.root, b"2") if b"2" in fs.names() else None
                fs.sync()
            except MinixFsError:
                failed = True
                device.disarm()
                fs.check()
        device.disarm()
        fs.unmount()
        verify(inner)
        fs = Served(inner)
        assert attributes(fs, b"1") == {b"user.shared": b"by all", b"user.mine": b"alone"}
        assert attributes(fs, b"0") == {b"user.shared": b"by all"}
        if not failed:
            return
    pytest.fail("never came to an end")


# ---- bad attributes ------------------------------------------------------------------------------------------------


@pytest.mark.logs(r"corrupt image: .*", "read-only from now on")
@pytest.mark.parametrize(
    ("offset", "data"),
    [
        (0, b"\0\0\0\0"),  # no magic number
        (4, b"\0\0\0\0"),  # no references
        (4, b"\xff\xff\xff\xff"),
        (8, b"\2\0\0\0"),  # more blocks
        (32, b"\xff"),  # a name that is too long
        (34, b"\xff\xff"),  # a value outside
        (36, b"\1\0\0\0"),  # a value in an inode
        (40, b"\xff\xff\xff\x7f"),  # a value without end
    ],
)
def test_a_bad_block_is_an_error_of_its_files(offset: int, data: bytes) -> None:
    disk, block = shared()
    image = bytearray(disk.snapshot())
    at = block * 1024 + offset
    image[at : at + len(data)] = data
    fs = Served(RamDisk(image), Settings(errors="remount-ro"))
    with fs.at(b"0") as ino:
        with pytest.raises(Corrupt):
            fs.listxattr(ino)
        assert bytes(fs.read(ino, 0, 10)) == b"0", "its data is there"
    fs.check()
    fs.unmount()


@pytest.mark.logs(r"corrupt image: .*", "read-only from now on")
@pytest.mark.parametrize("block", [1, 3, 0xFFFFFFFF])
def test_a_block_outside_of_the_data_is_never_freed(block: int) -> None:
    disk, _ = shared()
    fs = Served(disk)
    with fs.at(b"0") as ino:
        number = ino
    fs.unmount()
    disk = changed(disk, f"sif <{number}> file_acl {block}")
    before = disk.snapshot()
    fs = Served(disk, Settings(errors="remount-ro"))
    fs.unlink(fs.root, b"0")
    fs.check()
    fs.unmount()
    assert disk.snapshot()[3072:4096] == before[3072:4096]


@pytest.mark.logs(r"corrupt image: .*", "read-only from now on")
def test_rubbish_in_an_inode(rng: random.Random) -> None:
    disk = made("-b 1024 -I 256")
    fs = Served(disk)
    fs.make_file(b"f", b"data")
    set_on(fs, b"f", b"user.a", b"value")
    with fs.at(b"f") as ino:
        block, offset = fs.server.inodes._codec.locate(ino)
    fs.unmount()
    start = block * 1024 + offset + 128
    corrupt = 0
    for _ in range(300):
        image = bytearray(disk.snapshot())
        for _ in range(rng.randrange(1, 6)):
            image[start + 32 + rng.randrange(40)] = rng.randrange(256)
        fs = Served(RamDisk(image), Settings(errors="remount-ro"))
        try:
            attributes(fs, b"f")
            set_on(fs, b"f", b"user.b", b"x" * 60)
        except MinixFsError as error:
            corrupt += isinstance(error, Corrupt)
        assert fs.contents(b"f") == b"data"
        fs.check()
    assert corrupt


# ---- access lists --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ext2-1K", "ext2-4K"])
def test_an_access_list_and_the_mode_are_one(kind: str) -> None:
    disk = fresh(EXT2_KINDS[kind])
    fs = Served(disk)
    fs.make_file(b"f", mode=0o600)
    with fs.at(b"f") as ino:
        assert fs.setxattr(ino, ACCESS.encode(), NAMED, 0) & 0o777 == 0o770
        fs.chmod(ino, 0o640)
        value = bytes(fs.getxattr(ino, ACCESS.encode()))
        assert value == access_list((1, 6, NONE), (2, 6, 1234), (4, 5, NONE), (8, 4, 77), (0x10, 4, NONE),
                                    (0x20, 0, NONE))  # fmt: skip
        assert fs.setxattr(ino, ACCESS.encode(), PLAIN, 0) & 0o777 == 0o644
        assert fs.listxattr(ino) == [], "the mode says it all"
    fs.unmount()
    verify(disk)


@pytest.mark.parametrize("kind", ["ext2-1K", "ext2-4K"])
def test_new_objects_inherit_the_default_list(kind: str) -> None:
    disk = fresh(EXT2_KINDS[kind])
    fs = Served(disk)
    fs.make_directory(b"d")
    set_on(fs, b"d", DEFAULT.encode(), NAMED)
    with fs.at(b"d") as d:
        assert fs.inherits_acl(d)
        fs.putnode(fs.create(d, b"f", 0o666, 0, 0).ino, 1)
        fs.mkdir(d, b"sub", 0o777, 0, 0)
        fs.symlink(d, b"l", b"x", 0, 0)
        fs.mknod(d, b"fifo", 0o010666, 0, 0, 0)
    fs.remount()
    assert attributes(fs, b"d/f") == {
        ACCESS.encode(): access_list((1, 6, NONE), (2, 6, 1234), (4, 5, NONE), (8, 4, 77), (0x10, 6, NONE),
                                     (0x20, 0, NONE))
    }  # fmt: skip
    assert attributes(fs, b"d/sub") == {ACCESS.encode(): NAMED, DEFAULT.encode(): NAMED}
    assert attributes(fs, b"d/l") == {}
    assert attributes(fs, b"d/fifo").keys() == {ACCESS.encode()}
    with fs.at(b"d/f") as ino:
        assert fs.stat(ino).mode & 0o777 == 0o660
    fs.unmount()
    verify(disk)


def test_a_chmod_that_cannot_change_the_list_changes_nothing() -> None:
    """The list is in a block that is shared, and there is no room for another."""
    disk, _ = shared()
    fs = Served(disk)
    set_on(fs, b"0", b"user.shared", b"no more")
    with fs.at(b"0") as ino:
        fs.removexattr(ino, b"user.shared")
        fs.setxattr(ino, ACCESS.encode(), NAMED, 0)
        mine = fs.server.inodes.open(ino).acl_block
    fs.unmount()
    image = bytearray(disk.snapshot())
    image[mine * 1024 + 4] = 2
    fs = Served(RamDisk(image))
    fs.make_file(b"fill")
    with fs.at(b"fill") as ino:
        position = 0
        while fs.statvfs().bfree:
            position += fs.write(ino, position, bytes(10_000))
    with fs.at(b"0") as ino:
        with pytest.raises(NoSpace):
            fs.chmod(ino, 0o600)
        assert fs.stat(ino).mode & 0o777 == 0o770
    assert attributes(fs, b"0") == {ACCESS.encode(): NAMED}


def test_a_full_disk_makes_no_object_without_its_list() -> None:
    disk = fresh(EXT2_KINDS["ext2-1K"])
    fs = Served(disk)
    fs.make_directory(b"d")
    set_on(fs, b"d", DEFAULT.encode(), NAMED)
    fs.make_file(b"fill")
    free = fs.statvfs().ffree
    with fs.at(b"fill") as ino, fs.at(b"d") as d:
        position = 0
        while fs.statvfs().bfree:
            position += fs.write(ino, position, bytes(10_000))
        with pytest.raises(NoSpace):
            fs.create(d, b"f", 0o666, 0, 0)
        assert fs.names(b"d") == []
        assert fs.statvfs().ffree == free
    fs.check()
    fs.unmount()
    verify(disk)
