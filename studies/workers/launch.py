"""Starting a study, or going on with it: its own tracked run, the workers below it, and what it leaves behind."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from studies.outcome.ending import ending
from studies.outcome.standing import Standing, StudyProgress
from studies.outcome.study_page import show
from studies.outcome.table_and_figure import write_report
from studies.trials.plan import Plan, trial_settings
from studies.trials.queue import Queue
from studies.trials.storage import StorageLost
from studies.workers.sharing import SharedRuns
from wfn.errors import UserError, require
from wfn.runs.lifecycle import RunHandle
from wfn.runs.record import HEADER, Record
from wfn.runs.settings import LOCAL_SETTINGS
from wfn.runs.tracking.copies import way_to

log = logging.getLogger("wfn.studies.launch")
ROOT = Path(__file__).parents[2]  # where the package studies is found
LOOK = 0.5  # seconds between two looks at the workers
GRACE = 60.0  # seconds for a worker to end cleanly before it is killed
INTERRUPTED = 130  # exit status of a worker that was told to end
DEATHS = 10  # after so many workers were killed the launcher gives up: another one would not cure the cause


def launch(
    url: str,
    label: str,
    plan: Plan,
    settings: Mapping[str, Any],
    workers: int,
    *,
    retry_failed: bool = False,
    artifacts: str = "",
    begun: Mapping[int, str] | None = None,
) -> None:
    """Carry a study out with ``workers`` processes on this machine, or what is left of it.

    Args:
        url: of the storage.
        label: the study's name there.
        plan: what to do.
        settings: those of the command line, of which the ``LOCAL_SETTINGS`` are taken.
        workers: processes.
        retry_failed: run trials that failed again.
        artifacts: a folder that all machines of the study see, from which each resumes the others' trials; or empty.
        begun: place in the plan -> id of a run of the folder which its trial, if it is new, takes or goes on with.

    Raises:
        UserError: bad input; the study is going on already from the same folder; the workers keep dying.
    """
    check_workers(workers)
    if artifacts:
        SharedRuns(artifacts)
    queue = Queue.open_for(url, label, plan, begun)
    if retry_failed:
        queue.retry_failed()
    here = {name: settings[name] for name in LOCAL_SETTINGS if name in settings}
    standing = Standing(queue.results())
    if not standing.open and not _is_left_open(queue, Path(here["folder"])):
        hint = "; --retry_failed true runs what failed again" if standing.counts["FAIL"] else ""
        log.info("%s: nothing left to do: %s%s", label, standing.line(workers), hint)
        return

    # Launchers that start at once on several machines must agree on whose run is the study's.
    with ExitStack() as until_begun:
        until_begun.enter_context(queue.alone())
        place = _place_of_run(queue, Path(here["folder"]))
        settings = trial_settings(plan, plan.study, {}, here | place)
        with RunHandle.open(settings, even_finished=True) as handle:
            if "parent_run" not in place:
                queue.set("here", here)
                queue.set("run", handle.record.id)
            until_begun.close()
            handle.set(params=_description(label, plan), tags={"study": label, "question": plan.question})
            show(queue, handle)
            below = {**here, "parent_run": queue.run(), "resume": ""}
            try:
                if standing.open:
                    Supervisor(queue, url, below, artifacts, handle.record.folder, workers).run()
            finally:
                paths = write_report(queue, handle.record)
                show(queue, handle)
            log.info(ending(queue.results(), [path.absolute() for path in paths]))
            if Standing(queue.results()).open:
                raise KeyboardInterrupt  # stopped by 'studies stop': the run is to say so
    if way := way_to(handle.record):
        log.info("look at study %s: %s", label, way)


def _is_left_open(queue: Queue, folder: Path) -> bool:
    """Whether the study's run lies here and has no good end: its launcher died after the last trial."""
    run = folder.expanduser() / (queue.run() or "none")
    return (run / HEADER).is_file() and Record.read(run).header.status != "FINISHED"


def _place_of_run(queue: Queue, folder: Path) -> dict[str, str]:
    """The study's run goes on where it lies here; on a further machine a run of its own is nested under it."""
    run = queue.run()
    if not run:
        return {}
    return {"resume": run} if (folder.expanduser() / run / HEADER).is_file() else {"parent_run": run}


def _description(label: str, plan: Plan) -> dict[str, Any]:
    whole = asdict(plan)
    del whole["listed"]  # every trial's own run says its point
    settings = {name: value for name, value in whole.pop("base").items() if name not in plan.study.varied.values}
    return settings | {"study": label, **whole, "varied": json.dumps(plan.varied_over(), default=asdict)}


def check_workers(workers: int) -> None:
    """Raise :class:`UserError` for fewer processes than one."""
    require("workers", workers, workers >= 1, "at least 1")


def threads_of_each(workers: int) -> int:
    """How many threads a worker gets: together they use no more than the cores there are.

    Of ``OMP_NUM_THREADS`` the first number holds, as it does in OpenMP for what is not nested.
    """
    cores, asked_for = len(os.sched_getaffinity(0)), os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return max(1, min(int(asked_for) if asked_for.isdecimal() else cores, cores // workers))


class Supervisor:
    """Keeps workers going until the queue is empty.

    Each has a log of its own in ``folder``, and so many threads that together they use no more than the cores there
    are. They are in a session of their own, so that Ctrl-C reaches the launcher alone, which ends them in order.
    """

    def __init__(
        self, queue: Queue, url: str, here: Mapping[str, Any], artifacts: str, folder: Path, workers: int
    ) -> None:
        self._queue, self._workers, self._folder = queue, workers, folder
        work = [url, queue.label, json.dumps(here), artifacts]
        self._command = [sys.executable, "-u", "-m", "studies.workers.worker", *work]
        threads = threads_of_each(workers)
        self._environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        }
        self._running: dict[int, subprocess.Popen] = {}
        self._deaths = 0

    def run(self) -> None:
        """Start workers, replace those that are killed, and return when all have ended; take them along if interrupted.

        Raises:
            UserError: a worker failed by itself, or too many were killed.
        """
        progress = StudyProgress(self._queue.label, len(self._queue.trials()))
        try:
            for number in range(1, self._workers + 1):
                self._start(number)
            while self._running:
                self._look_after(progress)
                progress.show(Standing(self._queue.results()), len(self._running))
                time.sleep(LOOK)
        finally:
            self._end_all()
            progress.close()

    def _start(self, number: int) -> None:
        with (self._folder / f"worker-{number}.log").open("ab") as log:
            self._running[number] = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def _look_after(self, progress: StudyProgress) -> None:
        for number, worker in list(self._running.items()):
            status = worker.poll()
            if status is None:
                continue
            del self._running[number]
            if status > 0 and status != INTERRUPTED:
                raise UserError(f"worker {number} failed: see {self._folder / f'worker-{number}.log'}")
            if status < 0 or (status == INTERRUPTED and not self._queue.get("stop")):
                self._deaths += 1
                how = f"signal {-status}" if status < 0 else "it was told to end, though the study goes on"
                log.info("worker %s was killed (%s): its trial is taken up again", number, how)
                if self._deaths > DEATHS:
                    raise UserError(f"{self._deaths} workers were killed: out of memory? Try fewer workers")
                self._queue.take_back()
                self._start(number)

    def _end_all(self) -> None:
        for worker in self._running.values():
            worker.terminate()
        deadline = time.monotonic() + GRACE
        for worker in self._running.values():
            try:
                worker.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        with suppress(StorageLost):  # whoever goes on takes them back
            self._queue.take_back()
