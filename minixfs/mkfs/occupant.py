"""What is on a device already, so that nobody overwrites it by accident: `occupant` knows it by its magic numbers."""

from __future__ import annotations

from minixfs.errors import BadSuperblock
from minixfs.fs.mfs.superblock import Superblock
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.blockdev.partition import choices, scan

_MAGICS = (
    (1080, b"\x53\xef", "an ext2, ext3 or ext4 file system"),
    (0, b"XFSB", "an XFS file system"),
    (0x10040, b"_BHRfS_M", "a Btrfs file system"),
    (1024, b"\x10\x20\xf5\xf2", "an F2FS file system"),
    (1024, b"\xe2\xe1\xf5\xe0", "an EROFS file system"),
    (0, b"hsqs", "a SquashFS file system"),
    (0x8001, b"CD001", "an ISO 9660 file system"),
    (3, b"NTFS    ", "an NTFS file system"),
    (3, b"EXFAT   ", "an exFAT file system"),
    (54, b"FAT1", "a FAT file system"),
    (82, b"FAT32", "a FAT file system"),
    (0x10034, b"ReIsEr", "a ReiserFS file system"),
    (4086, b"SWAPSPACE2", "swap space"),
    (0, b"LUKS\xba\xbe", "an encrypted volume"),
    (536, b"LVM2 001", "an LVM physical volume"),
    (512, b"EFI PART", "a GUID partition table"),
)
"""(offset in bytes, what is there, what that means), those that others could be taken for last."""
_HEAD = 0x11000


async def occupant(device: BlockDevice) -> str | None:
    """What is on the device, in words; None if nothing is known to be."""
    head = bytearray(_HEAD)
    await device.read(0, [head])
    for offset, magic, meaning in _MAGICS:
        if head.startswith(magic, offset):
            return meaning
    try:
        return f"a MINIX {Superblock.parse(bytes(head[1024:2048])).variant.name} file system"
    except BadSuperblock:
        pass
    return "partitions" if choices(await scan(device)) else None
