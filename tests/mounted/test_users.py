"""Who may mount, who may look, and who owns what: ordinary users, several users, and what -o uid= and its kin show."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.mounted.conftest import Mounted
from tests.support import mounts
from tests.support.mounts import Mount, MountFailedError, minixfs
from tests.support.users import User, start, users

ALICE, BOB, CAROL = users()
MOUNTER = User(65534, 65534)
"""Nobody: fusermount3 wants users who have a name."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become other users")


@pytest.fixture
def device_for_all() -> Iterator[None]:
    """/dev/fuse as distributions have it, while the test runs."""
    device = Path("/dev/fuse")
    before = stat.S_IMODE(device.stat().st_mode)
    try:
        device.chmod(0o666)
    except OSError:
        if before & 0o666 != 0o666:
            pytest.skip("/dev/fuse is for root alone here")
    if not shutil.which("fusermount3"):
        pytest.skip("no fusermount3")
    yield
    device.chmod(before)
    shutil.rmtree(f"/tmp/minixfs-{MOUNTER.uid}", ignore_errors=True)  # where its control sockets were


def try_as(user: User, call: Callable[..., object], *arguments: object) -> int:
    """The errno of a call that `user` makes, 0 if it succeeds."""

    def attempt() -> int:
        try:
            call(*arguments)
        except OSError as error:
            return error.errno or -1
        return 0

    result: int = start(attempt, user=user).result()
    return result


@pytest.mark.usefixtures("device_for_all")
def test_ordinary_users_mount_and_unmount(tmp_path: Path) -> None:
    image = mounts.make_image(tmp_path / "image")
    mounts.give(image, MOUNTER)
    with Mount(image) as mount:
        os.chown(mount.path, MOUNTER.uid, MOUNTER.gid)  # the root directory of the volume
    with Mount(image, user=MOUNTER) as mount:
        start((mount.path / "file").write_bytes, b"data", user=MOUNTER).result()
        assert try_as(BOB, os.listdir, mount.path) == errno.EACCES  # nobody else may look, not even root
        assert try_as(User(0, 0), os.listdir, mount.path) == errno.EACCES
        gone = minixfs("umount", mount.path, user=MOUNTER)
        assert gone.returncode == 0, gone.stderr
        assert mount.wait() == 0
    mounts.check_image(image)
    with Mount(image) as mount:
        found = (mount.path / "file").stat()
        assert (found.st_uid, found.st_gid) == (MOUNTER.uid, MOUNTER.gid)


@pytest.mark.usefixtures("device_for_all")
def test_the_kernel_judges_permissions_unless_only_root_gets_in(mounted: Mounted) -> None:
    def judged(mount: Mount) -> bool:
        line = next(line for line in Path("/proc/mounts").read_text().splitlines() if str(mount.path) in line)
        return "default_permissions" in line.split()[3].split(",")

    assert not judged(mounted())
    assert judged(mounted("allow_other"))
    assert judged(mounted(user=MOUNTER))


def test_root_may_execute_only_what_somebody_may(mounted: Mounted) -> None:
    mount = mounted()
    path = mount.path / "file"
    path.write_bytes(b"#!/bin/sh\n")
    path.chmod(0o600)
    assert os.access(path, os.R_OK | os.W_OK)
    assert not os.access(path, os.X_OK)
    path.chmod(0o610)
    assert os.access(path, os.X_OK)
    mount.path.chmod(0o000)
    assert os.access(mount.path, os.X_OK)


@pytest.mark.usefixtures("device_for_all")
def test_ordinary_users_go_into_the_background(tmp_path: Path, directory: Path) -> None:
    image = mounts.make_image(tmp_path / "image")
    mounts.give(image, MOUNTER)
    mounts.give(directory, MOUNTER)
    done = minixfs("mount", image, directory, user=MOUNTER)
    assert done.returncode == 0, done.stderr
    assert start(os.listdir, directory, user=MOUNTER).result() == []
    done = minixfs("umount", directory, user=MOUNTER)
    assert done.returncode == 0, done.stderr
    mounts.check_image(image)


