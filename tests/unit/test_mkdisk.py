"""Whole disks: which sectors belong to whom, and tables that everybody reads the same way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from minixfs.errors import InvalidArgument, UsageError
from minixfs.fsck.mfs.check import check
from minixfs.hw.blockdev.open import root_of
from minixfs.hw.blockdev.partition import SECTOR, scan
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.hw.blockdev.table import Slot, sector
from minixfs.hw.runtime import run
from minixfs.mkfs.disk import Disk, Filled, furnished, make, plan
from minixfs.mkfs.mfs import Options, contents_for, limits_for
from minixfs.mkfs.populate import gather
from minixfs.trees.entry import Entry
from tests.support.command import command
from tests.support.peers import fsck_minix, require

MIB = 1 << 20


TOP = Entry(b"", 0o40755)


def filled(*entries: Entry, **settings: int) -> Filled:
    options = Options(inodes=64, mtime=7, **settings)
    return Filled(options, contents_for(gather(entries or [TOP], limits_for(options)), options))


def made(disk: Disk, device: RamDisk | None = None) -> RamDisk:
    device = device or RamDisk(disk.size)
    run(make(device, disk, {name: filled() for name, slot in disk.parts.items() if slot.count}))
    return device


def layout_of(disk: Disk) -> dict[str, tuple[int, int, bool]]:
    """What a reader of the tables finds: first sector, sectors, active."""
    return {p.name: (p.start // SECTOR, p.size // SECTOR, p.active) for p in run(scan(made(disk)))}


def test_the_installed_layout() -> None:
    disk = plan("installed", 70 * MIB, {})
    rest = 70 * 2048 - 2080 - 131072
    home = rest // 5 // 8 * 8
    assert layout_of(disk) == {
        "p0": (2048, 32 + 131072 + rest, True),
        "p0s0": (2080, 131072, True),
        "p0s1": (2080 + 131072, home, False),
        "p0s2": (2080 + 131072 + home, rest - home, False),
    }
    assert disk.size == 70 * MIB


def test_the_release_layout() -> None:
    disk = plan("release", None, {"root": 5 * MIB, "usr": 3 * MIB + 1})
    assert layout_of(disk) == {
        "p0": (1, 1 + 10240 + 6145, True),
        "p0s0": (2, 10240, True),
        "p0s2": (10242, 6145, False),
    }
    assert disk.size == 9 * MIB  # the next multiple of 64 * 32 sectors


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({"root": 8 * MIB, "home": 4 * MIB}, [16384, 8192, 38880]),
        ({"root": 8 * MIB, "usr": 4 * MIB}, [16384, 38880, 8192]),
        ({"root": 8 * MIB, "home": 0}, [16384, 0, 47072]),
        ({"root": 8 * MIB, "home": 2 * MIB, "usr": 1 * MIB}, [16384, 4096, 2048]),
        ({"root": 8 * MIB, "home": 0, "usr": 0}, [16384, 0, 0]),
    ],
)
def test_a_part_without_a_size_gets_the_rest(wishes: dict[str, int], expected: list[int]) -> None:
    disk = plan("installed", 32 * MIB, wishes)
    assert [slot.count for slot in disk.parts.values()] == expected
    first = 2080
    for slot in disk.parts.values():
        assert slot.first == (first if slot.count else 0)
        first += slot.count
    assert disk.primary == Slot(2048, first - 2048, active=True)


@pytest.mark.parametrize(
    ("layout", "size", "wishes", "complaint"),
    [
        ("installed", 64 * MIB, {}, "the parts need 65536 KiB, and nothing is left for /usr; the disk has 64496 KiB"),
        ("installed", 1, {}, "the disk has"),
        ("installed", None, {"home": MIB}, "give the size of the disk"),
        ("installed", 64 * MIB, {"root": 0}, "needs a root"),
        ("installed", 3 << 40, {}, "2 TiB"),
        ("release", 128 * MIB, {"home": MIB}, "has no /home"),
    ],
)
def test_what_cannot_be(layout: str, size: int | None, wishes: dict[str, int], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        plan(layout, size, wishes)
    assert caught.value.exit_code == 16


def test_a_release_disk_is_never_larger_than_the_device() -> None:
    disk = plan("release", 100 * MIB - 1, {})
    assert disk.size == 99 * MIB
    assert disk.primary.end <= 99 * 2048


def test_a_table_does_not_reach_too_far() -> None:
    with pytest.raises(InvalidArgument):
        sector([Slot(0xFFFFFFF0, 0x10)])
    with pytest.raises(InvalidArgument):
        sector([Slot(1, 1)] * 5)


def test_nothing_is_left_of_what_the_disk_held() -> None:
    disk = plan("installed", 4 * MIB, {"root": MIB})
    device = RamDisk(b"\xff" * disk.size)
    made(disk, device)
    content = device.snapshot()
    start = 2048 * SECTOR
    assert content[:446] + content[512:start] == bytes(start - 66)
    assert content[start : start + 446] + content[start + 512 : start + 32 * SECTOR] == bytes(32 * SECTOR - 66)
    for name, slot in disk.parts.items():
        volume = RamDisk(content[slot.first * SECTOR : slot.end * SECTOR])
        assert run(check(volume)).findings == [], name


@pytest.mark.parametrize(("layout", "size"), [("installed", 300 * MIB), ("release", 100 * MIB), ("installed", 9 << 30)])
def test_sfdisk_reads_the_same(tmp_path: Path, layout: str, size: int) -> None:
    """The primary table, and the table of sub-partitions, which sfdisk takes for that of a disk of its own."""
    require("sfdisk")
    disk = plan(layout, size, {})
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.write(sector([disk.primary]))
        file.truncate(disk.size)
    [found] = sfdisk(image)
    assert (found["start"], found["size"]) == (disk.primary.first, disk.primary.count)
    assert (found["type"], found["bootable"]) == ("81", True)
    with image.open("r+b") as file:
        file.write(sector(list(disk.parts.values())))
    used = [slot for slot in disk.parts.values() if slot.count]
    assert [(part["start"], part["size"]) for part in sfdisk(image)] == [(slot.first, slot.count) for slot in used]


def sfdisk(image: Path) -> list[dict[str, object]]:
    program = shutil.which("sfdisk", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert program
    done = subprocess.run([program, "--json", image], capture_output=True, text=True, timeout=20, check=True)
    assert done.stderr == ""
    partitions: list[dict[str, object]] = json.loads(done.stdout)["partitiontable"]["partitions"]
    return partitions


def test_the_root_of_a_disk_is_found(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    image.write_bytes(made(plan("installed", 4 * MIB, {"root": 1 * MIB})).snapshot())
    assert run(root_of(str(image))) == "p0s0"
    assert run(root_of(f"{image}:p0s2")) is None
    image.write_bytes(bytes(4096))
    assert run(root_of(str(image))) is None


def test_nothing_is_written_when_a_part_is_too_small() -> None:
    disk = plan("installed", 4 * MIB, {"root": MIB, "home": 16384})
    device = RamDisk(b"\xff" * disk.size)
    with pytest.raises(UsageError, match=r"^/home: "):
        made(disk, device)
    assert device.snapshot() == b"\xff" * disk.size


def test_a_failure_on_the_way_leaves_no_disk() -> None:
    disk = plan("installed", 4 * MIB, {"root": MIB})

    def broken() -> Iterator[tuple[int, bytes]]:
        raise OSError(5, "Input/output error", "file")

    parts = {name: filled() for name in disk.parts}
    parts["usr"] = filled(TOP, Entry(b"file", 0o100644, size=1, content=broken))
    device = made(disk)
    with pytest.raises(OSError, match="file"):
        run(make(device, disk, parts))
    assert run(scan(device)) == []


# ---- the fstab -----------------------------------------------------------------------------------------------------


def test_an_empty_root_is_furnished() -> None:
    found = {entry.path: entry for entry in furnished([TOP], ["root", "usr"], 5)}
    assert sorted(found) == [b"", b"etc", b"etc/fstab", b"usr"]
    table = found[b"etc/fstab"]
    assert table.content is not None
    assert list(table.content()) == [(0, b"/dev/c0d0p0s0\t/\tmfs\trw\t0\t1\n/dev/c0d0p0s2\t/usr\tmfs\trw\t0\t2\n")]
    assert (table.mode, table.mtime, table.size) == (0o100644, 5, 57)


def test_a_root_keeps_its_own_but_for_the_fstab() -> None:
    own = [TOP, Entry(b"etc", 0o40700, 3), Entry(b"etc/fstab", 0o100600, 3), Entry(b"etc/rc", 0o100600, 3)]
    found = {entry.path: entry for entry in furnished(own, ["root"], 5)}
    assert sorted(found) == [b"", b"etc", b"etc/fstab", b"etc/rc"]
    assert (found[b"etc"].uid, found[b"etc/rc"].uid, found[b"etc/fstab"].uid) == (3, 3, 0)


def test_a_mount_point_must_be_a_directory() -> None:
    with pytest.raises(UsageError, match="must be a directory"):
        list(furnished([TOP, Entry(b"usr", 0o120777, target=b"x", origin="t/usr")], ["root", "usr"], 5))


# ---- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "top" / "etc").mkdir(parents=True)
    (tmp_path / "top" / "file").write_bytes(b"x" * 10000)
    (tmp_path / "p").write_text("boot\n0 0\nd--700 8 9\nfile ---640 3 4 top/file\n$\n")
    return tmp_path


def test_what_was_made_is_told_and_found_again(place: Path) -> None:
    words = ["--root-size", "1M", "--home-size", "600K", "-B", "1K", "--root", "top", "--usr", "p"]
    answer = command("mkdisk", "disk", "4M", *words, "--json")
    assert (answer.code, answer.err) == (0, "")
    told = json.loads(answer.out)
    parts = {part["name"]: part for part in told["partitions"]}
    assert {name: (part["directory"], part["block_size"], part["files"]) for name, part in parts.items()} == {
        "p0s0": ("/", 4096, 3),
        "p0s1": ("/home", 1024, 1),
        "p0s2": ("/usr", 1024, 2),
    }
    info = json.loads(command("info", "--json", "disk").out)
    found = {part["name"]: (part["start"], part["size"]) for part in info["partitions"][1:]}
    assert found == {name: (part["start"], part["size"]) for name, part in parts.items()}
    assert command("ls", "-l", "disk:p0s2:/").lines[-1].split()[:5] == ["-rw-r-----", "1", "3", "4", "10000"]
    assert command("cat", "disk:p0s0:/file").out == b"x" * 10000


def test_the_same_twice(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    words = ["--root-size", "1M", "--root", "top", "--fstab", "--usr", "p"]
    for name in ("one", "two"):
        assert command("mkdisk", name, "3M", *words).code == 0
    assert (place / "one").read_bytes() == (place / "two").read_bytes()
    assert command("mkdisk", "three", "3M", "--mtime", "5", "--owner", "7:8", *words).code == 0
    rows = command("ls", "-lR", "three:p0s0:/").lines
    assert {tuple(row.split()[2:4]) for row in rows if row[:1] in ("d", "-")} == {("7", "8")}


def test_nothing_is_overwritten_unasked(place: Path) -> None:
    words = ["--root-size", "1M"]
    assert command("mkdisk", "disk", "4M", *words).code == 0
    before = (place / "disk").read_bytes()
    answer = command("mkdisk", "disk", *words)
    assert (answer.code, answer.err) == (8, "minixfs mkdisk: disk holds partitions; use -f to overwrite it\n")
    assert (place / "disk").read_bytes() == before
    assert command("mkdisk", "-f", "-q", "disk", *words, "--layout", "release").out == b""
    assert [part.name for part in run(scan(RamDisk((place / "disk").read_bytes())))] == ["p0", "p0s0", "p0s2"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["none"], "give the size of the disk"),
        (["disk", "5M", "--root-size", "6M"], "the parts need 6144 KiB"),
        (["disk", "5M", "--home-size", "0", "--root-size", "1M", "--home", "top"], "there is no /home on this disk"),
        (["disk", "5M", "--root-size", "1X"], "'1X' is not a number of bytes"),
        (["disk", "5M", "--root-size", "1M", "--layout", "release", "--home-size", "1M"], "has no /home"),
        (["top/disk", "5M", "--root", "top"], "top/disk is in top itself"),
        (["disk", "5M", "--root-size", "8K"], "/: "),
        (["disk", "5M", "--root-size", "1M", "--usr", "top", "--usr-size", "20K"], "/usr: "),
    ],
)
def test_what_the_command_refuses(place: Path, words: list[str], complaint: str) -> None:
    answer = command("mkdisk", *words)
    assert answer.code in (8, 16)
    assert complaint in answer.err
    assert not (place / "disk").exists()


def test_without_a_size_the_parts_fit_their_contents(place: Path) -> None:
    assert command("mkdisk", "disk", "--root", "top", "--home-size", "0", "--usr", "p").code == 0
    assert (
        command("mkdisk", "roomy", "--root", "top", "--home-size", "0", "--usr", "p", "--usr-size", "fit+300%").code
        == 0
    )
    one, other = (place / "disk").stat().st_size, (place / "roomy").stat().st_size
    assert 2080 * SECTOR < one < other < 2 * MIB
    before = (place / "disk").read_bytes()
    assert (
        command("mkdisk", "-f", "roomy", "--root", "top", "--home-size", "0", "--usr", "p", "--mtime", "@5").code == 0
    )
    assert (place / "roomy").stat().st_size == len(before)


@pytest.mark.parametrize(
    "words",
    [
        ["info"],
        ["ls"],
        ["stat", "-f"],
        ["mkdir", "{}:/a"],
        ["touch", "{}:/b"],
        ["find"],
        ["map"],
        ["dump", "{}", "superblock"],
        ["fsck", "-n"],
        ["mkfs", "-f"],
    ],
)
def test_every_part_is_an_image_for_every_command(place: Path, words: list[str]) -> None:
    assert command("mkdisk", "disk", "5M", "--root-size", "1M").code == 0
    for name, others in (("p0s0", "p0s2"), ("p0s2", "p0s0")):
        part = f"disk:{name}"
        line = [word.format(part) for word in words]
        answer = command(*(line if line != words else [*line, part]))
        assert (answer.code, answer.err) == (0, "")
        assert command("fsck", "-n", "-f", f"disk:{others}").code == 0


def test_standard_input_fills_one_part(place: Path) -> None:
    answer = command("mkdisk", "disk", "5M", "--root", "-", "--usr", "-")
    assert (answer.code, answer.err) == (16, "minixfs mkdisk: standard input can fill one part alone\n")


def test_util_linux_finds_the_parts_clean(place: Path) -> None:
    require("fsck.minix")
    assert command("mkdisk", "disk", "5M", "--root-size", "1M", "-B", "1K", "--home", "top", "--usr", "p").code == 0
    content = (place / "disk").read_bytes()
    for partition in run(scan(RamDisk(content)))[2:]:
        (place / "part").write_bytes(content[partition.start :][: partition.size])
        verdict = fsck_minix(place / "part")
        assert verdict.clean, verdict.output
