"""Runs behaviours on a directory.

Entry points: `run_one` for a test each, `run_all` for the whole list, and `main`, the command `python -m
tests.posix DIR`. Each behaviour has a process, a fresh directory and a deadline of its own, so one that
hangs or crashes fails alone.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import shutil
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.posix.behaviours import BEHAVIOURS
from tests.posix.env import Behaviour, Env, Limits, Skip
from tests.support.users import ChildFailedError, start

SECONDS = 20.0  # for one behaviour; its own children have less

REASON = 200  # characters of an error that are told in one line


@dataclass(frozen=True)
class Outcome:
    behaviour: str
    status: str  # "passed", "skipped" or "failed"
    reason: str = ""  # one line
    detail: str = ""  # of a failure: traceback with the values of local variables


def run_one(behaviour: Behaviour, root: Path, limits: Limits) -> Outcome:
    """Run one behaviour in a new directory below `root`, and remove the directory."""
    place = os.path.join(os.fsencode(root.absolute()), b"p" + secrets.token_hex(5).encode())
    try:
        outcome: Outcome = start(_in_child, behaviour, place, limits, seconds=SECONDS).result()
    except ChildFailedError as error:
        with contextlib.suppress(ChildFailedError):  # nor may a file system that hangs keep us here
            start(shutil.rmtree, place, True).result()
        return Outcome(behaviour.name, "failed", str(error), str(error))
    return outcome


def run_all(
    root: Path,
    limits: Limits,
    behaviours: list[Behaviour] = BEHAVIOURS,
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Run every behaviour, telling `report` of each as it ends; the outcomes that are failures."""
    failures = []
    for behaviour in behaviours:
        outcome = run_one(behaviour, root, limits)
        report(outcome)
        if outcome.status == "failed":
            failures.append(outcome)
    return failures


def _in_child(behaviour: Behaviour, place: bytes, limits: Limits) -> Outcome:
    os.umask(0o022)
    try:
        os.mkdir(place)
        os.chmod(place, 0o777)
        os.chdir(place)
        try:
            behaviour.run(Env(place, limits))
        finally:
            os.chdir("/")
            shutil.rmtree(place)
    except Skip as skip:
        return Outcome(behaviour.name, "skipped", str(skip))
    except Exception as error:  # noqa: BLE001 - any exception is a failure of the behaviour
        return _failure(behaviour, error)
    return Outcome(behaviour.name, "passed")


def _failure(behaviour: Behaviour, error: Exception) -> Outcome:
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    here = behaviour.run.__code__.co_filename
    at = next((frame for frame in told.stack if frame.filename == here), told.stack[-1])
    said = next(told.format_exception_only()).strip()
    said = said if len(said) <= REASON else said[:REASON] + " ..."
    reason = f"{Path(at.filename).name}:{at.lineno}: {at.line}: {said}"
    return Outcome(behaviour.name, "failed", reason, "".join(told.format()))


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code is 1 if a behaviour failed."""
    defaults = Limits()
    parser = argparse.ArgumentParser("python -m tests.posix", description="Try POSIX on a directory.")
    parser.add_argument("directory", type=Path, help="any writable directory of the file system in question")
    parser.add_argument("--only", default="", help="only behaviours with this text in their name")
    parser.add_argument("-v", "--verbose", action="store_true", help="name each; tell more of failures")
    parser.add_argument("--name-max", type=int, help="longest name in bytes (default: what the system says)")
    parser.add_argument("--symlink-max", type=int, default=defaults.symlink_max, help="longest link text")
    parser.add_argument("--link-max", type=int, help="most names of one file; tried if given")
    parser.add_argument("--file-size-max", type=int, help="largest file in bytes; tried if given")
    parser.add_argument("--gid-max", type=int, default=defaults.gid_max, help="largest group id")
    parser.add_argument("--cuts-names", action="store_true", help="longer names are cut, not refused")
    parser.add_argument("--one-time", action="store_true", help="one time stamp serves as all three")
    parser.add_argument("--no-atime", action="store_true", help="access times are not kept")
    given = parser.parse_args(arguments)
    if not given.directory.is_dir():
        parser.error(f"not a directory: {given.directory}")
    limits = Limits(
        name_max=given.name_max or os.pathconf(given.directory, "PC_NAME_MAX"),
        long_names_fail=not given.cuts_names,
        symlink_max=given.symlink_max,
        link_max=given.link_max,
        file_size_max=given.file_size_max,
        gid_max=given.gid_max,
        one_time=given.one_time,
        atime=not given.no_atime,
    )
    counts = {"passed": 0, "skipped": 0, "failed": 0}

    def report(outcome: Outcome) -> None:
        counts[outcome.status] += 1
        if outcome.status == "failed":
            print(f"FAIL {outcome.behaviour}: {outcome.reason}", flush=True)
            if given.verbose:
                print(outcome.detail)
        elif given.verbose:
            print(f"{outcome.status} {outcome.behaviour} {outcome.reason}".rstrip(), flush=True)

    chosen = [behaviour for behaviour in BEHAVIOURS if given.only in behaviour.name]
    failures = run_all(given.directory, limits, chosen, report)
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['passed']} passed, {counts['failed']} failed{skipped}")
    return 1 if failures else 0
