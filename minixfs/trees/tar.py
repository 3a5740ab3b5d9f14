"""Entries as a tar file.

    write(entries, sink)            `sink` takes bytes; returns what tar has no words for

The archives are pax archives in the order of the entries, and the same for the same entries: owners as numbers, times
to the nanosecond, holes as GNU's sparse format 1.0, extended attributes as star and GNU tar have them. Names begin with
``./``, as those of ``tar -C DIRECTORY -c .`` do.
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Callable, Hashable, Iterable, Sequence
from decimal import Decimal

from minixfs.hw.blockdev.device import Data
from minixfs.trees.entry import PIECE, Entry

_NANO = 10**9
_NAME_MAX = tarfile.LENGTH_NAME - 1
"""Bytes of a name in a header; directories have a slash behind theirs."""
XATTR = "SCHILY.xattr."
"""What names of extended attributes have in front as pax records; a percent sign and an equals sign are %25 and %3D."""
_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


def write(entries: Iterable[Entry], sink: Callable[[Data], object]) -> list[Entry]:
    """Hand the archive to `sink`, piece by piece. Returns the sockets, which tar has no words for.

    Raises OSError for content that cannot be read or is not what its entry says.
    """
    first: dict[Hashable, str] = {}
    left_out: list[Entry] = []
    written = 0

    def put(data: Data) -> None:
        nonlocal written
        sink(data)
        written += len(data)

    for entry in entries:
        if stat.S_ISSOCK(entry.mode):
            left_out.append(entry)
            continue
        name = os.fsdecode(b"./" + entry.path)
        member = tarfile.TarInfo(name)
        member.mode = stat.S_IMODE(entry.mode)
        member.uid, member.gid = entry.uid, entry.gid
        member.mtime, part = divmod(entry.mtime, _NANO)
        records = {"mtime": f"{Decimal(entry.mtime) / _NANO:f}".encode()} if part else {}
        target = first.get(entry.link) if entry.link is not None else None
        if target is not None:
            member.type, member.linkname = tarfile.LNKTYPE, target
            put(_header(member, records))
            continue
        if entry.link is not None:
            first[entry.link] = name
        for attribute, value in (entry.xattrs or {}).items():
            records[XATTR + os.fsdecode(attribute.replace(b"%", b"%25").replace(b"=", b"%3D"))] = value
        member.type = _TYPES[stat.S_IFMT(entry.mode)]
        member.linkname = os.fsdecode(entry.target)
        member.devmajor, member.devminor = os.major(entry.rdev), os.minor(entry.rdev)
        if entry.runs is not None and entry.is_file:
            _put_sparse(put, member, records, entry, entry.runs)
        else:
            member.size = entry.size
            put(_header(member, records))
            _put_content(put, entry, [(0, entry.size)])
    put(bytes(2 * tarfile.BLOCKSIZE))
    put(bytes(-written % tarfile.RECORDSIZE))
    return left_out


def _put_sparse(
    put: Callable[[Data], None],
    member: tarfile.TarInfo,
    records: dict[str, bytes],
    entry: Entry,
    runs: Sequence[tuple[int, int]],
) -> None:
    """GNU's sparse format 1.0: a list of runs in front of their data, and the real name and size in a pax header."""
    listed = [*runs, (entry.size, 0)] if not runs or sum(runs[-1]) < entry.size else list(runs)
    numbers = [len(listed), *(number for run in listed for number in run)]
    text = b"".join(b"%d\n" % number for number in numbers)
    text += bytes(-len(text) % tarfile.BLOCKSIZE)
    directory, _, base = member.name.rpartition("/")
    records |= {
        "GNU.sparse.major": b"1",
        "GNU.sparse.minor": b"0",
        "GNU.sparse.name": os.fsencode(member.name),
        "GNU.sparse.realsize": b"%d" % entry.size,
    }
    member.name = f"{directory}/GNUSparseFile.0/{base}"
    member.size = len(text) + sum(length for _, length in runs)
    put(_header(member, records))
    put(text)
    _put_content(put, entry, runs)


def _put_content(put: Callable[[Data], None], entry: Entry, runs: Sequence[tuple[int, int]]) -> None:
    """What the file has in `runs`, one after another, to a full block; zero where it yields nothing."""
    rest = iter(runs)
    position = end = written = 0
    pieces = entry.content() if entry.content is not None else iter(())
    for offset, piece in pieces:
        while offset >= end:
            written += _put_zeroes(put, end - position)
            position, length = next(rest, (offset, 0))
            end = position + length
            if not length:
                raise OSError(errno.EIO, "the file changed while it was read", entry.origin)
        if offset < position or offset + len(piece) > end:
            raise OSError(errno.EIO, "the file changed while it was read", entry.origin)
        written += _put_zeroes(put, offset - position) + len(piece)
        put(piece)
        position = offset + len(piece)
    written += _put_zeroes(put, end - position + sum(length for _, length in rest))
    _put_zeroes(put, -written % tarfile.BLOCKSIZE)


def _put_zeroes(put: Callable[[Data], None], count: int) -> int:
    for done in range(0, count, PIECE):
        put(bytes(min(PIECE, count - done)))
    return count


def _header(member: tarfile.TarInfo, records: dict[str, bytes]) -> bytes:
    """The header of a member, behind one with pax `records` and all else that does not fit into it.

    Names go into pax records as they are, as GNU tar writes them: not all names are text.
    """
    name, link = os.fsencode(member.name), os.fsencode(member.linkname)
    if len(name) > _NAME_MAX:
        records = {"path": name, **records}  # before GNU.sparse.name, for readers with whom the last name counts
        member.name = os.fsdecode(name[:_NAME_MAX])
    if len(link) > _NAME_MAX:
        records = {"linkpath": link, **records}
        member.linkname = os.fsdecode(link[:_NAME_MAX])
    for field, digits in (("uid", 7), ("gid", 7), ("size", 11), ("mtime", 11)):
        value = getattr(member, field)
        if not 0 <= value < 8**digits:
            records = {field: b"%d" % value, **records}
            setattr(member, field, 0)
    header = member.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
    if not records:
        return header
    text = b"".join(_record(os.fsencode(field) + b"=" + value + b"\n") for field, value in records.items())
    extension = tarfile.TarInfo("././@PaxHeader")
    extension.type = tarfile.XHDTYPE
    extension.size = len(text)
    return extension.tobuf(tarfile.USTAR_FORMAT) + text + bytes(-len(text) % tarfile.BLOCKSIZE) + header


def _record(text: bytes) -> bytes:
    """A pax record: its own length in front."""
    length = len(text) + 2
    while len(str(length)) + 1 + len(text) != length:
        length = len(str(length)) + 1 + len(text)
    return b"%d %b" % (length, text)
