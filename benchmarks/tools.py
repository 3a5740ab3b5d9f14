"""Times the offline commands beside the C programs that do the same, in turns: `python -m benchmarks.tools --help`.

A row is one piece of work that two commands do: fill a new image from a directory (mke2fs -d), copy everything out of
one (debugfs rdump), check a large one (fsck.minix, e2fsck), list a small one (debugfs ls). Start-up is part of it. Real
time is what a user waits, processor time what is left of it on a busy machine; each figure is the median of the rounds,
after one round that only warms the host's caches. The ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import NamedTuple

from benchmarks import machine
from benchmarks.mount import command

FILES = 20_000
"""Files that are put in and copied out."""
MINIX_FILES, MINIX_SIZE = 100_000, "2G"
EXT2_FILES, EXT2_SIZE = 200_000, "4G"
"""The volumes that are checked."""
PER_DIRECTORY = 100
SIZES = (100, 500, 1500, 3000, 4000, 8000)
"""Bytes of a file, one of these."""


class Work(NamedTuple):
    """`ours` and `theirs` do the same; `clear` removes what a run left behind."""

    name: str
    ours: list[str]
    theirs: list[str]
    clear: Callable[[], None] = lambda: None


class Times(NamedTuple):
    """Of one run, in seconds."""

    real: float
    processor: float


def prepare(folder: Path, scale: int) -> list[Work]:
    """Make all that the work needs, a `scale`-th of the full size."""
    tree, out = folder / "tree", folder / "out"
    write_tree(tree, FILES // scale)
    minix, ext2, small = (str(folder / name) for name in ("minix", "ext2", "small"))
    large_minix, large_ext2 = (str(folder / name) for name in ("large-minix", "large-ext2"))
    new_minix, new_ext2 = folder / "new-minix", folder / "new-ext2"
    inodes = str(FILES // scale * 3 // 2)

    def make_ext2(image: str) -> list[str]:
        return ["mke2fs", "-q", "-F", "-t", "ext2", "-b", "4096", "-N", inodes, "-d", str(tree), image, "512M"]

    once(["minixfs", "mkfs", "-q", "-d", str(tree), minix])
    once(make_ext2(ext2))
    make_large(large_minix, ["-B", "1K"], MINIX_FILES // scale, MINIX_SIZE)
    make_large(large_ext2, ["-t", "ext2"], EXT2_FILES // scale, EXT2_SIZE)
    once(["minixfs", "mkfs", "-q", small, "4M"])

    def clear_images() -> None:
        new_minix.unlink(missing_ok=True)
        new_ext2.unlink(missing_ok=True)

    def clear_out() -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()

    return [
        Work(
            f"mkfs -d, {FILES // scale} files",
            ["minixfs", "mkfs", "-q", "-d", str(tree), str(new_minix)],
            make_ext2(str(new_ext2)),
            clear_images,
        ),
        Work(
            f"cp -r out, {FILES // scale} files",
            ["minixfs", "cp", "-r", f"{minix}:/", str(out / "ours")],
            ["debugfs", "-R", f"rdump / {out}", ext2],
            clear_out,
        ),
        Work(
            f"fsck -n, V3, {MINIX_SIZE}, {MINIX_FILES // scale} files",
            ["minixfs", "fsck", "-n", large_minix],
            ["fsck.minix", "-f", large_minix],
        ),
        Work(
            f"fsck -n, ext2, {EXT2_SIZE}, {EXT2_FILES // scale} files",
            ["minixfs", "fsck", "-n", large_ext2],
            ["e2fsck", "-fn", large_ext2],
        ),
        Work("ls of a small image", ["minixfs", "ls", small], ["debugfs", "-R", "ls /", ext2]),
    ]


def make_large(image: str, options: list[str], files: int, size: str) -> None:
    """Make a volume with so many files, which are never on the host."""
    tar = Path(f"{image}.tar")
    write_tar(tar, files)
    once(["minixfs", "mkfs", "-q", "-d", str(tar), *options, image, size])
    tar.unlink()


def write_tree(top: Path, files: int) -> None:
    rng = random.Random(1)
    for number in range(files):
        path = top / f"{number // PER_DIRECTORY // 10:03}" / f"{number // PER_DIRECTORY % 10}" / f"file{number:06}"
        if number % PER_DIRECTORY == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(rng.randbytes(rng.choice(SIZES)))


def write_tar(path: Path, files: int) -> None:
    """As `write_tree`, but in one file. fsck.minix counts no more than 255 links."""
    rng = random.Random(2)
    with tarfile.open(path, "w") as archive:
        for number in range(files):
            directory = number // PER_DIRECTORY
            member = tarfile.TarInfo(f"{directory // 10:03}/{directory % 10}/file{number:06}")
            member.size = rng.choice(SIZES)
            archive.addfile(member, BytesIO(bytes(member.size)))


def once(line: list[str]) -> Times:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command(line), stdin=subprocess.DEVNULL, capture_output=True, check=False)
    real, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(line)}: exit code {done.returncode}: {done.stderr.decode(errors='replace')}")
    return Times(real, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def median(samples: list[Times]) -> Times:
    return Times(*(statistics.median(values) for values in zip(*samples, strict=True)))


def row(work: Work, rounds: int) -> str:
    ours: list[Times] = []
    theirs: list[Times] = []
    for turn in range(rounds + 1):
        for line, samples in ((work.ours, ours), (work.theirs, theirs)):
            work.clear()
            sample = once(line)
            if turn:
                samples.append(sample)
    work.clear()
    our, their = median(ours), median(theirs)
    cells = [work.name, work.theirs[0]]
    cells += [f"{our.real:.2f} s", f"{their.real:.2f} s", f"{our.real / their.real:.2f}"]
    cells += [f"{our.processor:.2f} s", f"{their.processor:.2f} s", f"{our.processor / their.processor:.2f}"]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tools", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: for a look, not for a claim")
    parser.add_argument("--only", metavar="WORD", default="", help="only work whose name begins so")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default 5")
    parser.add_argument("--dir", type=Path, default=Path(gettempdir()), help="folder for images (default %(default)s)")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has its bytecode, and here too it may be kept
    about = machine.describe([])
    print(f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}, load {about['load_average']:.1f}")
    print("\n| Work | against | minixfs | other | ratio | minixfs, processor | other, processor | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    with TemporaryDirectory(prefix="minixfs-bench-", dir=options.dir) as folder:
        for work in prepare(Path(folder), 10 if options.quick else 1):
            if work.name.startswith(options.only):
                print(row(work, options.rounds), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
