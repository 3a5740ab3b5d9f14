"""A file system in memory: the least a pyfuse3 server can do, hence the floor for any server built on it.

    python -m benchmarks.null_server DIR [--no-spin]

stays in the foreground until DIR is unmounted or SIGTERM/SIGINT arrives. Files are bytearrays, directories
dicts. It asks the kernel for every cache there is (writeback, attributes, entries, negative entries) and
declines what it may decline (flush, extended attributes), so what is left is the cost of a request itself.

Life of a node: made with one name; it may be unlinked while the kernel still knows it, so it stays in
`nodes` until both its link count and its kernel lookup count are zero. A pyfuse3 `fh` is the inode number
for files and for directories a number of its own, because each open directory has a listing frozen at its
first readdir.

The spin (`SpinningLoop`) replaces the event loop that pyfuse3 sees. Waiting in trio costs more than most
requests on a small machine: the next one is often there, or microseconds away, so the descriptor is polled
a few times first.
"""

from __future__ import annotations

import argparse
import errno
import os
import select
import signal
import stat
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pyfuse3
import trio
from pyfuse3 import EntryAttributes, FileInfo, FUSEError, InodeT, RequestContext

CACHE_SECONDS = 3600.0
SPIN = 50e-6  # seconds of polling: about what a client needs between two requests
REQUESTS_BETWEEN_CHECKPOINTS = 64  # so that a busy mount still sees signals
SPACE_BLOCKS = 1 << 20  # what statfs claims, in blocks of 4096 bytes


class Node:
    """One inode; `content` is the bytes of a file, the entries of a directory, a symbolic link's target."""

    __slots__ = ("attributes", "content", "lookups")

    def __init__(self, inode: int, mode: int, context: RequestContext | None) -> None:
        self.lookups = 0
        self.content: bytearray | dict[bytes, Node] | bytes = {} if stat.S_ISDIR(mode) else bytearray()
        entry = self.attributes = EntryAttributes()
        entry.st_ino = cast(InodeT, inode)
        entry.st_mode = cast(pyfuse3.ModeT, mode)
        entry.st_nlink = 2 if stat.S_ISDIR(mode) else 1
        entry.st_uid, entry.st_gid = (context.uid, context.gid) if context else (os.getuid(), os.getgid())
        entry.st_blksize = 4096
        entry.entry_timeout = entry.attr_timeout = CACHE_SECONDS
        entry.st_atime_ns = entry.st_mtime_ns = entry.st_ctime_ns = time.time_ns()

    def resized(self) -> None:
        """Let the attributes follow the length of the content."""
        self.attributes.st_size = len(self.content)
        self.attributes.st_blocks = (len(self.content) + 511) // 512