@pytest.mark.usefixtures("device_for_all")
def test_root_unmounts_what_a_user_mounted(tmp_path: Path) -> None:
    image = mounts.make_image(tmp_path / "image")
    mounts.give(image, MOUNTER)
    with Mount(image, user=MOUNTER) as mount:
        gone = minixfs("umount", mount.path)
        assert (gone.returncode, gone.stderr) == (0, "")
        assert mount.wait() == 0
    mounts.check_image(image)


@pytest.mark.usefixtures("device_for_all")
def test_ordinary_users_need_leave_for_allow_other(tmp_path: Path, directory: Path) -> None:
    with open("/etc/fuse.conf") as lines:
        allowed = any(line.strip() == "user_allow_other" for line in lines)
    if allowed:
        pytest.skip("user_allow_other is set here")
    image = mounts.make_image(tmp_path / "image")
    mounts.give(image, MOUNTER)
    mounts.give(directory, MOUNTER)
    refused = minixfs("mount", "-o", "allow_other", image, directory, user=MOUNTER)
    assert refused.returncode == 32
    assert "user_allow_other" in refused.stderr
    mounts.check_image(image)


@pytest.mark.usefixtures("device_for_all")
def test_ordinary_users_cannot_mount_where_they_may_not_write(tmp_path: Path, directory: Path) -> None:
    image = mounts.make_image(tmp_path / "image")
    mounts.give(image, MOUNTER)
    refused = minixfs("mount", image, directory, user=MOUNTER)
    assert refused.returncode == 32
    assert len(refused.stderr.splitlines()) <= 2
    os.chown(image, 0, 0)
    image.chmod(0o644)
    mounts.give(directory, MOUNTER)
    refused = minixfs("mount", image, directory, user=MOUNTER)
    assert refused.returncode == 32
    assert "-o ro" in refused.stderr
    assert minixfs("mount", "-o", "ro", image, directory, user=MOUNTER).returncode == 0
    assert minixfs("umount", "-q", directory, user=MOUNTER).returncode == 0


@pytest.mark.usefixtures("device_for_all")
def test_signals_end_the_mount_of_an_ordinary_user(tmp_path: Path) -> None:
    image = mounts.make_image(tmp_path / "image")
    mounts.give(image, MOUNTER)
    with Mount(image) as mount:
        mount.path.chmod(0o777)  # the root directory of the volume
    with Mount(image, "commit=3600", user=MOUNTER) as mount:
        start((mount.path / "file").write_bytes, b"data" * 1000, user=MOUNTER).result()
        mount.signal(15)
        assert mount.wait() == 0
        assert not mount.is_mounted
    mounts.check_image(image)
    with Mount(image) as mount:
        assert (mount.path / "file").read_bytes() == b"data" * 1000


def test_without_allow_other_root_keeps_the_mount_to_itself(mounted: Mounted) -> None:
    mount = mounted()
    assert try_as(ALICE, os.listdir, mount.path) == errno.EACCES


def test_permissions_are_checked_for_each_user(mounted: Mounted) -> None:
    mount = mounted("allow_other")
    os.mkdir(mount.path / "home")
    os.chown(mount.path / "home", ALICE.uid, ALICE.gid)
    file = mount.path / "home" / "file"
    start(file.write_bytes, b"secret", user=ALICE).result()
    file.chmod(0o640)
    assert try_as(ALICE, file.read_bytes) == 0
    assert try_as(BOB, file.read_bytes) == errno.EACCES
    assert start(file.read_bytes, user=BOB, groups=[ALICE.gid]).result() == b"secret"
    assert try_as(BOB, file.unlink) == errno.EACCES
    assert try_as(BOB, os.chmod, file, 0o666) == errno.EPERM
    assert try_as(BOB, (mount.path / "file").touch) == errno.EACCES
    file.parent.chmod(0o700)
    assert try_as(BOB, os.stat, file) == errno.EACCES


