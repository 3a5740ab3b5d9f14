"""What may stand for the word that is being typed. Knows the commands from their own options and arguments.

candidates(["minixfs", "cat", "disk.img:/et"])      ->  [Candidate("disk.img:/etc/", ends=False)]
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import click

from minixfs.cli.completion import files
from minixfs.cli.completion.files import Candidate
from minixfs.cli.helpers import HELPERS
from minixfs.cli.main import COMMANDS, cli

__all__ = ["Candidate", "candidates"]

_FILES = {"FILE", "SOURCE", "PATH", "DIRECTORY"}
"""What options call a file that is their value."""
_IN_IMAGE = re.compile(r"IMAGE \[?(?:PATH|DIRECTORY)")
"""In the usage of a command whose first file may be an image, and the others paths in that."""

_STRUCTURE = re.compile(r"(?m)^ *(?:MINIX: |ext2: )? *([a-z]+)\b(?: N)?(?:, ([a-z]+)\b)?.*?  ")
"""In the help of `minixfs dump`: one or two structures at the beginning of a line."""


@dataclass(frozen=True, slots=True)
class _Typed:
    """The words before the one that is being typed: arguments, the option that waits for its value, whether ``--`` was
    there."""

    arguments: list[str]
    option: click.Option | None
    ended: bool


def candidates(words: Sequence[str]) -> list[Candidate]:
    """For the last of `words`; the first is the program that is called. None of them has quotes."""
    program, *before, text = words
    name = os.path.basename(program)
    if name in HELPERS:
        before = [HELPERS[name][0], *before]
    if not before:
        return _options(cli, text) if text.startswith("-") else _chosen(text, _commands())
    if before[0] not in COMMANDS:
        return files.on_host(text)
    command = cli.get_command(click.Context(cli), before[0])
    return [] if command is None else list(_of_command(before[0], command, before[1:], text))


def _commands() -> Iterator[tuple[str, str]]:
    return ((name, help_line) for name, (_, help_line) in COMMANDS.items())


def _chosen(text: str, choices: Iterable[tuple[str, str]]) -> list[Candidate]:
    return [Candidate(name, help_line) for name, help_line in choices if name.startswith(text)]


def _of_command(name: str, command: click.Command, before: Sequence[str], text: str) -> Iterable[Candidate]:
    if name == "find":
        return _of_find(before, text)
    typed = _typed(command, before)
    if typed.option is not None:
        return _values(name, typed.option, typed.arguments, text)
    if not typed.ended and text.startswith("--") and "=" in text:
        head, _, value = text.partition("=")
        option = _by_text(command).get(head)
        if option is None or option.is_flag:
            return []
        found = _values(name, option, typed.arguments, value)
        return [replace(candidate, value=f"{head}={candidate.value}") for candidate in found]
    if not typed.ended and text.startswith("-"):
        return _options(command, text)
    return _arguments(command, typed.arguments, text)


def _by_text(command: click.Command) -> dict[str, click.Option]:
    return {text: option for option in command.params if isinstance(option, click.Option) for text in option.opts}


def _typed(command: click.Command, words: Sequence[str]) -> _Typed:
    options = _by_text(command)
    arguments: list[str] = []
    waiting: click.Option | None = None
    ended = False
    for word in words:
        if waiting is not None:
            waiting = None
        elif ended or word == "-" or not word.startswith("-"):
            arguments.append(word)
        elif word == "--":
            ended = True
        elif word.startswith("--"):
            waiting = _with_value(options.get(word))
        else:
            letters = (f"-{letter}" for letter in word[1:])
            first = next((letter for letter in letters if _with_value(options.get(letter))), None)
            waiting = options[first] if first is not None and word.endswith(first[1]) else None
    return _Typed(arguments, waiting, ended)


def _with_value(option: click.Option | None) -> click.Option | None:
    return None if option is None or option.is_flag or option.count else option


def _options(command: click.Command, text: str) -> list[Candidate]:
    found: list[Candidate] = []
    for option in command.get_params(click.Context(command)):
        if isinstance(option, click.Option) and not option.hidden:
            found += _chosen(text, ((name, option.help or "") for name in option.opts))
    return found


def _values(name: str, option: click.Option, arguments: Sequence[str], text: str) -> list[Candidate]:
    if isinstance(option.type, click.Choice):
        return _chosen(text, ((str(choice), "") for choice in option.type.choices))
    words = _lists(name, option)
    if words:
        return _listed(text, words)
    if option.metavar in _FILES:
        only = option.metavar == "DIRECTORY"
        if name == "tar" and only:
            return files.in_image(arguments[0], text, only_directories=only) if arguments else []
        return files.anywhere(text, only_directories=only)
    return []


def _lists(name: str, option: click.Option) -> dict[str, str]:
    """The words of an option that takes several, with commas between them; a word with a value ends in ``=``."""
    if name == "mount" and option.name == "words":
        from minixfs.daemon.options import WORDS

        return {re.sub("=.*", "=", word): help_line for word, help_line in WORDS.items()}
    if name == "cp" and option.metavar == "LIST":
        return dict.fromkeys(("mode", "ownership", "timestamps", "links", "xattr", "all"), "")
    if name == "diff" and option.metavar == "LIST":
        from minixfs.trees.diff import ASPECTS

        return dict.fromkeys(("owner", *ASPECTS), "")
    return {}


def _listed(text: str, words: dict[str, str]) -> list[Candidate]:
    head, comma, last = text.rpartition(",")
    known = set(head.split(","))
    return [
        Candidate(head + comma + word, help_line, ends=False)
        for word, help_line in words.items()
        if word.startswith(last) and word not in known
    ]


def _arguments(command: click.Command, before: Sequence[str], text: str) -> list[Candidate]:
    arguments = [argument for argument in command.params if isinstance(argument, click.Argument)]
    argument = arguments[min(len(before), len(arguments) - 1)]
    if len(before) >= len(arguments) and argument.nargs != -1:
        return []
    if isinstance(argument.type, click.Choice):
        return _chosen(text, ((str(choice), "") for choice in argument.type.choices))
    usage = argument.metavar or ""
    if command.name == "umount":
        return _chosen(text, ((mount, "") for mount in files.mounts()))
    if command.name == "dump" and before:
        return _structures(command, text) if len(before) == 1 else files.in_image(before[0], text)
    if argument.name == "directory":
        return files.on_host(text, only_directories=True)
    if match := _IN_IMAGE.search(usage):
        skipped = len(re.findall(r"\w+[^\s]* ", usage[: match.start()]))
        named = before[skipped:]
        if len(before) < skipped:
            return []
        if named and files.MARK not in named[0]:
            return files.in_image(named[0], text, only_directories="DIRECTORY" in match.group())
    elif isinstance(argument.type, click.Path) or (argument.name == "image" and ":/" not in usage):
        return files.on_host(text, partitions=True)
    return files.anywhere(text)


def _structures(command: click.Command, text: str) -> list[Candidate]:
    table = (command.help or "").partition("\b")[2]
    names = dict.fromkeys(name for pair in _STRUCTURE.findall(table) for name in pair if name)
    return _chosen(text, ((name, "") for name in names))


def _of_find(before: Sequence[str], text: str) -> list[Candidate]:
    """Arguments end where the expression begins."""
    from minixfs.cli.find import actions, tests

    if text.startswith("-"):
        own = ("-maxdepth", "-mindepth", "-depth", "-daystart", "-regextype", "-not", "-prune", "-quit")
        words = {*tests.TESTS, *tests.PLAIN, *actions.ACTIONS, *actions.PLAIN, *own}
        return _chosen(text, ((word, "") for word in sorted(words)))
    start = before[0] if before and files.MARK not in before[0] else None
    if before and before[-1] == "-type":
        return _chosen(text, ((letter, "") for letter in "bcdfps"))
    if any(word.startswith("-") for word in before):
        return []
    return files.anywhere(text) if start is None else files.in_image(start, text)
