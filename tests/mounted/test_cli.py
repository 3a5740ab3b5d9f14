"""`minixfs mount` and `umount` as commands: words, exit codes of mount(8), one line for each error, help."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from minixfs.daemon import mountpoint
from tests.support import mounts
from tests.support.mounts import COMMAND, Mount, MountFailedError, environment, minixfs


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("no_such_word", "unknown mount option 'no_such_word'"),
        ("allow_ohter", "did you mean 'allow_other'?"),
        ("cache_size=1K", "at least 1M"),
        ("commit=never", "bad value in commit=never"),
        ("errors=panic", "bad value in errors=panic"),
        ("umask=9", "bad value in umask=9"),
        ("uid=me", "bad value in uid=me"),
        ("uid=-1", "bad value in uid=-1"),
        ("workers=0", "bad value in workers=0"),
        ("offset=1X", "bad value in offset=1X"),
        ("sync=1", "unknown mount option 'sync=1'"),
        ("uid", "unknown mount option 'uid'"),
    ],
)
def test_wrong_words_are_told(image: Path, directory: Path, words: str, says: str) -> None:
    refused = minixfs("mount", "-o", f"rw,{words}", image, directory)
    assert refused.returncode == 1
    assert says in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_mount_answers_before_it_loads_what_it_may_never_need(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    with Mount(image) as mount:
        os.listdir(mount.path)
        loaded = {line.rpartition("|")[2].strip() for line in mount.log.splitlines() if line.startswith("import time:")}
    assert {"trio", "minixfs.daemon.serve"} <= loaded
    heavy = {"asyncio", "construct", "json", "logging.handlers", "msgspec", "numpy", "rich"}
    heavy |= {"minixfs.image", "minixfs.mkfs", "minixfs.fsck", "minixfs.trees"}
    assert not heavy & loaded


def test_unmounting_needs_no_event_loop(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Mount(image) as mount:
        monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
        done = minixfs("umount", mount.path)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0
    assert "minixfs.daemon.control" in loaded
    assert not {"trio", "pyfuse3", "asyncio", "numpy", "construct", "minixfs.daemon.vfs"} & loaded


@pytest.mark.parametrize(
    ("image_name", "directory_name", "code", "says"),
    [
        ("none", "directory", 32, "there is no "),
        ("image", "none", 1, "no such directory"),
        ("image", "image", 1, "no such directory"),
        ("directory", "directory", 32, "is a directory"),
        ("image:p0", "directory", 32, "no partition p0"),
        ("image@@1G", "directory", 32, "outside"),
        ("image@@1M", "directory", 32, "no MINIX file system"),
    ],
)
def test_wrong_places_are_told(
    image: Path, directory: Path, image_name: str, directory_name: str, code: int, says: str
) -> None:
    refused = minixfs("mount", image.parent / image_name, image.parent / directory_name)
    assert refused.returncode == code, refused.stderr
    assert says in refused.stderr
    assert refused.stderr.startswith("minixfs mount: ")
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [["mount"], ["mount", "image"], ["mount", "--nonsense"], ["mount", "a", "b", "c"], ["nonsense"]]
)
def test_wrong_usage(arguments: list[str]) -> None:
    refused = minixfs(*arguments)
    assert refused.returncode == (1 if arguments[0] == "mount" else 2)
    assert len(refused.stderr.splitlines()) == 1


def test_words_that_others_keep_for_themselves(image: Path) -> None:
    words = "defaults,noauto,user,nofail,_netdev,x-systemd.automount,nonempty,noexec,default_permissions,relatime"
    with Mount(image, words) as mount:
        assert os.statvfs(mount.path).f_flag & os.ST_NOEXEC


def test_the_last_word_counts(image: Path) -> None:
    with Mount(image, "ro", "rw", "noexec", "exec") as mount:
        flags = os.statvfs(mount.path).f_flag
        assert not flags & (os.ST_RDONLY | os.ST_NOEXEC)


def test_image_and_directory_alone_mean_mount(image: Path, directory: Path) -> None:
    """As mount.fuse3 calls a file system."""
    done = minixfs(image, directory, "-o", "rw,dev,suid")
    assert done.returncode == 0, done.stderr
    assert minixfs("umount", "-q", directory).returncode == 0


def test_read_only_flag(image: Path) -> None:
    with Mount(image, arguments=["-r"]) as mount:
        assert os.statvfs(mount.path).f_flag & os.ST_RDONLY


def test_unmounting_what_is_not_mounted(image: Path, directory: Path) -> None:
    for path in (directory, directory / "none", image, Path("/proc")):
        refused = minixfs("umount", path)
        assert refused.returncode == 32
        assert "no minixfs file system is mounted there" in refused.stderr


def test_unmounting_a_dead_mount(image: Path) -> None:
    """The mount process was killed: the directory is given back, and the user told to check."""
    with Mount(image) as mount:
        mount.signal(9)
        mount.wait()
        assert mount.is_mounted
        done = minixfs("umount", mount.path)
        assert done.returncode == 32
        assert "run minixfs fsck" in done.stderr
        assert not mount.is_mounted


def test_warnings_reach_the_user_of_a_background_mount(image: Path, directory: Path) -> None:
    with Mount(image) as mount:
        (mount.path / "file").touch()
        os.fsync(descriptor := os.open(mount.path, os.O_RDONLY))
        os.close(descriptor)
        mount.kill()
    done = minixfs("mount", image, directory)
    assert done.returncode == 0
    assert done.stderr.startswith("minixfs mount: warning: ")
    assert "not cleanly unmounted" in done.stderr
    assert minixfs("umount", "-q", directory).returncode == 0


def test_a_background_mount_lets_its_terminal_go(image: Path, directory: Path) -> None:
    """Its standard streams are closed: a pipe to it ends. It is no child and no job of the shell."""
    line = [*COMMAND, "mount", str(image), str(directory)]
    done = subprocess.run(line, input=b"", capture_output=True, timeout=30, env=environment(), check=True)
    assert done.stdout == b""  # run() has read to the end of both pipes
    found = mountpoint.find(str(directory))
    assert found is not None
    assert minixfs("umount", "-q", directory).returncode == 0


def test_help_names_every_word() -> None:
    shown = minixfs("mount", "--help-options")
    assert shown.returncode == 0
    for word in ("allow_other", "cache_size=SIZE", "errors=POLICY", "truncate_names"):
        assert word in shown.stdout
    for arguments in (["--help"], ["mount", "--help"], ["umount", "-h"], ["--version"]):
        assert minixfs(*arguments).returncode == 0


def test_foreground_mounts_fail_with_mounts_code(tmp_path: Path) -> None:
    with pytest.raises(MountFailedError) as failure, Mount(tmp_path / "none"):
        pass
    assert failure.value.code == 32
    assert len(failure.value.output.splitlines()) == 1


@pytest.mark.parametrize("words", ["noatime", "relatime", "strictatime"])
def test_access_times(tmp_path: Path, words: str) -> None:
    image = mounts.make_image(tmp_path / "image")
    old = 1_000_000_000
    with Mount(image, words) as mount:
        changed_before, changed_after = mount.path / "before", mount.path / "after"
        for file, times in ((changed_before, (old, old - 5)), (changed_after, (old, old + 5))):
            file.write_bytes(b"data")
            os.utime(file, times)
            file.read_bytes()
        moved = [file.stat().st_atime > old for file in (changed_before, changed_after)]
        assert moved == ([False, False] if words == "noatime" else [True, True])  # a day has passed in any case


def test_a_mount_goes_without_a_control_socket(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/proc")
    with Mount(image, allow=["no control socket"]) as mount:
        assert "no control socket" in mount.log
        (mount.path / "file").touch()
        done = minixfs("umount", mount.path)
        assert done.returncode == 32
        assert "did not say that the image is final" in done.stderr
        assert mount.wait() == 0
    mounts.check_image(image)
