"""`minixfs du`: how much space files and directories take. Options and messages are those of coreutils' du."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from sys import maxsize

import click

from minixfs.cli.images import Target
from minixfs.cli.job import Job, Verb, job, usage
from minixfs.cli.quoting import quoted
from minixfs.cli.show import human, json_text
from minixfs.cli.walk import Visit, walk
from minixfs.fs.protocol import Stat
from minixfs.image.image import Image


@click.command(cls=Verb)
@click.argument("arguments", nargs=-1, metavar="IMAGE [PATH...] | IMAGE:/PATH...")
@click.option("-s", "--summarize", is_flag=True, help="Show each argument only, not the directories below.")
@click.option("-a", "--all", "every", is_flag=True, help="Show files too.")
@click.option("-d", "--max-depth", type=click.IntRange(min=0), metavar="N", help="Show no more than N levels down.")
@click.option("-c", "--total", is_flag=True, help="Show the sum of all arguments at the end.")
@click.option("-h", "--human-readable", is_flag=True, help="Show sizes like 1.5K or 10M.")
@click.option(
    "-b", "--bytes", "apparent", is_flag=True, help="Show lengths of files in bytes, not the space they take."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON array of objects, for programs; sizes in bytes.")
def du(
    arguments: tuple[str, ...],
    summarize: bool,
    every: bool,
    max_depth: int | None,
    total: bool,
    human_readable: bool,
    apparent: bool,
    as_json: bool,
) -> int:
    """Show the space that directories of an image take with all that is in them, in units of 1024 bytes.

    Files with several names count once.

    \b
    minixfs du -sh disk.img /usr /var
    """
    if summarize and every:
        raise usage("cannot both summarize and show all entries")
    if summarize and max_depth:
        raise usage(f"warning: summarizing conflicts with --max-depth={max_depth}")
    with job() as work:
        targets = work.images.targets(arguments, b"/")
        several = len({target.image for target in targets}) > 1
        count = _Count(work, 0 if summarize else maxsize if max_depth is None else max_depth, every, apparent, several)
        for image, target in work.opened(targets):
            count.add(image, target, repeated=len(targets) > 1)
        lines = [*count.lines, *[(None, b"total", count.total)] * total]
        if as_json:
            objects = [{**_where(target, name), "size": size} for target, name, size in lines]
            work.out.write(json_text(objects, indent=1).encode() + b"\n")
        else:
            for _, name, size in lines:
                shown = human(size) if human_readable else str(size if apparent else -(-size // 1024))
                work.out.write(shown.encode() + b"\t")
                work.put(name)
        return work.status


def _where(target: Target | None, name: bytes) -> dict[str, object]:
    return {"total": True} if target is None else {"image": target.image, "path": os.fsdecode(name)}


@dataclass
class _Count:
    """What was counted so far; `lines` has what is to be shown: argument, name, bytes."""

    work: Job
    depth: int
    every: bool
    apparent: bool
    several: bool
    total: int = 0
    lines: list[tuple[Target | None, bytes, int]] = field(default_factory=list)
    _seen: set[tuple[str, int]] = field(default_factory=set)

    def add(self, image: Image, target: Target, *, repeated: bool) -> None:
        """An argument with all below; `repeated`: there are others, and what they share counts once."""
        start = os.fsencode(target.image) + b":" + target.shown if self.several else target.shown
        sums: list[int] = []
        for visit in walk(image, target.path):
            self.work.check()
            if visit.error is not None:
                self._complain(visit, target)
            if visit.found is None or (visit.error is not None and not visit.leaving):
                continue
            if not visit.leaving and self._counted(target.image, visit.found, repeated):
                visit.prune = True
                continue
            size = visit.found.size if self.apparent else visit.found.blocks * 512
            if visit.is_directory and not visit.leaving:
                sums.append(size)
                continue
            if visit.is_directory:
                size = sums.pop()
            if sums:
                sums[-1] += size
            else:
                self.total += size
            if visit.depth <= self.depth and (visit.is_directory or self.every or not visit.depth):
                self.lines.append((target, visit.under(start), size))

    def _counted(self, image: str, found: Stat, repeated: bool) -> bool:
        """Whether this file was counted under another name."""
        if not repeated and (stat.S_ISDIR(found.mode) or found.nlink < 2):
            return False
        key = image, found.ino
        if key in self._seen:
            return True
        self._seen.add(key)
        return False

    def _complain(self, visit: Visit, target: Target) -> None:
        what = "cannot access" if visit.found is None else "cannot read directory"
        reason = visit.error.strerror if visit.error is not None else ""
        self.work.complain(f"{what} {quoted(visit.under(target.name))}: {reason}")
