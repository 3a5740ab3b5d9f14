"""A session of the shell: the open image, where the user is in it, and how a command is carried out.

    with Session("disk.img", write=True) as session:
        status = session.run("cd /etc; ls -l")

Verbs are the commands of the command line, each in a context that has the session in it: there they find their images
(`Images`) and paths are relative to `directory`. Errors become one line, as everywhere, and an exit code.
"""

from __future__ import annotations

import importlib
import os
import posixpath
import stat
from collections.abc import Callable, Sequence
from typing import Any, Self

import click
from click.exceptions import Exit

from minixfs.cli.find.patterns import glob
from minixfs.cli.images import Images, Target
from minixfs.cli.job import FAILURE
from minixfs.cli.offline import Shared
from minixfs.cli.quoting import quoted
from minixfs.cli.shell.words import Word, commands
from minixfs.errors import MinixFsError, UsageError
from minixfs.image.image import Image

VERBS = (
    "cat", "chgrp", "chmod", "chown", "cp", "df", "du", "find", "ln", "ls", "mkdir", "mknod", "mv", "rm", "rmdir",
    "stat", "touch", "tree", "truncate",
)  # fmt: skip
HERE = ("ls", "find")
"""Verbs that want a path, but mean this directory without one."""
BUILTINS = {
    "cd": "cd [DIRECTORY]            go to a directory of the image",
    "pwd": "pwd                       say where that is",
    "get": "get [-r] FILE... [DEST]   copy files out of the image (as cp does)",
    "put": "put [-r] FILE... [DEST]   copy files of the host into the image",
    "lcd": "lcd [DIRECTORY]           go to a directory of the host",
    "lpwd": "lpwd                      say where that is",
    "lls": "lls [DIRECTORY]           list a directory of the host",
    "sync": "sync                      bring all changes to stable storage",
    "help": "help [COMMAND]            say what there is, or all about a command",
    "exit": "exit [STATUS]             leave; changes are written",
}
USAGE = 2
INTERRUPTED = 128


