"""Writes docs/behaviours.md: which behaviour of MINIX is kept by which module and shown by which test.

    python tools/behaviours.py --write

`tools/behaviours.toml` says what the behaviours are; the tests say which they show, by a number such as FS-02 in the
docstring of a module, class or function, or in a function's name (`test_fs02_...`).
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "behaviours.md"
TABLE = ROOT / "tools" / "behaviours.toml"

AREAS = {
    "FS": "File systems and the cache library",
    "VFS": "VFS",
    "VM": "Page pool and page cache",
    "HW": "Block devices",
}
HEAD = """\
# Behaviours of MINIX, and the tests that show them

Made by `make docs` from `tools/behaviours.toml` and the tests; do not edit. A test stands for all in its file when it
is named without a function. Only what a test shows is listed.
"""
_IN_TEXT = re.compile(r"\b(FS|VFS|VM|HW)-(\d{2,})\b")
_IN_NAME = re.compile(r"_(fs|vfs|vm|hw)(\d{2,})(?=_|$)")


def known() -> dict[str, tuple[str, str]]:
    """Number -> module (path) and what can be observed."""
    return {number: (module, text) for number, (module, text) in tomllib.loads(TABLE.read_text()).items()}


def shown() -> dict[str, list[str]]:
    """Number -> the tests that name it, as ``tests/unit/test_x.py`` or ``tests/unit/test_x.py::test_y``."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text(), name)):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            own = "" if isinstance(node, ast.Module) else node.name
            numbers = _IN_TEXT.findall(ast.get_docstring(node) or "") + _IN_NAME.findall(own)
            for area, digits in sorted(set(numbers)):
                found[f"{area.upper()}-{digits}"].append(f"{name}::{own}" if own else name)
    return found


def page() -> str:
    """The whole document. Raises LookupError for a number that a test names and the table does not have."""
    behaviours, tests = known(), shown()
    if unknown := sorted(set(tests) - set(behaviours)):
        raise LookupError(f"add to tools/behaviours.toml: {', '.join(f'{n} ({tests[n][0]})' for n in unknown)}")
    lines = [HEAD]
    for area, title in AREAS.items():
        rows = sorted(number for number in tests if number.startswith(f"{area}-"))
        if rows:
            lines += [f"## {title}", "", "| | Behaviour | Module | Tests |", "|---|---|---|---|"]
            for number in rows:
                module, text = behaviours[number]
                lines.append(f"| {number} | {text} | `{module}` | {_tests(tests[number])} |")
            lines.append("")
    return "\n".join(lines)


def _tests(names: list[str]) -> str:
    """Files with their functions, each file once: ``test_x.py`` (test_y, test_z)."""
    functions: dict[str, list[str]] = defaultdict(list)
    for name in names:
        path, _, function = name.partition("::")
        functions[path] += [function] * bool(function)
    links = {path: f"[`{path}`](../{path})" for path in functions}
    return "; ".join(links[path] + ": " * bool(own) + ", ".join(sorted(set(own))) for path, own in functions.items())


def main() -> int:
    parser = argparse.ArgumentParser(description="Renew docs/behaviours.md, or say whether it is up to date.")
    parser.add_argument("--write", action="store_true", help="write the file; otherwise only compare")
    arguments = parser.parse_args()
    try:
        text = page()
    except LookupError as error:
        sys.exit(str(error))
    if arguments.write:
        PAGE.write_text(text)
        return 0
    same = PAGE.exists() and PAGE.read_text() == text
    if not same:
        sys.stderr.write("docs/behaviours.md is not up to date; run: make docs\n")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
