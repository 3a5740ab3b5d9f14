"""Entry point of the `minixfs` command: finds the command, and turns every error into one line and an exit code."""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import threading
from contextlib import suppress

from minixfs.cli.loading import loading

with loading():
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
    "For the shell": ("completion",),
}  # fmt: skip
"""How ``minixfs --help`` groups the commands; those that are not named here come last."""

_HELP = ["-h", "--help"]


def _import(name: str) -> click.Command:
    module = COMMANDS[name][0]
    if module not in sys.modules:
        with loading():
            importlib.import_module(module)
    command: click.Command = getattr(sys.modules[module], name)
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
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib  # only ever needed for a mistake

            close = difflib.get_close_matches(args[0], COMMANDS, 1)
            context.fail(f"No such command {args[0]!r}." + (f" Did you mean {close[0]!r}?" if close else ""))
        return super().resolve_command(context, args)


@click.command(cls=_Commands)
@click.version_option(package_name="minixfs", prog_name="minixfs")
def cli() -> None:
    """Mount, make, check, read and change MINIX and ext2 file systems, without root and without a kernel driver.

    `minixfs COMMAND --help` tells all about a command, and so does the manual: man minixfs, man minixfs-COMMAND.
    """


def program() -> None:
    """`main`, for a process that is there for nothing else: what it has loaded is left to the system as it is.

    To take that apart first, object by object, would take a thirtieth of a command, however short.
    """
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, int) and threading.active_count() == 1:
            atexit._run_exitfuncs()
            with suppress(OSError, ValueError):  # for which the usual way has words
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(end.code)
        raise


def main() -> None:
    """Run the command line. Exit codes: those of the command; 2 for bad usage unless the command has its own."""
    # Numpy, where it is loaded, would start a thread for each processor, for matrices that we do not have.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _open_what_is_closed()
    try:
        result = _run(os.path.basename(sys.argv[0]), sys.argv[1:])
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        _fail(context, _advice(error, context), _usage_code(context, error.exit_code))
    except click.Abort:
        _fail(None, "interrupted", 130)
    except MinixFsError as error:
        _fail(None, str(error), error.exit_code)
    except BrokenPipeError:
        _discard_output()
        sys.exit(141)
    except OSError as error:
        from minixfs.cli.failures import of_host

        _discard_output()
        _fail(None, of_host(error), 1)
    except Exception as error:
        from minixfs.cli.failures import internal, shows_tracebacks

        if shows_tracebacks():
            raise
        _fail(None, internal(error), 1)
    else:
        sys.exit(result if isinstance(result, int) else 0)


def _discard_output() -> None:
    """What cannot be written now would be tried again at the end of the process."""
    with suppress(OSError):
        sys.stdout.flush()
    with suppress(OSError):  # there may be no descriptor behind it
        number = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _open_what_is_closed() -> None:
    """No image may get the number of a standard descriptor that the caller closed: messages would go into it. Data for
    a closed standard output is an error, as for other programs."""
    for number, flags, stream in ((0, os.O_RDONLY, "stdin"), (1, os.O_RDONLY, "stdout"), (2, os.O_WRONLY, "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # gets the lowest free number
            setattr(sys, stream, open(number, "r" if number == 0 else "w"))  # noqa: SIM115  # as long as we live


def _run(name: str, arguments: list[str]) -> object:
    """As `minixfs`, or as one of the helper programs if that is the name we were called by."""
    if name not in HELPERS:
        return _carry_out(cli, "minixfs", arguments)
    command, translate = HELPERS[name]
    own = translate(arguments)
    if own is None:
        return 0
    return _carry_out(_import(command), name, own)


def _carry_out(command: click.Command, name: str, arguments: list[str]) -> object:
    """What the command returns, or the exit code that it ended with. click's own way takes broken pipes for itself."""
    try:
        with command.make_context(name, arguments, help_option_names=_HELP) as context:
            result: object = command.invoke(context)
    except click.exceptions.Exit as end:
        result = end.exit_code
    except (EOFError, KeyboardInterrupt):
        click.echo(err=True)
        raise click.Abort from None
    if sys.stdout is not None:
        sys.stdout.flush()
    return result


def _advice(error: click.ClickException, context: click.Context | None) -> str:
    """What was wrong in the command line, and where the right way is told unless the message says it."""
    message = error.format_message()
    if context is None or "Did you mean" in message or "Choose from" in message:
        return message
    return f"{message.rstrip('.')}; see {context.command_path} --help"


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
