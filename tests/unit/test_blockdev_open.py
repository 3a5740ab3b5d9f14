"""From what a user typed to an open device, and what is said when that does not work."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minixfs.errors import Busy, DeviceError, UsageError
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.blockdev.image import ImageDevice
from minixfs.hw.blockdev.open import open_device, parse_size
from minixfs.hw.runtime import INLINE, run

from .test_partition import table

SECTORS = 256
WHOLE = SECTORS * 512


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A disk with p0 (p0s0 at sector 2, p0s2 at 22) and p1; each sector is filled with its number."""
    content = bytearray(b"".join(bytes([sector]) * 512 for sector in range(SECTORS)))
    content[:512] = table((0x83, 100, 50), (0x81, 1, 60, 0x80))
    content[512:1024] = table((0x81, 2, 20, 0x80), (0, 0, 0), (0x81, 22, 30))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "disk.img"
    path.write_bytes(content)
    return path


def first_byte(device: BlockDevice) -> int:
    buffer = bytearray(1)
    assert run(device.read(0, [buffer])) == 1
    return buffer[0]


def opened(spec: str | Path, **options: Any) -> tuple[int, int]:
    """First byte, which is the number of the sector, and size of what opens."""
    device = run(open_device(spec, **options))
    try:
        return first_byte(device), device.size
    finally:
        device.close()


