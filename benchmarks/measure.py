"""Runs the sessions, contender after contender within each round, and collects what they took.

Interleaving is what makes the ratios worth something: a slow minute of the machine hits every contender
alike. One server is alive at a time. A contender that fails is reported (`Failure`) and sits out the rest
of that session only.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.contenders import Contender
from benchmarks.mount import BenchmarkError, Mount, command
from benchmarks.workloads import Phase, Session

PHASE_SECONDS = 300.0  # no phase may take longer


@dataclass(frozen=True)
class Sample:
    """One timed phase: wall seconds of the client, CPU seconds of the server meanwhile."""

    round: int
    contender: str
    session: str
    phase: str
    unit: str
    count: int
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class ServerLife:
    """One server over a session: bytes of memory before and after it, CPU seconds, seconds to unmount."""

    round: int
    contender: str
    session: str
    idle_rss: int
    idle_pss: int
    loaded_rss: int
    loaded_pss: int
    cpu_seconds: float
    unmount_seconds: float


@dataclass(frozen=True)
class Failure:
    round: int
    contender: str
    session: str
    message: str


@dataclass
class Results:
    samples: list[Sample] = field(default_factory=list)
    lives: list[ServerLife] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def run(
    contenders: Sequence[Contender],
    sessions: Sequence[Session],
    rounds: int,
    folder: Path,
    places: Mapping[str, str],
    progress: Callable[[str], None],
) -> Results:
    """All rounds; images and mount points are made below `folder`, and gone afterwards.

    `places` are paths by the words that stand for them in the commands of phases.
    """
    results = Results()
    for number in range(1, rounds + 1):
        for session in sessions:
            first = number % len(contenders)  # whoever goes first would always meet the last one's write-back
            for contender in [*contenders[first:], *contenders[:first]]:
                progress(f"round {number}/{rounds}  {session.name}  {contender.name}")
                try:
                    with (
                        TemporaryDirectory(prefix=f"{contender.name}-", dir=folder) as own,
                        Mount(contender, Path(own), session.image_bytes) as mount,
                    ):
                        _session(mount, session, number, places, results)
                except (BenchmarkError, OSError) as error:
                    results.failures.append(Failure(number, contender.name, session.name, str(error)))
    return results


def _session(mount: Mount, session: Session, number: int, places: Mapping[str, str], results: Results) -> None:
    name = mount.contender.name
    seconds = mount.start()
    mounting = f"{session.image_bytes >> 30} GiB to first ls"
    results.samples.append(Sample(number, name, "mount", mounting, "ms", 1, seconds, mount.cpu_seconds()))
    idle = mount.memory()
    for phase in session.phases:
        if phase.cold:
            if not mount.can_chill():
                continue
            mount.chill()
        cpu = mount.cpu_seconds()
        seconds = run_phase(mount, phase, places)
        cpu = mount.cpu_seconds() - cpu
        if phase.timed:
            results.samples.append(
                Sample(number, name, session.name, phase.name, phase.unit, phase.count, seconds, cpu)
            )
    loaded = mount.memory()
    unmount_seconds = mount.stop()
    results.lives.append(
        ServerLife(
            number, name, session.name, idle.rss, idle.pss, loaded.rss, loaded.pss,
            mount.cpu_seconds(), unmount_seconds,
        )
    )  # fmt: skip


def run_phase(mount: Mount, phase: Phase, places: Mapping[str, str]) -> float:
    """Run the client of `phase` to its end; returns the seconds its body took."""
    line = list(phase.command)
    for place, value in {"{mnt}": str(mount.directory), **places}.items():
        line = [word.replace(place, value) for word in line]
    line = command(line)
    if phase.cold:  # emptied caches may have taken the client's own program with them
        subprocess.run([line[0], "--version"], stdout=subprocess.DEVNULL, check=True)
    begin = time.perf_counter()
    with subprocess.Popen(
        line,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if phase.own_clock else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as client:
        try:
            output, complaints = client.communicate(timeout=PHASE_SECONDS)
        except BaseException as error:
            client.kill()
            mount.kill()  # or a client that waits for a hung server would not die
            if isinstance(error, subprocess.TimeoutExpired):
                raise BenchmarkError(f"{phase.name}: not done within {PHASE_SECONDS:.0f} s") from error
            raise
    seconds = time.perf_counter() - begin
    if client.returncode:
        words = complaints.decode(errors="replace").strip().splitlines()
        raise BenchmarkError(f"{phase.name}: {words[-1] if words else f'status {client.returncode}'}")
    return float(output) if phase.own_clock else seconds
