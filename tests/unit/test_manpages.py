"""The manual pages: every command and option is there, examples can be given as written, groff has no complaint."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from minixfs.cli.find import actions, tests
from minixfs.cli.helpers import HELPERS
from minixfs.cli.main import COMMANDS, cli
from minixfs.daemon.options import WORDS

ROOT = Path(__file__).parents[2]
SEPARATORS = {"|", "&&", ";", "<", ">"}


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("manpages", ROOT / "tools" / "manpages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["manpages"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


MANPAGES = _load()
PAGES = {page.file: page for page in MANPAGES.pages()}
RENDERED: dict[str, str] = MANPAGES.rendered()


def command_of(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


def resolved(name: str) -> str:
    """What man(1) shows for a page."""
    files = [text for file, text in RENDERED.items() if Path(file).stem == name]
    assert files, f"there is no page {name}"
    text = files[0]
    return RENDERED[text.removeprefix(".so ").strip()] if text.startswith(".so ") else text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_page_with_all_its_options(name: str) -> None:
    page = resolved(f"minixfs-{name}").replace("\\-", "-")
    for option in MANPAGES.options_of(command_of(name)):
        assert option.help, f"{name} {option.opts[0]} has no help"
        assert all(f"\\fB{flag}\\fP" in page for flag in option.opts), option.opts


def test_helpers_have_pages() -> None:
    for name in HELPERS:
        assert "minixfs" in resolved(name)


def test_every_test_and_action_of_find_is_told_of() -> None:
    page = resolved("minixfs-find").replace("\\-", "-")
    words = {*tests.TESTS, *tests.PLAIN, *actions.ACTIONS, *actions.PLAIN}
    missing = {word for word in words if not re.match("-newer..", word) and f"\\fB{word}\\fP" not in page}
    assert not missing


def test_mount_options_are_told_of() -> None:
    for page in ("minixfs-mount", "minixfs"):
        texts = [text for file, text in RENDERED.items() if file in (f"man8/{page}.8", f"man5/{page}.5")]
        assert all(f"\\fB{word}\\fP" in texts[0] for word in WORDS)


def test_pages_that_are_referred_to_exist() -> None:
    for text in RENDERED.values():
        for name, section in re.findall(r"\\fB(minixfs[\w\\-]*|\w+\.minixfs)\\fP\(([158])\)", text):
            assert f"man{section}/{name.replace(chr(92), '')}.{section}" in RENDERED


def commands_in(text: str) -> Iterator[list[str]]:
    """The words of every call of minixfs in a line for a shell."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word not in SEPARATORS:
            words.append(word)
            continue
        while words and re.match(r"[A-Z_]+=", words[0]):
            del words[0]
        if words[:1] == ["minixfs"]:
            yield words[1:]
        words = []


def examples() -> Iterator[tuple[str, str]]:
    for file, page in PAGES.items():
        for line in re.findall(r"(?m)^    (.*minixfs .*)$", page.body):
            yield file, line
    for page in (ROOT / "README.md", ROOT / "docs" / "python.md"):
        for line in re.findall(r"(?m)^\$ (.*minixfs .*)$", page.read_text()):
            yield page.name, line
    for name in COMMANDS:
        for line in re.findall(r"(?m)^ *(minixfs \w+ .*?)(?:   .*)?$", command_of(name).help or ""):
            yield f"minixfs {name} --help", line


@pytest.mark.parametrize(("page", "line"), list(examples()))
def test_examples_can_be_given_as_they_are_written(page: str, line: str) -> None:
    """Commands and options exist, with as many arguments as they take."""
    for name, *arguments in commands_in(line):
        assert name in COMMANDS, page
        command_of(name).make_context(name, arguments)


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff")
def test_groff_has_no_complaint(tmp_path: Path) -> None:
    files = []
    for file in PAGES:
        files.append(tmp_path / Path(file).name)
        files[-1].write_text(RENDERED[file])
    run = subprocess.run(
        ["groff", "-man", "-ww", "-rLL=72n", "-Tutf8", "-z", *files],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert not run.stderr


@pytest.mark.skipif(shutil.which("lexgrog") is None, reason="no lexgrog")
def test_names_can_be_indexed(tmp_path: Path) -> None:
    """What apropos(1) and whatis(1) read."""
    for file, page in PAGES.items():
        path = tmp_path / Path(file).name
        path.write_text(RENDERED[file])
        run = subprocess.run(["lexgrog", path], capture_output=True, text=True, timeout=60, check=True)
        assert all(f'"{name} - ' in run.stdout for name in [page.name, *page.links])
