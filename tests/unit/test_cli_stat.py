"""`minixfs stat`: formats held against the host's stat, its plain output, file systems, programs."""

from __future__ import annotations

import random

import pytest

from tests.support.twins import Twins

SAME = "aAfFgGuUhnNsXxYytT"
"""Directives that show the same on every file system."""


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    both = Twins(tmp_path_factory.mktemp("stat"))
    both.grow(random.Random(3), 60, ("a", "b", "c d", "e'f", ".g"))
    return both


def test_random_formats_show_what_the_host_shows(twins: Twins) -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    files = [path for path in twins.paths if (twins.host / path).is_file() and not (twins.host / path).is_symlink()]
    for _ in range(60):
        parts = []
        for _ in range(rng.randrange(1, 5)):
            letter = rng.choice(SAME)
            flags = "".join(rng.sample("-+ #0", rng.randrange(3)))
            width = rng.choice(["", "", "3", "12", "20"])
            precision = rng.choice(["", "", ".", ".2", ".9"])
            if letter in "GU":  # the host has names
                letter = letter.lower()
            if letter == "N" or (letter in "XY" and width):  # with these the host's stat has bugs
                flags, width, precision = "", "", ""
            parts.append(f"%{flags}{width}{precision}{letter}" if rng.randrange(4) else f"%{letter}")
        text = rng.choice(["|", " ", "\\n", "x%%"]).join(parts)
        option = rng.choice(["-c", "--printf"])
        ours, real = twins.run("stat", [option, text], rng.sample(files, 3))
        assert ours == real, (seed, option, text)


def test_kinds_and_links(twins: Twins) -> None:
    for options in (["-c", "%n %F %A %N"], ["-L", "-c", "%n %F %a"]):
        ours, real = twins.run("stat", options, sorted(twins.paths))
        messages = [message.replace("cannot statx", "cannot stat") for message in real[2]]
        assert (ours[0], ours[1], ours[2]) == (real[0], real[1], messages)
