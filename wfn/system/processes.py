"""Processes by name, across machines: which one does a piece of work, and whether it is known to be dead."""

import os
import socket


def this_process() -> str:
    """The name of this process: machine and number."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_dead(name: str) -> bool:
    """Whether ``name``, from :func:`this_process`, was a process of this machine that is no more.

    One of another machine, or one whose number was given out again, cannot be told to be dead.
    """
    host, _, number = name.rpartition(":")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
