"""The control socket of a mount: how `minixfs umount` learns when the image is final.

One UNIX socket for each mount, in the user's runtime directory, mode 0600, named after the kernel's device number
of the mount. Messages are JSON objects, a line each. A client connects and sends `WAIT`, and is told that this was
noted; when the volume is unmounted and the image final, it is sent a `Final`, and the socket goes away. Only the same
user (or root) is listened to.

This is what both ends share, and the client's, which needs no event loop; `control_server` is the mount's end.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from typing import Any, NamedTuple

MAX_MESSAGE = 65536
WAIT = {"type": "wait"}
"""Tell me when the image is final."""


class Final(NamedTuple):
    """The image is final: how many bytes were written to it since the unmount began, or what went wrong."""

    bytes_written: int
    error: str | None = None


def line(message: object) -> bytes:
    """A message as it is sent. What that takes is loaded at the end of a mount, not at its start."""
    import json

    return json.dumps(message).encode() + b"\n"


def message(line: bytes) -> Any:
    """The other way. Raises ValueError."""
    import json

    return json.loads(line)


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


def wait_for_final(device: str, uid: int, unmount: Callable[[], None]) -> Final | None:
    """Call `unmount` and wait until the mount, which belongs to user `uid`, says that its image is final.

    None if the mount has no control socket, or dies before it answers.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        if not any(_connects(client, os.path.join(path, f"{device}.sock")) for path in _candidates(uid)):
            unmount()
            return None
        client.sendall(line(WAIT))
        _receive(client)  # the mount knows now that somebody waits: once unmounted it looks no more
        unmount()
        final = _receive(client)
    return Final(final["bytes_written"], final["error"]) if final else None


def _receive(client: socket.socket) -> Any:
    """The next message; None if the other side has gone."""
    answer = b""
    while not answer.endswith(b"\n"):
        part = client.recv(MAX_MESSAGE)
        if not part:
            return None
        answer += part
    return message(answer)


def _connects(client: socket.socket, path: str) -> bool:
    try:
        client.connect(path)
    except OSError:
        return False
    return True
