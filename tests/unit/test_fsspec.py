"""Images for fsspec: its own tests of file systems, chained URLs, and the libraries that are made of it."""

from __future__ import annotations

import gc
import io
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.tests import abstract

import minixfs
from minixfs.image.filesystem import MinixFileSystem
from tests.support.images import disk, new_image, verify_image


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Path]:
    path = new_image(tmp_path / "image")
    yield path
    verify_image(path)


@pytest.fixture
def filled(image: Path) -> Path:
    with minixfs.open(image, "r+") as files:
        files.makedirs("/data/sub")
        files.write_text("/data/table.csv", "name,size\none,1\ntwo,2\n")
        files.write_bytes("/data/noise", bytes(range(256)) * 4096)
        files.symlink("table.csv", "/data/link")
        files.symlink("sub", "/data/way")
        files.symlink("nowhere", "/data/lost")
    return image


class Fixtures(abstract.AbstractFixtures):
    """One image for each class: every test removes what it made."""

    @pytest.fixture(scope="class")
    @classmethod
    def fs(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinixFileSystem]:
        image = new_image(tmp_path_factory.mktemp("fsspec") / "image")
        fs = MinixFileSystem(str(image), writable=True, auto_mkdir=True)
        fs.mkdir("/tests")
        yield fs
        fs.close()
        verify_image(image)

    @pytest.fixture
    def fs_path(self) -> str:
        return "/tests"


class TestCopy(abstract.AbstractCopyTests, Fixtures):
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):
    pass


def test_a_chained_url_reads_a_local_image(filled: Path) -> None:
    with fsspec.open(f"minixfs://data/table.csv::file://{filled}", "rt") as file:
        assert file.readline() == "name,size\n"
    with fsspec.open(f"minixfs://data/table.csv::{filled}") as file:
        assert file.read(4) == b"name"


