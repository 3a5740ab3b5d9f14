"""The undamaged volumes: small ones of every variant, byte order, block and zone size, full of files of every kind."""

from __future__ import annotations

from minixfs.fs.mfs.layout import VARIANTS
from minixfs.mkfs.mfs import Options
from tests.support.mfs_image import Image, populated

VARIANT = {variant.name: variant for variant in VARIANTS}
FORMATS = {
    "V1": (Options(variant=VARIANT["V1"], inodes=400), 400),
    "V1L": (Options(variant=VARIANT["V1L"], inodes=400), 400),
    "V2": (Options(variant=VARIANT["V2"], inodes=400), 400),
    "V2L": (Options(variant=VARIANT["V2L"], inodes=400), 400),
    "V3": (Options(variant=VARIANT["V3"], inodes=400, block_size=1024), 400),
    "V3-4K": (Options(variant=VARIANT["V3"], inodes=400), 1600),
    "V3-1536": (Options(variant=VARIANT["V3"], inodes=400, block_size=1536), 600),
    "V1-zones": (Options(variant=VARIANT["V1"], inodes=400, zone_shift=2), 1600),
    "hybrid-big-endian": (Options(variant=VARIANT["hybrid"], inodes=400, big_endian=True), 400),
    "V1-big-endian": (Options(variant=VARIANT["V1"], inodes=400, big_endian=True), 400),
}
LINUX = ("V1", "V1L", "V2", "V2L", "V3")
"""What fsck.minix and the Linux driver know."""
_originals: dict[str, tuple[Image, dict[bytes, tuple[object, ...]]]] = {}


def fresh(name: str) -> tuple[Image, dict[bytes, tuple[object, ...]]]:
    """A populated image, and what it contains."""
    if name not in _originals:
        options, kilobytes = FORMATS[name]
        image = populated(options, size=kilobytes << 10)
        _originals[name] = image, image.contents()
    image, contents = _originals[name]
    return Image(bytearray(image.data), image.order), contents
