"""`minixfs cp` does what cp(1) does: into an image, out of one, within one; and what only images bring with them."""

from __future__ import annotations

import errno
import os
import random
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from minixfs.image.image import Image
from tests.support import tree
from tests.support.command import Answer, command
from tests.support.images import new_image, verify_image
from tests.support.mounts import COMMAND, environment
from tests.support.twins import Twins

OPTIONS = (
    ["-r"], ["-a"], ["-rp"], ["-R"], [], ["-d"], ["-rL"], ["-rH"], ["-rv"], ["-av"], ["-rn"], ["-ru"], ["-rT"], ["-p"],
    ["-r", "--preserve=links"], ["-a", "--no-preserve=mode"], ["-vf"],
    ["-r", "--sparse=always"],
)  # fmt: skip


class Plain(Twins):
    """Without FIFOs, on which cp(1) may wait for ever, links that lead out of the tree of the host, and bits above rwx,
    which cp(1) leaves set on what it overwrites where ACLs are known."""

    def carry(self) -> None:
        for path in self.walk():
            place = self.host / path
            if place.is_fifo() or (place.is_symlink() and ("../" in os.readlink(place) or _is_loop(place))):
                (self.host / path).unlink()
                self.paths.remove(path)
            elif not place.is_symlink():
                place.chmod(place.stat().st_mode & 0o777)
        super().carry()


def _is_loop(link: Path) -> bool:
    try:
        link.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


@pytest.fixture
def twins(tmp_path: Path, rng: random.Random) -> Twins:
    twins = Plain(tmp_path)
    twins.grow(rng)
    return twins


Outcome = tuple[int, list[str], list[str]]
"""Exit code, lines of output in order of their text (directories are read in any order), messages."""


def real_cp(*arguments: str, cwd: Path) -> Outcome:
    done = subprocess.run(
        ["cp", *arguments], cwd=cwd, capture_output=True, timeout=20, input=b"", env=os.environ | {"LC_ALL": "C.UTF-8"}
    )
    return _outcome("cp", done.returncode, done.stdout.decode(), done.stderr.decode())


def our_cp(*arguments: str | Path, top: str) -> Outcome:
    """`top` is left out of names: where cp(1) has its working directory."""
    answer = command("cp", *arguments)
    shown = [text.replace(top, "") for text in (answer.out.decode(errors="surrogateescape"), answer.err)]
    return _outcome("minixfs cp", answer.code, *shown)


def _outcome(program: str, code: int, output: str, messages: str) -> Outcome:
    said = [
        line.removeprefix(f"{program}: ").replace("/'", "'")
        for line in messages.splitlines()
        if not line.startswith("Try 'cp --help'")
    ]
    return code, sorted(output.splitlines()), sorted(said)


# ---- as cp(1) --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_within_an_image(twins: Twins, rng: random.Random, options: list[str]) -> None:
    for _ in range(2):
        *sources, goal = (rng.choice(twins.paths) for _ in range(rng.choice([2, 2, 2, 3])))
        goal = rng.choice([goal, goal + "/new", f"fresh{rng.randrange(3)}"])
        real = real_cp(*options, *sources, goal, cwd=twins.host)
        ours = our_cp(*options, *(f"{twins.image}:/{path}" for path in (*sources, goal)), top=f"{twins.image}:/")
        if any("into itself" in message for message in real[2]):
            assert [line for line in ours[2] if "into itself" in line]
            break  # cp(1) has copied some of it by then
        assert ours == real, (options, sources, goal)
        twins.compare(times=False)
    twins.verify()


@pytest.mark.parametrize("options", [["-r"], ["-a"], [], ["-rL"], ["-ru"], ["-av"], ["-p"]], ids=" ".join)
def test_into_and_out_of_an_image(tmp_path: Path, twins: Twins, rng: random.Random, options: list[str]) -> None:
    """In one direction after the other, over what is there already."""
    other = tmp_path / "other"
    other.mkdir()
    source = Plain(other)
    source.grow(rng)
    for _ in range(2):
        path, goal = rng.choice(source.paths), rng.choice([*twins.paths, "fresh"])
        real = real_cp(*options, str(source.host / path), goal, cwd=twins.host)
        ours = our_cp(*options, source.host / path, f"{twins.image}:/{goal}", top=f"{twins.image}:/")
        assert ours == real, (options, path, goal)
        twins.compare(times=False)
    twins.verify()
    twins.agree_on_times()  # -u goes by them
    targets = [tmp_path / name for name in ("ours", "real")]
    for target in targets:
        subprocess.run(["cp", "-a", source.host, target], check=True)
    for _ in range(2):
        path, goal = rng.choice(twins.paths), rng.choice([*source.paths, "fresh"])
        real = real_cp(*options, path, str(targets[1] / goal), cwd=twins.host)
        ours = our_cp(*options, f"{twins.image}:/{path}", targets[0] / goal, top=f"{twins.image}:/")
        ours = ours[0], *([line.replace(str(targets[0]), str(targets[1])) for line in lines] for lines in ours[1:])
        assert ours == real, (options, path, goal)
        found = [tree.snapshot(target) for target in targets]
        assert not tree.diff(*found, ignore=["dir_size", "mtime"])


