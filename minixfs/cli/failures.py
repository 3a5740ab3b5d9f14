"""How commands fail: the exit codes that mkfs and fsck share (mkfs(8), fsck(8)), 8 for what went wrong and 16 for what
was asked wrongly; and what is told of errors that are not meant for users."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

from minixfs.errors import MinixFsError, UsageError

OPERATIONAL = 8
USAGE = 16


@contextmanager
def exit_codes() -> Iterator[None]:
    """Give every error that leaves the block one of the two codes; its message stays as it is."""
    try:
        yield
    except MinixFsError as error:
        code = USAGE if error.exit_code == USAGE else OPERATIONAL
        raise UsageError(str(error), code) from error
    except (BrokenPipeError, click.ClickException, click.Abort, click.exceptions.Exit):
        raise
    except OSError as error:
        raise UsageError(of_host(error), OPERATIONAL) from error
    except Exception as error:
        if shows_tracebacks():
            raise
        raise UsageError(internal(error), OPERATIONAL) from error


def shows_tracebacks() -> bool:
    """Whether whoever called us wants to see where an internal error happened."""
    return bool(os.environ.get("MINIXFS_TRACEBACK"))


def of_host(error: OSError) -> str:
    """What is told of an error of the host."""
    name = f"{os.fsdecode(error.filename)}: " if error.filename else ""
    return f"{name}{error.strerror or error}"


def internal(error: Exception) -> str:
    """What is told of an error that is a defect of ours."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"internal error ({what}); set MINIXFS_TRACEBACK=1 to see where"
