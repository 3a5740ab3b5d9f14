"""The command line of the benchmarks: `python -m benchmarks --help`.

Exit status: 0 when something was measured (missing contenders and single failures are reported), 1 when
nothing was, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from benchmarks import contenders, machine, material, measure, report, workloads
from benchmarks.mount import end_in_order

ROUNDS, QUICK_ROUNDS = 5, 3


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time minixfs beside fuse2fs and a null pyfuse3 server, interleaved in one run.",
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: for a look, not for a claim")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, settings and all samples to FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table of times to FILE as Markdown")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this session or workload (repeatable)")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"default {ROUNDS}, with --quick {QUICK_ROUNDS}")
    parser.add_argument(
        "--fs", default=",".join(contenders.DEFAULT), metavar="A,B,...",
        help=f"contenders, ours are compared with the rest; of {', '.join(contenders.CONTENDERS)}"
        f" (default {','.join(contenders.DEFAULT)})",
    )  # fmt: skip
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path(gettempdir()),
        help="folder for images and mount points (default %(default)s)",
    )
    options = parser.parse_args(arguments)
    options.names = options.fs.split(",")
    if unknown := [name for name in options.names if name not in contenders.CONTENDERS]:
        parser.error(f"no contender {', '.join(unknown)}; there are: {', '.join(contenders.CONTENDERS)}")
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    options.scale = workloads.QUICK if options.quick else workloads.FULL
    options.sessions = workloads.sessions(options.scale)
    if options.only:
        try:
            options.sessions = workloads.select(options.sessions, options.only)
        except ValueError as error:
            parser.error(str(error))
    return options


def tell(text: str) -> None:
    """Progress: one line that overwrites itself, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def main() -> int:
    options = parse(sys.argv[1:])
    end_in_order()
    present = []
    for name in dict.fromkeys(options.names):
        contender = contenders.CONTENDERS[name]
        if reason := contender.missing():
            print(f"{name} is left out: {reason}", file=sys.stderr)
        else:
            present.append(contender)
    about = machine.describe(present)
    with TemporaryDirectory(prefix="minixfs-bench-", dir=options.dir) as folder:
        tar, repository = Path(folder) / "tree.tar", Path(folder) / "repository"
        material.make_tar(tar, options.scale.tar_files)
        material.make_repository(repository, options.scale.cloned_files)
        places = {"{tar}": str(tar), "{repository}": str(repository)}
        results = measure.run(present, options.sessions, options.rounds, Path(folder), places, tell)
    tell("")
    for failure in dict.fromkeys((f.contender, f.session, f.message) for f in results.failures):
        print(f"{failure[0]}, session {failure[1]}: {failure[2]}", file=sys.stderr)
    measured = {sample.contender for sample in results.samples}
    names = [contender.name for contender in present if contender.name in measured]
    if not names:
        print("nothing was measured", file=sys.stderr)
        return 1
    where = f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}, load {about['load_average']:.1f}"
    print(f"{where}; rounds: {options.rounds}; {about['date']}")
    sheets = report.sheets(results, names)
    for sheet in sheets:
        report.show(sheet)
    if options.markdown:
        options.markdown.write_text(report.markdown(sheets[0]))
    if options.json:
        settings = {
            "rounds": options.rounds,
            "quick": options.quick,
            "only": options.only,
            "contenders": names,
        }
        document = report.document(results, about, settings)
        options.json.write_text(json.dumps(document, indent=1) + os.linesep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
