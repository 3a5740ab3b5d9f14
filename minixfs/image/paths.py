"""Paths of an image: text or bytes, always from its root."""

from __future__ import annotations

import os
from typing import AnyStr

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""Where a file is in the image."""


def absolute(path: Path) -> bytes:
    """A path of an image as bytes from the root. Raises ValueError for what no path can be."""
    raw = os.fsencode(path)
    if b"\0" in raw:
        raise ValueError("embedded null byte")
    return b"/" + raw.lstrip(b"/")


def join(directory: AnyStr, name: AnyStr) -> AnyStr:
    slash = like(directory, b"/")
    return directory.rstrip(slash) + slash + name


def like(path: AnyStr, raw: bytes) -> AnyStr:
    """`raw` as text if `path` is text."""
    return raw if isinstance(path, bytes) else os.fsdecode(raw)
