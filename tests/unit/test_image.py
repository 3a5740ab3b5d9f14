"""`minixfs.open` and `Image`: the twins of `os`, what is answered, which errors, and what is on the disk in the end."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import minixfs
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.image.image import Image
from tests.support.images import disk, new_image, verify_image
from tests.support.mounts import environment
from tests.support.volumes import KINDS, fresh, verify


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    path = new_image(tmp_path / "image")
    yield path
    verify_image(path)


@pytest.fixture
def image(path: Path) -> Iterator[Image]:
    with minixfs.open(path, "r+") as image:
        image.makedirs("/a/b/c")
        image.write_text("/a/text", "one\ntwo\n")
        image.symlink("/a/text", "/absolute")
        image.symlink("text", "/a/relative")
        image.symlink("../a", "/a/around")
        image.symlink("nowhere", "/lost")
        yield image


def test_the_import_alone_loads_nothing() -> None:
    program = (
        "import sys; before = set(sys.modules); import minixfs; "
        "assert set(sys.modules) - before <= {'minixfs', '__future__'}, set(sys.modules) - before; "
        "assert set(minixfs.__all__) <= set(dir(minixfs)); assert minixfs.__version__; "
        "from minixfs import *; assert open is minixfs.open; "
        "assert not {'trio', 'pyfuse3', 'numpy', 'fsspec', 'click'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], env=environment(), check=True, timeout=60)


def test_every_kind_of_volume_keeps_what_is_written() -> None:
    for kind in KINDS.values():
        device = fresh(kind)
        with Image("ram", "r+", device=device) as image:
            image.mkdir("/d")
            image.write_bytes("/d/f", b"data" * 5000)
        with Image("ram", device=device) as image:
            assert image.listdir("/d") == ["f"]
            assert image.read_bytes("/d/f") == b"data" * 5000
        verify(device, peer=kind.for_fsck_minix)


def test_partitions_and_offsets(tmp_path: Path) -> None:
    whole = disk(tmp_path / "disk", new_image(tmp_path / "part").read_bytes())
    for arguments in ((f"{whole}:p0",), (f"{whole}@@1M",)):
        with minixfs.open(*arguments) as image:
            assert image.listdir() == []
    for options in ({"partition": "p0"}, {"offset": 1 << 20}):
        minixfs.open(whole, **options).close()  # type: ignore[arg-type]
    with pytest.raises(minixfs.MinixFsError, match=r"choose one: .*disk:p0"):
        minixfs.open(whole)


def test_what_cannot_be_opened_leaves_nothing_locked(path: Path) -> None:
    with pytest.raises(minixfs.MinixFsError, match="there is no"):
        minixfs.open(path.with_name("none"))
    with pytest.raises(ValueError, match="'r' or"):
        minixfs.open(path, "w")
    with minixfs.open(path) as image:
        minixfs.open(path).close()
        with pytest.raises(minixfs.MinixFsError, match="in use by this process"):
            minixfs.open(path, "r+")
        with pytest.raises(OSError, match="Read-only") as caught:
            image.mkdir("/x")
        assert caught.value.errno == errno.EROFS
    minixfs.open(path, "r+").close()


def test_answers_are_text_or_bytes_as_the_question(image: Image) -> None:
    assert image.listdir("/a") == ["around", "b", "relative", "text"]
    assert image.listdir(b"/a") == [b"around", b"b", b"relative", b"text"]
    assert image.readlink("/absolute") == "/a/text"
    assert image.readlink(b"a/relative") == b"text"
    assert [entry.path for entry in image.scandir(b"/a/b")] == [b"/a/b/c"]
    assert list(image.walk(b"/a/b")) == [(b"/a/b", [b"c"], []), (b"/a/b/c", [], [])]
    image.write_bytes(b"/\xff", b"")
    assert "\udcff" in image.listdir()
    assert image.exists("/\udcff")


def test_attributes_one_by_one_and_of_a_whole_directory(image: Image) -> None:
    entries = {entry.name: entry for entry in image.scandir("/a")}
    for name, entry in entries.items():
        assert entry.stat(follow_symlinks=False) == image.lstat(f"/a/{name}")
        assert entry.stat() == image.stat(f"/a/{name}")
        assert entry.inode() == image.lstat(f"/a/{name}").st_ino
        assert os.fspath(entry) == f"/a/{name}"
    assert [name for name, entry in entries.items() if entry.is_dir()] == ["around", "b"]
    assert [name for name, entry in entries.items() if entry.is_dir(follow_symlinks=False)] == ["b"]
    assert [name for name, entry in entries.items() if entry.is_file()] == ["relative", "text"]
    assert [name for name, entry in entries.items() if entry.is_symlink()] == ["around", "relative"]
    lost = next(entry for entry in image.scandir() if entry.name == "lost")
    assert not lost.is_file()
    assert image.lexists("/lost")
    assert not image.exists("/lost")
    assert not image.isdir("/a/text/x")
    usage = image.statvfs()
    assert usage.f_namemax == 60
    assert 0 < usage.f_bfree < usage.f_blocks


def test_changes_of_attributes(image: Image) -> None:
    image.chmod("/a/text", 0o640)
    image.chown("/a/text", 7, -1)
    image.utime("/a/text", (1.5e9, 1.25e9))
    found = image.stat("/a/text")
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o640, 7, 0)
    assert (found.st_atime, found.st_mtime_ns) == (1.5e9, 1_250_000_000 * 10**9)
    image.chown("/absolute", 5, 5, follow_symlinks=False)
    assert image.lstat("/absolute").st_uid == 5
    image.mknod("/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    assert image.stat("/null").st_rdev == os.makedev(1, 3)
    with pytest.raises(OSError, match="does not fit"):
        image.mknod("/big", stat.S_IFCHR, os.makedev(300, 1))


def test_new_files_grant_what_the_umask_lets_them(path: Path) -> None:
    with minixfs.open(path, "r+") as image:
        image.mkdir("/d")
        image.write_bytes("/f", b"")
        assert (image.stat("/d").st_mode & 0o777, image.stat("/f").st_mode & 0o777) == (0o755, 0o644)
    with minixfs.open(path, "r+", umask=0o077) as image:
        image.makedirs("/e/f")
        assert image.stat("/e/f").st_mode & 0o777 == 0o700


def test_names_are_made_moved_and_taken_away(image: Image) -> None:
    image.rename("/a/text", "/a/b/moved")
    image.link("/a/b/moved", "/second")
    assert image.stat("/second").st_nlink == 2
    image.remove("/second")
    image.rmdir("/a/b/c")
    image.makedirs("/a/b/c/d", exist_ok=True)
    image.makedirs("/a/b/c/d", exist_ok=True)
    with pytest.raises(FileExistsError):
        image.makedirs("/a/b/c/d")
    with pytest.raises(OSError, match="not empty"):
        image.rmdir("/a/b")
    with pytest.raises(PermissionError):
        image.remove("/a/b")


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda image: image.stat("/nope/x"), FileNotFoundError),
        (lambda image: image.listdir("/a/text"), NotADirectoryError),
        (lambda image: image.scandir("/nope"), FileNotFoundError),
        (lambda image: image.mkdir("/a"), FileExistsError),
        (lambda image: image.open("/a"), IsADirectoryError),
        (lambda image: image.open("/a", "w"), IsADirectoryError),
        (lambda image: image.open("/nope"), FileNotFoundError),
        (lambda image: image.open("/a/text", "x"), FileExistsError),
        (lambda image: image.read_bytes("/a"), IsADirectoryError),
        (lambda image: image.readlink("/a/text"), OSError),
    ],
)
def test_errors_are_those_of_os_and_name_the_file(image: Image, call: Callable[[Image], object], kind: type) -> None:
    with pytest.raises(kind) as caught:
        call(image)
    assert caught.value.filename.startswith(f"{image.spec}:/")


def test_a_null_byte_in_a_path_is_refused(image: Image) -> None:
    with pytest.raises(ValueError, match="null byte"):
        image.write_bytes("/a\0b", b"")


def test_paths_of_any_depth(image: Image) -> None:
    deep = "/" + "/".join(["d" * 50] * 40)  # fsck.minix follows no more than 50
    image.makedirs(deep)
    image.write_bytes(f"{deep}/file", b"deep")
    image.symlink(deep[: 51 * 17], "/shortcut")
    image.rename(f"{deep}/file", f"{deep}/moved")
    image.link(f"{deep}/moved", f"{deep}/twin")
    with image.open(f"{deep}/moved", "ab") as file:
        file.write(b"er")
    assert image.read_bytes(f"{deep}/twin") == b"deeper"
    assert max(len(directory) for directory, _, _ in image.walk()) == len(deep)
    assert image.read_bytes(deep + "/.." * 40 + deep + "/moved") == b"deeper"
    assert image.isdir("/shortcut" + deep[51 * 17 :] + "/.")


def test_links_that_lead_round_end(image: Image) -> None:
    image.symlink("/b", "/a/x")
    image.symlink("/a/x", "/b")
    with pytest.raises(OSError, match="symbolic links") as caught:
        image.stat("/b")
    assert caught.value.errno == errno.ELOOP


def test_what_has_no_names_lives_while_it_is_open(image: Image) -> None:
    free = image.statvfs().f_ffree
    reader = image.open("/a/text")
    writer = image.open("/gone", "w+b")
    image.remove("/a/text")
    image.remove("/gone")
    writer.write(b"still here")
    writer.seek(0)
    assert reader.read() == "one\ntwo\n"
    assert writer.read() == b"still here"
    reader.close()
    writer.close()
    assert image.statvfs().f_ffree == free + 1


def test_closing_the_image_closes_its_files_and_keeps_what_they_had(path: Path) -> None:
    image = minixfs.open(path, "r+")
    binary, text = image.open("/binary", "wb"), image.open("/text", "w")
    binary.write(b"in a buffer")
    text.write("in two buffers")
    reader = image.open("/binary", "rb")
    directory = image.open("/unlinked", "w")
    image.remove("/unlinked")
    image.close()
    image.close()
    assert (binary.closed, text.closed, directory.closed) == (True, True, True)
    with pytest.raises(ValueError, match="closed"):
        reader.read()
    reader.close()
    for call in (image.listdir, image.sync, lambda: image.open("/text"), lambda: image.mkdir("/x")):
        with pytest.raises(ValueError, match="the image is closed"):
            call()
    with minixfs.open(path) as image:
        assert (image.read_bytes("/binary"), image.read_text("/text")) == (b"in a buffer", "in two buffers")


def test_a_forgotten_image_is_closed_with_a_warning(path: Path) -> None:
    image = minixfs.open(path, "r+")
    image.open("/f", "w").write("kept")
    with pytest.warns(ResourceWarning, match="unclosed image"):
        image.__del__()
    with minixfs.open(path) as image:
        assert image.read_text("/f") == "kept"


def test_a_program_that_ends_closes_its_images(path: Path) -> None:
    program = f"import minixfs; image = minixfs.open({str(path)!r}, 'r+'); image.open('/f', 'w').write('kept')"
    subprocess.run([sys.executable, "-c", program], env=environment(), check=True, timeout=60)
    with minixfs.open(path) as image:
        assert image.read_text("/f") == "kept"


def test_files_that_were_forgotten_let_go(path: Path) -> None:
    with minixfs.open(path, "r+") as image, warnings.catch_warnings():
        image.write_bytes("/f", b"x" * 5000)
        free = image.statvfs().f_bfree
        for _ in range(300):  # more than MINIX has descriptors
            image.open("/f", "rb").read(1)
        image.remove("/f")
        assert image.statvfs().f_bfree == free + 5


def test_a_full_volume_is_an_error_and_no_damage(path: Path) -> None:
    with minixfs.open(path, "r+") as image:
        with pytest.raises(OSError, match="No space") as caught:
            image.write_bytes("/big", bytes(8 << 20))
        assert caught.value.errno == errno.ENOSPC
        image.remove("/big")
        image.write_bytes("/small", b"fits")


class Failing(RamDisk):
    """Writes fail once `broken` is set, as on a host without space."""

    broken = False

    async def write(self, offset: int, buffers: object) -> int:
        if self.broken:
            raise minixfs.errors.DeviceError(errno.ENOSPC, "the host is full")
        return await super().write(offset, buffers)  # type: ignore[arg-type]


def test_a_host_that_is_full_shows_when_the_image_is_closed() -> None:
    device = Failing(fresh(KINDS["V3-1K"]).snapshot())
    image = Image("ram", "r+", device=device)
    image.mkdir("/d")
    device.broken = True
    with pytest.raises(OSError, match="the host is full") as caught:
        image.close()
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "ram")
    assert image.closed
    image.close()
