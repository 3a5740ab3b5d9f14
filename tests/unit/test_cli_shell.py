"""`minixfs shell`: scripts and their exit codes, relative paths, patterns, get and put, completion, a terminal."""

from __future__ import annotations

import io
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from minixfs.cli.shell.completion import complete
from minixfs.cli.shell.session import Session
from minixfs.cli.shell.words import commands
from minixfs.errors import UsageError
from minixfs.image.image import Image
from tests.support.command import Answer, command
from tests.support.mounts import COMMAND, environment
from tests.support.twins import Twins


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    twins = Twins(tmp_path)
    with Image(twins.image, "r+") as files:
        files.makedirs("/etc/rc d")
        for name in ("passwd", "pair", "motd"):
            files.write_text(f"/etc/{name}", name)
    monkeypatch.chdir(tmp_path)
    return twins.image


@pytest.fixture
def script(image: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    def run(text: str, *options: str) -> Answer:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        return command("shell", image, *options)

    return run


def test_paths_are_relative_to_where_one_is(script: Callable[..., Answer]) -> None:
    answer = script(
        "cd etc\npwd\nls\ncat pair\ncd 'rc d'; touch x; ln -s ../pair link; cat link\nfind\ncd ..\nls -l rc\\ d/x\npwd",
        "-w",
    )
    assert answer.code == 0, answer.err
    shown = answer.out.decode()
    assert shown.startswith("/etc\nmotd\npair\npasswd\nrc d\npairpair.\n./link\n./x\n")
    assert shown.endswith(" rc d/x\n/etc\n")


def test_a_script_ends_at_the_first_failure(script: Callable[..., Answer]) -> None:
    answer = script("cd /nope\npwd\n")
    assert (answer.code, answer.out) == (1, b"")
    answer = script("rm nope\npwd\nls nope; pwd\n", "-k", "-w")
    assert (answer.code, answer.out) == (2, b"/\n/\n")
    assert answer.err.splitlines()[0] == "rm: cannot remove 'nope': No such file or directory"
    assert script("exit 7\npwd\n").code == 7
    assert script("bogus\n").code == 127


def test_reading_only_refuses_changes(script: Callable[..., Answer]) -> None:
    answer = script("rm etc/pair\n")
    assert answer.code == 1
    assert "start the shell with -w" in answer.err
    assert command("shell", "img", "-c", "cat etc/pair; sync").out == b"pair"


def test_patterns_stand_for_files(script: Callable[..., Answer], image: Path) -> None:
    assert script("ls -d etc/pa*\n").lines == ["etc/pair", "etc/passwd"]
    assert script("rm etc/pa* 'etc/m*'\n", "-w", "-k").err == "rm: cannot remove 'etc/m*': No such file or directory\n"
    assert script("ls etc\n").lines == ["motd", "rc d"]
    assert script("rm -r */rc*; find . -name 'm*'\n", "-w").lines == ["./etc/motd"]


def test_files_go_in_and_out(script: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "one").write_text("1")
    answer = script("cd etc\nput one\nget pair motd there\nlcd there\nput motd copy\nlls\nlpwd\n", "-w")
    assert answer.code == 0, answer.err
    assert answer.lines == ["motd", "pair", str(tmp_path / "there")]
    assert (tmp_path / "there" / "pair").read_text() == "pair"
    os.chdir(tmp_path)
    assert command("cat", "img:/etc/one", "img:/etc/copy").out == b"1motd"


def test_words_are_those_of_sh() -> None:
    def texts(line: str) -> list[list[str]]:
        return [[word.text for word in words] for words in commands(line)]

    assert texts('a \'b c\' "d\\"e" f\\ g # h') == [["a", "b c", 'd"e', "f g"]]
    assert texts("a; b\n;c'd'e") == [["a"], ["b"], ["cde"]]
    assert [word.pattern for word in commands("*.c '*.c' \\*x [a]'*'")[0]] == ["*.c", None, None, "[a]\\*"]
    for line in ("a > b", "a | b", "a 'b", 'a "b'):
        with pytest.raises(UsageError):
            commands(line)


def test_completion(image: Path) -> None:
    with Session(str(image), write=False) as session:
        assert complete(session, "chm") == (0, ["chmod "])
        assert complete(session, "cat etc/pa") == (4, ["etc/pair ", "etc/passwd "])
        assert complete(session, "ls etc/r") == (3, ["etc/rc\\ d/"])
        assert complete(session, "ls 'etc/rc d/") == (3, [])
        assert complete(session, "pwd; ls e") == (8, ["etc/"])
        assert complete(session, "put im") == (4, ["img "])
        assert complete(session, "cat nope/x") == (4, [])
        session.run("cd etc")
        assert complete(session, "rm mo") == (3, ["motd "])


def test_on_a_terminal_ctrl_c_ends_the_line_and_ctrl_d_the_session(image: Path, tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [*COMMAND, "shell", "-w", str(image)],
        env=environment() | {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path), "TERM": "dumb"},
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(theirs)

        def until(what: bytes) -> bytes:
            shown = b""
            while what not in shown:
                shown += os.read(ours, 4096)
            return shown

        until(b"img:/> ")
        os.write(ours, b"touch new\n")
        until(b"img:/> ")
        os.write(ours, b"half")
        until(b"half")
        answers = select.poll()
        answers.register(ours, select.POLLIN)
        process.send_signal(signal.SIGINT)
        while not answers.poll(1000):  # readline overlooks a signal that comes just before it waits for a key
            process.send_signal(signal.SIGINT)
        until(b"img:/> ")
        os.write(ours, b"cat etc/mo\t\n")
        assert b"motd" in until(b"img:/> ")
        os.write(ours, b"\x04")
        assert process.wait(60) == 0
    os.close(ours)
    assert command("stat", "-c", "%s", image, "new").out == b"0\n"
    assert (tmp_path / "minixfs" / "history").read_text().splitlines()[0] == "touch new"
