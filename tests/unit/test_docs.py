"""The documents agree with the code: the table of behaviours, the commands in them, and what they point to."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from minixfs.cli.main import COMMANDS
from minixfs.daemon.options import WORDS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
PATH = re.compile(r"`((?:minixfs|tests|docs|tools|benchmarks)/[\w./-]*)`")
COMMAND = re.compile(r"^\$? ?(?:sudo )?minixfs (\w+)", re.MULTILINE)


@pytest.fixture(scope="module")
def behaviours() -> ModuleType:
    spec = importlib.util.spec_from_file_location("behaviours", ROOT / "tools" / "behaviours.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_table_of_behaviours_is_up_to_date(behaviours: ModuleType) -> None:
    assert (ROOT / "docs" / "behaviours.md").read_text() == behaviours.page(), "run: make docs"


def test_modules_in_the_table_exist(behaviours: ModuleType) -> None:
    missing = {module for module, _ in behaviours.known().values() if not (ROOT / module).is_file()}
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_points_to_exists(page: Path) -> None:
    text = page.read_text()
    targets = [page.parent / target for target in LINK.findall(text)] + [ROOT / path for path in PATH.findall(text)]
    assert not [str(target) for target in targets if not target.exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_words_in_a_page_exist(page: Path) -> None:
    text = page.read_text()
    assert set(COMMAND.findall(text)) <= set(COMMANDS)
    known = {word.partition("=")[0] for word in WORDS}
    used = {word for words in re.findall(r" -o ([a-z_=,0-9A-Z-]+)", text) for word in words.split(",")}
    assert {word.partition("=")[0] for word in used} <= known
