"""Features of the kernel that pyfuse3 does not ask for, asked for on its behalf.

The first request on the FUSE descriptor is INIT: the kernel says what it can do, and the reply says what of that is
wanted. pyfuse3 leaves the reply to libfuse and offers no way to add to it. So while INIT is answered, the descriptor's
number stands for one end of a pair of sockets; we carry the request in, and the reply, with our wishes, out:

    exchange = Exchange(descriptor)     INIT has arrived; it is now to be read from `descriptor`
    granted = exchange.finish(wishes)   it was answered; `descriptor` is the kernel's again, for good

No later request passes here. The layouts are those of <linux/fuse.h>, protocol 7.
"""

from __future__ import annotations

import logging
import os
import socket
import struct

log = logging.getLogger(__name__)

DONT_MASK = 1 << 6
"""The umask of who makes something comes with the request, and is not applied before: an access list may replace it."""
CACHE_SYMLINKS = 1 << 23
"""The text of a symbolic link is asked for once."""
HANDLE_KILLPRIV_V2 = 1 << 28
"""A file that has neither set-id bits nor capabilities need not be searched for them before each write."""
WISHES = DONT_MASK | CACHE_SYMLINKS | HANDLE_KILLPRIV_V2

_REQUEST_HEADER = struct.Struct("=IIQQIIIHH")
_REPLY_HEADER = struct.Struct("=IiQ")
_BODY = struct.Struct("=IIII")  # the beginning of both: major, minor, max_readahead, flags
_INIT = 26
_MESSAGE_MAX = 1 << 17
"""Bytes; the kernel takes nobody seriously who reads less."""


class Exchange:
    """One INIT on its way. The kernel's descriptor has another number meanwhile."""

    def __init__(self, descriptor: int) -> None:
        """Read the waiting request and pass it on. Raises OSError when the kernel has gone already."""
        self._descriptor = descriptor
        self._offered = 0
        self._kernel = os.dup(descriptor)
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            os.dup2(theirs.fileno(), descriptor, inheritable=False)
        request = os.read(self._kernel, _MESSAGE_MAX)
        if _REQUEST_HEADER.unpack_from(request)[1] == _INIT:
            self._offered = _BODY.unpack_from(request, _REQUEST_HEADER.size)[3]
        self._ours.send(request)

    def finish(self, wishes: int) -> int:
        """Send the reply, if there is one, with those of `wishes` that the kernel offers; return which these are."""
        granted = 0
        try:
            reply = bytearray(self._ours.recv(_MESSAGE_MAX, socket.MSG_DONTWAIT))
            if len(reply) >= _REPLY_HEADER.size + _BODY.size and not _REPLY_HEADER.unpack_from(reply)[1]:
                granted = wishes & self._offered
                *before, flags = _BODY.unpack_from(reply, _REPLY_HEADER.size)
                _BODY.pack_into(reply, _REPLY_HEADER.size, *before, flags | granted)
            os.write(self._kernel, reply)
        except BlockingIOError:
            log.info("the first request was not answered")
        os.dup2(self._kernel, self._descriptor, inheritable=False)
        os.close(self._kernel)
        self._ours.close()
        return granted