class NullOperations(pyfuse3.Operations):
    enable_writeback_cache = True

    def __init__(self) -> None:
        super().__init__()
        self.next_inode = int(pyfuse3.ROOT_INODE)
        self.nodes: dict[int, Node] = {}
        self.listings: dict[int, tuple[Node, list[tuple[bytes, Node]]]] = {}
        self.next_listing = 0
        self.absent = EntryAttributes()  # st_ino 0: "no such name, and you may remember it"
        self.absent.entry_timeout = CACHE_SECONDS
        self._new(stat.S_IFDIR | 0o755, None)

    def _new(self, mode: int, context: RequestContext | None) -> Node:
        node = self.nodes[self.next_inode] = Node(self.next_inode, mode, context)
        self.next_inode += 1
        return node

    def _entries(self, inode: int) -> dict[bytes, Node]:
        return cast("dict[bytes, Node]", self.nodes[inode].content)

    def _add(self, parent: int, name: bytes, mode: int, context: RequestContext) -> Node:
        entries = self._entries(parent)
        if name in entries:
            raise FUSEError(errno.EEXIST)
        node = entries[name] = self._new(mode, context)
        node.lookups = 1
        return node

    def _drop_link(self, node: Node) -> None:
        entry = node.attributes
        entry.st_nlink -= 2 if stat.S_ISDIR(entry.st_mode) else 1
        if not entry.st_nlink and not node.lookups:
            del self.nodes[entry.st_ino]

    async def lookup(self, parent_inode, name, ctx):
        if name == b".":
            node = self.nodes[parent_inode]
        else:
            found = self._entries(parent_inode).get(name)
            if found is None:
                return self.absent
            node = found
        node.lookups += 1
        return node.attributes

    async def forget(self, inode_list):
        for inode, count in inode_list:
            node = self.nodes[inode]
            node.lookups -= count
            if not node.lookups and not node.attributes.st_nlink:
                del self.nodes[inode]

    async def getattr(self, inode, ctx):
        return self.nodes[inode].attributes

    async def setattr(self, inode, attr, fields, fh, ctx):
        node = self.nodes[inode]
        entry = node.attributes
        if fields.update_size:
            content = cast(bytearray, node.content)
            if attr.st_size < len(content):
                del content[attr.st_size :]
            else:
                content.extend(bytes(attr.st_size - len(content)))
            node.resized()
        if fields.update_mode:
            entry.st_mode = attr.st_mode
        if fields.update_uid:
            entry.st_uid = attr.st_uid
        if fields.update_gid:
            entry.st_gid = attr.st_gid
        if fields.update_atime:
            entry.st_atime_ns = attr.st_atime_ns
        if fields.update_mtime:
            entry.st_mtime_ns = attr.st_mtime_ns
        entry.st_ctime_ns = attr.st_ctime_ns if fields.update_ctime else time.time_ns()
        return entry

    async def create(self, parent_inode, name, mode, flags, ctx):
        node = self._add(parent_inode, name, stat.S_IFREG | stat.S_IMODE(mode), ctx)
        return FileInfo(fh=node.attributes.st_ino, keep_cache=True), node.attributes

    async def mkdir(self, parent_inode, name, mode, ctx):
        node = self._add(parent_inode, name, mode, ctx)
        self.nodes[parent_inode].attributes.st_nlink += 1
        return node.attributes

    async def symlink(self, parent_inode, name, target, ctx):
        node = self._add(parent_inode, name, stat.S_IFLNK | 0o777, ctx)
        node.content = target
        node.resized()
        return node.attributes

    async def readlink(self, inode, ctx):
        return self.nodes[inode].content

    async def link(self, inode, new_parent_inode, new_name, ctx):
        node = self.nodes[inode]
        if new_name in self._entries(new_parent_inode):
            raise FUSEError(errno.EEXIST)
        self._entries(new_parent_inode)[new_name] = node
        node.attributes.st_nlink += 1
        node.lookups += 1
        return node.attributes

    async def unlink(self, parent_inode, name, ctx):
        self._drop_link(self._entries(parent_inode).pop(name))

    async def rmdir(self, parent_inode, name, ctx):
        entries = self._entries(parent_inode)
        if entries[name].content:
            raise FUSEError(errno.ENOTEMPTY)
        self._drop_link(entries.pop(name))
        self.nodes[parent_inode].attributes.st_nlink -= 1

    async def rename(self, parent_inode_old, name_old, parent_inode_new, name_new, flags, ctx):
        if flags:
            raise FUSEError(errno.EINVAL)
        old, new = self._entries(parent_inode_old), self._entries(parent_inode_new)
        moved, replaced = old[name_old], new.get(name_new)
        if replaced is not None:
            if isinstance(replaced.content, dict):
                if replaced.content:
                    raise FUSEError(errno.ENOTEMPTY)
                self.nodes[parent_inode_new].attributes.st_nlink -= 1
            self._drop_link(replaced)
        new[name_new] = moved
        del old[name_old]
        if isinstance(moved.content, dict):
            self.nodes[parent_inode_old].attributes.st_nlink -= 1
            self.nodes[parent_inode_new].attributes.st_nlink += 1

    async def open(self, inode, flags, ctx):
        if flags & os.O_TRUNC:
            node = self.nodes[inode]
            node.content = bytearray()
            node.resized()
        return FileInfo(fh=inode, keep_cache=True)

    async def read(self, fh, off, size):
        return memoryview(cast(bytearray, self.nodes[fh].content))[off : off + size]

    async def write(self, fh, off, buf):
        node = self.nodes[fh]
        content = cast(bytearray, node.content)
        if off > len(content):
            content.extend(bytes(off - len(content)))
        content[off : off + len(buf)] = buf
        node.resized()
        return len(buf)

    async def flush(self, fh):
        raise FUSEError(errno.ENOSYS)  # the kernel never asks again

    async def release(self, fh):
        pass

    async def fsync(self, fh, datasync):
        pass

    async def opendir(self, inode, ctx):
        self.next_listing += 1
        self.listings[self.next_listing] = self.nodes[inode], []
        return self.next_listing

    async def readdir(self, fh, start_id, token):
        directory, listing = self.listings[fh]
        if not start_id:
            listing[:] = cast("dict[bytes, Node]", directory.content).items()
        for position in range(start_id, len(listing)):
            name, node = listing[position]
            if not node.attributes.st_nlink:
                continue  # unlinked since the listing was frozen
            if not pyfuse3.readdir_reply(token, name, node.attributes, position + 1):
                break
            node.lookups += 1

    async def releasedir(self, fh):
        del self.listings[fh]

    async def fsyncdir(self, fh, datasync):
        pass

    async def statfs(self, ctx):
        result = pyfuse3.StatvfsData()
        result.f_bsize = result.f_frsize = 4096
        result.f_blocks = result.f_bfree = result.f_bavail = SPACE_BLOCKS
        result.f_files = result.f_ffree = result.f_favail = SPACE_BLOCKS
        result.f_namemax = 255
        return result

    async def getxattr(self, inode, name, ctx):
        raise FUSEError(errno.ENOSYS)  # the kernel never asks again


