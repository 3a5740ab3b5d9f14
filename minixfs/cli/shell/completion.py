"""Completion of what is being typed in the shell: commands, files of the image, files of the host.

    complete(session, "cat /etc/pas")     ->  (4, ["/etc/passwd "])

The answer is where the word begins, and what may stand there: typed as it has to be, with a slash after directories
and a space after what is complete.
"""

from __future__ import annotations

import os

from minixfs.cli.shell.session import BUILTINS, VERBS, Session
from minixfs.cli.shell.words import Word, commands, escaped
from minixfs.errors import UsageError

ON_HOST = ("lcd", "lls", "put")


def complete(session: Session, line: str) -> tuple[int, list[str]]:
    """For the end of `line`."""
    try:
        words = commands(line, partial=True)[-1]
    except UsageError:
        return len(line), []
    ended = not line or (line[-1] in " \t;\n" and not line.endswith("\\ "))
    current = Word("", None, len(line)) if ended or not words else words.pop()
    if not words:
        names = sorted({*BUILTINS, *VERBS})
        return current.start, [f"{name} " for name in names if name.startswith(current.text)]
    return current.start, _files(session, current.text, on_host=words[0].text in ON_HOST)


def _files(session: Session, text: str, *, on_host: bool) -> list[str]:
    directory, slash, start = text.rpartition("/")
    above = directory + slash
    try:
        found = _on_host(above) if on_host else _in_image(session, above)
    except OSError:
        return []
    return [
        escaped(above + name) + ("/" if is_directory else " ")
        for name, is_directory in sorted(found)
        if name.startswith(start) and (start or not name.startswith("."))
    ]


def _on_host(directory: str) -> list[tuple[str, bool]]:
    with os.scandir(os.path.expanduser(directory) or ".") as entries:
        return [(entry.name, entry.is_dir()) for entry in entries]


def _in_image(session: Session, directory: str) -> list[tuple[str, bool]]:
    entries = session.image.scandir(session.absolute(os.fsencode(directory)))
    return [(os.fsdecode(entry.name), entry.is_dir()) for entry in entries]
