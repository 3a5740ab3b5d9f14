"""Exit codes that mkfs and fsck share (mkfs(8), fsck(8)): 8 for what went wrong, 16 for what was asked wrongly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

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
    except BrokenPipeError:
        raise
    except OSError as error:
        name = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        raise UsageError(f"{name}{error.strerror}", OPERATIONAL) from error
