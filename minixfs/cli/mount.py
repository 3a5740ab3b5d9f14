"""`minixfs mount`: attach an image to a directory, in the background once it answers."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from minixfs.cli.loading import loading
from minixfs.errors import MinixFsError, UsageError

if TYPE_CHECKING:
    from minixfs.daemon.options import MountRequest

EXIT_USAGE = 1
EXIT_FAILED = 32
"""Exit codes of mount(8)."""


@click.command()
@click.argument("image")
@click.argument("directory", type=click.Path())
@click.option("-o", "words", multiple=True, metavar="WORD,...", help="Mount options; --help-options lists them.")
@click.option("-p", "--partition", metavar="pP[sS]", help="Partition of a whole-disk image, such as p0 or p0s1.")
@click.option("-r", "--read-only", is_flag=True, help="The same as -o ro.")
@click.option("--tree", is_flag=True, help="Show a whole MINIX disk: mount what its own /etc/fstab lists.")
@click.option("--also", multiple=True, metavar="PART:DIR", help="Mount a further partition on a directory of the tree.")
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground and log to standard error.")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@click.option("--help-options", is_flag=True, is_eager=True, expose_value=False, callback=lambda c, p, v: _list(c, v),
              help="List all mount options and exit.")  # fmt: skip
def mount(
    image: str,
    directory: str,
    words: tuple[str, ...],
    partition: str | None,
    read_only: bool,
    tree: bool,
    also: tuple[str, ...],
    foreground: bool,
    verbose: bool,
) -> int:
    """Mount IMAGE (or IMAGE:p0s1, IMAGE@@OFFSET) on DIRECTORY; `minixfs umount DIRECTORY` ends that.

    \b
    minixfs mount disk.img mnt
    minixfs mount -o ro,uid=1000 disk.img:p0s1 mnt
    minixfs mount --tree minix.img mnt
    """
    from minixfs.daemon.options import MountRequest, parse

    options = parse(words)
    options.ro = options.ro or read_only
    if not os.path.isdir(directory):
        raise UsageError(f"{directory}: no such directory; make it with mkdir first", EXIT_USAGE)
    pairs = [_pair(text) for text in also]
    request = MountRequest(os.path.abspath(image), os.path.realpath(directory), options, partition, tree, pairs)
    level = logging.DEBUG if verbose else logging.INFO
    return _in_foreground(request, level) if foreground else _in_background(request, level)


mount.usage_exit_code = EXIT_USAGE  # type: ignore[attr-defined]  # read by main for errors in options


def _pair(text: str) -> tuple[str, str]:
    partition, colon, path = text.partition(":")
    if not colon or not path.startswith("/"):
        raise UsageError(f"--also {text}: write it like p0s2:/usr", EXIT_USAGE)
    return partition, path


def _list(context: click.Context, wanted: bool) -> None:
    if wanted:
        from minixfs.daemon.options import WORDS

        formatter = context.make_formatter()
        formatter.write_dl(list(WORDS.items()))
        click.echo(formatter.getvalue().rstrip())
        context.exit()


def _in_foreground(request: MountRequest, level: int) -> int:
    logging.addLevelName(logging.INFO, "info")
    logging.addLevelName(logging.WARNING, "warning")
    logging.addLevelName(logging.ERROR, "error")
    logging.basicConfig(level=level, format="minixfs: %(levelname)s: %(message)s", stream=sys.stderr)
    try:
        _serve(request, _show)
    except MinixFsError as error:
        raise UsageError(str(error), EXIT_FAILED) from error
    return 0


def _show(warnings: list[str]) -> None:
    for warning in warnings:
        click.echo(f"minixfs mount: warning: {warning}", err=True)


def _in_background(request: MountRequest, level: int) -> int:
    """Serve in a child; end when it says that the mount answers, or why it does not."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        _child(request, level, writing)
    os.close(writing)
    import json  # while the child is busy

    with os.fdopen(reading) as pipe:
        answer = json.loads(pipe.read() or '{"error": "the mount process died", "code": 32}')
    if "error" in answer:
        raise UsageError(answer["error"], answer["code"])
    _show(answer["warnings"])
    return 0


def _child(request: MountRequest, level: int, pipe: int) -> None:
    """The mount process. Reports through the pipe, then lives without a terminal; never returns."""
    code = 0
    told = False

    def tell(answer: dict[str, object]) -> None:
        nonlocal told
        if not told:
            import json

            told = True
            os.write(pipe, json.dumps(answer).encode())
            os.close(pipe)

    def ready(warnings: list[str]) -> None:
        tell({"warnings": warnings})
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.close(null)

    try:
        os.setsid()
        os.chdir("/")
        _log_to_system(level)
        _serve(request, ready)
    except MinixFsError as error:
        logging.getLogger(__name__).error("%s", error)
        tell({"error": str(error), "code": EXIT_FAILED})
        code = EXIT_FAILED
    except BaseException as error:  # the last resort of a process of its own
        logging.getLogger(__name__).exception("the mount ended by an internal error")
        tell({"error": f"internal error: {error!r}", "code": EXIT_FAILED})
        code = EXIT_FAILED
    os._exit(code)


def _serve(request: MountRequest, ready: Callable[[list[str]], None]) -> None:
    with loading():
        from minixfs.daemon.serve import serve

    serve(request, ready)


def _log_to_system(level: int) -> None:
    handler: logging.Handler = logging.NullHandler()
    if os.path.exists("/dev/log"):
        from logging.handlers import SysLogHandler  # slow to load

        handler = SysLogHandler("/dev/log")
        handler.ident = "minixfs: "
    logging.basicConfig(level=level, format="%(message)s", handlers=[handler])
