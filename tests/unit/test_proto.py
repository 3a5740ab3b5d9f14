"""MINIX prototype files: everything that one can say, whatever is wrong with one, and the way there and back."""

from __future__ import annotations

import json
import os
import random
import socket
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from minixfs.errors import UsageError
from minixfs.image.image import Image
from minixfs.trees import host, proto
from minixfs.trees.entry import Entry
from minixfs.trees.proto_text import Style, lines
from tests.support.command import command
from tests.support.peers import fsck_minix, require

HEAD = "boot\n0 0\nd--755 0 0\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a source called ``data``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").write_bytes(b"contents")
    return tmp_path


def read(text: str, **options: bool) -> proto.Prototype:
    Path("p").write_text(text)
    return proto.read("p", time=7, **options)


def entries(text: str, **options: bool) -> dict[bytes, Entry]:
    return {entry.path: entry for entry in read(text, **options)}


def data_of(entry: Entry) -> bytes:
    found = bytearray(entry.size)
    for offset, piece in entry.content() if entry.content else ():
        found[offset : offset + len(piece)] = piece
    return bytes(found)


def complaint(text: str, **options: bool) -> str:
    with pytest.raises(UsageError) as caught:
        read(text, **options)
    return str(caught.value)


def test_everything_that_a_prototype_can_say(place: Path) -> None:
    prototype = read(
        "a boot block, with more to say\n"
        "1440 200\n"
        "\t d--751 3 4\n"
        "\n"
        "usr d-g755 1 2\n"
        "    bin du-700 5 6\n"
        "        sh -ug755 0 0 data\n"
        "    $\n"
        "    link s--777 0 0 bin/sh\n"
        "    link2 l--777 0 0 ../etc\n"
        "$\n"
        "disk b--660 0 5 3 64 1440\n"
        "tty c--666 0 0 4 255\n"
        "$\n"
        " \n"
    )
    assert (prototype.blocks, prototype.inodes) == (1440, 200)
    found = list(prototype)
    assert [(e.path, oct(e.mode), e.uid, e.gid) for e in found] == [
        (b"", "0o40751", 3, 4),
        (b"disk", "0o60660", 0, 5),
        (b"tty", "0o20666", 0, 0),
        (b"usr", "0o42755", 1, 2),
        (b"usr/bin", "0o44700", 5, 6),
        (b"usr/bin/sh", "0o106755", 0, 0),
        (b"usr/link", "0o120777", 0, 0),
        (b"usr/link2", "0o120777", 0, 0),
    ]
    by_path = {entry.path: entry for entry in found}
    assert by_path[b"disk"].rdev == os.makedev(3, 64)
    assert by_path[b"tty"].rdev == os.makedev(4, 255)
    assert by_path[b"usr/link2"].target == b"../etc"
    assert by_path[b"usr/bin/sh"].origin == "p:7: /usr/bin/sh"
    assert data_of(by_path[b"usr/bin/sh"]) == b"contents"
    assert {(e.mtime, e.atime, e.ctime) for e in found} == {(7, 7, 7)}


def test_files_are_as_old_as_their_source_on_request(place: Path) -> None:
    os.utime("data", ns=(5, 1234567891))
    found = entries(HEAD + "f ---644 0 0 data\n$\n", keep_mtime=True)
    assert (found[b"f"].mtime, found[b""].mtime) == (1234567891, 7)


def test_sources_may_be_links_empty_or_the_null_device(place: Path) -> None:
    (place / "to").symlink_to("data")
    (place / "empty").touch()
    found = entries(HEAD + "a ---644 0 0 to\nb ---644 0 0 empty\nc ---644 0 0 /dev/null\n$\n")
    assert [data_of(found[name]) for name in (b"a", b"b", b"c")] == [b"contents", b"", b""]


