"""The words of ``-o`` (mount(8) style) and what they mean for a mount; and all that a mount is told, `MountRequest`.

`parse` takes the words as they come from a command line or fstab, refuses unknown ones with a suggestion, and
swallows those that mount(8) and systemd keep for themselves. `WORDS` is the table that the help text and manual are
made of.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from minixfs.daemon.call import NORMAL_WORKERS
from minixfs.errors import UsageError
from minixfs.hw.blockdev.open import parse_size

DEFAULT_CACHE_SIZE = 64 << 20
MIN_CACHE_SIZE = 1 << 20

WORDS = {
    "ro": "mount read-only",
    "rw": "mount read-write (default)",
    "allow_other": "let other users in; permissions are checked for each of them",
    "uid=N": "show every object as owned by this user",
    "gid=N": "show every object as owned by this group",
    "umask=OCTAL": "take these permission bits away from every object",
    "fakeroot": "act as root on the volume: no permission checks, new objects belong to root",
    "offset=SIZE": "the volume begins this far into the image (also img_offset=)",
    "sizelimit=SIZE": "the volume ends after this many bytes (also img_size=)",
    "noatime": "reading changes no access time",
    "relatime": "reading updates the access time when it is older than the last change, or than a day (default)",
    "strictatime": "every read updates the access time",
    "sync": "every change is on stable storage when its call returns",
    "commit=SECONDS": "changes reach the image at least this often (default 1)",
    "errors=POLICY": "what corruption found on the way does: continue, remount-ro or abort (default: as an ext2"
    " volume says itself, else remount-ro)",
    "noxattr": "hide extended attributes and access lists of an ext2 volume",
    "sb=N": "use the copy of the superblock that begins N KiB into an ext2 volume",
    "cache_size=SIZE": "memory for cached blocks (default 64M); bounds what is kept of names and inodes, too",
    "force": "write even if the volume was not cleanly unmounted",
    "strict": "mount V1 and V2 volumes that were not cleanly unmounted read-only, as V3",
    "truncate_names": "cut names that are too long, as MINIX does, instead of refusing them",
    "workers=N": "requests that are served at once (default 8)",
    "check_locks": "prove the lock order of every request (slow; for tests and the curious)",
}
_SWALLOWED = frozenset((
    "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "_netdev", "nofail", "async", "mand",
    "nomand", "dirsync", "silent", "loud", "lazytime", "nolazytime", "diratime", "nodiratime", "iversion",
    "noiversion", "notrunc", "default_permissions", "nonempty", "acl", "user_xattr",
))  # fmt: skip
"""Words that mount(8) and its kind keep for themselves, or that change nothing here."""
_KERNEL = frozenset(("exec", "noexec", "suid", "nosuid", "dev", "nodev"))
_FLAGS = frozenset(("allow_other", "fakeroot", "sync", "force", "strict", "truncate_names", "check_locks", "noxattr"))
_WITH_VALUE = frozenset(
    ("uid", "gid", "umask", "offset", "sizelimit", "commit", "errors", "cache_size", "workers", "sb")
)
_ALIASES = {"img_offset": "offset", "img_size": "sizelimit"}


@dataclass(slots=True)
class MountOptions:
    """Everything that a mount can be told. Sizes are bytes, `commit` seconds. `kernel` goes to the kernel's mount."""

    ro: bool = False
    allow_other: bool = False
    uid: int | None = None
    gid: int | None = None
    umask: int | None = None
    fakeroot: bool = False
    offset: int | None = None
    sizelimit: int | None = None
    atime: str = "relatime"
    sync: bool = False
    commit: float = 1.0
    errors: str = "default"
    sb: int | None = None
    cache_size: int = DEFAULT_CACHE_SIZE
    force: bool = False
    strict: bool = False
    truncate_names: bool = False
    workers: int = NORMAL_WORKERS
    check_locks: bool = False
    noxattr: bool = False
    kernel: set[str] = field(default_factory=set)


class MountRequest(NamedTuple):
    """What to mount where. `also` lists further partitions and their directories; `tree` takes them from fstab."""

    image: str
    directory: str
    options: MountOptions
    partition: str | None
    tree: bool
    also: list[tuple[str, str]]

    @property
    def source(self) -> str:
        """What the kernel's mount table is to say. pyfuse3 wants ASCII."""
        return os.path.abspath(self.image).encode("ascii", "backslashreplace").decode()


class UnknownWord(UsageError):
    """A word that is no mount option at all."""


def parse(words: Iterable[str]) -> MountOptions:
    """Read comma-separated option words. Raises UsageError for one that is unknown or badly formed."""
    options = MountOptions()
    for word in (word for words_ in words for word in words_.split(",") if word):
        _take(options, word)
    return options


def known(words: str) -> str:
    """`words` without those that `parse` would not know, as ``mount -s`` wants it."""
    kept = []
    for word in words.split(","):
        try:
            parse([word])
        except UnknownWord:
            continue
        kept.append(word)
    return ",".join(kept)


def _take(options: MountOptions, word: str) -> None:
    name, equals, value = word.partition("=")
    name = _ALIASES.get(name, name)
    if name in ("ro", "rw"):
        options.ro = name == "ro"
    elif name in ("noatime", "relatime", "strictatime"):
        options.atime = name
    elif name in _KERNEL:
        options.kernel = options.kernel - {name, f"no{name}", name.removeprefix("no")} | {name}
    elif name in _SWALLOWED or name.startswith(("x-", "comment")):
        pass
    elif name in _FLAGS and not equals:
        setattr(options, name, True)
    elif name in _WITH_VALUE and value:
        setattr(options, name, _value(name, value))
    else:
        raise UnknownWord(f"unknown mount option {word!r}{_suggestion(name)}")


def _value(name: str, value: str) -> int | float | str:
    try:
        if name in ("uid", "gid", "workers", "sb"):
            number = int(value)
            if number < (name in ("workers", "sb")):
                raise ValueError
            return number
        if name == "umask":
            return int(value, 8) & 0o777
        if name == "commit":
            seconds = float(value)
            if not 0.01 <= seconds <= 3600:
                raise ValueError
            return seconds
        if name == "errors":
            if value not in ("continue", "remount-ro", "abort"):
                raise ValueError
            return value
        size = parse_size(value)
    except (ValueError, UsageError):
        wanted = next(text for word, text in WORDS.items() if word.startswith(name))
        raise UsageError(f"bad value in {name}={value}: {wanted}") from None
    if name == "cache_size" and size < MIN_CACHE_SIZE:
        raise UsageError(f"cache_size={value} is too small; give at least 1M")
    return size


def _suggestion(name: str) -> str:
    import difflib  # only ever needed for a mistake

    known = [word.partition("=")[0] for word in WORDS]
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]!r}?" if close else "; minixfs mount --help-options lists them"
