"""`minixfs stat`: the attributes of files of an image, or of its file system. Formats are those of coreutils' stat."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Callable
from typing import Any

import click

from minixfs.cli import statformat
from minixfs.cli.images import Target
from minixfs.cli.job import Job, Verb, job, usage
from minixfs.cli.kinds import is_device, kind
from minixfs.cli.show import json_text
from minixfs.cli.statformat import Subject
from minixfs.image.image import Image

NS = 10**9


@click.command(cls=Verb)
@click.argument("arguments", nargs=-1, required=True, metavar="IMAGE [PATH...] | IMAGE:/PATH...")
@click.option("-L", "--dereference", "follow", is_flag=True, help="Follow symbolic links.")
@click.option("-f", "--file-system", "system", is_flag=True, help="Show the file system that the file is on.")
@click.option("-c", "--format", "lines", metavar="FORMAT", help="Show this of each file, like '%n %s', and a newline.")
@click.option("--printf", "raw", metavar="FORMAT", help="As -c, with escapes like \\n, and no newline added.")
@click.option("-t", "--terse", is_flag=True, help="All on one line.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array of objects, for programs.")
def stat(
    arguments: tuple[str, ...],
    follow: bool,
    system: bool,
    lines: str | None,
    raw: str | None,
    terse: bool,
    as_json: bool,
) -> int:
    """Show the attributes of files of an image.

    \b
    FORMAT for files: %a %A mode, %b blocks of %B bytes, %f mode in hex, %F type, %g %G gid, %h links, %i inode,
    %n %N name, %o block size, %s size, %Hr %Lr device number, %u %U uid, times %x %y %z and in seconds %X %Y %Z.
    With -f: %a %b %f blocks available, in all, free, %c %d inodes in all, free, %l longest name, %s %S block size,
    %T type.

    \b
    minixfs stat -c '%a %u:%g %s %n' disk.img:/bin/sh
    """
    show = _shown(system, lines, raw, terse)
    objects: list[dict[str, Any]] = []
    with job() as work:
        for image, target in work.files(arguments, b"/"):
            what = "cannot read file system information for" if system else "cannot stat"
            with work.attempt(f"{what} {target.quoted}"):
                subject = _subject(work, image, target, follow or system)
                if as_json:
                    objects.append((_system_object if system else _object)(target, subject))
                else:
                    work.out.write(show(subject))
        if as_json:
            work.out.write(json_text(objects, indent=1).encode() + b"\n")
        return work.status


def _shown(system: bool, lines: str | None, raw: str | None, terse: bool) -> Callable[[Subject], bytes]:
    fields = statformat.SYSTEM if system else statformat.FILE
    try:
        if raw is not None:
            return statformat.parse(raw, fields, escapes=True)
        if lines is not None:
            return statformat.parse(lines + "\n", fields)
    except ValueError as error:
        raise usage(str(error)) from error
    if terse:
        return statformat.parse(statformat.SYSTEM_TERSE if system else statformat.FILE_TERSE, fields)
    if system:
        return statformat.parse(statformat.SYSTEM_TEXT, fields)
    fields = {**fields, "N": statformat.plain_name}
    plain = statformat.parse(statformat.FILE_TEXT, fields)
    device = statformat.parse(statformat.DEVICE_TEXT, fields)
    return lambda subject: (device if is_device(subject.found.mode) else plain)(subject)


def _subject(work: Job, image: Image, target: Target, follow: bool) -> Subject:
    found = image.attributes(target.path, follow_symlinks=follow)
    text = work.safe(image.readlink(target.path)) if modes.S_ISLNK(found.mode) else None
    return Subject(work.safe(target.shown), found, text, image.statvfs("/"), image.type)


def _object(target: Target, subject: Subject) -> dict[str, Any]:
    """A file for programs: times in seconds, sizes in bytes; bytes that are not UTF-8 are U+DC80..U+DCFF."""
    found = subject.found
    result = {
        "image": target.image,
        "path": os.fsdecode(target.shown),
        "inode": found.ino,
        "type": kind(found.mode),
        "mode": f"{modes.S_IMODE(found.mode):04o}",
        "links": found.nlink,
        "uid": found.uid,
        "gid": found.gid,
        "size": found.size,
        "allocated": found.blocks * 512,
        "block_size": found.blksize,
        "accessed": found.atime // NS,
        "modified": found.mtime // NS,
        "changed": found.ctime // NS,
    }
    if is_device(found.mode):
        result |= {"major": os.major(found.rdev), "minor": os.minor(found.rdev)}
    if subject.target is not None:
        result["target"] = os.fsdecode(subject.target)
    return result


def _system_object(target: Target, subject: Subject) -> dict[str, Any]:
    usage = subject.usage
    return {
        "image": target.image,
        "type": subject.system,
        "block_size": usage.f_frsize,
        "transfer_size": usage.f_bsize,
        "blocks": usage.f_blocks,
        "blocks_free": usage.f_bfree,
        "blocks_available": usage.f_bavail,
        "inodes": usage.f_files,
        "inodes_free": usage.f_ffree,
        "name_max": usage.f_namemax,
    }