def test_extensions(place: Path) -> None:
    text = HEAD.replace("755", "1777") + (
        "# a comment\n"
        "fifo p--600 0 0 # and another\n"
        "socket S--600 0 0\n"
        "d d--0755 0 0\n"
        "  \\044a\\040b#c ---644 8 9 data\n"
        "$\n"
        "A L--000 0 0 d/$a\\040b#c\n"
        "$\n"
    )
    found = entries(text, extensions=True)
    assert list(found) == [b"", b"A", b"d", b"d/$a b#c", b"fifo", b"socket"]
    assert found[b""].mode == stat.S_IFDIR | 0o1777
    assert stat.S_ISFIFO(found[b"fifo"].mode)
    assert stat.S_ISSOCK(found[b"socket"].mode)
    one, two = found[b"A"], found[b"d/$a b#c"]
    assert one.link == two.link is not None
    assert (one.mode, one.uid, one.gid, data_of(one)) == (0o100644, 8, 9, data_of(two))
    read(HEAD + f"{'n' * 300} s--777 0 0 x # {'word ' * 20}\n$\n", extensions=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "p:1: the file ends before the numbers"),
        ("boot\n5\n", "p:2: write the numbers of blocks and inodes"),
        ("boot\n5 x\n", "p:2: x is not a number"),
        ("boot\n5 4294967296\n", "p:2: 4294967296 is not a number from 0"),
        ("boot\n0 0\n---755 0 0 data\n$\n", "p:3: the root must be a directory"),
        (HEAD, "p:4: the file ends before the $ that ends /"),
        (HEAD + "d d--755 0 0\n$\n", "the file ends before the $ that ends /"),
        (HEAD + "$\n\nx d--755 0 0\n$\n", "p:6: there is more after the $"),
        (HEAD + "x\n$\n", "p:4: /x needs mode, user and group"),
        (HEAD + "x z--755 0 0\n$\n", "p:4: z--755 is no mode: write type"),
        (HEAD + "x ---0755 0 0 data\n$\n", "p:4: ---0755 is no mode without the extensions"),
        (HEAD + "x ---789 0 0 data\n$\n", "p:4: ---789 is no mode: "),
        (HEAD + "x p--644 0 0\n$\n", "p:4: p--644 is no mode without the extensions"),
        (HEAD + "x ---644 -1 0 data\n$\n", "p:4: -1 is not a number"),
        (HEAD + "x ---644 0 0\n$\n", "p:4: after mode, user and group comes the file"),
        (HEAD + "x ---644 0 0 data base\n$\n", "p:4: after mode, user and group comes the file"),
        (HEAD + "x ---644 0 0 none\n$\n", "p:4: none: No such file or directory"),
        (HEAD + "x ---644 0 0 .\n$\n", "p:4: . is not a regular file"),
        (HEAD + "x s--777 0 0\n$\n", "p:4: after mode, user and group comes the text of the link"),
        (HEAD + "x c--777 0 0 1\n$\n", "p:4: /x needs major and minor number"),
        (HEAD + "x c--777 0 0 1 256\n$\n", "p:4: 256 is not a number from 0 to 255"),
        (HEAD + "x d--777 0 0 y\n$\n$\n", "p:4: /x: there is nothing to say after"),
        (HEAD + "d d--755 0 0\nx s--777 0 0 a\nx s--777 0 0 b\n$\n$\n", "p:6: /d has two files called x"),
        (HEAD + ". d--755 0 0\n$\n$\n", "p:4: . cannot be the name of a file"),
        (HEAD + "a/b d--755 0 0\n$\n$\n", "p:4: a/b cannot be the name"),
        (HEAD + "$x d--755 0 0\n$\n$\n", "p:4: $x cannot be the name"),
        (HEAD + f"{'n' * 200} s--777 0 0 x\n$\n", "p:4: this line has 213 bytes"),
        (HEAD + "x s--777 0 0 1 2 3 4 5 6 7\n$\n", "p:4: this line has 11 words"),
        (HEAD + "# comment\n$\n", "p:4: /# needs mode"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(place: Path, text: str, expected: str) -> None:
    assert expected in complaint(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x L--644 0 0 y\n$\n", "there is no file /y above this line"),
        ("d d--755 0 0\n$\nx L--644 0 0 d\n$\n", "there is no file /d above this line"),
        ("x ---644 0 0 data\ny L--644 0 0 x/z\n$\n", "there is no file /x/z"),
        ("\\057 d--755 0 0\n$\n$\n", "cannot be the name"),
        ("a\\000 d--755 0 0\n$\n$\n", "no byte 0"),
        ("x ---2755 0 0 data\n$\n", "is no mode: "),
    ],
)
def test_what_is_wrong_with_extensions(place: Path, text: str, expected: str) -> None:
    assert expected in complaint(HEAD + text, extensions=True)


