"""Completion in real shells: each on a terminal, with the Tab key pressed after half a command."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator

import pytest

from tests.support.command import command
from tests.support.terminal import Shell

START = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        r"""
            PS1=
            source <(minixfs completion bash)
            bind -x '"\C-x\C-x": printf "%s\n" "$READLINE_LINE" >"$SHOWN"'
        """,
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        r"""
            PS1=
            autoload -Uz compinit; compinit -u -D
            eval "$(minixfs completion zsh)"
            show() { print -r -- "$BUFFER" >"$SHOWN" }
            zle -N show; bindkey '^X^X' show; bindkey '^U' kill-whole-line
        """,
    ),
    "fish": (
        ["fish", "--no-config", "-i"],
        r"""
            minixfs completion fish | source
            bind \cx\cx "commandline >$SHOWN"; bind \cu kill-whole-line
        """,
    ),
}
"""The shell, and what it has to be told first; see `Shell.SHOW`."""

COMPLETED = [
    ("minixfs umo", "minixfs umount "),
    ("minixfs mkfs --proto-", "minixfs mkfs --proto-extensions "),
    ("minixfs mkfs --padding=l", "minixfs mkfs --padding=linux "),
    ("minixfs cat disk.img", "minixfs cat disk.img"),
    ("minixfs cat disk.img:/e", "minixfs cat disk.img:/etc/"),
    ("minixfs cat disk.img /etc/p", "minixfs cat disk.img /etc/passwd "),
    ("minixfs cat disk.img@@0:/a", r"minixfs cat disk.img@@0:/a\ dir/"),
    (r"minixfs cat my\ disk.img:/a", r"minixfs cat my\ disk.img:/a\ dir/"),
    ('minixfs cat "my disk.img:/a', 'minixfs cat "my disk.img:/a dir/'),
    ("minixfs cat 'my disk.img:/e", "minixfs cat 'my disk.img:/etc/"),
    ("minixfs cat whole.img:p0s0:/i", r"minixfs cat whole.img:p0s0:/it\'s "),
]


@pytest.fixture(scope="module", params=START)
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    program, start = START[request.param]
    if shutil.which(program[0]) is None:
        pytest.skip(f"no {program[0]}")
    place = tmp_path_factory.mktemp("completion")
    tree = place / "tree"
    for directory in ("etc", "a dir"):
        (tree / directory).mkdir(parents=True)
    (tree / "etc" / "passwd").write_text("x")
    (tree / "it's").write_text("x")
    for name in ("disk.img", "my disk.img"):
        assert command("mkfs", "-q", "-d", tree, place / name, "1M").code == 0
    disk = ("--root", tree, "--root-size", "2M", "--home-size", "0", place / "whole.img", "8M")
    assert command("mkdisk", "-q", *disk).code == 0
    programs = place / "bin"
    programs.mkdir()
    (programs / "minixfs").write_text(f"#!{sys.executable}\nfrom minixfs.cli.main import main\nmain()\n")
    (programs / "minixfs").chmod(0o755)
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(place)}
    with Shell(program, place, environment) as started:
        started.run(*(line.strip() for line in start.strip().splitlines()))
        yield started


def test_tab_completes_commands_options_files_and_paths_in_images(shell: Shell) -> None:
    assert [(typed, shell.completed(typed)) for typed, _ in COMPLETED] == COMPLETED


@pytest.mark.parametrize("shell", ["bash"], indirect=True)
def test_bash_without_the_colon_among_its_word_breaks(shell: Shell) -> None:
    shell.run('COMP_WORDBREAKS=" "')
    assert shell.completed("minixfs cat disk.img:/e") == "minixfs cat disk.img:/etc/"
    assert shell.completed("minixfs mkfs --padding=l") == "minixfs mkfs --padding=linux "
