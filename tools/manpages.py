"""Makes the manual pages: options from the commands themselves, prose from docs/man/.

    python tools/manpages.py DIRECTORY          writes DIRECTORY/man1/minixfs.1 and all others

A file ``docs/man/NAME.SECTION.md`` becomes one page, and links to it. It begins with lines ``key: value``:

    title: what the page is about, for apropos
    commands: the commands it tells of, in this order
    links: further names of the page, besides minixfs-COMMAND for each command

Then come sections. ``## OPTIONS`` stands for what the commands say of themselves, ``{mount words}`` for the table of
mount options, ``{commands}`` for that of all commands. The rest is a small part of Markdown: paragraphs, ``* `` lists,
a term with ``: `` lines below it, blocks that are indented by four, `code`, *names to fill in*.
"""

from __future__ import annotations

import argparse
import inspect
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from minixfs.cli.main import COMMANDS, SECTIONS, cli
from minixfs.daemon.options import WORDS

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "docs" / "man"


@dataclass(frozen=True)
class Page:
    """One manual page. `body` is the prose, `links` every further name that it has."""

    name: str
    section: str
    title: str
    commands: list[str]
    links: list[str]
    body: str

    @property
    def file(self) -> str:
        return f"man{self.section}/{self.name}.{self.section}"


def pages() -> list[Page]:
    """All of them. Raises ValueError for a source that says too little."""
    return [_read(path) for path in sorted(SOURCES.glob("*.md"))]


def _read(path: Path) -> Page:
    name, section = path.stem.rsplit(".", 1)
    head, _, body = path.read_text().partition("\n\n")
    facts = dict(line.split(": ", 1) for line in head.splitlines())
    if "title" not in facts:
        raise ValueError(f"{path}: begin with a line 'title: ...'")
    commands = facts.get("commands", "").split()
    links = [f"minixfs-{command}" for command in commands] + facts.get("links", "").split()
    return Page(name, section, facts["title"], commands, [link for link in links if link != name], body)


def rendered() -> dict[str, str]:
    """File name, such as ``man1/minixfs.1`` -> what is in it."""
    files = {}
    for page in pages():
        files[page.file] = roff(page)
        for link in page.links:
            files[f"man{page.section}/{link}.{page.section}"] = f".so {page.file}\n"
    return files


