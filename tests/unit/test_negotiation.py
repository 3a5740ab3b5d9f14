"""Asking the kernel for more than libfuse does: the first request on its way in, and the reply on its way out."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

import pytest

from minixfs.daemon.negotiation import CACHE_SYMLINKS, DONT_MASK, HANDLE_KILLPRIV_V2, WISHES, Exchange

INIT, GETATTR = 26, 3
OFFERED = DONT_MASK | HANDLE_KILLPRIV_V2 | 1
Kernel = tuple[socket.socket, int]


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """The kernel's end, and the descriptor that pyfuse3 has."""
    end, descriptor = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    number = descriptor.detach()
    with end:
        yield end, number
    os.close(number)


def request(opcode: int) -> bytes:
    return struct.pack("=IIQQIIIHH4I", 56, opcode, 2, 0, 0, 0, 0, 0, 0, 7, 31, 1 << 17, OFFERED)


def reply(flags: int, error: int = 0) -> bytes:
    return struct.pack("=IiQ4I", 32, error, 2, 7, 31, 1 << 17, flags)


def test_wishes_are_added_where_the_kernel_offers_them(kernel: Kernel) -> None:
    end, descriptor = kernel
    end.send(request(INIT))
    exchange = Exchange(descriptor)
    assert os.read(descriptor, 100) == request(INIT)
    os.write(descriptor, reply(1))
    assert exchange.finish(WISHES) == WISHES & OFFERED
    assert WISHES & CACHE_SYMLINKS & OFFERED == 0
    assert end.recv(100) == reply(1 | WISHES & OFFERED)
    end.send(b"next")
    assert os.read(descriptor, 100) == b"next"
    assert not os.get_inheritable(descriptor)


@pytest.mark.parametrize("answer", [reply(1, error=-5), struct.pack("=IiQ", 16, -71, 2)], ids=["whole", "short"])
def test_a_refusal_passes_as_it_is(kernel: Kernel, answer: bytes) -> None:
    end, descriptor = kernel
    end.send(request(INIT))
    exchange = Exchange(descriptor)
    os.write(descriptor, answer)
    assert exchange.finish(WISHES) == 0
    assert end.recv(100) == answer


def test_what_is_not_the_first_request_is_answered_as_it_is(kernel: Kernel) -> None:
    end, descriptor = kernel
    end.send(request(GETATTR))
    exchange = Exchange(descriptor)
    os.write(descriptor, reply(1))
    assert exchange.finish(WISHES) == 0
    assert end.recv(100) == reply(1)


def test_without_an_answer_the_descriptor_is_the_kernels_again(kernel: Kernel) -> None:
    end, descriptor = kernel
    end.send(request(INIT))
    assert Exchange(descriptor).finish(WISHES) == 0
    end.send(b"next")
    assert os.read(descriptor, 100) == b"next"
