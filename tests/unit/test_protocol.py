"""The VFS <-> file server protocol: the table of requests."""

from __future__ import annotations

import errno
import inspect

import pytest

from minixfs.errors import NotImplementedBy
from minixfs.fs.ext2.server import Ext2Server
from minixfs.fs.mfs.server import MfsServer
from minixfs.fs.protocol import FileServer
from minixfs.hw.runtime import run

REQUESTS = {
    name: method
    for name, method in vars(FileServer).items()
    if inspect.iscoroutinefunction(method) and name != "inherits_acl"  # every server has an answer to that one
}
XATTRS = {"getxattr", "listxattr", "setxattr", "removexattr"}


class Nothing(FileServer):
    """A server that has no request of its own."""


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_that_a_server_lacks_is_enosys(name: str) -> None:
    """FS-22, FS-35: PEEK of a server that does not annotate, and the retired GETNODE, are refused."""
    parameters = list(inspect.signature(REQUESTS[name]).parameters.values())[1:]
    positional = [None for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    named = {parameter.name: None for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    with pytest.raises(NotImplementedBy) as caught:
        run(getattr(Nothing(), name)(*positional, **named))
    assert caught.value.errno == errno.ENOSYS


@pytest.mark.parametrize(("server", "lacks"), [(MfsServer, XATTRS), (Ext2Server, set())])
def test_a_server_answers_every_request_under_its_own_signature(server: type[FileServer], lacks: set[str]) -> None:
    for name, method in REQUESTS.items():
        own = getattr(server, name)
        assert (own is not method) == (name not in lacks), name
        assert inspect.signature(own) == inspect.signature(method), name


def test_there_is_no_getnode() -> None:
    """FS-35."""
    assert "getnode" not in REQUESTS
