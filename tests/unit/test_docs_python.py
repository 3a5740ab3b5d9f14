"""The examples in docs/python.md do what the page says."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from tests.support.command import command
from tests.support.images import verify_image

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_examples_of_the_python_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("upath", reason="universal-pathlib is not installed")
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text()
    assert re.findall(r"^\$ minixfs (.*)$", text, re.MULTILINE) == ["mkfs disk.img 8M"]
    assert command("mkfs", "disk.img", "8M").code == 0
    examples = "".join(re.findall(r"^```pycon\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    test = doctest.DocTestParser().get_doctest(examples, {}, PAGE.name, str(PAGE), 0)
    assert len(test.examples) > 20
    report: list[str] = []
    failed, _ = doctest.DocTestRunner().run(test, out=report.append)
    assert not failed, "".join(report)
    test.globs.clear()
    verify_image(tmp_path / "disk.img", peer=False)  # blocks of 4096 are not for it