def test_any_bytes_are_read_or_refused(place: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    good = (HEAD + "d d--755 0 0\nx ---644 0 0 data\n$\ny L--644 0 0 d/x\nt c--666 0 0 4 0\n$\n").encode()
    for _ in range(300):
        text = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(text))
            text[at : at + chance.randrange(3)] = chance.choice([b"$", b"\n", b" ", b"\0", b"\xff", b"\\", b"9"])
        Path("p").write_bytes(text)
        with suppress(UsageError):
            list(proto.read("p", extensions=chance.random() < 0.5))


# ---- mkproto -------------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(place: Path) -> Path:
    top = place / "tree"
    (top / "etc" / "rc.d").mkdir(parents=True)
    (top / "etc" / "rc").write_bytes(b"#!/bin/sh\n")
    (top / "etc" / "rc").chmod(0o6755)
    (top / "etc" / "rc.d" / "deep").write_bytes(b"deep")
    (top / "empty").mkdir(mode=0o700)
    (top / "link").symlink_to("etc/rc")
    (top / "zero").touch()
    return top


def attributes(found: Entry) -> tuple[object, ...]:
    return (found.path, found.mode, found.uid, found.gid, found.target, found.rdev, data_of(found))


def test_there_and_back(tree: Path) -> None:
    answer = command("mkproto", "-s", "-b", "0", "-i", "0", tree, "p")
    assert (answer.code, answer.out, answer.err) == (0, b"", "")
    back = proto.read("p")
    assert (back.blocks, back.inodes) == (0, 0)
    assert list(map(attributes, back)) == list(map(attributes, host.entries(str(tree))))


def test_there_and_back_with_all_that_extensions_can_say(tree: Path) -> None:
    tree.chmod(0o1777)
    (tree / "$ 1\n\\040").write_bytes(b"odd")
    (tree / "#c").write_bytes(b"odd as well")
    (tree / "n\udcff").symlink_to("with blank")
    os.link(tree / "zero", tree / "another")
    os.mkfifo(tree / "fifo", 0o640)
    (tree / ("long" * 60)).touch()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("tree/socket")
    assert command("mkproto", "-s", "--extensions", "tree", "p").code == 0
    back = list(proto.read("p", extensions=True))
    there = list(host.entries("tree"))
    assert list(map(attributes, back)) == list(map(attributes, there))
    names = {entry.path: entry.link for entry in back}
    assert names[b"another"] == names[b"zero"] is not None


def test_mkproto_says_what_the_specification_says(tree: Path) -> None:
    (tree / "d").mkdir()
    (tree / "d" / "f").touch()
    assert command("mkproto", "tree/d").out == b"boot\n360 63\nd--555 2 1\n\tf ---555 2 1 tree/d/f\n$\n"
    answer = command("mkproto", "-b", "90", "-u", "3", "-g", "4", "-p", "4640", "-d", " ", "-t", "/x/", "tree/d")
    assert answer.out == b"boot\n90 38\ndu-640 3 4\n f -u-640 3 4 /x/f\n$\n"


def test_what_mkproto_cannot_say(tree: Path) -> None:
    os.mkfifo(tree / "fifo", 0o640)
    tree.chmod(0o1755)
    answer = command("mkproto", "-s", "tree")
    assert b"fifo ---640 0 0 /dev/null\n" in answer.out or os.getuid()
    assert "warning: tree/fifo: no way to write" in answer.err
    assert "warning: tree: no way to write the sticky bit" in answer.err
    (tree / "a b").touch()
    answer = command("mkproto", "tree")
    assert (answer.code, answer.out) == (1, b"")
    assert answer.err == "minixfs mkproto: tree/a b: a prototype has no blanks in names; use --extensions\n"


@pytest.mark.parametrize("words", [["-i", "5"], ["-p", "999"], ["-p", "1777"], ["-d", "x"], ["-b", "-1"], ["-u", "-1"]])
def test_mkproto_refuses(tree: Path, words: list[str]) -> None:
    answer = command("mkproto", *words, "tree")
    assert (answer.code, answer.out) == (2, b"")


def test_a_line_can_be_too_long(tree: Path) -> None:
    style = Style(b"x" * 190)
    with pytest.raises(UsageError, match="199 are the most"):
        list(lines(host.entries(str(tree)), style, print))


