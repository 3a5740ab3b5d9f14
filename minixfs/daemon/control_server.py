"""The mount's end of its control socket; see `control`."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress

import trio

from minixfs.daemon.control import MAX_MESSAGE, WAIT, Final, line, message, runtime_directory


class ControlServer:
    """`finish` answers everybody who waits. `device` is "major:minor". Raises OSError."""

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
        with suppress(OSError, ValueError):
            if uid in (0, os.geteuid()) and message(await client.recv(MAX_MESSAGE)) == WAIT:
                self._waiting.append(socket.socket(fileno=os.dup(client.fileno())))
                await client.send(line({"type": "noted"}))
        client.close()

    def finish(self, final: Final) -> None:
        """The image is final. Called when the event loop has ended."""
        for client in self._waiting:
            with suppress(OSError), client:
                client.setblocking(True)
                client.sendall(line({"type": "final", **final._asdict()}))
        self._waiting.clear()
        with suppress(OSError):
            os.unlink(self._path)
