"""The control socket of a mount: how `minixfs umount` learns when the image is final.

One UNIX socket for each mount, in the user's runtime directory, mode 0600, named after the kernel's device number
of the mount. Messages are JSON lines. A client connects and asks to `Wait`; when the volume is unmounted and the
image final, it is sent a `Final`, and the socket goes away. Only the same user (or root) is listened to.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from collections.abc import Callable
from contextlib import suppress

import msgspec
import trio

MAX_MESSAGE = 65536


class Wait(msgspec.Struct, tag="wait"):
    """Tell me when the image is final."""


class Final(msgspec.Struct, tag="final"):
    """The image is final: how many bytes were written to it since the unmount began, or what went wrong."""

    bytes_written: int
    error: str | None = None


def runtime_directory() -> str:
    """Where this user's sockets are. Created on demand, for this user alone. Raises OSError if that cannot be."""
    path = _candidates(os.geteuid())[0]
    os.makedirs(path, mode=0o700, exist_ok=True)
    status = os.stat(path)
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise PermissionError(errno.EPERM, "belongs to somebody else or is open to others", path)
    return path


def _candidates(uid: int) -> list[str]:
    """Where the sockets of a user may be; for ourselves the first one is right."""
    own = os.environ.get("XDG_RUNTIME_DIR") if uid == os.geteuid() else None
    bases = [own, f"/run/user/{uid}", "/run" if uid == 0 else f"/tmp/minixfs-{uid}"]
    if uid == os.geteuid() and not own:
        bases.reverse()
    return [os.path.join(base, "minixfs") for base in bases if base]


class ControlServer:
    """The mount's end. `finish` answers everybody who waits. `device` is "major:minor". Raises OSError."""

    def __init__(self, device: str) -> None:
        self._path = os.path.join(runtime_directory(), f"{device}.sock")
        self._waiting: list[socket.socket] = []

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Accept clients until cancelled. Raises OSError before it has started only."""
        with suppress(FileNotFoundError):
            os.unlink(self._path)
        with trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            await listener.bind(self._path)
            os.chmod(self._path, 0o600)
            listener.listen(8)
            task_status.started()
            async with trio.open_nursery() as nursery:
                while True:
                    client, _ = await listener.accept()
                    nursery.start_soon(self._talk, client)

    async def _talk(self, client: trio.socket.SocketType) -> None:
        _, uid, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        with suppress(OSError, msgspec.DecodeError):
            if uid in (0, os.geteuid()):
                msgspec.json.decode(await client.recv(MAX_MESSAGE), type=Wait)
                self._waiting.append(socket.socket(fileno=os.dup(client.fileno())))
        client.close()

    def finish(self, final: Final) -> None:
        """The image is final. Called when the event loop has ended."""
        for client in self._waiting:
            with suppress(OSError), client:
                client.setblocking(True)
                client.sendall(msgspec.json.encode(final) + b"\n")
        self._waiting.clear()
        with suppress(OSError):
            os.unlink(self._path)


def wait_for_final(device: str, uid: int, unmount: Callable[[], None]) -> Final | None:
    """Call `unmount` and wait until the mount, which belongs to user `uid`, says that its image is final.

    None if the mount has no control socket, or dies before it answers.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        if not any(_connects(client, os.path.join(path, f"{device}.sock")) for path in _candidates(uid)):
            unmount()
            return None
        client.sendall(msgspec.json.encode(Wait()) + b"\n")
        unmount()
        answer = b""
        while not answer.endswith(b"\n"):
            part = client.recv(MAX_MESSAGE)
            if not part:
                return None
            answer += part
    return msgspec.json.decode(answer, type=Final)


def _connects(client: socket.socket, path: str) -> bool:
    try:
        client.connect(path)
    except OSError:
        return False
    return True
