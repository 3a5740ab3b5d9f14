"""The file systems compared: how the image of each is made, and how its server is started in the foreground.

A contender is nothing but two command lines and a few facts; `mount.Mount` runs them. To add one, subclass
`Contender` and name it in `CONTENDERS`. Every image has 4096-byte blocks and `IMAGE_BYTES`, unless a session wants
more, and every contender runs with the options a user gets when he gives none, unless its class says otherwise.
"""

from __future__ import annotations

import os
import shutil
import sys
from abc import ABC, abstractmethod
from pathlib import Path

IMAGE_BYTES = 1 << 30


def program(name: str) -> str | None:
    """The path of a program: beside this interpreter (a virtual environment), in PATH, or in sbin."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


class Contender(ABC):
    """One way to serve a file system; `programs` must be installed, and commands may use their bare names."""

    programs: tuple[str, ...] = ()
    has_image = True  # False: the files live in the server and die with it
    version_command: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name

    def missing(self) -> str | None:
        """What keeps this contender from running here, or None."""
        absent = [name for name in self.programs if program(name) is None]
        return f"not installed: {', '.join(absent)}" if absent else None

    @abstractmethod
    def make(self, image: Path) -> list[str] | None:
        """The command that makes a file system that fills the sparse file `image`, if one is needed."""

    @abstractmethod
    def serve(self, image: Path, directory: Path) -> list[str]:
        """The command of a server that mounts `image` on `directory` and stays in the foreground."""


class Minix(Contender):
    """Our mount of a MINIX V3 image."""

    programs = ("minixfs",)
    version_command = ("minixfs", "--version")

    def make(self, image: Path) -> list[str] | None:
        return ["minixfs", "mkfs", "--version", "3", "-B", "4096", str(image)]

    def serve(self, image: Path, directory: Path) -> list[str]:
        return ["minixfs", "mount", "-f", str(image), str(directory)]


class Ext2(Contender):
    """An ext2 image; who mounts it is a subclass's business."""

    def make(self, image: Path) -> list[str] | None:
        return ["mke2fs", "-q", "-F", "-t", "ext2", "-b", "4096", str(image)]


class MinixExt2(Ext2):
    """Our mount of an ext2 image."""

    programs = ("minixfs", "mke2fs")
    version_command = ("minixfs", "--version")

    def serve(self, image: Path, directory: Path) -> list[str]:
        return ["minixfs", "mount", "-f", str(image), str(directory)]


class Fuse2fs(Ext2):
    """fuse2fs with its defaults (multi-threaded, big writes, attributes never cached) or with `options`."""

    programs = ("fuse2fs", "mke2fs")
    version_command = ("fuse2fs", "-V")

    def __init__(self, name: str, options: str | None = None) -> None:
        super().__init__(name)
        self.options = options

    def serve(self, image: Path, directory: Path) -> list[str]:
        return ["fuse2fs", "-f", str(image), str(directory), *(["-o", self.options] if self.options else [])]


class Kernel(Ext2):
    """The kernel's driver on a loop device: what no FUSE server can reach."""

    programs = ("mount", "mke2fs")

    def missing(self) -> str | None:
        return super().missing() or (None if os.geteuid() == 0 else "only root may mount")

    def serve(self, image: Path, directory: Path) -> list[str]:
        return [sys.executable, "-m", "benchmarks.kernel_mount", str(image), str(directory)]


class Null(Contender):
    """The pyfuse3 server that keeps everything in memory."""

    has_image = False

    def __init__(self, name: str, *, spin: bool) -> None:
        super().__init__(name)
        self.spin = spin

    def missing(self) -> str | None:
        try:
            import pyfuse3  # noqa: F401
        except ImportError as error:
            return str(error)
        return None

    def make(self, image: Path) -> list[str] | None:
        return None

    def serve(self, image: Path, directory: Path) -> list[str]:
        line = [sys.executable, "-m", "benchmarks.null_server", str(directory)]
        return line if self.spin else [*line, "--no-spin"]


CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        Minix("minixfs"),
        MinixExt2("minixfs-ext2"),
        Fuse2fs("fuse2fs"),
        Fuse2fs("fuse2fs-caching", "attr_timeout=3600,entry_timeout=3600,negative_timeout=3600"),
        Kernel("kernel"),
        Null("null", spin=True),
        Null("null-no-spin", spin=False),
    )
}
OURS = ("minixfs", "minixfs-ext2")
DEFAULT = (*OURS, "fuse2fs", "kernel", "null")
