"""Signals while a command works: held back until a call has ended, or at once where nothing is changed."""

import os
import signal
import threading

import pytest

from minixfs.cli.interrupt import SIGNALS, Interrupted, interruptible


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_waits_for_the_check(number: int) -> None:
    before = signal.getsignal(number)
    done = []
    with pytest.raises(Interrupted) as stopped, interruptible() as interrupt:
        interrupt.check()
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGINT)
        done.append("the call under way")
        interrupt.check()
        done.append("the next call")
    assert done == ["the call under way"]
    assert stopped.value.exit_code == 128 + number, "the first signal counts"
    assert signal.getsignal(number) is before


def test_a_signal_during_the_last_call_is_not_lost() -> None:
    with pytest.raises(Interrupted), interruptible():
        os.kill(os.getpid(), signal.SIGTERM)


def test_at_once_does_not_wait() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(Interrupted) as stopped, interruptible() as interrupt, interrupt.at_once():
            threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT)).start()
            os.read(reading, 1)
        assert stopped.value.exit_code == 130
    finally:
        os.close(reading)
        os.close(writing)


def test_at_once_raises_for_a_signal_that_came_before() -> None:
    with pytest.raises(Interrupted), interruptible() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        with interrupt.at_once():
            pytest.fail("entered")


def test_an_error_on_the_way_keeps_its_own_message() -> None:
    with pytest.raises(ZeroDivisionError), interruptible():
        os.kill(os.getpid(), signal.SIGINT)
        _ = 1 // 0


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
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
