"""The timed bodies of `growth`: single files, drawn from a tree that `place` lays out. Called as `client` is:

    python -m benchmarks.samples ACTION DIR COUNT TOTAL FILES_A_DIRECTORY

`count` files are drawn of the `total` in the tree, the same ones by every action.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

from benchmarks.client import RECORD, Body, main

DIRECTORIES_A_DIRECTORY = 100


def place(number: int, files_a_directory: int) -> str:
    """Where file `number` of the tree lies."""
    upper, lower = divmod(number // files_a_directory, DIRECTORIES_A_DIRECTORY)
    return f"{upper:04}/{lower:02}/file{number:07}"


def drawn(folder: str, count: int, total: int, files_a_directory: int) -> list[str]:
    numbers = random.Random(total).sample(range(total), count)
    return [f"{folder}/{place(number, files_a_directory)}" for number in numbers]


def visit(folder: str, count: int, total: int, files_a_directory: int) -> Body:
    """Look up the directories, so that after it a file is one request whatever the size of the tree."""
    directories = {os.path.dirname(path) for path in drawn(folder, count, total, files_a_directory)}

    def body() -> None:
        for directory in directories:
            os.stat(directory)

    return body


def stat(folder: str, count: int, total: int, files_a_directory: int) -> Body:
    paths = drawn(folder, count, total, files_a_directory)

    def body() -> None:
        for path in paths:
            os.stat(path)

    return body


def read(folder: str, count: int, total: int, files_a_directory: int) -> Body:
    """Open, read the one block there is, and close."""
    paths = drawn(folder, count, total, files_a_directory)
    buffer = bytearray(RECORD)

    def body() -> None:
        for path in paths:
            descriptor = os.open(path, os.O_RDONLY)
            if not os.readv(descriptor, [buffer]):
                raise ValueError(f"{path} is empty")
            os.close(descriptor)

    return body


def create(folder: str, count: int, total: int, files_a_directory: int) -> Body:
    """Make an empty file beside each of those drawn."""
    paths = [f"{path}-new" for path in drawn(folder, count, total, files_a_directory)]

    def body() -> None:
        for path in paths:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))

    return body


def unlink(folder: str, count: int, total: int, files_a_directory: int) -> Body:
    """Remove the files that `create` made."""
    paths = [f"{path}-new" for path in drawn(folder, count, total, files_a_directory)]

    def body() -> None:
        for path in paths:
            os.unlink(path)

    return body


ACTIONS: dict[str, Callable[[str, int, int, int], Body]] = {
    action.__name__: action for action in (visit, stat, read, create, unlink)
}

if __name__ == "__main__":
    main(ACTIONS)
