"""One worker: a process that takes trials out of the queue and carries them out, one after another.

``python -m studies.workers.worker URL LABEL HERE ARTIFACTS``; HERE is JSON, the settings that say where to run, and
ARTIFACTS the folder in which machines share runs, or empty. Workers share nothing but the storage and that folder, and
do not outlive the launcher that started them.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from studies.design import Results
from studies.trials.claim import TrialClaim
from studies.trials.plan import trial_settings
from studies.trials.queue import Queue
from studies.trials.storage import HEARTBEAT, RETURN, StorageLost
from studies.workers.sharing import SharedRuns
from wfn.commands import messages
from wfn.errors import UserError
from wfn.runs.lifecycle import RunHandle, Stopped
from wfn.runs.record import HEADER, OpenRecord, Record, RunHeldError, alone
from wfn.runs.settings import Settings
from wfn.runs.tracking.mlflow_database import StoreAwayError
from wfn.system.processes import terminable

log = logging.getLogger("wfn.studies.worker")
_LAUNCHER = os.getppid()
PAUSE = 2.0  # seconds between two looks into an empty queue while others still work: one of them may die


def work(url: str, label: str, here: Mapping[str, Any], artifacts: str = "") -> None:
    """Take trials until none is left that waits or runs, or the study is stopped."""
    queue = _queue(url, label)
    shared = SharedRuns(artifacts) if artifacts else None
    while not queue.get("stop") and os.getppid() == _LAUNCHER:
        queue.take_back()
        claim = queue.take()
        if claim:
            _run_trial(queue, claim, here, shared)
        elif any(trial.state in ("WAITING", "RUNNING") for trial in queue.trials()):
            time.sleep(PAUSE)
        else:
            return


def _queue(url: str, label: str) -> Queue:
    """The queue; the launcher has just used its storage, so that one that is away now is waited for."""
    from sqlalchemy.exc import OperationalError

    deadline = time.monotonic() + RETURN
    while True:
        try:
            return Queue(url, label)
        except UserError as error:
            if not isinstance(error.__cause__, OperationalError) or time.monotonic() > deadline:
                raise
            time.sleep(1)


def _run_trial(queue: Queue, claim: TrialClaim, here: Mapping[str, Any], shared: SharedRuns | None) -> None:
    """Run a trial and write down how it ended; whatever its run raises stays its own affair."""
    log.info("trial %s", claim.number)
    with _signs_of_life(claim):
        try:
            settings = trial_settings(queue.plan, queue.plan.study, claim.choose(), here)
            earlier = _earlier_run(Path(settings.folder).expanduser(), claim, shared)
            if earlier and earlier.header.status == "FINISHED":
                _take(queue, claim, earlier, settings)
            else:
                _run_once_free(queue, claim, replace(settings, resume=claim.run if earlier else ""), shared)
            if shared:
                shared.forget(claim)
        except KeyboardInterrupt:
            if claim.put_back():
                raise
            log.info("trial %s was given to another worker: this one was silent for too long", claim.number)
        except StorageLost:  # no fault of the trial's: it is taken up again
            raise
        except Exception as error:
            log.info("trial %s failed: %s: %s", claim.number, type(error).__name__, error)
            claim.fail(f"{type(error).__name__}: {error}")


def _earlier_run(parent: Path, claim: TrialClaim, shared: SharedRuns | None) -> Record | None:
    """The run that was begun for a trial, if it lies here or is shared; otherwise the trial begins again."""
    if not claim.run:
        return None
    folder = parent / claim.run
    if shared:
        shared.fetch(claim, folder)
    return Record.read(folder) if (folder / HEADER).is_file() else None


def _take(queue: Queue, claim: TrialClaim, record: Record, settings: Settings) -> None:
    """Finish a trial by its run, which is finished already."""
    if "study" not in record.header.tags:  # somebody began it by hand: a report must know whose it is now
        with alone(record.folder):
            OpenRecord.open(record.folder).set(tags=_tags(queue, claim))
    _bring_in(record, settings)
    claim.finish(record.last_values())


def _bring_in(record: Record, settings: Settings) -> None:
    """See to it that the tracking store has all of a finished run, if it is there."""
    if settings.tracking == "mlflow":
        from wfn.runs.tracking.mlflow_store import sync

        try:
            list(sync(record.folder, settings.experiment))
        except UserError as error:
            log.warning("%s; bring the run in later: %s", error, record.sync_command)


def _run_once_free(queue: Queue, claim: TrialClaim, settings: Settings, shared: SharedRuns | None) -> None:
    """Run a trial; wait for whoever still holds its run, and do without a tracking store that is away."""
    has_told = False
    while True:
        try:
            return _run(queue, claim, settings, shared)
        except StoreAwayError as error:
            log.warning("trial %s: %s; its run can be brought in later by 'wfn sync'", claim.number, error)
            settings = replace(settings, tracking="folder")
        except RunHeldError as error:
            if not has_told:
                log.info("trial %s: %s; waiting for it", claim.number, error)
            has_told = True
            time.sleep(PAUSE)
            held = Record.read(Path(settings.folder).expanduser() / claim.run)
            if held.header.status == "FINISHED":  # by whoever held it
                return _take(queue, claim, held, settings)


def _tags(queue: Queue, claim: TrialClaim) -> dict[str, str | int]:
    """Those of a trial's run: whose it is."""
    varied = " ".join(queue.plan.study.varied.values)  # a report makes rows of trials that depart in none of these
    return {"study": queue.label, "question": queue.plan.question, "varied": varied, "trial": claim.number}


