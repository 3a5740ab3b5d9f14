"""The programs that mount(8), umount(8), mkfs(8) and fsck(8) look for by name, such as ``mount.minixfs``.

They are the `minixfs` command under other names. mkfs and fsck take the same options either way. mount and umount hand
their helpers arguments of a form of their own (mount(8), "External helpers"), which `as_mount` and `as_umount` turn
into ours:

    SPEC DIR [-sfnvrw] [-N NAMESPACE] [-o WORDS] [-t TYPE]
    DIR [-flnrv] [-N NAMESPACE] [-t TYPE]

``-n`` (no mtab) and ``-r`` of umount (read-only when busy) mean nothing to FUSE; the name space is entered before we
are called.
"""

from __future__ import annotations

import getopt
from collections.abc import Callable

from minixfs.errors import UsageError

USAGE_MOUNT, USAGE_UMOUNT = 1, 1
"""Exit codes of mount(8) and umount(8) for bad usage."""


def as_mount(arguments: list[str]) -> list[str] | None:
    """The arguments for `minixfs mount`; None for a mount that is only pretended (``-f``)."""
    options, operands = _parse(arguments, "sfnvrwN:o:t:", USAGE_MOUNT)
    if len(operands) != 2:
        raise UsageError("name an image and a directory: mount -t minixfs IMAGE DIRECTORY", USAGE_MOUNT)
    flags = {name for name, _ in options}
    if "-f" in flags:
        return None
    words = ",".join(value for name, value in options if name == "-o")
    if "-s" in flags:
        from minixfs.daemon.options import known

        words = known(words)
    result = ["-o", words] if words else []
    result += [flag for flag in ("-r", "-v") if flag in flags]
    return [*result, "--", *operands]


def as_umount(arguments: list[str]) -> list[str] | None:
    """The arguments for `minixfs umount`."""
    options, operands = _parse(arguments, "flnrvN:t:", USAGE_UMOUNT)
    if len(operands) != 1:
        raise UsageError("name one directory to unmount", USAGE_UMOUNT)
    flags = {name for name, _ in options}
    if "-f" in flags:
        raise UsageError("unmounting by force would lose data; use umount -l to detach it when it is no longer in use")
    return [*(["-l"] if "-l" in flags else []), *([] if "-v" in flags else ["-q"]), "--", *operands]


def _parse(arguments: list[str], letters: str, exit_code: int) -> tuple[list[tuple[str, str]], list[str]]:
    try:
        return getopt.gnu_getopt(arguments, letters)
    except getopt.GetoptError as error:
        raise UsageError(str(error), exit_code) from None


Translator = Callable[[list[str]], list[str] | None]

HELPERS: dict[str, tuple[str, Translator]] = {
    "mount.minixfs": ("mount", as_mount),
    "mount.fuse.minixfs": ("mount", as_mount),
    "umount.minixfs": ("umount", as_umount),
    "umount.fuse.minixfs": ("umount", as_umount),
    "mkfs.minixfs": ("mkfs", list),
    "fsck.minixfs": ("fsck", list),
}
"""The command behind each name, and what makes its arguments of those the helper is given."""
