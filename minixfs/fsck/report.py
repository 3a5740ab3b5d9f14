"""What a checker finds and what is to be done about it, as plain data, for any file system.

A checker calls `Judge.found` for every fault: the judge records it, asks the `Policy`, and answers whether
to repair. Checkers repair in memory and write at the end, so that the same code serves a mere report: there
every repair is made in memory, to see what lies behind it, and nothing is written.

A checker repeats its passes until one finds nothing. Hence a fault counts once, however often it is met; a
declined one is not asked again; and one that could not be repaired (`Judge.stuck`) is open only if the last
pass met it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MAX_KEPT = 10_000
"""Findings that are kept one by one; more are only counted."""


@dataclass(slots=True)
class Finding:
    """One fault. `kind` is a stable word for programs; `message` one line that starts with the thing's name.

    `inode` and `zone` are numbers on the volume, `path` bytes, where known. `fixed`: the volume is repaired
    in this respect once the report is out.
    """

    kind: str
    message: str
    inode: int | None = None
    zone: int | None = None
    path: bytes | None = None
    fixed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """For JSON; a path that is not UTF-8 has backslash escapes."""
        path = None if self.path is None else printable(self.path)
        return {
            "kind": self.kind,
            "message": self.message,
            "inode": self.inode,
            "zone": self.zone,
            "path": path,
            "fixed": self.fixed,
        }


class Policy(NamedTuple):
    """Whether repairs are written, and who is asked before each one (None: nobody)."""

    write: bool
    ask: Callable[[Finding], bool] | None = None


REPORT = Policy(write=False)
REPAIR = Policy(write=True)


@dataclass(slots=True)
class Report:
    """The outcome. Counts are of faults, also of those that `findings` had no room for.

    `was_clean` is the clean mark as found, `is_clean` as left. `totals` describes the volume. `undo` is the undo file
    that was written, if one was.
    """

    findings: list[Finding] = field(default_factory=list)
    fixed: int = 0
    left: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    was_clean: bool = False
    is_clean: bool = False
    totals: dict[str, int] = field(default_factory=dict)
    undo: str | None = None

    @property
    def exit_code(self) -> int:
        """As fsck(8): 0 no faults, 1 all repaired, 4 some left."""
        return 4 if self.left else 1 if self.fixed else 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "findings": [finding.to_dict() for finding in self.findings],
            "fixed": self.fixed,
            "left": self.left,
            "kinds": dict(self.kinds),
            "was_clean": self.was_clean,
            "is_clean": self.is_clean,
            "totals": self.totals,
            "undo": self.undo,
        }


class Judge:
    """Records findings into `report` and decides on repairs.

    `repairs` counts accepted repairs; a checker compares it to know whether a pass changed anything.
    """

    def __init__(self, policy: Policy) -> None:
        self.report = Report()
        self.repairs = 0
        self._policy = policy
        self._declined: set[tuple[str, str]] = set()
        self._stuck: dict[tuple[str, str], Finding] = {}
        self._accepted: list[Finding] = []

    def found(self, finding: Finding) -> bool:
        """Record a fault that can be repaired; True: repair it now."""
        key = (finding.kind, finding.message)
        if key in self._declined:
            return False
        if self._policy.ask is not None and not self._policy.ask(finding):
            self._declined.add(key)
            self._record(finding)
            return False
        self.repairs += 1
        finding.fixed = self._policy.write
        self._record(finding)
        self._accepted = [finding]
        return True

    def failed(self, reason: str) -> None:
        """Take back the finding accepted last: its repair could not be carried out."""
        finding = self._accepted.pop()
        report = self.report
        report.kinds[finding.kind] -= 1
        report.fixed -= finding.fixed
        report.left -= not finding.fixed
        if report.findings[-1] is finding:
            report.findings.pop()
        self.repairs -= 1
        finding.fixed = False
        finding.message += f"; {reason}"
        self.stuck(finding)

    def stuck(self, finding: Finding) -> None:
        """Record a fault that cannot be repaired as things stand."""
        self._stuck[finding.kind, finding.message] = finding

    def begin_round(self) -> None:
        """What was stuck so far may have come right since."""
        self._stuck.clear()

    def finish(self) -> Report:
        for finding in self._stuck.values():
            self._record(finding)
        self._stuck.clear()
        return self.report

    def _record(self, finding: Finding) -> None:
        report = self.report
        report.kinds[finding.kind] += 1
        if finding.fixed:
            report.fixed += 1
        else:
            report.left += 1
        if len(report.findings) < MAX_KEPT:
            report.findings.append(finding)


def printable(name: bytes) -> str:
    """A name or path for a message: one line whatever its bytes are."""
    text = name.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
