"""The control socket of a mount: how `minixfs umount` learns when the image is final.

One UNIX socket for each mount, in the user's runtime directory, mode 0600, named after the kernel's device number
of the mount. Messages are JSON lines. A client connects and asks to `Wait`; when the volume is unmounted and the
image final, it is sent a `Final`, and the socket goes away. Only the same user (or root) is listened to.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import Callable
from contextlib import suppress

import msgspec
import trio

from minixfs.errors import UsageError

MAX_MESSAGE = 65536


class Wait(msgspec.Struct, tag="wait"):
    """Tell me when the image is final."""


class Final(msgspec.Struct, tag="final"):
    """The image is final: how many bytes were written to it since the unmount began, or what went wrong."""

    bytes_written: int
    error: str | None = None


def runtime_directory() -> str:
    """Where this user's sockets are. Created on demand, for this user alone."""
    uid = os.geteuid()
    base = os.environ.get("XDG_RUNTIME_DIR") or ("/run" if uid == 0 else f"/tmp/minixfs-{uid}")
    path = os.path.join(base, "minixfs")
    os.makedirs(path, mode=0o700, exist_ok=True)
    status = os.stat(path)
    if status.st_uid != uid or stat.S_IMODE(status.st_mode) & 0o077:
        raise UsageError(f"{path} belongs to somebody else or is open to others; remove it")
    return path


def socket_path(device: str) -> str:
    """The socket of the mount with this device number ("major:minor")."""
    return os.path.join(runtime_directory(), f"{device}.sock")


class ControlServer:
    """The mount's end. `finish` answers everybody who waits."""

    def __init__(self, device: str) -> None:
        self._path = socket_path(device)
        self._waiting: list[socket.socket] = []

    async def serve(self) -> None:
        """Accept clients until cancelled."""
        with suppress(FileNotFoundError):
            os.unlink(self._path)
        with trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            await listener.bind(self._path)
            os.chmod(self._path, 0o600)
            listener.listen(8)
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


def wait_for_final(device: str, unmount: Callable[[], None]) -> Final | None:
    """Call `unmount` and wait until the mount says that its image is final.

    None if the mount has no control socket, or dies before it answers.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(socket_path(device))
        except OSError:
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
