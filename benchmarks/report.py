"""Turns samples into tables for people and a JSON document for programs.

A figure is the median over the rounds; in brackets beside a time, the CPU seconds that the server spent on the whole
phase. A ratio compares medians, the time of one of ours over another's, so below 1 we are faster; the range beside it
is that of the ratios of single rounds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks.contenders import OURS
from benchmarks.measure import Results, Sample, ServerLife

MIB = 1 << 20
Key = tuple[str, str]  # session, phase


@dataclass(frozen=True)
class Sheet:
    title: str
    header: list[str]
    rows: list[list[str]]


def sheets(results: Results, names: Sequence[str]) -> list[Sheet]:
    """All tables for the contenders `names`; the first one is what was timed."""
    return [_times(results.samples, names), _servers(results.lives, names)]


def _by_round(samples: Iterable[Sample], key: Key, name: str) -> dict[int, Sample]:
    """Samples by round; of several in one round (each session mounts) the median one."""
    found: dict[int, list[Sample]] = {}
    for sample in samples:
        if (sample.session, sample.phase) == key and sample.contender == name:
            found.setdefault(sample.round, []).append(sample)
    return {
        number: sorted(many, key=lambda sample: sample.seconds)[(len(many) - 1) // 2] for number, many in found.items()
    }


def speed(sample: Sample, seconds: float) -> str:
    """`seconds` for the work of `sample`, told in the unit of its phase."""
    match sample.unit:
        case "MB/s":
            return f"{sample.count * MIB / seconds / 1e6:.0f} MB/s"
        case "ms":
            return f"{seconds * 1e3:.0f} ms"
        case _:
            return f"{seconds / sample.count * 1e6:.1f} us"


def ratio(ours: dict[int, Sample], theirs: dict[int, Sample]) -> str:
    """Ratio of the medians and, over the rounds that both have, its range."""
    both = ours.keys() & theirs.keys()
    if not both:
        return "-"
    singles = [ours[number].seconds / theirs[number].seconds for number in both]
    of_medians = median(s.seconds for s in ours.values()) / median(s.seconds for s in theirs.values())
    return f"{of_medians:.2f} ({min(singles):.2f}-{max(singles):.2f})"


def compared(names: Sequence[str]) -> list[tuple[str, str]]:
    """Each of ours with each of the others; if all are of one side, the first with the rest."""
    ours = [name for name in names if name in OURS]
    others = [name for name in names if name not in OURS]
    if not ours or not others:
        return [(names[0], other) for other in names[1:]]
    return [(name, other) for name in ours for other in others]


def _times(samples: Sequence[Sample], names: Sequence[str]) -> Sheet:
    pairs = compared(names)
    header = ["workload", *names, *(f"{ours} / {other}" for ours, other in pairs)]
    keys = dict.fromkeys((sample.session, sample.phase) for sample in samples)
    rows = []
    for key in keys:
        row = [": ".join(key)]
        rounds = {name: _by_round(samples, key, name) for name in names}
        for name in names:
            if runs := list(rounds[name].values()):
                seconds, cpu = median(run.seconds for run in runs), median(run.cpu_seconds for run in runs)
                row.append(f"{speed(runs[0], seconds)} ({cpu:.2f})")
            else:
                row.append("-")
        rows.append(row + [ratio(rounds[ours], rounds[other]) for ours, other in pairs])
    return Sheet("Time of a unit of work (CPU seconds of the server in all), medians", header, rows)


def _servers(lives: Sequence[ServerLife], names: Sequence[str]) -> Sheet:
    header = ["server after session", *names]
    measures: list[tuple[str, Callable[[ServerLife], float], str]] = [
        ("idle RSS / MiB", lambda life: life.idle_rss / MIB, ".1f"),
        ("idle PSS / MiB", lambda life: life.idle_pss / MIB, ".1f"),
        ("RSS / MiB", lambda life: life.loaded_rss / MIB, ".1f"),
        ("PSS / MiB", lambda life: life.loaded_pss / MIB, ".1f"),
        ("CPU in all / s", lambda life: life.cpu_seconds, ".2f"),
        ("unmount / s", lambda life: life.unmount_seconds, ".3f"),
    ]
    rows = []
    for session in dict.fromkeys(life.session for life in lives):
        for title, value, form in measures:
            if title.startswith("idle") and session != lives[0].session:
                continue  # idle is the same in every session
            row = [f"{session}: {title}"]
            for name in names:
                values = [value(life) for life in lives if (life.session, life.contender) == (session, name)]
                row.append(format(median(values), form) if values else "-")
            rows.append(row)
    return Sheet("Servers (medians)", header, rows)


def show(sheet: Sheet) -> None:
    """Print a table: with rich on a terminal, else as plain columns."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(title=sheet.title, title_justify="left")
        for column, title in enumerate(sheet.header):
            table.add_column(title, justify="right" if column else "left", no_wrap=True)
        for row in sheet.rows:
            table.add_row(*row)
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(sheet.header, *sheet.rows, strict=True)]
    print(f"\n{sheet.title}")
    for row in [sheet.header, *sheet.rows]:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)),
        ]
        print("  ".join(cells).rstrip())


def markdown(sheet: Sheet) -> str:
    """The table for a page of documentation."""
    lines = [sheet.header, ["---"] * len(sheet.header), *sheet.rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def document(results: Results, machine: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Everything, down to the single sample."""
    return {"machine": machine, "settings": settings, **asdict(results)}