# ---- trees and names -------------------------------------------------------------------------------------------------


def test_a_tree_comes_out_as_it_went_in(tmp_path: Path) -> None:
    """DIR -> image -> tar -> image -> DIR."""
    big = tmp_path / "start"
    big.mkdir()
    tree.populate(big, 7, 60, big=5 << 20)
    images = [new_image(tmp_path / name, 16 << 20, "V3-4K") for name in ("one", "two")]
    assert _fine(command("cp", "-a", f"{big}/.", f"{images[0]}:/"))
    verify_image(images[0], peer=False)
    assert _fine(command("diff", "--holes", images[0], f"{images[0]}:/"))
    assert _fine(command("diff", big, images[0]))
    archive = tmp_path / "tree.tar.gz"
    answer = command("tar", "-cf", archive, images[0])
    assert (answer.code, "socket ignored" in answer.err) == (0, True)
    assert _fine(command("tar", "-xf", archive, images[1]))
    verify_image(images[1], peer=False)
    back = tmp_path / "back"
    assert _fine(command("cp", "-a", f"{images[1]}:/", back))
    before, after = tree.snapshot(big), tree.snapshot(back)
    before = {path: entry for path, entry in before.items() if entry.kind != "socket"}
    times = {path: entry._replace(mtime=0) if not os.path.basename(path) else entry for path, entry in before.items()}
    assert not tree.diff(times, after, ignore=["dir_size"])
    assert _blocks(back) <= _blocks(big) + 64, "holes were filled"


def _fine(answer: Answer) -> bool:
    assert (answer.code, answer.err) == (0, ""), answer
    return True


def _blocks(top: Path) -> int:
    """Units of 512 bytes that the files of a tree occupy."""
    return sum(os.lstat(os.path.join(at, name)).st_blocks for at, _, names in os.walk(top) for name in names)


def test_between_two_images(tmp_path: Path) -> None:
    one, two = new_image(tmp_path / "one"), new_image(tmp_path / "two", kind="V2")
    with Image(one, "r+") as image:
        image.mkdir("/d")
        image.write_bytes("/d/f", b"data")
        image.link("/d/f", "/g")
    assert _fine(command("cp", "-a", f"{one}:/d", f"{one}:/g", f"{two}:/"))
    with Image(two) as image:
        assert image.read_bytes("/g") == b"data"
        assert image.stat("/g").st_ino == image.stat("/d/f").st_ino
    verify_image(two, peer=False)


def test_hard_links_instead_of_copies(tmp_path: Path) -> None:
    image = new_image(tmp_path / "image")
    with Image(image, "r+") as opened:
        opened.mkdir("/d")
        opened.write_bytes("/d/f", b"data")
        opened.write_bytes("/there", b"")
    assert _fine(command("cp", "-rl", f"{image}:/d", f"{image}:/e"))
    answer = command("cp", "-l", f"{image}:/d/f", f"{image}:/there")
    assert answer.err == f"minixfs cp: cannot create hard link '{image}:/there' to '{image}:/d/f': File exists\n"
    assert _fine(command("cp", "-lf", f"{image}:/d/f", f"{image}:/there"))
    answer = command("cp", "-l", f"{image}:/d/f", tmp_path / "out")
    assert (answer.code, "Invalid cross-device link" in answer.err) == (1, True)
    with Image(image) as opened:
        assert opened.stat("/d/f").st_nlink == 3
    verify_image(image)


