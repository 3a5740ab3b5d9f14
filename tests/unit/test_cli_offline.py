"""What `ls`, `cat` and `info` share: how images and paths are written, and what they may not import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from minixfs.cli.offline import opened, sources, split
from minixfs.cli.show import columns, for_terminal, human
from minixfs.errors import UsageError
from minixfs.mkfs.mfs import Options
from tests.support.mfs_image import populated
from tests.support.mounts import environment, minixfs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files ``disk.img`` and ``odd:/name`` are (the latter a file ``name`` in a directory ``odd:``)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "disk.img").touch()
    (tmp_path / "odd:").mkdir()
    (tmp_path / "odd:" / "name").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("argument", "image", "path"),
    [
        (b"disk.img", b"disk.img", None),
        (b"disk.img:/", b"disk.img", b"/"),
        (b"disk.img:/etc/fstab", b"disk.img", b"/etc/fstab"),
        (b"disk.img:p0s1:/etc", b"disk.img:p0s1", b"/etc"),
        (b"disk.img@@4096:/etc", b"disk.img@@4096", b"/etc"),
        (b"disk.img:/a:/b", b"disk.img", b"/a:/b"),
        (b"odd:/name", b"odd:/name", None),
        (b"odd:/name:/etc", b"odd:/name", b"/etc"),
        (b"missing:/etc", b"missing", b"/etc"),
        (b"missing", b"missing", None),
        (b"\xff:/\xfe", b"\xff", b"/\xfe"),
    ],
)
def test_image_and_path_are_told_apart(folder: Path, argument: bytes, image: bytes, path: bytes | None) -> None:
    assert split(argument) == (image, path)


def test_paths_follow_one_image_or_every_argument_names_its_own(folder: Path) -> None:
    assert sources(["disk.img", "a", "/b"]) == [("disk.img", [b"a", b"/b"])]
    assert sources(["disk.img"], b"/") == [("disk.img", [b"/"])]
    assert sources(["disk.img:/a", "disk.img:/b", "x:/c"]) == [("disk.img", [b"/a", b"/b"]), ("x", [b"/c"])]
    assert sources(["disk.img:/a", "x"], b"/") == [("disk.img", [b"/a"]), ("x", [b"/"])]
    with pytest.raises(UsageError, match=r"disk\.img: name a file"):
        sources(["disk.img"])


HEAVY = {
    "asyncio", "construct", "ctypes", "hashlib", "json", "logging.handlers", "msgspec", "numpy", "pyfuse3", "rich",
    "shutil", "subprocess", "trio",
}  # fmt: skip
"""What takes long to load, and no question about files needs."""
ARRAYS = {"numpy", "ctypes", "shutil", "subprocess"}
"""What of that arrays take."""


def test_an_opened_image_is_not_changed_and_left_unlocked(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(populated(Options()).data)
    before = image.read_bytes()
    with opened(str(image)) as files:
        assert files.stat("/").st_ino == 1
        with opened(str(image)):  # readers do not lock each other out
            pass
    assert image.read_bytes() == before
    assert str(image) not in Path("/proc/locks").read_text()


@pytest.mark.parametrize("words", [["ls", "-lR"], ["cat"], ["stat"], ["find"], ["du"]])
def test_offline_commands_import_no_event_loop_and_no_arrays(tmp_path: Path, words: list[str]) -> None:
    image = tmp_path / "image"
    image.write_bytes(populated(Options()).data)
    arguments = [*words, str(image), *(["/a/file1"] if words in (["cat"], ["stat"]) else [])]
    load_nothing_of(HEAVY, arguments)


@pytest.mark.parametrize("kind", ["mfs", "ext2"])
def test_checking_loads_arrays_and_little_else(tmp_path: Path, kind: str) -> None:
    image = tmp_path / "image"
    made = minixfs("mkfs", "-t", kind, image, "4M")
    assert made.returncode == 0, made.stderr
    parts = {"numpy.ma", "numpy.fft", "numpy.random", "numpy.polynomial"}
    load_nothing_of((HEAVY | parts) - ARRAYS, ["fsck", "-n", str(image)])


def load_nothing_of(heavy: set[str], arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from minixfs.cli.main import main\n"
        f"sys.argv = ['minixfs', *{arguments!r}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        f"heavy = {heavy!r} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


def test_names_that_a_terminal_would_obey_are_escaped() -> None:
    assert for_terminal(b"a\x1b[31m\n\\ \xff") == rb"a\033[31m\n\\ \377"
    assert for_terminal("größe".encode()) == "größe".encode()


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"), (1023, "1023"), (1024, "1.0K"), (1025, "1.1K"), (10 * 1024, "10K"), (10 * 1024 - 1, "10K"),
        (1 << 20, "1.0M"), ((1 << 20) - 1, "1.0M"), (2**31 - 1, "2.0G"), (2**63, "8.0E"),
    ],
)  # fmt: skip
def test_sizes_are_rounded_up_as_coreutils_does(size: int, text: str) -> None:
    assert human(size) == text


def test_columns_run_down_and_fit_the_width() -> None:
    assert columns([], 80) == []
    assert columns([b"a", b"bb", b"ccc"], 80) == [b"a  bb  ccc"]
    assert columns([b"a", b"bb", b"ccc", b"d"], 8) == [b"a   ccc", b"bb  d"]
    assert columns([b"long name"], 3) == [b"long name"]
