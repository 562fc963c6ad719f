"""A run in a process of its own to which something happens at its n-th action: a kill, signals, a power cut.

An action is what may change a folder: a file opened to be written, renamed, removed; a folder made; a lock taken; a
statement that changes a database, and what makes it count. So each state that a kill could leave on the disk is met,
however fast the machine is.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from tests.attacks.disk import Disk
from tests.support.programs import Program, start_fresh
from tests.support.warm_studies import undrawn

ACTIONS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "fcntl.flock"}
READING = ("SELECT", "PRAGMA", "BEGIN", "SHOW")  # statements that change no database
COUNTED = "actions.txt"  # where a run that ends by itself leaves how many there were
TINY = "tests.support.tiny"
RUN = (
    f"--model {TINY}:network --dataset {TINY}:data --batch_size 48 --validation_share 0 --device cpu --epochs 2"
).split()
SHARES = ("--shares", "0.5 0.8 1")
KILL = "SIGKILL"
FRESH = 0.02  # of the cases: every process is a Python that starts anew, not one forked from a warm one


def is_fresh(random: Random) -> bool:
    """Whether a case is to have fresh Pythons."""
    return random.random() < FRESH


def environment(folder: Path) -> dict[str, str]:
    """The variables of a victim that runs in ``folder``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    return kept | {"WFN_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}


def run(
    folder: Path, arguments: Sequence[str], events: Sequence[tuple[int, str]] = (), disk: str = "", fresh: bool = False
):
    """Start ``wfn`` in ``folder``; what it gives is a :class:`Program`, or a :class:`subprocess.Popen`.

    Args:
        folder: the current one of the run.
        arguments: of its command line.
        events: number of an action and the name of the signal that comes before it.
        disk: a folder that a power cut leaves, in place of the first event's signal.
        fresh: in a Python that starts anew.
    """
    start = start_fresh if fresh else Program
    return start("tests.attacks.victim:main", [json.dumps([events, disk]), *arguments], folder, environment(folder))


def main(arguments: list[str]) -> int:
    """The run, with what happens to it; it ends the process as the command does."""
    events, disk = json.loads(arguments[0])
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup the attack ignores it, and so would its victims
    undrawn()
    actions = Path(COUNTED).open("w")  # noqa: SIM115 - before actions are counted
    if disk:
        cut = Disk(Path.cwd())
        count = at_actions([(events[0][0], lambda: cut.leave(Path(disk)))])
    else:
        count = at_actions([(number, lambda name=name: send(name)) for number, name in events])
    from wfn.__main__ import main as wfn
    from wfn.commands.options import end_process

    def command() -> int:
        status = wfn(arguments[1:])
        with actions:
            actions.write(str(count()))
        return status

    end_process(command)


def send(name: str) -> None:
    """Send this process the signal of that name."""
    sys.stdout.flush()
    os.kill(os.getpid(), signal.Signals[name])


def at_actions(events: Sequence[tuple[int, Callable[[], object]]]) -> Callable[[], int]:
    """Do something before the n-th action of this process in its current folder; the result counts its actions."""
    from sqlalchemy import Engine, event

    waiting, counted, here = dict(events), [0], str(Path.cwd())

    def is_here(place: object) -> bool:
        """Whether it is a file of this folder, or one that is open: what caches of compiled code do counts not."""
        return isinstance(place, int) or os.path.abspath(os.fsdecode(place)).startswith(here)

    def act() -> None:
        counted[0] += 1
        if do := waiting.pop(counted[0], None):
            do()

    def hook(event: str, arguments: tuple) -> None:
        writes = event == "open" and str(arguments[0]).startswith(here) and (arguments[2] or 0) & 3
        if writes or (event in ACTIONS and is_here(arguments[0])):
            act()

    def statement(connection, cursor, text: str, *others: object) -> None:
        if not text.lstrip().upper().startswith(READING):
            act()

    sys.addaudithook(hook)
    event.listen(Engine, "before_cursor_execute", statement)
    event.listen(Engine, "commit", lambda connection: act())
    return lambda: counted[0]
