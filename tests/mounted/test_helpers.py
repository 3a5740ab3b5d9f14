"""The helper programs, run by the real mount(8), umount(8), mkfs(8) and fsck(8), from fstab and by hand.

Each test is a shell script in name spaces of its own, where a directory with the helpers stands in for /usr/sbin and an
fstab of ours for /etc/fstab. Whatever is mounted there, and whoever serves it, ends with the script.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from minixfs.cli.helpers import HELPERS
from tests.support.mounts import check_image

Script = Callable[..., subprocess.CompletedProcess[str]]
SECONDS = 60
MOUNTED = 'grep -q " $DIR .* fuse.minixfs " /proc/self/mountinfo'


@pytest.fixture
def script(tmp_path: Path, image: Path, directory: Path) -> Script:
    """``script(line, ...)`` runs lines until one fails. $IMAGE is the image, $DIR a directory, in fstab as `words`."""
    if os.geteuid():
        pytest.skip("only root can have a /usr/sbin of its own")
    if shutil.which("unshare") is None:
        pytest.skip("no unshare")
    programs = tmp_path / "sbin"
    programs.mkdir()
    for name in HELPERS:
        (programs / name).write_text(f"#!{sys.executable}\nfrom minixfs.cli.main import main\nmain()\n")
        (programs / name).chmod(0o755)
    for name in ("fsck", "mkfs"):
        shutil.copy2(f"/usr/sbin/{name}", programs)

    def run(*lines: str, words: str = "noauto") -> subprocess.CompletedProcess[str]:
        fstab = tmp_path / "fstab"
        fstab.write_text(f"{image} {directory} minixfs {words} 0 2\n")
        own = [f"mount --bind {programs} /usr/sbin", f"mount --bind {fstab} /etc/fstab"]
        spaces = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--mount-proc", "--kill-child"]
        names = {"IMAGE": str(image), "DIR": str(directory)}
        return subprocess.run(
            [*spaces, "sh", "-ec", "\n".join([*own, *lines])],
            env=os.environ | names, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip

    return run


def expect(result: subprocess.CompletedProcess[str], code: int = 0) -> str:
    assert result.returncode == code, result.stderr
    return result.stderr


def test_fstab_is_enough_to_mount_and_unmount(script: Script, image: Path) -> None:
    """umount(8) returns when the image is final: it is checked in the same breath."""
    expect(
        script(
            'mount "$DIR"',
            MOUNTED,
            'cp /etc/services "$DIR/services"',
            'umount "$DIR"',
            'fsck.minixfs -n "$IMAGE"',
            'mount -a -t minixfs -o ro',
            words="noauto,nofail,noatime,x-anything,user",
        )
    )  # fmt: skip
    check_image(image)


@pytest.mark.parametrize("kind", ["minixfs", "fuse.minixfs"])
def test_both_type_names_mount(script: Script, kind: str) -> None:
    expect(script(f'mount -t {kind} -o ro "$IMAGE" "$DIR"', MOUNTED, '! touch "$DIR/file"', 'umount "$DIR"'))


def test_mount_all_of_fstab(script: Script) -> None:
    expect(script("mount -a -t minixfs", MOUNTED, 'umount "$DIR"', f"! {MOUNTED}", words="ro"))


def test_a_pretended_mount_mounts_nothing(script: Script) -> None:
    expect(script('mount -f "$DIR"', f"! {MOUNTED}"))


def test_unknown_words_are_refused_unless_mount_is_sloppy(script: Script) -> None:
    refused = expect(script('mount -t minixfs -o nonsense "$IMAGE" "$DIR"'), 1)
    assert refused.startswith("mount.minixfs: unknown mount option 'nonsense'")
    assert len(refused.splitlines()) == 1
    expect(script('mount -s -t minixfs -o nonsense,ro "$IMAGE" "$DIR"', MOUNTED, 'umount "$DIR"'))


def test_what_is_no_volume_is_refused_with_the_code_of_a_failed_mount(script: Script, image: Path) -> None:
    refused = expect(script('mount -t minixfs /etc/services "$DIR"'), 32)
    assert "no MINIX file system" in refused


def test_unmounting_by_force_is_refused_and_lazily_done(script: Script) -> None:
    refused = expect(script('mount "$DIR"', 'umount -f "$DIR"'), 1)
    assert "umount -l" in refused
    expect(script('mount "$DIR"', 'umount -l "$DIR"', f"! {MOUNTED}"))


def test_mkfs_and_fsck_find_their_helpers(script: Script, image: Path) -> None:
    refused = expect(script('mkfs -t minixfs "$IMAGE"'), 8)
    assert "use -f to overwrite it" in refused
    expect(script('mkfs -t minixfs -f "$IMAGE"', 'fsck -t minixfs -a "$IMAGE"', "fsck -A -n -t minixfs"))
    check_image(image)
