"""A study whose launcher or workers are killed at their n-th action."""

import json
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.attacks.victim import at_actions
from tests.support.warm_studies import start_workers_warm, undrawn

COUNTED = "actions-{}.txt"  # with the role of a process: how many actions it had; where it came to its end
BLOWS = "blows.txt"  # a line for each that fell
LAUNCHER, WORKER = "launcher", "worker"


def main(arguments: list[str]) -> int:
    """``python -m studies``, with what happens to it: JSON, a list of (role, action, what to do).

    The role is ``launcher``, or ``worker-N`` for the N-th that it starts. What is done is the name of a signal for the
    process itself, or ``all``, which kills the launcher and all of its workers.
    """
    events = json.loads(arguments[0])
    undrawn()
    start_workers_warm(lambda number, command: counted(f"{WORKER}-{number}", events, command))
    from studies.__main__ import main as studies
    from wfn.commands.options import end_process

    end_process(counted(LAUNCHER, events, lambda: studies(arguments[1:])))


def counted(role: str, events: Sequence[tuple[str, int, str]], command: Callable[[], int]) -> Callable[[], int]:
    """``command`` of a process, to which what is meant for its role happens; its actions are counted."""
    actions = Path(COUNTED.format(role)).open("w")  # noqa: SIM115 - before actions are counted
    blows = os.open(BLOWS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    launcher = os.getpid() if role == LAUNCHER else os.getppid()

    def fall(what: str) -> None:
        os.write(blows, f"{role} {what}\n".encode())
        if what != "all":
            os.kill(os.getpid(), signal.Signals[what])
            return
        others = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
        for process in (launcher, *map(int, others), os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    count = at_actions([(number, lambda what=what: fall(what)) for whose, number, what in events if whose == role])

    def command_with_count() -> int:
        status = command()
        with actions:
            actions.write(str(count()))
        return status

    return command_with_count
