"""From images to a mounted name space: one volume, or a whole MINIX disk as one tree.

    assembly = Assembly(vfs, options)
    warnings = await assembly.mount_root("disk.img", partition="p0s0")
    warnings += await assembly.mount_fstab()              what the root's /etc/fstab says, or
    warnings += await assembly.mount_on("p0s2", b"/usr")  one by one
    await assembly.close()                                unmount all, let the devices go

All volumes of an assembly share one page pool, which ``cache_size=`` bounds.
"""

from __future__ import annotations

import os
import re

from minixfs.daemon.detect import probe, server_for
from minixfs.daemon.options import MountOptions
from minixfs.daemon.path import ByPath
from minixfs.daemon.process import Process
from minixfs.daemon.vfs import Vfs
from minixfs.errors import (
    BadSuperblock,
    Corrupt,
    DeviceError,
    MinixFsError,
    NotDirectory,
    NotFound,
    Unsupported,
    UsageError,
)
from minixfs.fs.disk.server import DiskFileServer
from minixfs.fs.disk.volume import Settings
from minixfs.hw.blockdev.device import BlockDevice
from minixfs.hw.blockdev.open import open_device
from minixfs.vm.pagecache import PageCache
from minixfs.vm.pool import PAGE_SIZE, PagePool

FSTAB = b"/etc/fstab"
FSTAB_MAX = 1 << 16
_FIRST_DEV = 0x0301


class Assembly:
    """The devices and mounts of one `Vfs`."""

    def __init__(self, vfs: Vfs, options: MountOptions, directory: str = "/") -> None:
        """`directory` is where the host will find the tree, for those who note that down."""
        self.vfs = vfs
        self._directory = os.fsencode(directory)
        self.options = options
        self.devices: list[BlockDevice] = []
        self.pages = PageCache(PagePool(options.cache_size // PAGE_SIZE))
        self._spec = ""
        self._servers: list[DiskFileServer] = []

    @property
    def bytes_written(self) -> int:
        """What the caches of all volumes have written so far."""
        caches = [server.volume.cache for server in self._servers]
        return sum(cache.statistics.blocks_written * cache.block_size for cache in caches)

    async def mount_root(self, spec: str, partition: str | None = None, device: BlockDevice | None = None) -> list[str]:
        """Open `spec` and mount what is on it as the root; returns warnings for the user.

        A `device` that is given is used instead, closed with everything else, and called `spec` in messages.
        """
        self._spec = spec
        return await self._mount(partition, b"/", None, self.options.ro, device)

    async def mount_on(self, partition: str, path: bytes, *, read_only: bool = False) -> list[str]:
        """Mount another partition of the same disk on a directory of the tree."""
        process = Process(self.vfs)
        try:
            return await self._mount(partition, path, ByPath(process, path), self.options.ro or read_only)
        except (NotFound, NotDirectory):
            name = path.decode(errors="replace")
            raise UsageError(f"{name}: there is no such directory to mount {partition} on") from None
        finally:
            await process.exit()

    async def mount_fstab(self) -> list[str]:
        """Mount what the root's own /etc/fstab lists. Raises UsageError if there is none."""
        entries, warnings = _parse_fstab(await self._read_fstab())
        for partition, path, read_only in entries:
            warnings += await self.mount_on(partition, path.encode(), read_only=read_only)
        return warnings

    async def close(self) -> None:
        """Unmount everything and close the devices, the latter in any case."""
        try:
            await self.vfs.unmount_all()
        finally:
            for device in self.devices:
                device.close()
            self.devices.clear()
            self.pages.pool.close()

    async def _mount(
        self, partition: str | None, path: bytes, on: ByPath | None, read_only: bool, device: BlockDevice | None = None
    ) -> list[str]:
        options = self.options
        spec = self._spec
        if on is not None:
            spec = re.sub(r":p[0-3](s[0-3])?$", "", spec)
        device = device or await open_device(
            spec,
            partition=partition,
            offset=options.offset if on is None else None,
            size_limit=options.sizelimit if on is None else None,
            read_only=read_only,
            runtime=self.vfs.runtime,
            probe=probe,
        )
        try:
            settings = Settings(
                force=options.force,
                strict=options.strict,
                truncate_names=options.truncate_names,
                atime=options.atime,
                errors=options.errors,
                synchronous=options.sync,
            )
            dev = _FIRST_DEV + len(self.devices)
            label = spec + (f":{partition}" if partition else "")
            superblock_copy = options.sb if on is None else None
            server = (await server_for(device, superblock_copy))(device, dev, self.pages, settings)
            server.mounted_on = self._directory.rstrip(b"/") + path if on is not None else self._directory
            server.superblock_copy = superblock_copy
            _, warnings = await self.vfs.mount(server, dev, label, on=on, path=path, read_only=read_only)
        except (BadSuperblock, Corrupt, DeviceError, Unsupported) as error:
            device.close()
            raise UsageError(f"{label}: {error}", error.exit_code) from error
        except BaseException:
            device.close()
            raise
        self.devices.append(device)
        self._servers.append(server)
        return [f"{label}: {warning}" for warning in warnings]

    async def _read_fstab(self) -> str:
        process = Process(self.vfs)
        try:
            descriptor = await process.open(FSTAB, os.O_RDONLY)
            text = bytes(await process.read(descriptor, FSTAB_MAX))
        except MinixFsError as error:
            raise UsageError(
                f"--tree: cannot read /etc/fstab on the root volume ({error}); say what goes where with --also"
            ) from None
        finally:
            await process.exit()
        return text.decode(errors="replace")


def _parse_fstab(text: str) -> tuple[list[tuple[str, str, bool]], list[str]]:
    """Partition, mount point and read-only flag of each volume to mount, outer directories first; and warnings.

    The disk is the one that the root is on, or without an entry for the root the first that is named.
    """
    found, warnings = [], []
    disk = None
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.partition("#")[0].split()
        if not fields:
            continue
        if len(fields) < 3:
            warnings.append(f"/etc/fstab, line {number} is not of the form: device directory type; left out")
            continue
        device, path, kind, *words = fields
        if kind not in ("mfs", "minix") or not path.startswith("/"):
            continue
        match = re.fullmatch(r"(?:/dev/)?(c\dd\d)(p[0-3](?:s[0-3])?)", device)
        if match and (disk is None or path == "/"):
            disk = match[1]
        if path != "/":
            found.append((device, match, path, "ro" in words[0].split(",") if words else False))
    entries = []
    for device, match, path, read_only in sorted(found, key=lambda entry: entry[2].rstrip("/").count("/")):
        if match and match[1] == disk:
            entries.append((match[2], path, read_only))
        else:
            warnings.append(f"/etc/fstab: {device} is not a partition of this disk; {path} is left out")
    return entries, warnings