class EagerLock:
    """A lock for pyfuse3's waiting tasks that its last holder may take again at once.

    `trio.Lock` hands itself to the longest waiter, which makes every request a task switch. Here the waiter
    is woken to look again: it gets its turn when the present task really suspends, and until then the
    present task goes on unhindered.
    """

    def __init__(self) -> None:
        self.held = False
        self.waiters = trio.lowlevel.ParkingLot()

    async def __aenter__(self) -> None:
        while self.held:
            await self.waiters.park()
        self.held = True

    async def __aexit__(self, *exception: object) -> None:
        self.held = False
        self.waiters.unpark()


class SpinningLoop:
    """Stands in for the `trio` module inside pyfuse3: all of trio, but a cheaper wait for the descriptor."""

    Lock = EagerLock

    def __init__(self) -> None:
        self.lowlevel = SimpleNamespace(**vars(trio.lowlevel))
        self.lowlevel.wait_readable = self.wait_readable
        self.poller = select.poll()
        self.registered = False
        self.since_checkpoint = 0

    def __getattr__(self, name: str) -> object:
        return getattr(trio, name)

    async def wait_readable(self, descriptor: int) -> None:
        if not self.registered:  # pyfuse3 has one descriptor for all its life
            self.poller.register(descriptor, select.POLLIN)
            self.registered = True
        self.since_checkpoint += 1
        if self.since_checkpoint < REQUESTS_BETWEEN_CHECKPOINTS:
            end = time.monotonic() + SPIN
            while time.monotonic() < end:
                if self.poller.poll(0):
                    return
        self.since_checkpoint = 0
        await trio.lowlevel.wait_readable(descriptor)


async def serve() -> None:
    """Answer requests until the mount is gone or a signal asks to end."""

    async def end_on_signal() -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
            async for _ in received:
                pyfuse3.terminate()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_on_signal)
        await pyfuse3.main()
        nursery.cancel_scope.cancel()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.null_server", description="Serve an empty tree in memory."
    )
    parser.add_argument("mountpoint")
    parser.add_argument("--no-spin", action="store_true", help="wait for requests as pyfuse3 does by itself")
    options = parser.parse_args(arguments)
    if not options.no_spin:
        pyfuse3.trio = SpinningLoop()  # type: ignore[attr-defined]
    pyfuse3.init(NullOperations(), options.mountpoint, {*pyfuse3.default_options, "fsname=null"})
    try:
        trio.run(serve)
    finally:
        pyfuse3.close()


if __name__ == "__main__":
    main()
