"""FIFOs, sockets, device nodes, and programs run from the file system."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import subprocess

from tests.posix.env import Env, Skip, behaviour, fails, mode_of, names, opened, read, touch, write

NULL = os.makedev(1, 3)


@behaviour
def fifo_has_its_type_and_mode(env: Env) -> None:
    os.mkfifo(b"p", 0o620)
    state = os.stat(b"p")
    assert stat.S_ISFIFO(state.st_mode)
    assert (mode_of(b"p"), state.st_size, state.st_nlink) == (0o600, 0, 1)


@behaviour
def fifo_carries_data_between_processes(env: Env) -> None:
    os.mkfifo(b"p")

    def send() -> None:
        with opened(b"p", os.O_WRONLY) as fd:
            for number in range(100):
                os.write(fd, b"%03d" % number)

    child = env.start(send)
    received = b""
    with opened(b"p", os.O_RDONLY) as fd:
        while piece := os.read(fd, 64):
            received += piece
    child.result()
    assert received == b"".join(b"%03d" % number for number in range(100))
    assert os.stat(b"p").st_size == 0


@behaviour
def fifo_without_a_partner(env: Env) -> None:
    os.mkfifo(b"p")
    fails(errno.ENXIO, os.open, b"p", os.O_WRONLY | os.O_NONBLOCK)
    with opened(b"p", os.O_RDONLY | os.O_NONBLOCK) as fd:
        assert os.read(fd, 10) == b""
        with opened(b"p", os.O_WRONLY | os.O_NONBLOCK) as writer:
            fails(errno.EAGAIN, os.read, fd, 10)
            os.write(writer, b"x")
            assert os.read(fd, 10) == b"x"
            fails(errno.ESPIPE, os.lseek, writer, 0, os.SEEK_SET)


@behaviour
def fifo_is_found_under_every_name(env: Env) -> None:
    os.mkfifo(b"p")
    os.link(b"p", b"q")
    with opened(b"p", os.O_RDWR) as one, opened(b"q", os.O_RDONLY | os.O_NONBLOCK) as other:
        os.write(one, b"data")
        os.rename(b"q", b"r")
        assert os.read(other, 9) == b"data"


@behaviour
def fifo_permissions(env: Env) -> None:
    os.mkfifo(b"p")
    os.chmod(b"p", 0o644)
    fails(errno.EACCES, env.as_user, 1, os.open, b"p", os.O_WRONLY | os.O_NONBLOCK)
    env.as_user(1, os.open, b"p", os.O_RDONLY | os.O_NONBLOCK)


@behaviour
def mknod_makes_every_kind(env: Env) -> None:
    os.mknod(b"f", stat.S_IFREG | 0o640)
    os.mknod(b"p", stat.S_IFIFO | 0o640)
    os.mknod(b"s", stat.S_IFSOCK | 0o640)
    kinds = [stat.S_IFMT(os.stat(name).st_mode) for name in (b"f", b"p", b"s")]
    assert kinds == [stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK]
    assert {mode_of(name) for name in (b"f", b"p", b"s")} == {0o640}
    write(b"f", b"data")
    fails(errno.EEXIST, os.mknod, b"f", stat.S_IFREG)
    fails(errno.EPERM, os.mknod, b"d", stat.S_IFDIR)
    assert read(b"f") == b"data"


@behaviour
def device_nodes_keep_their_numbers(env: Env) -> None:
    env.need_root()
    try:
        os.mknod(b"c", stat.S_IFCHR | 0o600, NULL)
        os.mknod(b"b", stat.S_IFBLK | 0o600, os.makedev(7, 200))
    except PermissionError as error:
        raise Skip("no device nodes for this root") from error
    c, b = os.stat(b"c"), os.stat(b"b")
    assert (stat.S_ISCHR(c.st_mode), os.major(c.st_rdev), os.minor(c.st_rdev)) == (True, 1, 3)
    assert (stat.S_ISBLK(b.st_mode), os.major(b.st_rdev), os.minor(b.st_rdev)) == (True, 7, 200)
    os.rename(b"c", b"d")
    os.chmod(b"d", 0o640)
    assert os.stat(b"d").st_rdev == NULL


@behaviour
def device_nodes_are_roots(env: Env) -> None:
    fails(errno.EPERM, env.as_user, 1, os.mknod, b"c", stat.S_IFCHR | 0o600, NULL)
    env.as_user(1, os.mknod, b"p", stat.S_IFIFO | 0o600)
    assert names() == {b"p"}


@behaviour
def socket_is_bound_to_a_name(env: Env) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(b"s")
        assert stat.S_ISSOCK(os.stat(b"s").st_mode)
        fails(errno.ECONNREFUSED, client.connect, b"s")
        server.listen()
        client.connect(b"s")
        peer, _ = server.accept()
        client.sendall(b"hello")
        assert peer.recv(9) == b"hello"
        peer.close()
        fails(errno.ENXIO, os.open, b"s", os.O_RDWR)
    assert names() == {b"s"}


@behaviour
def bound_name_is_taken(env: Env) -> None:
    touch(b"f")
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        one.bind(b"s")
        fails(errno.EADDRINUSE, other.bind, b"s")
        fails(errno.EADDRINUSE, other.bind, b"f")
        fails(errno.ECONNREFUSED, other.connect, b"f")
        fails(errno.ENOENT, other.connect, b"none")
        os.unlink(b"s")
        other.bind(b"s")


@behaviour
def socket_is_found_after_renaming_and_by_link(env: Env) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(b"s")
        server.listen()
        os.link(b"s", b"t")
        os.rename(b"s", b"u")
        os.symlink(b"u", b"l")
        for name in (b"t", b"u", b"l"):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(name)


@behaviour
def connecting_needs_write_permission(env: Env) -> None:
    def connect() -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(b"s")

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(b"s")
        server.listen()
        os.chmod(b"s", 0o755)
        fails(errno.EACCES, env.as_user, 1, connect)
        os.chmod(b"s", 0o777)
        env.as_user(1, connect)


@behaviour
def datagrams_between_processes(env: Env) -> None:
    def send() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"one", b"s")
            client.sendto(b"two", b"s")

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(b"s")
        env.start(send).result()
        assert [server.recv(99), server.recv(99)] == [b"one", b"two"]


def runs(program: bytes) -> bytes:
    """What a program of this file system says."""
    return subprocess.run([program], stdout=subprocess.PIPE, check=True, timeout=5).stdout


@behaviour
def script_runs(env: Env) -> None:
    write(b"script", b"#!/bin/sh\necho it runs\n")
    fails(errno.EACCES, runs, b"./script")
    os.chmod(b"script", 0o755)
    assert runs(b"./script") == b"it runs\n"


@behaviour
def program_runs(env: Env) -> None:
    shutil.copyfile("/bin/true", b"true")
    os.chmod(b"true", 0o755)
    assert runs(b"./true") == b""
    os.unlink(b"true")


@behaviour
def script_needs_execute_permission(env: Env) -> None:
    write(b"script", b"#!/bin/sh\necho it runs\n")
    os.chmod(b"script", 0o744)
    fails(errno.EACCES, env.as_user, 1, runs, b"./script")
    os.chmod(b"script", 0o755)
    assert env.as_user(1, runs, b"./script") == b"it runs\n"


@behaviour
def running_program_survives_its_removal(env: Env) -> None:
    shutil.copyfile("/bin/sleep", b"sleep")
    os.chmod(b"sleep", 0o755)
    program = read(b"sleep")
    running, at_exec = os.pipe()  # the child's end closes when the program starts
    child = env.start(os.execv, b"./sleep", [b"sleep", b"9"])
    os.close(at_exec)
    assert os.read(running, 1) == b""
    os.unlink(b"sleep")
    write(b"sleep", b"another")
    assert read(b"/proc/%d/exe" % child.pid) == program
    child.kill()


@behaviour
def file_being_written_does_not_run(env: Env) -> None:
    with opened(b"busy", os.O_CREAT | os.O_WRONLY, 0o755):
        fails(errno.ETXTBSY, runs, b"./busy")


@behaviour
def set_user_id_program_runs_as_its_owner(env: Env) -> None:
    if os.statvfs(b".").f_flag & os.ST_NOSUID:
        raise Skip("mounted nosuid")
    user = env.user(2)
    shutil.copyfile("/usr/bin/id", b"id")
    os.chown(b"id", user.uid, user.gid)

    def effective(option: str) -> int:
        return int(subprocess.run([b"./id", option], stdout=subprocess.PIPE, check=True, timeout=5).stdout)

    os.chmod(b"id", 0o4755)
    assert env.as_user(1, effective, "-u") == user.uid
    os.chmod(b"id", 0o2755)
    assert env.as_user(1, effective, "-g") == user.gid
