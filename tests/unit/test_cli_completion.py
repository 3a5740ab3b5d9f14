"""What completion offers, asked as the scripts of the shells ask it; the shells themselves are in tests/interop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from minixfs.cli.completion.engine import candidates
from minixfs.cli.completion.line import Line
from minixfs.cli.main import COMMANDS
from tests.support.command import command


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with images, one of them with a blank in its name, and a disk."""
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc" / "passwd").write_text("x")
    (tree / "a dir").mkdir()
    (tree / "it's").write_text("x")
    (tree / ".hidden").write_text("x")
    (tree / "bad\nname").write_text("x")
    monkeypatch.chdir(tmp_path)
    for image in ("disk.img", "my disk.img"):
        assert command("mkfs", "-q", "-d", tree, image, "1M").code == 0
    assert command("mkdisk", "-q", "--root", tree, "--root-size", "2M", "--home-size", "0", "whole.img", "8M").code == 0
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def offered(*words: str) -> list[str]:
    """All that may stand for the last word; complete words end in a blank."""
    return [candidate.value + " " * candidate.ends for candidate in candidates(["minixfs", *words])]


def test_commands_come_with_what_they_do() -> None:
    found = candidates(["minixfs", ""])
    assert [candidate.value for candidate in found] == list(COMMANDS)
    assert all(candidate.help for candidate in found)
    assert offered("umo") == ["umount "]
    assert offered("--ver") == ["--version "]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_offers_something_for_a_dash(name: str) -> None:
    assert all(word.startswith("-") for word in offered(name, "-"))
    assert offered(name, "-")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["mkfs", "--padding", ""], ["linux ", "minix "]),
        (["mkfs", "--padding=l"], ["--padding=linux "]),
        (["mkfs", "--force=l"], []),
        (["mount", "-o", "ro,allow"], ["ro,allow_other"]),
        (["mount", "-ro", "allow"], ["allow_other"]),
        (["cp", "--preserve", "mode,li"], ["mode,links"]),
        (["diff", "--ignore=ti"], ["--ignore=times"]),
        (["find", "disk.img", "-mind"], ["-mindepth "]),
        (["find", "disk.img", "-type", ""], ["b ", "c ", "d ", "f ", "p ", "s "]),
        (["completion", "f"], ["fish "]),
        (["nonsense", "-x", "no"], []),
    ],
)
def test_values(words: list[str], expected: list[str]) -> None:
    found = offered(*words)
    assert [word for word in found if word != "l "] == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["cat", "disk.img:/e"], ["disk.img:/etc/"]),
        (["cat", "disk.img:/etc/"], ["disk.img:/etc/passwd "]),
        (["cat", "disk.img:/"], ["disk.img:/a dir/", "disk.img:/etc/", "disk.img:/it's "]),
        (["cat", "disk.img:/."], ["disk.img:/.hidden "]),
        (["cat", "disk.img@@0:/e"], ["disk.img@@0:/etc/"]),
        (["cat", "whole.img:p0s0:/e"], ["whole.img:p0s0:/etc/"]),
        (["cat", "my disk.img:/e"], ["my disk.img:/etc/"]),
        (["cat", "disk.img:/nothing/"], []),
        (["cat", "notes.txt:/"], []),
        (["cat", "disk.img", "/e"], ["/etc/"]),
        (["cat", "disk.img", "etc/p"], ["etc/passwd "]),
        (["rmdir", "disk.img", "/etc/"], []),
        (["chmod", "644", "disk.img", "/i"], ["/it's "]),
        (["chmod", "644", "--", "disk.img:/i"], ["disk.img:/it's "]),
        (["chown", "--reference", "disk.img:/i"], ["disk.img:/it's "]),
        (["find", "disk.img", "/e"], ["/etc/"]),
        (["dump", "disk.img", "inode", "/e"], ["/etc/"]),
        (["dump", "disk.img", "sup"], ["superblock "]),
        (["tar", "-cf", "x.tar", "disk.img:/e"], ["disk.img:/etc/"]),
        (["tar", "-c", "disk.img", "-C", "/e"], ["/etc/"]),
        (["cp", "-t", "disk.img:/", "n"], ["notes.txt "]),
        (["cp", "-t", "disk.img:/e"], ["disk.img:/etc/"]),
    ],
)
def test_paths_in_images(place: Path, words: list[str], expected: list[str]) -> None:
    """What has control characters in its name is not offered: no shell could show it safely."""
    assert offered(*words) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["cat", "di"], ["disk.img ", "disk.img:/"]),
        (["cat", "no"], ["notes.txt "]),
        (["cat", "whole"], ["whole.img ", "whole.img:/", "whole.img:p0s0:/", "whole.img:p0s2:/"]),
        (["cat", "whole.img:p"], ["whole.img:p0s0:/", "whole.img:p0s2:/"]),
        (["fsck", "di"], ["disk.img "]),
        (["fsck", "-y", "whole.img:"], ["whole.img:p0s0 ", "whole.img:p0s2 "]),
        (["mount", "disk.img", ""], ["tree/"]),
        (["mount", "disk.img", "tree", ""], []),
        (["mkfs", "--proto", "no"], ["notes.txt "]),
        (["mkfs", "new.img", "--populate=tr"], ["--populate=tree/"]),
        (["fsck", "tree/e"], ["tree/etc/"]),
    ],
)
def test_files_of_the_host(place: Path, words: list[str], expected: list[str]) -> None:
    """An image is offered alone, and as what paths in it begin with."""
    assert offered(*words) == expected


