"""`minixfs completion`: the script that makes a shell complete our commands, and the answers to its questions.

Each script calls ``minixfs completion SHELL -- ...`` for every press of the key, and gets lines. What they look like is
between the script and its function here:

    bash    the line up to the cursor, and the part of it that readline would replace; what to put there, quoted as the
            line asks for it, with a blank behind what is complete
    zsh     the words, the last one being typed, without quotes; words with their blank, a tab, an explanation
    fish    as zsh, but the last word as it was typed: fish gives that away only in its quotes
"""

from __future__ import annotations

import os
import sys

import click

from minixfs.cli.completion.engine import Candidate, candidates
from minixfs.cli.completion.line import Line
from minixfs.cli.completion.scripts import SCRIPTS


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("shell", type=click.Choice(list(SCRIPTS)))
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="")
def completion(shell: str, words: tuple[str, ...]) -> int:
    """Print the script that makes SHELL complete minixfs commands: options, files, and files inside images.

    \b
    bash   eval "$(minixfs completion bash)"          in ~/.bashrc
    zsh    eval "$(minixfs completion zsh)"           in ~/.zshrc, after compinit
    fish   minixfs completion fish | source           in ~/.config/fish/config.fish
    """
    if not words:
        sys.stdout.write(SCRIPTS[shell])
        return 0
    lines = _for_bash(*words[:2]) if shell == "bash" else _for_others(shell, words)
    sys.stdout.buffer.write(b"".join(os.fsencode(line) + b"\n" for line in lines))
    return 0


def _for_bash(text: str, replaced: str = "") -> list[str]:
    line = Line(text)
    kept = line.value_before(replaced)
    found = [candidate for candidate in candidates(line.words) if candidate.value.startswith(kept)]
    if not line.quote:
        return [line.quoted(candidate.value[len(kept) :]) + " " * candidate.ends for candidate in found]
    replies = [line.quoted(candidate.value[len(kept) :]) for candidate in found]
    if len(found) == 1 and not found[0].ends:
        replies.append(replies[0] + " ")  # the quote would be closed after the only answer there is
    return replies


def _for_others(shell: str, words: tuple[str, ...]) -> list[str]:
    if shell == "fish":
        words = (*words[:-1], Line(words[-1]).words[-1])
    return [_described(candidate) + "\t" + candidate.help for candidate in candidates(words)]


def _described(candidate: Candidate) -> str:
    return candidate.value + " " * candidate.ends
