"""`minixfs mkfs`: sizes, sources, the same bytes every time, and nothing lost by accident."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from minixfs.fs.mfs.superblock import Superblock
from minixfs.mkfs.stream import Stream
from tests.support import mounts, peers, tree
from tests.support.command import command
from tests.support.mfs_image import Image

EPOCH = 1_600_000_000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    top = tmp_path / "source"
    (top / "etc").mkdir(parents=True)
    (top / "etc" / "rc").write_text("#!/bin/sh\n" * 2000)
    (top / "etc" / "rc").chmod(0o755)
    (top / "etc" / "motd").write_text("hello\n")
    (top / "link").symlink_to("etc/motd")
    os.utime(top / "etc" / "motd", (1_000_000_000, 1_000_000_000))
    return top


def made(*arguments: str | Path) -> dict[str, object]:
    """The facts that mkfs tells about a volume that is sound."""
    answer = command("mkfs", "--json", *arguments)
    assert (answer.code, answer.err) == (0, ""), answer.err
    facts: dict[str, object] = json.loads(answer.out)
    mounts.check_image(Path(str(facts["image"])))
    return facts


def superblock(image: Path) -> Superblock:
    return Superblock.parse(image.read_bytes()[1024:2048])


def test_a_missing_image_fits_what_is_put_in(source: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    facts = made("-d", source, image)
    assert (facts["free_zones"], facts["files"]) == (0, 5)
    assert image.stat().st_size == facts["zones"] * 4096  # type: ignore[operator]
    assert command("cat", f"{image}:/etc/motd").out == b"hello\n"
    assert command("cat", f"{image}:/etc/rc").out == (source / "etc" / "rc").read_bytes()


@pytest.mark.parametrize(("size", "free"), [("fit", 0), ("fit+100%", 9), ("fit+1M", 256), ("4M", None), ("1000", None)])
def test_sizes(size: str, free: int | None, source: Path, tmp_path: Path) -> None:
    facts = made("-d", source, tmp_path / "image", size)
    if free is not None:
        assert facts["free_zones"] == free
    else:
        assert facts["zones"] == {"4M": 1024, "1000": 1000}[size]


def test_spare_inodes(source: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    assert made("-d", source, image, "4M", "-i", "+100")["free_inodes"] == 100
    assert 100 <= int(str(made("-f", "-d", source, image, "fit", "-i", "+100")["free_inodes"])) < 164
    assert made("-f", "-d", source, image, "fit", "-i", "7")["free_inodes"] == 2
    assert "/link: no inode is left" in command("mkfs", "-f", "-d", source, image, "-i", "4").err


def test_an_image_is_used_again_and_resized_only_as_a_whole(source: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    made(image, "1M")
    (source / "more").write_bytes(bytes(2 << 20))
    answer = command("mkfs", "-f", "-d", source, image)
    assert (answer.code, "no space is left" in answer.err) == (8, True)
    assert superblock(image).zones == 256, "what does not fit is found before anything is overwritten"
    made("-f", "-d", source, image, "fit")
    fitted = image.stat().st_size
    assert fitted > 2 << 20
    made("-f", "-d", source, image, "8M")
    assert image.stat().st_size == 8 << 20
    made("-f", image, "1M")
    assert (image.stat().st_size, superblock(image).zones) == (8 << 20, 256)
    made("-f", "-d", source, image, "fit")
    assert image.stat().st_size == fitted
    part = f"{image}@@512"
    assert "do not fit" in command("mkfs", "-f", part, "8M").err
    assert image.stat().st_size == fitted


def test_two_runs_give_the_same_bytes(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (source, *source.rglob("*")):  # an access time that no reading moves on
        os.utime(path, (time.time() + 60, path.lstat().st_mtime), follow_symlinks=False)
    one, two = tmp_path / "one", tmp_path / "two"
    made("-d", source, one)
    made("-d", source, two)
    assert one.read_bytes() == two.read_bytes()
    made("-f", "-d", source, two)
    assert one.read_bytes() == two.read_bytes(), "also where there is an image of that size already"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))
    made("-f", "-d", source, one)
    (source / "etc" / "rc").touch()
    os.utime(source / "etc" / "motd", (5, 1_000_000_000))
    made("-f", "-d", source, two)
    assert one.read_bytes() == two.read_bytes()
    image = Image(bytearray(one.read_bytes()))
    stamps = {tuple(image.inode(n).fields[f] for f in ("i_mtime", "i_atime", "i_ctime")) for n in range(1, 6)}
    assert stamps == {(EPOCH,) * 3, (1_000_000_000,) * 3}
    for empty in (tmp_path / "empty", tmp_path / "again"):
        made(empty, "1M")
    assert (tmp_path / "empty").read_bytes() == (tmp_path / "again").read_bytes()


@pytest.mark.parametrize("text", [str(EPOCH), f"@{EPOCH}", "2020-09-13T12:26:40Z"])
def test_owner_and_time_of_every_file(text: str, source: Path, tmp_path: Path) -> None:
    made("-d", source, tmp_path / "image", "--owner", "3:4", "--mtime", text, "--root-owner", "5:6")
    image = Image(bytearray((tmp_path / "image").read_bytes()))
    for number in range(1, 6):
        fields = image.inode(number).fields
        assert (fields["i_uid"], fields["i_gid"]) == ((5, 6) if number == 1 else (3, 4))
        assert {fields[name] for name in ("i_mtime", "i_atime", "i_ctime")} == {EPOCH}


def test_a_tar_file_does_as_well_as_its_directory(source: Path, tmp_path: Path) -> None:
    peers.require("tar")
    plain, packed = tmp_path / "plain.tar", tmp_path / "packed.tar.gz"
    pack = ["tar", "--sort=name", "--numeric-owner", "--format=pax", "--pax-option=exthdr.name=%f", "-C", source]
    subprocess.run([*pack, "-cf", plain, "."], check=True, timeout=60)
    subprocess.run([*pack, "-czf", packed, "."], check=True, timeout=60)
    images = []
    for number, carrier in enumerate((source, plain, packed)):
        images.append(tmp_path / f"image{number}")
        made("-d", carrier, "--mtime", "1", images[-1])
    assert len({image.read_bytes() for image in images}) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("-d {source} {source}/image", 16, "image is in {source} itself; put it somewhere else"),
        ("-d {source}/nothing {image}", 8, "nothing: No such file or directory"),
        ("-d {source}/etc/rc {image}", 8, "rc: this is no tar file"),
        ("-d {source} {image} 5", 16, "no room for data"),
        ("-d {source} {image} 7", 8, "/etc/motd: no space is left"),
        ("-d {source} {image} fit+x", 16, "is not a number of bytes"),
        ("-d {source} {image} --owner root", 16, "is no owner"),
        ("-d {source} {image} --owner 70000:1", 8, "{source}: user id 70000 is too large"),
        ("-d {source} {image} --mtime whenever", 16, "is no time"),
        ("-d {source} {image} -i few", 16, "is no number of inodes"),
        ("-d {source} {image} --padding none", 16, "padding"),
        ("-d {source} {image} -z -1", 16, "zone shift -1 is not in 0..4"),
        ("-d {source} {image} -z 5", 16, "zone shift 5 is not in 0..4"),
        ("-d {source} {image} -B 1000", 16, "block size 1000 is not"),
        ("-d {source} {image} --big-endian", 16, "V3 has no big-endian form"),
        ("--minix-padding {image} 1M", 16, "No such option"),
    ],
)
def test_what_cannot_be_done_is_said_and_makes_nothing(
    arguments: str, code: int, message: str, source: Path, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    answer = command("mkfs", *arguments.format(source=source, image=image).split())
    assert (answer.code, message.format(source=source) in answer.err) == (code, True), answer.err
    assert len(answer.err.splitlines()) == 1
    assert not image.exists()


def test_a_bad_source_date_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    answer = command("mkfs", tmp_path / "image", "1M")
    assert (answer.code, "SOURCE_DATE_EPOCH" in answer.err) == (16, True)


@pytest.mark.parametrize(
    ("offset", "magic", "name"),
    [
        (1080, b"\x53\xef", "an ext2, ext3 or ext4 file system"),
        (0, b"XFSB", "an XFS file system"),
        (0x10040, b"_BHRfS_M", "a Btrfs file system"),
        (0x8001, b"CD001", "an ISO 9660 file system"),
        (512, b"EFI PART", "a GUID partition table"),
        (1040, b"\x7f\x13", "a MINIX V1 file system"),
        (446, b"\x80\0\0\0\x81\0\0\0\1\0\0\0\1\0\0\0".ljust(64, b"\0") + b"\x55\xaa", "partitions"),
    ],
)
def test_nothing_known_is_overwritten_unasked(offset: int, magic: bytes, name: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    content = bytearray(1 << 20)
    content[offset : offset + len(magic)] = magic
    image.write_bytes(content)
    answer = command("mkfs", image)
    assert (answer.code, f"holds {name}; use -f to overwrite it" in answer.err) == (8, True), answer.err
    assert image.read_bytes() == content
    made("-f", image)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_half_made_volume(
    number: signal.Signals, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    made("-d", source, old)
    drain = Stream.drain

    async def interrupted(self: Stream) -> None:
        signal.raise_signal(number)
        await drain(self)

    monkeypatch.setattr(Stream, "drain", interrupted)
    for image in (new, old):
        answer = command("mkfs", "-f", "-d", source, image)
        assert (answer.code, answer.err) == (128 + number, "minixfs mkfs: interrupted\n")
    assert not new.exists()
    assert old.read_bytes()[:4096] == bytes(4096)


def test_quiet_and_verbose(source: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    assert command("mkfs", "-q", "-d", source, image).out == b""
    assert command("mkfs", "-f", "-d", source, image).out.endswith(b"inodes; holds 5 files\n")
    assert b"  free zones: 0\n" in command("mkfs", "-f", "-v", "-d", source, image).out


def test_a_tree_goes_through_image_and_tar_and_comes_out_identical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No sockets: tar has no words for them."""
    if os.geteuid():
        pytest.skip("needs root, to give files away")
    source, first, carried, second = (tmp_path / name for name in ("source", "first", "carried.tar", "second"))
    source.mkdir()
    tree.populate(source, 5, 60, big=2 << 20)
    for path, found in tree.snapshot(source).items():
        if found.kind == "socket":
            os.unlink(os.path.join(os.fsencode(source), path))
    made("-d", source, first)
    assert command("tar", "-cf", carried, first).code == 0
    made("-d", carried, second)
    differences = command("diff", second, source)
    assert (differences.code, differences.out) == (0, b"")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))
    made("-f", "-d", source, first)
    made("-f", "-d", carried, second)
    assert first.read_bytes() == second.read_bytes()
