"""Run a shell script under a real Linux kernel, for its MINIX and ext2 drivers: user-mode Linux (UML).

`run(images, script)` boots UML with the images as its disks, runs the script as root of that kernel, and
returns what it printed. A boot takes about 3 s, so check many images in one. What the script finds:

* `/dev/ubda`, `/dev/ubdb`, ...: the images in the order given, 16 at most, written back when `run` returns;
* `/mnt/a`, `/mnt/b`, ...: a directory to mount each on; what is left mounted is unmounted afterwards;
* `/mnt/share`: the host directory `share`, writable; the only way to the host's files except the images;
* the rest of the host, read-only, but for what it has below `/mnt`: its programs, `tree.py` by `tree_command`;
* a shell with `set -e` in `/mnt`, which is a tmpfs. Standard output is returned; standard error and the
  kernel's messages show in the error.

Needs the Debian package `user-mode-linux`, but no privileges: for others than root, the host's files keep
their permissions. The Linux MINIX driver refuses zones of several blocks, blocks other than 1K, 2K and 4K,
big-endian and hybrid volumes; it cuts owners that do not fit, V1 group ids to 8 bits, without an error.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import string
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support import tree

_PROGRAM = "linux.uml"
_MODULES = Path("/usr/lib/uml/modules")
_MEMORY = 256 << 20  # bytes of the machine
_DISKS = 16  # what the ubd driver offers
_PYTHON = [os.path.realpath(sys.executable), "-I", "-S", "-B"]  # no environment, and no byte code written
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

# The root is read-only and all that can be written is mounted below /mnt, so that a wrong script cannot hurt
# the host. To leave init is a panic; where `halt` is missing that ends the machine too, with the results out.
_INIT = """\
#!/bin/sh
export PATH={path} HOME=/mnt LC_ALL=C
mount -t proc none /proc
mount -t tmpfs none /mnt
mkdir /mnt/share /mnt/.result {directories}
mount -t hostfs -o {result} none /mnt/.result
{mount_share}
exec >/mnt/.result/output
cd /mnt
{python} -c {load} {modules}/$(uname -r)/kernel/fs/minix/minix.ko && sh -e {script}
status=$?
cd /
for directory in {directories}; do
    if mountpoint -q $directory; then umount $directory || status=$?; fi
done
echo $status >/mnt/.result/status
sync
halt -f -d
"""

# Loads a module without kmod, which small systems lack; the C library keeps the old entry point.
_LOAD = """\
import ctypes, pathlib, sys
module = pathlib.Path(sys.argv[1]).read_bytes()
sys.exit(-ctypes.CDLL(None).init_module(module, ctypes.c_ulong(len(module)), b""))
"""


class UmlError(Exception):
    """The machine did not come up or end in time, or the script failed; the message has output and log."""


def available() -> str | None:
    """Why UML cannot be used here, or None when it can."""
    if shutil.which(_PROGRAM, path=_PATH) is None:
        return f"{_PROGRAM} is not installed (package user-mode-linux)"
    if not any(_MODULES.glob("*/kernel/fs/minix/minix.ko")):
        return f"no minix.ko below {_MODULES}"
    if _memory_directory() is None:
        return "no directory for UML's memory file: /dev/shm and the temporary directory are small or noexec"
    return None


def run(images: Sequence[Path], script: str, *, share: Path | None = None, timeout: float = 120) -> str:
    """Boot with `images` as disks, run `script`, return its standard output (undecodable bytes escaped).

    `share` is the host directory to show as `/mnt/share`. `timeout` is in seconds, for all. Raises `UmlError`
    when the script's status is not 0, an image does not unmount, or the time is over.
    """
    with tempfile.TemporaryDirectory(prefix="uml-") as name:
        work = Path(name)
        result = work / "result"
        result.mkdir()
        (work / "script").write_text(script, encoding="utf-8", errors="surrogateescape")
        letters = [letter for letter, _ in disks(images)]
        for letter, image in disks(images):
            # The kernel's command line has no quoting, and ubd takes a comma for a separator.
            (work / letter).symlink_to(image.resolve(strict=True))
        init = work / "init"
        init.write_text(_init(work, result, share, letters))
        init.chmod(0o755)
        ended = _boot([f"ubd{letter}={letter}" for letter in letters], init, work, timeout)
        output = _text(result / "output")
        status = _text(result / "status").strip()
        if ended and status == "0":
            return output
        what = f"script ended with status {status}" if status else "the machine died"
        if not ended:
            what = f"no end within {timeout} s"
        log = _text(work / "log").rpartition("as init process\n")[2]  # all if it did not come so far
        raise UmlError(f"{what}\n--- output\n{output}\n--- log\n{log}")


def disks(images: Sequence[Path]) -> list[tuple[str, Path]]:
    """The images with the letter that each has in the machine."""
    if len(images) > _DISKS:
        raise ValueError(f"{len(images)} images, but UML has {_DISKS} disks")
    return list(zip(string.ascii_lowercase, images, strict=False))


def tree_command(*commands: Sequence[str | int]) -> str:
    """The shell line that lets `tree.py` carry out these commands inside the machine, in one process."""
    words = [str(word) for command in commands for word in ("--", *command)]
    return shlex.join([*_PYTHON, tree.__file__, *words[1:]])


def _init(work: Path, result: Path, share: Path | None, letters: Sequence[str]) -> str:
    mount_share = f"mount -t hostfs -o {shlex.quote(str(share.resolve()))} none /mnt/share" if share else ":"
    return _INIT.format(
        path=_PATH,
        result=shlex.quote(str(result.resolve())),
        mount_share=mount_share,
        directories=" ".join(f"/mnt/{letter}" for letter in letters),
        python=shlex.join(_PYTHON),
        load=shlex.quote(_LOAD),
        modules=_MODULES,
        script=shlex.quote(str(work.resolve() / "script")),
    )


def _boot(devices: list[str], init: Path, work: Path, timeout: float) -> bool:
    """Run the machine until it halts; whether it did so in time. None of its processes is left."""
    memory = _memory_directory()
    if memory is None:
        raise UmlError(str(available()))
    command = [_PROGRAM, f"mem={_MEMORY >> 20}M", "rootfstype=hostfs", "rootflags=/", "ro", *devices]
    command += [f"init={init.resolve()}", "con=null", "con0=null,fd:1"]
    # UML keeps its control socket below HOME.
    environment = {"PATH": _PATH, "HOME": str(work), "TMPDIR": str(memory)}
    with (work / "log").open("wb") as log:
        machine = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=work,
            start_new_session=True,
        )
        try:
            machine.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        finally:
            # Its processes are a group of their own, with the traced ones, which would outlive a crash.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(machine.pid, signal.SIGKILL)
            machine.wait()
    return True


def _memory_directory() -> Path | None:
    """Where UML's memory file can lie: it is mapped executable and needs room for the whole memory."""
    for directory in (Path("/dev/shm"), Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            room = os.statvfs(directory)
            executable = not room.f_flag & os.ST_NOEXEC
            if executable and room.f_bavail * room.f_frsize > _MEMORY and os.access(directory, os.W_OK):
                return directory
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ""