def test_an_image_on_another_file_system_is_read_piece_by_piece(filled: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/images/disk.img", filled.read_bytes())
    try:
        with fsspec.open("minixfs://data/noise::memory://images/disk.img") as file:
            file.seek(300_000)
            assert file.read(3) == bytes([300_000 % 256, 300_001 % 256, 300_002 % 256])
        fs = fsspec.filesystem("minixfs", fo="images/disk.img", target_protocol="memory")
        assert fs.find("/") == ["/data/link", "/data/lost", "/data/noise", "/data/table.csv", "/data/way"]
        with pytest.raises(OSError, match="opened for reading"):
            fs.pipe("/data/new", b"")
        with pytest.raises(ValueError, match="local file"):
            fsspec.filesystem("minixfs", fo="memory://images/disk.img", writable=True)
    finally:
        memory.rm("/images", recursive=True)


def test_an_image_within_an_image(filled: Path, tmp_path: Path) -> None:
    outer = new_image(tmp_path / "outer", 16 << 20)
    with minixfs.open(outer, "r+") as files:
        files.write_bytes("/inner.img", filled.read_bytes())
    with fsspec.open(f"minixfs://data/table.csv::minixfs://inner.img::file://{outer}") as file:
        assert file.read(4) == b"name"


def test_any_file_object_will_do(filled: Path) -> None:
    fs = MinixFileSystem(io.BytesIO(filled.read_bytes()))
    assert fs.cat("/data/table.csv").startswith(b"name")


@pytest.mark.parametrize("where", ["file", "memory"])
def test_parts_of_a_disk(filled: Path, tmp_path: Path, where: str) -> None:
    whole = disk(tmp_path / "disk", filled.read_bytes())
    url = f"file://{whole}"
    if where == "memory":
        url = "memory://disk"
        fsspec.filesystem("memory").pipe("/disk", whole.read_bytes())
    for options in ({"part": "p0"}, {"offset": 1 << 20}):
        assert fsspec.filesystem("minixfs", fo=url, **options).isfile("/data/table.csv")
    with pytest.raises(OSError, match=r"holds partitions, choose one: .*:p0"):
        fsspec.filesystem("minixfs", fo=url)
    with pytest.raises(OSError, match="has no partition p3"):
        fsspec.filesystem("minixfs", fo=url, part="p3")
    if where == "memory":
        fsspec.filesystem("memory").rm("/disk")


def test_what_is_known_of_files(filled: Path) -> None:
    fs = MinixFileSystem(filled)
    known = {info["name"]: info for info in fs.ls("/data")}
    assert {name: info["type"] for name, info in known.items()} == {
        "/data/link": "file", "/data/lost": "link", "/data/noise": "file", "/data/sub": "directory",
        "/data/table.csv": "file", "/data/way": "link",
    }  # fmt: skip
    for name, info in known.items():
        assert info == fs.info(f"minixfs:/{name}")
    assert known["/data/link"]["destination"] == "table.csv"
    assert known["/data/link"]["size"] == known["/data/table.csv"]["size"] == 22
    assert fs.isdir("data/way/")
    assert fs.ls("/data/table.csv", detail=False) == ["/data/table.csv"]
    assert fs.modified("/data/noise").timestamp() == known["/data/noise"]["mtime"]
    with pytest.raises(FileNotFoundError):
        fs.info("/nope")


def test_a_tree_is_moved_and_removed_but_not_what_its_links_lead_to(filled: Path) -> None:
    fs = MinixFileSystem(filled, writable=True)
    fs.pipe("/data/sub/kept", b"1")
    fs.mkdir("/other/deep")
    fs.mv("/data/way", "/other")
    fs.mv("/data/table.csv", "/other/deep/table")
    assert fs.islink("/other/way")
    fs.rm("/other", recursive=True)
    assert fs.find("/") == ["/data/link", "/data/lost", "/data/noise", "/data/sub/kept"]


def test_file_systems_share_a_local_image_and_let_it_go_with_the_last(filled: Path) -> None:
    one = MinixFileSystem(filled, writable=True)
    two = MinixFileSystem(filled)
    one.pipe("/new", b"data")
    assert two.cat("/new") == b"data"
    with pytest.raises(OSError, match="opened for reading"):
        two.rm("/new")
    file = two.open("/new")
    one.close()
    with pytest.raises(ValueError, match="closed"):
        one.ls("/")
    del one, two
    assert file.read() == b"data"
    with pytest.raises(minixfs.MinixFsError, match="in use by this process"):
        minixfs.open(filled, "r+")
    file.close()
    minixfs.open(filled, "r+").close()


def test_what_cannot_be_opened_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no"):
        MinixFileSystem(tmp_path / "none")
    (tmp_path / "noise").write_bytes(os.urandom(1 << 16))
    with pytest.raises(OSError, match="no MINIX file system"):
        MinixFileSystem(tmp_path / "noise")
    with pytest.raises(ValueError, match="name the image"):
        fsspec.open("minixfs://etc/passwd").open()


def test_it_can_be_sent_to_another_process(filled: Path) -> None:
    fs = pickle.loads(pickle.dumps(MinixFileSystem(str(filled))))
    assert fs.cat("/data/table.csv").startswith(b"name")
    assert fsspec.AbstractFileSystem.from_json(fs.to_json()).exists("/data")


def test_universal_pathlib(filled: Path) -> None:
    upath = pytest.importorskip("upath", reason="universal-pathlib is not installed")
    path = upath.UPath(f"minixfs://data::file://{filled}")
    assert sorted(item.name for item in path.iterdir()) == ["link", "lost", "noise", "sub", "table.csv", "way"]
    assert (path / "table.csv").read_text().startswith("name")
    assert (path / "sub").is_dir()
    assert not (path / "nope").exists()
    del path
    gc.collect()
    written = upath.UPath("minixfs://data/new.txt", fo=str(filled), writable=True)
    written.write_text("text")
    assert written.read_text() == "text"
    assert [item.name for item in written.parent.glob("*.txt")] == ["new.txt"]
    written.unlink()
    assert not written.exists()


def test_pandas(filled: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table = pandas.read_csv(f"minixfs://data/table.csv::file://{filled}")
    assert list(table["size"]) == [1, 2]
    table.to_csv(f"minixfs://data/new.csv::file://{filled}", storage_options={"writable": True}, index=False)
    assert pandas.read_csv(f"minixfs://data/new.csv::file://{filled}").equals(table)
