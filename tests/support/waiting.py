"""Waiting for what other processes do."""

import time

LIMIT = 1800  # seconds; only to end a test that hangs


def wait_for(condition):
    """What ``condition`` gives once that is true."""
    deadline = time.monotonic() + LIMIT
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    return found
