"""Permissions: the test itself, and the calls that change owners and modes (specification: vfs, appendix A)."""

from __future__ import annotations

import stat

from minixfs.daemon.call import Call
from minixfs.daemon.objects import Vmnt, Vnode
from minixfs.daemon.path import Place
from minixfs.daemon.tll import READ, WRITE
from minixfs.errors import AccessDenied, InvalidArgument, NotPermitted, ReadOnly
from minixfs.fs.protocol import Credentials, granted

R_BIT, W_BIT, X_BIT = 4, 2, 1
KEEP = -1
"""An id that is to stay as it is."""


def forbidden(credentials: Credentials, vnode: Vnode, wanted: int) -> bool:
    """Whether the class of the caller (owner, group, other) lacks one of the `wanted` bits."""
    if credentials.uid == 0:
        return bool(wanted & X_BIT) and not vnode.is_directory and not vnode.mode & 0o111
    return bool(wanted & ~granted(credentials, vnode.mode, vnode.uid, vnode.gid))


def require(call: Call, vnode: Vnode, wanted: int) -> None:
    """Raise AccessDenied, or ReadOnly for writing on a read-only mount."""
    if forbidden(call.credentials, vnode, wanted):
        raise AccessDenied
    if wanted & W_BIT:
        require_writable(vnode.vmnt)


def require_writable(vmnt: Vmnt) -> None:
    if vmnt.read_only:
        raise ReadOnly


def new_owner(call: Call, directory: Vnode, mode: int) -> tuple[int, int, int]:
    """Mode, uid and gid of an object made in `directory`; a set-gid directory passes its group on."""
    if directory.mode & stat.S_ISGID:
        return (mode | stat.S_ISGID if stat.S_ISDIR(mode) else mode), call.owner.uid, directory.gid
    return mode, call.owner.uid, call.owner.gid


async def masked(call: Call, directory: Vnode, mode: int) -> int:
    """`mode` less the caller's umask, which does not count where the directory has an access list for new objects."""
    if call.umask and directory.fs.has_xattrs and await directory.fs.inherits_acl(directory.ino):
        return mode
    return mode & ~call.umask


async def chmod(call: Call, place: Place, mode: int) -> None:
    async with place.object(call, READ, WRITE) as held:
        vnode, credentials = held.vnode, call.credentials
        if credentials.uid not in (0, vnode.uid):
            raise NotPermitted
        require_writable(held.vmnt)
        if credentials.uid and credentials.gid != vnode.gid and vnode.gid not in credentials.groups:
            mode &= ~stat.S_ISGID
        vnode.mode = await vnode.fs.chmod(vnode.ino, mode & 0o7777)


async def chown(call: Call, place: Place, uid: int, gid: int) -> None:
    """Set owner and group; `KEEP` leaves one of them."""
    async with place.object(call, READ, WRITE) as held:
        vnode, credentials = held.vnode, call.credentials
        require_writable(held.vmnt)
        uid = vnode.uid if uid == KEEP else uid
        gid = vnode.gid if gid == KEEP else gid
        if credentials.uid:
            own_group = gid in (vnode.gid, credentials.gid) or gid in credentials.groups
            if credentials.uid != vnode.uid or uid != vnode.uid or not own_group:
                raise NotPermitted
        vnode.mode = await vnode.fs.chown(vnode.ino, uid, gid)
        vnode.uid, vnode.gid = uid, gid


async def access(call: Call, place: Place, wanted: int) -> None:
    if wanted & ~(R_BIT | W_BIT | X_BIT):
        raise InvalidArgument
    async with place.object(call, READ, READ) as held:
        require(call, held.vnode, wanted)
