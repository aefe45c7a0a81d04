"""Stop signals are remembered until they are asked for."""

import ctypes
import gc
import signal
import sys
import time

import pytest

from utils.stopping import StopRequest, handling, never_lost


def test_a_signal_is_remembered_until_it_is_asked_for():
    stop, before = StopRequest(), signal.getsignal(signal.SIGUSR1)
    stop.interrupt()
    with stop.listening():
        signal.raise_signal(signal.SIGUSR1)
        assert stop.number == signal.SIGUSR1
        with pytest.raises(SystemExit, match="75"):
            stop.interrupt()
    assert signal.getsignal(signal.SIGUSR1) == before
    with (stop := StopRequest()).listening():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            stop.interrupt()


def test_a_second_ctrl_c_interrupts_at_once():
    with StopRequest().listening():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_it_listens_though_the_shell_had_it_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        stop = StopRequest()
        with stop.listening():
            signal.raise_signal(signal.SIGINT)
        assert stop.number == signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, before)


class Dying:
    """Asks to stop while it is destroyed, where Python passes over what is raised."""

    def __del__(self):
        signal.raise_signal(signal.SIGUSR1)


@ctypes.CFUNCTYPE(None)
def callback():
    """What a library written in C calls."""
    signal.raise_signal(signal.SIGUSR1)


def destroyed():
    one = Dying()
    del one
    gc.collect()


@pytest.mark.parametrize("ask", [callback, destroyed])
@pytest.mark.parametrize("stop", [SystemExit(75), KeyboardInterrupt()])
def test_a_stop_that_is_passed_over_comes_again(ask, stop):
    def take(number):
        raise stop

    hook, alarm, since = sys.unraisablehook, signal.getsignal(signal.SIGALRM), time.monotonic()
    with pytest.raises(type(stop)) as caught, never_lost(), handling(take, (signal.SIGUSR1,)):
        ask()
        time.sleep(30)
    assert caught.value is stop and time.monotonic() - since < 10
    assert sys.unraisablehook is hook and signal.getsignal(signal.SIGALRM) == alarm
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_else_is_passed_over_is_told_as_ever(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    def take(number):
        raise ValueError("of a library")

    with never_lost(), handling(take, (signal.SIGUSR1,)):
        callback()
        time.sleep(0.05)
    assert [str(one.exc_value) for one in told] == ["of a library"]