# ---- mkfs --proto --------------------------------------------------------------------------------------------------


FULL = (
    "boot\n{size}\ndu-751 3 4\nd d-g700 5 6\nf ---640 7 8 data\n$\ntty c--666 0 0 4 9\nl s--777 0 0 d/f\n"
    "empty ---600 1 1 /dev/null\n$\n"
)


def attributes_in(image: str) -> list[tuple[object, ...]]:
    with Image(image) as opened:
        found = []
        for path in ("/", "/d", "/d/f", "/empty", "/l", "/tty"):
            is_ = opened.lstat(path)
            found.append((path, oct(is_.st_mode), is_.st_uid, is_.st_gid, is_.st_size, is_.st_rdev, is_.st_mtime))
        assert opened.read_bytes("/d/f") == b"contents"
        assert opened.readlink("/l") == "d/f"
    return found


@pytest.mark.parametrize("words", [[], ["--version", "1"], ["--version", "2", "--big-endian"], ["-B", "1K"]])
def test_a_volume_is_what_its_prototype_says(place: Path, words: list[str]) -> None:
    Path("p").write_text(FULL.format(size="0 0"))
    answer = command("mkfs", "--proto", "p", "--mtime", "@9", *words, "image")
    assert (answer.code, answer.err) == (0, "")
    dirent = 64 if "--version" not in words else 32
    assert attributes_in("image") == [
        ("/", "0o44751", 3, 4, 6 * dirent, 0, 9),
        ("/d", "0o42700", 5, 6, 3 * dirent, 0, 9),
        ("/d/f", "0o100640", 7, 8, 8, 0, 9),
        ("/empty", "0o100600", 1, 1, 0, 0, 9),
        ("/l", "0o120777", 0, 0, 3, 0, 9),
        ("/tty", "0o20666", 0, 0, 0, os.makedev(4, 9), 9),
    ]
    assert command("fsck", "-n", "image").code == 0
    fits = (place / "image").stat().st_size
    assert command("mkfs", "-f", "--proto", "p", "-x", "200", *words, "image").code == 0
    assert (place / "image").stat().st_size > fits


def test_util_linux_finds_such_a_volume_clean(place: Path) -> None:
    require("fsck.minix")
    Path("p").write_text(FULL.format(size="0 0"))
    assert command("mkfs", "--proto", "p", "-B", "1K", "image").code == 0
    verdict = fsck_minix(place / "image")
    assert verdict.clean, verdict.output


def test_the_second_line_says_how_large(place: Path) -> None:
    Path("p").write_text(FULL.format(size="100 64"))
    facts = json.loads(command("mkfs", "--proto", "p", "image", "--json").out)
    assert (facts["zones"], facts["inodes"]) == (100, 64)
    facts = json.loads(command("mkfs", "-f", "--proto", "p", "image", "120", "-i", "128", "--json").out)
    assert (facts["zones"], facts["inodes"]) == (120, 128)
    answer = command("mkfs", "-f", "--proto", "p", "image", "99")
    assert (answer.code, answer.err) == (16, "minixfs mkfs: p wants 100 blocks, SIZE gives 99\n")


def test_the_age_of_files(place: Path) -> None:
    os.utime("data", (5, 5))
    Path("p").write_text(FULL.format(size="0 0"))
    assert command("mkfs", "--proto", "p", "--keep-mtime", "image").code == 0
    with Image("image") as image:
        assert image.stat("/d/f").st_mtime == 5
        assert image.stat("/d").st_mtime > 5


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["--proto", "p", "-d", "."], 16, "give only one"),
        (["--proto", "none"], 8, "none: No such file"),
        (["--proto", "bad"], 8, "bad:4: z is no mode"),
        (["--keep-mtime"], 16, "go with --proto"),
        (["-x", "5", "1M"], 16, "-x goes with"),
        (["--proto", "p", "-x", "5", "1M"], 16, "-x goes with"),
    ],
)
def test_what_mkfs_refuses(place: Path, words: list[str], code: int, complaint: str) -> None:
    Path("p").write_text(FULL.format(size="0 0"))
    Path("bad").write_text(HEAD + "x z 0 0\n$\n")
    answer = command("mkfs", "image", *words)
    assert answer.code == code
    assert complaint in answer.err
    assert not (place / "image").exists()
