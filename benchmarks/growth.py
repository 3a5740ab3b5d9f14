"""Times single operations of our mounts as file systems grow: `python -m benchmarks.growth --help`.

Three series: files in the file system, a hundred in each directory; entries in one directory; the size of one file. A
row is an operation, a column a size; what does not depend on the size is the same all along a row. A figure is the
time of one operation and, in brackets, the processor time of the server for it, both medians over the rounds. All sizes
take turns within each round.

"Cold" means that nobody has anything in memory; "warm" that the server has, but that the kernel was made to forget,
which takes root: without it those rows are left out. The directories of the files that are asked for are known
beforehand in either case, so that an operation is the same number of requests in a file system of any size.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tarfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory, gettempdir

from benchmarks import machine, report
from benchmarks.contenders import Contender
from benchmarks.measure import run_phase
from benchmarks.mount import DROP_CACHES, BenchmarkError, Mount, end_in_order
from benchmarks.report import MIB, Sheet
from benchmarks.samples import place
from benchmarks.workloads import Phase

FILES = (1_000, 10_000, 100_000, 1_000_000)
ENTRIES = (10, 1_000, 10_000, 100_000)
MIB_OF_A_FILE = (1, 32, 512, 2_000)
FILES_A_DIRECTORY = 100
FILE_BYTES = 512
SPARE_INODES = 5000
EMPTY_BYTES, BYTES_A_FILE = 256 * MIB, 8192
"""Of an image: what it has before there are files, and for each small file. A large one takes an eighth more."""
SAMPLES, QUICK_SAMPLES = 1000, 100
ROUNDS, QUICK_ROUNDS = 3, 1
KINDS = {"MFS": ["--version", "3", "-B", "4096"], "ext2": ["-t", "ext2", "-B", "4096"]}


class Filled(Contender):
    """Our mount of an image that has what is in a tar file, and room for more."""

    programs = ("minixfs",)

    def __init__(self, kind: str, tar: Path) -> None:
        super().__init__(kind)
        self._tar = tar

    def make(self, image: Path) -> list[str]:
        spare = ["-i", f"+{SPARE_INODES}"]
        return ["minixfs", "mkfs", "-q", *KINDS[self.name], *spare, "-d", str(self._tar), str(image)]

    def serve(self, image: Path, directory: Path) -> list[str]:
        return ["minixfs", "mount", "-f", str(image), str(directory)]


@dataclass(frozen=True)
class Subject:
    """A file system of one size: `files` are put into it when it is made, `prepare` runs once, the rest in each round.

    `cold` runs on a new mount, `warm` after it, when the kernel was made to forget names.
    """

    size: int
    files: int
    files_a_directory: int
    image_bytes: int
    prepare: tuple[Phase, ...]
    cold: tuple[Phase, ...]
    warm: tuple[Phase, ...]


@dataclass(frozen=True)
class Series:
    """`unit` is what sizes count."""

    title: str
    unit: str
    subjects: tuple[Subject, ...]


Samples = dict[tuple[str, str, int], list[tuple[float, float]]]
"""By kind of file system, operation and size: microseconds of an operation, and of the server's processor for it."""


def action(module: str, name: str, body: str, *numbers: int, timed: bool = True) -> Phase:
    """A client's action on the root. The first number is how many operations it is."""
    line = (sys.executable, "-m", f"benchmarks.{module}", body, "{mnt}", *map(str, numbers))
    return Phase(name, line, numbers[0], timed=timed, own_clock=True)


def tree(size: int, files_a_directory: int, samples: int) -> Subject:
    numbers = min(samples, size), size, files_a_directory
    visit = action("samples", "visit", "visit", *numbers, timed=False)
    cold = (
        visit,
        action("samples", "lookup, cold", "stat", *numbers),
        action("samples", "stat again", "stat", *numbers),
        action("samples", "open, read 4K, close", "read", *numbers),
        action("samples", "create", "create", *numbers),
        action("samples", "unlink", "unlink", *numbers),
    )
    warm = visit, action("samples", "lookup, warm", "stat", *numbers)
    return Subject(size, size, files_a_directory, EMPTY_BYTES + size * BYTES_A_FILE, (), cold, warm)


