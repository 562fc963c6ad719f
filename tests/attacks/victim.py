"""A run in a process of its own to which something happens at its n-th action: a kill, signals, a power cut.

An action is what may change a folder: a file opened to be written, renamed, removed; a folder made; a lock taken. So
each state that a kill could leave on the disk is met, however fast the machine is.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.attacks.disk import Disk
from tests.support.programs import Program

ACTIONS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "fcntl.flock"}
COUNTED = "actions.txt"  # where a run that ends by itself leaves how many there were
TINY = "tests.support.tiny"
RUN = (
    f"--model {TINY}:network --dataset {TINY}:data --batch_size 48 --validation_share 0 --device cpu "
    "--epochs 2 --tracking folder"
).split()
SHARES = ("--shares", "0.5 0.8 1")
KILL = "SIGKILL"


def run(folder: Path, arguments: Sequence[str], events: Sequence[tuple[int, str]] = (), disk: str = "") -> Program:
    """Start ``wfn`` in ``folder``.

    Args:
        folder: the current one of the run.
        arguments: of its command line.
        events: number of an action and the name of the signal that comes before it.
        disk: a folder that a power cut leaves, in place of the first event's signal.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    environment = kept | {"WFN_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    return Program("tests.attacks.victim:main", [json.dumps([events, disk]), *arguments], folder, environment)


def main(arguments: list[str]) -> int:
    """The run, with what happens to it."""
    events, disk = json.loads(arguments[0])
    from wfn.figures import style

    style.render_each = lambda draw, size, forms, title="": {form: b"no figure" for form in forms}
    if disk:
        cut = Disk(Path.cwd())
        _at_actions([(events[0][0], lambda: cut.leave(Path(disk)))])
    else:
        count = _at_actions([(number, lambda name=name: _send(name)) for number, name in events])
    from wfn.__main__ import main as wfn

    status = wfn(arguments[1:])
    if not disk:
        Path(COUNTED).write_text(str(count()))
    return status


def _send(name: str) -> None:
    sys.stdout.flush()
    os.kill(os.getpid(), signal.Signals[name])


def _at_actions(events: Sequence[tuple[int, Callable[[], object]]]) -> Callable[[], int]:
    waiting, counted, here = dict(events), [0], str(Path.cwd())

    def is_here(place: object) -> bool:
        """Whether it is a file of this folder, or one that is open: what caches of compiled code do counts not."""
        return isinstance(place, int) or os.path.abspath(os.fsdecode(place)).startswith(here)

    def hook(event: str, arguments: tuple) -> None:
        writes = event == "open" and str(arguments[0]).startswith(here) and (arguments[2] or 0) & 3
        if writes or (event in ACTIONS and is_here(arguments[0])):
            counted[0] += 1
            if do := waiting.pop(counted[0], None):
                do()

    sys.addaudithook(hook)
    return lambda: counted[0]