def open_files() -> int:
    """How many files this process has open, without those of lost objects, which may be closed at any time."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def refusal(spec: str | Path, **options: Any) -> str:
    """The message with which opening is refused; nothing stays open."""
    before = open_files()
    with pytest.raises(UsageError) as caught:
        run(open_device(spec, **options))
    assert open_files() == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def answer(value: bool) -> Callable[[BlockDevice], Any]:
    async def probe(device: BlockDevice) -> bool:
        assert device.size == WHOLE
        return value

    return probe


@pytest.mark.parametrize(
    ("spec", "options", "sector", "size"),
    [
        ("disk.img:p0s0", {}, 2, 20 * 512),
        ("disk.img:p0s2", {}, 22, 30 * 512),
        ("disk.img:p1", {}, 100, 50 * 512),
        ("disk.img", {"partition": "p1"}, 100, 50 * 512),
        ("disk.img@@51200", {}, 100, WHOLE - 51200),
        ("disk.img@@100s", {}, 100, WHOLE - 51200),
        ("disk.img@@50K", {}, 100, WHOLE - 51200),
        ("disk.img", {"offset": 51200}, 100, WHOLE - 51200),
        ("disk.img", {"offset": 51200, "size_limit": 1024}, 100, 1024),
        ("disk.img@@100s", {"size_limit": 1 << 40}, 100, WHOLE - 51200),
        ("disk.img:p1", {"size_limit": 512}, 100, 512),
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_choosing_a_part(
    image: Path, spec: str, options: dict[str, Any], sector: int, size: int, read_only: bool
) -> None:
    assert opened(spec, read_only=read_only, **options) == (sector, size)


@pytest.mark.parametrize("options", [{}, {"probe": answer(True)}, {"offset": 0}, {"size_limit": WHOLE}])
def test_the_whole(image: Path, options: dict[str, Any]) -> None:
    device = run(open_device(image, runtime=(runtime := type(INLINE)()), **options))
    assert isinstance(device, ImageDevice)
    assert (device.size, device.name, device.runtime, device.read_only) == (WHOLE, str(image), runtime, False)
    device.close()


def test_a_part_closes_its_image(image: Path) -> None:
    before = open_files()
    device = run(open_device("disk.img:p1", read_only=True))
    assert (device.name, device.read_only, device.host_cached) == ("disk.img:p1", True, True)
    device.close()
    assert open_files() == before


def test_writes_stay_in_their_part(image: Path) -> None:
    before = image.read_bytes()
    device = run(open_device("disk.img:p0s0"))
    assert run(device.write(0, [b"x" * 100_000])) == 20 * 512
    device.close()
    assert image.read_bytes() == before[:1024] + b"x" * 20 * 512 + before[22 * 512 :]


@pytest.mark.parametrize("name", ["disk.img:p0s0", "disk.img@@100s", "other:p0"])
def test_a_file_that_is_called_so_wins(image: Path, name: str) -> None:
    Path(name).write_bytes(b"\xee" * 2048)
    assert opened(name) == (0xEE, 2048)


def test_a_whole_disk_without_a_choice(image: Path) -> None:
    assert refusal("disk.img", probe=answer(False)) == (
        "disk.img holds partitions, choose one: disk.img:p0s0 (MINIX, 10.0 KiB, active), "
        "disk.img:p0s2 (MINIX, 15.0 KiB), disk.img:p1 (Linux, 25.0 KiB)"
    )


def test_a_raw_image_without_a_known_file_system_opens(image: Path) -> None:
    """Without a table there is nothing to choose; what it holds is for the caller to judge."""
    image.write_bytes(bytes(WHOLE))
    assert opened("disk.img", probe=answer(False)) == (0, WHOLE)


def test_unknown_partitions(image: Path) -> None:
    listed = "; choose one of disk.img:p0s0 (MINIX, 10.0 KiB, active), "
    for name in ("p3", "p0s1", "p9", "p0s2s1", "root", ""):
        assert refusal(f"disk.img:{name}").startswith(f"disk.img has no partition {name}{listed}")
    assert refusal("disk.img", partition="p7").startswith(f"disk.img has no partition p7{listed}")
    image.write_bytes(bytes(WHOLE))
    assert refusal("disk.img:p0") == "disk.img has no partition p0; it holds none that can be used; use disk.img alone"


def test_bad_offsets_and_limits(image: Path) -> None:
    for spec, offset in ((f"disk.img@@{WHOLE}", None), ("disk.img@@1G", None), ("disk.img", -1)):
        message = refusal(spec, offset=offset)
        assert message.endswith(f"is outside disk.img, which has {WHOLE} bytes; give a smaller one")
    assert "'1X' is not a number of bytes: write it like" in refusal("disk.img@@1X")
    for limit in (0, -5):
        assert "give a positive number" in refusal("disk.img", size_limit=limit)


def test_two_choices_at_once(image: Path) -> None:
    for spec, options in (
        ("disk.img:p0", {"partition": "p1"}),
        ("disk.img:p0", {"offset": 0}),
        ("disk.img@@0", {"offset": 0}),
        ("disk.img@@0", {"partition": "p1"}),
        ("disk.img", {"partition": "p1", "offset": 512}),
    ):
        assert "give only one" in refusal(spec, **options)


def test_what_is_not_there_or_no_image(image: Path) -> None:
    assert refusal("missing.img") == "there is no missing.img; check the name"
    assert refusal("missing.img:p0s1") == "there is no missing.img; check the name"
    assert refusal("missing.img@@1M") == "there is no missing.img; check the name"
    assert refusal("disk.img/x") == "there is no disk.img/x; check the name"
    assert refusal(image.parent).endswith("is a directory; name an image file or a block device")
    assert refusal("/dev/null") == "/dev/null is neither a file nor a block device; name one of these"
    os.mkfifo("pipe")
    assert "neither a file nor a block device" in refusal("pipe")
    Path("empty.img").touch()
    assert refusal("empty.img").startswith("empty.img is empty; give it a size first")


@pytest.mark.parametrize(
    ("number", "read_only", "readable", "message"),
    [
        (
            errno.EACCES,
            False,
            True,
            "disk.img cannot be opened for writing (Permission denied); only read it (mount: -o ro)",
        ),
        (
            errno.EROFS,
            False,
            True,
            "disk.img cannot be opened for writing (Read-only file system); only read it (mount: -o ro)",
        ),
        (errno.EACCES, False, False, "disk.img cannot be opened (Permission denied); check its permissions"),
        (errno.EACCES, True, True, "disk.img cannot be opened (Permission denied); check its permissions"),
        (errno.EBUSY, False, True, "disk.img is mounted or in use by another program; unmount it first"),
        (errno.EMFILE, False, True, "disk.img cannot be opened: Too many open files"),
    ],
)
def test_what_the_host_refuses(
    image: Path, monkeypatch: pytest.MonkeyPatch, number: int, read_only: bool, readable: bool, message: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        patch.setattr(os, "access", lambda *_: readable)
        with pytest.raises(UsageError) as caught:
            run(open_device("disk.img", read_only=read_only))
    assert str(caught.value) == message


def test_an_image_is_locked_while_open(image: Path) -> None:
    with_writer = run(open_device("disk.img"))
    for read_only in (False, True):
        with pytest.raises(Busy, match=r"^disk\.img is in use by this process"):
            run(open_device("disk.img:p1", read_only=read_only))
    with_writer.close()

    readers = [run(open_device("disk.img", read_only=True)) for _ in range(2)]
    with pytest.raises(Busy):
        run(open_device("disk.img"))
    for reader in readers:
        reader.close()

    parts = [run(open_device(spec)) for spec in ("disk.img:p0s0", "disk.img:p0s2", "disk.img:p1")]
    with pytest.raises(Busy):
        run(open_device("disk.img:p0"))
    with pytest.raises(Busy):
        run(open_device("disk.img", read_only=True))
    for part in parts:
        part.close()
    assert opened("disk.img") == (0, WHOLE)


def test_the_lock_on_a_whole_image_covers_what_it_grows_by(image: Path) -> None:
    device = run(open_device("disk.img"))
    os.truncate(image, 2 * WHOLE)
    with pytest.raises(Busy):
        run(open_device("disk.img", offset=WHOLE, read_only=True))
    device.close()


def test_nothing_stays_open_when_probing_fails(image: Path) -> None:
    async def probe(device: BlockDevice) -> bool:
        raise DeviceError(errno.EIO, "bad medium")

    before = open_files()
    with pytest.raises(DeviceError, match="bad medium"):
        run(open_device("disk.img", probe=probe))
    assert open_files() == before


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("4096", 4096), ("3K", 3072), ("2m", 2 << 20), ("1G", 1 << 30), ("63s", 32256)],
)
def test_parse_size(text: str, value: int) -> None:
    assert parse_size(text) == value


@pytest.mark.parametrize("text", ["", "K", "-1", "1.5M", "1KB", "0x10", " 1", "\u0663"])
def test_parse_size_refuses(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)
