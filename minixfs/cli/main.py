"""Entry point of the `minixfs` command: finds the command, and turns every error into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys

import click

from minixfs.cli.helpers import HELPERS
from minixfs.errors import MinixFsError

COMMANDS = {
    "mount": ("minixfs.cli.mount", "Mount an image on a directory."),
    "umount": ("minixfs.cli.umount", "Unmount, and wait until the image is final."),
    "mkfs": ("minixfs.cli.mkfs", "Make a MINIX or ext2 file system."),
    "mkdisk": ("minixfs.cli.mkdisk", "Make a MINIX disk: partitions, root, /home and /usr."),
    "mkproto": ("minixfs.cli.mkproto", "Describe a directory in a MINIX prototype file."),
    "fsck": ("minixfs.cli.fsck", "Check and repair MINIX and ext2 file systems."),
    "undo": ("minixfs.cli.undo", "Take back a repair that fsck -z made."),
    "info": ("minixfs.cli.info", "Show what a file system is and how full, or how a file lies."),
    "map": ("minixfs.cli.map", "Show which block belongs to what, as a picture."),
    "dump": ("minixfs.cli.dump", "Show any structure of a disk, field by field."),
    "ls": ("minixfs.cli.ls", "List files of an image, without a mount."),
    "cat": ("minixfs.cli.cat", "Print files of an image, without a mount."),
    "cp": ("minixfs.cli.cp", "Copy files into images, out of them, and within."),
    "tar": ("minixfs.cli.tar", "Carry trees between images and tar files."),
    "diff": ("minixfs.cli.diff", "Compare two trees: images, directories, tar files."),
    "rm": ("minixfs.cli.remove", "Remove files and directories."),
    "rmdir": ("minixfs.cli.remove", "Remove empty directories."),
    "mv": ("minixfs.cli.mv", "Rename and move files within an image."),
    "mkdir": ("minixfs.cli.make", "Make directories."),
    "mknod": ("minixfs.cli.make", "Make FIFOs and device nodes."),
    "ln": ("minixfs.cli.ln", "Give files further names, make symbolic links."),
    "chmod": ("minixfs.cli.chmod", "Change the mode of files."),
    "chown": ("minixfs.cli.owners", "Change the owner and group of files."),
    "chgrp": ("minixfs.cli.owners", "Change the group of files."),
    "touch": ("minixfs.cli.touch", "Set the times of files, make empty files."),
    "truncate": ("minixfs.cli.touch", "Shorten or lengthen files."),
    "stat": ("minixfs.cli.stat", "Show the attributes of files, or of a file system."),
    "find": ("minixfs.cli.find.command", "Search for files."),
    "du": ("minixfs.cli.du", "Show how much space directories take."),
    "df": ("minixfs.cli.df", "Show how full images are."),
    "tree": ("minixfs.cli.tree", "Draw a tree of files."),
    "shell": ("minixfs.cli.shell.command", "Work in an image as in a shell."),
    "completion": ("minixfs.cli.completion.command", "Print the script that makes a shell complete all this."),
}

SECTIONS = {
    "Mounting": ("mount", "umount"),
    "Making and checking": ("mkfs", "mkdisk", "mkproto", "fsck", "undo"),
    "Looking at volumes": ("info", "map", "dump", "df"),
    "Files in images, without a mount": (
        "ls", "cat", "stat", "find", "tree", "du", "cp", "mv", "rm", "mkdir", "rmdir", "ln", "mknod", "chmod", "chown",
        "chgrp", "touch", "truncate", "shell",
    ),
    "Whole trees": ("tar", "diff"),
}  # fmt: skip
"""How ``minixfs --help`` groups the commands; those that are not named here come last."""

_HELP = ["-h", "--help"]


def _import(name: str) -> click.Command:
    command: click.Command = getattr(importlib.import_module(COMMANDS[name][0]), name)
    return command


class _Commands(click.Group):
    """Imports a command's module when it is asked for. ``minixfs IMAGE DIR`` means mount, as mount.fuse3 calls it."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return _import(name)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        rest = [name for name in COMMANDS if not any(name in names for names in SECTIONS.values())]
        for title, names in (*SECTIONS.items(), ("More", rest)):
            known = [(name, COMMANDS[name][1]) for name in names if name in COMMANDS]
            if known:
                with formatter.section(title):
                    formatter.write_dl(known)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if len(args) >= 2 and args[0] not in COMMANDS and not args[0].startswith("-") and os.path.isdir(args[1]):
            args = ["mount", *args]
        return super().resolve_command(context, args)


@click.command(cls=_Commands, context_settings={"help_option_names": _HELP})
@click.version_option(package_name="minixfs", prog_name="minixfs")
def cli() -> None:
    """Mount, make, check and read MINIX file systems, without root and without a kernel driver."""


def main() -> None:
    """Run the command line. Exit codes: those of the command; 2 for bad usage unless the command has its own."""
    try:
        result = _run(os.path.basename(sys.argv[0]), sys.argv[1:])
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        _fail(context, error.format_message(), _usage_code(context, error.exit_code))
    except click.Abort:
        _fail(None, "interrupted", 130)
    except MinixFsError as error:
        _fail(None, str(error), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        name = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        _fail(None, f"{name}{error.strerror or error}", 1)
    except Exception as error:
        if os.environ.get("MINIXFS_TRACEBACK"):
            raise
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        _fail(None, f"internal error ({what}); set MINIXFS_TRACEBACK=1 to see where", 1)
    else:
        sys.exit(result if isinstance(result, int) else 0)


def _run(name: str, arguments: list[str]) -> object:
    """As `minixfs`, or as one of the helper programs if that is the name we were called by."""
    if name not in HELPERS:
        return cli.main(arguments, prog_name="minixfs", standalone_mode=False)
    command, translate = HELPERS[name]
    own = translate(arguments)
    if own is None:
        return 0
    return _import(command).main(own, prog_name=name, standalone_mode=False, help_option_names=_HELP)


def _usage_code(context: click.Context | None, default: int) -> int:
    """Some commands have an exit code of their own for bad usage (fsck and mkfs: 16, mount: 1)."""
    command = context.command if context is not None else None
    return getattr(command, "usage_exit_code", default)


def _fail(context: click.Context | None, message: str, code: int) -> None:
    called = os.path.basename(sys.argv[0])
    if called in HELPERS:
        named = called
    else:
        named = f"minixfs {sys.argv[1]}" if sys.argv[1:2] and sys.argv[1] in COMMANDS else "minixfs"
    line = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
    click.echo(f"{context.command_path if context is not None else named}: {line}", err=True)
    sys.exit(code)
