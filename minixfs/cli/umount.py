"""`minixfs umount`: unmount, and return when the image is final."""

from __future__ import annotations

import click

from minixfs.errors import UsageError

EXIT_USAGE = 1
EXIT_FAILED = 32
"""Exit codes of umount(8)."""


@click.command()
@click.argument("directory", type=click.Path(readable=False))  # a dead mount is not
@click.option(
    "-l", "--lazy", is_flag=True, help="Detach now even if files are in use; the image is final when they close."
)
@click.option("-q", "--quiet", is_flag=True, help="Do not say what was written.")
def umount(directory: str, lazy: bool, quiet: bool) -> int:
    """Unmount DIRECTORY and wait until everything is in the image."""
    from minixfs.daemon import mountpoint
    from minixfs.daemon.control import wait_for_final

    mounted = mountpoint.find(directory)
    if mounted is None or mounted.fstype != mountpoint.FSTYPE:
        raise UsageError(f"{directory}: no minixfs file system is mounted there", EXIT_FAILED)

    def unmount() -> None:
        mountpoint.unmount(mounted.path, lazy=lazy)

    if lazy:
        unmount()
        return 0
    final = wait_for_final(mounted.device, mounted.user, unmount)
    if final is None:
        raise UsageError(
            f"{directory}: unmounted, but the mount process did not say that the image is final; run minixfs fsck",
            EXIT_FAILED,
        )
    if final.error is not None:
        raise UsageError(f"{mounted.source}: {final.error}; run minixfs fsck", EXIT_FAILED)
    if not quiet:
        click.echo(f"{mounted.source}: unmounted, {final.bytes_written // 1024} KiB written at the end")
    return 0


umount.usage_exit_code = EXIT_USAGE  # type: ignore[attr-defined]  # read by main for errors in options
