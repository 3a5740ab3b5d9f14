"""Mounting ext2 volumes: features, the state and the counts in the superblock, its copies, the journal (3.1, 3.5)."""

from __future__ import annotations

import errno
import struct

import pytest

from minixfs.errors import BadSuperblock, Corrupt, MinixFsError, ReadOnly, Unsupported
from minixfs.fs.disk.volume import Settings
from minixfs.fs.ext2 import layout
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.blockdev.recorder import Flush, Recorder, Write
from tests.support import peers
from tests.support.ext2_image import changed, made, superblock
from tests.support.volumes import EXT2_KINDS, START, Served, assert_clean, fresh, verify

COMPAT, INCOMPAT, RO_COMPAT = (1024 + layout.SUPERBLOCK.offsets[f"s_feature_{word}"] for word in
                               ("compat", "incompat", "ro_compat"))  # fmt: skip
VALID, ERROR = layout.STATE_VALID, layout.STATE_ERROR


def patched(disk: RamDisk, offset: int, data: bytes) -> RamDisk:
    image = bytearray(disk.snapshot())
    image[offset : offset + len(data)] = data
    return RamDisk(image)


def with_features(disk: RamDisk, offset: int, bits: int) -> RamDisk:
    """A copy with more bits in a word of features."""
    word = int.from_bytes(disk.snapshot()[offset : offset + 4], "little")
    return patched(disk, offset, struct.pack("<L", word | bits))


# ---- features ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bit", "name"), [(1 << n, layout.INCOMPAT_NAMES.get(1 << n, hex(1 << n))) for n in range(32)
                                           if 1 << n != layout.INCOMPAT_FILETYPE])  # fmt: skip
def test_what_we_cannot_read_is_refused_by_name(bit: int, name: str) -> None:
    with pytest.raises(Unsupported) as caught:
        Served(with_features(made("-b 1024"), INCOMPAT, bit), read_only=True)
    assert caught.value.errno == errno.EINVAL
    assert name in str(caught.value)
    assert "e2fsck" in str(caught.value) or "use fuse2fs or the kernel" in str(caught.value) or "journal" in name


@pytest.mark.parametrize(("bit", "name"), [(1 << n, layout.RO_COMPAT_NAMES.get(1 << n, hex(1 << n))) for n in range(32)
                                           if 1 << n not in (0x1, 0x2, 0x20, 0x40)])  # fmt: skip
def test_what_we_cannot_write_can_be_read(bit: int, name: str) -> None:
    disk = with_features(made("-b 1024"), RO_COMPAT, bit)
    with pytest.raises(Unsupported) as caught:
        Served(disk)
    assert name in str(caught.value)
    assert "-o ro" in str(caught.value)
    fs = Served(disk, read_only=True)
    assert fs.names() == [b"lost+found"]
    fs.unmount()


def test_several_features_are_named_together() -> None:
    with pytest.raises(Unsupported, match="extents, 64bit, flex_bg"):
        Served(with_features(made("-b 1024"), INCOMPAT, 0x40 | 0x80 | 0x200))


def test_what_others_make_as_ext4_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"extents.*ext4"):
        Served(made("-b 1024 -O extents,64bit,flex_bg", 8 << 20), read_only=True)


def test_unknown_compatible_features_are_carried() -> None:
    disk = with_features(made("-b 1024"), COMPAT, 0x4000_0000)
    fs = Served(disk)
    fs.make_file(b"f")
    fs.unmount()
    assert superblock(disk)["s_feature_compat"] & 0x4000_0000


def test_copies_in_two_groups_only() -> None:
    """With sparse_super2 the blocks where other volumes have copies are for files."""
    disk = made("-b 1024 -g 256 -O ^resize_inode,sparse_super2,^meta_bg -m 0", 2 << 20)
    fs = Served(disk)
    assert fs.statvfs().blocks >= fs.statvfs().bfree
    fs.make_file(b"f", bytes(fs.statvfs().bfree * 1024 - 20_000))
    fs.unmount()
    assert_clean(disk, peers.e2fsck)


