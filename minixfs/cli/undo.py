"""`minixfs undo`: take back a repair that was made with ``minixfs fsck -z``, also one that was killed half-way.

Exit codes are those of fsck: 0 done, 8 could not be done and nothing was changed, 16 bad usage, 32 cancelled.
"""

from __future__ import annotations

from contextlib import closing

import click

from minixfs.cli.failures import USAGE, exit_codes
from minixfs.cli.interrupt import Interrupted, interruptible

CANCELLED = 32


@click.command()
@click.argument("undo_file", metavar="FILE", type=click.Path())
@click.argument("image", type=click.Path())
@click.option("-n", "--dry-run", is_flag=True, help="Only check that it can be done.")
def undo(undo_file: str, image: str, dry_run: bool) -> int:
    """Make IMAGE again what it was before the repair that wrote FILE.

    Refuses an image that has been used since, and one that FILE does not belong to. May be repeated.

    \b
    minixfs undo repair.undo disk.img
    """
    from minixfs.fsck.undo import Undo
    from minixfs.hw.blockdev.open import open_device
    from minixfs.hw.runtime import run

    try:
        with exit_codes(), interruptible() as interrupt:
            with closing(Undo(undo_file)) as file, closing(run(open_device(image, read_only=dry_run))) as device:
                interrupt.check()
                outcome = run(file.restore(device, dry_run=dry_run))
    except Interrupted:
        return CANCELLED
    if not outcome.restored:
        click.echo(f"{image}: is already as it was before the repair")
    elif dry_run:
        click.echo(f"{image}: {outcome.restored} places, {outcome.size} bytes, would be restored")
    else:
        click.echo(f"{image}: {outcome.restored} places, {outcome.size} bytes, restored")
    return 0


undo.usage_exit_code = USAGE  # type: ignore[attr-defined]  # read by main for errors in options
