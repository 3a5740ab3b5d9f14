"""Signals while a command works: held back until a call has ended, or at once where nothing is changed."""

import os
import signal
import threading
from collections.abc import Callable

import pytest

from minixfs.cli.interrupt import SIGNALS, Interrupt, Interrupted, interruptible


def stopped(work: Callable[[Interrupt], object]) -> int:
    """The exit code that `work` ends with when a signal stops it."""
    with pytest.raises(Interrupted) as caught, interruptible() as interrupt:
        work(interrupt)
    return caught.value.exit_code


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_waits_for_the_check(number: int) -> None:
    before = signal.getsignal(number)
    done = []

    def work(interrupt: Interrupt) -> None:
        interrupt.check()
        send(number)
        send(signal.SIGINT)
        done.append("the call under way")
        interrupt.check()
        done.append("the next call")

    assert stopped(work) == 128 + number, "the first signal counts"
    assert done == ["the call under way"]
    assert signal.getsignal(number) is before


def test_a_signal_during_the_last_call_is_not_lost() -> None:
    assert stopped(lambda interrupt: send(signal.SIGTERM)) == 143


def test_at_once_does_not_wait() -> None:
    reading, writing = os.pipe()

    def work(interrupt: Interrupt) -> None:
        with interrupt.at_once():
            threading.Timer(0.02, send, [signal.SIGINT]).start()
            os.read(reading, 1)

    try:
        assert stopped(work) == 130
    finally:
        os.close(reading)
        os.close(writing)


def test_at_once_raises_for_a_signal_that_came_before() -> None:
    def work(interrupt: Interrupt) -> None:
        send(signal.SIGINT)
        with interrupt.at_once():
            pytest.fail("entered")

    assert stopped(work) == 130


def test_an_error_on_the_way_keeps_its_own_message() -> None:
    def work() -> None:
        with interruptible():
            send(signal.SIGINT)
            raise FileNotFoundError

    with pytest.raises(FileNotFoundError):
        work()


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible() as interrupt:
            send(signal.SIGHUP)
            interrupt.check()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_get_no_signals() -> None:
    found: list[object] = []

    def work() -> None:
        with interruptible() as interrupt:
            found.append(interrupt.signal)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(5)
    assert found == [None]