def test_sticky_directories(mounted: Mounted) -> None:
    mount = mounted("allow_other")
    shared = mount.path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    start((shared / "alice").touch, user=ALICE).result()
    start((shared / "bob").touch, user=BOB).result()
    assert try_as(BOB, (shared / "alice").unlink) == errno.EPERM
    assert try_as(BOB, os.rename, shared / "alice", shared / "x") == errno.EPERM
    assert try_as(BOB, os.rename, shared / "bob", shared / "alice") == errno.EPERM
    assert try_as(ALICE, (shared / "alice").unlink) == 0
    assert try_as(BOB, os.rename, shared / "bob", shared / "x") == 0


def test_new_objects_belong_to_their_makers(mounted: Mounted) -> None:
    mount = mounted("allow_other")
    shared = mount.path / "shared"
    shared.mkdir()
    os.chown(shared, -1, CAROL.gid)
    shared.chmod(0o2777)
    mount.path.chmod(0o777)
    makers: list[Callable[[Path], object]] = [
        Path.touch,
        Path.mkdir,
        os.mkfifo,
        lambda path: path.symlink_to("x"),
    ]
    for number, make in enumerate(makers):
        for parent, gid in ((mount.path, ALICE.gid), (shared, CAROL.gid)):
            path = parent / f"n{number}"
            start(make, path, user=ALICE).result()
            assert (path.lstat().st_uid, path.lstat().st_gid) == (ALICE.uid, gid)
    assert stat.S_IMODE((shared / "n1").stat().st_mode) & stat.S_ISGID


def test_uid_gid_and_umask_change_what_is_shown(image: Path) -> None:
    with Mount(image) as mount:
        (mount.path / "file").touch()
        (mount.path / "file").chmod(0o666)
        os.chown(mount.path / "file", 77, 88)
    with Mount(image, "allow_other", f"uid={ALICE.uid}", f"gid={BOB.gid}", "umask=027") as mount:
        found = (mount.path / "file").stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (ALICE.uid, BOB.gid, 0o640)
        assert try_as(ALICE, (mount.path / "file").write_bytes, b"data") == 0
        assert try_as(CAROL, (mount.path / "file").read_bytes) == errno.EACCES
    with Mount(image) as mount:
        found = (mount.path / "file").stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (77, 88, 0o666)
    mounts.check_image(image)


@pytest.mark.usefixtures("device_for_all")
def test_fakeroot(tmp_path: Path) -> None:
    """The user of the mount does what root could, and makes what belongs to root."""
    image = mounts.make_image(tmp_path / "image")
    mounts.give(image, MOUNTER)

    def work(root: Path) -> None:
        (root / "file").write_bytes(b"data")
        os.chown(root / "file", 5, 6)
        os.chmod(root / "file", 0o4000)
        (root / "file").write_bytes(b"other")
        (root / "dir").mkdir(mode=0o700)

    with Mount(image, "fakeroot", user=MOUNTER) as mount:
        start(work, mount.path, user=MOUNTER).result()
    mounts.check_image(image)
    with Mount(image) as mount:
        found = (mount.path / "file").stat()
        assert (found.st_uid, found.st_gid) == (5, 6)
        assert (mount.path / "file").read_bytes() == b"other"
        assert (mount.path / "dir").stat().st_uid == 0


def test_set_id_programs_and_devices_of_root_mounts(mounted: Mounted) -> None:
    """As root the volume's set-id bits and devices are honoured; -o nosuid,nodev turns them off."""
    for words, works in (((), True), (("nosuid", "nodev"), False)):
        mount = mounted("allow_other", *words)
        program = mount.path / "id"
        shutil.copy(os.path.realpath("/usr/bin/id"), program)
        os.chown(program, BOB.uid, BOB.gid)
        program.chmod(0o4755)
        assert start(effective_uid, program, user=ALICE).result() == (BOB.uid if works else ALICE.uid)
        os.mknod(mount.path / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        assert try_as(ALICE, (mount.path / "null").read_bytes) == (0 if works else errno.EACCES)


def effective_uid(program: Path) -> int:
    source, target = os.pipe()
    pid = os.posix_spawn(program, ["id", "-u"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, target, 1)])
    os.waitpid(pid, 0)
    return int(os.read(source, 100))


def test_failures_name_the_exit_code(image: Path) -> None:
    with pytest.raises(MountFailedError) as failure, Mount(image, "no_such_word"):
        pass
    assert failure.value.code == 1
