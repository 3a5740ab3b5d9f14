"""The conversation: commands from a terminal with line editing, from a script on standard input, or from ``-c``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from minixfs.cli.interrupt import Interrupt, Interrupted, interruptible
from minixfs.cli.job import FAILURE, Verb
from minixfs.cli.shell.completion import complete
from minixfs.cli.shell.session import INTERRUPTED, Leave, Session
from minixfs.cli.show import for_terminal
from minixfs.errors import MinixFsError, UsageError

HISTORY_LINES = 1000


@click.command(cls=Verb)
@click.argument("image")
@click.option("-w", "--write", is_flag=True, help="Open the image for changing it.")
@click.option("-c", "--command", "line", metavar="COMMANDS", help="Run these commands and leave.")
@click.option("-k", "--keep-going", is_flag=True, help="In a script, go on after a command that failed.")
def shell(image: str, write: bool, line: str | None, keep_going: bool) -> int:
    """Work in IMAGE with the commands ls, cp, mv, find, ..., and paths relative to where one is.

    Commands come from the terminal, from a script on standard input, or from -c. A script ends at the first command
    that fails, with its exit code. Say 'help' for what there is.

    \b
    minixfs shell disk.img
    minixfs shell -w -c 'mkdir /new; put -r site /new' disk.img
    """
    with interruptible() as interrupt, _opened(image, write) as session:
        try:
            if line is not None:
                return session.run(line, keep_going=keep_going)
            if sys.stdin.isatty():
                return _talk(session, interrupt)
            return _script(session, interrupt, keep_going)
        except Leave as leave:
            return leave.status


def _opened(image: str, write: bool) -> Session:
    """What cannot be opened is a failure like others, not one of mount(8). Raises UsageError."""
    try:
        return Session(image, write=write)
    except MinixFsError as error:
        raise UsageError(str(error), FAILURE) from error


def _script(session: Session, interrupt: Interrupt, keep_going: bool) -> int:
    """Commands line by line. With `keep_going` the exit code is that of the last command that failed."""
    failed = 0
    while True:
        with interrupt.at_once():
            line = sys.stdin.readline()
        if not line:
            return failed
        failed = session.run(line, keep_going=keep_going) or failed
        interrupt.check()
        if failed and (not keep_going or failed > INTERRUPTED):
            return failed


def _talk(session: Session, interrupt: Interrupt) -> int:
    """Ctrl-C ends the command or the line, Ctrl-D the session; SIGTERM and SIGHUP end it as well."""
    with _line_editing(session):
        while True:
            where = for_terminal(session.directory).decode(errors="replace")
            try:
                with interrupt.at_once():
                    line = input(f"{os.path.basename(session.spec)}:{where}> ")
                if session.run(line) in (INTERRUPTED + signal.SIGTERM, INTERRUPTED + signal.SIGHUP):
                    return session.status
                interrupt.check()
            except EOFError:
                click.echo()
                return 0
            except Interrupted:
                if interrupt.signal != signal.SIGINT:
                    raise
                interrupt.signal = None
                click.echo()


@contextmanager
def _line_editing(session: Session) -> Iterator[None]:
    """History and completion while this lasts. The history is kept from session to session."""
    try:
        import readline
    except ImportError:  # a Python without it
        yield
        return
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "minixfs" / "history"
    with suppress(OSError):
        readline.read_history_file(state)
    readline.set_history_length(HISTORY_LINES)
    found: list[str] = []

    def completer(text: str, number: int) -> str | None:
        nonlocal found
        if number == 0:
            line = readline.get_line_buffer()[: readline.get_endidx()]
            start, words = complete(session, line)
            found = [word[readline.get_begidx() - start :] for word in words]
        return found[number] if number < len(found) else None

    readline.set_completer(completer)
    readline.set_completer_delims(" \t\n;")
    readline.parse_and_bind("tab: complete")
    readline.set_auto_history(True)
    try:
        yield
    finally:
        readline.set_completer(None)
        with suppress(OSError):
            state.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(state)
