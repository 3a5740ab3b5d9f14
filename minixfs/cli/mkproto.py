"""`minixfs mkproto`: describe a directory of the host in a MINIX prototype file, for ``mkfs --proto``."""

from __future__ import annotations

import os
import sys

import click

from minixfs.errors import UsageError

DEFAULT_BLOCKS, DEFAULT_INODES = 360, 63
PERMISSIONS = 0o6777


@click.command()
@click.argument("directory", type=click.Path())
@click.argument("proto", type=click.Path(), default="-")
@click.option(
    "-b",
    "--blocks",
    type=click.IntRange(0),
    metavar="N",
    help="Blocks of the volume; default 360; 0: as many as it takes.",
)
@click.option(
    "-i", "--inodes", type=click.IntRange(0), metavar="N", help="Inodes; default a third of -b and 8, without -b 63."
)
@click.option("-u", "--uid", type=click.IntRange(0), default=2, metavar="N", help="Owner of everything; default 2.")
@click.option("-g", "--gid", type=click.IntRange(0), default=1, metavar="N", help="Group of everything; default 1.")
@click.option("-p", "--mode", default="555", metavar="OCTAL", help="Permissions of everything; default 555.")
@click.option("-s", "--same", is_flag=True, help="Owners, groups and permissions as the files have them.")
@click.option("-t", "--root", metavar="PATH", help="Where the sources will be, if not in DIRECTORY.")
@click.option("-d", "--indent", default="\t", metavar="TEXT", help="What a line is indented with; default a tab.")
@click.option("--extensions", is_flag=True, help="Everything that mkfs --proto-extensions understands.")
def mkproto(
    directory: str,
    proto: str,
    blocks: int | None,
    inodes: int | None,
    uid: int,
    gid: int,
    mode: str,
    same: bool,
    root: str | None,
    indent: str,
    extensions: bool,
) -> None:
    """Write a prototype file that describes DIRECTORY to PROTO or standard output.

    \b
    minixfs mkproto -s -b 0 rootfs rootfs.proto
    """
    from minixfs.trees import host
    from minixfs.trees.proto_text import Style, lines

    if inodes is not None and blocks is None:
        raise UsageError("-i goes with -b: give the number of blocks as well", 2)
    if indent.strip(" \t"):
        raise UsageError("lines can be indented with blanks and tabs alone", 2)
    if blocks is None:
        blocks, inodes = DEFAULT_BLOCKS, DEFAULT_INODES
    style = Style(
        os.fsencode(directory if root is None else root).rstrip(b"/"),
        blocks,
        blocks // 3 + 8 if inodes is None else inodes,
        indent.encode(),
        uid,
        gid,
        _permissions(mode),
        same,
        extensions,
    )
    text = b"".join(lines(host.entries(directory), style, _warn))
    if proto == "-":
        sys.stdout.buffer.write(text)
    else:
        with open(proto, "wb") as file:
            file.write(text)


def _permissions(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if mode & ~PERMISSIONS:
        raise UsageError(f"-p {text}: write octal digits, like 755, without a sticky bit", 2)
    return mode


def _warn(message: str) -> None:
    click.echo(f"minixfs mkproto: warning: {message}", err=True)
