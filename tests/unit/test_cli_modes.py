"""The parsers of the verbs held against the programs that they come from: modes, dates, sizes, quoting."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import time
from pathlib import Path

import pytest

from minixfs.cli import dates, modes, sizes
from minixfs.cli.quoting import quoted

ENGLISH = os.environ | {"LC_ALL": "C.UTF-8"}


def random_mode(rng: random.Random) -> str:
    if rng.randrange(5) == 0:
        return rng.choice(["{:o}", "{:04o}", "{:05o}", "0{:05o}"]).format(rng.randrange(0o10000))
    clauses = []
    for _ in range(rng.randrange(1, 4)):
        who = "".join(rng.sample("ugoa", rng.randrange(3)))
        actions = ""
        for _ in range(rng.randrange(1, 3)):
            what = rng.choice(["".join(rng.sample("rwxXst", rng.randrange(4))), *"ugo"])
            actions += rng.choice("+-=") + what
        if not who and rng.randrange(4) == 0:
            actions = f"{rng.choice('+-=')}{rng.randrange(0o10000):o}"
        clauses.append(who + actions)
    return ",".join(clauses)


def test_random_modes_become_what_chmod_makes_of_them(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    file, directory = tmp_path / "file", tmp_path / "directory"
    file.touch()
    directory.mkdir()
    for _ in range(60):
        text, old, umask = random_mode(rng), rng.randrange(0o10000), rng.choice([0, 0o022, 0o077, 0o027])
        for path in (file, directory):
            path.chmod(old)
        subprocess.run(
            ["sh", "-c", f"umask {umask:o}; chmod -- '{text}' file directory 2>&1"], cwd=tmp_path, check=False
        )
        change = modes.parse(text)
        for path in (file, directory):
            real = stat.S_IMODE(path.stat().st_mode)
            ours = change(old, directory=path.is_dir(), umask=umask)
            assert ours == real, (seed, text, oct(old), oct(umask), path.name)


@pytest.mark.parametrize(
    "text", ["", "u", "8", "u=7", "+7x", "u+x,", ",u+x", "z+x", "10000", "u+rg", "a+b", "-", "=-9"]
)
def test_what_is_no_mode(text: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    real = subprocess.run(["chmod", "--", text, tmp_path / "file"], capture_output=True, check=False)
    if real.returncode == 0:
        modes.parse(text)
    else:
        with pytest.raises(ValueError):
            modes.parse(text)


DATES = [
    "2024-01-31", "2024-01-31 12:30", "2024-01-31T12:30:15", "2024-01-31 12:30:15.25 +0200", "20240131", "1/31/2024",
    "1/31", "31 Jan 2024", "Jan 31 2024", "Jan 31, 2024 10:00", "31-Jan-2024", "January 31", "@86400", "@1.5", "@-5",
    "Wed, 31 Jan 2024 10:00:00 +0000", "Wed Jan 31 10:00:00 UTC 2024", "now", "today", "yesterday", "tomorrow",
    "2 days ago", "3 weeks ago 10:00", "next month", "last year", "1 hour", "+2 hours", "-90 minutes",
    "next week", "last week", "yesterday 14:00", "10pm", "10:30 am", "12 am", "2024-02-29 + 1 year",
    "2023-01-31 1 month",
    "2024-01-31 12:00Z", "2024-01-31 12:00 UTC", "friday", "last friday", "next monday", "monday 10:00",
    "fortnight ago",
    "2024-06-01 00:00 -5 days", "00:00", "12:00 tomorrow", "1970-01-01 00:00 UTC + 12345 seconds",
    "third day", "1230", "2024/05/06", "this week",
]  # fmt: skip
NO_DATES = [
    "xyzzy",
    "2024-01-31 23:59:60",
    "2024-13-01",
    "2024-02-30",
    "25:00",
    "12:60",
    "13pm",
    "2024-01-01 2024-01-02",
    "monday tuesday",
    "jan",
    "10:00 11:00",
    "1 2",
]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_dates_mean_what_date_says(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        script = "".join(f"date -d '{text}' '+%s.%N %d'\n" for text in DATES)
        before = time.time()
        real = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=ENGLISH | {"TZ": zone})
        spent = time.time() - before + 2
        assert not real.stderr
        for text, line in zip(DATES, real.stdout.splitlines(), strict=True):
            found = dates.parse(text, int(before * 1e9))
            assert abs(found / 1e9 - float(line.split()[0])) <= spent, (text, line, found)
            if not any(
                word in text for word in ("now", "ago", "hour", "minute", "week", "month", "day", "year", "tom")
            ):
                assert found == int(line.split()[0].replace(".", "").lstrip("0") or 0), (text, line)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", NO_DATES)
def test_what_is_no_date(text: str) -> None:
    real = subprocess.run(["date", "-d", text], capture_output=True, env=ENGLISH, check=False)
    assert real.returncode == 1
    with pytest.raises(ValueError):
        dates.parse(text, 0)


@pytest.mark.parametrize("text", ["202401311230", "2401311230.45", "01311230", "7001010000.00", "6801010000"])
def test_stamps_mean_what_touch_makes_of_them(text: str, tmp_path: Path) -> None:
    subprocess.run(["touch", "-t", text, tmp_path / "file"], check=True)
    assert dates.stamp(text, time.time_ns()) == (tmp_path / "file").stat().st_mtime_ns


@pytest.mark.parametrize("text", ["", "123", "202413011200", "202401012500", "20240101120", "202401011200.99", "x"])
def test_what_is_no_stamp(text: str) -> None:
    with pytest.raises(ValueError):
        dates.stamp(text, 0)


def test_random_sizes_become_what_truncate_makes_of_them(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    file = tmp_path / "file"
    for _ in range(60):
        text = rng.choice(["", "+", "-", "<", ">", "/", "%"]) + rng.choice(["", " "]) + str(rng.randrange(5000))
        text += rng.choice(["", "", "K", "KB", "KiB", "k", "M", "m", "MB"])
        old = rng.randrange(10000)
        file.write_bytes(b"x" * old)
        real = subprocess.run(["truncate", "-s", text, file], capture_output=True, check=False)
        try:
            ours: int | None = sizes.parse(text)(old)
        except (ValueError, ZeroDivisionError):
            ours = None
        assert ours == (file.stat().st_size if real.returncode == 0 else None), (seed, text, old)


@pytest.mark.parametrize(
    "text", ["", "x", "1X", "1kb", "+-1", "K1", "1 K", "--1", "0x10", "1KiBB", "99999999999999999999"]
)
def test_what_is_no_size(text: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    real = subprocess.run(["truncate", "-s", text, tmp_path / "file"], capture_output=True, check=False)
    assert real.returncode == 1, "the host's truncate takes it"
    with pytest.raises(ValueError):
        sizes.parse(text)


def test_random_names_are_quoted_as_in_messages_of_coreutils(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    plain = 'ab "$\\\u00e9\u4e2d#~{}=%!?*[&|;<>`'
    for _ in range(80):
        alphabet = plain + rng.choice(["'", "\n\t\x01\x7f"])  # of both together coreutils makes more than it needs
        name = "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 8))).encode()
        if rng.randrange(4) == 0 and b"'" not in name:
            name += bytes([rng.choice([0xFF, 0x80, 0xC3])])
        real = subprocess.run(["rm", "--", name], cwd=tmp_path, capture_output=True, env=ENGLISH, check=False)
        message = real.stderr.removeprefix(b"rm: cannot remove ").removesuffix(b": No such file or directory\n")
        assert os.fsencode(quoted(name)) == message, (seed, name)
