"""Paths of images for universal-pathlib: ``UPath("minixfs://etc/fstab::file:///srv/disk.img")``.

All that they do is `minixfs.image.filesystem`'s work; the class is here so that universal-pathlib knows it.
"""

from __future__ import annotations

from upath import UPath


class MinixPath(UPath):
    """A file in an image."""

    __slots__ = ()