def roff(page: Page) -> str:
    """A page in the macros of man(7)."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    names = ", ".join([page.name, *page.links])
    lines = [
        "'\\\" t",
        f'.TH "{page.name.upper()}" "{page.section}" "" "minixfs {version}" "minixfs manual"',
        ".nh",
        ".SH NAME",
        f"{_plain(names)} \\- {_plain(page.title)}",
    ]
    if page.commands:
        lines += [".SH SYNOPSIS", *_synopsis(page)]
    for block in re.split(r"\n{2,}", page.body.strip("\n")):
        lines += _block(block, page)
    return "\n".join(lines) + "\n"


# ---- what the commands say of themselves ---------------------------------------------------------------------------


def command_of(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    if found is None:
        raise ValueError(f"there is no command {name}")
    return found


def options_of(command: click.Command) -> list[click.Option]:
    """Every option that users may give."""
    parameters = command.get_params(_context(command))
    return [option for option in parameters if isinstance(option, click.Option) and not option.hidden]


def _context(command: click.Command) -> click.Context:
    return click.Context(command, help_option_names=["-h", "--help"])


def _synopsis(page: Page) -> Iterator[str]:
    for name in page.commands:
        command = command_of(name)
        pieces = command.collect_usage_pieces(_context(command))
        yield f".SY minixfs\\ {_plain(name)}"
        yield " ".join(f"\\fI{_plain(piece)}\\fP" for piece in pieces)
        yield ".YS"


def _commands(page: Page) -> Iterator[str]:
    """The section OPTIONS; of several commands each has a part of its own, with its help."""
    for name in page.commands:
        command = command_of(name)
        if len(page.commands) > 1:
            yield f".SS minixfs {_plain(name)}"
            yield from _help(command)
        for option in options_of(command):
            yield ".TP"
            yield _flags(option)
            yield _text(_described(option))


def _help(command: click.Command) -> Iterator[str]:
    """What ``--help`` says first, but for the examples: a page has more of them."""
    for paragraph in re.split(r"\n{2,}", inspect.cleandoc(command.help or "")):
        if paragraph.startswith("\b"):
            lines = paragraph.splitlines()[1:]
            if not all(line.startswith("minixfs ") for line in lines):
                yield from (".PP", ".RS 4", ".EX", *map(_plain, lines), ".EE", ".RE")
        else:
            yield ".PP"
            yield _text(paragraph)


def _flags(option: click.Option) -> str:
    value = "" if option.is_flag or option.count else option.make_metavar(click.Context(cli))
    shown = []
    for flag in option.opts:
        between = "" if not value else "=" if flag.startswith("--") else " "
        shown.append(f"\\fB{_plain(flag)}\\fP{between}" + (f"\\fI{_plain(value)}\\fP" if value else ""))
    return ", ".join([*shown, *(f"\\fB{_plain(flag)}\\fP" for flag in option.secondary_opts)])


def _described(option: click.Option) -> str:
    record = option.get_help_record(click.Context(cli))
    return "" if record is None else record[1].replace("  [", " [")


# ---- prose ---------------------------------------------------------------------------------------------------------


def _block(block: str, page: Page) -> Iterator[str]:
    """One paragraph, list, example, heading or table."""
    if block == "## OPTIONS":
        yield ".SH OPTIONS" if len(page.commands) == 1 else ".SH COMMANDS"
        yield from _commands(page)
    elif block == "{help}":
        yield from _help(command_of(page.commands[0]))
    elif block == "{mount words}":
        yield from _terms((f"`{word}`", text) for word, text in WORDS.items())
    elif block == "{commands}":
        for title, names in SECTIONS.items():
            yield f".SS {_plain(title)}"
            yield from _terms((f"`{name}`", f"{COMMANDS[name][1]} See {page_of(name)}.") for name in names)
    elif block.startswith("### "):
        yield f".SS {_plain(block[4:])}"
    elif block.startswith("## "):
        yield f".SH {_plain(block[3:])}"
    elif block.startswith("    "):
        yield from (".PP", ".RS 4", ".EX", *(_plain(line[4:]) for line in block.splitlines()), ".EE", ".RE")
    elif block.startswith("* "):
        for item in re.split(r"\n(?=\* )", block):
            yield ".IP \\(bu 2"
            yield _text(item[2:])
    elif re.search(r"(?m)^: ", block):
        items = re.findall(r"(?ms)^(?!: |  )(.+?)\n: (.+?)(?=\n(?!  )|\Z)", block)
        yield from _terms(items)
    else:
        yield ".PP"
        yield _text(block)


def _terms(items: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, text in items:
        yield ".TP"
        yield _text(term)
        yield _text(text)


def page_of(command: str) -> str:
    """``minixfs-cp(1)``: where a command is told of."""
    page = next(page for page in pages() if command in page.commands)
    return f"minixfs-{command}({page.section})"


def _text(text: str) -> str:
    """Running text; a line of its own for each, as man(7) wants it."""
    text = " ".join(text.split())
    parts = re.split(r"(`[^`]+`|(?<!\*)\*[^*\s][^*]*\*(?!\*)|\b[\w.-]+\([1-8]\))", text)
    return "".join(map(_part, parts))


def _part(part: str) -> str:
    if part.startswith("`") and len(part) > 2:
        return f"\\fB{_plain(part[1:-1])}\\fP"
    if part.startswith("*") and part.endswith("*") and len(part) > 2:
        return f"\\fI{_plain(part[1:-1])}\\fP"
    if re.fullmatch(r"[\w.-]+\([1-8]\)", part):
        name, _, rest = part.partition("(")
        return f"\\fB{_plain(name)}\\fP({rest}"
    return _plain(part)


def _plain(text: str) -> str:
    """Characters that groff would read or change, as they are."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    text = text.replace("^", "\\(ha").replace("~", "\\(ti").replace('"', "\\(dq")
    return "\\&" + text if text.startswith(".") else text


def main() -> None:
    parser = argparse.ArgumentParser(description="Write all manual pages.")
    parser.add_argument("directory", type=Path, help="where man1, man5 and man8 are made")
    directory: Path = parser.parse_args().directory
    for name, text in rendered().items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
