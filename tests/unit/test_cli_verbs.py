"""The verbs that change an image, held against their host twins: the same words on the same tree, at random.

Exit codes, output, messages and the trees must agree after every command; in the end the checkers find nothing.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import command
from tests.support.twins import Twins

NAMES = ("a", "b", "cc", ".d", "e f")
Words = tuple[str, list[str], list[str], list[str]]
"""Verb, options with other words before the files, files, words after them."""


def some(rng: random.Random, options: str, most: int = 2) -> list[str]:
    return [f"-{letter}" for letter in rng.sample(options, rng.randrange(min(most, len(options)) + 1))]


class Maker:
    """Commands at random."""

    def __init__(self, rng: random.Random, twins: Twins) -> None:
        self.rng = rng
        self.twins = twins

    def path(self, missing: int = 6) -> str:
        """A file that may or may not be there."""
        known = self.twins.walk()
        if known and self.rng.randrange(missing):
            path = self.rng.choice(known)
            if self.rng.randrange(4):
                return path
            return f"{path}/{self.rng.choice(NAMES)}"
        return "/".join(self.rng.choice(NAMES) for _ in range(self.rng.randrange(1, 4)))

    def paths(self, most: int = 3) -> list[str]:
        return [self.path() for _ in range(self.rng.randrange(1, most + 1))]

    def rm(self) -> Words:
        return "rm", some(self.rng, "rfvdR"), self.paths(), []

    def rmdir(self) -> Words:
        return "rmdir", some(self.rng, "pv") + self.rng.choice([[], ["--ignore-fail-on-non-empty"]]), self.paths(), []

    def mkdir(self) -> Words:
        mode = self.rng.choice([[], ["-m", self.rng.choice(["700", "a=rwx", "u=rwx,go=rx", "1777", "2755", "g+s"])]])
        return "mkdir", some(self.rng, "pv") + mode, self.paths(), []

    def mv(self) -> Words:
        last = self.rng.choice([self.path(), self.rng.choice(NAMES)])
        sources = [path for path in dict.fromkeys(self.paths(2)) if path != last] or ["a"]
        return "mv", some(self.rng, "fnvT"), [*sources, last], []

    def ln(self) -> Words:
        if self.rng.randrange(2):
            return "ln", some(self.rng, "fvT"), [self.path(), self.path(2)], []
        return "ln", ["-s", *some(self.rng, "fvnT", 3)], [self.path(), self.path(2)], []

    def chmod(self) -> Words:
        who = "".join(self.rng.sample("ugoa", self.rng.randrange(3)))
        what = self.rng.choice(["r", "w", "x", "X", "rwX", "s", "t", "st", "u", "g", "o", ""])
        mode = self.rng.choice(
            [f"{who}{self.rng.choice('+-=')}{what}", f"{self.rng.randrange(0o10000):04o}", "u+x,go=u-w"]
        )
        if mode.startswith("-"):
            mode = f"a{mode}"
        return "chmod", [*some(self.rng, "Rvcf"), mode], self.paths(2), []

    def touch(self) -> Words:
        when = self.rng.choice([
            ["-d", "2021-03-04 05:06:07"], ["-t", "202102030405.06"], ["-d", "@1234567890"], ["-r", self.existing()],
        ])  # fmt: skip
        return "touch", [*some(self.rng, "amch"), *when], self.paths(2), []

    def truncate(self) -> Words:
        size = self.rng.choice("+-<>/%") * self.rng.randrange(2) + self.rng.choice(["0", "1", "700", "1K", "2KB", "3"])
        return "truncate", [*some(self.rng, "c"), "-s", size], self.paths(2), []

    def existing(self) -> str:
        return self.rng.choice([path for path in self.twins.walk() if (self.twins.host / path).exists()] or ["a"])


@pytest.fixture
def twins(tmp_path: Path) -> Twins:
    return Twins(tmp_path)


@pytest.mark.parametrize(
    "verbs",
    [
        ("rm", "touch"),
        ("rmdir", "mkdir"),
        ("mv", "touch"),
        ("ln", "touch", "rm"),
        ("chmod",),
        ("touch",),
        ("truncate",),
    ],
    ids=lambda verbs: verbs[0],
)
def test_random_commands_do_what_the_host_does(twins: Twins, verbs: tuple[str, ...]) -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    twins.grow(rng, 30, NAMES, links=verbs[0] != "rmdir", hard=verbs[0] != "chmod", set_id=verbs[0] != "truncate")
    maker = Maker(rng, twins)
    done = []
    for _ in range(14):
        make: Callable[[], Words] = getattr(maker, verbs[0] if rng.randrange(2) else rng.choice(verbs))
        words = make()
        if words[0] == "truncate" and any(
            os.path.exists(twins.host / path) and not (twins.host / path).is_file() for path in words[2]
        ):
            continue  # opening a FIFO waits
        done.append(words)
        ours, real = twins.run(words[0], words[1], words[2], tail=words[3])
        assert sorted_output(ours) == sorted_output(real), (seed, done[-1])
        try:
            twins.compare(times=words[0] == "touch" and len(done) == 1)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, after {done[-1]}") from error
    twins.verify()


def sorted_output(outcome: tuple[int, bytes, list[str]]) -> tuple[int, list[bytes], list[str]]:
    """In directories the host's commands go in the order of its file system, ours in that of the names."""
    return outcome[0], sorted(outcome[1].splitlines()), sorted(outcome[2])


def test_owners_are_numbers(twins: Twins) -> None:
    (twins.host / "d").mkdir()
    (twins.host / "d" / "f").touch()
    (twins.host / "d" / "l").symlink_to("f")
    twins.carry()
    image = twins.image
    assert command("chown", "-v", "3:4", image, "d/l").lines[0].endswith("/d/l' from 0:0 to 3:4")
    assert command("stat", "-c", "%u:%g", image, "d/f", "d/l").lines == ["3:4", "0:0"]
    assert command("chown", "-hc", ":9", image, "d/l").lines[0].startswith("changed group of")
    assert command("chgrp", "-R", "7", image, "d").code == 0
    assert command("stat", "-c", "%u:%g", image, "d", "d/f", "d/l").lines == ["0:7", "3:7", "0:7"]
    assert command("chown", "--reference", "d/f", image, "d").code == 0
    assert command("stat", "-c", "%u:%g", image, "d").lines == ["3:7"]
    for owner in ("root", "1:", "-1", "x:1", "1:x"):
        answer = command("chown", "--", owner, image, "d")
        assert (answer.code, answer.err.count("\n")) == (1, 1)
    assert "does not fit" in command("chown", "70000", image, "d").err
    twins.verify()
