"""MINIX file systems in user space, and the files in their images for plain Python.

    import minixfs

    with minixfs.open("disk.img:p0s1") as image:        "r+" to change it
        print(image.listdir("/etc"), image.read_text("/etc/fstab"))

`open` gives an `Image`, whose methods are named after their twins in `os`. It raises `MinixFsError` for what is not
one; an `Image` raises OSError. Nothing is loaded before it is used, so the import alone costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true; to import it would cost more than all the rest
if TYPE_CHECKING:
    from typing import Any

    from minixfs.errors import MinixFsError
    from minixfs.image.attributes import DirEntry
    from minixfs.image.image import Image
    from minixfs.image.image import open_image as open

    __version__: str

__all__ = ["DirEntry", "Image", "MinixFsError", "__version__", "open"]

_HOMES = {
    "DirEntry": ("minixfs.image.attributes", "DirEntry"),
    "Image": ("minixfs.image.image", "Image"),
    "MinixFsError": ("minixfs.errors", "MinixFsError"),
    "open": ("minixfs.image.image", "open_image"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("minixfs")
    elif name in _HOMES:
        from importlib import import_module

        home, own_name = _HOMES[name]
        value = getattr(import_module(home), own_name)
    else:
        raise AttributeError(f"module 'minixfs' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
