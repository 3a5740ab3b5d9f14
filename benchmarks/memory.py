"""Shows what memory our mounts take, idle and after work: `python -m benchmarks.memory --help`.

A row is a mount with a cache of some size; it writes a large file, reads it, lists a tree of many files with their
attributes, and then the kernel is made to forget them (which takes root). A figure is what is resident of the server
after that, in MiB; the last one is the most it ever was. `cache_size` limits cached blocks; what a server keeps for
each file that the kernel knows comes on top.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from benchmarks import machine, report
from benchmarks.growth import BYTES_A_FILE, EMPTY_BYTES, FILES_A_DIRECTORY, KINDS, Filled, action, write_tar
from benchmarks.measure import run_phase
from benchmarks.mount import DROP_CACHES, BenchmarkError, Mount, end_in_order
from benchmarks.report import MIB, Sheet
from benchmarks.workloads import Phase

CACHES = ("16M", "64M")
FILES, MIB_OF_A_FILE = 100_000, 512


class Limited(Filled):
    """Our mount with a cache of so many bytes, told as the option is."""

    def __init__(self, kind: str, tar: Path, cache: str) -> None:
        super().__init__(kind, tar)
        self.cache = cache

    def serve(self, image: Path, directory: Path) -> list[str]:
        return [*super().serve(image, directory), "-o", f"cache_size={self.cache}"]


def row(mount: Mount, mib: int) -> list[str]:
    """The figures of one mount, in the order of `header`."""
    find = Phase("list", ("find", "{mnt}", "-printf", "%s %m %T@\n"), 1)
    mount.start()
    figures = [mount.memory().rss]
    for phase in (action("client", "write", "write_file", mib), action("client", "read", "read_file", mib), find):
        if os.access(DROP_CACHES, os.W_OK):
            mount.forget_names()
        run_phase(mount, phase, {})
        figures.append(mount.memory().rss)
    if os.access(DROP_CACHES, os.W_OK):
        mount.forget_names()
    figures += [mount.memory().rss, mount.memory().peak]
    mount.stop()
    return [f"{figure / MIB:.0f}" for figure in figures]


def header(mib: int, files: int) -> list[str]:
    return ["mount", "idle", f"{mib} MiB written", f"{mib} MiB read", f"{files:,} files listed", "forgotten", "peak"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table to FILE as Markdown")
    parser.add_argument("--dir", type=Path, default=Path(gettempdir()), help="folder for images (default %(default)s)")
    options = parser.parse_args()
    end_in_order()
    files, mib = (FILES // 10, MIB_OF_A_FILE // 10) if options.quick else (FILES, MIB_OF_A_FILE)
    about = machine.describe([])
    print(f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}, load {about['load_average']:.1f}")
    rows = []
    with TemporaryDirectory(prefix="minixfs-bench-", dir=options.dir) as folder:
        tar = Path(folder) / "tree.tar"
        write_tar(tar, files, FILES_A_DIRECTORY)
        for kind in KINDS:
            for cache in CACHES:
                contender = Limited(kind, tar, cache)
                try:
                    with (
                        TemporaryDirectory(dir=folder) as own,
                        Mount(contender, Path(own), EMPTY_BYTES + files * BYTES_A_FILE + 2 * mib * MIB) as mount,
                    ):
                        rows.append([f"{kind}, cache_size={cache}", *row(mount, mib)])
                except BenchmarkError as error:
                    print(f"{kind}, cache_size={cache}: {error}", file=sys.stderr)
                    return 1
    table = Sheet("Resident memory of the server / MiB", header(mib, files), rows)
    report.show(table)
    if options.markdown:
        options.markdown.write_text(report.markdown(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
