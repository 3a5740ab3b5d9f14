"""What the figures were measured on and with: a part of every result, since they mean little without it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.mount import command

PACKAGES = ("minixfs", "pyfuse3", "trio", "construct", "numpy")
SECONDS = 20.0


def describe(contenders: Iterable[Contender]) -> dict[str, Any]:
    """Date, processor, kernel, load and versions, ready for JSON."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    for contender in contenders:
        if line := contender.version_command:
            versions[line[0]] = _output(list(line))
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "load_average": os.getloadavg()[0],
        "commit": _output(["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]),
        "versions": versions,
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _output(line: list[str]) -> str:
    """The first line that a command says, or what kept it from saying one."""
    try:
        done = subprocess.run(command(line), capture_output=True, text=True, timeout=SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return (done.stdout + done.stderr).partition("\n")[0]
