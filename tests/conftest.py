"""What every test process sets up."""

import importlib.util
import os
import signal

import pytest

from tests.helpers.scripts import Scripts

# One thread a process: small products on many threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
# A shell's background job ignores Ctrl-C, and so would every script that a test starts there and then interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
# The robots' own tests import their simulator, of which newer Pythons have no wheels.
collect_ignore = [] if importlib.util.find_spec("pybullet") else ["envs/robot", "scripts/test_robot.py"]


@pytest.fixture(scope="session")
def scripts():
    """Starts this repository's scripts; one server for all tests of a process."""
    started = Scripts()
    yield started
    started.close()
