"""`minixfs find` against the host's find: random expressions on the same tree; its output formats; its errors."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from minixfs.image.image import Image
from tests.support.command import command
from tests.support.twins import START, Twins

FILE = ("(", "-type", "f")
"""Before what is different for directories and links on the host: sizes, counts of links, access times."""


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    both = Twins(tmp_path_factory.mktemp("find"))
    both.grow(random.Random(7), 120, ("a", "b", "cc", ".d", "e.txt", "F.TXT", "x y", "[z]"))
    return both


def primary(rng: random.Random, twins: Twins) -> list[str]:
    sign = rng.choice(["", "+", "-"])
    files = [path for path in twins.paths if (twins.host / path).is_file() and not (twins.host / path).is_symlink()]
    age = (time.time() - START) / 86400
    choices = [
        ["-name", rng.choice(["a", "*.txt", "?", "[ab]", "[!a]*", ".*", "*c*", "[[:upper:]]*", "\\[z]", "[^a-c]"])],
        ["-iname", rng.choice(["*.txt", "A", "f*"])],
        ["-path", rng.choice(["*/a/*", "./b*", "*/.d", "*a*"])],
        ["-ipath", "*/A/*"],
        ["-regex", rng.choice([".*/a", r".*\(a\|b\)", r"\./[ab]+", ".*c?c", r".*[^/]*\.txt"])],
        ["-regextype", "posix-extended", "-regex", rng.choice([".*(a|b)", r"\./[abc]{1,2}", ".*/(e|F).*"])],
        ["-lname", rng.choice(["*a*", "nowhere", "*/*"])],
        ["-type", rng.choice(["f", "d", "l", "p", "f,d"])],
        [*FILE, "-size", sign + rng.choice(["0", "1", "1c", "511c", "2", "1k", "3000c", "1M", "2w"]), ")"],
        ["-perm", rng.choice(["644", "-600", "/022", "-4000", "/6000", "-u=w,g=r", "/a+x", "755", "-0", "u=rw,go=r"])],
        [*FILE, "-links", sign + rng.choice(["1", "2", "3"]), ")"],
        ["-mtime", sign + str(int(age) - rng.randrange(6))],
        ["-mmin", sign + str(int(age * 1440) - rng.randrange(6000))],
        [*FILE, "-amin", sign + str(int(age * 1440) - rng.randrange(6000)), ")"],
        ["-newer", rng.choice(twins.paths)],
        [*FILE, "-anewer", rng.choice(files), ")"],
        ["-newermt", rng.choice(["2020-09-14", "2020-09-15 12:00", "@1600100000"])],
        ["-newerma", rng.choice(files)],
        ["-samefile", rng.choice(files)],
        ["-empty"], ["-true"], ["-false"], ["-prune"],
    ]  # fmt: skip
    return rng.choice(choices)


def expression(rng: random.Random, twins: Twins, depth: int = 2) -> list[str]:
    kind = rng.randrange(6) if depth else 0
    if kind < 2:
        return primary(rng, twins)
    if kind == 2:
        return [rng.choice(["!", "-not"]), *expression(rng, twins, depth - 1)]
    if kind == 3:
        return ["(", *expression(rng, twins, depth - 1), ")"]
    operator = rng.choice([[], ["-a"], ["-o"], ["-or"], ["-and"]])
    return [*expression(rng, twins, depth - 1), *operator, *expression(rng, twins, depth - 1)]


def test_random_expressions_find_what_the_host_finds(twins: Twins) -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    for _ in range(60):
        words = expression(rng, twins)
        if rng.randrange(3) == 0:
            words = [rng.choice(["-maxdepth", "-mindepth"]), str(rng.randrange(4)), *words]
        if rng.randrange(4) == 0:
            words = ["-depth", *words]
        if rng.randrange(3) == 0:
            words += ["-printf", rng.choice(["%p %d\\n", "%f|%h|%P|%H\\n", "%m %M %y\\n", "%l %T@ %Ty-%Tm\\n"])]
        ours, real = twins.run("find", [], ["."], tail=words)
        assert (ours[0], sorted(ours[1].splitlines()), ours[2]) == (real[0], sorted(real[1].splitlines()), real[2]), (
            seed, words,
        )  # fmt: skip


def test_actions(tmp_path: Path) -> None:
    both = Twins(tmp_path)
    with Image(both.image, "r+") as image:
        image.makedirs("/a/b")
        for name in ("a/x.o", "a/b/y.o", "a/b/z.c"):
            image.write_bytes(name, b"12345")
    assert command("find", both.image, "-name", "b", "-prune", "-o", "-type", "f", "-print").lines == ["/a/x.o"]
    assert command("find", both.image, "-type", "f", "-quit").lines == []
    assert command("find", both.image, "-type", "f", "-print", "-quit").lines == ["/a/b/y.o"]
    assert command("find", both.image, "a", "-name", "*.c", "-print0").out == b"a/b/z.c\0"
    assert command("find", f"{both.image}:/a", "-false", ",", "-name", "b").lines == ["/a/b"]
    assert (
        command("find", both.image, "-size", "5c", "-printf", "%5s|%-8f|%#m\\t%%\\n").lines[0]
        == "    5|y.o     |0666\t%"
    )
    assert command("find", both.image, "/a/b/z.c", "-ls").lines[0].split()[2:7] == ["-rw-rw-rw-", "1", "0", "0", "5"]
    assert command("find", both.image, "-name", "*.o", "-delete").code == 0
    answer = command("find", both.image, "-name", "b", "-delete")
    assert answer.code == 1
    assert answer.err == f"minixfs find: cannot delete '{both.image}:/a/b': Directory not empty\n"
    assert command("find", both.image, "-type", "f").lines == ["/a/b/z.c"]
    both.verify()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-nope"], "unknown predicate '-nope'"),
        (["-name"], "missing argument to '-name'"),
        (["-type", "x"], "invalid argument 'x' to '-type'"),
        (["-true", "a"], "paths must precede expression: 'a'"),
        (["(", "-true"], "invalid expression; I was expecting to find a ')' somewhere but did not see one."),
        (["-true", ")"], "invalid expression; you have too many ')'"),
        (["-o", "-true"], "invalid expression; you have used a binary operator '-o' with nothing before it."),
        (["-true", "-a"], "expected an expression after '-a'"),
        (["-maxdepth", "x"], "Expected a positive decimal integer argument to -maxdepth, but got 'x'"),
        (["-newer", "/none"], "'{image}:/none': No such file or directory"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(twins: Twins, words: list[str], message: str) -> None:
    answer = command("find", twins.image, *words)
    assert (answer.code, answer.out) == (1, b"")
    assert answer.err == f"minixfs find: {message.format(image=twins.image)}\n"


def test_a_missing_start_is_told_and_the_others_are_searched(twins: Twins) -> None:
    answer = command("find", twins.image, "/none", "/", "-maxdepth", "0")
    assert (answer.code, answer.lines) == (1, ["/"])
    assert answer.err == f"minixfs find: '{twins.image}:/none': No such file or directory\n"