class Leave(Exception):
    """The user wants to go."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Session(Images, Shared):
    """One open image; `directory` is where the user is in it, `status` the exit code of the last command."""

    def __init__(self, spec: str, *, write: bool) -> None:
        """Raises MinixFsError."""
        super().__init__()
        self.spec = spec
        self.fixed = os.path.abspath(spec)  # so that lcd does not lead away from it
        self.image = Image(self.fixed, "r+" if write else "r")
        self.directory = b"/"
        self.status = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.image.close()

    # ---- what commands ask of their images -------------------------------------------------------------------------

    def targets(self, arguments: Sequence[str], default: bytes | None = None) -> list[Target]:
        if not arguments and default is None:
            raise UsageError("missing operand")
        return [self.target(argument, self.spec) for argument in arguments or (".",)]

    def target(self, argument: str, image: str) -> Target:
        shown = os.fsencode(argument)
        return Target(self.spec, self.absolute(shown), shown, shown)

    def whole(self, arguments: Sequence[str]) -> list[Target]:
        return [Target(self.spec, b"/", b"/", os.fsencode(self.spec))]

    def open(self, spec: str, *, write: bool = False) -> Image:
        if write and not self.image.writable:
            raise UsageError(f"{self.spec} is open for reading only; start the shell with -w to change it")
        return self.image

    def close(self) -> None:
        """Not before the end of the session."""

    def sources(self, arguments: Sequence[str]) -> list[tuple[str, list[bytes]]]:
        return [(self.spec, [os.fsencode(argument) for argument in arguments])]

    def view(self) -> Any:
        return _View(self)

    def absolute(self, path: bytes) -> bytes:
        return path if path.startswith(b"/") else self.directory.rstrip(b"/") + b"/" + path

    # ---- running commands ------------------------------------------------------------------------------------------

    def run(self, line: str, *, keep_going: bool = False) -> int:
        """The exit code of the first command in `line` that failed, which is the last one that runs, or with
        `keep_going` of the last that failed; else 0. Raises Leave."""
        failed = 0
        try:
            found = commands(line)
        except UsageError as error:
            self.status = _told("minixfs shell", str(error), USAGE)
            return self.status
        for words in found:
            self.status = self._one(words)
            failed = self.status or failed
            if failed and not keep_going:
                break
        return failed

    def _one(self, words: list[Word]) -> int:
        name = words[0].text
        arguments = [text for word in words[1:] for text in self._expanded(word, host=name in ("put", "lls", "lcd"))]
        builtin: Callable[[list[str]], int] | None = getattr(self, f"_do_{name}", None) if name in BUILTINS else None
        try:
            if builtin is not None:
                return builtin(arguments)
            if name not in VERBS:
                return _told(name, "no such command; 'help' lists those that there are", 127)
            if name in HERE and not arguments_of(name, arguments):
                arguments.insert(0 if name == "find" else len(arguments), ".")
            return self._verb(name, arguments, self)
        except click.ClickException as error:
            return _told(name, error.format_message(), error.exit_code)
        except MinixFsError as error:
            return _told(name, str(error), error.exit_code)
        except click.Abort:
            return _told(name, "interrupted", INTERRUPTED + 2)
        except OSError as error:
            where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
            return _told(name, f"{where}{error.strerror or error}", FAILURE)

    def _verb(self, name: str, arguments: list[str], images: Images) -> int:
        from minixfs.cli.main import COMMANDS

        command: click.Command = getattr(importlib.import_module(COMMANDS[name][0]), name)
        try:
            result = command.main(
                arguments, prog_name=name, standalone_mode=False, obj=images, help_option_names=["--help"]
            )
        except Exit as end:
            return end.exit_code
        return result if isinstance(result, int) else 0

    def _expanded(self, word: Word, *, host: bool) -> list[str]:
        """The files that a pattern stands for, or what was typed if there are none."""
        if word.pattern is None:
            return [word.text]
        paths = [""]
        for part in word.pattern.split("/"):
            paths = [path for above in paths for path in self._matches(above, part, host=host)]
        return [path[:-1] for path in paths] or [word.text]

    def _matches(self, above: str, pattern: str, *, host: bool) -> list[str]:
        """Paths, with a slash, of what is called like `pattern` in the directory `above`."""
        plain = glob_text(pattern)
        if plain is not None:
            return [f"{above}{plain}/"]
        try:
            names = sorted(os.listdir(above or ".")) if host else self.names(above)
        except OSError:
            return []
        matches = glob(pattern).fullmatch
        hidden = pattern.startswith(".")
        return [f"{above}{name}/" for name in names if matches(name) and (hidden or not name.startswith("."))]

    def names(self, directory: str) -> list[str]:
        """What is in a directory of the image. Raises OSError."""
        return [os.fsdecode(name) for name in self.image.listdir(self.absolute(os.fsencode(directory)))]

    # ---- builtins --------------------------------------------------------------------------------------------------

    def _do_cd(self, arguments: list[str]) -> int:
        path = posixpath.normpath(self.absolute(os.fsencode(_at_most_one(arguments) or "/")))
        path = b"/" + path.lstrip(b"/")
        found = self.image.stat(path)
        if not stat.S_ISDIR(found.st_mode):
            raise UsageError(f"{arguments[0]}: Not a directory")
        self.directory = path
        return 0

    def _do_pwd(self, arguments: list[str]) -> int:
        _none(arguments)
        click.echo(self.directory)
        return 0

    def _do_lcd(self, arguments: list[str]) -> int:
        os.chdir(os.path.expanduser(_at_most_one(arguments) or "~"))
        return 0

    def _do_lpwd(self, arguments: list[str]) -> int:
        _none(arguments)
        click.echo(os.getcwdb())
        return 0

    def _do_lls(self, arguments: list[str]) -> int:
        for name in sorted(os.listdir(os.fsencode(_at_most_one(arguments) or "."))):
            click.echo(quoted(name) if not os.fsdecode(name).isprintable() else name)
        return 0

    def _do_sync(self, arguments: list[str]) -> int:
        _none(arguments)
        self.image.sync()
        return 0

    def _do_exit(self, arguments: list[str]) -> int:
        status = _at_most_one(arguments)
        if status is not None and not status.isdecimal():
            raise UsageError(f"{status}: numeric argument required")
        raise Leave(self.status if status is None else int(status) & 0xFF)

    def _do_help(self, arguments: list[str]) -> int:
        name = _at_most_one(arguments)
        if name in VERBS:
            return self._verb(name or "", ["--help"], self)
        if name is not None and name not in BUILTINS:
            return _told("help", f"{name}: no such command", FAILURE)
        lines = [BUILTINS[name]] if name is not None else [*BUILTINS.values(), "", " ".join(VERBS)]
        click.echo("\n".join(lines))
        return 0

    def _do_get(self, arguments: list[str]) -> int:
        options, files = _parted(arguments)
        destination = files.pop() if len(files) > 1 else "."
        return self._verb("cp", [*options, "--", *map(self._from_outside, files), destination], _Outside(self))

    def _do_put(self, arguments: list[str]) -> int:
        options, files = _parted(arguments)
        destination = files.pop() if len(files) > 1 else "."
        return self._verb("cp", [*options, "--", *files, self._from_outside(destination)], _Outside(self))

    def _from_outside(self, path: str) -> str:
        """What a file of the image is called on a command line."""
        return f"{self.fixed}:{os.fsdecode(self.absolute(os.fsencode(path)))}"


class _Outside(Images):
    """The images of get and put, which name files of both worlds in full."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def open(self, spec: str, *, write: bool = False) -> Image:
        return self._session.open(spec, write=write) if spec == self._session.fixed else super().open(spec, write=write)


class _View:
    """The image as commands see it that know nothing of a session: paths are relative to where the user is."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.spec = session.spec

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        """The session goes on."""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._session.image, name)

        def call(path: bytes, *arguments: Any, **options: Any) -> Any:
            return method(self._session.absolute(path), *arguments, **options)

        return call


def glob_text(pattern: str) -> str | None:
    """What a pattern without any wildcard says; None for a real one."""
    text, at = "", 0
    while at < len(pattern):
        if pattern[at] in "*?[":
            return None
        at += pattern[at] == "\\"
        text += pattern[at : at + 1]
        at += 1
    return text


def arguments_of(name: str, arguments: list[str]) -> bool:
    """Whether a verb of `HERE` was told a path."""
    if name == "find":
        return bool(arguments) and arguments[0][:1] not in ("-", "(", "!", ",")
    return any(not argument.startswith("-") or argument == "-" for argument in arguments)


def _parted(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Options and files."""
    if "--" in arguments:
        at = arguments.index("--")
        return arguments[:at], arguments[at + 1 :]
    options = [argument for argument in arguments if argument.startswith("-") and argument != "-"]
    files = [argument for argument in arguments if argument not in options]
    if not files:
        raise UsageError("missing file operand")
    return options, files


def _at_most_one(arguments: list[str]) -> str | None:
    if len(arguments) > 1:
        raise UsageError("too many arguments")
    return arguments[0] if arguments else None


def _none(arguments: list[str]) -> None:
    if arguments:
        raise UsageError("too many arguments")


def _told(name: str, message: str, status: int) -> int:
    """Say what went wrong with a command; returns its exit code."""
    line = "".join(c if c.isprintable() else "?" for c in f"{name}: {message}")
    click.echo(line, err=True)
    return status