def test_very_deep_trees(tmp_path: Path) -> None:
    image, back = new_image(tmp_path / "image", inodes=2000), tmp_path / "back"
    top = tmp_path / "deep"
    fd = os.open(tmp_path, os.O_RDONLY)
    for name in ("deep", *["d" * 20] * 300):
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(os.open("end", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    assert _fine(command("cp", "-a", top, f"{image}:/"))
    assert _fine(command("cp", "-a", f"{image}:/deep", back))
    assert _fine(command("diff", back, f"{image}:/deep"))
    verify_image(image, peer=False)  # util-linux's goes 50 directories deep
    subprocess.run(["rm", "-rf", top, back], check=True)  # shutil cannot


# ---- what does not fit -----------------------------------------------------------------------------------------------


def test_what_a_format_cannot_hold_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    image, source = new_image(tmp_path / "image", kind="V1"), tmp_path / "source"
    source.mkdir()
    (source / "fine").write_bytes(b"x")
    (source / ("n" * 31)).write_bytes(b"x")
    (source / "group").write_bytes(b"x")
    (source / "late").write_bytes(b"x")
    os.utime(source / "late", (1 << 33, 1 << 33))
    if os.geteuid() == 0:
        os.chown(source / "group", 0, 300)
    answer = command("cp", "-a", source, f"{image}:/")
    assert answer.code == 1
    assert f"cannot create regular file '{image}:/source/{'n' * 31}': File name too long" in answer.err
    assert f"cannot keep the time of '{image}:/source/late': Value too large" in answer.err
    assert (
        os.geteuid() != 0
        or f"cannot create regular file '{image}:/source/group': owner 0:300 does not fit" in answer.err
    )
    with Image(image) as opened:
        assert opened.read_bytes("/source/fine") == b"x"
    verify_image(image)


def test_a_full_disk_is_reported_and_clean(tmp_path: Path) -> None:
    image, source = new_image(tmp_path / "image", 1 << 20), tmp_path / "source"
    source.mkdir()
    (source / "a").write_bytes(b"a" * (2 << 20))
    (source / "b").write_bytes(b"")
    answer = command("cp", "-r", source, f"{image}:/")
    assert answer.code == 1
    assert answer.err == f"minixfs cp: error writing '{image}:/source/a': No space left on device\n"
    verify_image(image)


def test_nothing_on_the_host_is_reached_through_links_of_an_image(tmp_path: Path) -> None:
    """A bad image or archive may hold a link and, below its name, files: these stay inside."""
    image, out, elsewhere = new_image(tmp_path / "image"), tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with Image(image, "r+") as opened:
        opened.mkdir("/a")
        opened.write_bytes("/a/f", b"evil")
    out.mkdir()
    (out / "a").symlink_to(elsewhere)
    answer = command("cp", "-rT", f"{image}:/", out)
    assert (answer.code, list(elsewhere.iterdir())) == (1, [])
    assert "cannot overwrite non-directory" in answer.err


def test_pipes_are_read_to_their_end(tmp_path: Path) -> None:
    image = new_image(tmp_path / "image")
    done = subprocess.run(
        [*COMMAND, "cp", "/dev/stdin", f"{image}:/f"], input=b"abc" * 100_000, env=environment(), capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    out = subprocess.run([*COMMAND, "cp", f"{image}:/f", "/dev/stdout"], env=environment(), capture_output=True)
    assert (out.returncode, out.stdout) == (0, b"abc" * 100_000), out.stderr
    verify_image(image)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up being root")
def test_other_users_keep_what_they_may(tmp_path: Path) -> None:
    image, out = new_image(tmp_path / "image"), tmp_path / "out"
    with Image(image, "r+") as opened:
        opened.write_bytes("/f", b"data")
        opened.chmod("/f", 0o4755)
        opened.mknod("/tty", stat.S_IFCHR | 0o600, os.makedev(4, 0))
    out.mkdir()
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_mode & 0o055 != 0o055:
            os.chmod(directory, 0o755)
    image.chmod(0o644)
    os.chown(out, 1000, 1000)
    assert _fine(command("cp", f"{image}:/f", tmp_path))  # all that is needed is imported
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.setgroups([])
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
        answer = command("cp", "-a", f"{image}:/f", f"{image}:/tty", out)
        os.write(writing, f"{answer.code} {answer.err}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    said = os.read(reading, 1000).decode()
    os.close(reading)
    os.close(writing)
    assert said == f"1 minixfs cp: cannot create special file '{out}/tty': Operation not permitted\n"
    assert stat.S_IMODE((out / "f").stat().st_mode) == 0o755, "set-id bits belong to an owner"


@pytest.mark.parametrize(("words", "code", "message"), [
    (["a", "b"], 1, "none of these files is in an image; name one like IMAGE:/path, or use cp(1)"),
    (["{image}:/a"], 1, "missing destination file operand after '{image}:/a'"),
    (["-t", "x", "-T", "{image}:/a"], 1, "cannot combine --target-directory (-t) and --no-target-directory (-T)"),
    (["--preserve=context", "{image}:/a", "b"], 1,
     "invalid argument 'context' for --preserve; use mode, ownership, timestamps, links, xattr, all"),
    (["a", "{image}x:/b"], 1, None),
])  # fmt: skip
def test_senseless_words(tmp_path: Path, words: list[str], code: int, message: str | None) -> None:
    image = new_image(tmp_path / "image")
    answer = command("cp", *(word.format(image=image) for word in words))
    assert answer.code == code
    assert len(answer.err.splitlines()) == 1
    assert message is None or answer.err == f"minixfs cp: {message.format(image=image)}\n"


def test_a_signal_leaves_a_clean_image(tmp_path: Path) -> None:
    image, source = new_image(tmp_path / "image", 64 << 20, "V3-4K", inodes=4000), tmp_path / "source"
    source.mkdir()
    for number in range(2000):
        (source / f"f{number:04}").write_bytes(b"x" * 5000)
    running = subprocess.Popen(
        [*COMMAND, "cp", "-rv", source, f"{image}:/"], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None
    running.stdout.readline()
    running.send_signal(signal.SIGTERM)
    _, messages = running.communicate(timeout=30)
    assert (running.returncode, messages) == (143, b"minixfs cp: interrupted\n")
    verify_image(image, peer=False)
