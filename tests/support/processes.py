"""Processes that tests need the names of."""

import subprocess

from wfn.system.processes import this_process


def ended_process() -> str:
    """The name, as :func:`wfn.system.processes.this_process` forms it, of a process of this machine that is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return f"{this_process().rpartition(':')[0]}:{process.pid}"
