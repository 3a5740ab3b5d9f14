"""Verbs that walk: du, df and tree, and what all do in trees that are very deep, and in those of bad images."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from pathlib import Path

import pytest

from minixfs.image.image import Image
from minixfs.mkfs.mfs import Options
from tests.support.command import command
from tests.support.mfs_image import populated
from tests.support.mounts import COMMAND, environment
from tests.support.twins import Twins

DEPTH = 120


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    both = Twins(tmp_path_factory.mktemp("trees"))
    both.grow(random.Random(5), 60)
    return both


@pytest.fixture
def looped(tmp_path: Path) -> Path:
    """/a/deep/empty leads back to /a."""
    volume = populated(Options())
    at, _ = volume.entry(b"/a/deep/empty")
    volume.put_slot(at, volume.entry(b"/a")[1], b"empty")
    path = tmp_path / "looped"
    path.write_bytes(volume.data)
    return path


def test_du_counts_files_as_the_host_does(twins: Twins) -> None:
    """Space differs from one file system to another, and so do directories: files alone, by their lengths."""
    files = [path for path in twins.paths if (twins.host / path).is_file() and not (twins.host / path).is_symlink()]
    for options in (["-b"], ["-bc"], ["-abh"], ["-bs"]):
        ours, real = twins.run("du", options, files)
        assert ours == real
    assert command("du", "-s", "-a", twins.image).code == 1


def test_du_adds_up(twins: Twins) -> None:
    with Image(twins.image) as image:
        blocks = {}
        for directory, _, names in image.walk("/"):
            for path in (directory, *(f"{directory}/{name}" for name in names)):
                found = image.lstat(path)
                blocks[found.st_ino] = found.st_blocks * 512
    [whole] = json.loads(command("du", "-s", "--json", twins.image).out)
    assert whole == {"image": str(twins.image), "path": "/", "size": sum(blocks.values())}
    assert command("du", "-d", "0", twins.image).lines == [f"{-(-whole['size'] // 1024)}\t/"]


def test_df_tells_what_statvfs_tells(twins: Twins) -> None:
    with Image(twins.image) as image:
        found = image.statvfs("/")
    total, free = found.f_blocks * found.f_frsize // 1024, found.f_bfree * found.f_frsize // 1024
    head, line = command("df", "-T", twins.image).lines
    assert head.split() == ["Filesystem", "Type", "1K-blocks", "Used", "Available", "Use%"]
    share = f"{-(-100 * (total - free) // total)}%"
    assert line.split() == [str(twins.image), "minix", str(total), str(total - free), str(free), share]
    assert command("df", "-i", twins.image).lines[1].split()[1:3] == ["512", str(512 - found.f_ffree)]
    assert json.loads(command("df", "--json", twins.image).out)[0]["inodes_free"] == found.f_ffree
    assert command("df", twins.image, twins.host / "none").code == 1


def test_tree_draws(tmp_path: Path) -> None:
    both = Twins(tmp_path)
    with Image(both.image, "r+") as image:
        image.makedirs("/a/b")
        image.write_bytes("/a/b/f", b"12345")
        image.symlink("b/f", "/a/l")
        image.mkdir("/z")
        image.write_bytes("/.hidden", b"")
    assert command("tree", both.image).lines == [
        "/", "├── a", "│   ├── b", "│   │   └── f", "│   └── l -> b/f", "└── z", "", "3 directories, 2 files",
    ]  # fmt: skip
    assert command("tree", "-aL1", both.image).lines == [
        "/",
        "├── .hidden",
        "├── a",
        "└── z",
        "",
        "2 directories, 1 file",
    ]
    assert command("tree", "-df", f"{both.image}:/a").lines == ["/a", "└── /a/b", "", "1 directory"]
    assert command("tree", "-ps", both.image, "a/b").lines[1] == "└── [-rw-rw-rw-           5]  f"
    top, report = json.loads(command("tree", "--json", both.image).out)
    assert [entry["name"] for entry in top["contents"]] == ["a", "z"]
    assert report == {"type": "report", "directories": 3, "files": 2}


def test_every_verb_goes_deeper_than_any_path_can_be(tmp_path: Path) -> None:
    twins = Twins(tmp_path)
    with Image(twins.image, "r+") as image:
        path = ""
        for _ in range(DEPTH):
            path += "/" + "d" * 20
            image.mkdir(path)
        image.write_bytes(path + "/f", b"x")
    assert len(path) > 2 * 1024
    assert command("find", twins.image, "-name", "f").lines == [path + "/f"]
    assert command("du", twins.image).lines[0].endswith(path)
    assert command("tree", twins.image).lines[-1] == f"{DEPTH} directories, 1 file"
    assert json.loads(command("tree", "--json", twins.image).out)
    assert command("chmod", "-R", "u+x", twins.image, "/").code == 0
    assert command("chown", "-R", "1:2", twins.image, "/").code == 0
    assert command("stat", "-c", "%a %u %g %s", f"{twins.image}:{path}/f").out == b"766 1 2 1\n"
    assert command("mv", twins.image, path + "/f", "/f").code == 0
    assert command("ln", twins.image, "/f", path + "/g").code == 0
    assert command("touch", "-d", "@1", f"{twins.image}:{path}/h").code == 0
    assert command("rm", "-r", f"{twins.image}:/{'d' * 20}").code == 0
    assert command("find", twins.image).lines == ["/", "/f"]
    twins.verify()


def test_loops_of_directories_end(looped: Path) -> None:
    for words in (
        ["find"],
        ["du"],
        ["tree"],
        ["find", "-delete"],
        ["chmod", "-R", "700"],
        ["rm", "-r", "--no-preserve-root"],
    ):
        verb, *options = words
        arguments = [*options, looped, "/"] if verb in ("chmod", "rm") else [looped, *options]
        answer = command(verb, *arguments)
        assert answer.code == 1, words
        if verb != "tree":
            assert "/a/deep/empty" in answer.err, words


def test_a_signal_ends_a_removal_between_two_calls(tmp_path: Path) -> None:
    twins = Twins(tmp_path)
    with Image(twins.image, "r+") as image:
        for number in range(400):
            image.mknod(f"/f{number}", 0o100644)
    with subprocess.Popen(
        [*COMMAND, "rm", "-rv", "--no-preserve-root", str(twins.image), "/"],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode in (1, 130)
    twins.verify()
