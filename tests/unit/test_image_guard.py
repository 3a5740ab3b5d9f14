"""Threads and Ctrl-C: calls of an image happen whole, one at a time."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import minixfs
from minixfs.hw.blockdev.device import Data
from minixfs.hw.blockdev.ramdisk import RamDisk
from minixfs.image.guard import Guard
from minixfs.image.image import Image
from tests.support.images import new_image, verify_image
from tests.support.volumes import KINDS, fresh, verify


@pytest.fixture(autouse=True)
def python_handler() -> Iterator[None]:
    """What Ctrl-C does in a program that has not chosen otherwise; and it does so again afterwards."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


async def nothing() -> None:
    pass


def test_ctrl_c_waits_for_the_end_of_a_call() -> None:
    done = []

    async def call() -> None:
        signal.raise_signal(signal.SIGINT)
        done.append(1)

    guard = Guard()
    with pytest.raises(KeyboardInterrupt):
        guard.run(call())
    assert done == [1]

    def calls() -> None:
        guard.run(call())
        guard.run(call())

    with pytest.raises(KeyboardInterrupt):
        guard.undivided(calls)
    assert done == [1, 1, 1]
    with pytest.raises(KeyboardInterrupt):  # outside a call it comes at once
        signal.raise_signal(signal.SIGINT)
    guard.close(nothing(), "closed")
    with pytest.raises(ValueError, match="closed"):
        guard.run(nothing())


def test_the_handler_of_the_program_gets_the_signal() -> None:
    seen: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    mine = signal.getsignal(signal.SIGINT)

    async def call() -> list[int]:
        signal.raise_signal(signal.SIGINT)
        return list(seen)

    first, second = Guard(), Guard()
    assert first.run(call()) == []
    assert seen == [signal.SIGINT]
    first.close(nothing(), "closed")
    assert signal.getsignal(signal.SIGINT) is not mine
    second.close(nothing(), "closed")
    assert signal.getsignal(signal.SIGINT) is mine
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    guard = Guard()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    guard.close(nothing(), "closed")
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Nagging(RamDisk):
    """Somebody presses Ctrl-C in every write, while `nags`."""

    nags = False

    async def write(self, offset: int, buffers: Sequence[Data]) -> int:
        if self.nags:
            signal.raise_signal(signal.SIGINT)
        return await super().write(offset, buffers)


def test_an_image_is_sound_after_any_number_of_interrupts(tmp_path: Path) -> None:
    (tmp_path / "tree" / "d").mkdir(parents=True)
    for number in range(5):
        (tmp_path / "tree" / "d" / f"f{number}").write_bytes(b"data" * 3000)
    device = Nagging(fresh(KINDS["V3-1K-direct"]).snapshot())
    device.host_cached = True
    interrupts = 0
    with Image("ram", "r+", device=device) as image:
        with image.open("/file", "wb", 4096) as file:
            device.nags = True
            for number in range(40):
                try:
                    file.write(bytes([number]) * 3000)
                except KeyboardInterrupt:
                    interrupts += 1
            for _ in range(3):
                try:
                    image.copy_in(tmp_path / "tree", "/tree")
                except KeyboardInterrupt:
                    interrupts += 1
            device.nags = False
        device.nags = True
        with pytest.raises(KeyboardInterrupt):
            image.close()
        device.nags = False
    assert interrupts > 10
    verify(device, peer=True)
    with Image("ram", device=device) as image:
        data = image.read_bytes("/file")
        assert list(data) == sorted(data), "a piece was written twice"


def in_child(work: Callable[[], None]) -> None:
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException:  # noqa: BLE001 - the parent sees it
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_after_a_fork_a_writable_image_is_the_parents(tmp_path: Path) -> None:
    path = new_image(tmp_path / "image")

    def child() -> None:
        with pytest.raises(ValueError, match="belongs to the process"):
            image.listdir()
        image.close()

    with minixfs.open(path, "r+") as image:
        file = image.open("/f", "w")
        file.write("once")
        in_child(child)
        with pytest.raises(minixfs.MinixFsError, match="in use"):
            minixfs.open(path)
    with minixfs.open(path) as image:
        in_child(lambda: image.read_bytes("/f").index(b"once"))
        assert image.read_bytes("/f") == b"once"
    verify_image(path)


def test_threads_share_an_image(tmp_path: Path) -> None:
    path = new_image(tmp_path / "image")
    failures: list[BaseException] = []

    def work(image: Image, name: str) -> None:
        try:
            image.mkdir(f"/{name}")
            for number in range(30):
                with image.open(f"/{name}/{number}", "w+b") as file:
                    file.write(name.encode() * number)
                    file.seek(0)
                    assert file.read() == name.encode() * number
                if number % 3 == 0:
                    image.remove(f"/{name}/{number}")
                assert len(image.scandir(f"/{name}")) == number + 1 - (number // 3 + 1)
        except BaseException as error:  # noqa: BLE001 - the test itself looks at it
            failures.append(error)

    with minixfs.open(path, "r+") as image:
        threads = [threading.Thread(target=work, args=(image, f"thread{n}")) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failures, failures
        assert sum(len(files) for _, _, files in image.walk()) == 80
    verify_image(path)