def file(mib: int, samples: int) -> Subject:
    """A file that is written through the mount, as `mkfs -d` would have to be given it in a tar file."""
    prepare = (action("client", "write", "write_file", mib),)
    cold = (
        action("client", "4K read, cold", "random_read", samples),
        action("client", "4K append", "append", samples),
    )
    return Subject(mib, 0, FILES_A_DIRECTORY, EMPTY_BYTES + mib * MIB * 9 // 8, prepare, cold, ())


def all_series(largest: int, samples: int) -> list[Series]:
    """`largest` limits the number of files in a file system; of the other sizes those of the same rank are left out."""
    ranks = sum(size <= largest for size in FILES)
    return [
        Series("files", "files", tuple(tree(n, FILES_A_DIRECTORY, samples) for n in FILES[:ranks])),
        Series("directory", "entries", tuple(tree(n, n, samples) for n in ENTRIES[:ranks])),
        Series("file", "MiB", tuple(file(n, samples) for n in MIB_OF_A_FILE[:ranks])),
    ]


def write_tar(path: Path, files: int, files_a_directory: int) -> None:
    with tarfile.open(path, "w") as archive:
        for number in range(files):
            member = tarfile.TarInfo(place(number, files_a_directory))
            member.size = FILE_BYTES
            archive.addfile(member, io.BytesIO(bytes([number % 255 + 1]) * FILE_BYTES))


def measure(series: Series, rounds: int, folder: Path) -> Samples:
    """Make every file system of the series, and time its operations in each round, size after size."""
    samples: Samples = defaultdict(list)
    with ExitStack() as stack:
        mounts: list[tuple[Subject, Mount]] = []
        for subject in series.subjects:
            tar = folder / "tree.tar"
            write_tar(tar, subject.files, subject.files_a_directory)
            for kind in KINDS:
                own = stack.enter_context(TemporaryDirectory(dir=folder))
                mount = stack.enter_context(Mount(Filled(kind, tar), Path(own), subject.image_bytes))
                mount.start()
                for phase in subject.prepare:
                    run_phase(mount, phase, {})
                mount.stop()
                mounts.append((subject, mount))
            tar.unlink()
        for _ in range(rounds):
            for subject, mount in mounts:
                mount.chill_image()
                mount.start()
                time_phases(mount, subject.cold, subject.size, samples)
                if subject.warm and os.access(DROP_CACHES, os.W_OK):
                    mount.forget_names()
                    time_phases(mount, subject.warm, subject.size, samples)
                mount.stop()
    return samples


def time_phases(mount: Mount, phases: Sequence[Phase], size: int, samples: Samples) -> None:
    for phase in phases:
        before = mount.cpu_seconds()
        seconds = run_phase(mount, phase, {})
        processor = mount.cpu_seconds() - before
        if phase.timed:
            sample = seconds / phase.count * 1e6, processor / phase.count * 1e6
            samples[mount.contender.name, phase.name, size].append(sample)


def sheet(series: Series, samples: Samples) -> Sheet:
    sizes = [subject.size for subject in series.subjects]
    rows = []
    for kind, operation in dict.fromkeys((kind, operation) for kind, operation, _ in samples):
        row = [f"{kind}: {operation}"]
        for size in sizes:
            times, processor = zip(*samples[kind, operation, size], strict=True)
            row.append(f"{median(times):.0f} ({median(processor):.0f})")
        rows.append(row)
    title = f"{series.title}: us of an operation (of the server's processor), medians"
    return Sheet(title, ["operation", *(f"{size:,} {series.unit}" for size in sizes)], rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="the two smallest sizes, once: for a look, not for a claim"
    )
    parser.add_argument(
        "--files", type=int, default=FILES[-1], metavar="N", help="the most files (default %(default)s)"
    )
    parser.add_argument("--only", metavar="SERIES", help="only this one: files, directory or file")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"default {ROUNDS}, with --quick {QUICK_ROUNDS}")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables to FILE as Markdown")
    parser.add_argument("--dir", type=Path, default=Path(gettempdir()), help="folder for images (default %(default)s)")
    options = parser.parse_args()
    end_in_order()
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    chosen = all_series(FILES[1] if options.quick else options.files, QUICK_SAMPLES if options.quick else SAMPLES)
    if options.only:
        chosen = [series for series in chosen if series.title == options.only]
        if not chosen:
            parser.error(f"no series {options.only}")
    about = machine.describe([])
    print(f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}, load {about['load_average']:.1f}")
    tables = []
    for series in chosen:
        with TemporaryDirectory(prefix="minixfs-bench-", dir=options.dir) as folder:
            try:
                table = sheet(series, measure(series, rounds, Path(folder)))
            except BenchmarkError as error:
                print(f"{series.title}: {error}", file=sys.stderr)
                return 1
        report.show(table)
        tables.append(report.markdown(table))
    if options.markdown:
        options.markdown.write_text("\n".join(tables))
    return 0


if __name__ == "__main__":
    sys.exit(main())
