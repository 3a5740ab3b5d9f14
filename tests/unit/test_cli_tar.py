"""`minixfs tar`: archives of images that tar(1) reads, and archives of tar(1) in images."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from minixfs.image.image import Image
from tests.support.command import Answer, command
from tests.support.images import new_image, verify_image
from tests.support.mounts import COMMAND, environment

TIME = 1_234_567_890


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = new_image(tmp_path / "image")
    with Image(path, "r+") as image:
        image.mkdir("/etc")
        image.write_bytes("/etc/rc", b"start\n" * 1000)
        image.link("/etc/rc", "/etc/rc.d")
        image.symlink("rc", "/etc/link")
        image.mknod("/tty", 0o20600, os.makedev(4, 1))
        image.write_bytes("/hole", b"")
        image.truncate("/hole", 100_000)
        for name in ("/etc/rc", "/etc", "/"):
            image.utime(name, (TIME, TIME))
    return path


def fine(answer: Answer) -> Answer:
    assert (answer.code, answer.err) == (0, "")
    return answer


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tbz2", "tar.xz"])
def test_the_suffix_says_how_it_is_compressed(tmp_path: Path, image: Path, suffix: str) -> None:
    archive, copy = tmp_path / f"a.{suffix}", new_image(tmp_path / "copy")
    fine(command("tar", "-cf", archive, image))
    with tarfile.open(archive) as opened:
        assert opened.getmember("./etc/rc").mtime == TIME
    again = tmp_path / f"b.{suffix}"
    fine(command("tar", "-cf", again, image))
    assert archive.read_bytes() == again.read_bytes()
    fine(command("tar", "-xf", archive, copy))
    fine(command("diff", "--holes", image, copy))
    verify_image(copy)


def test_gnu_tar_reads_it_and_lists_it_alike(tmp_path: Path, image: Path) -> None:
    archive = tmp_path / "a.tar"
    fine(command("tar", "-cf", archive, f"{image}:/etc"))
    real = subprocess.run(
        ["tar", "-tv", "--numeric-owner", "-f", archive], capture_output=True, env=os.environ | {"LC_ALL": "C"}
    )
    ours = fine(command("tar", "-tvf", archive))
    assert [line.split() for line in ours.out.splitlines()] == [line.split() for line in real.stdout.splitlines()]
    assert fine(command("tar", "-tf", archive)).lines == ["./", "./link", "./rc", "./rc.d"]


def test_pipes(tmp_path: Path, image: Path) -> None:
    copy = new_image(tmp_path / "copy")
    made = subprocess.run([*COMMAND, "tar", "-cz", image, "-C", "etc"], env=environment(), capture_output=True)
    assert (made.returncode, made.stderr) == (0, b"")
    taken = subprocess.run(
        [*COMMAND, "tar", "-xv", f"{copy}:/"], env=environment(), input=made.stdout, capture_output=True
    )
    assert (taken.returncode, taken.stderr) == (0, b"")
    assert taken.stdout.splitlines() == [b"./", b"./link", b"./rc", b"./rc.d"]
    fine(command("diff", copy, f"{image}:/etc"))


def test_directories_that_only_lend_their_path_are_left_alone(tmp_path: Path, image: Path) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as opened:
        opened.addfile(tarfile.TarInfo("etc/new/file"))
    with Image(image, "r+") as before:
        before.chmod("/etc", 0o700)
    fine(command("tar", "-xf", archive, image))
    with Image(image) as after:
        assert after.stat("/etc").st_mode & 0o7777 == 0o700
        assert after.stat("/etc/new").st_mode & 0o7777 == 0o755
        assert after.exists("/etc/new/file")
    verify_image(image)


def test_what_is_in_the_way(tmp_path: Path, image: Path) -> None:
    """Files are replaced, also links, which are never followed; -k keeps them; a directory stays."""
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as opened:
        opened.addfile(tarfile.TarInfo("etc/link"))
    answer = command("tar", "-xkf", archive, image)
    assert (answer.code, answer.err) == (2, f"minixfs tar: cannot create '{image}:/etc/link': File exists\n")
    with tarfile.open(archive, "w") as opened:
        opened.addfile(tarfile.TarInfo("etc/link"))
        opened.addfile(tarfile.TarInfo("hole/file"))
    fine(command("tar", "-xf", archive, image))
    with Image(image) as after:
        assert not after.islink("/etc/link")
        assert after.stat("/etc/rc").st_size == 6000
        assert after.isdir("/hole")
    with tarfile.open(archive, "w") as opened:
        opened.addfile(tarfile.TarInfo("etc"))
    answer = command("tar", "-xf", archive, image)
    assert (answer.code, answer.err) == (2, f"minixfs tar: cannot create '{image}:/etc': Is a directory\n")
    verify_image(image)


def test_a_full_disk_goes_on_with_the_rest(tmp_path: Path) -> None:
    image, archive, big = new_image(tmp_path / "image", 1 << 20), tmp_path / "a.tar", tmp_path / "big"
    big.write_bytes(b"x" * (2 << 20))
    with tarfile.open(archive, "w") as opened:
        opened.add(big, "big")
        opened.addfile(tarfile.TarInfo("small"))
    answer = command("tar", "-xf", archive, image)
    assert (answer.code, answer.err) == (2, f"minixfs tar: error writing '{image}:/big': No space left on device\n")
    with Image(image) as after:
        assert after.exists("/small")
    verify_image(image)


@pytest.mark.parametrize(("words", "message"), [
    (["{image}"], "say what to do: -c to create, -x to extract, or -t to list"),
    (["-c"], "name an image, or a directory in one: IMAGE:/path"),
    (["-t", "{image}"], "-t lists a tar file and takes no image; to list an image use ls -lR or find"),
    (["-xf", "nowhere.tar", "{image}"], None),
    (["-cf", "a", "{image}:/nowhere"], None),
])  # fmt: skip
def test_senseless_words(
    tmp_path: Path, image: Path, words: list[str], message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = command("tar", *(word.format(image=image) for word in words))
    assert (answer.code, len(answer.err.splitlines())) == (2, 1), answer
    assert message is None or answer.err == f"minixfs tar: {message}\n"
    assert not (tmp_path / "a").exists(), "what is not finished is not left behind"
