"""What every offline verb does: go through the files that were named, complain about one and go on with the next.

    with job(write=True) as work:
        for image, target in work.files(arguments):
            with work.attempt(f"cannot create directory {target.quoted}"):
                image.mkdir(target.path)
        return work.status

`files` opens images as they are needed; `attempt` turns an error of the file system into one line on standard error,
``minixfs mkdir: cannot create directory 'disk.img:/a': File exists``, and makes `status` the exit code of the command.
A signal ends a command between two calls of the file system, never within one (see `interrupt`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import click

from minixfs.cli.images import Images, Target, images_of
from minixfs.cli.interrupt import Interrupt, interruptible
from minixfs.cli.show import for_terminal
from minixfs.errors import MinixFsError, UsageError
from minixfs.image.image import Image

FAILURE = 1
"""Exit code for files that failed, and for a command line that makes no sense."""


class Verb(click.Command):
    """A command with coreutils' exit code for bad usage."""

    usage_exit_code = FAILURE


class Job:
    """One run of a verb. `status` is the exit code so far, `write` whether images are opened to be changed."""

    def __init__(self, images: Images, interrupt: Interrupt | None, write: bool) -> None:
        self.images = images
        self.write = write
        self.status = 0
        self.out = sys.stdout.buffer
        self._interrupt = interrupt
        self._show = for_terminal if self.out.isatty() else bytes

    def check(self) -> None:
        """Raise Interrupted if a signal has come. Between two calls of the file system."""
        if self._interrupt is not None:
            self._interrupt.check()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around what may wait for long and touches no image: a signal ends it at once."""
        if self._interrupt is None:
            yield
        else:
            with self._interrupt.at_once():
                yield

    def files(self, arguments: Sequence[str], default: bytes | None = None) -> Iterator[tuple[Image, Target]]:
        """Every file of the arguments with its image."""
        yield from self.opened(self.images.targets(arguments, default))

    def opened(self, targets: Sequence[Target]) -> Iterator[tuple[Image, Target]]:
        """As `files`. An image that cannot be opened is one complaint, however many of its files were named."""
        failed: set[str] = set()
        for target in targets:
            self.check()
            if target.image in failed:
                continue
            try:
                image = self.image(target)
            except MinixFsError as error:
                failed.add(target.image)
                self.complain(str(error))
            else:
                yield image, target

    def image(self, target: Target) -> Image:
        """The image that holds `target`. Raises MinixFsError."""
        return self.images.open(target.image, write=self.write)

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """Complain that `what` did not work if the block raises an error of the file system."""
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            self.complain(f"{what}: {error.strerror}")

    def complain(self, message: str) -> None:
        """One line on standard error, and failure."""
        self.out.flush()
        line = "".join(c if c.isprintable() else "?" for c in message)
        click.echo(f"{self._called}: {line}", err=True)
        self.status = FAILURE

    def say(self, line: str) -> None:
        """One line on standard output."""
        self.out.write(os.fsencode(line) + b"\n")

    def tell(self, message: str) -> None:
        """One line on standard output that says who speaks, as mkdir and rmdir do it."""
        self.say(f"{self._called}: {message}")

    def safe(self, name: bytes) -> bytes:
        """A file's name as standard output takes it: harmless on a terminal, as it is elsewhere."""
        return self._show(name)

    def put(self, name: bytes, end: bytes = b"\n") -> None:
        """A file's name, made safe, on standard output."""
        self.out.write(self.safe(name) + end)

    def ask(self, question: str) -> bool:
        """What the user answers; the end of the input means no."""
        self.out.flush()
        click.echo(f"{self._called}: {question}", err=True, nl=False)
        with self.waiting():
            answer = sys.stdin.readline()
        return answer.lstrip().lower().startswith("y")

    @property
    def _called(self) -> str:
        return click.get_current_context().command_path


@contextmanager
def job(*, write: bool = False) -> Iterator[Job]:
    """The job of the running command. Its images are closed in the end, unless the shell goes on with them."""
    context = click.get_current_context()
    with ExitStack() as stack:
        in_shell = context.find_object(Images) is not None
        interrupt = stack.enter_context(interruptible()) if write or in_shell else None
        images = stack.enter_context(images_of(context))
        work = Job(images, interrupt, write)
        try:
            yield work
        finally:
            work.out.flush()


def usage(message: str, exit_code: int = FAILURE) -> UsageError:
    """A command line that makes no sense, to be raised; `message` as coreutils words it."""
    return UsageError(message, exit_code)
