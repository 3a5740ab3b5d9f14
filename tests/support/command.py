"""The `minixfs` command inside the test's own process, for commands that neither mount nor fork.

answer = command("ls", "-l", image)        answer.code, answer.out (bytes), answer.err (text)
"""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from minixfs.cli.main import main


class Answer(NamedTuple):
    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.decode(errors="surrogateescape").splitlines()


def command(*arguments: str | Path) -> Answer:
    """What ``minixfs`` with these arguments answers. An error is never more than one line that names the command."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    err = io.StringIO()
    code: object = None
    with redirect_stdout(out), redirect_stderr(err), patch.object(sys, "argv", ["minixfs", *map(str, arguments)]):
        try:
            main()
        except SystemExit as end:
            code = end.code
    out.flush()
    assert isinstance(code, int), f"no exit code: {code!r}"
    return Answer(code, out.buffer.getvalue(), err.getvalue())
