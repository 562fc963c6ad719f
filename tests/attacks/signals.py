"""Signals come at random actions, several in a row: the run ends at once, tells no traceback, and says what is so."""

from pathlib import Path
from random import Random

from tests.attacks.attack import Attack
from tests.attacks.kills import Uncut, again, assert_as_uncut, assert_ends, records, uncut
from tests.attacks.victim import COUNTED, is_fresh, run

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


def signalled(random: Random, folder: Path, whole: Uncut) -> int:
    fresh, tracking = is_fresh(random), whole.tracking(random, folder)
    first = random.randint(1, whole.actions[tracking])
    moments = {first + random.randint(0, 6) for _ in range(random.randint(1, 3))}
    events = [(moment, random.choice(NAMES)) for moment in sorted(moments)]
    output, error = (program := run(folder, again(folder, tracking), events, fresh=fresh)).communicate()
    assert program.returncode in (0, 130), f"status {program.returncode}: {error[-300:]}"
    assert "Traceback" not in output + error, error[-600:]
    there = records(folder)
    statuses = [record.header.status for record in there]
    if program.returncode == 0:
        actions = int((folder / COUNTED).read_text())  # not the uncut run's: the first on a machine fills caches
        assert min(moments) > actions - 10, f"signals at {moments} of {actions} changed nothing"
        assert statuses == ["FINISHED"], statuses
    else:
        assert statuses in ([], ["KILLED"], ["FINISHED"]), statuses
        resumable = statuses == ["KILLED"]
        assert (f"--resume {there[0].id}" if resumable else "stopped\n") in error, error
        assert ("--resume" in error) == resumable, error
        if resumable:
            assert_ends(run(folder, again(folder, tracking), fresh=fresh))
        elif not there:
            return len(events)
    assert_as_uncut(folder, whole, tracking, fresh)
    return len(events)


ATTACK = Attack(
    "signals",
    "one to three of SIGINT, SIGTERM and SIGHUP come in a row at random writes of a run: it ends with status 130 "
    "without a traceback, KILLED, names --resume only where there is something to resume, and goes on as uncut",
    cases=200,
    short=2,
    case=signalled,
    prepare=uncut,
)
