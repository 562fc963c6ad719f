"""Launchers and workers of a study are killed at random actions, and the same command ends it as it should."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

from studies.trials.queue import Queue
from tests.attacks.attack import Attack
from tests.attacks.kills import bits, records
from tests.attacks.study_victim import BLOWS, COUNTED, LAUNCHER, WORKER
from tests.attacks.victim import RUN, environment, is_fresh
from tests.support.programs import Program, start_fresh

ALPHAS = (0.0, 0.2, 0.4)
COMMAND = ["run", "ablation", *RUN, "--tracking", "folder", "--shares", "0.5 1", "--repeats", "1", "--vary",
           f"alpha={','.join(map(str, ALPHAS))} delta=0.0075 fix_batch_norm=True"]  # fmt: skip
MOST_TIMES = 3  # that a launcher is started before nothing happens to it any more
Events = Sequence[tuple[str, int, str]]


class Uncut:
    """A study to which nothing happened.

    Attributes:
        bits: alpha -> those of its trial.
        actions: role of a process -> how many it had.
    """

    def __init__(self, folder: Path) -> None:
        program = start(folder, [*COMMAND, "--workers", "1"])
        _, error = program.communicate()
        assert program.returncode == 0, error[-300:]
        by_id = {record.id: record for record in records(folder)}
        self.bits = {trial.settings["alpha"]: bits(by_id[trial.run]) for trial in queue_in(folder).trials()}
        self.actions = {
            role: int((folder / COUNTED.format(name)).read_text())
            for role, name in ((LAUNCHER, LAUNCHER), (WORKER, f"{WORKER}-1"))
        }


def start(folder: Path, arguments: Sequence[str], events: Events = (), fresh: bool = False, **variables: str):
    """Start ``python -m studies`` in ``folder``."""
    begin = start_fresh if fresh else Program
    given = [json.dumps(events), *arguments]
    return begin("tests.attacks.study_victim:main", given, folder, environment(folder) | variables)


def assert_as_uncut(queue: Queue, folder: Path, whole: Uncut) -> None:
    """That every trial is complete, with its own bits, and no run is left open."""
    trials = queue.trials()
    assert Counter(trial.state for trial in trials) == {"COMPLETE": len(ALPHAS)}, [trial.reason for trial in trials]
    by_id = {record.id: record for record in records(folder)}
    for trial in trials:
        assert by_id[trial.run].header.status == "FINISHED"
        assert bits(by_id[trial.run]) == whole.bits[trial.settings["alpha"]], f"trial {trial.number} has other weights"
    own = by_id[queue.get("run")]
    assert own.header.status == "FINISHED", f"the study's own run is {own.header.status}"


def killed(random: Random, folder: Path, whole: Uncut) -> int:
    fresh, workers = is_fresh(random), random.randint(1, 2)
    arguments = [*COMMAND, "--workers", str(workers)]
    for _ in range(random.randint(1, MOST_TIMES)):
        program = start(folder, arguments, events(random, whole, workers), fresh)
        _, error = program.communicate()
        if program.returncode == 0:
            break
        assert program.returncode == -9, f"status {program.returncode}: {error[-300:]}"
    else:
        program = start(folder, arguments, fresh=fresh)
        _, error = program.communicate()
        assert program.returncode == 0, error[-300:]
    assert_as_uncut(queue_in(folder), folder, whole)
    return len((folder / BLOWS).read_text().splitlines())


def events(random: Random, whole: Uncut, workers: int) -> Events:
    """What happens in one start: one or two workers are killed or told to end, or the launcher is killed, or all."""
    share = whole.actions[WORKER] // workers

    def of_a_worker(number: int, *ways: str) -> tuple[str, int, str]:
        return f"{WORKER}-{number}", random.randint(1, share), random.choice(ways)

    match random.randrange(4):
        case 0:
            return [(LAUNCHER, random.randint(1, whole.actions[LAUNCHER]), "SIGKILL")]
        case 1:
            return [of_a_worker(random.randint(1, workers), "all")]
        case _:
            number = random.randint(1, workers)
            again = random.randint(0, 1)  # whether one that takes its place is killed, too
            return [of_a_worker(number + i * workers, "SIGKILL", "SIGKILL", "SIGTERM") for i in range(1 + again)]


def queue_in(folder: Path) -> Queue:
    """The study in ``folder``."""
    from studies.trials.storage import url_of

    return Queue(url_of("", str(folder / "runs")), "ablation")


ATTACK = Attack(
    "studies",
    "a worker (SIGKILL or SIGTERM), the launcher or all of a study (SIGKILL) are killed before a random one of their "
    "writes, over and over, and the same command follows: every trial is complete, with the bits of an uncut study",
    cases=80,
    short=0,
    case=killed,
    prepare=Uncut,
)