def test_revision_0_becomes_1_when_it_must_say_that_files_are_large() -> None:
    disk = fresh(EXT2_KINDS["ext2-1K-revision-0"])
    fs = Served(disk)
    fs.make_file(b"f", b"small")
    fs.sync()
    assert superblock(disk)["s_rev_level"] == 0
    fs.make_file(b"g", b"x", position=(1 << 31) - 1)
    fs.unmount()
    found = superblock(disk)
    assert (found["s_rev_level"], found["s_inode_size"], found["s_first_ino"]) == (1, 128, 11)
    assert found["s_feature_ro_compat"] == layout.RO_COMPAT_LARGE_FILE
    verify(disk)


# ---- the state -----------------------------------------------------------------------------------------------------


def test_a_mount_that_changes_nothing_writes_nothing() -> None:
    recorder = Recorder(fresh(EXT2_KINDS["ext2-4K"]))
    fs = Served(recorder, Settings(atime="noatime"))
    assert fs.names() == []
    fs.sync()
    fs.unmount()
    assert not [entry for entry in recorder.log if isinstance(entry, Write)]


@pytest.mark.parametrize("kind", ["ext2-1K", "ext2-4K", "ext2-1K-revision-0"])
def test_what_a_mount_leaves_in_the_superblock(kind: str) -> None:
    """Specification: file systems, 3.1, as e2fsprogs and Linux keep it."""
    disk = fresh(EXT2_KINDS[kind])
    before = superblock(disk)
    fs = Served(disk)
    fs.server.mounted_on = b"/mnt/somewhere"
    fs.clock.now = START + 500
    fs.make_file(b"f", bytes(5000))
    during = superblock(disk)
    assert not during["s_state"] & VALID, "before anything else reaches the disk"
    fs.clock.now = START + 600
    fs.make_directory(b"d")
    fs.unmount()
    after = superblock(disk)
    assert after["s_state"] == VALID
    assert after["s_mnt_count"] == before["s_mnt_count"] + 1
    assert (after["s_mtime"], after["s_wtime"]) == (START + 500, START + 600)
    assert after["s_last_mounted"].rstrip(b"\0") == b"/mnt/somewhere"
    blocks = -(-5000 // fs.server.volume.block_size) + 1
    assert before["s_free_blocks_count"] - after["s_free_blocks_count"] == blocks
    assert before["s_free_inodes_count"] - after["s_free_inodes_count"] == 2
    owned = {"s_mnt_count", "s_mtime", "s_wtime", "s_last_mounted", "s_free_blocks_count",
             "s_free_inodes_count"}  # fmt: skip
    assert {name for name in before if before[name] != after[name]} - {"_io"} == owned
    verify(disk)


def test_the_mark_is_the_first_and_the_last_write() -> None:
    recorder = Recorder(fresh(EXT2_KINDS["ext2-4K-direct"]))
    fs = Served(recorder)
    fs.make_file(b"a", b"x" * 10000)
    fs.unmount()
    writes = [entry for entry in recorder.log if isinstance(entry, Write)]
    assert (writes[0].offset, writes[-1].offset) == (1024, 1024)
    state = layout.SUPERBLOCK.offsets["s_state"]
    assert (writes[0].data[state], writes[-1].data[state]) == (0, VALID)
    assert recorder.log[-1] == Flush()
    assert recorder.log[-3] == Flush(), "everything is stable before the mark is"


def test_an_unclean_volume_is_warned_about_and_stays_unclean() -> None:
    """As Linux does it: only a checker may say that it is clean."""
    disk = changed(made("-b 1024"), "ssv state 0")
    fs = Served(disk)
    assert not fs.mounted.read_only
    assert "not cleanly unmounted" in fs.mounted.warnings[0]
    fs.make_file(b"f")
    fs.unmount()
    assert not superblock(disk)["s_state"] & VALID


def test_a_volume_with_errors_is_mounted_read_only() -> None:
    disk = changed(made("-b 1024"), "ssv state 3")
    fs = Served(disk)
    assert fs.mounted.read_only
    assert "it holds errors" in fs.mounted.warnings[0]
    fs.unmount()
    fs = Served(disk, Settings(force=True))
    fs.make_file(b"f")
    fs.unmount()
    assert superblock(disk)["s_state"] & ERROR


def test_checks_that_are_due_are_warned_about() -> None:
    often = Served(changed(made("-b 1024"), "ssv mnt_count 20", "ssv max_mnt_count 20"))
    assert "as often as it may" in often.mounted.warnings[0]
    late = changed(made("-b 1024"), f"ssv lastcheck @{START - 100}", "ssv checkinterval 50")
    assert "regular check" in Served(late).mounted.warnings[0]
    assert not Served(made("-b 1024")).mounted.warnings


# ---- errors --------------------------------------------------------------------------------------------------------

CORRUPT = r"corrupt image: .*; unmount and run minixfs fsck"
NOW_READ_ONLY = "the mount is read-only from now on"


def damaged(errors: int) -> RamDisk:
    """A volume whose file `bad` has a block outside of it."""
    disk = changed(made("-b 1024"), f"ssv errors {errors}")
    fs = Served(disk)
    fs.make_file(b"bad", bytes(3000))
    number = fs.find(b"bad").ino
    fs.putnode(number, 1)
    fs.unmount()
    return changed(disk, f"sif <{number}> block[1] 99999999")


@pytest.mark.logs(CORRUPT)
def test_an_error_is_recorded() -> None:
    disk = damaged(errors=1)
    fs = Served(disk)
    number = fs.find(b"bad").ino
    fs.clock.now = START + 70
    with pytest.raises(Corrupt) as caught:
        fs.contents(b"bad")
    assert caught.value.errno == errno.EUCLEAN
    fs.clock.now = START + 90
    with pytest.raises(Corrupt):
        fs.contents(b"bad")
    fs.putnode(number, 1)
    fs.write_back()
    found = superblock(disk)
    assert found["s_state"] & ERROR
    assert (found["s_error_count"], found["s_first_error_time"], found["s_last_error_time"]) == (
        2,
        START + 70,
        START + 90,
    )
    assert (found["s_first_error_ino"], found["s_last_error_ino"]) == (number, number)
    fs.make_file(b"goes on")
    fs.unmount()
    assert superblock(disk)["s_state"] & ERROR
    assert not superblock(disk)["s_state"] & VALID


@pytest.mark.logs(CORRUPT, NOW_READ_ONLY)
@pytest.mark.parametrize(("stored", "settings"), [(2, Settings()), (1, Settings(errors="remount-ro"))])
def test_errors_remount_read_only(stored: int, settings: Settings) -> None:
    """As the superblock says, or the mount."""
    disk = damaged(stored)
    fs = Served(disk, settings)
    with pytest.raises(Corrupt):
        fs.contents(b"bad")
    with pytest.raises(ReadOnly):
        fs.make_file(b"f")
    fs.unmount()
    assert superblock(disk)["s_state"] & ERROR


@pytest.mark.logs(CORRUPT)
def test_errors_abort() -> None:
    with pytest.raises(SystemExit):
        Served(damaged(errors=3)).contents(b"bad")


@pytest.mark.logs(CORRUPT)
def test_a_read_only_mount_records_nothing() -> None:
    disk = damaged(errors=1)
    before = disk.snapshot()
    fs = Served(disk, read_only=True)
    with pytest.raises(Corrupt):
        fs.contents(b"bad")
    fs.unmount()
    assert disk.snapshot() == before


# ---- copies --------------------------------------------------------------------------------------------------------


def test_every_copy_of_the_superblock_can_be_mounted() -> None:
    disk = made("-b 1024 -g 1024 -O ^resize_inode", 10 << 20)
    fs = Served(disk)
    fs.make_file(b"f", b"contents")
    fs.unmount()
    disk = patched(disk, 1024, bytes(1024))
    with pytest.raises(BadSuperblock):
        Served(disk)
    with pytest.raises(BadSuperblock):
        Served(disk, superblock_copy=2000)
    for group in (1, 3, 5, 7, 9):
        fs = Served(disk, superblock_copy=group * 1024 + 1)
        assert fs.mounted.read_only
        assert "with a copy of the superblock" in fs.mounted.warnings[-1]
        assert fs.contents(b"f") == b"contents"
        fs.unmount()


def test_copies_are_left_alone() -> None:
    disk = made("-b 1024 -g 1024 -O ^resize_inode", 10 << 20)
    before = disk.snapshot()
    fs = Served(disk)
    for index in range(40):
        fs.make_file(b"%d" % index, bytes(100_000))
    fs.unmount()
    after = disk.snapshot()
    for group in (1, 3, 5, 7, 9):
        start = (group * 1024 + 1) * 1024
        assert before[start : start + 2048] == after[start : start + 2048]
    verify(disk)


# ---- the journal ---------------------------------------------------------------------------------------------------


def test_a_volume_with_an_empty_journal_is_written() -> None:
    disk = fresh(EXT2_KINDS["ext3"])
    journal = superblock(disk)["s_journal_inum"]
    fs = Served(disk)
    fs.make_file(b"f", bytes(100_000))
    fs.unmount()
    found = superblock(disk)
    assert found["s_journal_inum"] == journal
    assert found["s_feature_compat"] & layout.COMPAT_HAS_JOURNAL
    verify(disk)


def test_a_journal_to_replay_is_refused_with_the_tool_that_helps() -> None:
    disk = fresh(EXT2_KINDS["ext3"])
    with pytest.raises(Unsupported, match=r"needs_recovery.*e2fsck -p"):
        Served(with_features(disk, INCOMPAT, layout.INCOMPAT_RECOVER))
    image = disk.snapshot()
    start = image.index(b"\xc0\x3b\x39\x98")  # the journal's own superblock
    with pytest.raises(Unsupported, match="e2fsck -p"):
        Served(patched(disk, start + 0x1C, b"\0\0\0\1"))


# ---- bad superblocks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("s_log_block_size", 7), ("s_log_block_size", 0xFFFFFFFF), ("s_log_frag_size", 2), ("s_blocks_per_group", 0),
        ("s_blocks_per_group", 8193), ("s_inodes_per_group", 0), ("s_inodes_per_group", 0xFFFFFFFF),
        ("s_first_data_block", 0), ("s_first_data_block", 7), ("s_blocks_count", 0), ("s_blocks_count", 0xFFFFFFFF),
        ("s_inodes_count", 0), ("s_inodes_count", 0xFFFFFFFF), ("s_first_ino", 0), ("s_first_ino", 0xFFFFFFFF),
    ],
)  # fmt: skip
def test_bad_superblocks_are_refused(field: str, value: int) -> None:
    disk = patched(made("-b 1024"), 1024 + layout.SUPERBLOCK.offsets[field], struct.pack("<L", value))
    for settings in (Settings(), Settings(force=True)):
        with pytest.raises((BadSuperblock, Unsupported)) as caught:
            Served(disk, settings)
        assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("size", [0, 127, 129, 2048, 65535])
def test_bad_inode_sizes_are_refused(size: int) -> None:
    offset = 1024 + layout.SUPERBLOCK.offsets["s_inode_size"]
    with pytest.raises(BadSuperblock, match="inode size"):
        Served(patched(made("-b 1024"), offset, struct.pack("<H", size)))


@pytest.mark.parametrize("field", ["bg_block_bitmap", "bg_inode_bitmap", "bg_inode_table"])
@pytest.mark.parametrize("block", [0, 1, 3072, 0xFFFFFFFF])
def test_bad_group_descriptors_are_refused(field: str, block: int) -> None:
    offset = 2048 + layout.GROUP_DESCRIPTOR.offsets[field]
    with pytest.raises(MinixFsError) as caught:
        Served(patched(made("-b 1024"), offset, struct.pack("<L", block)))
    assert caught.value.errno == errno.EINVAL
