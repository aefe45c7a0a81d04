"""Stop signals are remembered until they are asked for."""

import signal

import pytest

from utils.stopping import StopRequest


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
