"""What is timed: sessions of phases.

A `Session` starts from a new image and a new mount, so that contenders and sessions cannot disturb each
other; its phases run in order, each building on what the ones before it left (the files that `stat` looks
at are those that `create` made). A `Phase` is one fresh client process. `{mnt}`, `{tar}` and `{repository}` in its
command stand for the mount point and what `material` made.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from benchmarks.contenders import IMAGE_BYTES


@dataclass(frozen=True)
class Phase:
    """One client process for `count` units of work.

    `unit` is how its speed is told: "us" a piece of work, "MB/s" when `count` is MiB, or "ms" in all.
    """

    name: str
    command: tuple[str, ...]
    count: int
    unit: str = "us"
    cold: bool = False  # caches are emptied first
    timed: bool = True
    own_clock: bool = False  # the client says how long it took, start-up excluded


@dataclass(frozen=True)
class Session:
    """`image_bytes` is the size of the image, which is sparse at first."""

    name: str
    phases: tuple[Phase, ...]
    image_bytes: int = IMAGE_BYTES


@dataclass(frozen=True)
class Scale:
    """How much of everything. `big_mib` is read and written in sequence."""

    files: int
    folders: int
    tar_files: int
    entries: int
    big_mib: int
    records: int
    fsyncs: int
    cloned_files: int
    transactions: int
    rows: int
    files_at_once: int


FULL = Scale(
    files=5000, folders=1000, tar_files=1000, entries=20_000, big_mib=512, records=10_000, fsyncs=500,
    cloned_files=300, transactions=100, rows=10_000, files_at_once=2000,
)  # fmt: skip
QUICK = Scale(
    files=500, folders=200, tar_files=200, entries=2000, big_mib=64, records=1000, fsyncs=50,
    cloned_files=60, transactions=20, rows=1000, files_at_once=200,
)  # fmt: skip
LARGE_IMAGE = 64 << 30


def _action(
    name: str,
    action: str,
    folder: str,
    count: int,
    *,
    unit: str = "us",
    cold: bool = False,
    timed: bool = True,
) -> Phase:
    """A phase whose body is `benchmarks.client`'s `action`."""
    line = (sys.executable, "-m", "benchmarks.client", action, f"{{mnt}}{folder}", str(count))
    return Phase(name, line, count, unit, cold=cold, timed=timed, own_clock=True)


def sessions(scale: Scale) -> list[Session]:
    n, entries, big, records = scale.files, scale.entries, scale.big_mib, scale.records
    cat = ("find", "{mnt}/tree", "-type", "f", "-exec", "cat", "{}", "+")
    find = ("find", "{mnt}/tree", "-printf", "%s %m %T@ %p\n")
    clone = ("git", "clone", "--quiet", "--no-hardlinks", "{repository}", "{mnt}/clone")
    return [
        Session("mount", ()),
        Session("mount, large image", (), LARGE_IMAGE),
        Session("files", (
            _action("create", "create", "/files", n),
            _action("stat", "stat", "/files", n),
            _action("stat, cold", "stat", "/files", n, cold=True),
            _action("failed lookup, twice", "absent", "/files", n),
            _action("open+close", "open_close", "/files", n),
            _action("rename", "rename", "/files", n),
            _action("unlink", "unlink", "/files", n),
            _action("mkdir+rmdir", "mkdir_rmdir", "", scale.folders),
        )),
        Session("tree", (
            Phase("untar", ("tar", "-xf", "{tar}", "-C", "{mnt}"), scale.tar_files),
            Phase("find with stat", find, scale.tar_files),
            Phase("find with stat, cold", find, scale.tar_files, cold=True),
            Phase("cat all, cold", cat, scale.tar_files, cold=True),
            Phase("cat all, warm", cat, scale.tar_files),
            Phase("rm -rf", ("rm", "-rf", "{mnt}/tree"), scale.tar_files),
        )),
        Session("sequential", (
            _action("write+fsync", "write_file", "", big, unit="MB/s"),
            _action("read, cold", "read_file", "", big, unit="MB/s", cold=True),
            _action("read, warm", "read_file", "", big, unit="MB/s"),
        )),
        Session("random", (
            _action("prepare", "write_file", "", 64, unit="MB/s", timed=False),
            _action("4K read, cold", "random_read", "", records, cold=True),
            _action("4K write, one fsync", "random_write", "", records),
            _action("4K write+fsync", "random_write_fsync", "", scale.fsyncs),
            _action("4K append+fsync", "write_fsync", "", scale.fsyncs),
        )),
        Session("mixed", (
            Phase("git clone", clone, 1, "ms"),
            _action("make", "build", "/clone/source", scale.cloned_files, unit="ms"),
            _action("sqlite, small transactions", "database", "", scale.transactions),
            _action("sqlite, one transaction", "database_at_once", "", scale.rows),
            _action("four processes", "workers", "", scale.files_at_once),
        )),
        Session("directory", (
            _action("prepare", "create", "/many", entries, timed=False),
            _action("readdir", "readdir", "/many", entries),
            _action("readdir, cold", "readdir", "/many", entries, cold=True),
            _action("readdir with stat", "readdir_stat", "/many", entries),
            _action("readdir with stat, cold", "readdir_stat", "/many", entries, cold=True),
        )),
    ]  # fmt: skip


def select(everything: Sequence[Session], wanted: Collection[str]) -> list[Session]:
    """The sessions and phases that `wanted` names; earlier phases stay, untimed, since later ones build on
    them.

    Raises ValueError for a name that nothing has.
    """
    known = {session.name for session in everything} | {p.name for session in everything for p in session.phases}
    if unknown := set(wanted) - known:
        raise ValueError(f"no workload {', '.join(sorted(unknown))}; there are: {', '.join(sorted(known))}")
    chosen = []
    for session in everything:
        hits = [i for i, phase in enumerate(session.phases) if phase.timed and phase.name in wanted]
        if session.name in wanted:
            chosen.append(session)
        elif hits:
            phases = session.phases[: hits[-1] + 1]
            chosen.append(Session(session.name, tuple(replace(p, timed=p.name in wanted) for p in phases)))
    return chosen
