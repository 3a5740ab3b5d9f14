"""Directory trees for tests: make one, change it, describe it, compare two descriptions. All repeatable.

* `populate(root, seed, name_max)` fills a directory with one of every kind of thing a file system must hold;
* `mutate(root, seed)` changes such a tree: renames, deletes, truncates, appends, overwrites, links;
* `snapshot(root)` is what a user can see of a tree; `diff(a, b)` says in lines where two snapshots differ;
* `dumps` and `loads` carry a snapshot between processes as JSON lines.

The same seed gives the same tree and the same changes on every file system, so that implementations can be
compared. What differs by design is left to the caller: the size of directories (`diff(ignore=["dir_size"])`),
and limits (`name_max`, `ids_max`, `big`). Without root there are no device nodes and all keeps one owner.

This file is also a program that needs nothing but the standard library, to be run where the tree is. Its
arguments are any number of commands with "--" between them:

    populate ROOT SEED NAME_MAX UID_MAX GID_MAX BIG
    mutate ROOT SEED
    snapshot ROOT NEW-FILE
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import stat
import sys
from collections.abc import Collection, Iterator
from typing import NamedTuple

Root = str | bytes | os.PathLike[str]

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}


class Entry(NamedTuple):
    """What can be seen of one path. A field that has no meaning for the kind is None."""

    kind: str
    mode: int  # permission bits with setuid, setgid, sticky
    uid: int
    gid: int
    nlink: int
    mtime: int  # seconds
    links: str  # the first path, in byte order, of the same inode within the tree
    size: int | None  # bytes; None for directories
    dir_size: int | None  # bytes; legitimately different between implementations
    rdev: str | None  # "major:minor"
    target: str | None
    sha256: str | None


Snapshot = dict[bytes, Entry]


def snapshot(root: Root) -> Snapshot:
    """Describe `root`, which is `b"."`, and all below it. ValueError if a directory lists a name twice."""
    base = os.fsencode(root)
    first: dict[int, bytes] = {}
    entries: Snapshot = {}
    for path in sorted(_walk(base)):
        if path in entries:
            raise ValueError(f"listed twice: {path!r}")
        full = os.path.join(base, path)
        status = os.lstat(full)
        kind = KINDS[stat.S_IFMT(status.st_mode)]
        is_device = kind in ("char", "block")
        entries[path] = Entry(
            kind=kind,
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            nlink=status.st_nlink,
            mtime=status.st_mtime_ns // 10**9,
            links=_text(first.setdefault(status.st_ino, path)),
            size=None if kind == "directory" else status.st_size,
            dir_size=status.st_size if kind == "directory" else None,
            rdev=f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}" if is_device else None,
            target=_text(os.readlink(full)) if kind == "symlink" else None,
            sha256=_digest(full) if kind == "file" else None,
        )
    return entries


def diff(a: Snapshot, b: Snapshot, *, ignore: Collection[str] = ()) -> list[str]:
    """The differences between two snapshots, one line each; `ignore` names fields of `Entry`."""
    lines = [f"{path!r}: only in the first" for path in a.keys() - b.keys()]
    lines += [f"{path!r}: only in the second" for path in b.keys() - a.keys()]
    for path in a.keys() & b.keys():
        for field, ours, theirs in zip(Entry._fields, a[path], b[path], strict=True):
            if ours != theirs and field not in ignore:
                shown = "{:#o} != {:#o}" if field == "mode" else "{!r} != {!r}"
                lines.append(f"{path!r}: {field} {shown.format(ours, theirs)}")
    return sorted(lines)


def dumps(tree: Snapshot) -> str:
    """A snapshot as JSON lines, in ASCII."""
    return "".join(json.dumps([_text(path), *entry]) + "\n" for path, entry in tree.items())


def loads(text: str) -> Snapshot:
    """The inverse of `dumps`."""
    tree = {}
    for line in text.splitlines():
        path, *values = json.loads(line)
        tree[path.encode("utf-8", "surrogateescape")] = Entry(*values)
    return tree


def populate(
    root: Root,
    seed: int,
    name_max: int,
    *,
    ids_max: tuple[int, int] = (0xFFFF, 0xFFFF),
    big: int = 8 << 20,
) -> None:
    """Fill the empty directory `root`: some 240 names, 200 inodes and 3 MB of data.

    `name_max` is the longest name in bytes (14 at least), `ids_max` the largest user and group id, `big` the
    offset in bytes up to which sparse files reach: by default past the first double indirect block of every
    layout; 70 MB shows triple indirect blocks with 1K blocks of 4-byte pointers.
    """
    _Grower(os.fsencode(root), seed, name_max, ids_max, big).grow()


def mutate(root: Root, seed: int) -> None:
    """Change the tree below `root` by some 100 operations, once a seed. Needs room for 1 MB and 50 inodes more."""
    base = os.fsencode(root)
    rng = random.Random(seed)
    changer = _Changer(base, rng)
    for number in range(100):
        changer.change(b"n%x-%d" % (seed % 4096, number))
    _stamp(base, rng)


class _Changer:
    """The state of `mutate`: what there is, by path and file type."""

    # Removing a directory takes much away, so it is done less often.
    OFTEN = ["rename", "replace", "move", "unlink", "link", "symlink", "mkdir", "create"]
    CHANGES = 3 * [*OFTEN, "shrink", "grow", "append", "overwrite"] + ["rmtree"]

    def __init__(self, base: bytes, rng: random.Random) -> None:
        self.base = base
        self.rng = rng
        self.types = {path: stat.S_IFMT(os.lstat(self._full(path)).st_mode) for path in _walk(base)}

    def change(self, name: bytes) -> None:
        """Do one change; what it makes is called `name`. Choices are from sorted lists, to be repeatable."""
        rng = self.rng
        directories = sorted(path for path, kind in self.types.items() if kind == stat.S_IFDIR)
        files = sorted(path for path, kind in self.types.items() if kind == stat.S_IFREG)
        nodes = sorted(self.types.keys() - directories)
        movable = [path for path in directories if path != b"."]
        home, node, other, file = map(rng.choice, (directories, nodes, nodes, files))
        fresh = os.path.normpath(os.path.join(home, name))
        size = os.path.getsize(self._full(file))
        data = rng.randbytes(rng.randrange(10000))
        match rng.choice(self.CHANGES):
            case "rename":
                self._rename(node, fresh)
            case "replace":
                # Between two links of one inode this would do nothing.
                if not os.path.samestat(os.lstat(self._full(node)), os.lstat(self._full(other))):
                    self._rename(node, other)
            case "move":
                moved = rng.choice(movable)
                # Not into itself, and not too deep: a path must fit into one system call.
                if not _is_below(home, moved) and len(home) < 500:
                    self._rename(moved, fresh)
            case "unlink":
                os.unlink(self._full(node))
                del self.types[node]
            case "link":
                os.link(self._full(node), self._full(fresh), follow_symlinks=False)
                self.types[fresh] = self.types[node]
            case "symlink":
                os.symlink(os.path.basename(node), self._full(fresh))
                self.types[fresh] = stat.S_IFLNK
            case "mkdir":
                os.mkdir(self._full(fresh))
                self.types[fresh] = stat.S_IFDIR
            case "create":
                _put(self._full(fresh), "xb", 0, data)
                self.types[fresh] = stat.S_IFREG
            case "shrink":
                os.truncate(self._full(file), rng.randrange(size + 1))
            case "grow":
                os.truncate(self._full(file), size + rng.randrange(5000))
            case "append":
                _put(self._full(file), "ab", size, data)
            case "overwrite":
                _put(self._full(file), "r+b", rng.randrange(min(size, 1 << 20) + 1), data)
            case "rmtree":
                parents = {os.path.dirname(path) for path in movable}
                leaf = rng.choice([path for path in movable if path not in parents])
                shutil.rmtree(self._full(leaf))
                self.types = {path: kind for path, kind in self.types.items() if not _is_below(path, leaf)}

    def _rename(self, old: bytes, new: bytes) -> None:
        os.rename(self._full(old), self._full(new))
        self.types.pop(new, None)
        self.types = {
            new + path[len(old) :] if _is_below(path, old) else path: kind for path, kind in self.types.items()
        }

    def _full(self, path: bytes) -> bytes:
        return os.path.join(self.base, path)


class _Grower:
    """The state of `populate`: what is there so far, and where the next thing goes."""

    # A mapping changes its shape after 7 (MINIX) or 12 (ext2) direct blocks, and after an indirect block of
    # 2-byte (V1) or 4-byte pointers.
    BLOCKS = (1024, 2048, 4096)
    DIRECT = (7, 12)
    SYMLINKS = (1, 14, 30, 59, 60, 61, 255, 1023)
    DEVICES = ((stat.S_IFCHR, 1, 3), (stat.S_IFCHR, 4, 255), (stat.S_IFBLK, 3, 0), (stat.S_IFBLK, 255, 17))
    ODD = (b"-rf", b" ", b"a b", b"\n", b"\\", b"...", b".hidden", b"\xff\xfe", "\u00e4\u20ac".encode(), b"*")

    def __init__(self, base: bytes, seed: int, name_max: int, ids_max: tuple[int, int], big: int) -> None:
        self.base = base
        self.rng = random.Random(seed)
        self.name_max = name_max
        self.ids_max = ids_max
        self.big = big
        self.directories = [base]
        self.files: list[bytes] = []

    def grow(self) -> None:
        self._grow_fixed_names()
        for _ in range(12):
            self.directories.append(self._fresh())
            os.mkdir(self.directories[-1])
        self._grow_files()
        self._grow_sparse_files()
        self._grow_links()
        self._grow_special_files()
        _stamp(self.base, self.rng, self.ids_max)

    def _grow_fixed_names(self) -> None:
        """Odd names, a deep directory, a wide one: many names, with free slots between them."""
        for name in self.ODD:
            self._file(os.path.join(self.base, name), 10)
        deep = self.base
        for depth in range(12):
            deep = os.path.join(deep, b"deep%d" % depth)
            os.mkdir(deep)
        wide = os.path.join(self.base, b"wide")
        os.mkdir(wide)
        for number in range(150):
            self._file(os.path.join(wide, (b"%03d" % number).ljust(self.name_max, b"w")), 3)
        for path in self.files[len(self.ODD) :: 3]:
            os.unlink(path)
            self.files.remove(path)
        self.directories += [deep, wide]

    def _grow_files(self) -> None:
        shapes = [block * count for block in self.BLOCKS for count in (1, *self.DIRECT)]
        sizes = {0, 1, *(shape + step for shape in shapes for step in (-1, 0, 1))}
        sizes |= {1024 * (7 + pointers) + step for pointers in (256, 512) for step in (0, 1)}
        for size in sorted(sizes):
            self._file(self._fresh(), size)
        zeroes = self._fresh()
        _put(zeroes, "xb", 0, bytes(3 * 4096))
        self.files.append(zeroes)

    def _grow_sparse_files(self) -> None:
        edges = set()
        for block in self.BLOCKS:
            for pointers in (block // 2, block // 4):
                for direct in self.DIRECT:
                    edges |= {block * direct, block * (direct + pointers)}
                    edges.add(block * (direct + pointers + pointers * pointers))
        edges = {edge for edge in edges if edge < self.big}
        comb = self._fresh()
        self._file(comb, 0)
        for edge in sorted(edges):
            _put(comb, "r+b", edge - 1, self.rng.randbytes(3))
        for edge in sorted(self.rng.sample(sorted(edges), 4)):
            _put(self._fresh(), "xb", edge, b"x")
        tail = self._fresh()
        self._file(tail, 5000)
        os.truncate(tail, self.big)

    def _grow_links(self) -> None:
        for count in (1, 2, 5, 40):
            source = self.rng.choice(self.files)
            for _ in range(count):
                os.link(source, self._fresh())
        for length in self.SYMLINKS:
            os.symlink(self._bytes(length), self._fresh())

    def _grow_special_files(self) -> None:
        os.mknod(self._fresh(), stat.S_IFIFO | 0o600)
        os.mknod(self._fresh(), stat.S_IFSOCK | 0o600)
        if os.geteuid() == 0:
            for kind, major, minor in self.DEVICES:
                os.mknod(self._fresh(), kind | 0o600, os.makedev(major, minor))

    def _file(self, path: bytes, size: int) -> None:
        _put(path, "xb", 0, self.rng.randbytes(size))
        self.files.append(path)

    def _fresh(self) -> bytes:
        """An unused path in some directory: short, of the maximum length, or of any length and any bytes."""
        while True:
            length = self.rng.choice((self.rng.randint(1, 4), self.rng.randint(1, self.name_max), self.name_max))
            path = os.path.join(self.rng.choice(self.directories), self._bytes(length).replace(b"/", b"_"))
            if not os.path.lexists(path) and os.path.basename(path) not in (b".", b".."):
                return path

    def _bytes(self, length: int) -> bytes:
        if self.rng.random() < 0.5:
            return bytes(self.rng.choices(b"abcdefghijklmnopqrstuvwxyz", k=length))
        return bytes(self.rng.choices(range(1, 256), k=length))


_MODES = (0o644, 0o600, 0o755, 0o4755, 0o2711, 0o1777, 0o6777, 0)


def _stamp(base: bytes, rng: random.Random, ids_max: tuple[int, int] | None = None) -> None:
    """Give all below `base` a time and, with `ids_max`, owner and mode; directories after what is in them."""
    for path in sorted(_walk(base), reverse=True):
        full = os.path.join(base, path)
        kind = stat.S_IFMT(os.lstat(full).st_mode)
        if ids_max is not None:
            ids = [rng.choice((0, 1, largest, rng.randint(0, largest))) for largest in ids_max]
            mode = rng.choice((*_MODES, rng.randrange(0o10000)))
            if os.geteuid() == 0:
                os.lchown(full, *ids)
            else:
                mode |= 0o700  # the owner must be able to read it again
            if kind != stat.S_IFLNK:
                os.chmod(full, mode)
        time = rng.choice((0, 1, 2**31 - 1, rng.randrange(2**31)))
        os.utime(full, (time, time), follow_symlinks=False)


def _walk(base: bytes) -> Iterator[bytes]:
    """The paths below `base`, relative, in no order; `b"."` itself first."""
    yield b"."
    pending = [b""]
    while pending:
        directory = pending.pop()
        with os.scandir(os.path.join(base, directory)) as listing:
            for item in listing:
                path = os.path.join(directory, item.name)
                yield path
                if item.is_dir(follow_symlinks=False):
                    pending.append(path)


def _is_below(path: bytes, top: bytes) -> bool:
    return path == top or path.startswith(top + b"/")


def _put(path: bytes, mode: str, offset: int, data: bytes) -> None:
    with open(path, mode) as file:
        file.seek(offset)
        file.write(data)


def _digest(path: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def main(command: list[str]) -> None:
    match command:
        case ["populate", root, seed, name_max, uid_max, gid_max, big]:
            ids_max = (int(uid_max), int(gid_max))
            populate(root, int(seed), int(name_max), ids_max=ids_max, big=int(big))
        case ["mutate", root, seed]:
            mutate(root, int(seed))
        case ["snapshot", root, output]:
            with open(output, "x", encoding="ascii") as file:
                file.write(dumps(snapshot(root)))
        case _:
            sys.exit(f"{command}: usage is at the top of {__file__}")


if __name__ == "__main__":
    for words in "\0".join(sys.argv[1:]).split("\0--\0"):
        main(words.split("\0"))
