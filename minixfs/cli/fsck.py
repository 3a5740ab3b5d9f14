"""`minixfs fsck`: check a file system and repair it.

Exit codes are those of fsck(8): 0 no faults, 1 all repaired, 4 some left, 8 could not check, 16 bad usage,
32 cancelled. An interrupt before the repairs are written leaves the image as it was; one during the writing
waits until it is done.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from minixfs.cli.failures import USAGE, exit_codes
from minixfs.errors import UsageError

if TYPE_CHECKING:
    from minixfs.fsck.report import Finding, Policy, Report
    from minixfs.hw.blockdev.device import BlockDevice

CANCELLED = 32


@click.command()
@click.argument("image", type=click.Path())
@click.option("-n", "look", is_flag=True, help="Change nothing, only report.")
@click.option("-p", "-a", "preen", is_flag=True, help="Repair without asking; skip a volume that is marked clean.")
@click.option("-y", "repair", is_flag=True, help="Repair without asking.")
@click.option("-f", "--force", is_flag=True, help="With -p: check even if the volume is marked clean.")
@click.option("-v", "--verbose", is_flag=True, help="Show what is on the volume.")
@click.option("--pad", type=click.Choice(["0", "1"]), help="Make the unused bits of the bitmaps all 0 or all 1.")
@click.option("--memory", default=1024, metavar="MIB", help="Most memory to use.", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def fsck(
    image: str,
    look: bool,
    preen: bool,
    repair: bool,
    force: bool,
    verbose: bool,
    pad: str | None,
    memory: int,
    as_json: bool,
) -> int:
    """Check the MINIX file system in IMAGE (or IMAGE:p0s1, IMAGE@@OFFSET).

    Without -n, -p or -y each repair is asked for on a terminal; elsewhere nothing is changed.
    """
    if look + preen + repair > 1:
        raise UsageError("-n, -p and -y exclude each other: give one of them", USAGE)
    asks = not (look or preen or repair) and sys.stdin.isatty() and not as_json
    with exit_codes():
        try:
            return _fsck(image, preen and not force, preen or repair, asks, verbose, pad, memory, as_json)
        except (KeyboardInterrupt, click.Abort):
            click.echo(f"{image}: cancelled, nothing was changed", err=True)
            return CANCELLED


fsck.usage_exit_code = USAGE  # type: ignore[attr-defined]  # read by main for errors in options


def _fsck(
    image: str, skips: bool, repairs: bool, asks: bool, verbose: bool, pad: str | None, memory: int, as_json: bool
) -> int:
    from minixfs.fsck.mfs import check, is_clean
    from minixfs.fsck.report import REPAIR, REPORT, Policy
    from minixfs.hw.blockdev.open import open_device
    from minixfs.hw.runtime import run

    policy = Policy(write=True, ask=_Questions(image)) if asks else REPAIR if repairs else REPORT
    device = run(open_device(image, read_only=not policy.write, probe=_has_superblock))
    try:
        if skips and run(is_clean(device)):
            click.echo(json.dumps({"image": image, "skipped": True, "exit_code": 0}) if as_json else f"{image}: clean")
            return 0
        padding = None if pad is None else pad == "1"
        with _interruptible(quiet=as_json or asks) as tick:
            report = run(check(device, policy, padding=padding, memory_limit=memory << 20, tick=tick))
    finally:
        device.close()
    if as_json:
        facts: dict[str, Any] = {"image": image, "skipped": False, "exit_code": report.exit_code}
        click.echo(json.dumps(facts | report.to_dict()))
    else:
        _print(image, report, policy, verbose)
    return report.exit_code


async def _has_superblock(device: BlockDevice) -> bool:
    from minixfs.errors import BadSuperblock
    from minixfs.fsck.mfs import is_clean

    try:
        await is_clean(device)
    except BadSuperblock:
        return False
    return True


class _Questions:
    """Asks for each repair: yes, no, all (yes from here on), quit."""

    def __init__(self, image: str) -> None:
        self._image = image
        self._all = False

    def __call__(self, finding: Finding) -> bool:
        if self._all:
            return True
        choice = click.Choice(["y", "n", "a", "q"], case_sensitive=False)
        answer = click.prompt(f"{self._image}: {finding.message}. Repair?", type=choice, default="y")
        if answer == "q":
            raise click.Abort
        self._all = answer == "a"
        return bool(answer != "n")


@contextmanager
def _interruptible(quiet: bool) -> Iterator[Any]:
    """Yields the `tick` of a check. SIGINT and SIGTERM cancel the check, unless it has begun to write.

    On a terminal the stage is shown while the check lasts.
    """
    from contextlib import ExitStack

    writing = False

    def stop(number: int, frame: object) -> None:
        if writing:
            click.echo("writing the repairs, this must not be interrupted", err=True)
        else:
            raise KeyboardInterrupt

    with ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.signal(number, stop))
        show: Callable[[str], None] = _no_progress
        if not quiet and sys.stderr.isatty():
            from rich.console import Console

            status = stack.enter_context(Console(stderr=True).status("checking"))
            show = status.update

        def tick(stage: str) -> None:
            nonlocal writing
            writing = stage == "writing"
            show(stage)

        yield tick


def _no_progress(stage: str) -> None:
    """Where nobody watches."""


def _print(image: str, report: Report, policy: Policy, verbose: bool) -> None:
    for finding in report.findings:
        click.echo(f"{image}: {finding.message}{'; repaired' if finding.fixed else ''}")
    unshown = report.fixed + report.left - len(report.findings)
    if unshown:
        click.echo(f"{image}: and {unshown} more")
    totals = report.totals
    use = (
        f"{totals['inodes_used']}/{totals['inodes']} inodes, {totals['zones_used']}/{totals['zones']} zones"
        f" of {totals['zone_size']} bytes"
    )
    if report.left:
        advice = "STILL DIRTY" if policy.write else f"repair with: minixfs fsck -y {image}"
        click.echo(f"{image}: {report.left} faults left, {report.fixed} repaired; {advice}")
    elif report.fixed:
        click.echo(f"{image}: {report.fixed} faults repaired, marked clean; {use}")
    else:
        click.echo(f"{image}: no faults; {use}")
    if verbose:
        for name in ("files", "directories", "symlinks", "other"):
            click.echo(f"  {totals[name]:8} {name}")
