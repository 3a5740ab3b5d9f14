"""The interface of a type of file system, and how the type is found.

A type is a module with `probe(device)`, which gives an `Anatomy`, or None when the device holds something else; and
`assume(device, name)`, which takes it for a format of its dict `ASSUMED` although the magic number is lost. Ext2 comes
before MINIX, as the magic number of one may occur in the other.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from minixfs.errors import UsageError
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.blockdev.partition import Slice, choices, listing, scan
from minixfs.hw.runtime import run
from minixfs.image.anatomy.blocks import BlockMap, Layout
from minixfs.image.anatomy.fields import Section

TYPES = ("minixfs.image.anatomy.ext2.volume", "minixfs.image.anatomy.mfs.volume")
"""Modules with a `probe`, in the order in which they are asked."""

Facts = dict[str, Any]
"""What is known, as ``--json`` gives it: sizes in bytes, times in seconds since 1970."""


class Anatomy(ABC):
    """One volume on `device`. Nothing needs to be sound but what the call at hand reads.

    All methods raise MinixFsErrors: Corrupt or Unsupported where the volume's state stands in the way, UsageError and
    NotFound for what is not there, DeviceError.
    """

    title: ClassVar[str]
    """What people call the type."""

    def __init__(self, device: BlockDevice) -> None:
        self.device = device

    @property
    @abstractmethod
    def summary(self) -> str:
        """In a few words: format and state."""

    @abstractmethod
    def facts(self) -> Facts:
        """Format, sizes, state."""

    @abstractmethod
    def lines(self, size: Callable[[int | None], str]) -> dict[str, str]:
        """The same for people: label and text, in order; `size` writes a number of bytes, None: an impossible one."""

    @abstractmethod
    def tags(self) -> dict[str, str]:
        """What blkid(8) says of such a volume, in its order; bytes that are no text as os.fsdecode has them."""

    def table(self) -> list[tuple[str, ...]]:
        """The parts that the volume is divided into, a header first; empty where the format has none."""
        return []

    @abstractmethod
    def find(self, path: bytes) -> int:
        """The inode number that an absolute path leads to; a link at its end is not followed."""

    @abstractmethod
    def layout_of(self, inode: int) -> Layout:
        """How a file lies."""

    @abstractmethod
    def survey(self, seconds: float | None = None) -> BlockMap:
        """What every block is for. After `seconds` the files that are left are left out."""

    @abstractmethod
    def names(self, inodes: Sequence[int]) -> dict[int, bytes]:
        """Paths of inodes, as far as directories lead to them; of very many only some."""

    @abstractmethod
    def dump(self, what: Sequence[str]) -> list[Section]:
        """A structure: its name, and number or path where it takes one. UsageError names those there are."""


def identify(device: BlockDevice) -> Anatomy | None:
    """The file system on `device`."""
    for name in TYPES:
        found: Anatomy | None = importlib.import_module(name).probe(device)
        if found is not None:
            return found
    return None


def assume(device: BlockDevice, name: str) -> Anatomy:
    """The volume as if its magic number were that of the format `name`. Raises UsageError if there is none."""
    modules = [importlib.import_module(module) for module in TYPES]
    for module in modules:
        if name in module.ASSUMED:
            found: Anatomy = module.assume(device, name)
            return found
    formats = ", ".join(format for module in modules for format in module.ASSUMED)
    raise UsageError(f"there is no format '{name}'; there are {formats}")


def no_file_system(image: str, device: BlockDevice) -> UsageError:
    """What to say where `identify` found nothing."""
    parts = run(scan(device))
    if choices(parts):
        return UsageError(f"{image} holds partitions, choose one: {listing(image, parts)}")
    return UsageError(f"{image}: no file system was found")


def image_offset(device: BlockDevice) -> int:
    """The byte of the image file at which `device`, perhaps a part of it, begins."""
    return device.start if isinstance(device, Slice) else 0


def read_bytes(device: BlockDevice, offset: int, length: int) -> bytes:
    """`length` bytes; those behind the end of the device are missing. Raises DeviceError."""
    data = bytearray(length)
    return bytes(data[: run(device.read(offset, [data]))])


def number(text: str, what: str) -> int:
    """A number as a user writes it, also 0x1f. Raises UsageError."""
    try:
        return int(text, 0)
    except ValueError:
        raise UsageError(f"'{text}' is not the number of {what}") from None