def _run(queue: Queue, claim: TrialClaim, settings: Settings, shared: SharedRuns | None) -> None:
    study = queue.plan.study
    try:
        with RunHandle.open(settings) as handle:
            claim.set_run(handle.record.id)
            handle.set(tags=_tags(queue, claim))
            if study.hopeless:
                handle.record.subscribe(_pruner(study.hopeless, queue, handle.record))
            with shared.kept_up_to_date(claim, handle.record.folder) if shared else nullcontext():
                study.run(handle.settings, handle)
    except Stopped as reason:
        claim.prune(str(reason), handle.record.last_values())
    else:
        claim.finish(handle.record.last_values())


def _pruner(
    hopeless: Callable[[Record, Results], str | None], queue: Queue, record: Record
) -> Callable[[Record], None]:
    """A listener that looks after each iteration whether the trial is hopeless: then its run is stopped."""
    seen = len(record.header.iterations)

    def look(record: Record) -> None:
        nonlocal seen
        if len(record.header.iterations) > seen:
            seen = len(record.header.iterations)
            if reason := hopeless(record, queue.results()):
                raise Stopped(f"pruned: {reason}")

    return look


@contextmanager
def _signs_of_life(claim: TrialClaim) -> Iterator[None]:
    """Tell the storage now and then that this worker lives; end it once the study is stopped or its launcher dead."""
    done, ending = threading.Event(), threading.Lock()

    def tell() -> None:
        while not done.wait(HEARTBEAT):
            if not _may_go_on(claim):
                with ending:
                    if not done.is_set():  # else the trial is over, and the signal would hit the next one
                        os.kill(os.getpid(), signal.SIGTERM)
                return

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with ending:
            done.set()
        thread.join()


def _may_go_on(claim: TrialClaim) -> bool:
    try:
        return claim.sign_of_life() and os.getppid() == _LAUNCHER
    except StorageLost as error:
        log.info(error)
        return False


def main() -> int:
    """Work; return the exit status: 0 when there is nothing left to do, 130 where it was told to end, 1 for trouble."""
    url, label, here, artifacts = sys.argv[1:]
    try:
        with messages.shown(), terminable():
            work(url, label, json.loads(here), artifacts)
    except KeyboardInterrupt:
        return 130
    except UserError as error:
        print(f"error: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