def test_home_directories_stay_as_typed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place))
    assert offered("fsck", "~/di") == ["~/disk.img "]
    assert offered("cat", "~/disk.img:/e") == ["~/disk.img:/etc/"]


def test_structures_of_dump_are_those_of_its_help() -> None:
    found = {word.strip() for word in offered("dump", "disk.img", "")}
    known = {"superblock", "boot", "inode", "directory", "zone", "block", "indirect", "mbr", "partitions", "group"}
    assert found >= known | {"imap", "zmap", "copy", "bitmaps", "journal"}
    assert len(found) < 20, found


def test_helpers_are_completed_as_their_commands() -> None:
    assert [candidate.value for candidate in candidates(["/sbin/mkfs.minixfs", "--proto-"])] == ["--proto-extensions"]


@pytest.mark.parametrize(
    ("line", "replaced", "answer"),
    [
        ("minixfs cat disk.img:/a", "/a", [r"/a\ dir/"]),
        ("minixfs cat disk.img:/a", "disk.img:/a", [r"disk.img:/a\ dir/"]),
        (r"minixfs cat my\ disk.img:/e", "/e", ["/etc/"]),
        (r"minixfs cat my\ disk.img:", "", ["/"]),
        ('minixfs cat "my disk.img":/i', "/i", [r"/it\'s "]),
        ('minixfs cat "my disk.img:/i', "my disk.img:/i", ["my disk.img:/it's"]),
        ("minixfs cat 'my disk.img:/i", "my disk.img:/i", [r"my disk.img:/it'\''s"]),
        ("minixfs cat 'my disk.img:/e", "my disk.img:/e", ["my disk.img:/etc/", "my disk.img:/etc/ "]),
        ("minixfs  mkfs --padding=l", "l", ["linux "]),
    ],
)
def test_bash_gets_what_readline_replaces_in_the_quotes_that_are_open(
    place: Path, line: str, replaced: str, answer: list[str]
) -> None:
    assert command("completion", "bash", "--", line, replaced).lines == answer


@pytest.mark.parametrize(
    ("text", "words", "quote"),
    [
        ("", [""], ""),
        ("a  b ", ["a", "b", ""], ""),
        (r"a\ b 'c d", ["a b", "c d"], "'"),
        ('"a\\"b\\n" c"', ['a"b\\n', "c"], '"'),
        ("'' x", ["", "x"], ""),
        ("a\\", ["a"], ""),
    ],
)
def test_lines_are_split_as_bash_does(text: str, words: list[str], quote: str) -> None:
    line = Line(text)
    assert (line.words, line.quote) == (words, quote)


def test_an_answer_about_options_loads_little() -> None:
    """No numpy, no trio, no parser of disk formats: the key is pressed often."""
    code = "from minixfs.cli.main import main; import sys, atexit\n" \
        "atexit.register(lambda: print(sorted({'numpy', 'trio', 'construct', 'rich'} & set(sys.modules))))\n" \
        "sys.argv = ['minixfs', 'completion', 'zsh', '--', 'minixfs', 'mkfs', '--pad']; main()"  # fmt: skip
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.splitlines()[-1] == "[]", run.stdout


def test_without_words_the_script_is_printed() -> None:
    for shell in ("bash", "zsh", "fish"):
        answer = command("completion", shell)
        assert answer.code == 0
        assert b"completion " + shell.encode() + b" --" in answer.out
    assert command("completion", "ksh").code == 2
