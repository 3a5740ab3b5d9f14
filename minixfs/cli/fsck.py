"""`minixfs fsck`: check file systems and repair them.

Exit codes are those of fsck(8), added up over all images: 0 no faults, 1 all repaired, 4 some left, 8 could not check,
16 bad usage, 32 cancelled. A signal before the repairs are written leaves the image as it was; one during the writing
waits until that is done. ``-z`` puts by what is overwritten, for `minixfs undo`.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

import click

from minixfs.cli.failures import OPERATIONAL, USAGE, exit_codes
from minixfs.cli.fsck_progress import shown
from minixfs.cli.interrupt import Interrupt, Interrupted, interruptible
from minixfs.cli.loading import loading
from minixfs.cli.show import json_text
from minixfs.errors import UsageError

if TYPE_CHECKING:
    from minixfs.fsck.blocks import Progress, Tick
    from minixfs.fsck.report import Finding, Policy, Report
    from minixfs.hw.blockdev.device import BlockDevice

CANCELLED = 32


class _Wishes(NamedTuple):
    """What was asked for. `skips`: leave alone what is marked clean; `progress`: see `shown`; `memory` in bytes."""

    asks: bool
    repairs: bool
    preens: bool
    skips: bool
    verbose: bool
    progress: int | None
    undo: str | None
    padding: bool | None
    superblock: int | None
    block_size: int | None
    memory: int
    as_json: bool


@click.command()
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path())
@click.option("-n", "look", is_flag=True, help="Change nothing, only report.")
@click.option("-p", "-a", "preen", is_flag=True, help="Repair without asking; skip a volume that is marked clean.")
@click.option("-y", "repair", is_flag=True, help="Repair without asking.")
@click.option("-r", "ask", is_flag=True, help="Ask before each repair (as is done on a terminal anyway).")
@click.option("-f", "--force", is_flag=True, help="With -p: check even if the volume is marked clean.")
@click.option("-b", "superblock", type=click.IntRange(1), metavar="BLOCK", help="ext2: use the superblock in BLOCK.")
@click.option("-B", "block_size", type=click.IntRange(1024), metavar="BYTES", help="ext2: the block size, for -b.")
@click.option("-v", "--verbose", is_flag=True, help="Show what is on the volume.")
@click.option("-C", "progress", type=int, metavar="FD", help="Write progress to this descriptor; 0: show a bar.")
@click.option("-z", "undo", metavar="FILE", help="Put by in FILE what is overwritten, for 'minixfs undo'.")
@click.option("--pad", type=click.Choice(["0", "1"]), help="Make the unused bits of the bitmaps all 0 or all 1.")
@click.option("--memory", default=1024, metavar="MIB", help="Most memory to use.", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON, one line for each image.")
def fsck(
    images: tuple[str, ...],
    look: bool,
    preen: bool,
    repair: bool,
    ask: bool,
    force: bool,
    superblock: int | None,
    block_size: int | None,
    verbose: bool,
    progress: int | None,
    undo: str | None,
    pad: str | None,
    memory: int,
    as_json: bool,
) -> int:
    """Check the MINIX and ext2 file systems in the IMAGEs (or IMAGE:p0s1, IMAGE@@OFFSET).

    Without -n, -p or -y each repair is asked for on a terminal; elsewhere nothing is changed. Of ext2 -p repairs what
    nothing can be lost by, and stops at anything else.

    \b
    minixfs fsck -n disk.img
    minixfs fsck -y -z repair.undo disk.img
    """
    if look + preen + repair + ask > 1:
        raise UsageError("-n, -p, -y and -r exclude each other: give one of them", USAGE)
    if undo is not None and (look or len(images) > 1):
        raise UsageError("-z is for the repair of one image: give one, without -n", USAGE)
    if undo is not None and os.path.lexists(undo):
        raise UsageError(f"{undo} exists, and may be needed to take back another repair: name a new file", OPERATIONAL)
    if block_size is not None and superblock is None:
        raise UsageError("-B says how to count the block of -b: give both", USAGE)
    # fsck(8) runs several of us at once with standard input closed.
    terminal = sys.stdin is not None and sys.stdin.isatty() and not as_json
    if ask and not terminal:
        raise UsageError("-r asks on a terminal, and there is none: use -n to look or -y to repair", OPERATIONAL)
    wishes = _Wishes(
        asks=terminal and not (look or preen or repair),
        repairs=preen or repair,
        preens=preen,
        skips=preen and not force,
        verbose=verbose,
        progress=progress,
        undo=undo,
        padding=None if pad is None else pad == "1",
        superblock=superblock,
        block_size=block_size,
        memory=memory << 20,
        as_json=as_json,
    )
    if "numpy" not in sys.modules:  # every check needs it
        with loading():
            importlib.import_module("numpy")
    code = 0
    try:
        with interruptible() as interrupt:
            for image in images:
                interrupt.check()
                code |= _reported(image, wishes, interrupt)
    except Interrupted:
        code |= CANCELLED
    return code


fsck.usage_exit_code = USAGE  # type: ignore[attr-defined]  # read by main for errors in options


def _reported(image: str, wishes: _Wishes, interrupt: Interrupt) -> int:
    """Check one image; what goes wrong with it does not concern the others."""
    try:
        with exit_codes():
            return _fsck(image, wishes, interrupt)
    except UsageError as error:
        if wishes.as_json:
            click.echo(json_text({"image": image, "error": str(error), "exit_code": error.exit_code}))
        line = " ".join(str(error).split())
        click.echo(f"{click.get_current_context().command_path}: {line}", err=True)
        return error.exit_code
    except (Interrupted, click.Abort) as stop:
        click.echo(f"{image}: cancelled, nothing was changed", err=True)
        if isinstance(stop, Interrupted):
            raise
        return CANCELLED


def _fsck(image: str, wishes: _Wishes, interrupt: Interrupt) -> int:
    from minixfs.fsck.report import REPAIR, REPORT, Policy
    from minixfs.hw.blockdev.open import open_device
    from minixfs.hw.runtime import run

    questions = _Questions(image, interrupt) if wishes.asks else None
    policy = Policy(write=True, ask=questions) if questions else REPAIR if wishes.repairs else REPORT
    device = run(open_device(image, read_only=not policy.write, probe=_is_known))
    try:
        is_ext2 = wishes.superblock is not None or run(_is_ext2(device))
        if wishes.skips and run(_is_clean(device, is_ext2)):
            facts = {"image": image, "skipped": True, "exit_code": 0}
            click.echo(json_text(facts) if wishes.as_json else f"{image}: clean")
            return 0
        with shown(image, wishes.progress, wishes.as_json or wishes.asks, USAGE) as show:

            def tick(progress: Progress) -> None:
                interrupt.check()
                show(progress)

            report = run((_check_ext2 if is_ext2 else _check_mfs)(device, wishes, policy, tick))
    finally:
        device.close()
    if wishes.as_json:
        facts = {"image": image, "skipped": False, "exit_code": report.exit_code}
        click.echo(json_text(facts | report.to_dict()))
    else:
        _print(image, report, policy, wishes.verbose)
    return report.exit_code


async def _check_mfs(device: BlockDevice, wishes: _Wishes, policy: Policy, tick: Tick) -> Report:
    from minixfs.fsck.mfs import check

    return await check(device, policy, padding=wishes.padding, memory_limit=wishes.memory, tick=tick, undo=wishes.undo)


async def _check_ext2(device: BlockDevice, wishes: _Wishes, policy: Policy, tick: Tick) -> Report:
    from minixfs.fsck.ext2 import PREEN, Place, check

    if wishes.padding is not None:
        raise UsageError("--pad is for MINIX: the unused bits of ext2 bitmaps are always 1", USAGE)
    place = None if wishes.superblock is None else Place(wishes.superblock, wishes.block_size)
    policy = PREEN if wishes.preens else policy
    return await check(device, policy, place=place, memory_limit=wishes.memory, tick=tick, undo=wishes.undo)


# ---- which file system -----------------------------------------------------------------------------------------------


async def _is_known(device: BlockDevice) -> bool:
    """Whether the device begins with a superblock, so that it is no disk with partitions."""
    return await _recognise_ext2(device) or await _is_mfs(device)


async def _is_ext2(device: BlockDevice) -> bool:
    """Whether to check for ext2. Where neither that nor MINIX is to be seen, ext2 has copies of its superblock.

    Raises UsageError for what is something else: remains of an older volume there are nothing to repair.
    """
    if await _recognise_ext2(device):
        return True
    if await _is_mfs(device):
        return False
    from minixfs.fsck.ext2 import recognise_copy
    from minixfs.mkfs.occupant import occupant

    meaning = await occupant(device)
    if meaning is not None:
        raise UsageError(f"{device.name} holds {meaning}, not a MINIX or ext2 file system", OPERATIONAL)
    return await recognise_copy(device)


async def _recognise_ext2(device: BlockDevice) -> bool:
    """Without loading what checks ext2 unless its magic number is there: start-up counts."""
    head = bytearray(2048)
    await device.read(0, [head])
    if head[1080:1082] != b"\x53\xef":
        return False
    from minixfs.fsck.ext2 import recognise

    return await recognise(device)


async def _is_mfs(device: BlockDevice) -> bool:
    from minixfs.errors import BadSuperblock
    from minixfs.fsck.mfs import is_clean

    try:
        await is_clean(device)
    except BadSuperblock:
        return False
    return True


async def _is_clean(device: BlockDevice, is_ext2: bool) -> bool:
    """Whether there is nothing to do for -p."""
    from minixfs.errors import BadSuperblock

    if is_ext2:
        from minixfs.fsck.ext2 import is_clean
    else:
        from minixfs.fsck.mfs import is_clean
    try:
        return await is_clean(device)
    except BadSuperblock:
        return False


class _Questions:
    """Asks for each repair: yes, no, all (yes from here on), quit."""

    def __init__(self, image: str, interrupt: Interrupt) -> None:
        self._image = image
        self._interrupt = interrupt
        self._all = False

    def __call__(self, finding: Finding) -> bool:
        if self._all:
            return True
        choice = click.Choice(["y", "n", "a", "q"], case_sensitive=False)
        with self._interrupt.at_once():
            answer = click.prompt(f"{self._image}: {finding.message}. Repair?", type=choice, default="y")
        if answer == "q":
            raise click.Abort
        self._all = answer == "a"
        return bool(answer != "n")


def _print(image: str, report: Report, policy: Policy, verbose: bool) -> None:
    for finding in report.findings:
        click.echo(f"{image}: {finding.message}{'; repaired' if finding.fixed else ''}")
    unshown = report.fixed + report.left - len(report.findings)
    if unshown:
        click.echo(f"{image}: and {unshown} more")
    totals = report.totals
    if report.left:
        advice = "STILL DIRTY" if policy.write else f"repair with: minixfs fsck -y {image}"
        click.echo(f"{image}: {report.left} faults left, {report.fixed} repaired; {advice}")
    elif report.fixed:
        click.echo(f"{image}: {report.fixed} faults repaired, marked clean; {_use(totals)}")
    else:
        click.echo(f"{image}: no faults; {_use(totals)}")
    if report.undo is not None:
        click.echo(f"{image}: to take this back: minixfs undo {report.undo} {image}")
    if verbose and totals:
        for name in ("files", "directories", "symlinks", "other"):
            click.echo(f"  {totals[name]:8} {name}")


def _use(totals: dict[str, int]) -> str:
    inodes, zones = (f"{totals[f'{name}_used']}/{totals[name]} {name}" for name in ("inodes", "zones"))
    return f"{inodes}, {zones} of {totals['zone_size']} bytes"
