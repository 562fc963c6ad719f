"""Launchers and workers of a study are killed at random moments, and the same command ends it as it should."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

from studies.trials.queue import Queue
from tests.attacks.attack import Attack
from tests.attacks.kills import bits, records
from tests.attacks.victim import RUN
from tests.support.programs import Program

ALPHAS = (0.0, 0.2, 0.4)
COMMAND = ["run", "ablation", *RUN, "--shares", "0.5 1", "--repeats", "1", "--vary",
           f"alpha={','.join(map(str, ALPHAS))} delta=0.0075 fix_batch_norm=True"]  # fmt: skip
SIGNS = 20.0  # seconds after a launcher's start in which a blow falls: imports, trials and the end are all in it


def start(folder: Path, arguments: Sequence[str], **environment: str) -> Program:
    """Start ``python -m studies`` in ``folder``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    kept |= {"WFN_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"} | environment
    return Program("studies.__main__:main", arguments, folder, kept)


def workers_of(launcher: int) -> list[int]:
    """The processes that a launcher has started and that live."""
    with suppress(OSError):
        texts = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
        return [int(text) for text in texts]
    return []


def assert_as_uncut(queue: Queue, folder: Path, whole: dict[float, dict[str, bytes]]) -> None:
    """That every trial is complete, with its own bits, and no run is left open."""
    trials = queue.trials()
    assert Counter(trial.state for trial in trials) == {"COMPLETE": len(ALPHAS)}, [trial.reason for trial in trials]
    by_id = {record.id: record for record in records(folder)}
    for trial in trials:
        assert by_id[trial.run].header.status == "FINISHED"
        assert bits(by_id[trial.run]) == whole[trial.settings["alpha"]], f"trial {trial.number} has other weights"
    own = by_id[queue.get("run")]
    assert own.header.status == "FINISHED", f"the study's own run is {own.header.status}"


def uncut(folder: Path) -> dict[float, dict[str, bytes]]:
    """Alpha -> the bits of its trial, of a study that nothing happens to."""
    program = start(folder, [*COMMAND, "--workers", "1"])
    _, error = program.communicate()
    assert program.returncode == 0, error[-300:]
    by_id = {record.id: record for record in records(folder)}
    return {trial.settings["alpha"]: bits(by_id[trial.run]) for trial in _queue(folder).trials()}


def killed(random: Random, folder: Path, whole: dict[float, dict[str, bytes]]) -> None:
    arguments = [*COMMAND, "--workers", str(random.randint(1, 2))]
    for _ in range(random.randint(1, 3)):
        program = start(folder, arguments)
        time.sleep(random.uniform(0, SIGNS))
        _blow(random, program)(program)
        program.communicate()
        if program.returncode == 0:
            break
    program = start(folder, arguments)
    _, error = program.communicate()
    assert program.returncode == 0, error[-300:]
    assert_as_uncut(_queue(folder), folder, whole)


def _blow(random: Random, program: Program) -> Callable[[Program], None]:
    def kill_a_worker(program: Program) -> None:
        if workers := workers_of(program.pid):
            with suppress(ProcessLookupError):
                os.kill(random.choice(workers), random.choice((signal.SIGKILL, signal.SIGTERM)))

    def kill_the_launcher(program: Program) -> None:
        program.kill()

    def kill_all(program: Program) -> None:
        workers = workers_of(program.pid)
        program.kill()
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)

    return random.choice((kill_a_worker, kill_the_launcher, kill_all))


def _queue(folder: Path) -> Queue:
    from studies.trials.storage import url_of

    return Queue(url_of("", str(folder / "runs")), "ablation")


ATTACK = Attack(
    "studies",
    "a worker, the launcher or all of a study are killed at random moments, up to three times, and the same command "
    "follows: every trial is complete, with the bits of an uncut study",
    cases=50,
    short=0,
    case=killed,
    prepare=uncut,
)
