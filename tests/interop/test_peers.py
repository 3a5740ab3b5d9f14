"""The peers themselves and the harness around them: what they agree on, our own images are held to."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import peers, tree, uml

SEED = 20130601
SIZE = 8 << 20  # of the volumes, bytes
BIG = 1 << 20  # reach of sparse files, bytes: into the double indirect blocks of 1K blocks


class Volume(NamedTuple):
    version: int
    name_len: int
    gid_max: int

    @property
    def name(self) -> str:
        return f"v{self.version}-{self.name_len}"


VOLUMES = [
    Volume(1, 14, 255),
    Volume(1, 30, 255),
    Volume(2, 14, 65535),
    Volume(2, 30, 65535),
    Volume(3, 60, 65535),
]


def test_a_complaint_with_exit_code_0_makes_a_minix_volume_unclean(tmp_path: Path) -> None:
    peers.require("mkfs.minix", "fsck.minix")
    image = tmp_path / "image"
    peers.mkfs_minix(image, 1 << 20, 1, name_len=14)
    assert peers.fsck_minix(image).clean

    # A second inode of no type: allocated, with a name in the root, in order otherwise.
    volume = bytearray(image.read_bytes())
    _, _, imap_blocks, zmap_blocks, first_zone = struct.unpack_from("<5H", volume, 1024)
    inodes = (2 + imap_blocks + zmap_blocks) * 1024
    volume[2 * 1024] |= 1 << 2
    struct.pack_into("<I", volume, inodes + 4, 3 * 16)  # size of the root
    struct.pack_into("<B", volume, inodes + 32 + 13, 1)  # links of inode 2
    struct.pack_into("<H14s", volume, first_zone * 1024 + 2 * 16, 2, b"odd")
    image.write_bytes(volume)

    verdict = peers.fsck_minix(image)
    assert "exit code 0" in verdict.output
    assert not verdict.clean


def test_a_complaint_with_exit_code_0_makes_an_ext2_volume_unclean(tmp_path: Path) -> None:
    peers.require("mke2fs", "e2fsck")
    image = tmp_path / "image"
    peers.mke2fs(image, 1 << 20)
    assert peers.e2fsck(image).clean

    volume = bytearray(image.read_bytes())
    volume[1024 + 12] ^= 1  # number of free blocks
    image.write_bytes(volume)

    verdict = peers.e2fsck(image)
    assert "exit code 0" in verdict.output
    assert not verdict.clean


def test_no_volume_at_all_is_unclean(tmp_path: Path) -> None:
    peers.require("fsck.minix", "e2fsck")
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 20))
    assert not peers.fsck_minix(image).clean
    assert not peers.e2fsck(image).clean


def test_a_missing_peer_skips_except_under_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-peer is not installed"):
        peers.require("no-such-peer")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-peer is not installed"):
        peers.require("no-such-peer")


def test_equal_seeds_make_equal_trees(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in "abc")
    for root, seed in ((first, SEED), (second, SEED), (third, SEED + 1)):
        root.mkdir()
        tree.populate(root, seed, 30, big=BIG)
    before = tree.snapshot(first)
    assert tree.diff(before, tree.snapshot(second), ignore=["dir_size"]) == []
    assert tree.diff(before, tree.snapshot(third), ignore=["dir_size"])

    tree.mutate(first, SEED)
    tree.mutate(second, SEED)
    after = tree.snapshot(first)
    assert tree.diff(after, tree.snapshot(second), ignore=["dir_size"]) == []
    assert tree.diff(before, after, ignore=["dir_size"])
    assert tree.loads(tree.dumps(after)) == after


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda root: os.chmod(root / "file", 0o640), "mode"),
        (lambda root: os.utime(root / "file", (5, 6)), "mtime"),
        (lambda root: (root / "file").write_bytes(b"other"), "sha256"),
        (lambda root: (root / "file").write_bytes(b"longer"), "size"),
        (lambda root: os.link(root / "file", root / "new"), "nlink"),
        (lambda root: os.replace(root / "pipe", root / "file"), "kind"),
        (lambda root: os.unlink(root / "pipe"), "only in the first"),
        (lambda root: os.mkdir(root / "new"), "only in the second"),
        (lambda root: os.replace(root / "other link", root / "link"), "target"),
    ],
)
def test_snapshots_tell_what_changed(tmp_path: Path, change: Callable[[Path], object], field: str) -> None:
    (tmp_path / "file").write_bytes(b"bytes")
    os.mkfifo(tmp_path / "pipe")
    os.symlink("file", tmp_path / "link")
    os.symlink("pipe", tmp_path / "other link")
    before = tree.snapshot(tmp_path)
    assert tree.diff(before, tree.snapshot(tmp_path)) == []
    change(tmp_path)
    assert any(field in line for line in tree.diff(before, tree.snapshot(tmp_path)))


def test_a_script_cannot_write_to_the_host_and_its_failure_is_an_error(tmp_path: Path) -> None:
    peers.require("uml")
    with pytest.raises(uml.UmlError, match=r"status 1\n--- output\nbefore\n") as error:
        uml.run([], f"echo before; echo message >&2; touch {tmp_path}/file || exit 1; echo after")
    assert "message" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_script_that_hangs_is_ended_with_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    peers.require("uml")
    groups: list[int] = []

    class Recorded(subprocess.Popen[bytes]):
        def wait(self, timeout: float | None = None) -> int:
            groups.append(self.pid)
            return super().wait(timeout)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    with pytest.raises(uml.UmlError, match=r"no end within 4 s"):
        uml.run([], "while true; do sleep 1; done", timeout=4)
    deadline = time.monotonic() + 10
    while group_exists(groups[0]):  # until init has reaped the orphans
        assert time.monotonic() < deadline


def test_linux_fills_and_changes_every_minix_volume(tmp_path: Path) -> None:
    """A tree that the Linux driver wrote is the same after unmounting, and fsck.minix has no complaint."""
    peers.require("uml", "mkfs.minix", "fsck.minix")
    images = [tmp_path / volume.name for volume in VOLUMES]
    for image, volume in zip(images, VOLUMES, strict=True):
        peers.mkfs_minix(image, SIZE, volume.version, name_len=volume.name_len)

    populated = under_linux(images, "populate", lambda volume: (SEED, volume.name_len, 65535, volume.gid_max, BIG))
    mutated = under_linux(images, "mutate", lambda volume: (SEED,))
    seen = peers.linux_snapshots(images, "minix")

    for volume, first, second, last in zip(VOLUMES, populated, mutated, seen, strict=True):
        assert {entry.kind for entry in first.values()} == set(tree.KINDS.values()), volume
        assert max(len(os.path.basename(path)) for path in first) == volume.name_len
        assert len(tree.diff(first, second)) > 100, volume
        assert tree.diff(second, last) == [], volume
    # V1 and V2 differ in the ids they can hold; a tree with names of the same length is the same otherwise.
    assert tree.diff(seen[0], seen[2], ignore=["gid"]) == []
    assert tree.diff(seen[1], seen[3], ignore=["gid"]) == []


def group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def under_linux(
    images: list[Path], command: str, arguments: Callable[[Volume], tuple[int, ...]]
) -> list[tree.Snapshot]:
    """Do `command` of `tree.py` to each volume, check them, and return what Linux saw before unmounting."""
    share = images[0].parent / command
    share.mkdir()
    mounts: list[str] = []
    commands: list[tuple[str | int, ...]] = []
    for (letter, _), volume in zip(uml.disks(images), VOLUMES, strict=True):
        root = f"/mnt/{letter}"
        mounts.append(f"mount -t minix /dev/ubd{letter} {root}")
        commands.append((command, root, *arguments(volume)))
        commands.append(("snapshot", root, f"/mnt/share/{letter}"))
    uml.run(images, "\n".join([*mounts, uml.tree_command(*commands)]), share=share)
    for image in images:
        verdict = peers.fsck_minix(image)
        assert verdict.clean, f"{image.name}, seed {SEED}: {verdict.output}"
    return [tree.loads((share / letter).read_text()) for letter, _ in uml.disks(images)]
